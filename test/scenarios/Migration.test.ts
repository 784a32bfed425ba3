/** Addresses that change under a connection: NAT rebinding, and those who pretend it (RFC 9000 sections 8.2 and 9). */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { Nat } from "../../src/testing/internal/SimulatorCore.ts"
import { writePadding, writePathChallenge, writePing } from "../../src/internal/wire/FrameWriter.ts"
import { capture, forge, frames, sendRaw } from "../support/Hostile.ts"
import { Node, Pair } from "../support/Machines.ts"
import type { PairOptions } from "../support/Machines.ts"
import { FrameLog } from "../support/Multipath.ts"
import { ending, establish, established, exchange, intact, seeds, send } from "../support/Scenario.ts"

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
    for (const seed of seeds(4)) {
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

  it("A11: acknowledgements wait for no more of the 3x limit than they need", () => {
    const { pair, nat } = behindNat()
    // The new address is never proven: what answers a challenge is expanded, and lost.
    pair.client.tap = (bytes) => bytes.length < 1000
    nat.rebind()
    const { recovery } = pair.connection.core.paths.primary
    const stream = pair.connection.streams.open(false)!
    let late = 0
    for (let i = 0; i < 20; i++) {
      stream.write(new Uint8Array(20))
      pair.connection.wake()
      pair.run(pair.simulator.now + 60)
      // Beside its own lost responses nothing is on its way any more.
      if (recovery.bytesInFlight % 1200 > 0) late++
    }
    assert.isFalse(pair.accepted.paths[0]!.validated)
    assert.strictEqual(late, 0)
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

const OUTSIDER = "198.51.100.66"

/** The connection ID of a short packet: all of ours have eight bytes. */
const idOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(1, 9)).toString("hex")

describe("RFC 9000 8.2.2: challenges from elsewhere", () => {
  const challenges = (count: number, padding: number): Uint8Array =>
    frames((w) => {
      for (let i = 0; i < count; i++) writePathChallenge(w, new Uint8Array(8).fill(i))
      if (padding > 0) writePadding(w, padding)
    })

  it.each([
    ["101 bytes", 8, 0],
    ["1101 bytes", 8, 1000],
    ["1200 bytes with 100 challenges", 100, 260],
    ["the least", 1, 0]
  ])("B1, 8.1: %s draw one packet of three times that at the most, with all answers in it", (_, count, padding) => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    const other = pair.simulator.addresses.intern(OUTSIDER, 9)
    const log = new FrameLog(pair.accepted)
    const answers = capture(pair.server)
    const bytes = forge(pair.connection, challenges(count, padding), pair.simulator.now)
    sendRaw(pair.simulator, other, pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 500)
    const there = answers.filter(({ to }) => to === other)
    assert.strictEqual(there.length, 3 * bytes.length < 72 ? 0 : 1)
    assert.isAtMost(
      there.reduce((sum, one) => sum + one.bytes.length, 0),
      Math.min(1200, 3 * bytes.length)
    )
    assert.strictEqual(log.of("pathResponse").length, Math.min(count, 8))
    assert.notStrictEqual(pair.accepted.paths[0]!.remote, other)
  })

  it("B1: packets from many addresses in one burst are answered within the limit of each", () => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    const sent = new Map<string, number>()
    const answers = capture(pair.server)
    for (let i = 0; i < 40; i++) {
      const other = pair.simulator.addresses.intern(OUTSIDER, 1000 + (i % 10))
      const bytes = forge(pair.connection, challenges(1 + (i % 3), 10 * (i % 7)), pair.simulator.now)
      sent.set(other.key, (sent.get(other.key) ?? 0) + bytes.length)
      sendRaw(pair.simulator, other, pair.server.addresses[0]!, bytes)
    }
    pair.run(pair.simulator.now + 500)
    const given = new Map<string, number>()
    for (const { to, bytes } of answers) given.set(to.key, (given.get(to.key) ?? 0) + bytes.length)
    let answered = 0
    for (const [key, bytes] of sent) {
      assert.isAtMost(given.get(key) ?? 0, 3 * bytes)
      if (given.has(key)) answered++
    }
    assert.isAbove(answered, 0)
  })

  it("B1: what is lost of the answers elsewhere is no loss of the path", () => {
    const pair = established()
    exchange(pair, 500_000, 2000, "before")
    const path = pair.accepted.core.paths.primary
    const { congestionWindow, packetsLost } = path
    const other = pair.simulator.addresses.intern(OUTSIDER, 9)
    for (let i = 0; i < 20; i++) {
      const bytes = forge(pair.connection, challenges(1, 0), pair.simulator.now)
      sendRaw(pair.simulator, other, pair.server.addresses[0]!, bytes)
      pair.run(pair.simulator.now + 20)
    }
    exchange(pair, 20_000, 2000, "after")
    assert.isAtLeast(path.congestionWindow, congestionWindow)
    assert.isAtMost(path.packetsLost - packetsLost, 20)
  })
})

