import type { Controller, PathInfo } from "../congestion/Controller.ts"

/** Timers are no finer than this, ms: waits are not shorter, and what gathers meanwhile leaves as one burst. */
const MIN_WAIT = 1
/** Packets that may leave back to back at first: the initial window (RFC 9002 section 7.7). */
const FIRST_BURST_PACKETS = 10
/** Once losses have shown how little the path takes, a window leaves in so many bursts, of no fewer packets than these. */
const WINDOW_BURSTS = 4
const MIN_BURST_PACKETS = 2
/** Times the window over the RTT: in slow start, where the window doubles meanwhile; where it began larger than usual; and later. */
const SLOW_START_GAIN = 2
const SCALED_START_GAIN = 1.5
const GAIN = 1.25
/** ms of the rate that may leave back to back, to make up for late timers. */
const BURST_TIME = 2
/** Bytes: eight of the largest segmented transmits. Less, and a fast link's two ends take turns instead of working side by side. */
const MAX_BURST = 8 * 65536

export interface PacedPath extends Pick<PathInfo, "maxDatagramSize" | "rtt"> {
  /** The path may have begun with a window that its RTT scaled. */
  readonly scaledStart?: boolean | undefined
}

/** Spreads a path's packets over the round trip (RFC 9002 section 7.7): a token bucket in bytes. */
export class Pacer {
  private readonly controller: Controller
  private readonly path: PacedPath
  /** Negative after packets that did not ask, such as probes. */
  private tokens: number
  private last = -Infinity

  constructor(controller: Controller, path: PacedPath) {
    this.controller = controller
    this.path = path
    this.tokens = this.firstBurst
  }

  /** Bytes per ms: the controller's own rate, or the window over the RTT and some more, so that pacing is not what limits. */
  get rate(): number {
    const own = this.controller.pacingRate
    if (own > 0) return own
    const { congestionWindow, slowStartThreshold } = this.controller
    const starting = this.path.scaledStart === true ? SCALED_START_GAIN : SLOW_START_GAIN
    return ((congestionWindow < slowStartThreshold ? starting : GAIN) * congestionWindow) / this.path.rtt.smoothed
  }

  /** Bytes that may leave now. */
  budget(now: number): number {
    if (now > this.last) this.refill(now)
    return this.tokens
  }

  canSend(now: number, bytes: number): boolean {
    if (now > this.last) this.refill(now)
    return this.tokens >= bytes
  }

  onSent(now: number, bytes: number): void {
    if (now > this.last) this.refill(now)
    this.tokens -= bytes
  }

  /** When a full packet may leave: `now` if it may already. */
  nextTime(now: number): number {
    const missing = this.path.maxDatagramSize - this.budget(now)
    if (missing <= 0) return now
    // One byte more than missing, so that rounding does not make the wait a hair too short.
    const wait = (missing + 1) / this.rate
    return now + (wait > MIN_WAIT ? wait : MIN_WAIT)
  }

  /** A full bucket, as at the start. */
  reset(): void {
    this.last = -Infinity
  }

  private refill(now: number): void {
    const rate = this.rate
    const wanted = Math.min(BURST_TIME * rate, MAX_BURST)
    const burst = Math.max(this.last === -Infinity ? this.firstBurst : this.minBurst, wanted)
    const tokens = this.tokens + (now - this.last) * rate
    this.tokens = tokens < burst ? tokens : burst
    this.last = now
  }

  private get firstBurst(): number {
    return FIRST_BURST_PACKETS * this.path.maxDatagramSize
  }

  /** Bytes. A window of few packets is paced as well: sent at once, it would overflow the short queue that made it small. */
  private get minBurst(): number {
    const { congestionWindow, slowStartThreshold } = this.controller
    const most = this.firstBurst
    if (slowStartThreshold === Infinity) return most
    const least = MIN_BURST_PACKETS * this.path.maxDatagramSize
    const share = congestionWindow / WINDOW_BURSTS
    return share < least ? least : share < most ? share : most
  }
}
