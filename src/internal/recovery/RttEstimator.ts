import type { PathRttView } from "../congestion/Controller.ts"

/** Timer granularity in ms (RFC 9002 section 6.1.2). */
export const GRANULARITY = 1

/** Round-trip time of one path (RFC 9002 section 5). All values in ms. */
export class RttEstimator implements PathRttView {
  latest = 0
  smoothed: number
  variance: number
  min = Infinity
  hasSample = false
  /** When the first sample was taken; Infinity before. Losses from before it prove no persistent congestion (section 7.6.2). */
  firstSampleTime = Infinity
  /** The next sample is the minimum, whatever was before. */
  private minDue = true

  constructor(initialRtt: number) {
    this.smoothed = initialRtt
    this.variance = initialRtt / 2
  }

  /** Forgets everything: another network is behind the path now. */
  reset(initialRtt: number): void {
    this.latest = 0
    this.smoothed = initialRtt
    this.variance = initialRtt / 2
    this.min = Infinity
    this.minDue = true
    this.hasSample = false
    this.firstSampleTime = Infinity
  }

  /** The same, to be taken up again later. */
  copy(): RttEstimator {
    const copy = new RttEstimator(0)
    copy.restore(this)
    return copy
  }

  restore(from: RttEstimator): void {
    this.latest = from.latest
    this.smoothed = from.smoothed
    this.variance = from.variance
    this.min = from.min
    this.hasSample = from.hasSample
    this.firstSampleTime = from.firstSampleTime
    this.minDue = from.minDue
  }

  /**
   * The next sample sets the minimum anew: after persistent congestion (RFC 9002 section 5.2), and when acknowledgements
   * start to return on another path (draft-ietf-quic-multipath-21 section 5). Until then the old one stands.
   */
  resetMin(): void {
    this.minDue = true
  }

  /**
   * Takes a sample: `latest` ms from sending to acknowledgement, of which the peer says it held the packet for `ackDelay`.
   */
  update(latest: number, ackDelay: number, now: number, handshakeConfirmed: boolean, maxAckDelay: number): void {
    this.latest = latest
    if (!this.hasSample) {
      this.hasSample = true
      this.firstSampleTime = now
      this.min = latest
      this.minDue = false
      this.smoothed = latest
      this.variance = latest / 2
      return
    }
    if (this.minDue || latest < this.min) this.min = latest
    this.minDue = false
    // A peer may hold packets for longer than it promised only until it has all keys (section 5.3).
    const delay = handshakeConfirmed && ackDelay > maxAckDelay ? maxAckDelay : ackDelay
    // No delay that a peer reports leads below the minimum. What leads to it is still taken off: where every sample but those
    // of the larger packets of the handshake is a delayed one, the estimate would else hold the delay, and the timeout twice.
    const adjusted = latest - delay > this.min ? latest - delay : this.min
    this.variance = 0.75 * this.variance + 0.25 * Math.abs(this.smoothed - adjusted)
    this.smoothed = 0.875 * this.smoothed + 0.125 * adjusted
  }

  /** The probe timeout without backoff (RFC 9002 section 6.2.1). */
  ptoBase(maxAckDelay: number): number {
    const spread = 4 * this.variance
    return this.smoothed + (spread > GRANULARITY ? spread : GRANULARITY) + maxAckDelay
  }
}
