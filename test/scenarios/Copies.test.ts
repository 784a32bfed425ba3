/** Duplication, reinjection and the redundant scheduler: what they are for, measured, and what they may never do. */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { Policy as Duplication } from "../../src/internal/paths/DuplicationPolicy.ts"
import type { Policy as Reinjection, TargetContext } from "../../src/internal/paths/ReinjectionPolicy.ts"
import type { PathView, Factory as SchedulerFactory } from "../../src/internal/paths/Scheduler.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import { redundant } from "../../src/internal/paths/schedulers/Redundant.ts"
import { roundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"
import { pattern } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, closePath, connected, openPath } from "../support/Multipath.ts"
import { exchange, intact, say, send } from "../support/Scenario.ts"

interface Policies {
  readonly scheduler?: SchedulerFactory | undefined
  readonly duplication?: Duplication | undefined
  readonly reinjection?: Reinjection | undefined
}

const twoPaths = (links: ReadonlyArray<DuplexOptions>, policies: Policies = {}, seed = 1): Pair => {
  const { duplication, reinjection, scheduler } = policies
  const pair = connected({
    seed,
    links,
    node: {
      scheduler,
      duplication: duplication === undefined ? undefined : () => duplication,
      reinjection: reinjection === undefined ? undefined : () => reinjection
    }
  })
  pair.run(pair.simulator.now + 500)
  for (let link = 1; link < links.length; link++) awaitPath(pair, openPath(pair, link))
  return pair
}

/** ms that each of the messages took, in order of their size. */
const messageDelays = (pair: Pair, count: number): ReadonlyArray<number> => {
  const delays: Array<number> = []
  const { accepted, connection, simulator } = pair
  const sent: Array<number> = []
  const take = (): void => {
    for (let stream = accepted.streams.accept(false); stream !== undefined; stream = accepted.streams.accept(false)) {
      const one = stream
      const read = (): void => {
        one.readAll()
        if (one.isFinished) delays.push(simulator.now - sent[one.index]!)
        else one.readWaiter = read
      }
      read()
    }
    accepted.streams.setAcceptWaiter(false, take)
    accepted.wake()
  }
  take()
  const next = (): void => {
    const stream = connection.streams.open(false)!
    sent[stream.index] = simulator.now
    stream.write(pattern(0, 200))
    stream.finish()
    connection.wake()
    if (sent.length < count) simulator.at(simulator.now + 20, next)
  }
  next()
  assert.isAtLeast(
    pair.until(() => delays.length === count, simulator.now + 20 * count + 20_000, 5),
    0,
    "messages are missing"
  )
  return delays.toSorted((a, b) => a - b)
}

const at = (sorted: ReadonlyArray<number>, share: number): number => sorted[Math.floor(sorted.length * share)]!

const lossy: DuplexOptions = { mbps: 20, delay: 20, queue: 100, loss: 0.1 }
const everything: Duplication = { name: "test", stream: () => true }

/** ms until `total` bytes have arrived. */
const transferTime = (pair: Pair, total: number): number => {
  const start = pair.simulator.now
  const incoming = send(pair.connection, pair.accepted, total)
  pair.until(() => incoming.finished, start + 60_000, 1)
  intact(incoming, total, "transfer")
  return pair.simulator.now - start
}

