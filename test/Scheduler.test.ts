import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Layer } from "effect"
import { backup } from "../src/internal/paths/schedulers/Backup.ts"
import { blest } from "../src/internal/paths/schedulers/Blest.ts"
import { deliveryRate } from "../src/internal/paths/schedulers/DeliveryRate.ts"
import { ecf } from "../src/internal/paths/schedulers/Ecf.ts"
import { lowLatency } from "../src/internal/paths/schedulers/LowLatency.ts"
import { redundant } from "../src/internal/paths/schedulers/Redundant.ts"
import { minRtt } from "../src/internal/paths/schedulers/MinRtt.ts"
import { roundRobin, weightedRoundRobin } from "../src/internal/paths/schedulers/RoundRobin.ts"
import { Address } from "../src/internal/wire/Datagram.ts"
import * as PathScheduler from "../src/PathScheduler.ts"
import type { QuicError } from "../src/QuicError.ts"

const local = new Address("10.0.0.1", 1000, 4)
const remote = new Address("10.0.0.2", 4433, 4)

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const path = (id: number, over: Partial<PathScheduler.PathView> = {}): Mutable<PathScheduler.PathView> => ({
  id,
  local,
  remote,
  state: "active",
  status: "available",
  remoteStatus: undefined,
  validated: true,
  hasRtt: true,
  smoothedRtt: 10,
  rttVariance: 1,
  latestRtt: 10,
  minRtt: 10,
  congestionWindow: 12000,
  bytesInFlight: 0,
  deliveryRate: 0,
  canSend: true,
  nextSendTime: 0,
  mtu: 1200,
  packetsSent: 0,
  packetsLost: 0,
  lossRate: 0,
  ptoCount: 0,
  queuedReinjections: 0,
  ...over
})

const context = (...paths: ReadonlyArray<PathScheduler.PathView>): PathScheduler.SelectContext => ({
  paths,
  kind: "data",
  queuedBytes: 100_000,
  moreToCome: false,
  sendWindow: 1e6,
  now: 0
})

const turns = (scheduler: PathScheduler.Scheduler, ctx: PathScheduler.SelectContext, count: number) =>
  Array.from({ length: count }, () => scheduler.select(ctx)?.id)

describe("every scheduler", () => {
  const all = {
    roundRobin,
    lowLatency,
    blest,
    ecf,
    deliveryRate,
    redundant,
    minRtt: minRtt(0.5),
    backup: backup(undefined, 0)
  }
  for (const [name, make] of Object.entries(all)) {
    it(`${name}: whatever the round trips are, 0 among them, free paths carry what waits while nothing is under way`, () => {
      const times = [0, 1e-9, 10, 1e6]
      for (const a of times) {
        for (const b of times) {
          const of = (id: number, rtt: number) =>
            path(id, { smoothedRtt: rtt, latestRtt: rtt, minRtt: rtt, rttVariance: rtt / 2 })
          const chosen = turns(make(), context(of(0, a), of(1, b)), 4)
          for (const id of chosen) assert.isDefined(id, `${a} and ${b} ms`)
        }
      }
    })
  }
})

