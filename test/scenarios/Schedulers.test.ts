/**
 * All schedulers over simulated networks: what each of them obeys, whatever the topology (status, failure, validation, window,
 * pacing, the 3x limit, affinity of streams and datagrams, packet sizes), and what each of them is for.
 */
import { assert, describe, it } from "@effect/vitest"
import { Path } from "../../src/internal/paths/Path.ts"
import { PathClass, pathClass } from "../../src/internal/paths/usable.ts"
import type { Factory, PathView, SelectContext } from "../../src/internal/paths/Scheduler.ts"
import { backup } from "../../src/internal/paths/schedulers/Backup.ts"
import { minRtt } from "../../src/internal/paths/schedulers/MinRtt.ts"
import { weightedRoundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { lowLatency, pattern, pump, roundRobin } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, connected, openPath, transfer, withPaths } from "../support/Multipath.ts"
import { exchange, Incoming, intact, send } from "../support/Scenario.ts"
import { schedulerNames, schedulers } from "../support/Schedulers.ts"
import { Sealed } from "../support/Sealed.ts"

const MB = 1_000_000

type OnChoice = (context: SelectContext, chosen: PathView | undefined) => void

/** The same scheduler, of which each choice is told. */
const watched =
  (factory: Factory, onChoice: OnChoice): Factory =>
  () => {
    const own = factory()
    return {
      name: own.name,
      get steady() {
        return own.steady
      },
      redundancy: own.redundancy,
      select: (context) => {
        const chosen = own.select(context)
        onChoice(context, chosen)
        return chosen
      }
    }
  }

/** What no choice may be, of any scheduler. */
const lawful = (
  all: (context: SelectContext) => ReadonlyArray<PathView>
): { readonly onChoice: OnChoice; readonly count: () => number } => {
  let choices = 0
  return {
    count: () => choices,
    onChoice: (context, chosen) => {
      const best = Math.min(...all(context).map((path) => pathClass(path as Path)))
      for (const path of context.paths) {
        assert.instanceOf(path, Path)
        // Status, failure and validation: only paths of the best class that there is are offered.
        assert.strictEqual(pathClass(path as Path), best)
        assert.isBelow(best, PathClass.none)
      }
      if (chosen === undefined) return
      choices++
      assert.include(context.paths, chosen)
      assert.isTrue(chosen.canSend)
      // Window, pacing and the 3x limit, looked at without `canSend`.
      const path = chosen as Path
      assert.isAtMost(path.bytesInFlight + path.mtu, path.congestionWindow)
      assert.isAtMost(path.nextSendTime, context.now)
      assert.isTrue(path.validated || path.amplificationBudget() >= path.mtu)
    }
  }
}

/** Sizes of packets that links carry, one of the smallest that QUIC works with. */
const MTUS = [1200, 1252, 1300, 1400, 1452]

const topology = (random: Prng): ReadonlyArray<DuplexOptions> =>
  Array.from({ length: 2 + random.int(2) }, () => ({
    mbps: 2 + random.int(40),
    delay: 2 + random.int(80),
    queue: 30 + random.int(150),
    mtu: MTUS[random.int(MTUS.length)]!,
    loss: random.chance(0.3) ? 0.01 : 0
  }))

/** Stream data that a node has sealed for a path, in bytes. */
const streamBytesOf = (sealed: Sealed, streamId: number): ReadonlyArray<number> => {
  const bytes = [0, 0, 0]
  for (const { frames, pathId } of sealed.packets)
    for (const frame of frames) if (frame.streamId === streamId) bytes[pathId]! += frame.length
  return bytes
}

