import type { Controller, PathInfo } from "../../src/CongestionControl.ts"
import { initialWindow } from "../../src/internal/congestion/Window.ts"
import { Address } from "../../src/internal/wire/Datagram.ts"
import { RttEstimator } from "../../src/internal/recovery/RttEstimator.ts"

export const MSS = 1200

/** A path with a fixed RTT of 100 ms, which tests may change. */
export class TestPath implements PathInfo {
  readonly pathId = 0
  readonly local = new Address("10.0.0.1", 5000, 4)
  readonly remote = new Address("10.9.0.1", 4433, 4)
  maxDatagramSize = MSS
  usable = true
  get initialWindow(): number {
    return initialWindow(this.maxDatagramSize)
  }
  readonly rtt = new RttEstimator(100)
  random = (): number => 0.5

  constructor() {
    this.setRtt(100)
  }

  setRtt(ms: number): void {
    this.rtt.update(ms, 0, 0, true, 0)
    this.rtt.smoothed = ms
  }
}

/** One RTT with the window in full use: every packet acknowledged by itself. Returns the time after it. */
export const round = (controller: Controller, path: TestPath, now: number): number => {
  const rtt = path.rtt.smoothed
  const packets = Math.floor(controller.congestionWindow / MSS)
  for (let i = 0; i < packets; i++) {
    const sent = now + (i * rtt) / packets
    controller.onAcked(sent + rtt, MSS, sent, false)
  }
  return now + rtt
}