describe("duplication", () => {
  it("200-byte messages every 20 ms, 10 % loss on both paths: the 99.9th percentile is about half of that without", () => {
    const links = [
      { ...lossy, delay: 5 },
      { ...lossy, delay: 5 }
    ]
    const without: Array<number> = []
    const duplicated: Array<number> = []
    let pair = twoPaths(links, { duplication: everything })
    for (const seed of [1, 2, 3]) {
      without.push(...messageDelays(twoPaths(links, {}, seed), 2000))
      pair = twoPaths(links, { duplication: everything }, seed)
      duplicated.push(...messageDelays(pair, 2000))
    }
    const byTime = (a: number, b: number): number => a - b
    const [before, after] = [at(without.toSorted(byTime), 0.999), at(duplicated.toSorted(byTime), 0.999)]
    // The mean of many seeds is 0.5 with 5 ms and with 20 ms one way: what both paths lose waits for a repair.
    assert.isBelow(after, 0.65 * before, `${after.toFixed(0)} ms, without ${before.toFixed(0)} ms`)
    assert.isBelow(at(duplicated.toSorted(byTime), 0.98), 6)
    assert.isAbove(pair.connection.streams.bytesCopied, 0.9 * 2000 * 200)
    // 2.G of the facts on mp-quic-go: each copy has a number of its own path, and bytes are counted once.
    assert.strictEqual(pair.accepted.streams.bytesReceived, 2000 * 200)
    assert.strictEqual(pair.connection.streams.bytesSent, 2000 * 200)
  })

  it("of many streams that speak at once each is duplicated, as far as the window goes", () => {
    for (const scheduler of [lowLatency, roundRobin, redundant]) {
      const link = { mbps: 50, delay: 10, queue: 200 }
      const policy = scheduler === redundant ? undefined : everything
      const pair = twoPaths([link, link], { scheduler, duplication: policy })
      for (let i = 0; i < 100; i++) {
        const stream = pair.connection.streams.open(false)!
        stream.write(pattern(0, 50))
        stream.finish()
      }
      pair.connection.wake()
      pair.run(pair.simulator.now + 1000)
      assert.strictEqual(pair.connection.streams.bytesSent, 5000)
      const { bytesDuplicated } = pair.connection.stats()
      assert.strictEqual(bytesDuplicated, 5000, scheduler().name)
    }
  })

  it("goes on however often a path was opened anew", () => {
    const link = { mbps: 50, delay: 5, queue: 200 }
    const pair = twoPaths([link, link], { duplication: everything })
    const { connection, simulator } = pair
    for (let id = 1; id <= 62; id++) {
      const before = connection.stats().bytesDuplicated
      const stream = connection.streams.open(false)!
      stream.write(pattern(0, 100))
      stream.finish()
      connection.wake()
      pair.run(simulator.now + 100)
      assert.strictEqual(connection.stats().bytesDuplicated - before, 100, `beside path ${id}`)
      pair.accepted.streams.accept(false)!.readAll()
      closePath(pair, connection, id)
      pair.until(() => connection.path(id) === undefined, simulator.now + 10_000, 10)
      pair.run(simulator.now + 100)
      awaitPath(pair, openPath(pair, 1))
    }
  })

  it("nothing is duplicated that nobody asked for, and nothing without a second path", () => {
    for (const links of [[lossy, lossy], [lossy]]) {
      const pair = twoPaths(links, links.length === 1 ? { duplication: everything } : {})
      exchange(pair, 100_000, 20_000, "no copies")
      assert.strictEqual(pair.connection.streams.bytesCopied, 0)
    }
  })

  it("a stream says for itself on how many paths it goes, whatever the policy says", () => {
    for (const [own, policy, share] of [
      [2, undefined, 1],
      [1, everything, 0]
    ] as const) {
      const pair = twoPaths(
        [
          { mbps: 20, delay: 20 },
          { mbps: 20, delay: 20 }
        ],
        { duplication: policy }
      )
      const stream = pair.connection.streams.open(false)!
      stream.setDuplication(own)
      stream.write(pattern(0, 5000))
      pair.connection.wake()
      pair.run(pair.simulator.now + 1000)
      assert.strictEqual(pair.connection.streams.bytesCopied, share * 5000)
    }
  })

  it("the budget is kept: copies of a bulk transfer are the share that it allows", () => {
    const pair = twoPaths(
      [
        { mbps: 20, delay: 20 },
        { mbps: 20, delay: 20 }
      ],
      {
        duplication: { ...everything, budget: 0.1 }
      }
    )
    transferTime(pair, 2_000_000)
    const copied = pair.connection.streams.bytesCopied
    assert.isAbove(copied, 150_000)
    assert.isBelow(copied, 65_536 + 0.1 * 2_000_000 + 2000)
  })

  it("resets arrive by the second path when the first has died", () => {
    const pair = twoPaths(
      [
        { mbps: 20, delay: 10 },
        { mbps: 20, delay: 30 }
      ],
      { duplication: { name: "resets" } }
    )
    const stream = say(pair.connection, pattern(0, 100))
    pair.run(pair.simulator.now + 500)
    pair.links[0]!.cut()
    const start = pair.simulator.now
    stream.reset(7)
    pair.connection.wake()
    const peer = pair.accepted.streams.get(stream.id)!
    assert.isAtLeast(
      pair.until(() => peer.resetCode === 7, start + 45, 1),
      0
    )
  })

  it("a policy that throws duplicates nothing, is told once and counted; nothing is lost", () => {
    const pair = twoPaths([lossy, lossy], {
      duplication: {
        name: "broken",
        stream: () => {
          throw new Error("no")
        }
      }
    })
    exchange(pair, 200_000, 30_000, "broken policy")
    assert.isAbove(pair.connection.core.mistakes.policy, 10)
    assert.strictEqual(pair.connection.streams.bytesCopied, 0)
  })
})

