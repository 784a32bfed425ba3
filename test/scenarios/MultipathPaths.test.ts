/** How paths begin: who may open them, what proves them, what limits them (draft-21 sections 3.1, 3.2, 4.6, 4.7). */
import { assert, describe, it } from "@effect/vitest"
import { CHALLENGE_LENGTH, PathValidation } from "../../src/internal/paths/PathValidation.ts"
import { SentFrameKind } from "../../src/internal/recovery/SentFrames.ts"
import { PathError } from "../../src/internal/wire/Protocol.ts"
import { make as seededBytes } from "../../src/testing/SeededRandom.ts"
import { Pair } from "../support/Machines.ts"
import {
  awaitPath,
  closePath,
  connected,
  eventsOf,
  FrameLog,
  openInTheEnd,
  openPath,
  pairOptions,
  transfer,
  validated,
  withPaths
} from "../support/Multipath.ts"
import { established, exchange, seeds } from "../support/Scenario.ts"

const links = (count: number) => Array.from({ length: count }, () => ({ mbps: 20, delay: 15, queue: 100 }))

/** What `openPath` says about a link. */
const tryOpen = (pair: Pair, link: number): number | string => {
  const answer = pair.connection.openPath({ local: pair.client.addresses[link]! }, pair.simulator.now)
  pair.connection.wake()
  return answer
}

describe("INI: opening", () => {
  it("INI-2, INI-5: a path opens at both ends, works in one round trip and a half, and leaves the first alone", () => {
    const pair = connected()
    const before = pair.accepted.path(0)!.packetsSent
    const start = pair.simulator.now
    assert.strictEqual(openPath(pair, 1), 1)
    assert.strictEqual(pair.connection.path(1)!.state, "validating")
    awaitPath(pair, 1)
    assert.isAtMost(pair.simulator.now - start, 50)
    assert.deepStrictEqual(pair.client.events, [
      { kind: "opened", pathId: 1, initiator: "local" },
      { kind: "validated", pathId: 1 }
    ])
    assert.deepStrictEqual(pair.server.events, [
      { kind: "opened", pathId: 1, initiator: "peer" },
      { kind: "validated", pathId: 1 }
    ])
    // More connection IDs for the path that is in use now, and acknowledgements of the client's.
    assert.isAtMost(pair.accepted.path(0)!.packetsSent - before, 4)
    assert.strictEqual(pair.accepted.path(1)!.remote, pair.client.addresses[1]!)
  })

  it("INI-1: the server opens none", () => {
    const pair = connected()
    const remote = pair.client.addresses[1]!
    assert.strictEqual(pair.accepted.openPath({ local: pair.server.addresses[0]!, remote }, 100), "server")
  })

  it("refuses with the reason", () => {
    const early = new Pair(pairOptions())
    assert.strictEqual(tryOpen(early, 1), "notConfirmed")
    const single = connected({ settings: { maxPaths: 0 } })
    assert.strictEqual(tryOpen(single, 1), "notNegotiated")
    const pair = connected({ links: links(4) })
    assert.strictEqual(tryOpen(pair, 0), "duplicate")
    assert.strictEqual(tryOpen(pair, 1), 1)
    assert.strictEqual(tryOpen(pair, 1), "duplicate")
    assert.strictEqual(tryOpen(pair, 2), 2)
    assert.strictEqual(tryOpen(pair, 3), "pathLimit")
    pair.connection.close(0, "", pair.simulator.now)
    assert.strictEqual(tryOpen(pair, 3), "closed")
  })

  it("NEG-12: no second path to the address of a server that forbids migration, but to another one of its", () => {
    const forbids = established({
      ...pairOptions(),
      server: {
        settings: { maxPaths: 3 },
        parameters: (parameters) => ({ ...parameters, disableActiveMigration: true })
      }
    })
    assert.strictEqual(tryOpen(forbids, 1), "migrationDisabled")
    const other = forbids.simulator.addresses.intern("10.9.0.2", 4433)
    assert.strictEqual(
      forbids.connection.openPath({ local: forbids.client.addresses[1]!, remote: other }, forbids.simulator.now),
      1
    )
  })

  it("INI-6: data may follow at once, and arrives", () => {
    const pair = connected()
    openPath(pair, 1)
    transfer(pair, { bytes: 1_000_000, upload: true })
    assert.isAbove(pair.connection.path(1)!.streamBytesSent, 300_000)
  })

  it("CID-7: frames and packets in any order, the path opens and works", () => {
    const shuffled = { mbps: 20, delay: 10, queue: 100, reorder: 0.4, reorderDelay: 45 }
    for (const seed of seeds(15)) {
      const pair = established({ ...pairOptions({ links: [shuffled, shuffled, shuffled] }), seed })
      const opened = new Set<number>()
      const tried = pair.until(() => {
        for (const link of [1, 2]) if (!opened.has(link) && typeof tryOpen(pair, link) === "number") opened.add(link)
        return opened.size === 2
      }, 5000)
      assert.isAtLeast(tried, 0, `seed ${seed}`)
      awaitPath(pair, 1, 8000)
      awaitPath(pair, 2, 8000)
      assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0, `seed ${seed}`)
    }
  })

  it("INI-8, CID-14: without connection IDs of the peer it says so, and opens when they come", () => {
    const pair = new Pair(pairOptions())
    pair.until(() => pair.accepted !== undefined, 1000)
    const table = pair.accepted.core.paths
    const issue = table.issueConnectionIds.bind(table)
    table.issueConnectionIds = () => {}
    pair.until(() => pair.connection.confirmed, 1000)
    pair.run(200)
    const log = new FrameLog(pair.connection)
    assert.strictEqual(tryOpen(pair, 1), "noConnectionIds")
    pair.run(300)
    assert.deepStrictEqual(
      log.of("pathCidsBlocked").map(({ pathId, value }) => [pathId, value]),
      [[1, 0]]
    )
    issue()
    pair.accepted.wake()
    pair.run(400)
    awaitPath(pair, openPath(pair, 1))
  })

  it("INI-8: a server without connection IDs of the client answers as soon as it has them", () => {
    const pair = new Pair(pairOptions())
    const told = pair.connection.core.paths.frames
    const write = told.write.bind(told)
    told.write = () => {}
    assert.isAtLeast(
      pair.until(() => pair.connection.confirmed && pair.accepted.confirmed, 1000),
      0
    )
    pair.run(200)
    openPath(pair, 1)
    pair.run(300)
    assert.strictEqual(pair.accepted.path(1)?.state, "validating")
    assert.strictEqual(pair.accepted.path(1)?.packetsSent, 0)
    told.write = write
    pair.connection.wake()
    awaitPath(pair, 1, 3000)
  })
})

