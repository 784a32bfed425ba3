import { assert, describe, it } from "@effect/vitest"
import type { Controller } from "../../src/CongestionControl.ts"
import { newReno } from "../../src/internal/congestion/NewReno.ts"
import { MSS, round, TestPath } from "./support.ts"

const W0 = 12_000

const make = (path: TestPath): Controller => newReno().make(path)

/** The first window with packets of `size` bytes. */
const windowOf = (size: number): number =>
  make(Object.assign(new TestPath(), { maxDatagramSize: size })).congestionWindow

describe("NewReno (RFC 9002 section 7, appendix B)", () => {
  it("starts with 10 packets, at most 14,720 bytes unless two packets are more (7.2)", () => {
    assert.strictEqual(windowOf(1200), 12_000)
    assert.strictEqual(windowOf(1452), 14_520)
    assert.strictEqual(windowOf(1500), 14_720)
    assert.strictEqual(windowOf(9000), 18_000)
  })

  it("grows by what is acknowledged in slow start (7.3.1)", () => {
    const reno = make(new TestPath())
    reno.onAcked(100, 6000, 0, false)
    assert.strictEqual(reno.congestionWindow, W0 + 6000)
    assert.strictEqual(reno.slowStartThreshold, Infinity)
  })

  it("does not grow while the application is the limit (7.8)", () => {
    const reno = make(new TestPath())
    reno.onAcked(100, 6000, 0, true)
    assert.strictEqual(reno.congestionWindow, W0)
  })

  it("halves once per round trip (7.3.2)", () => {
    const reno = make(new TestPath())
    reno.onCongestion(100, 50, MSS, false)
    assert.strictEqual(reno.congestionWindow, 6000)
    assert.strictEqual(reno.slowStartThreshold, 6000)
    reno.onCongestion(120, 99, MSS, false)
    reno.onCongestion(130, 100, MSS, true)
    assert.strictEqual(reno.congestionWindow, 6000, "sent before the reduction")
    reno.onCongestion(210, 101, MSS, true)
    assert.strictEqual(reno.congestionWindow, 3000, "sent after it")
  })

  it("stays during recovery, then adds one packet a window (7.3.2, 7.3.3)", () => {
    const path = new TestPath()
    const reno = make(path)
    reno.onCongestion(0, 0, MSS, false)
    reno.onAcked(50, 6000, 0, false)
    assert.strictEqual(reno.congestionWindow, 6000)
    let now = 1
    for (let i = 1; i <= 20; i++) {
      now = round(reno, path, now)
      assert.approximately(reno.congestionWindow, 6000 + i * MSS, MSS)
    }
  })

  it("never falls below two packets (7.2)", () => {
    const reno = make(new TestPath())
    for (let i = 0; i < 10; i++) reno.onCongestion(2 * i + 1, 2 * i, MSS, false)
    assert.strictEqual(reno.congestionWindow, 2 * MSS)
  })

  it("falls to the minimum in persistent congestion, and starts slowly again (7.6.2)", () => {
    const reno = make(new TestPath())
    reno.onCongestion(100, 50, MSS, false)
    reno.onPersistentCongestion(0)
    assert.strictEqual(reno.congestionWindow, 2 * MSS)
    assert.strictEqual(reno.slowStartThreshold, 6000)
    reno.onAcked(110, MSS, 60, false)
    assert.strictEqual(reno.congestionWindow, 3 * MSS, "no recovery period holds it back")
  })

  it("takes a reduction back when the loss was spurious", () => {
    const reno = make(new TestPath())
    reno.onCongestion(100, 50, MSS, false)
    reno.onSpuriousLoss(110)
    assert.strictEqual(reno.congestionWindow, W0)
    assert.strictEqual(reno.slowStartThreshold, Infinity)
    reno.onCongestion(120, 60, MSS, false)
    assert.strictEqual(reno.congestionWindow, 6000, "a true loss of the same round counts")
  })

  it("takes nothing back twice, after a mark, or after persistent congestion", () => {
    const reno = make(new TestPath())
    reno.onSpuriousLoss(1)
    assert.strictEqual(reno.congestionWindow, W0)
    reno.onCongestion(100, 50, 0, true)
    reno.onSpuriousLoss(110)
    assert.strictEqual(reno.congestionWindow, 6000)
    reno.onCongestion(300, 200, MSS, false)
    reno.onPersistentCongestion(0)
    reno.onSpuriousLoss(310)
    assert.strictEqual(reno.congestionWindow, 2 * MSS)
  })

  it("follows the packet size while nothing else has set the window (7.2)", () => {
    const path = new TestPath()
    const reno = make(path)
    path.maxDatagramSize = 1400
    assert.strictEqual(reno.congestionWindow, 14_000)
    reno.onCongestion(10, 5, MSS, false)
    path.maxDatagramSize = 1200
    assert.strictEqual(reno.congestionWindow, 7000)
    path.maxDatagramSize = 9000
    assert.strictEqual(reno.congestionWindow, 18_000)
  })

  it("VAL-7 starts over", () => {
    const reno = make(new TestPath())
    reno.onCongestion(100, 50, MSS, false)
    reno.reset(100)
    assert.strictEqual(reno.congestionWindow, W0)
    assert.strictEqual(reno.slowStartThreshold, Infinity)
    reno.onAcked(101, 1000, 60, false)
    assert.strictEqual(reno.congestionWindow, W0 + 1000)
  })

  it("REC-1 keeps paths apart", () => {
    const controllers = newReno()
    const a = controllers.make(new TestPath())
    const b = controllers.make(new TestPath())
    a.onCongestion(100, 50, MSS, false)
    assert.strictEqual(b.congestionWindow, W0)
    a.onPacketSent(0, 1, 1)
    a.close()
  })
})
