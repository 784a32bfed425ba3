/** A client whose local addresses come and go, and that moves its paths (RFC 9000 section 9). */
import { assert, describe, it } from "@effect/vitest"
import type { PairOptions } from "../support/Machines.ts"
import { Pair } from "../support/Machines.ts"
import { established, exchange, intact, send } from "../support/Scenario.ts"

const MB = 1_000_000
const TWO_LINKS = [
  { mbps: 20, delay: 10, queue: 100 },
  { mbps: 20, delay: 25, queue: 100 }
]

const ready = (options: PairOptions = {}): Pair => {
  const pair = established({ links: TWO_LINKS, ...options })
  pair.run(pair.simulator.now + 300)
  return pair
}

/** The other address of the client. */
const other = (pair: Pair) => pair.client.addresses[1]!

const move = (pair: Pair, gone = true, local = other(pair)) => {
  const refusal = pair.connection.migratePath(0, local, gone, pair.simulator.now)
  pair.connection.wake()
  return refusal
}

const kinds = (pair: Pair): ReadonlyArray<string> => pair.client.events.map(({ kind }) => kind)

describe("F4: the only address of a client changes", () => {
  for (const direction of ["down", "up"] as const) {
    for (const maxPaths of [0, 3]) {
      it(`${direction}load, ${maxPaths === 0 ? "without" : "with"} multipath: the path goes on from another address`, () => {
        const settings = { maxPaths }
        const pair = ready({ client: { settings }, server: { settings } })
        const [from, to] = direction === "down" ? [pair.accepted, pair.connection] : [pair.connection, pair.accepted]
        const transfer = send(from, to, 5 * MB)
        pair.run(pair.simulator.now + 500)
        pair.links[0]!.cut()
        pair.connection.localAddressLost(0)
        const before = transfer.drain!.received
        const at = pair.simulator.now
        assert.isUndefined(move(pair))
        pair.until(() => transfer.drain!.received > before + 20_000, at + 5000)
        // One round trip on the new way, and what the server has to send again.
        assert.isBelow(pair.simulator.now - at, 200)
        assert.deepStrictEqual(kinds(pair).slice(0, 2), ["potentiallyFailed", "migrated"])
        assert.include(kinds(pair), "recovered")
        pair.until(() => transfer.finished, at + 20_000, 5)
        intact(transfer, 5 * MB, direction)
        assert.strictEqual(pair.connection.paths[0]!.local, other(pair))
        assert.strictEqual(pair.accepted.paths[0]!.remote, other(pair))
        assert.isTrue(pair.accepted.paths[0]!.validated)
        assert.lengthOf(pair.client.closes, 0)
      })
    }
  }

  it("says so at once, on the only path too, and again only when the path has recovered", () => {
    const pair = ready()
    pair.connection.localAddressLost(0)
    pair.connection.localAddressLost(0)
    pair.connection.wake()
    pair.run(pair.simulator.now + 1)
    assert.deepStrictEqual(kinds(pair), ["potentiallyFailed"])
    pair.connection.localAddressBack(0)
    pair.connection.wake()
    pair.run(pair.simulator.now + 100)
    assert.deepStrictEqual(kinds(pair), ["potentiallyFailed", "recovered"])
  })

  it("idle connections move too: a challenge alone would move nobody (section 9.2)", () => {
    const pair = ready()
    pair.links[0]!.cut()
    assert.isUndefined(move(pair))
    pair.run(pair.simulator.now + 300)
    assert.strictEqual(pair.accepted.paths[0]!.remote, other(pair))
    exchange(pair, 100_000, 5000, "after")
  })

  it("uses another connection ID and retires the old one (sections 9.5, 5.1.2)", () => {
    const pair = ready()
    const before = Buffer.from(pair.connection.paths[0]!.remoteIds.active!.bytes).toString("hex")
    const answers = Buffer.from(pair.accepted.paths[0]!.remoteIds.active!.bytes).toString("hex")
    move(pair)
    pair.run(pair.simulator.now + 500)
    assert.notStrictEqual(Buffer.from(pair.connection.paths[0]!.remoteIds.active!.bytes).toString("hex"), before)
    assert.notStrictEqual(Buffer.from(pair.accepted.paths[0]!.remoteIds.active!.bytes).toString("hex"), answers)
  })

  it("moves as often as it must", () => {
    const pair = ready()
    for (let round = 0; round < 12; round++) {
      const local = pair.client.addresses[(round + 1) % 2]!
      assert.isUndefined(move(pair, true, local), `round ${round}`)
      exchange(pair, 50_000, 5000, `round ${round}`)
      assert.strictEqual(pair.accepted.paths[0]!.remote, local, `round ${round}`)
      pair.run(pair.simulator.now + 1000)
    }
  })
})