describe("RFC 9000 9.3, 9.3.3: an address that was proven before", () => {
  /** Downloads while a bystander, who is nearer, sends copies of the client's packets from another address. */
  const download = (perSecond: number): { readonly time: number; readonly pair: Pair } => {
    const pair = established({ links: [{ mbps: 50, delay: 20, queue: 250 }] })
    pair.run(pair.simulator.now + 200)
    const other = pair.simulator.addresses.intern(OUTSIDER, 9)
    let next = pair.simulator.now
    pair.client.tap = (bytes, _from, to, now) => {
      if (perSecond > 0 && now >= next) {
        next = now + 1000 / perSecond
        sendRaw(pair.simulator, other, to, bytes.slice())
      }
      return true
    }
    const start = pair.simulator.now
    const down = send(pair.accepted, pair.connection, 4 * MB)
    pair.until(() => down.finished, start + 60_000, 5)
    intact(down, 4 * MB, `${perSecond} copies a second`)
    return { time: pair.simulator.now - start, pair }
  }

  it("B2: a bystander who copies 5 or 20 packets a second costs a download little", () => {
    const clean = download(0).time
    for (const [perSecond, share] of [
      [5, 1.1],
      [20, 1.25]
    ] as const) {
      const { time, pair } = download(perSecond)
      assert.isAtMost(time, share * clean, `${perSecond} copies a second`)
      assert.isAbove(migrations(pair).length, perSecond / 3)
    }
  })

  it("B2: back at the address before: valid at once, with its window, RTT and packet size, and no new challenge", () => {
    const pair = established()
    exchange(pair, MB, 2000, "before")
    pair.run(pair.simulator.now + 300)
    const path = pair.accepted.core.paths.primary
    const before = { remote: path.remote, window: path.congestionWindow, rtt: path.smoothedRtt, mtu: path.mtu }
    const other = pair.simulator.addresses.intern(OUTSIDER, 9)
    pair.client.tap = () => false
    for (let i = 0; i < 3; i++) {
      const padded = frames((w) => {
        writePing(w)
        writePadding(w, 1100)
      })
      const bytes = forge(pair.connection, padded, pair.simulator.now)
      sendRaw(pair.simulator, other, pair.server.addresses[0]!, bytes)
      pair.run(pair.simulator.now + 5)
    }
    assert.strictEqual(path.remote, other)
    assert.isFalse(path.validated)
    assert.strictEqual(path.mtu, 1200)
    const lost = send(pair.accepted, pair.connection, 20_000)
    pair.run(pair.simulator.now + 100)
    pair.client.tap = undefined
    const back = forge(pair.connection, frames(writePing), pair.simulator.now)
    sendRaw(pair.simulator, before.remote, pair.server.addresses[0]!, back)
    pair.until(() => path.remote === before.remote, pair.simulator.now + 15, 0.1)
    const log = new FrameLog(pair.accepted)
    assert.deepStrictEqual(
      { remote: path.remote, window: path.congestionWindow, rtt: path.smoothedRtt, mtu: path.mtu },
      before
    )
    assert.isTrue(path.validated)
    pair.until(() => lost.finished, pair.simulator.now + 3000)
    intact(lost, 20_000, "what had gone elsewhere")
    assert.isAtLeast(path.congestionWindow, before.window)
    assert.deepStrictEqual(log.of("pathChallenge"), [])
  })

  it("B2: after both addresses were proven, going to and fro needs no challenge", () => {
    const { pair, nat } = behindNat({ client: { settings: { keepAlive: 50 } } })
    const path = pair.accepted.core.paths.primary
    const home = path.remote
    nat.rebind()
    pair.run(pair.simulator.now + 1000)
    assert.notStrictEqual(path.remote, home)
    assert.isTrue(path.validated)
    const away = path.remote
    const log = new FrameLog(pair.accepted)
    for (const [from, to] of [
      [home, home],
      [away, away],
      [home, home]
    ] as const) {
      sendRaw(
        pair.simulator,
        from,
        pair.server.addresses[0]!,
        forge(pair.connection, frames(writePing), pair.simulator.now)
      )
      pair.run(pair.simulator.now + 1)
      assert.strictEqual(path.remote, to)
      assert.isTrue(path.validated)
    }
    assert.deepStrictEqual(log.of("pathChallenge"), [])
    // After a while it is an address like any other.
    pair.run(pair.simulator.now + 31_000)
    sendRaw(
      pair.simulator,
      home,
      pair.server.addresses[0]!,
      forge(pair.connection, frames(writePing), pair.simulator.now)
    )
    pair.run(pair.simulator.now + 1)
    assert.isFalse(path.validated)
  })
})

