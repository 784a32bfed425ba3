import { assert, describe, it } from "@effect/vitest"
import { bbr } from "../../src/internal/congestion/Bbr.ts"
import { bulkFlows } from "../support/BulkFlows.ts"
import { cubic } from "../support/Machines.ts"

describe("BBR over a minute", () => {
  it("takes at least 80 % of 50 Mbit/s and 100 ms with 1 % loss", { timeout: 300_000 }, () => {
    for (let seed = 1; seed <= 3; seed++) {
      const [flow] = bulkFlows({ mbps: 50, delay: 50, loss: 0.01 }, [bbr], 1000, 60_000, seed).flows
      assert.isAtLeast(flow!.mbps, 0.8 * 50, `seed ${seed}`)
    }
  })

  for (const bdps of [1, 4]) {
    it(`shares a queue of ${bdps} BDP with CUBIC`, { timeout: 300_000 }, () => {
      // 20 Mbit/s and 40 ms: 100 kB.
      const link = { mbps: 20, delay: 20, queue: 1_000_000, queueBytes: bdps * 100_000 }
      const [own, other] = bulkFlows(link, [bbr, cubic], 10_000, 60_000).flows
      const ratio = own!.mbps / other!.mbps
      assert.isAtLeast(ratio, 0.5)
      assert.isAtMost(ratio, 2)
    })
  }
})
