import type { ConnectionControllers, Controller, PathInfo } from "./Controller.ts"
import { HyStart } from "./HyStart.ts"
import { initialWindow, minimumWindow } from "./Window.ts"

/** RFC 9438 section 4.1: segments per cubic second, and what a congestion event leaves of the window. */
const C = 0.4
const BETA = 0.7
/** Growth that keeps pace with Reno (section 4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA)

/** What a congestion event changes, so that it can be taken back. */
class Epoch {
  window = 0
  threshold = Infinity
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
    this.window = other.window
    this.threshold = other.threshold
    this.maximum = other.maximum
    this.prior = other.prior
    this.estimate = other.estimate
    this.k = other.k
    this.start = other.start
  }
}

/** CUBIC (RFC 9438) with HyStart++ (RFC 9406). The formulas count segments and seconds, the state bytes and ms. */
export class Cubic implements Controller {
  readonly name = "cubic"
  /** The pacer's default rate fits. */
  readonly pacingRate = 0
  private maxDatagramSize: number
  private readonly path: PathInfo
  private readonly hystart: HyStart
  private readonly current = new Epoch()
  private readonly saved = new Epoch()
  private canUndo = false
  /** Packets sent until then belong to the congestion event that was answered last. */
  private recoveryStart = -Infinity
  /** Since when the application, not the window, has been the limit; NaN if it is not. */
  private limitedSince = Number.NaN
  /** Whether nothing but the start has set the window. */
  private fresh = true

  constructor(path: PathInfo) {
    this.path = path
    this.maxDatagramSize = path.maxDatagramSize
    this.hystart = new HyStart(path.rtt)
    this.current.window = initialWindow(path.maxDatagramSize)
  }

  get congestionWindow(): number {
    return this.current.window
  }

  get slowStartThreshold(): number {
    return this.current.threshold
  }

  onPacketSent(): void {}

  onAcked(now: number, bytes: number, largestSentTime: number, appLimited: boolean): void {
    const epoch = this.current
    if (appLimited) {
      if (Number.isNaN(this.limitedSince)) this.limitedSince = now
      return
    }
    if (!Number.isNaN(this.limitedSince)) {
      // Time without use of the window does not let it grow (RFC 9438 section 5.8).
      epoch.start += now - this.limitedSince
      this.limitedSince = Number.NaN
    }
    if (largestSentTime <= this.recoveryStart) return
    this.fresh = false
    if (epoch.window < epoch.threshold) {
      epoch.window += this.hystart.onAcked(now, bytes, largestSentTime)
      if (this.hystart.done) epoch.threshold = epoch.window
      return
    }
    this.avoidCongestion(now, bytes)
  }

  onCongestion(now: number, sentTime: number, _lostBytes: number, ecn: boolean): void {
    if (sentTime <= this.recoveryStart) return
    const epoch = this.current
    // A mark is never spurious.
    this.canUndo = !ecn
    this.saved.copyFrom(epoch)
    this.fresh = false
    this.recoveryStart = now
    // Fast convergence: a window below the last maximum says that another flow needs room (section 4.7).
    const window = epoch.window
    epoch.maximum = window < epoch.maximum ? (window * (1 + BETA)) / 2 : window
    epoch.prior = window
    epoch.window = epoch.threshold = Math.max(window * BETA, minimumWindow(this.maxDatagramSize))
    epoch.start = Number.NaN
  }

  onPersistentCongestion(): void {
    const epoch = this.current
    epoch.window = minimumWindow(this.maxDatagramSize)
    epoch.start = Number.NaN
    this.recoveryStart = -Infinity
    this.canUndo = false
    this.hystart.reset()
  }

  onSpuriousLoss(_now: number, sentTime: number): void {
    if (!this.canUndo || sentTime > this.recoveryStart) return
    // RFC 9438 section 4.9.2.
    if (this.saved.window > this.current.window) this.current.copyFrom(this.saved)
    this.recoveryStart = -Infinity
    this.canUndo = false
  }

  onMaxDatagramSize(bytes: number): void {
    this.maxDatagramSize = bytes
    // RFC 9002 section 7.2: the initial window follows the size.
    if (this.fresh) this.current.window = initialWindow(bytes)
    else this.current.window = Math.max(this.current.window, minimumWindow(bytes))
  }

  reset(): void {
    this.current.copyFrom(new Epoch())
    this.current.window = initialWindow(this.maxDatagramSize)
    this.hystart.reset()
    this.canUndo = false
    this.recoveryStart = -Infinity
    this.limitedSince = Number.NaN
    this.fresh = true
  }

  close(): void {}

  /** RFC 9438 sections 4.2 to 4.5. */
  private avoidCongestion(now: number, bytes: number): void {
    const epoch = this.current
    const segment = this.maxDatagramSize
    if (Number.isNaN(epoch.start)) this.beginEpoch(now)
    const t = (now - epoch.start) / 1000
    // Reno's window under the same losses; once it has reached the old one, it grows as Reno does.
    epoch.estimate += ((epoch.estimate < epoch.prior ? ALPHA : 1) * bytes * segment) / epoch.window
    if (this.cubic(t) < epoch.estimate) {
      if (epoch.estimate > epoch.window) epoch.window = epoch.estimate
      return
    }
    const target = Math.min(this.cubic(t + this.path.rtt.smoothed / 1000), 1.5 * epoch.window)
    if (target > epoch.window) epoch.window += ((target - epoch.window) * bytes) / epoch.window
  }

  private beginEpoch(now: number): void {
    const epoch = this.current
    epoch.start = now
    epoch.estimate = epoch.window
    // After slow start without a loss the curve starts at its plateau.
    if (epoch.maximum < epoch.window) epoch.maximum = epoch.window
    epoch.k = Math.cbrt((epoch.maximum - epoch.window) / this.maxDatagramSize / C)
  }

  /** W_cubic: bytes, `t` seconds after the epoch began. */
  private cubic(t: number): number {
    return C * (t - this.current.k) ** 3 * this.maxDatagramSize + this.current.maximum
  }
}

export const cubic = (): ConnectionControllers => ({ make: (path) => new Cubic(path) })
