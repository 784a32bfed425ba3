/** How paths end, one of several and the last one (draft-21 sections 3.4 and 4.2). */
import { assert, describe, it } from "@effect/vitest"
import type { TransmitSink } from "../../src/internal/wire/Datagram.ts"
import { writeAck, writePathAbandon } from "../../src/internal/wire/FrameWriter.ts"
import { PathError, TransportError } from "../../src/internal/wire/Protocol.ts"
import { frames, inject } from "../support/Hostile.ts"
import type { Node, Pair } from "../support/Machines.ts"
import {
  awaitPath,
  closePath,
  connected,
  eventsOf,
  FrameLog,
  openInTheEnd,
  openPath,
  withPaths
} from "../support/Multipath.ts"
import { ending, exchange, intact, send, transportCode } from "../support/Scenario.ts"

const gone = (pair: Pair, pathId: number): boolean =>
  pair.connection.path(pathId) === undefined && pair.accepted.path(pathId) === undefined

const awaitGone = (pair: Pair, pathId: number, limit = 10_000): void => {
  const done = pair.until(() => gone(pair, pathId), pair.simulator.now + limit)
  assert.isAtLeast(done, 0, `path ${pathId} is still there`)
}

const healthy = (pair: Pair): void => {
  assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0)
  exchange(pair, 200_000, 10_000, "afterwards")
}

const assertStranded = (node: Node, initiator: "local" | "peer"): void => {
  assert.strictEqual(transportCode(node), TransportError.noViablePath)
  const info = ending(node)
  assert.isTrue(info.kind === "transport" && info.initiator === initiator)
}

