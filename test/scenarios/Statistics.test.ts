/**
 * Statistics of connections and paths: they add up, on both sides and with what the network saw, and none is zero where
 * traffic flowed. Names with 2.C to 2.G cite what goes wrong in mp-quic-go.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { PacketCounters, PathStats } from "../../src/internal/connection/Machine.ts"
import { Space } from "../../src/internal/recovery/Space.ts"
import { PacketFlag } from "../../src/internal/recovery/SentPackets.ts"
import type { SelectContext } from "../../src/internal/paths/Scheduler.ts"
import { roundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import type { Pair } from "../support/Machines.ts"
import { Accounts } from "../support/Accounts.ts"
import {
  closePath,
  connected,
  eventsOf,
  openInTheEnd,
  transfer,
  unequalLinks,
  withPaths
} from "../support/Multipath.ts"
import { exchange, intact, seeds, send } from "../support/Scenario.ts"

/** What is outstanding by the records of packets, not by the counters. */
const outstanding = (connection: Connection): { readonly packets: number; readonly bytes: number } => {
  let packets = 0
  let bytes = 0
  for (const path of connection.paths) {
    for (const space of [Space.initial, Space.handshake, Space.application]) {
      const sent = path.recovery.sent(space)
      if (sent === undefined) continue
      for (let n = sent.base; n < sent.next; n++) {
        const slot = n & sent.mask
        if ((sent.flags[slot]! & PacketFlag.outstanding) === 0) continue
        packets++
        if ((sent.flags[slot]! & PacketFlag.inFlight) !== 0) bytes += sent.size[slot]!
      }
    }
  }
  return { packets, bytes }
}

const sum = (paths: ReadonlyArray<PathStats>, field: keyof PacketCounters): number =>
  paths.reduce((all, path) => all + path[field], 0)

const counted = [
  "packetsSent",
  "packetsReceived",
  "packetsAcked",
  "packetsLost",
  "packetsForgotten",
  "packetsOutstanding",
  "bytesSent",
  "bytesReceived",
  "bytesAcked",
  "bytesLost",
  "streamBytesSent",
  "streamBytesReceived",
  "bytesRetransmitted",
  "packetsScheduled",
  "probeTimeouts"
] as const

/** Everything that must hold of one side's figures at any moment. */
const consistent = (connection: Connection, message: string): void => {
  const stats = connection.stats()
  const open = outstanding(connection)
  assert.strictEqual(stats.packetsOutstanding, open.packets, `${message}: outstanding`)
  assert.strictEqual(
    stats.packetsSent,
    stats.packetsAcked + stats.packetsLost + stats.packetsForgotten + open.packets,
    `${message}: each packet that left`
  )
  assert.strictEqual(
    stats.paths.reduce((all, path) => all + path.bytesInFlight, 0),
    open.bytes,
    `${message}: bytes in flight`
  )
  assert.isAtMost(stats.bytesAcked + stats.bytesLost + open.bytes, stats.bytesSent, `${message}: bytes`)
  assert.isAtMost(stats.spuriousLosses, stats.packetsLost)
  assert.isAtMost(stats.bytesRetransmitted, stats.streamBytesSent)
  for (const path of stats.paths)
    assert.strictEqual(
      path.packetsSent,
      path.packetsAcked + path.packetsLost + path.packetsForgotten + path.packetsOutstanding,
      `${message}: path ${path.id}`
    )
}

/** How many paths it has had so far: their IDs are used up in order. */
const openedPaths = (connection: Connection): number => 1 + Math.max(...connection.paths.map(({ id }) => id))

