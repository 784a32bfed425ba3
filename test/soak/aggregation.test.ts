/** How well the default scheduler fills unlike paths that are open: bench/wsp.ts --experiment pairs. */
import { assert, describe, it } from "@effect/vitest"
import { measurePair, pairs } from "../../bench/wsp/pairs.ts"
import { cubic } from "../../src/internal/congestion/Cubic.ts"
import { PathScheduler } from "../../src/PathScheduler.ts"

const parts = { scheduler: PathScheduler.defaultValue(), congestion: cubic }

describe("aggregation benefit over pairs of unlike paths", () => {
  for (const pair of pairs) {
    for (const [bytes, least] of [
      [20_000_000, pair.least],
      [200_000_000, 0.95]
    ] as const) {
      it(`${pair.name}: ${bytes / 1e6} MB gain at least ${least} of the sum of both`, () => {
        const { together } = measurePair(pair, parts, { bytes, open: true, alone: cubic })
        // Begun on either path: a packet more at the start moves the gain of a long transfer by up to 0.03.
        const gains = together.map(({ benefit }) => benefit)
        assert.isAtLeast(gains.reduce((sum, gain) => sum + gain, 0) / gains.length, least, gains.join(" and "))
        for (const gain of gains) assert.isAtLeast(gain, least - 0.02)
      })
    }
  }
})