describe("whatever the topology", () => {
  for (const name of schedulerNames) {
    it(`${name}: obeys status, failure, validation, window, pacing, affinity and packet size; all arrives, no mistakes`, () => {
      for (let seed = 1; seed <= 2; seed++) {
        const what = `${name}, seed ${seed}`
        const random = new Prng(seed * 100 + name.length)
        const links = topology(random)
        const opened: { pair?: Pair } = {}
        // During the handshake there is one path, and nothing to choose.
        const law = lawful((context) => opened.pair?.accepted.paths ?? context.paths)
        const sealed = new Sealed()
        const pair = connected({
          seed,
          links,
          client: { scheduler: schedulers[name] },
          server: { scheduler: watched(schedulers[name], law.onChoice), protection: sealed.protection }
        })
        opened.pair = pair
        const { accepted, connection, simulator } = pair
        // Paths open while data flows, so that some are not proven yet.
        const bulk = send(accepted, connection, MB / 4)
        for (let link = 1; link < links.length; link++) {
          awaitPath(pair, openPath(pair, link), 10_000)
        }
        const bound = links.length - 1
        const stream = accepted.streams.open(true)!
        stream.setPaths([bound])
        pump(accepted, stream, 60_000)
        const incoming = new Incoming(connection, true)
        for (let i = 0; i < 20; i++) accepted.datagrams.push(pattern(i, 500), bound)
        accepted.wake()
        pair.run(simulator.now + 50)
        accepted.setPathStatus(random.int(links.length), "backup")
        accepted.wake()
        pair.run(simulator.now + 100)
        const cut = pair.links[random.int(links.length)]!
        cut.cut()
        pair.run(simulator.now + 300)
        cut.restore()
        pair.until(() => bulk.finished && incoming.finished, simulator.now + 60_000, 5)
        intact(bulk, MB / 4, what)
        intact(incoming, 60_000, what)
        assert.strictEqual(accepted.stats().schedulerMistakes, 0, what)
        assert.isAbove(law.count(), 50, what)
        // Affinity.
        const elsewhere = streamBytesOf(sealed, stream.id).filter((_, id) => id !== bound)
        assert.deepStrictEqual(
          elsewhere,
          elsewhere.map(() => 0),
          what
        )
        const datagrams = sealed.with(FrameType.datagram, FrameType.datagramWithLength)
        assert.isAtLeast(datagrams.length, 1, what)
        for (const { pathId } of datagrams) assert.strictEqual(pathId, bound, what)
        // A packet with data is never larger than what its path carries: what was for a larger one is split.
        for (const { bytes, frames, pathId } of sealed.packets) {
          if (frames.some(({ type }) => type === FrameType.stream)) assert.isAtMost(bytes, links[pathId]!.mtu!, what)
        }
      }
    })
  }

  for (const name of schedulerNames) {
    it(`${name}: what is written in large packets is split for a path of small ones`, () => {
      const sealed = new Sealed()
      const links = [
        { mbps: 20, delay: 10, queue: 100, mtu: 1452 },
        { mbps: 20, delay: 12, queue: 100, mtu: 1210 }
      ]
      const pair = withPaths({ links, server: { scheduler: schedulers[name], protection: sealed.protection } })
      exchange(pair, 300_000, 10_000, "to know the sizes")
      assert.strictEqual(pair.accepted.path(0)!.mtu, 1452)
      const from = sealed.packets.length
      const incoming = send(pair.accepted, pair.connection, MB)
      pair.run(pair.simulator.now + 100)
      pair.links[0]!.cut()
      pair.until(() => incoming.finished, pair.simulator.now + 20_000, 5)
      intact(incoming, MB, name)
      const sizes = sealed.packets
        .slice(from)
        .filter(({ frames }) => frames.some(({ type }) => type === FrameType.stream))
      for (const { bytes, pathId } of sizes) assert.isAtMost(bytes, pathId === 0 ? 1452 : 1210)
      assert.isAbove(sizes.filter(({ bytes, pathId }) => pathId === 1 && bytes > 1150).length, 100)
    })
  }
})

/** The share of the packets that the scheduler gave to each path meanwhile. */
const sharesOf = (pair: Pair, during: () => void): ReadonlyArray<number> => {
  const before = pair.accepted.paths.map(({ packetsScheduled }) => packetsScheduled)
  during()
  const given = pair.accepted.paths.map(({ packetsScheduled }, id) => packetsScheduled - (before[id] ?? 0))
  const sum = given.reduce((all, one) => all + one, 0)
  return given.map((one) => one / sum)
}