describe("ABN: one path of several", () => {
  it("ABN-1, ABN-4: one PATH_ABANDON each way, then a higher limit and fresh connection IDs (SCN-6, SCN-13, SCN-18)", () => {
    for (const role of ["client", "server"] as const) {
      const pair = withPaths()
      pair.run(pair.simulator.now + 300)
      const logs = [new FrameLog(pair.connection), new FrameLog(pair.accepted)]
      const closer = role === "client" ? pair.connection : pair.accepted
      const [own, other] = role === "client" ? [pair.client, pair.server] : [pair.server, pair.client]
      assert.isTrue(closePath(pair, closer, 1, 42))
      assert.isFalse(closePath(pair, closer, 1, 42))
      awaitGone(pair, 1)
      pair.run(pair.simulator.now + 100)
      assert.deepStrictEqual(eventsOf(own, "abandoned"), [
        { kind: "abandoned", pathId: 1, initiator: "local", code: 42 }
      ])
      assert.deepStrictEqual(eventsOf(other, "abandoned"), [
        { kind: "abandoned", pathId: 1, initiator: "peer", code: 42 }
      ])
      for (const log of logs) {
        assert.strictEqual(log.of("pathAbandon", 1).length, 1)
        assert.deepStrictEqual(
          log.of("maxPathId").map(({ value }) => value),
          [3]
        )
        assert.deepStrictEqual(
          log
            .of("newConnectionId", 3)
            .map(({ value }) => value)
            .toSorted(),
          [0, 1]
        )
      }
      // The figures of a closed path are complete.
      for (const node of [pair.client, pair.server]) {
        const closed = eventsOf(node, "closed", 1)
        assert.strictEqual(closed.length, 1)
        assert.isTrue(closed[0]!.kind === "closed" && closed[0]!.stats.packetsSent > 0)
        assert.isTrue(closed[0]!.kind === "closed" && closed[0]!.stats.packetsReceived > 0)
      }
      healthy(pair)
    }
  })

  it("the application cannot close the last path (SCN-2)", () => {
    const pair = connected()
    assert.isFalse(closePath(pair, pair.connection, 0))
    assert.isFalse(closePath(pair, pair.accepted, 0))
    healthy(pair)
  })

  for (const side of ["client", "server"] as const) {
    it(`the ${side} closes the only path that works, before it knows: the peer hears of it there, and a new path opens`, () => {
      const pair = withPaths()
      const [closer, peer] =
        side === "client" ? ([pair.connection, pair.server] as const) : ([pair.accepted, pair.client] as const)
      const down = send(pair.accepted, pair.connection, 2_000_000)
      pair.run(pair.simulator.now + 200)
      pair.links[1]!.cut()
      closePath(pair, closer, 0)
      const told = pair.until(() => eventsOf(peer, "abandoned", 0).length > 0, pair.simulator.now + 5_000)
      assert.isAtLeast(told, 0, "the peer was not told")
      awaitPath(pair, openPath(pair, 0), 10_000)
      pair.until(() => down.finished, pair.simulator.now + 10_000)
      intact(down, 2_000_000, "over the new path")
    })
  }

  for (const side of ["client", "server"] as const) {
    it(`issue 7 outage, ABN-3: the ${side} closes the only path that works: the last packet there says so, even at rest`, () => {
      const pair = withPaths()
      const [closer, peer] =
        side === "client" ? ([pair.connection, pair.server] as const) : ([pair.accepted, pair.client] as const)
      pair.links[1]!.cut()
      for (const connection of [pair.connection, pair.accepted]) connection.probePath(1, pair.simulator.now)
      exchange(pair, 2_000_000, 10_000, "over the other")
      pair.run(pair.simulator.now + 3000)
      assert.isAbove(closer.path(1)!.ptoCount, 0)
      const before = closer.path(0)!.packetsSent
      closePath(pair, closer, 0)
      pair.run(pair.simulator.now + 200)
      assert.strictEqual(eventsOf(peer, "abandoned", 0).length, 1, "the peer was not told")
      assert.strictEqual(closer.path(0)!.packetsSent, before + 1)
    })
  }

  it("ABN-2, ABN-5: nothing is sent on it any more, and what still comes is taken without a reset", () => {
    const pair = withPaths()
    const down = send(pair.accepted, pair.connection, 2_000_000)
    pair.run(pair.simulator.now + 200)
    const [first, second] = pair.client.addresses
    closePath(pair, pair.connection, 1)
    pair.run(pair.simulator.now + 1)
    const after = { first: 0, second: 0 }
    pair.client.tap = (_datagram, from) => {
      if (from === first) after.first++
      if (from === second) after.second++
      return true
    }
    const path = pair.connection.path(1)!
    const received = path.packetsReceived
    pair.until(() => down.finished, pair.simulator.now + 10_000)
    intact(down, 2_000_000, "over the other path")
    assert.strictEqual(after.second, 0)
    assert.isAbove(after.first, 100)
    // The server's packets that were on their way came in; the last of them were acknowledged on the other path (ACK-5).
    assert.isAbove(path.packetsReceived, received)
    awaitGone(pair, 1)
    assert.strictEqual(pair.client.endpoint.stats().statelessResetsSent, 0)
    assert.strictEqual(pair.server.endpoint.stats().statelessResetsSent, 0)
  })

  it("ACK-5, ABN-9: late acknowledgements of a closed path count; what stays unacknowledged counts as lost at its end", () => {
    const pair = withPaths()
    send(pair.accepted, pair.connection, 3_000_000)
    pair.run(pair.simulator.now + 300)
    const path = pair.accepted.path(1)!
    const outstanding = path.bytesInFlight
    assert.isAbove(outstanding, 10_000)
    closePath(pair, pair.accepted, 1)
    const { packetsAcked } = path.recovery
    pair.run(pair.simulator.now + 200)
    assert.isAbove(path.recovery.packetsAcked, packetsAcked)
    pair.links[1]!.cut()
    awaitGone(pair, 1)
    assert.strictEqual(path.bytesInFlight, 0)
  })

  it("ABN-10: a lost PATH_ABANDON is repeated, and so is its answer, even when the path is forgotten", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 15 },
        { mbps: 20, delay: 15 }
      ]
    })
    const log = new FrameLog(pair.connection)
    const answers = new FrameLog(pair.accepted)
    let lost = 0
    pair.client.tap = () => lost++ > 2
    // The answers get lost for longer than the server keeps the path.
    pair.server.tap = () => false
    closePath(pair, pair.connection, 1)
    pair.until(() => eventsOf(pair.server, "abandoned").length === 1, pair.simulator.now + 3000)
    assert.isAtLeast(log.of("pathAbandon", 1).length, 2)
    const forgotten = pair.until(() => pair.accepted.path(1) === undefined, pair.simulator.now + 5000)
    assert.isAtLeast(forgotten, 0)
    assert.isDefined(pair.connection.path(1))
    pair.server.tap = undefined
    awaitGone(pair, 1, 5000)
    assert.isAtLeast(answers.of("pathAbandon", 1).length, 2)
    healthy(pair)
  })

  it("ABN-6: an ID that was never used may be abandoned; it is answered and skipped", () => {
    const pair = connected()
    pair.run(200)
    const log = new FrameLog(pair.connection)
    inject(
      pair.simulator,
      pair.accepted,
      frames((w) => writePathAbandon(w, 1, 7))
    )
    pair.run(pair.simulator.now + 100)
    assert.deepStrictEqual(
      log.of("pathAbandon").map(({ pathId }) => pathId),
      [1]
    )
    assert.strictEqual(openPath(pair, 1), 2)
    awaitPath(pair, 2)
    pair.run(pair.simulator.now + 5000)
    assert.isUndefined(pair.connection.path(1))
    healthy(pair)
  })

  it("ABN-7: a peer that takes note and never answers does not keep the path's state", () => {
    const pair = withPaths()
    pair.accepted.core.paths.onPathAbandon = () => {}
    closePath(pair, pair.connection, 1)
    const start = pair.simulator.now
    const done = pair.until(() => pair.connection.path(1) === undefined, start + 20_000)
    assert.isAtLeast(done - start, 3 * pair.connection.path(0)!.recovery.pto)
    assert.isAtMost(done - start, 10_000)
    assert.strictEqual(pair.client.closes.length, 0)
  })

  it("ABN-7: a peer that cannot be reached is not blamed: the answer is awaited until it can", () => {
    const pair = withPaths()
    for (const link of pair.links) link.cut()
    closePath(pair, pair.connection, 1)
    pair.run(pair.simulator.now + 12_000)
    assert.isDefined(pair.connection.path(1))
    assert.strictEqual(eventsOf(pair.server, "abandoned").length, 0)
    pair.links[0]!.restore()
    awaitGone(pair, 1)
    healthy(pair)
  })

  it("ACK-6, FRM-3: a PATH_ACK for a path that is gone does no harm", () => {
    const pair = withPaths()
    closePath(pair, pair.connection, 1)
    awaitGone(pair, 1)
    const ack = frames((w) => {
      writeAck(w, 1, Float64Array.of(0, 3), 1, 0, 0, 0, 0, false)
    })
    inject(pair.simulator, pair.accepted, ack)
    inject(pair.simulator, pair.connection, ack)
    pair.run(pair.simulator.now + 100)
    healthy(pair)
  })

  it("closing during a transfer in both directions loses nothing, many times over (SCN-15, SCN-16)", () => {
    const pair = withPaths()
    const up = send(pair.connection, pair.accepted, 3_000_000)
    const down = send(pair.accepted, pair.connection, 3_000_000)
    let id = 1
    for (let round = 0; round < 6; round++) {
      pair.run(pair.simulator.now + 150)
      closePath(pair, round % 2 === 0 ? pair.connection : pair.accepted, id)
      pair.run(pair.simulator.now + 30)
      const next = pair.connection.openPath({ local: pair.client.addresses[1]! }, pair.simulator.now)
      pair.connection.wake()
      if (typeof next === "number") {
        assert.isAbove(next, id)
        id = next
      } else {
        awaitGone(pair, id)
        pair.run(pair.simulator.now + 100)
        id = openPath(pair, 1)
      }
      awaitPath(pair, id)
    }
    pair.until(() => up.finished && down.finished, pair.simulator.now + 20_000)
    intact(up, 3_000_000, "to the server")
    intact(down, 3_000_000, "to the client")
  })

  it("the first path may go: the connection lives on the second (SCN-21)", () => {
    for (const loss of [0, 0.3]) {
      const links = [
        { mbps: 20, delay: 15, loss },
        { mbps: 20, delay: 15, loss }
      ]
      const pair = connected({ links })
      pair.run(pair.simulator.now + 2000)
      openInTheEnd(pair, 1)
      closePath(pair, pair.connection, 0)
      exchange(pair, 300_000, 60_000, `loss ${loss}`)
      awaitGone(pair, 0, 20_000)
      openInTheEnd(pair, 0)
    }
  })
})