/** What the network saw, against what both sides say: each 1-RTT packet is a datagram of its own. */
const agree = (pair: Pair, message: string): void => {
  const [client, server] = [pair.connection.stats(), pair.accepted.stats()]
  const directions = pair.links.map((link) => link.stats)
  const up = directions.reduce((all, { forward }) => all + forward.deliveredBytes, 0)
  const down = directions.reduce((all, { backward }) => all + backward.deliveredBytes, 0)
  const offeredUp = directions.reduce((all, { forward }) => all + forward.offeredBytes, 0)
  const offeredDown = directions.reduce((all, { backward }) => all + backward.offeredBytes, 0)
  assert.strictEqual(client.bytesSent, offeredUp, `${message}: bytes that the client sent`)
  assert.strictEqual(server.bytesSent, offeredDown, `${message}: bytes that the server sent`)
  // A datagram of the handshake may come before its keys, or after them.
  assert.isAtMost(server.bytesReceived, up, message)
  assert.isAtMost(client.bytesReceived, down, message)
  assert.isAtMost(up - server.bytesReceived, 4 * 1200, `${message}: bytes that came to the server`)
  assert.isAtMost(down - client.bytesReceived, 4 * 1200, `${message}: bytes that came to the client`)
  // What one side says was acknowledged the other has received.
  assert.isAtMost(client.packetsAcked + client.spuriousLosses, server.packetsReceived, message)
  assert.isAtMost(server.packetsAcked + server.spuriousLosses, client.packetsReceived, message)
  assert.isAtLeast(server.streamBytesSent, client.streamBytesReceived, message)
  assert.isAtLeast(client.streamBytesSent, server.streamBytesReceived, message)
}