describe("RFC 9000 9.5: connection IDs when an address changes", () => {
  it("E2, 9.3.2: under the same ID: the old one until the new address is proven, then a fresh one, and the old given back", () => {
    const { pair, nat } = behindNat({ client: { settings: { keepAlive: 50 } } })
    const path = pair.accepted.core.paths.primary
    const log = new FrameLog(pair.accepted)
    const sent = capture(pair.server)
    const before = path.remoteIds.active!
    nat.rebind()
    pair.until(() => migrations(pair).length > 0, pair.simulator.now + 500, 0.1)
    assert.isFalse(path.validated)
    assert.strictEqual(path.remoteIds.active, before)
    assert.deepStrictEqual(log.of("retireConnectionId"), [])
    pair.until(() => path.validated, pair.simulator.now + 500, 0.1)
    const after = path.remoteIds.active!
    assert.notStrictEqual(after, before)
    pair.run(pair.simulator.now + 300)
    assert.deepStrictEqual(
      log.of("retireConnectionId").map(({ value }) => value),
      [before.sequence]
    )
    // The first datagram to the new address holds nothing that a strict peer would refuse.
    const there = sent.filter(({ to }) => to === path.remote)
    assert.strictEqual(idOf(there[0]!.bytes), Buffer.from(before.bytes).toString("hex"))
    assert.strictEqual(idOf(there[there.length - 1]!.bytes), Buffer.from(after.bytes).toString("hex"))
  })

  it("E2, 9.3.1: spoofed addresses, however many, burn no connection ID", () => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    const { remoteIds } = pair.accepted.core.paths.primary
    const { active, available } = remoteIds
    const log = new FrameLog(pair.accepted)
    for (let i = 0; i < 20; i++) {
      const other = pair.simulator.addresses.intern(OUTSIDER, 100 + i)
      sendRaw(
        pair.simulator,
        other,
        pair.server.addresses[0]!,
        forge(pair.connection, frames(writePing), pair.simulator.now)
      )
      pair.run(pair.simulator.now + 37)
    }
    pair.run(pair.simulator.now + 5000)
    assert.isAbove(migrations(pair).length, 19)
    assert.strictEqual(remoteIds.active, active)
    assert.strictEqual(remoteIds.available, available)
    assert.deepStrictEqual(log.of("retireConnectionId"), [])
    assert.strictEqual(pair.accepted.paths[0]!.remote, pair.client.addresses[0])
  })

  /** A client that moves on purpose: another address, and another ID of the server on its packets. */
  const move = (pair: Pair, nat: Nat): void => {
    nat.rebind("203.0.113.77")
    pair.connection.core.paths.rotateRemoteId(pair.connection.core.paths.primary)
    pair.connection.core.pingPending = true
    pair.connection.wake()
  }

  it("E2, 9.5: a peer that moves on purpose is followed under a fresh ID; no ID is ever seen at two addresses", () => {
    for (const dead of [false, true]) {
      const { pair, nat } = behindNat()
      const sent = capture(pair.server)
      const home = pair.accepted.paths[0]!.remote
      exchange(pair, 20_000, 1000, "before")
      pair.run(pair.simulator.now + 200)
      const before = pair.accepted.paths[0]!.remoteIds.active!
      move(pair, nat)
      const down = send(pair.accepted, pair.connection, MB)
      if (dead) pair.server.tap = (_bytes, _from, to) => to === home
      const watch = capture(pair.server)
      pair.run(pair.simulator.now + 5000)
      assert.isAbove(migrations(pair).length, 0)
      const places = new Map<string, Set<string>>()
      for (const { bytes, to } of [...sent, ...watch]) {
        if (bytes[0]! >= 0x80) continue
        places.set(idOf(bytes), (places.get(idOf(bytes)) ?? new Set()).add(to.key))
      }
      for (const [id, to] of places) assert.strictEqual(to.size, 1, `${id} went to ${[...to].join(" and ")}`)
      assert.isAbove(places.size, 1)
      // 9.3.3: the address before is asked, under its own ID.
      assert.isTrue(
        watch.some(({ bytes, to }) => to === home && idOf(bytes) === Buffer.from(before.bytes).toString("hex"))
      )
      if (!dead) intact(down, MB, "moved")
    }
  })
})

