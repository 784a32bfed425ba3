/** The frames of draft-21 section 4, right and wrong, and what is agreed on before any of them may be sent (section 2). */
import { assert, describe, it } from "@effect/vitest"
import { checkParameters } from "../../src/internal/connection/Parameters.ts"
import type { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import {
  writeAck,
  writeMaxPathId,
  writeNewConnectionId,
  writePathAbandon,
  writePathCidsBlocked,
  writePathNewConnectionId,
  writePathRetireConnectionId,
  writePathStatus,
  writePathsBlocked,
  writePing,
  writeRetireConnectionId
} from "../../src/internal/wire/FrameWriter.ts"
import { Level, TransportError, Version } from "../../src/internal/wire/Protocol.ts"
import { defaultTransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import { frames, inject } from "../support/Hostile.ts"
import type { Forgery } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import {
  awaitPath,
  closePath,
  connected,
  eventsOf,
  FrameLog,
  openPath,
  pairOptions,
  transfer,
  withPaths
} from "../support/Multipath.ts"
import { ending, established, exchange, intact, send, transportCode } from "../support/Scenario.ts"

const LIMIT = 2
const token = new Uint8Array(16).fill(5)
const id = (first: number): Uint8Array => new Uint8Array(8).fill(first)
const range = Float64Array.of(0, 0)

type Write = (w: ByteWriter) => void

/** Two connection IDs a path: what peers add of their own has room within the limit of four. */
const few = { settings: { connectionIds: 2 } }

/** Every frame that names a path, for path `pathId`. */
const aboutPath = (pathId: number): ReadonlyArray<readonly [name: string, write: Write]> => [
  ["PATH_ACK", (w) => void writeAck(w, pathId, range, 1, 0, 0, 0, 0, false)],
  ["PATH_ACK with ECN", (w) => void writeAck(w, pathId, range, 1, 0, 1, 0, 0, true)],
  ["PATH_ABANDON", (w) => writePathAbandon(w, pathId, 0)],
  ["PATH_STATUS_BACKUP", (w) => writePathStatus(w, pathId, 9, true)],
  ["PATH_STATUS_AVAILABLE", (w) => writePathStatus(w, pathId, 9, false)],
  ["PATH_NEW_CONNECTION_ID", (w) => writePathNewConnectionId(w, pathId, 7, 0, id(7), token)],
  ["PATH_RETIRE_CONNECTION_ID", (w) => writePathRetireConnectionId(w, pathId, 0)],
  ["PATH_CIDS_BLOCKED", (w) => writePathCidsBlocked(w, pathId, 0)]
]

/** Lets one side send frames, and runs until the other has read them. */
const tell = (pair: Pair, to: "client" | "server", write: Write, options?: Forgery): void => {
  inject(pair.simulator, to === "client" ? pair.accepted : pair.connection, frames(write), options)
  pair.run(pair.simulator.now + 60)
}

/** The code with which the client closes when it is told this. */
const refusal = (write: Write, prepare: (pair: Pair) => void = () => {}): number => {
  const pair = withPaths(few)
  prepare(pair)
  tell(pair, "client", write)
  const info = ending(pair.client)
  assert.isTrue(info.kind === "transport" && info.initiator === "local")
  return transportCode(pair.client)
}

const accepted = (write: Write, prepare: (pair: Pair) => void = () => {}): Pair => {
  const pair = withPaths(few)
  prepare(pair)
  tell(pair, "client", write)
  assert.deepStrictEqual(pair.client.closes, [])
  return pair
}

const offers = (client: number, server: number): Pair =>
  established({
    ...pairOptions(),
    client: { settings: { maxPaths: client } },
    server: { settings: { maxPaths: server } }
  })

const issue = (pathId: number, sequence: number, content: number): Write => {
  return (w) => writePathNewConnectionId(w, pathId, sequence, 0, id(content), token)
}

describe("NEG: negotiation", () => {
  it("NEG-2: only when both sides ask for it", () => {
    for (const [client, server] of [
      [0, 0],
      [3, 0],
      [0, 3],
      [1, 3]
    ] as const) {
      const pair = offers(client, server)
      assert.isFalse(pair.connection.multipath)
      assert.isFalse(pair.accepted.multipath)
      const logs = [new FrameLog(pair.connection), new FrameLog(pair.accepted)]
      exchange(pair, 100_000, 5000, `${client} and ${server}`)
      for (const log of logs) {
        for (const kind of ["pathAbandon", "pathStatus", "maxPathId", "pathsBlocked", "pathCidsBlocked"] as const) {
          assert.deepStrictEqual(log.of(kind), [])
        }
      }
    }
    assert.isTrue(offers(3, 3).connection.multipath)
  })

  it("NEG-2: a multipath frame without it is unknown", () => {
    for (const [name, write] of aboutPath(0)) {
      const pair = offers(3, 0)
      tell(pair, "server", write)
      assert.strictEqual(transportCode(pair.server), TransportError.frameEncoding, name)
    }
  })

  it("NEG-4, NEG-5: 0 turns it on with path 0 alone, until MAX_PATH_ID allows more", () => {
    const pair = established({
      ...pairOptions(),
      server: {
        settings: { maxPaths: 3 },
        parameters: (parameters) => ({ ...parameters, initialMaxPathId: 0 })
      }
    })
    assert.isTrue(pair.connection.multipath)
    assert.strictEqual(pair.connection.openPath({ local: pair.client.addresses[1]! }, pair.simulator.now), "pathLimit")
    tell(pair, "client", (w) => writeMaxPathId(w, 1))
    awaitPath(pair, openPath(pair, 1))
  })

  it("NEG-6: a limit above 2^32-1 is a TRANSPORT_PARAMETER_ERROR", () => {
    const pair = new Pair({
      ...pairOptions(),
      client: { parameters: (parameters) => ({ ...parameters, initialMaxPathId: 2 ** 32 }) }
    })
    pair.run(500)
    assert.strictEqual(transportCode(pair.client), TransportError.transportParameter)
  })

  it("NEG-1, MPI-1: the largest limit, 2^32-1, costs nothing", () => {
    const pair = established({
      ...pairOptions(),
      client: { settings: { maxPaths: 3 }, parameters: (all) => ({ ...all, initialMaxPathId: 2 ** 32 - 1 }) }
    })
    assert.isTrue(pair.accepted.multipath)
    assert.isAtMost(pair.accepted.core.paths.stateSize, 4)
    awaitPath(pair, openPath(pair, 1))
  })

  it("NEG-8: the parameter from a peer with an empty connection ID is a PROTOCOL_VIOLATION", () => {
    const empty = new Uint8Array(0)
    const check = (initialMaxPathId: number | undefined): number | undefined =>
      checkParameters(
        "server",
        { ...defaultTransportParameters, initialSourceConnectionId: empty, initialMaxPathId },
        { original: id(1), retry: undefined, local: id(2), remote: empty },
        Version.v1
      )?.code
    assert.strictEqual(check(0), TransportError.protocolViolation)
    assert.strictEqual(check(undefined), undefined)
  })

  it("NEG-11: the limit of active connection IDs holds for each path", () => {
    const both = (pair: Pair): void => {
      for (const pathId of [0, 1])
        for (const sequence of [2, 3]) tell(pair, "client", issue(pathId, sequence, 10 * pathId + sequence))
      assert.deepStrictEqual(pair.client.closes, [])
    }
    accepted((w) => writePing(w), both)
    assert.strictEqual(refusal(issue(1, 4, 14), both), TransportError.connectionIdLimit)
  })
})

describe("FRM: frames that are refused, and frames that are ignored", () => {
  it("FRM-1: none of them in Initial or Handshake packets", () => {
    for (const level of [Level.initial, Level.handshake] as const) {
      for (const [name, write] of [
        ...aboutPath(0),
        ["MAX_PATH_ID", (w: ByteWriter) => writeMaxPathId(w, 9)] as const
      ]) {
        const pair = new Pair(pairOptions())
        const ready = pair.until(() => {
          const keys =
            level === Level.initial ? pair.connection.core.handshake.initial : pair.accepted?.core.handshake.handshake
          return keys !== undefined && pair.accepted !== undefined
        }, 100)
        assert.isAtLeast(ready, 0)
        const from = level === Level.initial ? pair.connection : pair.accepted
        inject(pair.simulator, from, frames(write), { level })
        pair.run(pair.simulator.now + 200)
        const node = level === Level.initial ? pair.server : pair.client
        assert.strictEqual(transportCode(node), TransportError.protocolViolation, `${name} at level ${level}`)
      }
    }
  })

  it("FRM-2: a path ID above the limit that we announced is a PROTOCOL_VIOLATION", () => {
    for (const [name, write] of aboutPath(LIMIT + 1)) {
      assert.strictEqual(refusal(write), TransportError.protocolViolation, name)
    }
    for (const [name, write] of aboutPath(2 ** 32 - 1)) {
      assert.strictEqual(refusal(write), TransportError.protocolViolation, name)
    }
  })

  it("FRM-3, SCN-17: for a path that is gone they are ignored, whatever they say", () => {
    const pair = withPaths(few)
    closePath(pair, pair.connection, 1)
    pair.until(() => pair.connection.path(1) === undefined, pair.simulator.now + 10_000)
    for (const [, write] of aboutPath(1)) tell(pair, "client", write)
    tell(pair, "client", (w) => writePathCidsBlocked(w, 1, 1000))
    tell(pair, "client", (w) => writePathRetireConnectionId(w, 1, 1000))
    assert.deepStrictEqual(pair.client.closes, [])
    exchange(pair, 100_000, 5000, "afterwards")
  })

  it("FRM-4: all but PATH_ACK elicit acknowledgements", () => {
    for (const [name, write] of aboutPath(1)) {
      const pair = withPaths(few)
      pair.run(pair.simulator.now + 300)
      const before = pair.connection.path(0)!.recovery.received(2).unackedEliciting
      assert.strictEqual(before, 0)
      // PATH_NEW_CONNECTION_ID and PATH_RETIRE_CONNECTION_ID as they may be.
      const log = new FrameLog(pair.connection)
      tell(pair, "client", write)
      const acknowledged = log.of("ack", 0).length > 0
      assert.strictEqual(acknowledged, !name.startsWith("PATH_ACK"), name)
    }
  })

  it("MPI-1, MPI-2: MAX_PATH_ID below the initial limit is refused, one that does not rise is ignored", () => {
    assert.strictEqual(
      refusal((w) => writeMaxPathId(w, LIMIT - 1)),
      TransportError.protocolViolation
    )
    accepted((w) => writeMaxPathId(w, LIMIT))
    const pair = accepted((w) => {
      writeMaxPathId(w, LIMIT + 2)
      writeMaxPathId(w, LIMIT + 1)
    })
    exchange(pair, 10_000, 5000, "afterwards")
    assert.strictEqual(
      refusal((w) => {
        w.varint(0x3e7a)
        w.varint(2 ** 32)
      }),
      TransportError.protocolViolation
    )
  })

  it("BLK-1, BLK-3: PATHS_BLOCKED above our limit is refused, at or below it means nothing", () => {
    assert.strictEqual(
      refusal((w) => writePathsBlocked(w, LIMIT + 1)),
      TransportError.protocolViolation
    )
    accepted((w) => writePathsBlocked(w, LIMIT))
    accepted((w) => writePathsBlocked(w, 0))
  })

  it("BLK-2: PATH_CIDS_BLOCKED up to the next sequence number, and no further", () => {
    accepted((w) => writePathCidsBlocked(w, 1, 2))
    assert.strictEqual(
      refusal((w) => writePathCidsBlocked(w, 1, 3)),
      TransportError.protocolViolation
    )
    accepted((w) => writePathCidsBlocked(w, 2, 2))
    assert.strictEqual(
      refusal((w) => writePathCidsBlocked(w, 2, 3)),
      TransportError.protocolViolation
    )
  })

  it("CID-4, CID-16: sequence numbers are of their path, and checked there", () => {
    accepted(issue(1, 2, 2), (pair) => tell(pair, "client", issue(0, 2, 1)))
    accepted(issue(1, 2, 1), (pair) => tell(pair, "client", issue(1, 2, 1)))
    assert.strictEqual(
      refusal(issue(1, 2, 2), (pair) => tell(pair, "client", issue(1, 2, 1))),
      TransportError.protocolViolation
    )
    assert.strictEqual(
      refusal((w) => writePathRetireConnectionId(w, 1, 2)),
      TransportError.protocolViolation
    )
    assert.strictEqual(
      refusal((w) => writePathRetireConnectionId(w, 2, 2)),
      TransportError.protocolViolation
    )
  })

  it("CID-3: NEW_CONNECTION_ID and RETIRE_CONNECTION_ID mean path 0", () => {
    const pair = accepted((w) => writeNewConnectionId(w, 2, 0, id(3), token))
    assert.strictEqual(pair.connection.path(0)!.remoteIds.available, 3)
    assert.strictEqual(pair.connection.path(1)!.remoteIds.available, 2)
    const retired = accepted((w) => writeRetireConnectionId(w, 1))
    assert.deepStrictEqual(
      retired.connection.path(0)!.localIds.ids.map(({ sequence }) => sequence),
      [0, 2]
    )
  })

  it("CID-13, CID-15: retiring all connection IDs of a path leaves it open, and others take their place", () => {
    for (const pathId of [1, 2]) {
      const pair = withPaths(few)
      pair.run(pair.simulator.now + 100)
      const log = new FrameLog(pair.connection)
      // Sent on path 0, so none of them is the one that the packet was sent to.
      tell(pair, "client", (w) => {
        writePathRetireConnectionId(w, pathId, 0)
        writePathRetireConnectionId(w, pathId, 1)
      })
      assert.deepStrictEqual(
        log.of("newConnectionId", pathId).map(({ value }) => value),
        [2, 3]
      )
      if (pathId === 1) assert.strictEqual(pair.connection.path(1)!.state, "active")
    }
  })

  it("a connection ID that was retired is not taken up again when its frame comes once more", () => {
    const pair = withPaths(few)
    const path = pair.connection.path(1)!
    const [, spare] = pair.accepted.path(1)!.localIds.ids
    assert.isTrue(pair.connection.core.paths.rotateRemoteId(path))
    assert.isTrue(path.remoteIds.active!.sequence === spare!.sequence)
    pair.connection.wake()
    pair.run(pair.simulator.now + 100)
    const used = path.remoteIds.active!.sequence
    tell(pair, "client", (w) => writePathNewConnectionId(w, 1, 0, 0, id(1), token))
    assert.strictEqual(path.remoteIds.active!.sequence, used)
    assert.isTrue(path.remoteIds.available <= 2)
  })
})

describe("STA: status", () => {
  it("STA-4, STA-5: the highest sequence number counts, whatever the order of arrival", () => {
    const pair = withPaths(few)
    tell(pair, "client", (w) => writePathStatus(w, 1, 4, true))
    assert.strictEqual(pair.connection.path(1)!.remoteStatus, "backup")
    tell(pair, "client", (w) => writePathStatus(w, 1, 4, false))
    tell(pair, "client", (w) => writePathStatus(w, 1, 3, false))
    assert.strictEqual(pair.connection.path(1)!.remoteStatus, "backup")
    tell(pair, "client", (w) => writePathStatus(w, 1, 5, false))
    assert.strictEqual(pair.connection.path(1)!.remoteStatus, "available")
    assert.deepStrictEqual(
      eventsOf(pair.client, "remoteStatus", 1).map((event) => event.kind === "remoteStatus" && event.status),
      ["backup", "available"]
    )
    // Of its own for each path.
    tell(pair, "client", (w) => writePathStatus(w, 0, 0, true))
    assert.strictEqual(pair.connection.path(0)!.remoteStatus, "backup")
  })

  it("STA-3: may come before the path is used", () => {
    const pair = connected()
    tell(pair, "server", (w) => writePathStatus(w, 1, 1, false))
    tell(pair, "server", (w) => writePathStatus(w, 1, 2, true))
    tell(pair, "server", (w) => writePathStatus(w, 1, 1, false))
    awaitPath(pair, openPath(pair, 1))
    assert.strictEqual(pair.accepted.path(1)!.remoteStatus, "backup")
    assert.strictEqual(eventsOf(pair.server, "remoteStatus", 1).length, 1)
  })

  it("STA-2, SCN-1: unknown until told, each direction by itself; one frame for each change", () => {
    const pair = withPaths(few)
    assert.isUndefined(pair.connection.path(1)!.remoteStatus)
    assert.isUndefined(pair.accepted.path(1)!.remoteStatus)
    const log = new FrameLog(pair.connection)
    assert.isTrue(pair.connection.setPathStatus(1, "backup"))
    assert.isTrue(pair.connection.setPathStatus(1, "backup"))
    pair.connection.wake()
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(log.of("pathStatus", 1).length, 1)
    assert.strictEqual(pair.accepted.path(1)!.remoteStatus, "backup")
    assert.strictEqual(pair.accepted.path(1)!.status, "available")
    assert.isUndefined(pair.connection.path(1)!.remoteStatus)
    assert.isFalse(pair.connection.setPathStatus(5, "backup"))
  })

  it("STA-6: a lost status is repeated only if it is still the latest", () => {
    const pair = withPaths(few)
    const log = new FrameLog(pair.connection)
    const set = (status: "available" | "backup"): void => {
      pair.connection.setPathStatus(1, status)
      pair.connection.wake()
      pair.run(pair.simulator.now + 1)
    }
    pair.client.tap = () => false
    set("backup")
    set("available")
    set("backup")
    pair.client.tap = undefined
    pair.run(pair.simulator.now + 2000)
    assert.strictEqual(pair.accepted.path(1)!.remoteStatus, "backup")
    const sent = log.of("pathStatus", 1).map(({ value }) => value)
    assert.deepStrictEqual(sent.slice(0, 3), [1, 2, 3])
    assert.isAbove(sent.length, 3)
    assert.isTrue(sent.slice(3).every((sequence) => sequence === 3))
  })
})

describe("ACK: acknowledgements of several paths", () => {
  it("ACK-2, NON-5: PATH_ACK for each path, from numbers that start at 0 on each", () => {
    const pair = withPaths(few)
    const log = new FrameLog(pair.connection)
    transfer(pair, { bytes: 1_000_000 })
    assert.isAbove(log.of("ack", 0).length, 50)
    assert.isAbove(log.of("ack", 1).length, 50)
    assert.isAtMost(pair.accepted.path(1)!.recovery.sent(2)!.next, pair.accepted.path(1)!.packetsSent + 8)
  })

  it("ACK-3: ACK in a 1-RTT packet still counts, for path 0", () => {
    const pair = withPaths(few)
    pair.run(pair.simulator.now + 200)
    pair.client.tap = () => false
    const stream = pair.accepted.streams.open(false)!
    stream.write(new Uint8Array(100))
    pair.accepted.wake()
    pair.run(pair.simulator.now + 20)
    const carrier = pair.accepted.paths.find(({ bytesInFlight }) => bytesInFlight > 0)!
    assert.strictEqual(carrier.id, 0)
    const largest = carrier.recovery.sent(2)!.next - 1
    tell(pair, "server", (w) => void writeAck(w, -1, Float64Array.of(largest, largest), 1, 0, 0, 0, 0, false))
    assert.strictEqual(carrier.bytesInFlight, 0)
    assert.isTrue(stream.isFlushed)
  })

  it("RFC 9000 13.1: acknowledging what was never sent on that path is a PROTOCOL_VIOLATION", () => {
    const pair = withPaths(few)
    const sent = pair.accepted.path(1)!.recovery.sent(2)!.next
    tell(pair, "server", (w) => void writeAck(w, 1, Float64Array.of(sent + 3, sent + 3), 1, 0, 0, 0, 0, false))
    assert.strictEqual(transportCode(pair.server), TransportError.protocolViolation)
  })

  it("ACK-4: acknowledgements of all paths over a single one serve as well (SCN-20)", () => {
    const pair = withPaths(few)
    // As noq does it: whatever the client acknowledges leaves on path 0.
    pair.links[1]!.set({ forward: { up: false } })
    const { goodput } = transfer(pair, { bytes: 10_000_000 })
    assert.isAbove(goodput, 30)
  })
})

describe("KEY: key updates with two paths", () => {
  it("KEY-1, KEY-2: during a transfer, on both paths, and none again before three of the largest PTOs", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 5, queue: 100 },
        { mbps: 20, delay: 80, queue: 100 }
      ]
    })
    const incoming = send(pair.accepted, pair.connection, 5_000_000)
    pair.run(pair.simulator.now + 500)
    assert.isTrue(pair.accepted.updateKeys(pair.simulator.now))
    const pto = Math.max(...pair.accepted.paths.map((path) => path.recovery.pto))
    const start = pair.simulator.now
    const next = pair.until(() => pair.accepted.updateKeys(pair.simulator.now), start + 5000)
    assert.isAbove(next - start, 3 * pto * 0.8)
    pair.until(() => incoming.finished, 20_000)
    intact(incoming, 5_000_000, "across updates")
    assert.strictEqual(pair.accepted.stats().keyUpdates, 2)
    assert.strictEqual(pair.connection.stats().keyUpdates, 2)
    assert.strictEqual(pair.connection.stats().packetsDropped, 0)
  })

  it("from both sides at once, with loss and one path lagging behind", () => {
    for (const seed of [1, 2]) {
      const pair = withPaths({
        seed,
        links: [
          { mbps: 20, delay: 5, queue: 100, loss: 0.02 },
          { mbps: 20, delay: 80, queue: 100, loss: 0.02 }
        ]
      })
      const up = send(pair.connection, pair.accepted, 2_000_000)
      const down = send(pair.accepted, pair.connection, 2_000_000)
      const done = pair.until(() => {
        pair.connection.updateKeys(pair.simulator.now)
        pair.accepted.updateKeys(pair.simulator.now)
        return up.finished && down.finished
      }, pair.simulator.now + 60_000)
      assert.isAtLeast(done, 0, `seed ${seed}`)
      intact(up, 2_000_000, `seed ${seed}`)
      intact(down, 2_000_000, `seed ${seed}`)
      assert.isAtLeast(pair.connection.stats().keyUpdates, 3)
      assert.strictEqual(pair.client.closes.length, 0)
    }
  })

  it("SCN-5: while a path opens", () => {
    const pair = connected()
    exchange(pair, 10_000, 1000, "before")
    openPath(pair, 1)
    pair.run(pair.simulator.now + 10)
    assert.isTrue(pair.connection.updateKeys(pair.simulator.now))
    pair.connection.wake()
    awaitPath(pair, 1)
    const result = transfer(pair, { bytes: 1_000_000 })
    assert.isAbove(result.stats.paths[1]!.streamBytesSent, 200_000)
    assert.strictEqual(pair.accepted.stats().keyUpdates, 1)
  })
})

