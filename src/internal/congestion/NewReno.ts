import type { ConnectionControllers, Controller, PathInfo } from "./Controller.ts"
import { initialWindow, minimumWindow } from "./Window.ts"

/** RFC 9002 section 7.3.2. */
const LOSS_REDUCTION = 0.5

/** NewReno as RFC 9002 section 7 and appendix B have it. */
export class NewReno implements Controller {
  readonly name = "newReno"
  congestionWindow: number
  slowStartThreshold = Infinity
  /** The pacer's default rate fits. */
  readonly pacingRate = 0
  private maxDatagramSize: number
  /** Packets sent until then belong to the congestion event that was answered last. */
  private recoveryStart = -Infinity
  private bytesAcked = 0
  /** Whether nothing but the start has set the window. */
  private fresh = true
  /** State before the last reduction; a window of 0 says there is nothing to undo. */
  private priorWindow = 0
  private priorThreshold = Infinity

  constructor(path: PathInfo) {
    this.maxDatagramSize = path.maxDatagramSize
    this.congestionWindow = initialWindow(path.maxDatagramSize)
  }

  onPacketSent(): void {}

  onAcked(_now: number, bytes: number, largestSentTime: number, appLimited: boolean): void {
    if (appLimited || largestSentTime <= this.recoveryStart) return
    this.fresh = false
    if (this.congestionWindow < this.slowStartThreshold) {
      this.congestionWindow += bytes
      return
    }
    this.bytesAcked += bytes
    if (this.bytesAcked < this.congestionWindow) return
    this.bytesAcked -= this.congestionWindow
    this.congestionWindow += this.maxDatagramSize
  }

  onCongestion(now: number, sentTime: number, _lostBytes: number, ecn: boolean): void {
    if (sentTime <= this.recoveryStart) return
    // A mark is never spurious.
    this.priorWindow = ecn ? 0 : this.congestionWindow
    this.priorThreshold = this.slowStartThreshold
    this.fresh = false
    this.recoveryStart = now
    this.bytesAcked = 0
    const floor = minimumWindow(this.maxDatagramSize)
    this.slowStartThreshold = Math.max(this.congestionWindow * LOSS_REDUCTION, floor)
    this.congestionWindow = this.slowStartThreshold
  }

  onPersistentCongestion(): void {
    this.congestionWindow = minimumWindow(this.maxDatagramSize)
    this.recoveryStart = -Infinity
    this.bytesAcked = 0
    this.priorWindow = 0
  }

  onSpuriousLoss(_now: number, sentTime: number): void {
    if (this.priorWindow === 0 || sentTime > this.recoveryStart) return
    this.congestionWindow = Math.max(this.congestionWindow, this.priorWindow)
    this.slowStartThreshold = this.priorThreshold
    this.recoveryStart = -Infinity
    this.priorWindow = 0
  }

  onMaxDatagramSize(bytes: number): void {
    this.maxDatagramSize = bytes
    // RFC 9002 section 7.2: the initial window follows the size.
    if (this.fresh) this.congestionWindow = initialWindow(bytes)
    else this.congestionWindow = Math.max(this.congestionWindow, minimumWindow(bytes))
  }

  reset(): void {
    this.congestionWindow = initialWindow(this.maxDatagramSize)
    this.slowStartThreshold = Infinity
    this.recoveryStart = -Infinity
    this.bytesAcked = 0
    this.fresh = true
    this.priorWindow = 0
  }

  close(): void {}
}

export const newReno = (): ConnectionControllers => ({ make: (path) => new NewReno(path) })