describe("statistics", () => {
  it("add up at any moment of random transfers with loss, on both sides and with what the network saw", () => {
    for (const seed of seeds(12)) {
      const prng = new Prng(seed)
      const links: ReadonlyArray<DuplexOptions> = Array.from({ length: 1 + prng.int(3) }, () => ({
        mbps: 5 + prng.int(40),
        delay: 2 + prng.int(60),
        queue: 20 + prng.int(100),
        loss: prng.next() < 0.3 ? 0 : 0.05 * prng.next(),
        reorder: prng.next() < 0.5 ? 0 : 0.05,
        reorderDelay: 20
      }))
      const pair = connected({ seed, links, node: { scheduler: roundRobin } })
      for (let link = 1; link < links.length; link++) openInTheEnd(pair, link)
      const [up, down] = [
        send(pair.connection, pair.accepted, 10_000 + prng.int(400_000)),
        send(pair.accepted, pair.connection, 10_000 + prng.int(400_000))
      ]
      pair.until(
        () => {
          consistent(pair.connection, `seed ${seed}, client`)
          consistent(pair.accepted, `seed ${seed}, server`)
          return up.finished && down.finished
        },
        60_000,
        50
      )
      assert.isTrue(up.finished && down.finished, `seed ${seed}`)
      pair.run(pair.simulator.now + 3000)
      for (const connection of [pair.connection, pair.accepted]) {
        const stats = connection.stats()
        consistent(connection, `seed ${seed}, at the end`)
        for (const path of stats.paths) assert.strictEqual(path.bytesInFlight, 0, `seed ${seed}: in flight`)
        // Paths that were given up stay in the sums.
        const complete = connection.core.paths.all.length === openedPaths(connection)
        for (const field of counted) {
          const gone = stats[field] - sum(stats.paths, field)
          if (complete) assert.strictEqual(gone, 0, `seed ${seed}: ${field}`)
          else assert.isAtLeast(gone, 0, `seed ${seed}: ${field}`)
        }
        const shares = stats.paths.reduce((all, path) => all + path.schedulerShare, 0)
        if (complete) assert.approximately(shares, 1, 1e-9)
        else assert.isAtMost(shares, 1)
      }
      agree(pair, `seed ${seed}`)
    }
  })

  it("sums are those of the paths, the closed ones too, while paths come, go and fail at random", () => {
    let closed = 0
    for (const seed of seeds(8)) {
      const links = Array.from({ length: 3 }, (_, i) => ({ mbps: 10, delay: 5 + 10 * i, queue: 50, loss: 0.02 * i }))
      const pair = withPaths({ seed, links })
      const { accepted, connection, simulator } = pair
      const prng = new Prng(seed, "accounts")
      const books = [new Accounts(pair.client, connection), new Accounts(pair.server, accepted)]
      const [up, down] = [send(connection, accepted, 1_000_000), send(accepted, connection, 1_000_000)]
      const until = simulator.now + 30_000
      while (!(up.finished && down.finished) && simulator.now < until) {
        const side = prng.int(2) === 0 ? connection : accepted
        const path = side.paths[prng.int(side.paths.length)]!
        const link = prng.int(links.length)
        if (prng.int(4) === 0) closePath(pair, side, path.id)
        else if (prng.int(3) === 0) pair.links[link]!.set({ up: prng.int(3) > 0 })
        connection.openPath({ local: pair.client.addresses[link]! }, simulator.now)
        connection.wake()
        pair.run(simulator.now + 20 + prng.int(150))
        for (const account of books) assert.isUndefined(account.check(), `seed ${seed}, ${simulator.now} ms`)
        if (prng.int(4) === 0) for (const each of pair.links) each.restore()
      }
      intact(up, 1_000_000, `seed ${seed}, up`)
      intact(down, 1_000_000, `seed ${seed}, down`)
      pair.run(simulator.now + 8000)
      for (const account of books) assert.isUndefined(account.check(), `seed ${seed}, at the end`)
      closed += eventsOf(pair.client, "closed").length
      for (const [side, other] of [
        [connection.stats(), accepted.stats()],
        [accepted.stats(), connection.stats()]
      ] as const) {
        // Each byte once, and again only what is told of as sent again.
        const again = side.bytesRetransmitted + side.bytesDuplicated + side.bytesReinjected
        assert.isAtMost(side.streamBytesSent - again, 1_000_000, `seed ${seed}`)
        assert.isAtLeast(side.streamBytesSent, 1_000_000, `seed ${seed}`)
        assert.isAtLeast(other.streamBytesReceived, 1_000_000, `seed ${seed}`)
      }
    }
    assert.isAtLeast(closed, 8)
  })

  it("without loss each side has received what the other says it sent, packet by packet", () => {
    const links = unequalLinks.map((link) => ({ ...link, queue: 5000 }))
    const pair = withPaths({ links, node: { scheduler: roundRobin } })
    pair.run(pair.simulator.now + 1000)
    const before = [pair.connection.stats(), pair.accepted.stats()] as const
    exchange(pair, 2_000_000, 20_000, "no loss")
    pair.run(pair.simulator.now + 1000)
    const [client, server] = [pair.connection.stats(), pair.accepted.stats()]
    for (const [from, to, a, b] of [
      [client, server, before[0], before[1]],
      [server, client, before[1], before[0]]
    ] as const) {
      const lost = from.packetsLost - a.packetsLost
      assert.strictEqual(to.packetsReceived - b.packetsReceived, from.packetsSent - a.packetsSent - lost)
      // A probe of packet size that is too large for the way never arrives.
      assert.strictEqual(
        to.bytesReceived - b.bytesReceived,
        from.bytesSent - a.bytesSent - (from.bytesLost - a.bytesLost)
      )
      assert.strictEqual(to.streamBytesReceived, from.streamBytesSent)
      assert.strictEqual(from.streamBytesSent, 2_000_000)
      assert.strictEqual(from.bytesRetransmitted, 0)
    }
  })

  it("2.E: window, flight, rates and retransmissions are not zero where traffic flowed, on each path", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 15, queue: 100, loss: 0.02 },
        { mbps: 20, delay: 25, queue: 100, loss: 0.02 }
      ],
      node: { scheduler: roundRobin }
    })
    let flying = [0, 0]
    const { stats } = transfer(pair, {
      bytes: 3_000_000,
      step: () => {
        const { paths } = pair.accepted.stats()
        flying = paths.map((path, i) => Math.max(path.bytesInFlight, flying[i] ?? 0))
      }
    })
    for (const bytes of flying) assert.isAbove(bytes, 2 * 1200)
    assert.strictEqual(stats.paths.length, 2)
    for (const path of stats.paths) {
      for (const field of [
        "packetsSent",
        "packetsReceived",
        "packetsAcked",
        "packetsLost",
        "bytesSent",
        "bytesReceived",
        "bytesAcked",
        "bytesLost",
        "streamBytesSent",
        "bytesRetransmitted",
        "packetsScheduled",
        "congestionWindow",
        "pacingRate",
        "deliveryRate",
        "latestRtt",
        "smoothedRtt",
        "rttVariance",
        "minRtt",
        "mtu",
        "schedulerShare",
        "timeInState"
      ] as const)
        assert.isAbove(path[field], 0, `path ${path.id}: ${field}`)
      assert.strictEqual(path.state, "active")
      assert.isAtMost(path.bytesRetransmitted, path.bytesLost * 2)
    }
    assert.isAtLeast(stats.bytesRetransmitted, 3_000_000 * 0.005)
    assert.strictEqual(stats.streamBytesSent - stats.bytesRetransmitted, 3_000_000)
  })

  it("2.D: the round-trip times are those of the path itself, however different the paths are", () => {
    const links: ReadonlyArray<DuplexOptions> = [
      { mbps: 50, delay: 5, queue: 100 },
      { mbps: 50, delay: 90, queue: 400 }
    ]
    const pair = withPaths({ links, node: { scheduler: roundRobin } })
    exchange(pair, 1_000_000, 30_000, "different paths")
    for (const { paths } of [pair.connection.stats(), pair.accepted.stats()]) {
      for (const [i, path] of paths.entries()) {
        const rtt = 2 * links[i]!.delay!
        assert.isAtLeast(path.minRtt, rtt)
        assert.isAtLeast(path.smoothedRtt, rtt)
        assert.isBelow(path.smoothedRtt, rtt + 60)
      }
    }
  })

  it("2.C: what arrives on each path is acknowledged to its sender there", () => {
    const pair = withPaths({ links: unequalLinks, node: { scheduler: roundRobin } })
    exchange(pair, 500_000, 20_000, "both ways")
    pair.run(pair.simulator.now + 1000)
    for (const { paths } of [pair.connection.stats(), pair.accepted.stats()]) {
      for (const path of paths) assert.isAbove(path.bytesAcked, 0.9 * path.streamBytesSent)
    }
  })

  it("what a path did stays in the sums of the connection after its end", () => {
    const pair = withPaths({ links: unequalLinks, node: { scheduler: roundRobin } })
    send(pair.connection, pair.accepted, 600_000)
    pair.run(pair.simulator.now + 100)
    const before = pair.connection.stats()
    assert.isAbove(before.paths[1]!.packetsScheduled, 0)
    assert.isTrue(closePath(pair, pair.connection, 1))
    let last = before
    pair.until(
      () => {
        const now = pair.connection.stats()
        for (const field of counted) {
          if (field !== "packetsOutstanding") assert.isAtLeast(now[field], last[field], field)
        }
        consistent(pair.connection, "while the path ends")
        last = now
        return pair.connection.paths.length === 1
      },
      30_000,
      20
    )
    assert.strictEqual(pair.connection.paths.length, 1)
    const closed = pair.client.events.findLast((event) => event.kind === "closed")
    assert.isTrue(closed !== undefined && closed.kind === "closed")
    if (closed?.kind !== "closed") return
    const { stats } = closed
    assert.strictEqual(stats.state, "closed")
    assert.strictEqual(stats.packetsOutstanding, 0)
    assert.isAtLeast(stats.packetsSent, before.paths[1]!.packetsSent)
    const after = pair.connection.stats()
    for (const field of counted) assert.strictEqual(after[field], after.paths[0]![field] + stats[field], field)
    assert.strictEqual(after.streamBytesSent - after.bytesRetransmitted, 600_000)
  })

  it("the scheduler's share is the part of the packets that it gave to each path", () => {
    const chosen = [0, 0]
    const scheduler = () => {
      const own = roundRobin()
      return {
        ...own,
        name: "counting",
        steady: false,
        select: (context: SelectContext) => {
          const path = own.select(context)
          if (path !== undefined) chosen[path.id]!++
          return path
        }
      }
    }
    const pair = withPaths({ links: unequalLinks, node: {}, client: { scheduler } })
    transfer(pair, { bytes: 1_000_000, upload: true })
    const { packetsScheduled, paths } = pair.connection.stats()
    const all = chosen[0]! + chosen[1]!
    assert.isAtLeast(packetsScheduled, 1_000_000 / 1452)
    assert.approximately(packetsScheduled, all, 10)
    for (const path of paths) assert.approximately(path.schedulerShare, chosen[path.id]! / all, 0.01)
    assert.approximately(paths[0]!.schedulerShare + paths[1]!.schedulerShare, 1, 1e-9)
    assert.isAbove(paths[1]!.schedulerShare, 0.1)
  })

  it("a connection of one path has all of the scheduler's packets, and none before there are any", () => {
    const pair = connected()
    exchange(pair, 50_000, 5000, "one path")
    assert.strictEqual(pair.connection.stats().paths[0]!.schedulerShare, 1)
  })

  it("2.G: copies are counted on the path that they left on, and as nothing else", () => {
    const links: ReadonlyArray<DuplexOptions> = [
      { mbps: 20, delay: 10, queue: 100 },
      { mbps: 20, delay: 12, queue: 100 }
    ]
    const everything = () => ({ name: "all", stream: () => true, budget: 8 })
    const pair = withPaths({ links, node: { duplication: everything } })
    const before = pair.connection.stats()
    const incoming = send(pair.connection, pair.accepted, 100_000)
    pair.until(() => incoming.finished, 10_000)
    const { paths, ...all } = pair.connection.stats()
    assert.isAbove(all.bytesDuplicated, 50_000)
    assert.strictEqual(all.bytesDuplicated, pair.connection.streams.bytesCopied)
    assert.strictEqual(all.streamBytesSent - all.bytesDuplicated - all.bytesRetransmitted, 100_000)
    assert.strictEqual(all.bytesReinjected + all.packetsReinjected, 0)
    assert.isAtLeast(all.packetsDuplicated, all.bytesDuplicated / 1452)
    assert.isBelow(all.packetsDuplicated, all.packetsSent - before.packetsSent)
    assert.strictEqual(
      all.packetsDuplicated,
      paths.reduce((packets, path) => packets + path.packetsDuplicated, 0)
    )
  })

  it("reinjections are counted where they leave: the rest of the slow path on the fast one", () => {
    const links: ReadonlyArray<DuplexOptions> = [
      { mbps: 20, delay: 10, queue: 100 },
      { mbps: 5, delay: 150, queue: 100 }
    ]
    const reinjection = () => ({ name: "idle", modes: ["onIdle"] as const })
    const pair = withPaths({ links, node: { scheduler: roundRobin, reinjection } })
    const incoming = send(pair.connection, pair.accepted, 300_000)
    pair.until(() => incoming.finished, 20_000)
    assert.isTrue(incoming.finished)
    const [fast, slow] = pair.connection.stats().paths
    assert.isAbove(fast!.packetsReinjected, 3)
    assert.isAbove(fast!.bytesReinjected, 5000)
    assert.isBelow(slow!.bytesReinjected, fast!.bytesReinjected)
    assert.strictEqual(fast!.packetsDuplicated, 0)
  })

  it("the state of a path and the time in it follow what happens to it", () => {
    const pair = withPaths({ links: unequalLinks })
    const at = () => pair.connection.stats(pair.simulator.now).paths[1]!
    const active = at()
    assert.strictEqual(active.state, "active")
    pair.run(pair.simulator.now + 500)
    assert.approximately(at().timeInState - active.timeInState, 500, 1e-6)
    pair.links[1]!.cut()
    const stream = pair.connection.streams.open(false)!
    stream.setPaths([1])
    stream.write(new Uint8Array(1000))
    pair.connection.wake()
    assert.isAtLeast(
      pair.until(() => at().state === "potentiallyFailed", pair.simulator.now + 5000),
      0
    )
    assert.isAtMost(at().timeInState, 1)
    assert.isAtLeast(at().ptoCount, 1)
    assert.isAtLeast(at().probeTimeouts, at().ptoCount)
    const { probeTimeouts } = at()
    pair.links[1]!.restore()
    assert.isAtLeast(
      pair.until(() => at().state === "active", pair.simulator.now + 5000),
      0
    )
    assert.strictEqual(at().ptoCount, 0)
    assert.isAtLeast(at().probeTimeouts, probeTimeouts)
  })

  it("after the end of a connection its paths are closed, and the figures stay", () => {
    const pair = withPaths({ links: unequalLinks })
    exchange(pair, 100_000, 5000, "before the end")
    const before = pair.connection.stats()
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 250)
    const after = pair.connection.stats(pair.simulator.now)
    assert.deepStrictEqual(
      after.paths.map(({ state, timeInState }) => ({ state, timeInState })),
      [
        { state: "closed", timeInState: 250 },
        { state: "closed", timeInState: 250 }
      ]
    )
    assert.isAtLeast(after.packetsSent, before.packetsSent)
  })
})
