/**
 * What goes wrong in mp-quic-go with duplication and reinjection, and does not here: section 2.G of the study of its code.
 *
 * | there | tests, where they are not below |
 * | --- | --- |
 * | a duplicate carries the number of one path on another: real packets are dropped as duplicates, and acknowledged | also Copies, Statistics 2.G |
 * | the acknowledgement of a duplicate is a PROTOCOL_VIOLATION | also Copies, "at random" |
 * | a duplicate counts for the failure detector as a send that nobody ever answers | |
 * | a socket that is full after an original and its duplicates ends the process | |
 * | a reinjected frame is repaired a second time, which ends the process or reuses its memory | |
 * | the chosen target gets control frames, and stream data goes wherever the scheduler says | Copies, "really leaves there" |
 * | what waits is known by number alone: an acknowledgement on another path cancels it | |
 * | maxReinjections never binds, nothing is ever forgotten | Copies, "bind", "at random" |
 * | the delay has no timer: it is looked at when something else is sent | Copies, "onDelay" |
 */
import { assert, describe, it } from "@effect/vitest"
import type { Policy as Duplication } from "../../src/internal/paths/DuplicationPolicy.ts"
import type { Policy as Reinjection } from "../../src/internal/paths/ReinjectionPolicy.ts"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { pattern, roundRobin } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { equalLinks, eventsOf, transfer, unequalLinks, withPaths } from "../support/Multipath.ts"
import { exchange, intact, send } from "../support/Scenario.ts"
import { Sealed } from "../support/Sealed.ts"

const everything: Duplication = { name: "all", stream: () => true, budget: 8 }
const always: Reinjection = { name: "always" }

/** How often each kB of a stream was sealed, by path. */
const timesSealed = (sealed: Sealed, streamId: number): ReadonlyArray<ReadonlyMap<number, number>> => {
  const times: Array<Map<number, number>> = []
  for (const { frames, pathId } of sealed.packets) {
    for (const { length, offset, streamId: id, type } of frames) {
      if (type !== FrameType.stream || id !== streamId) continue
      const of = (times[pathId] ??= new Map<number, number>())
      for (let kB = Math.ceil(offset / 1000); kB * 1000 < offset + length; kB++) of.set(kB, (of.get(kB) ?? 0) + 1)
    }
  }
  return times
}

/** The stream that carries most: its ID. */
const streamOf = (sealed: Sealed): number =>
  sealed
    .with(FrameType.stream)
    .at(-1)!
    .frames.find(({ type }) => type === FrameType.stream)!.streamId

describe("2.G: duplicates", () => {
  it("2.G: each copy has the next number of its own path; nobody takes a real packet for a copy", () => {
    const sealed = new Sealed()
    const links: ReadonlyArray<DuplexOptions> = [
      { mbps: 20, delay: 10, queue: 200 },
      { mbps: 20, delay: 15, queue: 200 }
    ]
    const pair = withPaths({ links, client: { protection: sealed.protection, duplication: () => everything } })
    transfer(pair, { bytes: 300_000, upload: true })
    pair.run(pair.simulator.now + 300)
    const [first, second] = timesSealed(sealed, streamOf(sealed))
    // As much as each path has room for.
    assert.isAbove([...first!.keys()].filter((kB) => second!.has(kB)).length, 150)
    assert.deepStrictEqual(sealed.repeated, [])
    const last = [-1, -1]
    for (const { packetNumber, pathId } of sealed.packets) {
      assert.isAbove(packetNumber, last[pathId]!)
      last[pathId] = packetNumber
    }
    const { packetsDropped } = pair.accepted.stats()
    assert.strictEqual(packetsDropped, 0)
    for (const path of pair.connection.paths) {
      assert.strictEqual(path.packetsLost, 0)
      assert.strictEqual(path.bytesInFlight, 0)
    }
    assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [])
  })

  it("2.G: numbers that one path skips on purpose are no trouble for copies on the other", () => {
    const sealed = new Sealed()
    const node = { duplication: () => everything }
    const pair = withPaths({ links: equalLinks, node, client: { ...node, protection: sealed.protection } })
    exchange(pair, 2_000_000, 30_000, "copies")
    for (const id of [0, 1]) {
      const numbers = sealed.packets.filter(({ pathId }) => pathId === id).map(({ packetNumber }) => packetNumber)
      // RFC 9000 section 21.4.
      assert.isAbove(numbers.at(-1)! + 1, numbers.length, `path ${id} skips none`)
    }
    assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [])
  })

  it("2.G: a path that carries nothing but copies is acknowledged, and not suspected", () => {
    const pair = withPaths({ links: unequalLinks, client: { duplication: () => everything } })
    for (let i = 0; i < 30; i++) {
      transfer(pair, { bytes: 3000, upload: true })
      pair.run(pair.simulator.now + 300)
    }
    const path = pair.connection.path(1)!
    assert.isAbove(path.packetsDuplicated, 50)
    assert.isAtMost(path.packetsScheduled, 1)
    assert.strictEqual(path.recovery.probeTimeouts, 0)
    assert.deepStrictEqual(eventsOf(pair.client, "potentiallyFailed"), [])
  })

  for (const transmits of [1, 2, 7]) {
    it(`2.G: sockets that are full after ${transmits} transmits hold up copies, and break nothing`, () => {
      const socket = { transmits, wait: 2 }
      const pair = withPaths({
        links: equalLinks,
        node: { socket, duplication: () => everything, reinjection: () => always }
      })
      exchange(pair, 200_000, 60_000, "full sockets")
    })
  }
})

