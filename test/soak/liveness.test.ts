import { assert, describe, it } from "@effect/vitest"
import { failureOf } from "../support/Liveness.ts"

const CASES = 10_000
/** Behind those of `npm test`. */
const FROM = 1_000

describe("liveness", () => {
  it(`${CASES} random topologies and failures`, () => {
    const failures: Array<string> = []
    for (let seed = FROM; seed < FROM + CASES && failures.length < 10; seed++) {
      const failure = failureOf(seed)
      if (failure !== undefined) failures.push(failure)
    }
    assert.deepStrictEqual(failures, [])
  }, 1_800_000)
})