describe("the redundant scheduler", () => {
  it("loses no time when either of two paths dies", () => {
    for (const link of [0, 1]) {
      const links = [
        { mbps: 10, delay: 20 },
        { mbps: 10, delay: 25 }
      ]
      const undisturbed = transferTime(twoPaths(links, { scheduler: redundant }), 1_000_000)
      const pair = twoPaths(links, { scheduler: redundant })
      pair.simulator.at(pair.simulator.now + 300, () => pair.links[link]!.cut())
      const cut = transferTime(pair, 1_000_000)
      assert.isBelow(cut, undisturbed + 150, `link ${link}: ${cut} ms, undisturbed ${undisturbed} ms`)
    }
  })

  it("is not held up by a path that cannot keep up", () => {
    const fast = { mbps: 20, delay: 10, queue: 100 }
    const alone = transferTime(twoPaths([fast]), 3_000_000)
    const both = transferTime(
      twoPaths([fast, { mbps: 0.5, delay: 100, queue: 50 }], { scheduler: redundant }),
      3_000_000
    )
    assert.isBelow(both, 1.1 * alone, `${both} ms, alone ${alone} ms`)
  })
})

describe("reinjection", () => {
  const fast: DuplexOptions = { mbps: 20, delay: 20, queue: 100 }
  const slow: DuplexOptions = { mbps: 5, delay: 200, queue: 100 }

  it("onIdle: 1 MB over 20 Mbit/s 20 ms and 5 Mbit/s 200 ms takes at most 1.1 of the fast path alone", () => {
    const alone = transferTime(twoPaths([fast]), 1_000_000)
    for (const scheduler of [lowLatency, roundRobin]) {
      const links = [fast, slow]
      const without = transferTime(twoPaths(links, { scheduler }), 1_000_000)
      const reinjected = transferTime(
        twoPaths(links, { scheduler, reinjection: { name: "idle", modes: ["onIdle"] } }),
        1_000_000
      )
      assert.isBelow(
        reinjected,
        1.1 * alone,
        `${scheduler().name}: ${reinjected} ms, without ${without}, alone ${alone}`
      )
      assert.isBelow(reinjected, without, scheduler().name)
    }
  })

  it("onIdle: what waits in the queue of the slow path comes on the fast one, though without queues they are alike", () => {
    const links = [
      { mbps: 20, delay: 10, queue: 500 },
      { mbps: 1, delay: 10, queue: 500 }
    ]
    for (const scheduler of [lowLatency, roundRobin]) {
      const alone = transferTime(twoPaths(links.slice(0, 1)), 1_000_000)
      const policies = { scheduler, reinjection: { name: "idle", modes: ["onIdle"] as const } }
      assert.isBelow(transferTime(twoPaths(links, policies), 1_000_000), 1.25 * alone, scheduler().name)
    }
  })

  it("all modes together never make a transfer slower than without, whichever path is the slow one", () => {
    for (const links of [
      [fast, slow],
      [slow, fast],
      [fast, { ...fast, loss: 0.01 }],
      [{ ...fast, loss: 0.02 }, slow]
    ]) {
      for (const scheduler of [lowLatency, roundRobin]) {
        const times = [undefined, { name: "all" }].map((reinjection) =>
          transferTime(twoPaths(links, { scheduler, reinjection }), 1_000_000)
        )
        assert.isBelow(times[1]!, 1.1 * times[0]!, `${scheduler().name} ${JSON.stringify(links)}`)
      }
    }
  })

  it("onLoss: what is lost goes to the chosen target, and really leaves there", () => {
    const links = [
      { ...fast, loss: 0.2 },
      { ...fast, loss: 0.2 },
      { ...fast, delay: 60 }
    ]
    const seen: Array<number> = []
    const pair = twoPaths(links, {
      reinjection: {
        name: "last",
        modes: ["onLoss"],
        selectTarget: ({ candidates, original, packet }) => {
          assert.isFalse(candidates.some(({ id }) => id === original.id))
          assert.isAtLeast(packet.bytes, 0)
          seen.push(original.id)
          return candidates[candidates.length - 1]
        }
      }
    })
    exchange(pair, 1_000_000, 30_000, "chosen targets")
    assert.isAbove(seen.length, 9, String(seen.length))
    assert.isAbove(pair.connection.streams.bytesCopied, 1000)
    assert.strictEqual(pair.connection.core.mistakes.policy, 0)
  })

  it("onDelay: what waits too long arrives by the other path long before the repair", () => {
    const delays = (reinjection?: Reinjection): number => {
      const pair = twoPaths(
        [
          { mbps: 20, delay: 20 },
          { mbps: 20, delay: 25 }
        ],
        { reinjection }
      )
      exchange(pair, 100_000, 5000, "before")
      pair.run(pair.simulator.now + 2000)
      pair.links[0]!.cut()
      return transferTime(pair, 1000)
    }
    const without = delays()
    const reinjected = delays({ name: "late", modes: ["onDelay"], delay: () => 45 })
    assert.isBelow(reinjected, 75)
    assert.isBelow(reinjected, without)
  })

  it("maxReinjections, the queue's bound and the interval between packets bind", () => {
    let most = 0
    let queued = 0
    const interval = 20
    const times: Array<number> = []
    const pair = twoPaths(
      [
        { ...fast, loss: 0.3 },
        { ...fast, loss: 0.3 },
        { ...fast, loss: 0.3 }
      ],
      {
        reinjection: {
          name: "bounded",
          modes: ["onLoss"],
          maxReinjections: 1,
          maxQueuePerPath: 4,
          minInterval: interval,
          selectTarget: ({ candidates, now, packet }) => {
            most = Math.max(most, packet.reinjections)
            for (const path of candidates) queued = Math.max(queued, path.queuedReinjections)
            times.push(now)
            return candidates[0]
          }
        }
      }
    )
    exchange(pair, 300_000, 60_000, "bounded")
    assert.isAbove(times.length, 3)
    assert.strictEqual(most, 0)
    assert.isBelow(queued, 4)
  })

  it("an answer that is no candidate, or an exception, is told once, and the lowest RTT is used", () => {
    const wrong: ReadonlyArray<NonNullable<Reinjection["selectTarget"]>> = [
      () => undefined,
      (context: TargetContext) => context.original,
      () => ({ id: 77 }) as never,
      () => Promise.resolve() as never,
      ({ candidates }) => void (candidates as Array<PathView>).splice(0),
      () => {
        throw new Error("no")
      }
    ]
    for (const selectTarget of wrong) {
      const pair = twoPaths([lossy, lossy], { reinjection: { name: "wrong", modes: ["onLoss"], selectTarget } })
      exchange(pair, 200_000, 30_000, "wrong target")
      assert.isAbove(pair.connection.core.mistakes.policy + pair.accepted.core.mistakes.policy, 1)
      assert.isAbove(pair.connection.streams.bytesCopied, 0)
    }
  })

  it("an object of a class is asked as one", () => {
    class Own implements Reinjection {
      readonly name = "own"
      asked = 0
      late = 0
      selectTarget({ candidates }: TargetContext): PathView | undefined {
        this.asked++
        return candidates[0]
      }
      delay(): number {
        this.late++
        return 20
      }
    }
    const policy = new Own()
    const pair = twoPaths([lossy, lossy], { reinjection: policy })
    exchange(pair, 200_000, 30_000, "a class")
    assert.isAbove(policy.asked, 0)
    assert.isAbove(policy.late, 0)
    assert.strictEqual(pair.connection.core.mistakes.policy + pair.accepted.core.mistakes.policy, 0)
  })

  it("figures out of range are replaced and told", () => {
    const pair = twoPaths([lossy, lossy], {
      reinjection: {
        name: "wild",
        maxReinjections: Number.NaN,
        maxQueuePerPath: -1,
        minInterval: Infinity,
        delay: () => -5
      },
      duplication: { name: "wild", paths: 99, budget: Number.NaN }
    })
    exchange(pair, 200_000, 30_000, "wild figures")
    assert.isAtLeast(pair.connection.core.mistakes.policy, 5)
  })
})

