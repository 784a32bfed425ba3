import { assert, describe, it } from "@effect/vitest"
import { bbr } from "../../src/internal/congestion/Bbr.ts"
import { bulkFlows } from "../support/BulkFlows.ts"
import { cubic } from "../support/Machines.ts"

describe("BBR on a link", () => {
  it("takes at least 80 % of a long link that loses 1 % by chance, where CUBIC takes next to nothing", () => {
    const link = { mbps: 50, delay: 50, loss: 0.01 }
    const [own] = bulkFlows(link, [bbr], 1500, 5500).flows
    assert.isAtLeast(own!.mbps, 0.8 * 50)
    const [other] = bulkFlows(link, [cubic], 1500, 5500).flows
    assert.isBelow(other!.mbps, 0.2 * 50)
  })

  it("fills a clean link without a queue between its probes", () => {
    const { flows, pair } = bulkFlows({ mbps: 20, delay: 25 }, [bbr], 1000, 4000)
    assert.isAtLeast(flows[0]!.mbps, 0.95 * 20)
    assert.strictEqual(pair.connection.stats().packetsLost, 0)
    // Never more than the probe's share: a bandwidth-delay product of 20 Mbit/s and 50 ms is about 90 packets.
    assert.isBelow(pair.links[0]!.stats.forward.longestQueue, 120)
  })
})
