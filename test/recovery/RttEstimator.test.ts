import { assert, describe, it } from "@effect/vitest"
import { RttEstimator } from "../../src/internal/recovery/RttEstimator.ts"

describe("RttEstimator (RFC 9002 section 5)", () => {
  it("assumes the initial RTT before a sample (6.2.2)", () => {
    const rtt = new RttEstimator(333)
    assert.strictEqual(rtt.smoothed, 333)
    assert.strictEqual(rtt.variance, 166.5)
    assert.strictEqual(rtt.min, Infinity)
    assert.isFalse(rtt.hasSample)
    assert.strictEqual(rtt.ptoBase(25), 333 + 666 + 25)
  })

  it("takes the first sample as it is, whatever the ack delay (5.2, 5.3)", () => {
    const rtt = new RttEstimator(333)
    rtt.update(80, 30, 5, true, 25)
    assert.deepStrictEqual(
      [rtt.latest, rtt.smoothed, rtt.variance, rtt.min, rtt.hasSample, rtt.firstSampleTime],
      [80, 80, 40, 80, true, 5]
    )
  })

  it("smooths by 1/8 and 1/4 with the ack delay taken off (5.3)", () => {
    const rtt = new RttEstimator(333)
    rtt.update(80, 0, 0, true, 25)
    rtt.update(120, 20, 1, true, 25)
    // adjusted = 100; variance = 0.75 * 40 + 0.25 * |80 - 100|; smoothed = 0.875 * 80 + 0.125 * 100
    assert.strictEqual(rtt.variance, 35)
    assert.strictEqual(rtt.smoothed, 82.5)
    assert.strictEqual(rtt.latest, 120)
    assert.strictEqual(rtt.ptoBase(0), 82.5 + 140)
    assert.strictEqual(rtt.firstSampleTime, 0)
  })

  it("believes an ack delay above max_ack_delay only until the handshake is confirmed (5.3)", () => {
    const early = new RttEstimator(333)
    early.update(80, 0, 0, false, 25)
    early.update(200, 100, 1, false, 25)
    assert.strictEqual(early.smoothed, 0.875 * 80 + 0.125 * 100)
    const confirmed = new RttEstimator(333)
    confirmed.update(80, 0, 0, true, 25)
    confirmed.update(200, 100, 1, true, 25)
    assert.strictEqual(confirmed.smoothed, 0.875 * 80 + 0.125 * 175)
  })

  it("never adjusts a sample below the minimum (5.3)", () => {
    const rtt = new RttEstimator(333)
    rtt.update(80, 0, 0, true, 25)
    rtt.update(90, 20, 1, true, 25)
    assert.strictEqual(rtt.smoothed, 80)
    rtt.update(110, 20, 1, true, 25)
    assert.strictEqual(rtt.smoothed, 0.875 * 80 + 0.125 * 90)
    rtt.update(70, 20, 2, true, 25)
    assert.strictEqual(rtt.min, 70)
  })

  it("adds at least the granularity to the probe timeout and to the loss delay (6.1.2, 6.2.1)", () => {
    const rtt = new RttEstimator(333)
    for (let i = 0; i < 400; i++) rtt.update(0.25, 0, i, true, 25)
    assert.approximately(rtt.ptoBase(0), 1.25, 1e-9)
  })

  it("RTT-2 restarts the minimum and keeps the rest", () => {
    const rtt = new RttEstimator(333)
    rtt.update(80, 0, 0, true, 25)
    rtt.resetMin()
    assert.strictEqual(rtt.min, 80, "nobody sees a path with samples and without a minimum")
    rtt.update(150, 0, 1, true, 25)
    assert.strictEqual(rtt.min, 150)
    assert.strictEqual(rtt.smoothed, 0.875 * 80 + 0.125 * 150)
    rtt.update(160, 0, 2, true, 25)
    assert.strictEqual(rtt.min, 150)
  })

  it("VAL-7 forgets everything for a new address", () => {
    const rtt = new RttEstimator(333)
    rtt.update(80, 0, 4, true, 25)
    rtt.reset(200)
    assert.deepStrictEqual([rtt.smoothed, rtt.variance, rtt.min, rtt.hasSample], [200, 100, Infinity, false])
    assert.strictEqual(rtt.firstSampleTime, Infinity)
  })
})
