/** A path whose address changes while others live on (draft-21 section 3.1; RFC 9000 section 9). */
import { assert, describe, it } from "@effect/vitest"
import { writePathChallenge, writePing } from "../../src/internal/wire/FrameWriter.ts"
import type { Nat } from "../../src/testing/internal/SimulatorCore.ts"
import { forge, frames, sendRaw } from "../support/Hostile.ts"
import { Drain, Pair, pump } from "../support/Machines.ts"
import {
  awaitPath,
  closePath,
  eventsOf,
  FrameLog,
  openPath,
  pairOptions,
  transfer,
  withPaths
} from "../support/Multipath.ts"
import type { MultipathOptions } from "../support/Multipath.ts"
import { establish, exchange, intact, seeds, send } from "../support/Scenario.ts"

const MB = 1_000_000

/** Two paths, each of the client's addresses behind a translator of its own. */
const behindNats = (options: MultipathOptions = {}): { readonly pair: Pair; readonly nats: ReadonlyArray<Nat> } => {
  const pair = new Pair(pairOptions(options))
  const nats = pair.client.addresses.map((address, i) =>
    pair.simulator.nat({ outside: `203.0.113.${i + 1}`, inside: [address.host] })
  )
  assert.isAbove(establish(pair), 0)
  for (let link = 1; link < pair.links.length; link++) awaitPath(pair, openPath(pair, link))
  pair.run(pair.simulator.now + 300)
  return { pair, nats }
}

describe("VAL-6: a NAT forgets one path of two", () => {
  for (const moved of [0, 1]) {
    const other = 1 - moved

    it(`SCN-22: path ${moved} moves, is validated, and keeps its ID; path ${other} notices nothing`, () => {
      const { pair, nats } = behindNats()
      const incoming = send(pair.accepted, pair.connection, 8 * MB)
      pair.run(pair.simulator.now + 700)
      const path = pair.accepted.path(moved)!
      const before = { remote: path.remote, window: path.congestionWindow, id: path.remoteIds.active!.sequence }
      const still = pair.accepted.path(other)!
      const stillBefore = { remote: still.remote, id: still.remoteIds.active!.sequence, pto: still.ptoCount }
      const log = new FrameLog(pair.accepted)
      nats[moved]!.rebind()
      const time = pair.simulator.now
      const done = pair.until(() => eventsOf(pair.server, "validated", moved).length > moved, time + 2000)
      assert.isAtLeast(done, 0)
      assert.isAtMost(done - time, 400)
      assert.deepStrictEqual(
        eventsOf(pair.server, "migrated").map(({ pathId }) => pathId),
        [moved]
      )
      assert.notStrictEqual(path.remote, before.remote)
      assert.strictEqual(path.remote.host, before.remote.host)
      // RFC 9000 section 9.4: only the port has changed.
      assert.isAtLeast(path.congestionWindow, before.window / 3)
      // CID-12: to a fresh ID of the same path, and the old one is given back.
      assert.isAbove(path.remoteIds.active!.sequence, before.id)
      pair.run(pair.simulator.now + 100)
      assert.deepStrictEqual(
        log.of("retireConnectionId").map(({ pathId, value }) => [pathId, value]),
        [[moved, before.id]]
      )
      assert.deepStrictEqual(
        { remote: still.remote, id: still.remoteIds.active!.sequence, pto: still.ptoCount },
        stillBefore
      )
      pair.until(() => incoming.finished, pair.simulator.now + 10_000)
      intact(incoming, 8 * MB, "in the end")
      assert.strictEqual(eventsOf(pair.client, "migrated").length, 0)
    })
  }

  it("VAL-7: another host behind one path starts that path's window and RTT anew, and no other's", () => {
    const { pair, nats } = behindNats()
    exchange(pair, 2 * MB, 10_000, "before")
    const windows = pair.accepted.paths.map(({ congestionWindow }) => congestionWindow)
    nats[1]!.rebind("198.51.100.7")
    pair.connection.probePath(1, pair.simulator.now)
    pair.connection.wake()
    pair.until(() => eventsOf(pair.server, "validated", 1).length === 2, pair.simulator.now + 2000)
    assert.strictEqual(pair.accepted.path(1)!.remote.host, "198.51.100.7")
    assert.isAtMost(pair.accepted.path(1)!.congestionWindow, 14_720)
    assert.isAbove(windows[1]!, 20_000)
    assert.isAtLeast(pair.accepted.path(0)!.congestionWindow, windows[0]!)
    exchange(pair, MB, 10_000, "after")
  })

  it("both at once, again and again, with loss: nothing is lost (CID-12, CID-13)", () => {
    for (const seed of seeds(3)) {
      const lossy = { mbps: 20, delay: 15, queue: 100, loss: 0.02 }
      const { pair, nats } = behindNats({ seed, links: [lossy, lossy], settings: { keepAlive: 100 } })
      const down = send(pair.accepted, pair.connection, 3 * MB)
      const up = send(pair.connection, pair.accepted, 3 * MB)
      let next = pair.simulator.now + 300
      const done = pair.until(() => {
        if (pair.simulator.now >= next) {
          next += 600
          for (const nat of nats) nat.rebind()
        }
        return down.finished && up.finished
      }, 60_000)
      assert.isAtLeast(done, 0, `seed ${seed}`)
      intact(down, 3 * MB, `seed ${seed}`)
      intact(up, 3 * MB, `seed ${seed}`)
      assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0)
      assert.isAbove(eventsOf(pair.server, "migrated").length, 3)
    }
  })

  it("RFC 9000 4.1: a sender that waits for credit is heard from, so that the credit finds the way", () => {
    const { pair, nats } = behindNats({ settings: { maxStreamWindow: 512 * 1024, maxConnectionWindow: 512 * 1024 } })
    const stream = pair.connection.streams.open(false)!
    pump(pair.connection, stream, MB)
    pair.run(pair.simulator.now + 2000)
    assert.isAbove(pair.connection.streams.queuedBytes, 0)
    for (const nat of nats) nat.rebind()
    // Only now the application reads: MAX_DATA and MAX_STREAM_DATA go to where nobody is any more.
    const drain = new Drain(pair.accepted, pair.accepted.streams.accept(false)!)
    const done = pair.until(() => drain.finished, pair.simulator.now + 5000)
    assert.isAtLeast(done, 0)
    assert.strictEqual(drain.wrong, -1)
  })

  it("a rebinding that the path does not survive leaves the transfer to the other path", () => {
    const { pair, nats } = behindNats()
    const incoming = send(pair.accepted, pair.connection, 4 * MB)
    pair.run(pair.simulator.now + 400)
    nats[0]!.rebind()
    pair.run(pair.simulator.now + 50)
    pair.links[0]!.cut()
    const done = pair.until(() => incoming.finished, pair.simulator.now + 10_000)
    assert.isAtLeast(done, 0)
    intact(incoming, 4 * MB, "over path 1")
    // RFC 9000 section 9.3.2: what cannot be validated is not kept, nor is a path that leads nowhere used.
    pair.run(pair.simulator.now + 30_000)
    assert.strictEqual(pair.client.closes.length, 0)
    transfer(pair, { bytes: MB })
  })
})