describe("roundRobin", () => {
  it("takes turns packet by packet", () => {
    assert.deepStrictEqual(turns(roundRobin(), context(path(0), path(1), path(4)), 7), [0, 1, 4, 0, 1, 4, 0])
  })

  it("passes over a path that cannot send, and gives it one turn, not the missed ones, when it can again", () => {
    const blocked = path(1, { canSend: false })
    const ctx = context(path(0), blocked, path(2))
    const scheduler = roundRobin()
    assert.deepStrictEqual(turns(scheduler, ctx, 4), [0, 2, 0, 2])
    blocked.canSend = true
    assert.deepStrictEqual(turns(scheduler, ctx, 4), [0, 1, 2, 0])
  })

  it("never starves a path when another blocks now and then", () => {
    const flaky = path(0)
    const ctx = context(flaky, path(1), path(2))
    const scheduler = roundRobin()
    const count = [0, 0, 0]
    for (let i = 0; i < 300; i++) {
      flaky.canSend = i % 3 === 0
      count[scheduler.select(ctx)!.id]!++
    }
    assert.isAbove(count[0]!, 30)
    assert.isAbove(count[1]!, 90)
    assert.isAbove(count[2]!, 90)
  })

  it("keeps its order when the path of the last turn has gone", () => {
    const scheduler = roundRobin()
    assert.deepStrictEqual(turns(scheduler, context(path(0), path(1), path(2)), 2), [0, 1])
    assert.deepStrictEqual(turns(scheduler, context(path(0), path(2)), 3), [2, 0, 2])
  })

  it("waits when nothing can send", () => {
    assert.isUndefined(roundRobin().select(context(path(0, { canSend: false }), path(1, { canSend: false }))))
    assert.isUndefined(roundRobin().select(context()))
  })

  it("what was lost takes the fastest path, and no turn", () => {
    const ctx = context(path(0), path(1, { smoothedRtt: 5 }), path(2))
    const scheduler = roundRobin()
    assert.deepStrictEqual(turns(scheduler, ctx, 1), [0])
    assert.deepStrictEqual(turns(scheduler, { ...ctx, kind: "retransmission" }, 2), [1, 1])
    assert.deepStrictEqual(turns(scheduler, ctx, 2), [1, 2])
  })

  it("shares no turn between connections", () => {
    const ctx = context(path(0), path(1))
    assert.deepStrictEqual(turns(roundRobin(), ctx, 1), [0])
    assert.deepStrictEqual(turns(roundRobin(), ctx, 1), [0])
  })
})

describe("lowLatency", () => {
  it("fills the fastest path first and the next one while its window is full", () => {
    const fast = path(1, { smoothedRtt: 5 })
    const ctx = context(path(0, { smoothedRtt: 30 }), fast, path(2, { smoothedRtt: 20 }))
    const scheduler = lowLatency()
    assert.strictEqual(scheduler.select(ctx)!.id, 1)
    fast.canSend = false
    assert.strictEqual(scheduler.select(ctx)!.id, 2)
    fast.canSend = true
    assert.strictEqual(scheduler.select(ctx)!.id, 1)
  })

  it("takes the earlier of two equal paths", () => {
    assert.strictEqual(lowLatency().select(context(path(3), path(5)))!.id, 3)
  })

  it("a path without an RTT is asked by one packet in 16, and by four at most that are not answered", () => {
    const fresh = path(1, { hasRtt: false, smoothedRtt: 333 })
    const ctx = context(path(0), fresh)
    const scheduler = lowLatency()
    const chosen = turns(scheduler, ctx, 160)
    assert.strictEqual(chosen.filter((id) => id === 1).length, 10)
    assert.isFalse(scheduler.steady)
    fresh.bytesInFlight = 4 * 1200
    assert.notInclude(turns(scheduler, ctx, 32), 1)
    fresh.hasRtt = true
    fresh.smoothedRtt = 5
    assert.strictEqual(scheduler.select(ctx)!.id, 1)
    assert.isTrue(scheduler.steady)
  })
})

describe("weightedRoundRobin", () => {
  const other = new Address("10.1.0.1", 1000, 4)
  const make = (...weights: ReadonlyArray<readonly [string, number]>) => weightedRoundRobin(new Map(weights))()

  it("gives turns of as many packets as the weight", () => {
    const ctx = context(path(0), path(1, { local: other }))
    assert.deepStrictEqual(turns(make(["10.0.0.1", 3]), ctx, 8), [0, 0, 0, 1, 0, 0, 0, 1])
  })

  it("fractions add up, and weights below 1 count as well", () => {
    const ctx = context(path(0), path(1, { local: other }))
    const share = (weight: number) =>
      turns(make(["10.0.0.1", weight]), ctx, 1000).filter((id) => id === 0).length / 1000
    assert.closeTo(share(1.5), 0.6, 0.01)
    assert.closeTo(share(0.25), 0.2, 0.01)
    assert.closeTo(share(0.01), 0.01, 0.005)
    assert.closeTo(share(100), 0.99, 0.01)
  })

  it("a path that cannot send loses the rest of its turn, and saves none up", () => {
    const heavy = path(0)
    const ctx = context(heavy, path(1, { local: other }))
    const scheduler = make(["10.0.0.1", 3])
    assert.deepStrictEqual(turns(scheduler, ctx, 2), [0, 0])
    heavy.canSend = false
    assert.deepStrictEqual(turns(scheduler, ctx, 50), Array(50).fill(1))
    heavy.canSend = true
    assert.deepStrictEqual(turns(scheduler, ctx, 5), [0, 0, 0, 1, 0])
  })
})

