import { assert, describe, it } from "@effect/vitest"
import type { Controller } from "../../src/CongestionControl.ts"
import { cubic } from "../../src/internal/congestion/Cubic.ts"
import { MSS, round, TestPath } from "./support.ts"

const W0 = 12_000

const make = (path: TestPath): Controller => cubic().make(path)

/** CUBIC in congestion avoidance after one loss at a window of `packets`. */
const afterLoss = (path: TestPath, packets: number): Controller => {
  const controller = make(path)
  controller.onAcked(50, packets * MSS - W0, -1e9, false)
  assert.strictEqual(controller.congestionWindow, packets * MSS)
  controller.onCongestion(100, 100, MSS, false)
  return controller
}

/** The window in packets after 20 rounds with a pause of the application in the middle. */
const afterPause = (pause: number): number => {
  const path = new TestPath()
  const controller = afterLoss(path, 1000)
  let now = 101
  for (let i = 0; i < 10; i++) now = round(controller, path, now)
  if (pause > 0) {
    controller.onAcked(now + 100, MSS, now, true)
    controller.onAcked(now + 200, MSS, now + 100, true)
    now += pause
  }
  for (let i = 0; i < 10; i++) now = round(controller, path, now)
  return controller.congestionWindow / MSS
}

describe("Cubic (RFC 9438)", () => {
  it("leaves 0.7 of the window, once per round trip (4.6)", () => {
    const controller = afterLoss(new TestPath(), 100)
    assert.strictEqual(controller.congestionWindow, 70 * MSS)
    assert.strictEqual(controller.slowStartThreshold, 70 * MSS)
    controller.onCongestion(150, 100, MSS, false)
    assert.strictEqual(controller.congestionWindow, 70 * MSS)
    controller.onCongestion(250, 101, MSS, true)
    assert.approximately(controller.congestionWindow, 49 * MSS, 1e-6)
  })

  it("follows W_cubic over time (4.2, 4.4, 4.5)", () => {
    const path = new TestPath()
    path.setRtt(20)
    const controller = afterLoss(path, 1000)
    const k = Math.cbrt((1000 - 700) / 0.4)
    let now = 101
    let checked = 0
    // The epoch begins with the first acknowledgement after recovery.
    const start = now + path.rtt.smoothed
    let estimate = 700
    for (let i = 0; i < 700; i++) {
      const before = controller.congestionWindow / MSS
      now = round(controller, path, now)
      estimate += ((estimate < 1000 ? 9 / 17 : 1) * Math.floor(before)) / before
      const t = (now + path.rtt.smoothed - start) / 1000
      const expected = Math.max(0.4 * (t - k) ** 3 + 1000, estimate)
      if (i < 3) continue
      assert.approximately(controller.congestionWindow / MSS, expected, 0.02 * expected, `after ${t} s`)
      checked++
    }
    assert.isAbove(checked, 600)
    assert.isAbove(controller.congestionWindow, 1000 * MSS, "beyond the old maximum: the convex region")
  })

  it("is never slower than Reno: the friendly region (4.3)", () => {
    const path = new TestPath()
    path.setRtt(10)
    const controller = afterLoss(path, 20)
    let now = 101
    const rounds = 30
    for (let i = 0; i < rounds; i++) now = round(controller, path, now)
    // 9/17 packets a round up to the old window, then one: 14 + 6 in 11.3 rounds, then 18.7 more.
    assert.approximately(controller.congestionWindow / MSS, 20 + rounds - 6 / (9 / 17), 2)
    const t = (rounds * 10) / 1000
    const plain = 0.4 * (t - Math.cbrt(6 / 0.4)) ** 3 + 20
    assert.isAbove(controller.congestionWindow / MSS, plain + 5)
  })

  it("makes room for others when losses come below the last maximum: fast convergence (4.7)", () => {
    const path = new TestPath()
    const controller = afterLoss(path, 1000)
    controller.onCongestion(300, 200, MSS, false)
    assert.approximately(controller.congestionWindow, 490 * MSS, 1)
    // W_max is 700 * 0.85 = 595, so the plateau is reached after cbrt(105 / 0.4) = 6.4 s.
    let now = 301
    for (let i = 0; i < 64; i++) now = round(controller, path, now)
    assert.approximately(controller.congestionWindow / MSS, 595, 3)
  })

  it("stays during recovery", () => {
    const controller = afterLoss(new TestPath(), 100)
    controller.onAcked(150, 50 * MSS, 100, false)
    assert.strictEqual(controller.congestionWindow, 70 * MSS)
  })

  it("grows by at most half the window a round (4.4)", () => {
    const path = new TestPath()
    const controller = afterLoss(path, 100)
    controller.onAcked(201, MSS, 101, false)
    // An hour later the curve is far above: one window's worth of acknowledgements adds half a window at most.
    const before = controller.congestionWindow
    controller.onAcked(3_600_000, before, 3_599_900, false)
    assert.isAtMost(controller.congestionWindow, 1.5 * before + 1)
  })

  it("does not count time in which the application was the limit (5.8)", () => {
    assert.approximately(afterPause(60_000), afterPause(0), 5)
  })

  it("falls to the minimum in persistent congestion, and starts slowly again (RFC 9002 section 7.6.2)", () => {
    const controller = afterLoss(new TestPath(), 100)
    controller.onPersistentCongestion(0)
    assert.strictEqual(controller.congestionWindow, 2 * MSS)
    controller.onAcked(110, MSS, 60, false)
    assert.strictEqual(controller.congestionWindow, 3 * MSS)
  })

  it("never falls below two packets", () => {
    const controller = make(new TestPath())
    for (let i = 0; i < 30; i++) controller.onCongestion(2 * i + 1, 2 * i, MSS, false)
    assert.strictEqual(controller.congestionWindow, 2 * MSS)
  })

  it("takes a reduction back when the loss was spurious, with its curve (4.9.2)", () => {
    const path = new TestPath()
    const undone = afterLoss(path, 1000)
    const untouched = afterLoss(path, 1000)
    let now = 101
    let other = 101
    for (let i = 0; i < 5; i++) now = round(undone, path, now)
    for (let i = 0; i < 5; i++) other = round(untouched, path, other)
    const before = undone.congestionWindow
    undone.onCongestion(now + 50, now, MSS, false)
    assert.isBelow(undone.congestionWindow, before)
    undone.onSpuriousLoss(now + 60)
    assert.strictEqual(undone.congestionWindow, before)
    assert.strictEqual(undone.slowStartThreshold, 700 * MSS)
    for (let i = 0; i < 20; i++) now = round(undone, path, now)
    for (let i = 0; i < 20; i++) other = round(untouched, path, other)
    assert.strictEqual(undone.congestionWindow, untouched.congestionWindow)
  })

  it("takes nothing back after a mark", () => {
    const controller = make(new TestPath())
    controller.onCongestion(100, 50, 0, true)
    controller.onSpuriousLoss(110)
    assert.strictEqual(controller.congestionWindow, 0.7 * W0)
  })

  it("follows the packet size while nothing else has set the window, and starts over on demand", () => {
    const path = new TestPath()
    const controller = make(path)
    path.maxDatagramSize = 1400
    assert.strictEqual(controller.congestionWindow, 14_000)
    controller.onCongestion(10, 5, MSS, false)
    path.maxDatagramSize = 1200
    assert.strictEqual(controller.congestionWindow, 9800)
    controller.reset(15)
    assert.strictEqual(controller.congestionWindow, W0)
    assert.strictEqual(controller.slowStartThreshold, Infinity)
    controller.onAcked(20, MSS, 6, false)
    assert.strictEqual(controller.congestionWindow, W0 + MSS)
  })

  it("REC-1 keeps paths apart", () => {
    const controllers = cubic()
    const a = controllers.make(new TestPath())
    const b = controllers.make(new TestPath())
    a.onCongestion(100, 50, MSS, false)
    assert.strictEqual(b.congestionWindow, W0)
    a.onPacketSent(0, 1, 1)
    a.close()
  })
})

