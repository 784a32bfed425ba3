/** Addresses that change under a connection: NAT rebinding, and those who pretend it (RFC 9000 sections 8.2 and 9). */
import { assert, describe, it } from "@effect/vitest"
import type { Nat } from "../../src/testing/internal/SimulatorCore.ts"
import { writePing } from "../../src/internal/wire/FrameWriter.ts"
import { capture, forge, frames, sendRaw } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import type { PairOptions } from "../support/Machines.ts"
import { establish, exchange, intact, seeds, send } from "../support/Scenario.ts"

const MB = 1_000_000

/** A client behind a translator, its handshake done. */
const behindNat = (options: PairOptions = {}): { pair: Pair; nat: Nat } => {
  const pair = new Pair(options)
  const nat = pair.simulator.nat({ outside: "203.0.113.1", inside: ["10.0.0.*"] })
  assert.isAbove(establish(pair), 0)
  pair.run(pair.simulator.now + 200)
  return { pair, nat }
}

const migrations = (pair: Pair): ReadonlyArray<string> =>
  pair.server.events.flatMap((event) => (event.kind === "migrated" ? [event.remote.key] : []))

describe("RFC 9000 9.3: NAT rebinding", () => {
  it("VAL-6, VAL-7: a download goes on, the new port is validated, and the window stays", () => {
    const { pair, nat } = behindNat({ client: { settings: { keepAlive: 100 } } })
    const before = pair.accepted.paths[0]!.remote
    const down = send(pair.accepted, pair.connection, 5 * MB)
    pair.run(pair.simulator.now + 500)
    const window = pair.accepted.paths[0]!.congestionWindow
    const rtt = pair.accepted.paths[0]!.smoothedRtt
    nat.rebind()
    const time = pair.simulator.now
    pair.until(() => pair.server.events.some(({ kind }) => kind === "validated"), time + 1000)
    assert.isBelow(pair.simulator.now - time, 300)
    const path = pair.accepted.paths[0]!
    assert.notStrictEqual(path.remote, before)
    assert.strictEqual(path.remote.host, "203.0.113.1")
    assert.deepStrictEqual(migrations(pair), [path.remote.key])
    assert.isTrue(path.validated)
    assert.isAbove(path.congestionWindow, window / 4)
    assert.isBelow(Math.abs(path.smoothedRtt - rtt), rtt)
    pair.until(() => down.finished, 10_000, 5)
    intact(down, 5 * MB, "rebinding")
    assert.strictEqual(pair.client.events.length, 0)
  })

  it("VAL-7, 9.4: another host may be another network: window and RTT start anew", () => {
    const { pair, nat } = behindNat({ client: { settings: { keepAlive: 100 } } })
    exchange(pair, MB, 2000, "before")
    assert.isAbove(pair.accepted.paths[0]!.congestionWindow, 30_000)
    nat.rebind("203.0.113.99")
    pair.until(() => pair.server.events.some(({ kind }) => kind === "validated"), pair.simulator.now + 1000)
    const path = pair.accepted.paths[0]!
    assert.strictEqual(path.remote.host, "203.0.113.99")
    assert.isAtMost(path.congestionWindow, 15_000)
    exchange(pair, MB, 5000, "after")
  })

  it("both directions survive a rebinding every 700 ms with loss, whatever was on its way", () => {
    for (const seed of seeds(6)) {
      const { pair, nat } = behindNat({
        seed,
        links: [{ mbps: 20, delay: 15, queue: 60, loss: 0.01, reorder: 0.02 }],
        client: { settings: { keepAlive: 150 } }
      })
      let rebound = 0
      const again = (): void => {
        if (++rebound > 8) return
        nat.rebind(seed % 2 === 0 ? undefined : `203.0.113.${rebound + 1}`)
        pair.simulator.at(pair.simulator.now + 700, again)
      }
      pair.simulator.at(pair.simulator.now + 300, again)
      exchange(pair, 3 * MB, 60_000, `seed ${seed}`)
      assert.isAbove(rebound, 3, `seed ${seed}`)
      assert.isAtMost(pair.accepted.paths[0]!.remoteIds.pendingRetire.length, 4)
    }
  })

  it("9.5: each new address gets a connection ID that was not used before", () => {
    const { pair, nat } = behindNat({ client: { settings: { keepAlive: 100 } } })
    const used = new Set<string>()
    for (let i = 0; i < 6; i++) {
      used.add(Buffer.from(pair.accepted.paths[0]!.remoteIds.active!.bytes).toString("hex"))
      nat.rebind()
      pair.run(pair.simulator.now + 500)
      assert.strictEqual(migrations(pair).length, i + 1)
    }
    assert.strictEqual(used.size, 6)
    exchange(pair, 10_000, 1000, "after six")
  })
})

