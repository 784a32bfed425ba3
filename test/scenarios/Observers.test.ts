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
        onPathState: (path, state, now) => void states.push(`${path.id} ${state} ${now}`)
      }
    ])
    exchange(pair, 1_000_000, 20_000, "observed")
    pair.run(pair.simulator.now + 2000)
    for (const path of pair.connection.paths) {
      const sum = of(path.id)
      const { recovery } = path
      // The handshake's packets are among them.
      assert.isAbove(sum.lost, path.id === 0 ? 0 : -1)
      assert.deepStrictEqual(sum, {
        sent: recovery.bytesSent,
        acked: recovery.bytesAcked,
        lost: recovery.bytesLost
      })
    }
    pair.connection.closePath(1, 0, pair.simulator.now)
    pair.connection.wake()
    pair.run(pair.simulator.now + 2000)
    const of1 = states.filter((state) => state.startsWith("1 ")).map((state) => state.split(" ")[1])
    assert.deepStrictEqual(of1, ["validating", "active", "closing", "closed"])
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 5000)
    assert.deepStrictEqual(
      states.filter((state) => state.startsWith("0 ")).map((state) => state.split(" ")[1]),
      ["validating", "active", "closed"]
    )
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

  it("that give a Promise are told of once, not called again, and a rejection harms nobody", () => {
    let calls = 0
    const pair = twoPaths([
      {
        name: "late",
        onPacketAcked: (() => {
          calls++
          return Promise.reject(new Error("late"))
        }) as never
      }
    ])
    exchange(pair, 200_000, 20_000, "with a late one")
    assert.strictEqual(calls, 1)
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
