/** Connection IDs: enough of them, for as long as packets may come to them (RFC 9000 section 5.1; draft-21 section 3.2). */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { RemoteConnectionIds } from "../../src/internal/paths/RemoteConnectionIds.ts"
import { writeNewConnectionId, writeRetireConnectionId } from "../../src/internal/wire/FrameWriter.ts"
import { frames, inject } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import { FrameLog, transfer, withPaths } from "../support/Multipath.ts"
import { establish, established, exchange, seeds, send, intact } from "../support/Scenario.ts"

const MB = 1_000_000

const rotate = (connection: Connection, pathId: number): void => {
  assert.isTrue(connection.core.paths.rotateRemoteId(connection.core.paths.get(pathId)!))
  connection.wake()
}

const sequences = (connection: Connection, pathId = 0): ReadonlyArray<number> =>
  connection.core.paths.get(pathId)!.localIds.ids.map(({ sequence }) => sequence)

describe("RFC 9000 5.1.2: IDs that the peer has retired", () => {
  it("C10: packets of a slow path that were sent before are taken, and draw no reset", () => {
    for (const seed of seeds(3)) {
      const links = [
        { mbps: 50, delay: 5, queue: 200 },
        { mbps: 50, delay: 100, queue: 400 }
      ]
      const pair = withPaths({ seed, links })
      const upload = send(pair.connection, pair.accepted, 8 * MB)
      pair.run(pair.simulator.now + 800)
      const before = pair.server.endpoint.stats()
      const { packetsReceived } = pair.accepted.core.paths.get(1)!
      rotate(pair.connection, 1)
      pair.run(pair.simulator.now + 300)
      assert.isAbove(pair.accepted.core.paths.get(1)!.packetsReceived - packetsReceived, 100)
      const after = pair.server.endpoint.stats()
      assert.strictEqual(after.datagramsDropped, before.datagramsDropped, `seed ${seed}: datagrams dropped`)
      assert.strictEqual(after.statelessResetsSent, 0)
      pair.until(() => upload.finished, pair.simulator.now + 20_000, 5)
      intact(upload, 8 * MB, `seed ${seed}`)
    }
  })

  it("C10: after three probe timeouts their routes are gone", () => {
    const pair = established()
    pair.run(pair.simulator.now + 500)
    const { routes } = pair.server.endpoint.stats()
    rotate(pair.connection, 0)
    pair.run(pair.simulator.now + 30)
    assert.strictEqual(pair.server.endpoint.stats().routes, routes + 1, "the old one, and one more in its place")
    pair.run(pair.simulator.now + 2000)
    assert.strictEqual(pair.server.endpoint.stats().routes, routes)
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 2000)
    assert.strictEqual(pair.server.endpoint.stats().routes, 0)
  })

  it("C10: however many a peer retires, a bounded number leads anywhere", () => {
    const pair = established()
    pair.run(pair.simulator.now + 200)
    const { routes } = pair.server.endpoint.stats()
    pair.server.tap = () => false
    // Never the one in use: each retirement brings a new one, which is retired in turn.
    for (let sequence = 1; sequence < 400; sequence++) {
      inject(
        pair.simulator,
        pair.connection,
        frames((w) => writeRetireConnectionId(w, sequence))
      )
      pair.run(pair.simulator.now + 0.1)
    }
    pair.run(pair.simulator.now + 15)
    assert.strictEqual(pair.server.closes.length, 0)
    assert.isAtMost(pair.server.endpoint.stats().routes, routes + 32)
    pair.run(pair.simulator.now + 5000)
    assert.isAtMost(pair.server.endpoint.stats().routes, routes)
  })
})

/**
 * A peer that takes a fresh ID for each address and keeps the old ones until it is asked to give them back: so several
 * servers of others do.
 */
const hoard = (ids: RemoteConnectionIds, obedient = true): Set<number> => {
  const used = new Set<number>()
  const own = ids as unknown as { ids: Array<{ sequence: number }>; retire: (sequence: number) => void }
  const retire = own.retire.bind(ids)
  const add = ids.add.bind(ids)
  let asked = 0
  own.retire = (sequence) => {
    if (obedient && sequence < asked) retire(sequence)
    else used.add(sequence)
  }
  ids.add = (sequence, retirePriorTo, bytes, token) => {
    asked = Math.max(asked, retirePriorTo)
    const problem = add(sequence, retirePriorTo, bytes, token)
    for (const one of used) {
      if (!obedient || one >= asked) continue
      used.delete(one)
      retire(one)
    }
    return problem
  }
  return used
}