const fat: DuplexOptions = { mbps: 100, delay: 15, queue: 1000 }
/** So little at a time that windows never decide. */
const trickle = (pair: Pair, messages: number, bytes = 12_000): void => {
  for (let i = 0; i < messages; i++) {
    transfer(pair, { bytes })
    pair.run(pair.simulator.now + 10)
  }
}

describe("round robin", () => {
  it("a path that opens late gets its share, and never all packets until it has caught up", () => {
    for (const scheduler of [roundRobin, weightedRoundRobin(new Map()), minRtt(0)]) {
      let run = 0
      let longest = 0
      const onChoice: OnChoice = ({ paths }, chosen) => {
        if (chosen === undefined || paths.length < 2) return
        run = chosen.id === 1 ? run + 1 : 0
        longest = Math.max(longest, run)
      }
      const pair = connected({ links: [fat, fat], server: { scheduler: watched(scheduler, onChoice) } })
      trickle(pair, 30)
      awaitPath(pair, openPath(pair, 1))
      const [first, second] = sharesOf(pair, () => trickle(pair, 30))
      assert.closeTo(first!, 0.5, 0.06)
      assert.closeTo(second!, 0.5, 0.06)
      assert.isAtMost(longest, 3)
    }
  })

  it("weights hold, whichever paths they favour, and a path without one counts as 1", () => {
    for (const [weights, expected] of [
      [
        [3, 1, 1],
        [0.6, 0.2, 0.2]
      ],
      [
        [1, 4, 5],
        [0.1, 0.4, 0.5]
      ],
      [
        [0.5, 1, 1],
        [0.2, 0.4, 0.4]
      ],
      [
        [2.5, undefined, 1.5],
        [0.5, 0.2, 0.3]
      ]
    ] as const) {
      const given = new Map(
        weights.flatMap((weight, i) => (weight === undefined ? [] : [[`10.0.${i}.1`, weight] as const]))
      )
      const pair = withPaths({ links: [fat, fat, fat], client: { scheduler: weightedRoundRobin(given) } })
      const before = pair.connection.paths.map(({ packetsScheduled }) => packetsScheduled)
      for (let i = 0; i < 40; i++) {
        transfer(pair, { bytes: 14_000, upload: true })
        pair.run(pair.simulator.now + 10)
      }
      const sent = pair.connection.paths.map(({ packetsScheduled }, id) => packetsScheduled - before[id]!)
      const sum = sent.reduce((all, one) => all + one, 0)
      for (const [id, share] of expected.entries()) assert.closeTo(sent[id]! / sum, share, 0.04, `${weights.join(":")}`)
    }
  })
})

describe("low latency", () => {
  it("a path whose RTT nobody knows has a bounded share, and all of its merits as soon as it is known", () => {
    let unknown = 0
    let choices = 0
    const onChoice: OnChoice = ({ paths }, chosen) => {
      if (chosen === undefined || !paths.some(({ hasRtt }) => !hasRtt)) return
      choices++
      if (!chosen.hasRtt) unknown++
    }
    const links = [
      { ...fat, delay: 60 },
      { ...fat, delay: 20 }
    ]
    const pair = connected({ links, server: { scheduler: watched(lowLatency, onChoice) } })
    exchange(pair, 200_000, 5000, "before")
    const incoming = send(pair.accepted, pair.connection, 3 * MB)
    pair.run(pair.simulator.now + 20)
    awaitPath(pair, openPath(pair, 1))
    pair.until(() => incoming.finished, pair.simulator.now + 5000)
    intact(incoming, 3 * MB, "beside the new path")
    // At most one in sixteen, and the first one.
    assert.isAtMost(unknown, choices / 16 + 1)
    const [first, second] = sharesOf(pair, () => trickle(pair, 20))
    assert.strictEqual(first, 0)
    assert.strictEqual(second, 1)
  })
})