describe("ABN-8: the only open path", () => {
  it("a client whose last path the peer abandons closes with NO_VIABLE_PATH after a while, and the peer is told", () => {
    const pair = connected()
    inject(
      pair.simulator,
      pair.accepted,
      frames((w) => writePathAbandon(w, 0, PathError.resourceLimit))
    )
    const start = pair.simulator.now
    pair.until(() => pair.client.closes.length > 0, start + 10_000)
    assert.isAbove(pair.simulator.now - start, pair.connection.path(0)!.recovery.pto)
    assertStranded(pair.client, "local")
    pair.run(pair.simulator.now + 100)
    assertStranded(pair.server, "peer")
  })

  it("a server gives the client one PTO to come on another path, and closes then", () => {
    const pair = connected()
    exchange(pair, 10_000, 1000, "before")
    inject(
      pair.simulator,
      pair.connection,
      frames((w) => writePathAbandon(w, 0, 0))
    )
    pair.until(() => eventsOf(pair.server, "abandoned").length > 0, pair.simulator.now + 1000)
    const start = pair.simulator.now
    const { pto } = pair.accepted.path(0)!.recovery
    pair.until(() => pair.server.closes.length > 0, start + 10_000)
    assert.closeTo(pair.simulator.now - start, pto, 5)
    pair.run(pair.simulator.now + 100)
    assertStranded(pair.client, "peer")
  })

  it("a client that opens another path in time keeps the connection (SCN-14)", () => {
    const pair = connected()
    const incoming = send(pair.accepted, pair.connection, 500_000)
    pair.run(pair.simulator.now + 100)
    inject(
      pair.simulator,
      pair.accepted,
      frames((w) => writePathAbandon(w, 0, 0))
    )
    pair.until(() => eventsOf(pair.client, "abandoned").length > 0, pair.simulator.now + 1000)
    // A server that said so would have closed its side, too.
    pair.accepted.core.paths.abandon(pair.accepted.path(0)!, 0, pair.simulator.now, 5000)
    awaitPath(pair, openPath(pair, 1))
    pair.until(() => incoming.finished, pair.simulator.now + 10_000)
    intact(incoming, 500_000, "over the new path")
    awaitGone(pair, 0)
    healthy(pair)
  })

  it("a client that opens a path and abandons the first at once keeps the connection (SCN-10, SCN-12)", () => {
    const pair = connected()
    openPath(pair, 1)
    assert.isTrue(closePath(pair, pair.connection, 0))
    awaitPath(pair, 1)
    awaitGone(pair, 0)
    healthy(pair)
  })

  it("if that new path does not work either, the connection ends with NO_VIABLE_PATH", () => {
    const pair = connected()
    pair.links[1]!.cut()
    openPath(pair, 1)
    assert.isTrue(closePath(pair, pair.connection, 0))
    pair.until(() => pair.client.closes.length > 0, pair.simulator.now + 30_000)
    assertStranded(pair.client, "local")
  })

  it("when each side abandons the path that the other one keeps, both connections end (SCN-8)", () => {
    const pair = withPaths()
    closePath(pair, pair.connection, 0)
    closePath(pair, pair.accepted, 1)
    pair.run(pair.simulator.now + 20_000)
    for (const node of [pair.client, pair.server]) assert.strictEqual(transportCode(node), TransportError.noViablePath)
    assert.strictEqual(pair.connection.state, "closed")
    assert.strictEqual(pair.accepted.state, "closed")
  })
})

