import type { CongestionEvents } from "./CongestionEvents.ts"
import type { LostPackets } from "./LostPackets.ts"
import type { ReorderingWindow } from "./ReorderingWindow.ts"
import type { SentFrame } from "./SentFrames.ts"
import type { SentPackets } from "./SentPackets.ts"

/** Lost packets are watched for a late acknowledgement for this many probe timeouts. */
const WATCHED_PTOS = 3

/** What a packet that was declared lost and came after all is told to. */
export interface LateListener {
  spuriousLosses: number
  readonly reportAcked: (list: SentFrame | undefined) => void
}

/**
 * Acknowledgements of packets that were declared lost: the loss was spurious (RFC 9002 section 6.1). What such a packet
 * carried has arrived, how late it was widens the reordering window, and its congestion event may have been none.
 */
export class LateAcknowledgements {
  private readonly listener: LateListener
  private readonly reordering: ReorderingWindow
  private readonly congestion: CongestionEvents
  /** Of the acknowledgement that is looked at. */
  private lost!: LostPackets
  private largestAcked = -1
  private now = 0

  constructor(listener: LateListener, reordering: ReorderingWindow, congestion: CongestionEvents) {
    this.listener = listener
    this.reordering = reordering
    this.congestion = congestion
  }

  /** `ranges`: descending pairs [smallest, largest]. `largestAcked`: before this acknowledgement. `pto`: ms. */
  find(
    sp: SentPackets,
    ranges: Float64Array,
    rangeCount: number,
    largestAcked: number,
    now: number,
    pto: number
  ): void {
    const { lost } = sp
    if (lost === undefined || lost.live === 0) return
    lost.expire(now - WATCHED_PTOS * pto)
    this.lost = lost
    this.largestAcked = largestAcked
    this.now = now
    this.listener.spuriousLosses += lost.takeAcknowledged(ranges, rangeCount, this.onLate)
  }

  private readonly onLate = (packetNumber: number, timeSent: number, list: SentFrame | undefined): void => {
    this.reordering.onLate(this.largestAcked - packetNumber, this.now - timeSent)
    this.listener.reportAcked(list)
    this.congestion.onLate(this.now, timeSent, this.lost)
  }
}
