import type { ConnectionControllers, PathInfo } from "./Controller.ts"
import { HyStart } from "./HyStart.ts"
import { LossBased } from "./LossBased.ts"
import type { Growth } from "./LossBased.ts"

/** RFC 9438 section 4.1: segments per cubic second, and what a congestion event leaves of the window. */
const C = 0.4
const BETA = 0.7
/** Growth that keeps pace with Reno (section 4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA)

/** What a congestion event changes, so that it can be taken back. */
class Epoch {
  /** W_max: bytes. */
  maximum = 0
  /** cwnd_prior: bytes. */
  prior = 0
  /** W_est: bytes. */
  estimate = 0
  /** K: seconds. */
  k = 0
  /** ms; NaN until congestion avoidance begins. */
  start = Number.NaN

  copyFrom(other: Epoch): void {
    this.maximum = other.maximum
    this.prior = other.prior
    this.estimate = other.estimate
    this.k = other.k
    this.start = other.start
  }
}

/** CUBIC (RFC 9438). The formulas count segments and seconds, the state bytes and ms. */
export class Cubic implements Growth {
  readonly name = "cubic"
  private readonly path: PathInfo
  private readonly current = new Epoch()
  private readonly saved = new Epoch()

  constructor(path: PathInfo) {
    this.path = path
  }

  /** Sections 4.2 to 4.5. */
  acked(window: number, bytes: number, now: number): number {
    const epoch = this.current
    const segment = this.path.maxDatagramSize
    if (Number.isNaN(epoch.start)) this.beginEpoch(window, now)
    const t = (now - epoch.start) / 1000
    // Reno's window under the same losses; once it has reached the old one, it grows as Reno does.
    epoch.estimate += ((epoch.estimate < epoch.prior ? ALPHA : 1) * bytes * segment) / window
    if (this.cubic(t) < epoch.estimate) return epoch.estimate > window ? epoch.estimate : window
    const target = Math.min(this.cubic(t + this.path.rtt.smoothed / 1000), 1.5 * window)
    return target > window ? window + ((target - window) * bytes) / window : window
  }

  reduced(window: number): number {
    const epoch = this.current
    // Fast convergence: a window below the last maximum says that another flow needs room (section 4.7).
    epoch.maximum = window < epoch.maximum ? (window * (1 + BETA)) / 2 : window
    epoch.prior = window
    epoch.start = Number.NaN
    return window * BETA
  }

  /** Time without use of the window does not let it grow (section 5.8). */
  paused(duration: number): void {
    this.current.start += duration
  }

  save(): void {
    this.saved.copyFrom(this.current)
  }

  restore(): void {
    this.current.copyFrom(this.saved)
  }

  reset(): void {
    const epoch = this.current
    epoch.maximum = epoch.prior = epoch.estimate = epoch.k = 0
    epoch.start = Number.NaN
  }

  private beginEpoch(window: number, now: number): void {
    const epoch = this.current
    epoch.start = now
    epoch.estimate = window
    // After slow start without a loss the curve starts at its plateau.
    if (epoch.maximum < window) epoch.maximum = window
    epoch.k = Math.cbrt((epoch.maximum - window) / this.path.maxDatagramSize / C)
  }

  /** W_cubic: bytes, `t` seconds after the epoch began. */
  private cubic(t: number): number {
    return C * (t - this.current.k) ** 3 * this.path.maxDatagramSize + this.current.maximum
  }
}

/** With HyStart++ (RFC 9406) instead of plain slow start. */
export const cubic = (): ConnectionControllers => ({
  make: (path) => new LossBased(path, new Cubic(path), new HyStart(path.rtt))
})
