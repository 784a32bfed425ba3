import type { PathRttView } from "./Controller.ts"

/** Constants of RFC 9406 section 4.3; ms where they are times. */
const MIN_RTT_THRESHOLD = 4
const MAX_RTT_THRESHOLD = 16
const MIN_RTT_DIVISOR = 8
const RTT_SAMPLES = 8
const CSS_GROWTH_DIVISOR = 4
const CSS_ROUNDS = 5

/** Of the threshold: an RTT that has risen by so much more is that of a queue which goes on growing. */
const GROWING = 0.5

/**
 * HyStart++ (RFC 9406): leaves slow start when the RTT rises, before the queue overflows. Between the two lies conservative
 * slow start, which goes back to slow start if the rise was only noise. Rounds are told apart by send times.
 *
 * Not the minimum of a round is judged, but that of every eight samples. Slow start leaves at twice the rate, and pauses when
 * the window is full, so each round begins with an empty queue: its minimum shows nothing of what is filled behind it. And while
 * the RTT still rises, the window waits: what has left by then doubles the queue, and a quarter more each round overflows it.
 */
export class HyStart {
  /** Conservative slow start has run its rounds: congestion avoidance shall begin. */
  done = false
  private readonly rtt: PathRttView
  /** A round ends with the acknowledgement of a packet sent after this time. */
  private roundStart = -Infinity
  private lastRoundMin = Infinity
  private roundMin = Infinity
  /** Of the samples that are judged next. */
  private groupMin = Infinity
  private samples = 0
  private conservativeRounds = 0
  /** The RTT that began conservative slow start; Infinity outside it. */
  private baseline = Infinity
  /** The RTT from which on the window waits. */
  private growing = Infinity
  private waiting = false

  constructor(rtt: PathRttView) {
    this.rtt = rtt
  }

  get conservative(): boolean {
    return this.baseline < Infinity
  }

  /** Bytes by which the window grows for `bytes` acknowledged in slow start. */
  onAcked(now: number, bytes: number, largestSentTime: number): number {
    if (largestSentTime > this.roundStart) this.nextRound(now)
    if (this.rtt.hasSample) {
      const { latest } = this.rtt
      if (latest < this.roundMin) this.roundMin = latest
      if (latest < this.groupMin) this.groupMin = latest
      if (++this.samples >= RTT_SAMPLES) this.judge()
    }
    // Packets are paced, so a burst of acknowledgements needs no cap (RFC 9406 section 4.3, L).
    if (this.waiting) return 0
    return this.conservative ? bytes / CSS_GROWTH_DIVISOR : bytes
  }

  /** Slow start begins again. */
  reset(): void {
    this.done = this.waiting = false
    this.roundStart = -Infinity
    this.lastRoundMin = this.roundMin = this.groupMin = this.baseline = Infinity
    this.samples = this.conservativeRounds = 0
  }

  /** Eight samples are there. */
  private judge(): void {
    const { groupMin } = this
    // Below the path's minimum it is from another way back of the acknowledgements, which may be shorter (draft-21 section 5).
    const lastRoundMin = Math.max(this.lastRoundMin, this.rtt.min)
    this.samples = 0
    this.groupMin = Infinity
    if (this.conservative) {
      this.waiting = groupMin >= this.growing
      if (groupMin < this.baseline) {
        this.baseline = Infinity
        this.conservativeRounds = 0
      }
      return
    }
    if (lastRoundMin === Infinity) return
    const share = lastRoundMin / MIN_RTT_DIVISOR
    const threshold = Math.max(MIN_RTT_THRESHOLD, Math.min(share, MAX_RTT_THRESHOLD))
    if (groupMin < lastRoundMin + threshold) return
    this.baseline = groupMin
    this.growing = groupMin + GROWING * threshold
  }

  private nextRound(now: number): void {
    this.roundStart = now
    this.lastRoundMin = this.roundMin
    this.roundMin = this.groupMin = Infinity
    this.samples = 0
    if (this.conservative && ++this.conservativeRounds >= CSS_ROUNDS) this.done = true
  }
}