describe("VAL: validation", () => {
  it("VAL-5, NON-6: nothing reaches the server: the client gives up, abandons, and the server never noticed", () => {
    const pair = connected()
    pair.links[1]!.set({ forward: { up: false } })
    openPath(pair, 1)
    const log = new FrameLog(pair.connection)
    const failed = pair.until(() => eventsOf(pair.client, "abandoned").length > 0, 20_000)
    assert.isAtLeast(failed, 0)
    assert.deepStrictEqual(eventsOf(pair.client, "abandoned"), [
      { kind: "abandoned", pathId: 1, initiator: "local", code: PathError.unstableOrPoor }
    ])
    pair.run(failed + 10_000)
    assert.strictEqual(log.of("pathAbandon", 1).length, 1)
    assert.deepStrictEqual(
      pair.server.events.filter(({ kind }) => kind !== "closed"),
      []
    )
    assert.strictEqual(eventsOf(pair.client, "validated").length, 0)
    assert.strictEqual(eventsOf(pair.client, "closed", 1).length, 1)
    // The ID is used up.
    assert.strictEqual(openPath(pair, 1), 2)
    exchange(pair, 100_000, 5000, "after")
  })

  it("VAL-5: nothing comes back from the server: both hear that the path is abandoned", () => {
    const pair = connected()
    pair.links[1]!.set({ backward: { up: false } })
    openPath(pair, 1)
    pair.run(pair.simulator.now + 25_000)
    assert.deepStrictEqual(eventsOf(pair.client, "abandoned"), [
      { kind: "abandoned", pathId: 1, initiator: "local", code: PathError.unstableOrPoor }
    ])
    assert.deepStrictEqual(eventsOf(pair.server, "abandoned"), [
      { kind: "abandoned", pathId: 1, initiator: "peer", code: PathError.unstableOrPoor }
    ])
    assert.strictEqual(eventsOf(pair.server, "validated").length, 0)
    assert.strictEqual(eventsOf(pair.client, "closed", 1).length, 1)
    assert.strictEqual(eventsOf(pair.server, "closed", 1).length, 1)
    exchange(pair, 100_000, 5000, "after")
  })

  it("RFC 9000 8.2.1: lost challenges are repeated with growing intervals, and the third opens the path", () => {
    const pair = connected()
    const sent: Array<number> = []
    pair.client.tap = (datagram, from, _to, now) => {
      if (from !== pair.client.addresses[1]) return true
      if (datagram.length >= 1200) sent.push(now)
      return sent.length > 2
    }
    openPath(pair, 1)
    awaitPath(pair, 1, 10_000)
    assert.isAtLeast(sent.length, 3)
    // Like the path that is known: three of its RTT, and then twice that.
    assert.isAbove(sent[1]! - sent[0]!, 60)
    assert.isAbove(sent[2]! - sent[1]!, 1.5 * (sent[1]! - sent[0]!))
  })

  it("VAL-2: the server sends at most three times what came in, and no data, until the path is valid", () => {
    const pair = connected({ links: links(2) })
    let received = 0
    let sent = 0
    pair.client.tap = (datagram, from) => {
      if (from !== pair.client.addresses[1]) return true
      // The first datagram gets through, and nothing that would answer the server's challenge.
      if (received > 0) return false
      received = datagram.length
      return true
    }
    pair.server.tap = (datagram, _from, to) => {
      if (to === pair.client.addresses[1]) sent += datagram.length
      return true
    }
    openPath(pair, 1)
    transfer(pair, { bytes: 2_000_000 })
    pair.run(pair.simulator.now + 1000)
    assert.isAbove(received, 0)
    assert.isAbove(sent, 1200)
    assert.isAtMost(sent, 3 * received)
    assert.strictEqual(pair.accepted.path(1)!.streamBytesSent, 0)
    assert.isFalse(pair.accepted.path(1)!.validated)
    pair.client.tap = undefined
    awaitPath(pair, 1, 2000)
  })

  it("VAL-4: a path that does not carry 1200 bytes is not used", () => {
    for (const direction of [{ forward: { mtu: 1199 } }, { backward: { mtu: 1199 } }]) {
      const pair = connected()
      pair.links[1]!.set(direction)
      openPath(pair, 1)
      pair.run(pair.simulator.now + 25_000)
      assert.strictEqual(eventsOf(pair.client, "validated").length, 0)
      assert.strictEqual(eventsOf(pair.client, "abandoned", 1).length, 1)
    }
  })

  it("VAL-4: a challenge that could not be expanded proves the address and not the size", () => {
    const validation = new PathValidation(seededBytes(1))
    validation.start(0, 100, 1000)
    const small = validation.pending!
    validation.onSent(0, false)
    assert.isTrue(validation.onTimeout(100))
    const large = validation.pending!
    validation.onSent(100, true)
    assert.isFalse(validation.onResponse(new Uint8Array(CHALLENGE_LENGTH), 0))
    assert.isTrue(validation.onResponse(small, 0))
    assert.isFalse(validation.expanded)
    validation.start(150, 100, 1000)
    // A late answer of the first attempt is none of the second.
    assert.isFalse(validation.onResponse(large, 0))
    const again = validation.pending!
    validation.onSent(200, true)
    assert.isTrue(validation.onResponse(again, 0))
    assert.isTrue(validation.expanded)
    assert.isFalse(validation.running)
  })

  it("VAL-4: a server held back by the 3x limit proves the size once the address is valid", () => {
    const pair = connected()
    let first = true
    pair.server.tap = (datagram, _from, to) => {
      if (to === pair.client.addresses[1] && first) {
        first = false
        assert.isBelow(datagram.length, 1200)
      }
      return true
    }
    openPath(pair, 1)
    // As if the client's datagram had been small: all that the server may send then is small too.
    const path = () => pair.accepted.path(1)
    const create = pair.accepted.core.paths.openFromPeer.bind(pair.accepted.core.paths)
    pair.accepted.core.paths.openFromPeer = (id, local, remote) => {
      const opened = create(id, local, remote)
      if (opened !== undefined) opened.unvalidatedSent = 3000
      return opened
    }
    pair.until(() => validated(pair.accepted, 1), pair.simulator.now + 5000)
    assert.isTrue(path()!.validated)
    assert.isFalse(path()!.sizeProven)
    pair.run(pair.simulator.now + 500)
    assert.isTrue(path()!.sizeProven)
    assert.strictEqual(eventsOf(pair.server, "validated", 1).length, 1)
  })

  it("a path that is closed while it is validated never counts as valid (SCN-7)", () => {
    const pair = connected()
    openPath(pair, 1)
    pair.run(pair.simulator.now + 20)
    assert.isTrue(closePath(pair, pair.connection, 1))
    pair.run(pair.simulator.now + 10_000)
    assert.strictEqual(eventsOf(pair.client, "validated").length, 0)
    assert.strictEqual(eventsOf(pair.client, "closed", 1).length, 1)
    assert.strictEqual(eventsOf(pair.server, "closed", 1).length, 1)
  })

  it("C15: a probe is a challenge, and there is an event whether it is answered or not", () => {
    const pair = withPaths()
    const probe = (): ReadonlyArray<unknown> => {
      pair.client.events.length = 0
      pair.connection.probePath(1, pair.simulator.now)
      pair.connection.wake()
      pair.run(pair.simulator.now + 4_000)
      return eventsOf(pair.client, "probed")
    }
    const log = new FrameLog(pair.connection)
    assert.deepStrictEqual(probe(), [{ kind: "probed", pathId: 1, answered: true }])
    assert.isTrue(log.all.some(({ kind }) => kind === SentFrameKind.pathChallenge))
    pair.links[1]!.cut()
    assert.deepStrictEqual(probe(), [{ kind: "probed", pathId: 1, answered: false }])
    assert.isTrue(pair.connection.path(1)!.open)
  })

  it("30 % loss: paths open, carry data and close", () => {
    for (const seed of seeds(6)) {
      const lossy = { mbps: 20, delay: 15, queue: 100, loss: 0.3 }
      const pair = established({ ...pairOptions({ links: [lossy, lossy] }), seed })
      const id = openInTheEnd(pair, 1)
      exchange(pair, 50_000, 60_000, `seed ${seed}`)
      assert.isTrue(closePath(pair, pair.connection, id))
      const closed = pair.until(
        () => eventsOf(pair.client, "closed", id).length === 1 && eventsOf(pair.server, "closed", id).length === 1,
        pair.simulator.now + 25_000
      )
      assert.isAtLeast(closed, 0, `seed ${seed}`)
      assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0)
    }
  })
})