describe("CLO: the end of the connection", () => {
  it("CLO-1: arrives over any path, whichever is dead", () => {
    for (const dead of [0, 1]) {
      const pair = withPaths()
      pair.links[dead]!.cut()
      pair.connection.close(7, "enough", pair.simulator.now)
      pair.run(pair.simulator.now + 50)
      assert.deepStrictEqual(ending(pair.server), {
        kind: "application",
        initiator: "peer",
        code: 7,
        reason: "enough"
      })
    }
  })

  it("CLO-2: closing lasts three times the largest PTO of all paths", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 5 },
        { mbps: 20, delay: 200 }
      ]
    })
    exchange(pair, 1_000_000, 10_000, "before")
    const largest = Math.max(...pair.connection.paths.map((path) => path.recovery.pto))
    assert.isAbove(largest, 400)
    pair.connection.close(0, "", pair.simulator.now)
    const start = pair.simulator.now
    const closed = pair.until(() => pair.connection.state === "closed", start + 30_000)
    assert.closeTo(closed - start, 3 * largest, 5)
  })

  it("CLO-3: a stateless reset for any path's connection ID ends the connection", () => {
    const pair = withPaths()
    closeSilently(pair)
    pair.connection.probePath(1, pair.simulator.now)
    pair.connection.wake()
    pair.run(pair.simulator.now + 100)
    assert.deepStrictEqual(ending(pair.client), { kind: "statelessReset" })
  })

  it("ABN-11: the reset token of a closed path's connection ID means nothing any more", () => {
    const pair = withPaths()
    const token = pair.accepted.path(1)!.localIds.ids[0]!.resetToken
    const known = (): boolean => {
      const bytes = new Uint8Array(64).fill(0x41)
      bytes.set(token, 48)
      const before = pair.client.closes.length
      pair.simulator.send({
        local: pair.server.addresses[0]!,
        remote: pair.client.addresses[1]!,
        ecn: 0,
        segmentSize: 64,
        bytes
      })
      pair.run(pair.simulator.now + 50)
      return pair.client.closes.length > before
    }
    closePath(pair, pair.connection, 1)
    assert.isFalse(known())
    awaitGone(pair, 1)
    assert.isFalse(known())
    healthy(pair)
  })
})