describe("minRtt", () => {
  const share = (bias: number, packets = 4000) => {
    const ctx = context(path(0, { smoothedRtt: 10 }), path(1, { smoothedRtt: 30 }))
    return turns(minRtt(bias)(), ctx, packets).filter((id) => id === 0).length / packets
  }

  it("bias 1 is the lowest RTT, 0 are equal shares, and what is between is between", () => {
    assert.strictEqual(share(1), 1)
    assert.closeTo(share(0), 0.5, 0.01)
    // Equal scores: 0.3 = 0.1 + 0.7 (1 - q), so q = 5/7 of the faster path's packets.
    assert.closeTo(share(0.3), 7 / 12, 0.02)
  })

  it("counts only paths that can send", () => {
    const fast = path(0, { smoothedRtt: 1, canSend: false })
    const scheduler = minRtt(0.5)()
    assert.deepStrictEqual(new Set(turns(scheduler, context(fast, path(1), path(2)), 20)), new Set([1, 2]))
  })

  it("a new path starts at the mean: it gets its share, not everything until it has caught up", () => {
    for (const bias of [0, 0.2]) {
      const scheduler = minRtt(bias)()
      turns(scheduler, context(path(0), path(1)), 900)
      const after = turns(scheduler, context(path(0), path(1), path(2)), 90)
      for (const id of [0, 1, 2]) assert.closeTo(after.filter((chosen) => chosen === id).length, 30, 3, `bias ${bias}`)
    }
  })

  it("so does one that was away, or could not send", () => {
    const flaky = path(1)
    const scheduler = minRtt(0)()
    const ctx = context(path(0), flaky)
    turns(scheduler, ctx, 20)
    turns(scheduler, context(path(0)), 1)
    flaky.canSend = false
    turns(scheduler, ctx, 700)
    flaky.canSend = true
    const after = turns(scheduler, ctx, 40)
    assert.closeTo(after.filter((id) => id === 1).length, 20, 2)
    turns(scheduler, context(path(0), path(2)), 700)
    const back = turns(scheduler, context(path(0), flaky, path(2)), 60)
    assert.closeTo(back.filter((id) => id === 1).length, 20, 3)
  })

  it("a path without an RTT has a share", () => {
    const scheduler = minRtt(0.5)()
    const chosen = turns(scheduler, context(path(0), path(1, { hasRtt: false })), 300)
    const asked = chosen.filter((id) => id === 1).length
    assert.isAbove(asked, 30)
    assert.isBelow(asked, 200)
  })
})

