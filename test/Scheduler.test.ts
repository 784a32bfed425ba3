import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { lowLatency } from "../src/internal/paths/schedulers/LowLatency.ts"
import { roundRobin } from "../src/internal/paths/schedulers/RoundRobin.ts"
import { Address } from "../src/internal/wire/Datagram.ts"
import * as PathScheduler from "../src/PathScheduler.ts"

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
  now: 0
})

const turns = (scheduler: PathScheduler.Scheduler, ctx: PathScheduler.SelectContext, count: number) =>
  Array.from({ length: count }, () => scheduler.select(ctx)?.id)

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
})

describe("PathScheduler", () => {
  const name = Effect.map(Effect.service(PathScheduler.PathScheduler), (factory) => factory().name)

  it.effect("has a default", () => Effect.map(name, (found) => assert.strictEqual(found, "lowLatency")))

  it.effect("is replaced by one Layer", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerRoundRobin), "roundRobin")
      assert.strictEqual(yield* Effect.provide(name, PathScheduler.layerLowLatency), "lowLatency")
      const own = PathScheduler.layer(() => ({ name: "own", select: ({ paths }) => paths[0] }))
      assert.strictEqual(yield* Effect.provide(name, own), "own")
    })
  )
})
