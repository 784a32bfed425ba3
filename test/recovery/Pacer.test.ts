import { assert, describe, it } from "@effect/vitest"
import { Pacer } from "../../src/internal/recovery/Pacer.ts"
import { RttEstimator } from "../../src/internal/recovery/RttEstimator.ts"
import { SpyController } from "./support.ts"

const make = (options: {
  window?: number
  rtt?: number
  pacingRate?: number
  threshold?: number
}): [Pacer, SpyController] => {
  const controller = new SpyController()
  controller.congestionWindow = options.window ?? 120_000
  controller.pacingRate = options.pacingRate ?? 0
  controller.slowStartThreshold = options.threshold ?? 0
  const rtt = new RttEstimator(options.rtt ?? 100)
  return [new Pacer(controller, { maxDatagramSize: 1200, rtt }), controller]
}

/** Sends as much as the pacer lets go until `end`, woken `late` ms after each time it names. Returns bytes after the first burst. */
const run = (pacer: Pacer, end: number, late: (i: number) => number): number => {
  let sent = 0
  while (pacer.canSend(0, 1200)) pacer.onSent(0, 1200)
  let now = 0
  for (let i = 0; ; i++) {
    now = pacer.nextTime(now) + late(i)
    if (now > end) return sent
    assert.isTrue(pacer.canSend(now, 1200), "what it names, it keeps")
    while (pacer.canSend(now, 1200)) {
      pacer.onSent(now, 1200)
      sent += 1200
    }
  }
}

describe("Pacer (RFC 9002 section 7.7)", () => {
  it("takes 5/4 of the window per RTT, 2 in slow start, or the controller's own rate", () => {
    const [pacer, controller] = make({})
    assert.strictEqual(pacer.rate, 1500)
    controller.slowStartThreshold = Infinity
    assert.strictEqual(pacer.rate, 2400)
    controller.pacingRate = 77
    assert.strictEqual(pacer.rate, 77)
  })

  it("lets a burst of 10 packets go at first, then spreads", () => {
    const [pacer] = make({ window: 12_000 })
    for (let i = 0; i < 10; i++) {
      assert.isTrue(pacer.canSend(0, 1200))
      pacer.onSent(0, 1200)
    }
    assert.isFalse(pacer.canSend(0, 1))
    assert.strictEqual(pacer.budget(0), 0)
    // 150 bytes per ms
    assert.approximately(pacer.nextTime(0), 8, 0.01)
    assert.isFalse(pacer.canSend(7.9, 1200))
    assert.isTrue(pacer.canSend(8.01, 1200))
    assert.strictEqual(pacer.nextTime(8.01), 8.01)
  })

  it("keeps the rate within 2 % over 1 s: slow, fast, and very fast", () => {
    for (const rate of [100, 1500, 50_000]) {
      const [pacer] = make({ pacingRate: rate })
      const sent = run(pacer, 1000, () => 0)
      assert.approximately(sent / 1000, rate, 0.02 * rate, `${rate} bytes per ms`)
    }
  })

  it("keeps the rate with timers up to 1 ms late", () => {
    const [pacer] = make({ pacingRate: 20_000 })
    const sent = run(pacer, 1000, (i) => (i % 10) / 10)
    assert.approximately(sent / 1000, 20_000, 400)
  })

  it("never asks for a timer of less than 1 ms", () => {
    const [pacer] = make({ pacingRate: 1e5 })
    while (pacer.canSend(5, 1200)) pacer.onSent(5, 1200)
    assert.strictEqual(pacer.nextTime(5), 6)
  })

  it("C5: once there were losses, lets a quarter of the window leave at once, at least 2 packets and at most 10", () => {
    for (const [packets, burst] of [
      [2, 2],
      [8, 2],
      [12, 3],
      [40, 10],
      [1000, 10]
    ] as const) {
      const [pacer] = make({ window: 1200 * packets, rtt: 1e6 })
      assert.strictEqual(pacer.budget(0), 12_000, "the first flight is the initial window")
      pacer.onSent(0, 12_000)
      assert.strictEqual(pacer.budget(1e9), 1200 * burst, `window of ${packets} packets`)
    }
  })

  it("saves no more than a burst over quiet times: 10 packets, or 2 ms, or 512 KiB", () => {
    const [slow] = make({ pacingRate: 100 })
    slow.onSent(0, 12_000)
    assert.strictEqual(slow.budget(1e6), 12_000)
    const [fast] = make({ pacingRate: 20_000 })
    fast.onSent(0, 12_000)
    assert.strictEqual(fast.budget(1e6), 40_000)
    const [faster] = make({ pacingRate: 1e6 })
    faster.onSent(0, 12_000)
    assert.strictEqual(faster.budget(1e6), 524_288)
  })

  it("lets packets that did not ask, such as probes, count later", () => {
    const [pacer] = make({ pacingRate: 100 })
    for (let i = 0; i < 12; i++) pacer.onSent(0, 1200)
    assert.strictEqual(pacer.budget(0), -2400)
    assert.isFalse(pacer.canSend(35, 1200))
    assert.isTrue(pacer.canSend(36, 1200))
  })

  it("works with an RTT of 0 and with time starting anywhere", () => {
    const [pacer] = make({ rtt: 0 })
    while (pacer.canSend(1e9, 1200)) pacer.onSent(1e9, 1200)
    assert.strictEqual(pacer.nextTime(1e9), 1e9 + 1)
    assert.isTrue(pacer.canSend(1e9 + 1, 1200))
  })

  it("names times that suffice, also where rounding makes them short", () => {
    for (let rate = 101; rate < 900; rate += 7.3) {
      const [pacer] = make({ pacingRate: rate })
      let now = 1e9
      for (let i = 0; i < 40; i++) {
        while (pacer.canSend(now, 1200)) pacer.onSent(now, 1200)
        now = pacer.nextTime(now)
        assert.isTrue(pacer.canSend(now, 1200), `${rate} bytes per ms`)
      }
    }
  })

  it("starts over with a full burst", () => {
    const [pacer] = make({ pacingRate: 100 })
    pacer.onSent(0, 12_000)
    pacer.reset()
    assert.strictEqual(pacer.budget(1), 12_000)
  })
})