describe("deliveryRate", () => {
  const fast = (over: Partial<PathScheduler.PathView> = {}) =>
    path(0, { deliveryRate: 1200, congestionWindow: 12_000, bytesInFlight: 12_000, canSend: false, ...over })
  const slow = (over: Partial<PathScheduler.PathView> = {}) =>
    path(1, { smoothedRtt: 100, minRtt: 100, deliveryRate: 120, congestionWindow: 12_000, ...over })

  it("takes the path on which the packet arrives first, and keeps to it while nothing is faster", () => {
    const scheduler = deliveryRate()
    assert.strictEqual(scheduler.select(context(slow(), fast({ canSend: true })))!.id, 0)
    assert.isTrue(scheduler.steady)
    // 20 ms of queue behind a short round trip are later than an empty path of 15 ms.
    const queued = path(0, { minRtt: 4, smoothedRtt: 24, deliveryRate: 500, bytesInFlight: 12_000 })
    const empty = path(1, { minRtt: 30, smoothedRtt: 30, deliveryRate: 100 })
    assert.strictEqual(deliveryRate().select(context(queued, empty))!.id, 1)
  })

  it("fills the slower path while the faster one could not finish before, and not at the end", () => {
    const ctx = { ...context(fast(), slow()), queuedBytes: 60_000 }
    assert.strictEqual(deliveryRate().select(ctx)!.id, 1)
    // 45 ms later: 45 ms at 1200 bytes a ms are 54 000 bytes.
    assert.isUndefined(deliveryRate().select({ ...ctx, queuedBytes: 40_000 }))
  })

  it("waits for a faster path whose window has grown beyond what the last rounds delivered", () => {
    const grown = fast({ deliveryRate: 600, congestionWindow: 24_000, bytesInFlight: 12_000 })
    const ctx = { ...context(grown, slow()), queuedBytes: 50_000 }
    // 2400 bytes a ms by its window, not 600 as a round ago.
    assert.isUndefined(deliveryRate().select(ctx))
    assert.strictEqual(deliveryRate().select({ ...ctx, queuedBytes: 120_000 })!.id, 1)
  })

  it("takes the last sample for the round trip of a path whose rate nobody knows: there its first queue shows", () => {
    const queueing = path(0, { minRtt: 10, smoothedRtt: 12, latestRtt: 100, bytesInFlight: 6000 })
    const other = path(1, { minRtt: 30, smoothedRtt: 30, deliveryRate: 400 })
    assert.strictEqual(deliveryRate().select(context(queueing, other))!.id, 1)
    assert.strictEqual(deliveryRate().select(context(path(0, { bytesInFlight: 6000 }), other))!.id, 0)
  })

  it("while a writer waits the end is not in sight, but no path gets a queue of many round trips", () => {
    const ctx = { ...context(fast(), slow()), queuedBytes: 1200, moreToCome: true }
    assert.strictEqual(deliveryRate().select(ctx)!.id, 1)
    const full = slow({ congestionWindow: 200_000, bytesInFlight: 60_000 })
    assert.isUndefined(deliveryRate().select({ ...ctx, paths: [fast(), full] }))
  })

  it("twice as much of a queue may be on its way where the last sample shows none: there the window grows", () => {
    const ctx = { ...context(fast(), slow()), queuedBytes: 1200, moreToCome: true }
    // 30 000 bytes at 120 a ms: they arrive 200 ms after a packet that leaves an empty path.
    const under = { bytesInFlight: 30_000, congestionWindow: 200_000 }
    assert.strictEqual(deliveryRate().select({ ...ctx, paths: [fast(), slow({ ...under, latestRtt: 110 })] })!.id, 1)
    assert.isUndefined(deliveryRate().select({ ...ctx, paths: [fast(), slow({ ...under, latestRtt: 300 })] }))
  })

  it("counts all faster paths together", () => {
    const ctx = { ...context(fast(), slow()), queuedBytes: 60_000 }
    const third = fast({ id: 2 })
    assert.isUndefined(deliveryRate().select({ ...ctx, paths: [fast(), slow(), third] }))
    assert.strictEqual(deliveryRate().select({ ...ctx, queuedBytes: 120_000, paths: [fast(), slow(), third] })!.id, 1)
  })

  it("what was lost waits for the faster path, unless that cannot send at all", () => {
    const ctx = { ...context(fast(), slow()), kind: "retransmission" as const, queuedBytes: 1e6, moreToCome: true }
    assert.isUndefined(deliveryRate().select(ctx))
    const blocked = fast({ bytesInFlight: 0, nextSendTime: Infinity })
    assert.strictEqual(deliveryRate().select({ ...ctx, paths: [blocked, slow()] })!.id, 1)
  })
})

