import type { DeliverySample, PathInfo } from "./Controller.ts"
import { CycleMax, RoundMax } from "./WindowedMax.ts"

/** Shares of a flight (draft-ietf-ccwg-bbr section 2.8). */
export const LOSS_THRESHOLD = 0.02
export const BETA = 0.7
const HEADROOM = 0.15
/** Least packets in flight, so that delayed acknowledgements do not stop the flow. */
const MIN_PIPE_PACKETS = 4
/** Rounds that the degree of aggregation is remembered for, once the pipe was full. */
const EXTRA_ACKED_ROUNDS = 10
/** ms. */
const MIN_RTT_FILTER = 10_000
const PROBE_RTT_INTERVAL = 5000
/** A round that grew the rate by less than this ... so often in a row found the limit. */
const FULL_BW_GROWTH = 1.25
const FULL_BW_ROUNDS = 3

/**
 * What BBR believes about the path (draft-ietf-ccwg-bbr sections 5.3.1.2 and 5.5): rates in bytes per ms, volumes in bytes,
 * times in ms.
 */
export class BbrModel {
  /** The rate to use: `maxBw`, within what congestion allows for now. */
  bw = 0
  /** The shortest round trip of the last 10 s; Infinity without a sample. */
  minRtt = Infinity
  /** The shortest of the last 5 s is older than that. */
  probeRttExpired = false
  probeRttStamp = 0
  /** In flight, the path took this much when it was probed last: the bound of cycles to come. */
  inflightLongterm = Infinity
  /** Bounds that losses of this cycle set. */
  bwShortterm = Infinity
  inflightShortterm = Infinity
  /** Highest of the last round. */
  bwLatest = 0
  inflightLatest = 0

  /** Packet-timed round trips. */
  round = 0
  roundStart = false
  /** A round with the losses of one flight ends. */
  lossRoundStart = false
  lossInRound = false
  markInRound = false
  /** Runs of lost packets in this round. */
  lossRunsInRound = 0

  fullBw = 0
  /** The rate does not grow: now, and at all since the start. */
  fullBwNow = false
  fullBwReached = false

  private readonly path: PathInfo
  private readonly maxBwFilter = new CycleMax()
  private readonly extraAckedFilter = new RoundMax(EXTRA_ACKED_ROUNDS)
  private minRttStamp = 0
  private probeRttMin = Infinity
  private nextRoundDelivered = 0
  private lossRoundDelivered = 0
  private lastLost = -2
  private fullBwCount = 0
  private extraAcked = 0
  private extraAckedStart = 0
  private extraAckedDelivered = 0

  constructor(path: PathInfo) {
    this.path = path
  }

  get maxBw(): number {
    return this.maxBwFilter.value
  }

  get minPipe(): number {
    return MIN_PIPE_PACKETS * this.path.maxDatagramSize
  }

  /** `gain` times what fills the path without a queue. */
  bdp(gain: number, bw: number): number {
    if (bw === 0) return gain * this.path.initialWindow
    // Where acknowledgements come on ways that give no sample, the estimate of recovery has to do.
    return gain * bw * (this.minRtt < Infinity ? this.minRtt : this.path.rtt.smoothed)
  }

  /** `inflightLongterm` with room left for other flows. */
  get inflightWithHeadroom(): number {
    const bound = this.inflightLongterm
    if (bound === Infinity) return bound
    const room = Math.max(this.path.maxDatagramSize, HEADROOM * bound)
    return Math.max(bound - room, this.minPipe)
  }

  /** More acknowledged than the rate explains, lately: the path delivers in lumps. */
  get aggregation(): number {
    return this.fullBwReached ? this.extraAckedFilter.value : this.extraAcked
  }

  /** Near the start of an ACK. */
  onSample(now: number, sample: DeliverySample, window: number): void {
    this.updateLatest(sample)
    this.updateRound(sample)
    if (sample.rate > 0 && (!sample.appLimited || sample.rate >= this.maxBw)) this.maxBwFilter.add(sample.rate)
    this.updateAggregation(now, sample.newlyAcked, window)
  }

  /** Near its end. */
  finish(sample: DeliverySample): void {
    if (this.lossRoundStart) {
      this.bwLatest = sample.rate
      this.inflightLatest = sample.deliveredSince
      this.lossInRound = this.markInRound = false
      this.lossRunsInRound = 0
    }
    this.bw = Math.min(this.maxBw, this.bwShortterm)
  }

  /** Whether the losses since P left say that too much was in flight. */
  isInflightTooHigh(sample: DeliverySample): boolean {
    return sample.lostSince > sample.inFlightAtSend * LOSS_THRESHOLD
  }

  /** How much was in flight when the losses passed the threshold: P, of `size` bytes, is the one that did it. */
  inflightAtLoss(sample: DeliverySample, size: number): number {
    const before = sample.inFlightAtSend - size
    const lostBefore = sample.lostSince - size
    return before + Math.max(0, (LOSS_THRESHOLD * before - lostBefore) / (1 - LOSS_THRESHOLD))
  }

