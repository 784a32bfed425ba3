import type { Controller, PathInfo } from "./Controller.ts"
import type { HyStart } from "./HyStart.ts"
import { minimumWindow } from "./Window.ts"

/**
 * What tells one loss-based algorithm from another: how the window grows in congestion avoidance, and what a congestion
 * event leaves of it. Windows are bytes, times ms.
 */
export interface Growth {
  readonly name: string
  /** The window after `bytes` more were acknowledged in congestion avoidance. */
  readonly acked: (window: number, bytes: number, now: number) => number
  /** Bytes were acknowledged, in whatever state the path is. */
  readonly delivered?: (bytes: number, now: number) => void
  /** The window after a congestion event. */
  readonly reduced: (window: number) => number
  /** For `duration` ms the application, not the window, was the limit. */
  readonly paused: (duration: number) => void
  /** Keeps the state, for the case that the event that comes next is none. */
  readonly save: () => void
  readonly restore: () => void
  /** Forgets everything: a new path, or one that collapsed. */
  readonly reset: () => void
  /** The path is gone. */
  readonly close?: () => void
}

/**
 * A controller that grows until packets are lost (RFC 9002 section 7): slow start, one reduction for each round trip with
 * losses, none for spurious ones, and no growth while the application is the limit. The rest is its `Growth`.
 */
export class LossBased implements Controller {
  readonly name: string
  slowStartThreshold = Infinity
  /** The pacer's default rate fits. */
  readonly pacingRate = 0
  private readonly path: PathInfo
  private readonly growth: Growth
  private readonly hystart: HyStart | undefined
  /** Once it is no longer fresh. A double from the start, like the others: the object keeps its shape. */
  private window = Number.NaN
  /** Whether nothing but the start has set the window. */
  private fresh = true
  /** Packets sent until then belong to the congestion event that was answered last. */
  private recoveryStart = -Infinity
  /** Since when the application, not the window, has been the limit; NaN if it is not. */
  private limitedSince = Number.NaN
  /** What the last event changed. */
  private canUndo = false
  private priorWindow = Number.NaN
  private priorThreshold = Infinity
  private priorRecoveryStart = -Infinity

  constructor(path: PathInfo, growth: Growth, hystart?: HyStart) {
    this.name = growth.name
    this.path = path
    this.growth = growth
    this.hystart = hystart
  }

  get congestionWindow(): number {
    const size = this.path.maxDatagramSize
    // RFC 9002 section 7.2: the initial window follows the size.
    if (this.fresh) return this.path.initialWindow
    const least = minimumWindow(size)
    return this.window < least ? least : this.window
  }

  onPacketSent(): void {}

  onAcked(now: number, bytes: number, largestSentTime: number, appLimited: boolean): void {
    this.growth.delivered?.(bytes, now)
    if (appLimited) {
      if (Number.isNaN(this.limitedSince)) this.limitedSince = now
      return
    }
    if (!Number.isNaN(this.limitedSince)) {
      this.growth.paused(now - this.limitedSince)
      this.limitedSince = Number.NaN
    }
    if (largestSentTime <= this.recoveryStart) return
    const window = this.settle()
    if (window >= this.slowStartThreshold) {
      this.window = Math.max(this.growth.acked(window, bytes, now), minimumWindow(this.path.maxDatagramSize))
      // Growth that takes some of the window back (OLIA) does not lead into slow start.
      if (this.window < this.slowStartThreshold) this.slowStartThreshold = this.window
      return
    }
    const { hystart } = this
    if (hystart === undefined) {
      this.window = window + bytes
      return
    }
    this.window = window + hystart.onAcked(now, bytes, largestSentTime)
    if (hystart.done) this.slowStartThreshold = this.window
  }

  onCongestion(now: number, sentTime: number, _lostBytes: number, ecn: boolean): void {
    if (sentTime <= this.recoveryStart) return
    const window = this.settle()
    // A mark is never spurious.
    this.canUndo = !ecn
    this.priorWindow = window
    this.priorThreshold = this.slowStartThreshold
    this.priorRecoveryStart = this.recoveryStart
    this.growth.save()
    this.recoveryStart = now
    this.window = Math.max(this.growth.reduced(window), minimumWindow(this.path.maxDatagramSize))
    this.slowStartThreshold = this.window
  }

  onPersistentCongestion(): void {
    this.fresh = false
    this.window = minimumWindow(this.path.maxDatagramSize)
    this.recoveryStart = -Infinity
    this.canUndo = false
    this.growth.reset()
    this.hystart?.reset()
  }

  onSpuriousLoss(): void {
    if (!this.canUndo) return
    this.canUndo = false
    this.recoveryStart = this.priorRecoveryStart
    // RFC 9438 section 4.9.2.
    if (this.priorWindow <= this.window) return
    this.window = this.priorWindow
    this.slowStartThreshold = this.priorThreshold
    this.growth.restore()
  }

  reset(): void {
    this.fresh = true
    this.slowStartThreshold = Infinity
    this.recoveryStart = -Infinity
    this.limitedSince = Number.NaN
    this.canUndo = false
    this.growth.reset()
    this.hystart?.reset()
  }

  close(): void {
    this.growth.close?.()
  }

  /** The window, which from now on is what events make of it. */
  private settle(): number {
    const window = this.congestionWindow
    this.fresh = false
    // Growth that is coupled asks for it before anything else sets it.
    this.window = window
    return window
  }
}
