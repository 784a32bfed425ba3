import { assert, describe, it } from "@effect/vitest"
import { EcnValidation } from "../../src/internal/recovery/EcnValidation.ts"

const sent = (count: number): EcnValidation => {
  const ecn = new EcnValidation(true)
  for (let i = 0; i < count; i++) ecn.onSent(2, 0)
  return ecn
}

describe("EcnValidation (RFC 9000 section 13.4.2, appendix A.4)", () => {
  it("marks 10 packets, then waits", () => {
    const ecn = sent(9)
    assert.isTrue(ecn.marks)
    ecn.onSent(2, 0)
    assert.isFalse(ecn.marks)
    assert.strictEqual(ecn.state, "unknown")
  })

  it("goes on once counts account for the packets", () => {
    const ecn = sent(10)
    assert.strictEqual(ecn.onAck(2, 4, true, 3, 0, 1), 1)
    assert.strictEqual(ecn.state, "capable")
    assert.isTrue(ecn.marks)
    assert.strictEqual(ecn.onAck(2, 1, true, 4, 0, 1), 0)
    assert.strictEqual(ecn.onAck(2, 2, true, 4, 0, 3), 2)
  })

  it("proves nothing by packets that were not marked", () => {
    const ecn = sent(10)
    assert.strictEqual(ecn.onAck(2, 0, false, 0, 0, 0), 0)
    assert.strictEqual(ecn.onAck(2, 0, true, 0, 0, 0), 0)
    assert.strictEqual(ecn.state, "unknown")
  })

  for (const [why, marked, hasCounts, ect0, ect1, ce] of [
    ["no counts", 1, false, 0, 0, 0],
    ["too few counted", 3, true, 1, 0, 1],
    ["more counted than were marked", 2, true, 11, 0, 0],
    ["marks changed to ECT(1)", 2, true, 2, 1, 0]
  ] as const) {
    it(`gives up: ${why}`, () => {
      const ecn = sent(10)
      assert.strictEqual(ecn.onAck(2, marked, hasCounts, ect0, ect1, ce), 0)
      assert.strictEqual(ecn.state, "failed")
      assert.isFalse(ecn.marks)
      ecn.onSent(2, 0)
      assert.strictEqual(ecn.onAck(2, 1, true, 1, 0, 5), 0)
      assert.strictEqual(ecn.state, "failed")
    })
  }

  it("gives up when counts go back", () => {
    for (const [ect0, ce] of [
      [1, 3],
      [4, 1]
    ] as const) {
      const ecn = sent(10)
      ecn.onAck(2, 4, true, 2, 0, 2)
      assert.strictEqual(ecn.state, "capable")
      ecn.onAck(2, 0, true, ect0, 0, ce)
      assert.strictEqual(ecn.state, "failed")
    }
  })

  it("keeps counts apart by packet number space", () => {
    const ecn = new EcnValidation(true)
    ecn.onSent(0, 0)
    ecn.onSent(1, 0)
    assert.strictEqual(ecn.onAck(0, 1, true, 0, 0, 1), 1)
    assert.strictEqual(ecn.onAck(1, 1, true, 1, 0, 0), 0)
    assert.strictEqual(ecn.state, "capable")
  })

  it("gives up when every test packet is lost, not when one gets through", () => {
    const ecn = sent(10)
    for (let i = 0; i < 9; i++) ecn.onLost()
    assert.strictEqual(ecn.state, "unknown")
    ecn.onLost()
    assert.strictEqual(ecn.state, "failed")
    const other = sent(10)
    for (let i = 0; i < 9; i++) other.onLost()
    other.onAck(2, 1, true, 1, 0, 0)
    other.onLost()
    assert.strictEqual(other.state, "capable")
  })

  it("C16: ends the test by time, and probes without marks before that (appendix A.4)", () => {
    const ecn = sent(2)
    ecn.onProbeTimeout(1000, 3000)
    assert.isFalse(ecn.marks, "the mark may be what is lost")
    ecn.onAnswered()
    assert.isTrue(ecn.marks, "the test goes on")
    ecn.onSent(2, 1100)
    ecn.onProbeTimeout(2999, 3000)
    assert.strictEqual(ecn.state, "testing")
    ecn.onProbeTimeout(3000, 3000)
    assert.strictEqual(ecn.state, "unknown")
    ecn.onAnswered()
    assert.isFalse(ecn.marks)
    for (let i = 0; i < 3; i++) ecn.onLost()
    assert.strictEqual(ecn.state, "failed", "all three of the test are lost")
  })

  it("C16: is proven after its end by what comes late", () => {
    const ecn = sent(2)
    ecn.onProbeTimeout(3000, 3000)
    ecn.onAck(2, 2, true, 2, 0, 0)
    assert.strictEqual(ecn.state, "capable")
    ecn.onProbeTimeout(9000, 3000)
    assert.isTrue(ecn.marks)
  })

  it("counts early losses too", () => {
    const ecn = sent(9)
    for (let i = 0; i < 9; i++) ecn.onLost()
    assert.strictEqual(ecn.state, "testing")
    ecn.onSent(2, 0)
    ecn.onLost()
    assert.strictEqual(ecn.state, "failed")
  })

  it("tests again on a new way, with the peer's counts going on", () => {
    const ecn = sent(10)
    ecn.onAck(2, 1, false, 0, 0, 0)
    ecn.restart()
    assert.isTrue(ecn.marks)
    ecn.onSent(2, 0)
    ecn.onAck(2, 1, true, 8, 0, 0)
    assert.strictEqual(ecn.state, "capable")
  })

  it("stays off where it is off", () => {
    const ecn = new EcnValidation(false)
    assert.isFalse(ecn.marks)
    ecn.restart()
    assert.isFalse(ecn.marks)
    assert.strictEqual(ecn.onAck(2, 0, true, 5, 5, 5), 0)
  })
})