describe("2.G: reinjection", () => {
  it("2.G: without loss no path carries the same twice, and what arrived either way is not sent again", () => {
    const sealed = new Sealed()
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 20, queue: 400 },
        { mbps: 5, delay: 200, queue: 400 }
      ],
      client: {
        protection: sealed.protection,
        scheduler: roundRobin,
        reinjection: () => ({ ...always, maxReinjections: 8, budget: 8 })
      }
    })
    transfer(pair, { bytes: 3_000_000, upload: true })
    pair.run(pair.simulator.now + 3000)
    const times = timesSealed(sealed, streamOf(sealed))
    let copied = 0
    for (const of of times) {
      for (const [kB, count] of of) {
        assert.strictEqual(count, 1, `kB ${kB}`)
        if (times.every((other) => other.has(kB))) copied++
      }
    }
    assert.isAbove(copied, 20, `${copied} kB`)
    assert.strictEqual(pair.connection.streams.bufferedBytes, 0)
    for (const path of pair.connection.paths) assert.strictEqual(path.queuedReinjections, 0)
  })

  it("2.G: lost, repaired at once, acknowledged, and late all the same: it is settled once", () => {
    for (let seed = 1; seed <= 5; seed++) {
      const pair = withPaths({
        seed,
        links: [
          { mbps: 20, delay: 20, queue: 200, loss: 0.05, reorder: 0.1, reorderDelay: 60 },
          { mbps: 20, delay: 25, queue: 200, loss: 0.05, duplicate: 0.05 }
        ],
        node: { scheduler: roundRobin, reinjection: () => ({ ...always, delay: () => 50 }) }
      })
      exchange(pair, 300_000, 30_000, `seed ${seed}`)
      pair.run(pair.simulator.now + 2000)
      for (const connection of [pair.connection, pair.accepted]) {
        assert.strictEqual(connection.streams.bufferedBytes, 0)
        for (const path of connection.paths) {
          assert.strictEqual(path.bytesInFlight, 0)
          assert.strictEqual(path.queuedReinjections, 0)
        }
      }
    }
  })

  it("2.G: what is late on one path is sent on the other, though the same number was acknowledged there", () => {
    const delay = 45
    const late = (pair: Pair): number => {
      const { connection, simulator } = pair
      pair.run(simulator.now + 2000)
      pair.links[0]!.cut()
      const start = simulator.now
      let arrived = 0
      const take = (): void => {
        for (
          let one = pair.accepted.streams.accept(true);
          one !== undefined;
          one = pair.accepted.streams.accept(true)
        ) {
          one.readAll()
          arrived++
        }
        pair.accepted.streams.setAcceptWaiter(true, take)
      }
      take()
      // Each message in a packet of its own, in turn on the path that works and on the one that does not.
      for (let i = 0; i < 20; i++) {
        const stream = connection.streams.open(true)!
        stream.write(pattern(0, 1100))
        stream.finish()
        connection.wake()
        pair.run(simulator.now + 1)
      }
      assert.isAtLeast(
        pair.until(() => arrived === 20, start + 5000),
        0
      )
      return simulator.now - start
    }
    const pair = withPaths({
      links: equalLinks,
      client: {
        scheduler: roundRobin,
        reinjection: () => ({ name: "late", modes: ["onDelay"], delay: () => delay }),
        // The path is not suspected meanwhile: what moves, moves by reinjection.
        failures: () => ({ name: "patient", isFailed: () => false })
      }
    })
    exchange(pair, 100_000, 5000, "before")
    assert.isAtMost(late(pair), 20 + delay + 40)
    assert.isAbove(pair.connection.streams.bytesCopied, 8 * 1000)
  })
})

describe("2.G: everything at once", () => {
  it("2.G: copies of both kinds, losses and a path that comes and goes: everything arrives once", () => {
    const pair = withPaths({
      links: [
        { mbps: 10, delay: 20, queue: 50, loss: 0.05 },
        { mbps: 10, delay: 40, queue: 50, loss: 0.05 }
      ],
      node: { duplication: () => ({ ...everything, budget: 0.5, control: true }), reinjection: () => always }
    })
    const start = pair.simulator.now
    for (let i = 0; i < 5; i++) {
      pair.simulator.at(start + 200 + 500 * i, () => pair.links[i % 2]!.cut())
      pair.simulator.at(start + 450 + 500 * i, () => pair.links[i % 2]!.restore())
    }
    const up = send(pair.connection, pair.accepted, 400_000)
    const down = send(pair.accepted, pair.connection, 400_000)
    pair.until(() => up.finished && down.finished, start + 60_000, 5)
    intact(up, 400_000, "up")
    intact(down, 400_000, "down")
    assert.strictEqual(pair.accepted.streams.bytesReceived, 400_000)
    assert.strictEqual(pair.connection.streams.bytesReceived, 400_000)
  })
})