describe("minRTT with bias", () => {
  it("bias 1 is the lowest RTT, 0 equal shares, 0.5 in between", () => {
    const share = (bias: number): number => {
      const links = [fat, { ...fat, delay: 45 }]
      const pair = withPaths({ links, server: { scheduler: minRtt(bias) } })
      // No window is ever full: a path that was away would start at the mean.
      trickle(pair, 5)
      return sharesOf(pair, () => trickle(pair, 40))[0]!
    }
    assert.isAtLeast(share(1), 0.98)
    assert.closeTo(share(0), 0.5, 0.03)
    // Equal scores: 0.5 = 0.5 / 3 + 0.5 (1 - q), so q is a third of the faster path's packets.
    assert.closeTo(share(0.5), 0.75, 0.06)
  })
})

describe("backup", () => {
  for (const primary of [0, 1]) {
    it(`path ${primary} carries all, is replaced when it is cut, and carries all again when it was back for a while`, () => {
      const links = [
        { mbps: 20, delay: 10, queue: 100 },
        { mbps: 20, delay: 20, queue: 100 }
      ]
      const other = 1 - primary
      const pair = withPaths({ links, server: { scheduler: backup(primary, 1000) } })
      const sent = (): ReadonlyArray<number> => pair.accepted.paths.map(({ packetsScheduled }) => packetsScheduled)
      // One that comes later is watched first, too.
      for (let i = 0; i < 15; i++) {
        transfer(pair, { bytes: 1000 })
        pair.run(pair.simulator.now + 100)
      }
      const before = sent()[other]!
      const incoming = send(pair.accepted, pair.connection, 6 * MB)
      pair.run(pair.simulator.now + 300)
      assert.strictEqual(sent()[other], before)
      pair.links[primary]!.cut()
      pair.run(pair.simulator.now + 500)
      assert.isAbove(sent()[other]! - before, 100)
      pair.links[primary]!.restore()
      const back = pair.until(() => pair.accepted.path(primary)!.state === "active", pair.simulator.now + 3000)
      assert.isAbove(back, 0)
      const then = sent()[primary]!
      pair.run(back + 950)
      assert.isAtMost(sent()[primary]! - then, 3, "still watched")
      pair.run(back + 1200)
      const returned = sent()[other]!
      pair.run(back + 1700)
      assert.strictEqual(sent()[other], returned, "the other rests again")
      assert.isAbove(sent()[primary]! - then, 100)
      pair.until(() => incoming.finished, pair.simulator.now + 20_000, 5)
      intact(incoming, 6 * MB, "in the end")
    })
  }
})

describe("redundant", () => {
  it("copies are bounded by the other paths' windows, their queue by 64 frames, and goodput is that of the fastest", () => {
    const links = [
      { mbps: 20, delay: 10, queue: 100 },
      { mbps: 2, delay: 40, queue: 50 }
    ]
    const alone = transfer(withPaths({ links: links.slice(0, 1) }), { bytes: 2 * MB })
    const pair = withPaths({ links, server: { scheduler: schedulers.redundant } })
    let waiting = 0
    const together = transfer(pair, {
      bytes: 2 * MB,
      step: () => {
        for (const path of pair.accepted.paths) {
          waiting = Math.max(waiting, path.duplicates?.count ?? 0)
          if (path.packetsLost === 0) assert.isAtMost(path.bytesInFlight, path.congestionWindow + path.mtu)
        }
      }
    })
    assert.isAtMost(waiting, 64)
    assert.isAtMost(together.time, 1.1 * alone.time)
    // What the slow link takes in that time, and not the whole transfer.
    assert.isAtMost(pair.accepted.path(1)!.recovery.bytesSent, ((2 * together.time) / 8) * 1000 + 150_000)
    assert.isAbove(pair.accepted.path(1)!.packetsDuplicated, 50)
  })
})