describe("path.migrate", () => {
  it("section 9.4: window and RTT start anew at another host, and stay at another port", () => {
    const moved = (host: string) => {
      const pair = ready()
      exchange(pair, 3 * MB, 10_000, "before")
      assert.isAbove(pair.connection.paths[0]!.congestionWindow, 40_000)
      assert.isUndefined(move(pair, false, pair.simulator.addresses.intern(host, host === "10.0.0.1" ? 5999 : 5000)))
      return pair
    }
    assert.isAbove(moved("10.0.0.1").connection.paths[0]!.congestionWindow, 40_000)
    const pair = moved("10.0.1.1")
    const path = pair.connection.paths[0]!
    assert.isBelow(path.congestionWindow, 20_000)
    assert.strictEqual(path.mtu, 1200)
    exchange(pair, MB, 10_000, "after")
    pair.run(pair.simulator.now + 1000)
    assert.isAbove(path.mtu, 1400)
  })

  it("section 9.3.2: returns to the old address when the new one leads nowhere", () => {
    const pair = ready()
    const old = pair.connection.paths[0]!.local
    pair.links[1]!.cut()
    assert.isUndefined(move(pair, false))
    pair.until(() => pair.connection.paths[0]!.local === old, pair.simulator.now + 20_000, 10)
    assert.strictEqual(pair.connection.paths[0]!.local, old)
    exchange(pair, 100_000, 10_000, "after")
  })

  it("is refused where the protocol forbids it", () => {
    const parameters: NonNullable<PairOptions["server"]>["parameters"] = (given) => ({
      ...given,
      disableActiveMigration: true
    })
    const forbidden = ready({ server: { parameters } })
    assert.strictEqual(move(forbidden), "migrationDisabled")

    const pair = new Pair({ links: TWO_LINKS })
    assert.strictEqual(move(pair), "notConfirmed")
    const done = ready()
    assert.strictEqual(done.accepted.migratePath(0, other(done), true, done.simulator.now), "server")
    assert.strictEqual(done.connection.migratePath(7, other(done), true, done.simulator.now), "closed")
    // Nothing to do is no failure.
    assert.isUndefined(move(done, false, done.connection.paths[0]!.local))
    assert.deepStrictEqual(kinds(done), [])
    done.connection.close(0, "", done.simulator.now)
    assert.strictEqual(move(done), "closed")
  })

  it("is refused for the addresses of another path", () => {
    const settings = { maxPaths: 3 }
    const pair = ready({ client: { settings }, server: { settings } })
    assert.strictEqual(pair.connection.openPath({ local: other(pair) }, pair.simulator.now), 1)
    pair.run(pair.simulator.now + 300)
    assert.strictEqual(move(pair), "duplicate")
  })
})

describe("F9: addresses of two paths", () => {
  it("a lost one hands over at once, a returning one is asked at once", () => {
    const settings = { maxPaths: 3 }
    const pair = ready({ client: { settings }, server: { settings } })
    pair.connection.openPath({ local: other(pair) }, pair.simulator.now)
    pair.run(pair.simulator.now + 300)
    const up = send(pair.connection, pair.accepted, 20 * MB)
    pair.run(pair.simulator.now + 500)
    const stall = (action: () => void): number => {
      const before = up.drain!.received
      const at = pair.simulator.now
      action()
      pair.connection.wake()
      pair.until(() => up.drain!.received > before + 30_000, at + 5000)
      return pair.simulator.now - at
    }
    assert.isBelow(
      stall(() => {
        pair.links[0]!.cut()
        pair.connection.localAddressLost(0)
      }),
      100
    )
    pair.run(pair.simulator.now + 3000)
    assert.isBelow(
      stall(() => {
        pair.links[0]!.restore()
        pair.links[1]!.cut()
        pair.connection.localAddressLost(1)
        pair.connection.localAddressBack(0)
      }),
      150
    )
    pair.until(() => up.finished, pair.simulator.now + 30_000, 10)
    intact(up, 20 * MB, "hand-over")
  })
})
