import { assert, describe, it } from "@effect/vitest"
import { ReorderingWindow } from "../../src/internal/recovery/ReorderingWindow.ts"
import { RttEstimator } from "../../src/internal/recovery/RttEstimator.ts"

/** A window of a path with an RTT of `rtt` ms. */
const make = (rtt: number): [ReorderingWindow, RttEstimator] => {
  const estimator = new RttEstimator(333)
  estimator.update(rtt, 0, 0, true, 25)
  return [new ReorderingWindow(estimator), estimator]
}

const PTO = 150

describe("ReorderingWindow (RFC 9002 sections 6.1.1, 6.1.2)", () => {
  it("is 3 packets and 9/8 of the larger of latest and smoothed RTT, at least 1 ms, where nothing was seen", () => {
    const [window, rtt] = make(80)
    assert.strictEqual(window.packetThreshold, 3)
    assert.strictEqual(window.lossDelay(PTO), 90)
    rtt.update(160, 0, 0, true, 25)
    assert.strictEqual(window.lossDelay(PTO), 180)
    rtt.update(80, 0, 0, true, 25)
    assert.strictEqual(window.lossDelay(PTO), 1.125 * rtt.smoothed)
    const [short] = make(0.2)
    assert.strictEqual(short.lossDelay(PTO), 1)
  })

  it("C2: judges by time alone once a packet came behind 3 others, with room beyond the latest so far", () => {
    const [window] = make(80)
    window.onLate(2, 84)
    assert.strictEqual(window.packetThreshold, 3)
    assert.strictEqual(window.lossDelay(PTO), 90, "the usual delay has room for it")
    window.onLate(3, 100)
    assert.strictEqual(window.packetThreshold, Infinity)
    assert.strictEqual(window.lossDelay(PTO), 80 + 1.25 * 20)
    window.onLate(50, 90)
    assert.strictEqual(window.lossDelay(PTO), 80 + 1.25 * 20)
  })

  it("is bounded by 3 round trips or the probe timeout", () => {
    const [window] = make(80)
    window.onLate(1000, 60_000)
    assert.strictEqual(window.lossDelay(PTO), 240)
    assert.strictEqual(window.lossDelay(300), 300)
  })

  it("forgets after 16 to 32 congestion events without reordering, and at once for a new address", () => {
    for (const before of [0, 7, 15]) {
      const [window] = make(80)
      for (let i = 0; i < before; i++) window.onCongestionEvent()
      window.onLate(30, 120)
      let events = 0
      for (; window.packetThreshold === Infinity; events++) window.onCongestionEvent()
      assert.isAtLeast(events, 16)
      assert.isAtMost(events, 32)
      assert.strictEqual(window.lossDelay(PTO), 90)
    }
    const [window] = make(80)
    window.onLate(30, 120)
    window.reset()
    assert.deepStrictEqual([window.packetThreshold, window.lossDelay(PTO)], [3, 90])
  })

  it("does not forget what goes on", () => {
    const [window] = make(80)
    for (let i = 0; i < 100; i++) {
      window.onLate(30, 100)
      window.onCongestionEvent()
      assert.deepStrictEqual([window.packetThreshold, window.lossDelay(PTO)], [Infinity, 105])
    }
  })
})