describe("copies, at random", () => {
  const policyOf = (random: Prng): Policies => ({
    scheduler: [lowLatency, roundRobin, redundant][random.int(3)]!,
    duplication: random.chance(0.5)
      ? {
          name: "random",
          paths: 2 + random.int(3),
          stream: (id) => id % 8 < 4,
          control: random.chance(0.5),
          budget: random.next()
        }
      : undefined,
    reinjection: random.chance(0.7)
      ? {
          name: "random",
          modes: (["onLoss", "onDelay", "onIdle"] as const).filter(() => random.chance(0.6)),
          maxReinjections: 1 + random.int(3),
          maxQueuePerPath: 1 + random.int(20),
          minInterval: random.int(2) * 10
        }
      : undefined
  })

  const settled = (connection: Connection): void => {
    for (const path of connection.paths) {
      assert.strictEqual(path.queuedReinjections, 0)
      assert.strictEqual(path.duplicates?.count ?? 0, 0)
    }
    assert.strictEqual(connection.streams.bufferedBytes, 0)
  }

  for (let seed = 1; seed <= 25; seed++) {
    it(`everything arrives once, whatever links and policies do, seed ${seed}`, () => {
      const random = new Prng(seed)
      const links = Array.from({ length: 2 + random.int(2) }, () => ({
        mbps: 1 + random.int(30),
        delay: 1 + random.int(100),
        queue: 20 + random.int(100),
        loss: random.chance(0.5) ? 0 : random.next() * 0.1
      }))
      const pair = twoPaths(links, policyOf(random), seed)
      for (let i = 0; i < 3; i++) {
        const link = pair.links[random.int(links.length)]!
        const from = pair.simulator.now + random.int(2000)
        pair.simulator.at(from, () => link.cut())
        pair.simulator.at(from + 50 + random.int(1500), () => link.restore())
      }
      exchange(pair, 400_000, 120_000, `seed ${seed}`)
      exchange(pair, 50_000, 60_000, `seed ${seed}, again`)
      for (const link of pair.links) link.restore()
      pair.run(pair.simulator.now + 10_000)
      settled(pair.connection)
      settled(pair.accepted)
    })
  }
})