describe("ecf", () => {
  const fast = path(0, { congestionWindow: 12_000, canSend: false, bytesInFlight: 12_000 })
  const slow = path(1, { smoothedRtt: 100, congestionWindow: 12_000 })
  const select = (queuedBytes: number) => ecf().select({ ...context(fast, slow), queuedBytes })?.id

  it("waits for the fast path when it would be done sooner", () => {
    // (1 + 60 000 / 12 000) 10 ms = 60 ms < 101 ms, and 500 ms on the slow path > 21 ms.
    assert.isUndefined(select(60_000))
    assert.strictEqual(select(120_000), 1)
  })

  it("sends what little there is at once where the slow path takes hardly longer", () => {
    const scheduler = ecf()
    const near = path(1, { smoothedRtt: 15, congestionWindow: 12_000 })
    assert.strictEqual(scheduler.select({ ...context(fast, near), queuedBytes: 1200 })!.id, 1)
  })

  it("who waits goes on waiting while it is a little worse", () => {
    const scheduler = ecf()
    const at = (queuedBytes: number) => scheduler.select({ ...context(fast, slow), queuedBytes })?.id
    assert.strictEqual(at(114_000), 1)
    assert.isUndefined(at(60_000))
    assert.isUndefined(at(114_000))
    assert.strictEqual(at(150_000), 1)
    assert.strictEqual(at(114_000), 1)
  })
})

describe("blest", () => {
  const fast = path(0, { congestionWindow: 12_000, canSend: false, bytesInFlight: 12_000 })
  const slow = path(1, { smoothedRtt: 100, congestionWindow: 12_000 })
  const select = (sendWindow: number) => blest().select({ ...context(fast, slow), sendWindow })?.id

  it("uses the slow path only where its packets will not fill the peer's window", () => {
    // 10 rounds of 12 000 bytes and growth: (12 000 + 1200 * 9 / 2) * 10 = 174 000.
    assert.isUndefined(select(150_000))
    assert.strictEqual(select(180_000), 1)
  })

  it("becomes more careful when the window was full all the same, and less while it is not", () => {
    const scheduler = blest()
    let now = 0
    const at = (sendWindow: number) => scheduler.select({ ...context(fast, slow), sendWindow, now: (now += 200) })?.id
    assert.strictEqual(at(165_000), 1)
    for (let i = 0; i < 20; i++) at(0)
    assert.isUndefined(at(175_000))
    for (let i = 0; i < 60; i++) at(1e6)
    assert.strictEqual(at(140_000), 1)
  })
})

describe("backup", () => {
  it("keeps to the primary, full or not", () => {
    const primary = path(0)
    const ctx = context(primary, path(1, { smoothedRtt: 1 }))
    const scheduler = backup(undefined, 1000)()
    assert.strictEqual(scheduler.select(ctx)!.id, 0)
    primary.canSend = false
    assert.isUndefined(scheduler.select(ctx))
  })

  it("promotes the next at once, and returns when the primary has been back for a while", () => {
    const scheduler = backup(1, 1000)()
    const at = (now: number, ...ids: ReadonlyArray<number>) =>
      scheduler.select({ ...context(...ids.map((id) => path(id))), now })?.id
    assert.strictEqual(at(0, 0, 1, 2), 1)
    assert.strictEqual(at(10, 0, 2), 0)
    assert.strictEqual(at(2000, 0, 1, 2), 0)
    assert.strictEqual(at(2500, 0, 2), 0)
    assert.strictEqual(at(2600, 0, 1, 2), 0)
    assert.strictEqual(at(3500, 0, 1, 2), 0)
    assert.strictEqual(at(3600, 0, 1, 2), 1)
    assert.strictEqual(at(3700, 2), 2)
    assert.isUndefined(at(3800))
  })
})

describe("every scheduler", () => {
  const all = { backup: backup(undefined, 0), blest, deliveryRate, ecf, lowLatency, minRtt: minRtt(0.5), roundRobin }

  for (const [name, factory] of Object.entries(all)) {
    it(`${name} calls itself so, chooses among what can send, and waits where nothing can`, () => {
      const scheduler = factory()
      assert.strictEqual(scheduler.name, name)
      const blocked = path(0, { canSend: false, bytesInFlight: 12_000, nextSendTime: Infinity })
      assert.isUndefined(scheduler.select(context()))
      assert.isUndefined(scheduler.select(context(blocked)))
      assert.strictEqual(factory().select(context(path(7)))!.id, 7)
      const unmeasured = path(8, { hasRtt: false, smoothedRtt: 333, minRtt: Infinity, latestRtt: 0, rttVariance: 166 })
      assert.strictEqual(factory().select(context(unmeasured))!.id, 8)
      for (const kind of ["data", "retransmission", "control"] as const) {
        const chosen = factory().select({ ...context(path(0), path(1)), kind })
        assert.isTrue(chosen !== undefined && chosen.canSend, kind)
      }
    })

    it(`${name} does the same again, and keeps nothing between connections`, () => {
      const ctx = context(path(0), path(1, { smoothedRtt: 20, minRtt: 20 }), path(4, { hasRtt: false }))
      assert.deepStrictEqual(turns(factory(), ctx, 100), turns(factory(), ctx, 100))
    })
  }
})

