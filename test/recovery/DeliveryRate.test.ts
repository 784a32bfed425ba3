import { assert, describe, it } from "@effect/vitest"
import { DeliveryRate } from "../../src/internal/recovery/DeliveryRate.ts"

const RTT = 600

describe("DeliveryRate", () => {
  it("the first round of a new path says nothing while little of its window was acknowledged", () => {
    const delivery = new DeliveryRate()
    // Challenges and probes, and the first of the packets that filled the window meanwhile.
    for (const [time, limited] of [
      [100, true],
      [400, false],
      [600, true],
      [700, false]
    ] as const)
      delivery.onAcked(time, 1200, RTT, limited, 290_000)
    assert.strictEqual(delivery.rate, 0)
    for (let time = 701; time <= 701 + RTT; time += 2) delivery.onAcked(time, 900, RTT, false, 290_000)
    assert.approximately(delivery.rate, 450, 1)
  })

  it("the usual initial window is enough for a first rate", () => {
    const delivery = new DeliveryRate()
    delivery.onAcked(0, 1200, 100, false, 12_000)
    for (let time = 10; time <= 100; time += 10) delivery.onAcked(time, 1200, 100, false, 12_000 + 120 * time)
    assert.approximately(delivery.rate, 120, 1)
  })
})