  /** The first loss in a round begins the round that it is counted over. */
  noteLoss(packetNumber: number, delivered: number): void {
    if (packetNumber !== this.lastLost + 1) this.lossRunsInRound++
    this.lastLost = packetNumber
    if (!this.lossInRound && !this.markInRound) this.lossRoundDelivered = delivered
    this.lossInRound = true
  }

  noteMark(delivered: number): void {
    if (!this.lossInRound && !this.markInRound) this.lossRoundDelivered = delivered
    this.markInRound = true
  }

  /** A round with congestion ended while nothing was probed for: less for the rest of this cycle. */
  lowerBounds(window: number): void {
    if (!this.lossRoundStart || !(this.lossInRound || this.markInRound)) return
    if (this.bwShortterm === Infinity) this.bwShortterm = this.maxBw
    if (this.inflightShortterm === Infinity) this.inflightShortterm = window
    this.bwShortterm = Math.max(this.bwLatest, BETA * this.bwShortterm)
    this.inflightShortterm = Math.max(this.inflightLatest, BETA * this.inflightShortterm)
  }

  resetShortterm(): void {
    this.bwShortterm = this.inflightShortterm = Infinity
  }

  resetCongestionSignals(): void {
    this.lossInRound = this.markInRound = false
    this.lossRunsInRound = 0
    this.bwLatest = this.inflightLatest = 0
  }

  resetFullBw(): void {
    this.fullBw = this.fullBwCount = 0
    this.fullBwNow = false
  }

  /** Section 5.3.1.2. */
  checkFullBw(sample: DeliverySample): void {
    if (this.fullBwNow || !this.roundStart || sample.appLimited) return
    if (sample.rate >= this.fullBw * FULL_BW_GROWTH) {
      this.resetFullBw()
      this.fullBw = sample.rate
      return
    }
    this.fullBwNow = ++this.fullBwCount >= FULL_BW_ROUNDS
    if (this.fullBwNow) this.fullBwReached = true
  }

  /** Section 5.3.4.3. */
  updateMinRtt(now: number, rtt: number): void {
    this.probeRttExpired = now > this.probeRttStamp + PROBE_RTT_INTERVAL
    if (rtt >= 0 && (rtt < this.probeRttMin || this.probeRttExpired)) {
      this.probeRttMin = rtt
      this.probeRttStamp = now
    }
    if (this.probeRttMin < this.minRtt || now > this.minRttStamp + MIN_RTT_FILTER) {
      this.minRtt = this.probeRttMin
      this.minRttStamp = this.probeRttStamp
    }
  }

  startRound(delivered: number): void {
    this.nextRoundDelivered = delivered
  }

  /** A new cycle for the filter of the rate. */
  advanceMaxBw(): void {
    this.maxBwFilter.advance()
  }

  restartAggregation(now: number): void {
    this.extraAckedStart = now
    this.extraAckedDelivered = 0
  }

  reset(now: number): void {
    this.bw = 0
    this.minRtt = this.probeRttMin = Infinity
    this.probeRttExpired = false
    this.probeRttStamp = this.minRttStamp = now
    this.inflightLongterm = Infinity
    this.resetShortterm()
    this.resetCongestionSignals()
    this.resetFullBw()
    this.fullBwReached = false
    this.round = 0
    this.roundStart = this.lossRoundStart = false
    this.nextRoundDelivered = this.lossRoundDelivered = 0
    this.lastLost = -2
    this.maxBwFilter.reset()
    this.extraAckedFilter.reset()
    this.extraAcked = 0
    this.restartAggregation(now)
  }

  private updateLatest(sample: DeliverySample): void {
    if (sample.rate > this.bwLatest) this.bwLatest = sample.rate
    if (sample.deliveredSince > this.inflightLatest) this.inflightLatest = sample.deliveredSince
    this.lossRoundStart = sample.priorDelivered >= this.lossRoundDelivered
    if (this.lossRoundStart) this.lossRoundDelivered = sample.delivered
  }

  private updateRound(sample: DeliverySample): void {
    this.roundStart = sample.priorDelivered >= this.nextRoundDelivered
    if (!this.roundStart) return
    this.startRound(sample.delivered)
    this.round++
    this.extraAcked = 0
    this.extraAckedFilter.advance()
  }

  /** Section 5.5.9. */
  private updateAggregation(now: number, bytes: number, window: number): void {
    let expected = this.bw * (now - this.extraAckedStart)
    if (this.extraAckedDelivered <= expected) {
      this.restartAggregation(now)
      expected = 0
    }
    this.extraAckedDelivered += bytes
    const extra = Math.min(this.extraAckedDelivered - expected, window)
    if (extra > this.extraAcked) this.extraAcked = extra
    this.extraAckedFilter.add(extra)
  }
}