/** A generator of numbers below 1 (xorshift), so that a failure repeats. */
const random = (seed: number) => (): number => {
  seed ^= seed << 13
  seed ^= seed >>> 17
  seed ^= seed << 5
  return (seed >>> 0) / 0x1_0000_0000
}

/** A path in any state that recovery can leave it in: idle, full, just back from an outage, measured never or long ago. */
const anyPath = (id: number, next: () => number): PathScheduler.PathView => {
  const wide = (low: number, high: number): number => low * (high / low) ** next()
  const hasRtt = next() < 0.8
  const shortest = hasRtt ? wide(0.2, 2000) : Infinity
  const smoothedRtt = hasRtt ? shortest * wide(1, 50) : 333
  const congestionWindow = wide(2400, 1e6)
  const bytesInFlight = next() < 0.5 ? 0 : congestionWindow * next()
  const canSend = next() < 0.8 && bytesInFlight + 1200 <= congestionWindow
  return path(id, {
    hasRtt,
    minRtt: shortest,
    smoothedRtt,
    rttVariance: smoothedRtt * next(),
    latestRtt: hasRtt ? wide(shortest, smoothedRtt * 2) : 0,
    congestionWindow,
    bytesInFlight,
    deliveryRate: next() < 0.3 ? 0 : wide(0.01, 1e5),
    canSend,
    // A path that cannot send has something under way, is paced, or is blocked.
    nextSendTime: canSend ? 0 : next() < 0.5 ? Infinity : wide(1, 100),
    packetsSent: Math.floor(next() * 1000),
    ptoCount: next() < 0.8 ? 0 : Math.floor(next() * 6)
  })
}

describe("no scheduler waits for nothing", () => {
  const all = {
    backup: backup(undefined, 0),
    blest,
    deliveryRate,
    ecf,
    lowLatency,
    minRtt: minRtt(0.5),
    roundRobin,
    weightedRoundRobin: weightedRoundRobin(new Map([["10.0.0.1", 1.5]]))
  }

  for (const [name, factory] of Object.entries(all)) {
    it(`${name}: with any paths it gives one that can send, or waits for one that will`, () => {
      for (let seed = 1; seed <= 2000; seed++) {
        const next = random(seed * 7919)
        const scheduler = factory()
        for (let step = 0; step < 5; step++) {
          const paths = Array.from({ length: 1 + Math.floor(next() * 4) }, (_, id) => anyPath(id, next))
          const ctx = {
            ...context(...paths),
            kind: (["data", "retransmission", "control"] as const)[Math.floor(next() * 3)]!,
            queuedBytes: Math.floor(next() * 1e6),
            moreToCome: next() < 0.5,
            now: step * 10
          }
          const chosen = scheduler.select(ctx)
          const what = `seed ${seed}, step ${step}: ${JSON.stringify(ctx)}`
          if (chosen !== undefined) assert.isTrue(chosen.canSend && paths.includes(chosen), what)
          else if (paths.some((each) => each.canSend)) {
            // An acknowledgement or time must be to come on the one that it waits for.
            const waits = paths.some(
              (each) => !each.canSend && (each.bytesInFlight > 0 || each.nextSendTime < Infinity)
            )
            assert.isTrue(waits, what)
          }
        }
      }
    })
  }

  it("a path that was idle is taken for empty, whatever its round trips were before the outage", () => {
    const back = path(0, { smoothedRtt: 900, latestRtt: 2000, congestionWindow: 2400, minRtt: 20 })
    const busy = path(1, { smoothedRtt: 60, bytesInFlight: 60_000, congestionWindow: 60_000, canSend: false })
    assert.strictEqual(deliveryRate().select({ ...context(back, busy), queuedBytes: 1e6 })?.id, 0)
  })
})

