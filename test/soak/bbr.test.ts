import { assert, describe, it } from "@effect/vitest"
import { bbr } from "../../src/internal/congestion/Bbr.ts"
import { bulkFlows } from "../support/BulkFlows.ts"
import { cubic } from "../support/Machines.ts"

/** Of BBR over CUBIC in one queue of `bdps` BDP, over 50 s and several seeds; who comes first changes. */
const shares = (mbps: number, rtt: number, bdps: number): Array<number> => {
  const link = { mbps, delay: rtt / 2, queue: 1_000_000, queueBytes: bdps * mbps * 125 * rtt }
  return [1, 2, 3].map((seed) => {
    const own = seed % 2
    const { flows } = bulkFlows(link, own === 0 ? [bbr, cubic] : [cubic, bbr], 10_000, 60_000, seed)
    return flows[own]!.mbps / flows[1 - own]!.mbps
  })
}

const geometricMean = (values: ReadonlyArray<number>): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)

describe("BBR over a minute", () => {
  it("takes at least 80 % of 50 Mbit/s and 100 ms with 1 % loss", { timeout: 300_000 }, () => {
    for (let seed = 1; seed <= 3; seed++) {
      const [flow] = bulkFlows({ mbps: 50, delay: 50, loss: 0.01 }, [bbr], 1000, 60_000, seed).flows
      assert.isAtLeast(flow!.mbps, 0.8 * 50, `seed ${seed}`)
    }
  })

  for (const [mbps, rtt, bdps] of [
    [25, 30, 1],
    [20, 40, 1],
    [50, 100, 1],
    [50, 100, 4]
  ] as const) {
    it(`shares a queue of ${bdps} BDP with CUBIC: ${mbps} Mbit/s, ${rtt} ms`, { timeout: 600_000 }, () => {
      const ratios = shares(mbps, rtt, bdps)
      const mean = geometricMean(ratios)
      assert.isAtLeast(mean, 0.5, String(ratios))
      assert.isAtMost(mean, 2, String(ratios))
    })
  }
})