describe("MPI, BLK, CID: limits", () => {
  it("CID-5, CID-6, CID-10: connection IDs for every path that both sides allow, and for none above", () => {
    const pair = new Pair({
      ...pairOptions(),
      client: { settings: { maxPaths: 3 } },
      server: { settings: { maxPaths: 8 } }
    })
    const fromClient = new FrameLog(pair.connection)
    pair.until(() => pair.accepted !== undefined, 1000)
    const fromServer = new FrameLog(pair.accepted)
    pair.run(500)
    for (const log of [fromClient, fromServer]) {
      const issued = log.of("newConnectionId").map(({ pathId, value }) => `${pathId}:${value}`)
      assert.deepStrictEqual(issued.toSorted(), ["0:1", "0:2", "0:3", "1:0", "1:1", "2:0", "2:1"])
    }
  })

  it("BLK-3, BLK-4: blocked by the peer's limit it says so once for each limit, and again when that is lost", () => {
    const pair = connected({ links: links(3), server: { settings: { maxPaths: 2 } } })
    pair.run(200)
    const log = new FrameLog(pair.connection)
    awaitPath(pair, openPath(pair, 1))
    pair.client.tap = () => false
    assert.strictEqual(tryOpen(pair, 2), "pathLimit")
    assert.strictEqual(tryOpen(pair, 2), "pathLimit")
    pair.run(pair.simulator.now + 10)
    assert.deepStrictEqual(
      log.of("pathsBlocked").map(({ value }) => value),
      [1]
    )
    pair.client.tap = undefined
    pair.run(pair.simulator.now + 1000)
    assert.strictEqual(log.of("pathsBlocked").length, 2)
    assert.strictEqual(tryOpen(pair, 2), "pathLimit")
    pair.run(pair.simulator.now + 1000)
    assert.strictEqual(log.of("pathsBlocked").length, 2)
    // MPI: a path that ended makes room for one more.
    assert.isTrue(closePath(pair, pair.accepted, 1))
    pair.run(pair.simulator.now + 5000)
    awaitPath(pair, openPath(pair, 2))
    assert.strictEqual(pair.accepted.paths.length, 2)
  })

  it("CID-11: the limit that is our own is no news for the peer", () => {
    const pair = connected({ links: links(3), client: { settings: { maxPaths: 2 } } })
    pair.run(200)
    awaitPath(pair, openPath(pair, 1))
    const log = new FrameLog(pair.connection)
    assert.strictEqual(tryOpen(pair, 2), "pathLimit")
    pair.run(pair.simulator.now + 500)
    assert.deepStrictEqual(log.of("maxPathId"), [])
    assert.deepStrictEqual(log.of("pathsBlocked"), [])
  })

  it("MPI-3: MAX_PATH_ID and the connection IDs of the new path arrive although they were lost (SCN-3, SCN-4)", () => {
    const pair = withPaths({ links: links(2) })
    const log = new FrameLog(pair.accepted)
    closePath(pair, pair.connection, 1)
    pair.until(() => eventsOf(pair.server, "closed", 1).length > 0, 10_000)
    pair.links[0]!.cut()
    pair.run(pair.simulator.now + 400)
    pair.links[0]!.restore()
    pair.run(pair.simulator.now + 3000)
    assert.isAtLeast(log.of("maxPathId").length, 2)
    assert.deepStrictEqual(new Set(log.of("maxPathId").map(({ value }) => value)), new Set([3]))
    assert.strictEqual(openPath(pair, 1), 2)
    awaitPath(pair, 2)
    closePath(pair, pair.connection, 2)
    pair.run(pair.simulator.now + 5000)
    assert.strictEqual(openPath(pair, 1), 3)
    awaitPath(pair, 3)
  })
})