describe("RFC 9000 5.1.1: a client whose address changes again and again", () => {
  const behindNat = (connectionIds: number, limit: number) => {
    const pair = new Pair({
      client: { settings: { keepAlive: 100, connectionIds } },
      server: { settings: { activeConnectionIdLimit: limit } }
    })
    const nat = pair.simulator.nat({ outside: "203.0.113.1", inside: ["10.0.0.*"] })
    assert.isAbove(establish(pair), 0)
    pair.run(pair.simulator.now + 300)
    return { pair, nat }
  }

  it.each([
    [4, 8],
    [8, 8],
    [2, 8],
    [3, 3],
    [64, 2]
  ])("E1: %i IDs, limit %i: 25 rebindings at a server that keeps used IDs until asked", (connectionIds, limit) => {
    const { pair, nat } = behindNat(connectionIds, limit)
    const { remoteIds } = pair.accepted.core.paths.primary
    hoard(remoteIds)
    const used = new Set<number>()
    for (let i = 0; i < 25; i++) {
      used.add(remoteIds.active!.sequence)
      nat.rebind()
      pair.run(pair.simulator.now + 400)
      assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0, `rebinding ${i + 1}`)
      assert.isAtMost(sequences(pair.connection).length, 2 * Math.min(connectionIds, limit))
    }
    assert.strictEqual(used.size, 25, "each address has an ID of its own")
    exchange(pair, 10_000, 1000, "after 25")
  })

  it("E1: a server that gives nothing back, even when asked, gets a bounded number", () => {
    const { pair, nat } = behindNat(4, 8)
    hoard(pair.accepted.core.paths.primary.remoteIds, false)
    for (let i = 0; i < 20; i++) {
      nat.rebind()
      pair.run(pair.simulator.now + 300)
      assert.isAtMost(sequences(pair.connection).length, 8)
    }
    assert.isAtMost(pair.client.endpoint.stats().routes, 20)
  })

  it("E1, CID-8: as many as the peer's limit and the setting allow, for path 0 and every path that is opened", () => {
    for (const [connectionIds, limit] of [
      [4, 8],
      [8, 3],
      [2, 4]
    ] as const) {
      const pair = withPaths({ settings: { connectionIds, activeConnectionIdLimit: limit } })
      pair.run(pair.simulator.now + 300)
      const count = Math.min(connectionIds, limit)
      for (const connection of [pair.connection, pair.accepted]) {
        assert.strictEqual(sequences(connection, 0).length, count)
        assert.strictEqual(sequences(connection, 1).length, count)
        // A path that is not used yet: one to begin with, and one to move.
        assert.strictEqual(connection.core.paths.unusedLocal.get(2)!.ids.length, Math.min(2, count))
      }
    }
  })

  it("E1: between two of ours nobody is asked to retire anything in a quiet life", () => {
    const pair = withPaths()
    const logs = [new FrameLog(pair.connection), new FrameLog(pair.accepted)]
    transfer(pair, { bytes: 4 * MB })
    for (const log of logs) {
      assert.deepStrictEqual(log.of("newConnectionId"), [])
      assert.deepStrictEqual(log.of("retireConnectionId"), [])
    }
  })

  it("E1, 5.1.2: a peer that uses its last ID is asked for those before, and gets as many new ones", () => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    assert.deepStrictEqual(sequences(pair.accepted), [0, 1, 2, 3])
    hoard(pair.connection.core.paths.primary.remoteIds)
    for (const expected of [
      [0, 1, 2, 3],
      [2, 3, 4, 5]
    ]) {
      rotate(pair.connection, 0)
      exchange(pair, 1000, 1000, "on the next ID")
      pair.run(pair.simulator.now + 500)
      assert.deepStrictEqual(sequences(pair.accepted), expected)
    }
  })
})

describe("RFC 9000 5.1.2: an ID that the peer asks back while it is kept for an address", () => {
  it("E2: the one that is held for the previous address is given back too", () => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    const { primary } = pair.accepted.core.paths
    const { local, remote, remoteIds } = primary
    remoteIds.move(primary, local, pair.simulator.addresses.intern("10.0.0.2", 1))
    assert.strictEqual(remoteIds.idOf(local, remote)!.sequence, 0)
    assert.strictEqual(remoteIds.active!.sequence, 1)
    const log = new FrameLog(pair.accepted)
    inject(
      pair.simulator,
      pair.connection,
      frames((w) => writeNewConnectionId(w, 4, 2, new Uint8Array(8).fill(44), new Uint8Array(16).fill(44)))
    )
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(remoteIds.active!.sequence, 2)
    // Nor is the one of the new address good for the old one (section 9.5).
    assert.isUndefined(remoteIds.idOf(local, remote))
    assert.sameMembers(
      log.of("retireConnectionId").map(({ value }) => value),
      [0, 1]
    )
  })

  it("E2: back at the previous address its ID is in use again, and the one in between is given back", () => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    const { primary } = pair.accepted.core.paths
    const { local, remote, remoteIds } = primary
    const elsewhere = pair.simulator.addresses.intern("10.0.0.2", 1)
    remoteIds.move(primary, local, elsewhere)
    remoteIds.restore({ local, remote: elsewhere }, local, remote)
    remoteIds.release()
    assert.strictEqual(remoteIds.active!.sequence, 0)
    assert.deepStrictEqual(remoteIds.pendingRetire, [1])
  })
})