describe("IDL: idle timeout", () => {
  it("IDL-1: what arrives on any path keeps the connection", () => {
    const pair = withPaths({ settings: { idleTimeout: 3000 } })
    pair.links[0]!.cut()
    for (let i = 0; i < 10; i++) {
      pair.connection.probePath(1, pair.simulator.now)
      pair.connection.wake()
      pair.run(pair.simulator.now + 1000)
    }
    assert.deepStrictEqual(pair.client.closes, [])
    assert.deepStrictEqual(pair.server.closes, [])
    const last = pair.simulator.now
    pair.links[1]!.cut()
    pair.until(() => pair.client.closes.length > 0 && pair.server.closes.length > 0, last + 20_000)
    assert.deepStrictEqual(ending(pair.client), { kind: "idleTimeout", after: 3000 })
    assert.deepStrictEqual(ending(pair.server), { kind: "idleTimeout", after: 3000 })
  })

  it("IDL-2: a path may be silent for longer than the connection, and still serve", () => {
    const pair = withPaths({ settings: { idleTimeout: 3000, keepAlive: 1000 } })
    pair.run(pair.simulator.now + 15_000)
    assert.strictEqual(pair.connection.path(1)!.state, "active")
    const result = transfer(pair, { bytes: 2_000_000 })
    assert.isAbove(result.stats.paths[1]!.streamBytesSent, 500_000)
  })
})