describe("RFC 9000 9.3: addresses of others", () => {
  const OTHER = "198.51.100.7"

  it("9.3.2, 8.1: a packet that somebody sends on from elsewhere costs him 3x at the most, and the path comes back", () => {
    const pair = new Pair()
    establish(pair)
    pair.run(pair.simulator.now + 200)
    const other = pair.simulator.addresses.intern(OTHER, 9)
    const real = pair.accepted.paths[0]!.remote
    const stolen = forge(pair.connection, frames(writePing), pair.simulator.now)
    const answers = capture(pair.server)
    const down = send(pair.accepted, pair.connection, MB)
    // The client has nothing to say of its own: what it would send is lost for a while.
    pair.client.tap = () => false
    sendRaw(pair.simulator, other, pair.server.addresses[0]!, stolen)
    pair.until(() => pair.accepted.paths[0]!.remote === other, pair.simulator.now + 100)
    assert.isFalse(pair.accepted.paths[0]!.validated)
    pair.until(() => pair.accepted.paths[0]!.remote === real, pair.simulator.now + 20_000, 5)
    assert.strictEqual(pair.accepted.paths[0]!.remote, real)
    assert.isTrue(pair.accepted.paths[0]!.validated)
    const spent = answers.filter(({ to }) => to === other).reduce((sum, { bytes }) => sum + bytes.length, 0)
    assert.isAbove(spent, 0)
    assert.isAtMost(spent, 3 * stolen.length)
    pair.client.tap = undefined
    pair.until(() => down.finished, pair.simulator.now + 20_000, 5)
    intact(down, MB, "after the return")
  })

  it("9.3.3: packets of the real client bring the path back at once", () => {
    for (const seed of seeds(10)) {
      const pair = new Pair({ seed })
      establish(pair)
      const other = pair.simulator.addresses.intern(OTHER, 9)
      const real = pair.accepted.paths[0]!.remote
      const sent = capture(pair.client)
      const down = send(pair.accepted, pair.connection, 3 * MB)
      const start = pair.simulator.now
      for (let i = 0; i < 5; i++) {
        pair.run(start + 50 + 50 * i)
        // Faster than the original, which is still on its way.
        const stolen = forge(pair.connection, frames(writePing), pair.simulator.now)
        sendRaw(pair.simulator, other, pair.server.addresses[0]!, stolen)
      }
      assert.isAbove(sent.length, 0)
      pair.until(() => down.finished, start + 5000, 5)
      intact(down, 3 * MB, `seed ${seed}`)
      assert.strictEqual(pair.accepted.paths[0]!.remote, real)
      assert.isAbove(migrations(pair).length, 5)
    }
  })

  it("9.1: old packets that are sent on from elsewhere move nothing", () => {
    const pair = new Pair()
    establish(pair)
    const sent = capture(pair.client)
    exchange(pair, 100_000, 1000, "to have packets")
    pair.run(pair.simulator.now + 200)
    const real = pair.accepted.paths[0]!.remote
    const other = pair.simulator.addresses.intern(OTHER, 9)
    const dropped = pair.accepted.stats().packetsDropped
    for (const { bytes } of sent) sendRaw(pair.simulator, other, pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 1000)
    assert.strictEqual(pair.accepted.paths[0]!.remote, real)
    assert.strictEqual(pair.accepted.stats().packetsDropped - dropped, sent.length)
    assert.deepStrictEqual(migrations(pair), [])
  })

  it("9: a client takes nothing from another address than its server's", () => {
    const pair = new Pair()
    establish(pair)
    pair.run(pair.simulator.now + 200)
    const other = pair.simulator.addresses.intern(OTHER, 9)
    const packet = forge(pair.accepted, frames(writePing), pair.simulator.now)
    const { packetsDropped, packetsReceived } = pair.connection.stats()
    sendRaw(pair.simulator, other, pair.client.addresses[0]!, packet)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(pair.connection.stats().packetsDropped, packetsDropped + 1)
    assert.strictEqual(pair.connection.stats().packetsReceived, packetsReceived)
    // It was not even remembered: the same packet from the right place is taken.
    sendRaw(pair.simulator, pair.server.addresses[0]!, pair.client.addresses[0]!, packet)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(pair.connection.stats().packetsReceived, packetsReceived + 1)
  })

  it("8.2.1: while an address is unvalidated nothing runs in circles, however much waits", () => {
    const pair = new Pair()
    establish(pair)
    pair.run(pair.simulator.now + 200)
    pair.client.tap = () => false
    const other = pair.simulator.addresses.intern(OTHER, 9)
    const stolen = forge(pair.connection, frames(writePing), pair.simulator.now)
    sendRaw(pair.simulator, other, pair.server.addresses[0]!, stolen)
    pair.until(() => pair.accepted.paths[0]!.remote === other, pair.simulator.now + 100)
    send(pair.accepted, pair.connection, MB)
    let polls = 0
    const { endpoint } = pair.server
    const poll = endpoint.poll.bind(endpoint)
    endpoint.poll = (now, sink) => {
      polls++
      return poll(now, sink)
    }
    pair.run(pair.simulator.now + 2000)
    // The acknowledgement that is owed asks again each 25 ms.
    assert.isBelow(polls, 250)
  })
})