describe("RFC 9000 8.2.4: when validation has failed", () => {
  it("C8: a new address that does not answer is given up after three probe timeouts of the initial RTT", () => {
    const { pair } = behindNat()
    const home = pair.accepted.paths[0]!.remote
    const other = pair.simulator.addresses.intern(OUTSIDER, 9)
    pair.client.tap = () => false
    sendRaw(
      pair.simulator,
      other,
      pair.server.addresses[0]!,
      forge(pair.connection, frames(writePing), pair.simulator.now)
    )
    pair.until(() => migrations(pair).length > 0, pair.simulator.now + 100)
    const start = pair.simulator.now
    pair.until(() => pair.accepted.paths[0]!.remote === home, start + 20_000)
    const limit = 3 * (3 * 333 + 25)
    assert.isAtLeast(pair.simulator.now - start, limit - 10)
    assert.isAtMost(pair.simulator.now - start, limit + 10)
  })

  it("C8: of the RTT that is known, where that is larger", () => {
    const slow = { mbps: 40, delay: 600, queue: 100 }
    const pair = established({ links: [slow] })
    exchange(pair, 20_000, 20_000, "before")
    const path = pair.accepted.core.paths.primary
    const pto = pair.accepted.core.pto(path)
    assert.isAbove(pto, 1200)
    pair.client.tap = () => false
    const other = pair.simulator.addresses.intern(OUTSIDER, 9)
    const home = path.remote
    sendRaw(
      pair.simulator,
      other,
      pair.server.addresses[0]!,
      forge(pair.connection, frames(writePing), pair.simulator.now)
    )
    pair.until(() => path.remote === other, pair.simulator.now + 100)
    const start = pair.simulator.now
    pair.until(() => path.remote === home, start + 30_000, 5)
    assert.isAtLeast(pair.simulator.now - start, 3 * pto - 50)
    assert.isAtMost(pair.simulator.now - start, 3 * pto + 50)
  })
})

describe("RFC 9000 10.3: a client that only receives hears of a restart", () => {
  it("E3: its packets are long enough, now and then, for a peer that answers none below 44 bytes", () => {
    const resetKey = new Uint8Array(32).fill(4)
    for (const seed of seeds(4)) {
      const pair = established({ seed, server: { resetKey } })
      const down = send(pair.accepted, pair.connection, 4 * MB)
      pair.run(pair.simulator.now + 150 + 13 * seed)
      assert.isFalse(down.finished)
      pair.server.vanish()
      const { host, port } = pair.server.addresses[0]!
      const again = new Node(pair.simulator, [host], port, true, { resetKey })
      pair.client.tap = (bytes) => bytes.length >= 44
      pair.run(pair.simulator.now + 1000)
      assert.deepStrictEqual(ending(pair.client), { kind: "statelessReset" }, `seed ${seed}`)
      assert.isAbove(again.endpoint.stats().statelessResetsSent, 0)
    }
  })

  it("E3: so is the one acknowledgement that it sends for the last thing it heard", () => {
    const resetKey = new Uint8Array(32).fill(4)
    const pair = established({ server: { resetKey } })
    pair.run(pair.simulator.now + 500)
    const stream = pair.accepted.streams.open(false)!
    stream.write(new Uint8Array(500))
    pair.accepted.wake()
    pair.run(pair.simulator.now + 1)
    pair.server.vanish()
    const { host, port } = pair.server.addresses[0]!
    const again = new Node(pair.simulator, [host], port, true, { resetKey })
    pair.client.tap = (bytes) => bytes.length >= 44
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(again.endpoint.stats().statelessResetsSent, 1)
    assert.deepStrictEqual(ending(pair.client), { kind: "statelessReset" })
  })

  it("E3: what asks for an answer has at least 44 bytes; of what only acknowledges, few packets are longer than they need", () => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    const sent = capture(pair.client)
    const eliciting = new Set<number>()
    const sizes = (connection: Connection): void => {
      const { recovery } = connection.core.paths.primary
      const note = recovery.onPacketSent.bind(recovery)
      recovery.onPacketSent = (space, packetNumber, now, bytes, ackEliciting, inFlight, ecn, list) => {
        if (ackEliciting) assert.isAtLeast(bytes, 44)
        else eliciting.add(packetNumber)
        note(space, packetNumber, now, bytes, ackEliciting, inFlight, ecn, list)
      }
    }
    sizes(pair.connection)
    sizes(pair.accepted)
    const down = send(pair.accepted, pair.connection, 2 * MB)
    pair.until(() => down.finished, pair.simulator.now + 5000)
    const long = sent.filter(({ bytes }) => bytes.length === 44).length
    assert.isAbove(long, 5)
    assert.isBelow(long, sent.length / 4)
    assert.isAbove(eliciting.size, 50)
  })
})
