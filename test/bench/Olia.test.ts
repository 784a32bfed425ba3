/** bench/olia.ts: that a run runs, and what the scenarios are there to show, with fewer users. */
import { assert, describe, it } from "@effect/vitest"
import { run } from "../../bench/olia/scenarios.ts"

const small = { n1: 4, n2: 1, upgraded: true, warmUp: 8, seconds: 12, seed: 1 } as const

describe("scenarios of the OLIA draft", () => {
  it("C: users with two paths leave single-path users more with OLIA than with NewReno on each path", () => {
    const [coupled, uncoupled] = (["olia", "newReno"] as const).map((congestion) =>
      run({ ...small, scenario: "C", congestion })
    )
    // 5 Mbit/s in all; the single-path user shares a link with one path of each of the others.
    for (const rates of [coupled!, uncoupled!]) assert.approximately(4 * rates.first + rates.second, 5, 0.6)
    assert.isAbove(coupled!.second, 1.3 * uncoupled!.second)
  })
})
