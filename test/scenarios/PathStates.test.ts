/** The state of a path as the application says it: away from a path that still answers, and back. */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { Address } from "../../src/internal/wire/Datagram.ts"
import { writePing } from "../../src/internal/wire/FrameWriter.ts"
import { frames, inject } from "../support/Hostile.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, connected, eventsOf, openPath, withPaths } from "../support/Multipath.ts"
import { exchange, intact, seeds, send } from "../support/Scenario.ts"

/** Of the links: 15 ms one way. */
const RTT = 30

const settled = (): Pair => {
  const pair = withPaths()
  exchange(pair, 300_000, 5000, "before")
  pair.run(pair.simulator.now + 500)
  return pair
}

const say = (pair: Pair, pathId: number, state: "active" | "potentiallyFailed", side: Connection = pair.connection) => {
  assert.isTrue(side.setPathState(pathId, state, pair.simulator.now))
  side.wake()
}

const streamBytes = (connection: Connection, pathId: number): number => connection.path(pathId)!.streamBytesSent

describe("setPathState", () => {
  it("a path in use: its data moves at once, the peer's when it hears of it; nothing is lost, and it stays away", () => {
    const pair = settled()
    const { accepted, connection, simulator } = pair
    const up = send(connection, accepted, 4_000_000)
    const down = send(accepted, connection, 4_000_000)
    pair.run(simulator.now + 300)
    say(pair, 0, "potentiallyFailed")
    assert.strictEqual(connection.path(0)!.state, "potentiallyFailed")
    const own = streamBytes(connection, 0)
    const moved = streamBytes(connection, 1)
    pair.run(simulator.now + 2 * RTT)
    assert.strictEqual(streamBytes(connection, 0), own)
    assert.isAbove(streamBytes(connection, 1), moved)
    // The word waits in the queue of the other link, as data does: at most 100 packets of it.
    const told = pair.until(() => accepted.path(0)!.remoteStatus === "backup", simulator.now + RTT + 60)
    assert.isAtLeast(told, 0)
    const peers = streamBytes(accepted, 0)
    pair.until(() => up.finished && down.finished, simulator.now + 10_000)
    intact(up, 4_000_000, "up")
    intact(down, 4_000_000, "down")
    // It answers all the while, which changes nothing.
    pair.run(simulator.now + 5000)
    assert.strictEqual(connection.path(0)!.ptoCount, 0)
    assert.strictEqual(connection.path(0)!.state, "potentiallyFailed")
    assert.strictEqual(streamBytes(connection, 0), own)
    assert.strictEqual(streamBytes(accepted, 0), peers)
    assert.strictEqual(eventsOf(pair.client, "potentiallyFailed", 0).length, 1)
    assert.strictEqual(eventsOf(pair.client, "recovered").length, 0)
  })

  it("taken back: the path is asked, is back one round trip later, and carries data both ways", () => {
    const pair = settled()
    const { accepted, connection, simulator } = pair
    say(pair, 0, "potentiallyFailed")
    exchange(pair, 300_000, 5000, "away")
    pair.run(simulator.now + 5000)
    const before = [streamBytes(connection, 0), streamBytes(accepted, 0)]
    say(pair, 0, "active")
    assert.strictEqual(connection.path(0)!.state, "potentiallyFailed")
    const back = pair.until(() => connection.path(0)!.state === "active", simulator.now + 1000)
    assert.isAtLeast(back, 0)
    assert.isBelow(back, simulator.now + RTT + 30)
    exchange(pair, 1_000_000, 5000, "back")
    assert.strictEqual(accepted.path(0)!.remoteStatus, "available")
    assert.isAbove(streamBytes(connection, 0), before[0]!)
    assert.isAbove(streamBytes(accepted, 0), before[1]!)
    assert.strictEqual(eventsOf(pair.client, "recovered", 0).length, 1)
    // Once more: nothing happens.
    const events = pair.client.events.length
    say(pair, 0, "active")
    pair.run(simulator.now + 1000)
    assert.strictEqual(pair.client.events.length, events)
  })

  it("taken back while the path is dead: it is asked until it answers", () => {
    const pair = settled()
    const { connection, simulator } = pair
    say(pair, 0, "potentiallyFailed")
    pair.run(simulator.now + 1000)
    pair.links[0]!.cut()
    say(pair, 0, "active")
    exchange(pair, 300_000, 5000, "while it is dead")
    pair.run(simulator.now + 3000)
    assert.strictEqual(connection.path(0)!.state, "potentiallyFailed")
    assert.isAbove(connection.path(0)!.ptoCount, 0)
    pair.links[0]!.restore()
    assert.isAtLeast(
      pair.until(() => connection.path(0)!.state === "active", simulator.now + 3000),
      0
    )
  })

  it("the last paths: data goes on, over one path or several", () => {
    const alone = connected()
    say(alone, 0, "potentiallyFailed")
    exchange(alone, 300_000, 5000, "the only path")
    const pair = settled()
    say(pair, 0, "potentiallyFailed")
    say(pair, 1, "potentiallyFailed")
    say(pair, 1, "potentiallyFailed", pair.accepted)
    exchange(pair, 1_000_000, 5000, "both")
    assert.deepStrictEqual(
      pair.connection.paths.map(({ state }) => state),
      ["potentiallyFailed", "potentiallyFailed"]
    )
    // The only one that is left is good enough, too.
    pair.links[1]!.cut()
    exchange(pair, 300_000, 10_000, "one of them")
  })

  it("a path that is cut carries nothing for those that the application left", () => {
    const pair = settled()
    say(pair, 0, "potentiallyFailed")
    pair.run(pair.simulator.now + 100)
    pair.links[1]!.cut()
    exchange(pair, 300_000, 5000, "on what is left")
    pair.links[1]!.restore()
    pair.run(pair.simulator.now + 4000)
    const own = streamBytes(pair.connection, 0)
    exchange(pair, 300_000, 5000, "on the other again")
    assert.strictEqual(pair.connection.path(1)!.state, "active")
    assert.strictEqual(streamBytes(pair.connection, 0), own)
  })

  it("a path that is not validated yet is suspected as soon as it is", () => {
    const pair = connected()
    pair.run(pair.simulator.now + 500)
    const id = openPath(pair, 1)
    say(pair, id, "potentiallyFailed")
    assert.strictEqual(pair.connection.path(id)!.state, "validating")
    pair.until(() => pair.connection.path(id)!.validated, pair.simulator.now + 1000)
    assert.strictEqual(pair.connection.path(id)!.state, "potentiallyFailed")
    exchange(pair, 300_000, 5000, "on the other")
    assert.strictEqual(streamBytes(pair.connection, id), 0)
    say(pair, id, "active")
    awaitPath(pair, id)
    exchange(pair, 1_000_000, 5000, "on both")
    assert.isAbove(streamBytes(pair.connection, id), 0)
  })

  it("said of a path whose peer seems to have moved: it holds at once, and when the peer was there all the time", () => {
    const pair = settled()
    const { accepted, connection, simulator } = pair
    const elsewhere = new Address("10.0.0.77", 6000, 4)
    inject(
      simulator,
      connection,
      frames((w) => writePing(w)),
      { from: elsewhere }
    )
    assert.isAtLeast(
      pair.until(() => !accepted.path(0)!.validated, simulator.now + RTT),
      0
    )
    say(pair, 0, "potentiallyFailed", accepted)
    assert.strictEqual(accepted.path(0)!.state, "potentiallyFailed")
    pair.run(simulator.now + 1000)
    assert.isTrue(accepted.path(0)!.validated)
    assert.strictEqual(accepted.path(0)!.remote.host, connection.path(0)!.local.host)
    assert.strictEqual(accepted.path(0)!.state, "potentiallyFailed")
    assert.strictEqual(connection.path(0)!.remoteStatus, "backup")
    say(pair, 0, "active", accepted)
    pair.run(simulator.now + 1000)
    assert.strictEqual(accepted.path(0)!.state, "active")
    assert.strictEqual(connection.path(0)!.remoteStatus, "available")
  })

  it("a path that is closed or unknown", () => {
    const pair = settled()
    pair.connection.closePath(1, 0, pair.simulator.now)
    for (const id of [1, 77]) assert.isFalse(pair.connection.setPathState(id, "active", pair.simulator.now))
  })

  for (const seed of seeds(8)) {
    it(`said at random of random paths, on both sides: nothing is lost, seed ${seed}`, () => {
      const pair = withPaths({ seed, links: [...Array(3)].map((_, i) => ({ mbps: 10, delay: 5 + 10 * i, queue: 50 })) })
      const { accepted, connection, simulator } = pair
      const random = simulator.random
      const up = send(connection, accepted, 1_500_000)
      const down = send(accepted, connection, 1_500_000)
      const until = simulator.now + 20_000
      while (!(up.finished && down.finished) && simulator.now < until) {
        const side = random.int(2) === 0 ? connection : accepted
        say(pair, random.int(3), random.int(2) === 0 ? "active" : "potentiallyFailed", side)
        pair.run(simulator.now + 20 + random.int(100))
      }
      intact(up, 1_500_000, `up, seed ${seed}`)
      intact(down, 1_500_000, `down, seed ${seed}`)
      for (const side of [connection, accepted]) for (let id = 0; id < 3; id++) say(pair, id, "active", side)
      pair.run(simulator.now + 2000)
      for (const side of [connection, accepted])
        assert.deepStrictEqual(
          side.paths.map((path) => `${path.state} ${path.remoteStatus ?? "available"}`),
          Array(3).fill("active available")
        )
    })
  }
})
