import { assert, describe, it } from "@effect/vitest"
import { failureOf } from "../support/Liveness.ts"

const CASES = 300

describe("liveness", () => {
  it(`A3, A6, A12, A13: ${CASES} random topologies and failures: data moves while a way is there, silence and end when none is`, () => {
    const failures: Array<string> = []
    for (let seed = 1; seed <= CASES; seed++) {
      const failure = failureOf(seed)
      if (failure !== undefined) failures.push(failure)
    }
    assert.deepStrictEqual(failures, [])
  }, 120_000)
})
