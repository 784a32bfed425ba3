import { GRANULARITY } from "./RttEstimator.ts"
import type { RttEstimator } from "./RttEstimator.ts"

/** RFC 9002 section 6.1.1. */
const PACKET_THRESHOLD = 3
/** Room beyond the latest packet seen so far (RFC 9002 section 6.1.2 has 9/8 of the RTT where nothing was seen). */
const MARGIN = 1.25
/** Round trips that a packet may take when others take one (RFC 8985 has two, but knows less of what was late). */
const MAX_RTTS = 3
/** What was seen is forgotten after one to two times so many congestion events without it (RFC 8985 section 6.2, step 4). */
const EVENTS_REMEMBERED = 16

/**
 * How far behind later ones a packet may come before it counts as lost: the packet and the time threshold of RFC 9002
 * section 6.1, adapted to what the path does, as the section allows. As in RACK (RFC 8985 section 6.2), a path that is
 * known to reorder is judged by time alone; how long follows from the latest packets that were acknowledged after all.
 */
export class ReorderingWindow {
  /** Packets that may overtake one that is not lost; Infinity once the path is known to reorder. */
  packetThreshold = PACKET_THRESHOLD
  private readonly rtt: RttEstimator
  /** Most ms that a packet came behind the RTT: in the events counted now, and in those before. */
  private lateness = 0
  private latenessBefore = 0
  /** Most packets by which one was overtaken, in the same two periods. */
  private gap = 0
  private gapBefore = 0
  private events = 0

  constructor(rtt: RttEstimator) {
    this.rtt = rtt
  }

  /**
   * ms from sending after which a packet that was overtaken is lost. One that came very late once must not hold up what is
   * really lost, so there is a bound: some round trips, or the probe timeout, `pto`, when the path would be probed anyway.
   */
  lossDelay(pto: number): number {
    const rtt = this.base
    const usual = 1.125 * rtt
    const seen = this.lateness > this.latenessBefore ? this.lateness : this.latenessBefore
    let delay = rtt + MARGIN * seen
    const most = MAX_RTTS * rtt > pto ? MAX_RTTS * rtt : pto
    if (delay > most) delay = most
    if (delay < usual) delay = usual
    return delay > GRANULARITY ? delay : GRANULARITY
  }

  /** A packet that `gap` later ones had overtaken was acknowledged `age` ms after it was sent. */
  onLate(gap: number, age: number): void {
    const late = age - this.base
    if (late > this.lateness) this.lateness = late
    if (gap > this.gap) this.gap = gap
    if (gap >= PACKET_THRESHOLD) this.packetThreshold = Infinity
  }

  /** Packets were lost whose loss is answered: what was seen grows old. */
  onCongestionEvent(): void {
    if (++this.events < EVENTS_REMEMBERED) return
    this.events = 0
    this.latenessBefore = this.lateness
    this.gapBefore = this.gap
    this.lateness = this.gap = 0
    if (this.gapBefore < PACKET_THRESHOLD) this.packetThreshold = PACKET_THRESHOLD
  }

  /** Another network is behind the path now. */
  reset(): void {
    this.lateness = this.latenessBefore = this.gap = this.gapBefore = this.events = 0
    this.packetThreshold = PACKET_THRESHOLD
  }

  private get base(): number {
    const { latest, smoothed } = this.rtt
    return latest > smoothed ? latest : smoothed
  }
}