describe("PathScheduler", () => {
  const name = Effect.map(Effect.service(PathScheduler.PathScheduler), (factory) => factory().name)

  it.effect("has a default", () => Effect.map(name, (found) => assert.strictEqual(found, "deliveryRate")))

  it.effect("is replaced by one Layer", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerRoundRobin), "roundRobin")
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerLowLatency), "lowLatency")
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerDeliveryRate), "deliveryRate")
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerBlest), "blest")
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerEcf), "ecf")
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerBackup()), "backup")
      assert.strictEqual(
        yield* Effect.provide(name, PathScheduler.layerBackup({ primary: 1, returnAfter: "2 seconds" })),
        "backup"
      )
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerMinRtt({ bias: 0.7 })), "minRtt")
      const weighted = PathScheduler.layerWeightedRoundRobin({ weights: { "10.0.0.1": 3 } })
      assert.strictEqual(yield* Effect.provide(name, weighted), "weightedRoundRobin")
      const own = PathScheduler.layer(() => ({ name: "own", select: ({ paths }) => paths[0] }))
      assert.strictEqual(yield* Effect.provide(name, own), "own")
    })
  )

  const upToAnHour = 'a duration from 0 to 1 hour, such as "2 seconds"'
  const wrong: ReadonlyArray<readonly [Layer.Layer<never, QuicError>, string, string, string]> = [
    [PathScheduler.layerMinRtt({ bias: -0.1 }), "bias", "-0.1", "a number from 0 to 1"],
    [PathScheduler.layerMinRtt({ bias: 1.1 }), "bias", "1.1", "a number from 0 to 1"],
    [PathScheduler.layerMinRtt({ bias: Number.NaN }), "bias", "NaN", "a number from 0 to 1"],
    [PathScheduler.layerMinRtt({} as never), "bias", "undefined", "a number from 0 to 1; there is no default"],
    [PathScheduler.layerMinRtt(null as never), "settings", "null", "an object, or nothing"],
    [PathScheduler.layerMinRtt({ bias: 1, weight: 2 } as never), "weight", "2", "only the settings bias"],
    [
      PathScheduler.layerWeightedRoundRobin({ weights: { "10.0.0.1": Number.NaN } }),
      'weights["10.0.0.1"]',
      "NaN",
      "a number from 0.01 to 100"
    ],
    [
      PathScheduler.layerWeightedRoundRobin({ weights: { "10.0.0.1": 0 } }),
      'weights["10.0.0.1"]',
      "0",
      "a number from 0.01 to 100"
    ],
    [PathScheduler.layerBackup({ primary: 0.5 }), "primary", "0.5", "a path ID: a whole number from 0 to 2^32 - 1"],
    [PathScheduler.layerBackup({ returnAfter: "2 hours" }), "returnAfter", '"2 hours"', upToAnHour],
    [PathScheduler.layerBackup({ returnAfter: -1 }), "returnAfter", "-1", upToAnHour],
    [
      PathScheduler.layerBackup({ primary: "1" as never }),
      "primary",
      '"1"',
      "a path ID: a whole number from 0 to 2^32 - 1"
    ],
    ...["localhost", "10.0.0.1:80", "10.0.0"].map(
      (address) =>
        [
          PathScheduler.layerWeightedRoundRobin({ weights: { [address]: 2 } }),
          "weights",
          JSON.stringify(address),
          'local addresses without a port, such as "192.0.2.1" or "2001:db8::1"'
        ] as const
    )
  ]

  for (const [layer, field, value, allowed] of wrong) {
    it.effect(`refuses ${field} ${value}`, () =>
      Effect.gen(function* () {
        const { reason } = yield* Effect.flip(Effect.provide(name, layer))
        assert.isTrue(reason._tag === "BadConfig")
        if (reason._tag === "BadConfig")
          assert.deepStrictEqual(
            { field: reason.field, value: reason.value, allowed: reason.allowed },
            { field, value, allowed }
          )
      })
    )
  }
})
