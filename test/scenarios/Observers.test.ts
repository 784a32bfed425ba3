/** Observers are told of everything that leaves and of what becomes of it, and harm nobody. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { MultipathController, PathScheduler } from "../../src/index.ts"
import type { Observer } from "../../src/internal/paths/Observer.ts"
import { awaitPath, connected, openPath } from "../support/Multipath.ts"
import { exchange } from "../support/Scenario.ts"

const links = [
  { mbps: 20, delay: 10, queue: 50, loss: 0.02 },
  { mbps: 10, delay: 30, queue: 50 }
]

const twoPaths = (observers: ReadonlyArray<Observer>) => {
  const pair = connected({ links, client: { observers: observers.map((observer) => () => observer) } })
  pair.run(pair.simulator.now + 500)
  awaitPath(pair, openPath(pair, 1))
  return pair
}

describe("observers", () => {
  it("hear of each packet of a path, and each change of its state; the sums are those of the statistics", () => {
    const sums = new Map<number, { sent: number; acked: number; lost: number }>()
    const states: Array<string> = []
    const of = (id: number) => {
      let sum = sums.get(id)
      if (sum === undefined) sums.set(id, (sum = { sent: 0, acked: 0, lost: 0 }))
      return sum
    }
    const pair = twoPaths([
      {
        name: "sums",
        onPacketSent: (path, bytes) => void (of(path.id).sent += bytes),
        onPacketAcked: (path, bytes) => void (of(path.id).acked += bytes),
        onPacketLost: (path, bytes) => void (of(path.id).lost += bytes),
        onPathState: (path, state, now) => void states.push(`${path.id} ${state} ${now > 0}`)
      }
    ])
    exchange(pair, 1_000_000, 20_000, "observed")
    pair.run(pair.simulator.now + 2000)
    for (const path of pair.connection.paths) {
      const sum = of(path.id)
      const { recovery } = path
      // The handshake's packets of path 0 are not told: they belong to no path that could be chosen.
      const rest = path.id === 0 ? 20_000 : 0
      assert.isAbove(sum.lost, path.id === 0 ? 0 : -1)
      assert.isAtMost(recovery.bytesSent - sum.sent, rest)
      assert.isAtMost(recovery.bytesAcked - sum.acked, rest)
      assert.isAtMost(recovery.bytesLost - sum.lost, rest)
      assert.isAtLeast(recovery.bytesSent - sum.sent, 0)
    }
    assert.include(states, "1 active true")
    pair.connection.closePath(1, 0, pair.simulator.now)
    pair.run(pair.simulator.now + 2000)
    assert.isTrue(states.some((state) => state.startsWith("1 clos")))
  })

  it("that throw are told once by name, not called again, and the others go on", () => {
    let calls = 0
    let others = 0
    const pair = twoPaths([
      {
        name: "thrower",
        onPacketSent: () => {
          calls++
          throw new Error("no")
        }
      },
      { name: "other", onPacketSent: () => void others++ }
    ])
    exchange(pair, 200_000, 20_000, "with a thrower")
    assert.strictEqual(calls, 1)
    assert.isAbove(others, 100)
    assert.strictEqual(pair.connection.core.mistakes.policy, 1)
  })

  it.effect("one Layer bundles the parts; observers add up", () =>
    Effect.gen(function* () {
      const layer = MultipathController.layer({
        scheduler: PathScheduler.layerRoundRobin,
        observers: [() => ({ name: "first" })]
      })
      const seen = yield* Effect.all([PathScheduler.PathScheduler, MultipathController.Observers]).pipe(
        Effect.provide(MultipathController.observe(() => ({ name: "second" }))),
        Effect.provide(layer)
      )
      assert.strictEqual(seen[0]().name, "roundRobin")
      assert.deepStrictEqual(
        seen[1].map((factory) => factory().name),
        ["first", "second"]
      )
      assert.deepStrictEqual(yield* MultipathController.Observers, [])
    })
  )
})
