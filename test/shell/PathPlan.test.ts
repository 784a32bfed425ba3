import { assert, describe, it } from "@effect/vitest"
import { PathPlan } from "../../src/internal/runtime/PathPlan.ts"

const all = (): boolean => true
const plan = () => new PathPlan({ maxPaths: 4, firstRetry: 1000, longestRetry: 8000 })
const pair = (text: string) => {
  const [local, remote] = text.split(" ")
  return { local: local!, remote: remote! }
}

describe("PathPlan", () => {
  it("pairs that share least go first, none twice, up to the limit", () => {
    const open = [pair("a x")]
    const order: Array<string> = []
    for (;;) {
      const next = plan().next(["a", "b", "c"], ["x", "y"], open, all, 0)
      if (next === undefined) break
      order.push(`${next.local} ${next.remote}`)
      open.push(next)
    }
    assert.deepStrictEqual(order, ["b y", "c x", "a y"])
  })

  it("a pair that fails waits twice as long each time, and begins anew when its address was away", () => {
    const made = plan()
    const { local, remote } = pair("b x")
    const waits: Array<number> = []
    let now = 0
    for (let i = 0; i < 6; i++) {
      made.onFailed({ local, remote }, now)
      assert.isUndefined(made.next(["b"], ["x"], [], all, now))
      const retry = made.nextRetry(now)
      waits.push(retry - now)
      now = retry
      assert.deepStrictEqual(made.next(["b"], ["x"], [], all, now), { local, remote })
    }
    assert.deepStrictEqual(waits, [1000, 2000, 4000, 8000, 8000, 8000])
    made.onFailed({ local, remote }, now)
    made.retain(new Set(["a"]), new Set(["x"]))
    assert.deepStrictEqual(made.next(["b"], ["x"], [], all, now), { local, remote })
    made.onFailed({ local, remote }, now)
    assert.strictEqual(made.nextRetry(now) - now, 1000)
  })

  it("each pair is tried once before one that failed is tried again, however slowly they fail", () => {
    const made = plan()
    const locals = ["a", "b", "c", "d", "e"]
    const order: Array<string> = []
    for (let now = 3000; now <= 15_000; now += 3000) {
      const next = made.next(locals, ["x"], [], all, now)!
      order.push(next.local)
      made.onFailed(next, now + 3000)
    }
    assert.deepStrictEqual(order, locals)
  })

  it("a path that lasted counts as no failure before", () => {
    const made = plan()
    for (let i = 0; i < 5; i++) made.onFailed(pair("b x"), 0)
    made.onProven(pair("b x"), 10_000)
    made.onFailed(pair("b x"), 20_000)
    assert.strictEqual(made.nextRetry(20_000), 21_000)
  })

  it("what is not wanted stays away for as long as its addresses stay", () => {
    const made = plan()
    made.onUnwanted(pair("b x"))
    assert.isUndefined(made.next(["b"], ["x"], [], all, 1e9))
    assert.strictEqual(made.nextRetry(0), Infinity)
    made.retain(new Set(["b"]), new Set(["x"]))
    assert.isUndefined(made.next(["b"], ["x"], [], all, 1e9))
    made.retain(new Set(), new Set(["x"]))
    assert.deepStrictEqual(made.next(["b"], ["x"], [], all, 1e9), pair("b x"))
  })
})