const outsider = (pair: Pair) => pair.simulator.addresses.intern("192.0.2.66", 666)

describe("RFC 9000 9.3: those who pretend", () => {
  it("9.3.3: a packet forwarded from elsewhere moves the path for a moment; the owner, challenged, takes it back", () => {
    const pair = withPaths()
    exchange(pair, 100_000, 5000, "before")
    const owner = pair.accepted.path(1)!.remote
    const bytes = forge(pair.connection, frames(writePing), pair.simulator.now, { pathId: 1 })
    sendRaw(pair.simulator, outsider(pair), pair.server.addresses[0]!, bytes)
    pair.until(() => eventsOf(pair.server, "migrated").length > 0, pair.simulator.now + 100)
    assert.strictEqual(pair.accepted.path(1)!.remote, outsider(pair))
    assert.isFalse(pair.accepted.path(1)!.validated)
    pair.run(pair.simulator.now + 200)
    assert.strictEqual(pair.accepted.path(1)!.remote, owner)
    pair.run(pair.simulator.now + 200)
    assert.isTrue(pair.accepted.path(1)!.validated)
    assert.strictEqual(eventsOf(pair.server, "migrated", 0).length, 0)
    exchange(pair, 100_000, 5000, "after")
  })

  it("9.3.2: an address that does not answer is given up, and the path goes back", () => {
    const pair = withPaths()
    const owner = pair.accepted.path(1)!.remote
    // The owner says nothing: its link is dead for a while.
    pair.links[1]!.cut()
    const bytes = forge(pair.connection, frames(writePing), pair.simulator.now, { pathId: 1 })
    sendRaw(pair.simulator, outsider(pair), pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 20_000)
    assert.strictEqual(pair.accepted.path(1)!.remote, owner)
    assert.isTrue(pair.accepted.path(1)!.validated)
    pair.links[1]!.restore()
    exchange(pair, 100_000, 5000, "after")
  })

  it("8.2.2: a challenge from elsewhere is answered there with at most three times its bytes, and moves nothing", () => {
    const pair = withPaths()
    pair.run(pair.simulator.now + 200)
    const owner = pair.accepted.path(1)!.remote
    let answered = 0
    pair.server.tap = (datagram, _from, to) => {
      if (to === outsider(pair)) answered += datagram.length
      return true
    }
    const challenge = frames((w) => writePathChallenge(w, new Uint8Array(8).fill(1)))
    const bytes = forge(pair.connection, challenge, pair.simulator.now, { pathId: 1 })
    assert.isBelow(bytes.length, 100)
    sendRaw(pair.simulator, outsider(pair), pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 200)
    assert.isAbove(answered, 0)
    assert.isAtMost(answered, 3 * bytes.length)
    assert.strictEqual(pair.accepted.path(1)!.remote, owner)
    assert.isTrue(pair.accepted.path(1)!.validated)
  })

  it("a flood of challenges is answered up to a bound", () => {
    const pair = withPaths()
    pair.run(pair.simulator.now + 200)
    const many = frames((w) => {
      for (let i = 0; i < 100; i++) writePathChallenge(w, new Uint8Array(8).fill(i))
    })
    let sent = 0
    pair.server.tap = () => {
      sent++
      return true
    }
    sendRaw(
      pair.simulator,
      pair.client.addresses[1]!,
      pair.server.addresses[0]!,
      forge(pair.connection, many, pair.simulator.now, { pathId: 1 })
    )
    pair.run(pair.simulator.now + 200)
    assert.isAtMost(sent, 12)
  })
})

describe("a path that moves and ends", () => {
  it("closed while its new address is validated", () => {
    const { pair, nats } = behindNats()
    nats[1]!.rebind()
    pair.connection.probePath(1, pair.simulator.now)
    pair.connection.wake()
    pair.run(pair.simulator.now + 20)
    assert.isTrue(closePath(pair, pair.accepted, 1))
    pair.run(pair.simulator.now + 10_000)
    assert.strictEqual(eventsOf(pair.client, "closed", 1).length, 1)
    assert.strictEqual(eventsOf(pair.server, "closed", 1).length, 1)
    exchange(pair, 100_000, 5000, "after")
  })
})