describe("HyStart++ (RFC 9406)", () => {
  it("doubles the window each round while the RTT holds", () => {
    const path = new TestPath()
    const controller = make(path)
    let now = 0
    for (let i = 0; i < 5; i++) now = round(controller, path, now)
    assert.strictEqual(controller.congestionWindow, 32 * W0)
  })

  it("grows a quarter as fast once the RTT has risen by an eighth, and leaves slow start after 5 rounds", () => {
    const path = new TestPath()
    const controller = make(path)
    let now = 0
    for (let i = 0; i < 3; i++) now = round(controller, path, now)
    path.setRtt(113)
    const before = controller.congestionWindow
    now = round(controller, path, now)
    assert.isBelow(controller.congestionWindow, 1.4 * before)
    assert.isAbove(controller.congestionWindow, 1.2 * before)
    assert.strictEqual(controller.slowStartThreshold, Infinity)
    for (let i = 0; i < 5; i++) now = round(controller, path, now)
    assert.isBelow(controller.slowStartThreshold, Infinity)
    assert.isBelow(controller.congestionWindow, 4 * before)
    const leaving = controller.congestionWindow
    now = round(controller, path, now)
    assert.isBelow(controller.congestionWindow, 1.1 * leaving, "congestion avoidance from here")
  })

  it("ignores a rise of less than the threshold", () => {
    const path = new TestPath()
    const controller = make(path)
    let now = round(controller, path, 0)
    path.setRtt(112)
    for (let i = 0; i < 3; i++) now = round(controller, path, now)
    assert.strictEqual(controller.congestionWindow, 16 * W0)
  })

  it("C6: judges each eight samples: a round whose RTT rises only behind its start is enough", () => {
    const path = new TestPath()
    const controller = make(path)
    let now = round(controller, path, 0)
    now = round(controller, path, now)
    const before = controller.congestionWindow
    const packets = before / MSS
    for (let i = 0; i < packets; i++) {
      // The queue was empty when the round began, and grows with every packet.
      path.setRtt(100 + i)
      controller.onAcked(now + 100 + 1.5 * i, MSS, now + i / 2, false)
    }
    // 13 ms more in each of eight samples: from about the 25th of 40 on a quarter as fast.
    assert.approximately(controller.congestionWindow, before + (25 + 15 / 4) * MSS, 2 * MSS)
  })

  it("C6: the window waits while the RTT rises further, and slow start still ends after 5 rounds", () => {
    const path = new TestPath()
    const controller = make(path)
    let now = 0
    for (let i = 0; i < 3; i++) now = round(controller, path, now)
    path.setRtt(113)
    now = round(controller, path, now)
    const before = controller.congestionWindow
    path.setRtt(120)
    now = round(controller, path, now)
    // Two groups of samples: the first one has some of before.
    assert.isAtMost(controller.congestionWindow, before + (16 / 4) * MSS)
    const held = controller.congestionWindow
    now = round(controller, path, now)
    assert.strictEqual(controller.congestionWindow, held)
    assert.strictEqual(controller.slowStartThreshold, Infinity)
    // No longer: a quarter as fast as at first again.
    path.setRtt(118)
    now = round(controller, path, now)
    assert.approximately(controller.congestionWindow, 1.25 * held, 3 * MSS)
    for (let i = 0; i < 2; i++) now = round(controller, path, now)
    assert.isBelow(controller.slowStartThreshold, Infinity)
  })

  it("a longer way back of the acknowledgements is no queue: what is below the minimum of the path is of another way", () => {
    const path = new TestPath()
    const controller = make(path)
    let now = 0
    for (let i = 0; i < 2; i++) now = round(controller, path, now)
    path.rtt.resetMin()
    path.setRtt(150)
    for (let i = 0; i < 3; i++) now = round(controller, path, now)
    assert.strictEqual(controller.congestionWindow, 32 * W0)
  })

  it("needs 8 samples in a round", () => {
    const path = new TestPath()
    const controller = make(path)
    const now = round(controller, path, 0)
    path.setRtt(200)
    for (let i = 0; i < 7; i++) controller.onAcked(now + 200, MSS, now + 1, false)
    assert.strictEqual(controller.congestionWindow, 2 * W0 + 7 * MSS)
    controller.onAcked(now + 200, MSS, now + 1, false)
    assert.strictEqual(controller.congestionWindow, 2 * W0 + 7.25 * MSS)
  })

  it("goes back to slow start when the rise was only noise", () => {
    const path = new TestPath()
    const controller = make(path)
    let now = 0
    for (let i = 0; i < 3; i++) now = round(controller, path, now)
    path.setRtt(130)
    now = round(controller, path, now)
    path.setRtt(100)
    now = round(controller, path, now)
    const before = controller.congestionWindow
    now = round(controller, path, now)
    assert.approximately(controller.congestionWindow, 2 * before, MSS)
  })
})