/** The server forgets the connection, as after a restart. */
const closeSilently = (pair: Pair): void => {
  pair.server.tap = () => false
  pair.accepted.close(0, "", pair.simulator.now)
  pair.until(() => pair.accepted.state === "closed", pair.simulator.now + 10_000)
  pair.server.tap = undefined
}

describe("MPI: paths come and go", () => {
  it("a thousand paths, one after the other, leave nothing behind", () => {
    const cycles = 1000
    const pair = connected({
      links: [
        { mbps: 1000, delay: 1 },
        { mbps: 1000, delay: 1 }
      ],
      settings: { mtuDiscovery: false, initialRtt: 5 }
    })
    pair.run(pair.simulator.now + 100)
    const held = (): ReadonlyArray<number> =>
      [pair.connection, pair.accepted].flatMap(({ core }) => [core.paths.all.length, core.paths.stateSize])
    const before = held()
    let last = 0
    for (let i = 0; i < cycles; i++) {
      const id = openPath(pair, 1)
      assert.isAbove(id, last)
      last = id
      awaitPath(pair, id)
      closePath(pair, i % 2 === 0 ? pair.connection : pair.accepted, id)
      pair.until(() => gone(pair, id), pair.simulator.now + 10_000, 20)
      pair.client.events.length = pair.server.events.length = 0
    }
    pair.run(pair.simulator.now + 1000)
    assert.strictEqual(last, cycles)
    assert.deepStrictEqual(held(), before)
    healthy(pair)
  })

  it("ABN-1: the PATH_ABANDON that leaves on the path itself waits for a socket that is full", () => {
    const pair = withPaths()
    for (const link of pair.links) link.cut()
    send(pair.connection, pair.accepted, 1000)
    const silent = (): boolean => [0, 1].every((id) => pair.connection.path(id)!.ptoCount > 0)
    assert.isAtLeast(pair.until(silent, pair.simulator.now + 5000), 0)
    let full = true
    const sink = Reflect.get(pair.client, "sink") as TransmitSink
    Reflect.set(sink, "isFull", () => full)
    assert.isTrue(closePath(pair, pair.connection, 0))
    pair.run(pair.simulator.now + 50)
    full = false
    // The server is not heard: nothing that it sends makes the client say it again.
    pair.links[0]!.set({ forward: { up: true } })
    pair.connection.wake()
    pair.run(pair.simulator.now + 100)
    assert.deepInclude(eventsOf(pair.server, "abandoned", 0)[0], { initiator: "peer" })
  })
})
