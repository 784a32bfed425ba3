import { Ecn } from "../wire/Datagram.ts"

/**
 * Ranges of packet numbers kept for acknowledgement. Beyond them data that arrived goes unacknowledged, so there must be as
 * many as a fast path that reorders has gaps: 80 at 200 Mbit/s with a quarter of the packets 20 ms late.
 */
export const MAX_ACK_RANGES = 256
/** Room for ranges at first: most spaces never see more. */
const FIRST_RANGES = 4

/** Descending pairs [smallest, largest] for the acknowledgement that is being written, whichever space it is of. */
const sharedRanges = new Float64Array(2 * MAX_ACK_RANGES)

/**
 * Received packet numbers of one space: what is a duplicate, what to acknowledge, and when (RFC 9000 section 13.2). A
 * packet in order costs a few writes; memory is bounded whatever the peer leaves out.
 */
export class ReceivedPackets {
  /** -1 before the first packet. */
  largest = -1
  /** When `largest` arrived, ms. */
  largestTime = 0
  /** Latest time for an acknowledgement; Infinity if none is owed. */
  ackDeadline = Infinity
  /** Ack-eliciting packets after which an acknowledgement is due (RFC 9000 section 13.2.2). */
  ackElicitingThreshold = 2
  /** Ack-eliciting packets that no acknowledgement has covered yet. */
  unackedEliciting = 0
  /** ms that an acknowledgement may wait; 0 in the Initial and Handshake spaces. */
  maxAckDelay: number
  ect0 = 0
  ect1 = 0
  ce = 0
  /** Descending pairs [smallest, largest] as the last `fillRanges` left them; all instances share them. */
  readonly ranges = sharedRanges
  rangeCount = 0

  /** The same ranges in ascending order, so that the range that grows is the last one. */
  private spans = new Float64Array(2 * FIRST_RANGES)
  private spanCount = 0
  /** Numbers below were dropped from the ranges: whatever arrives there counts as a duplicate. */
  private floor = 0
  /** Numbers below are known to the peer as received, as far as they were. */
  private reportFrom = 0
  private largestEliciting = -1
  private immediateAck = false

  constructor(maxAckDelay: number) {
    this.maxAckDelay = maxAckDelay
  }

  /** Whether the number was received before, or is too old to tell. */
  isDuplicate(packetNumber: number): boolean {
    if (packetNumber < this.floor) return true
    if (packetNumber > this.largest) return false
    let i = this.spanCount - 1
    while (i >= 0 && this.spans[2 * i]! > packetNumber) i--
    return i >= 0 && packetNumber <= this.spans[2 * i + 1]!
  }

  /** Counts a packet that was authenticated. A duplicate changes nothing. `ecn` is the codepoint of its IP header. */
  onReceived(packetNumber: number, ackEliciting: boolean, now: number, ecn: number): void {
    const inOrder = packetNumber === this.largest + 1 && this.spanCount > 0
    if (inOrder) this.spans[2 * this.spanCount - 1] = packetNumber
    else if (!this.insert(packetNumber)) return
    const reordered = packetNumber < this.largest
    if (!reordered) {
      this.largest = packetNumber
      this.largestTime = now
    }
    if (ecn !== Ecn.notEct) {
      if (ecn === Ecn.ect0) this.ect0++
      else if (ecn === Ecn.ce) this.ce++
      else this.ect1++
    }
    if (!ackEliciting) return
    this.unackedEliciting++
    if (this.unackedEliciting === 1) this.ackDeadline = now + this.maxAckDelay
    // Reordering, a new gap and congestion must reach the sender quickly (RFC 9000 section 13.2.1). A gap is new when it
    // lies between the newest ack-eliciting packet so far and this one.
    const contiguousFrom = this.spans[2 * this.spanCount - 2]!
    if (reordered || ecn === Ecn.ce || (contiguousFrom > this.largestEliciting + 1 && contiguousFrom > this.floor)) {
      this.immediateAck = true
    }
    if (packetNumber > this.largestEliciting) this.largestEliciting = packetNumber
  }

  /** The next `ackDue` says yes, whatever was received. */
  immediate(): void {
    this.immediateAck = true
  }

  /** Whether to send an acknowledgement now. Asked once per received burst: packets are counted, not calls. */
  ackDue(now: number): boolean {
    return (
      this.spanCount > 0 &&
      (this.immediateAck || this.unackedEliciting >= this.ackElicitingThreshold || now >= this.ackDeadline)
    )
  }

  /** Writes what to acknowledge into `ranges`, largest first, and returns how many ranges there are. */
  fillRanges(): number {
    const { ranges, spans, reportFrom } = this
    let count = 0
    for (let i = this.spanCount - 1; i >= 0 && spans[2 * i + 1]! >= reportFrom; i--) {
      const smallest = spans[2 * i]!
      ranges[2 * count] = smallest > reportFrom ? smallest : reportFrom
      ranges[2 * count + 1] = spans[2 * i + 1]!
      count++
    }
    this.rangeCount = count
    return count
  }

  /** ms since the largest packet arrived: the ACK Delay field before scaling. */
  delay(now: number): number {
    const delay = now - this.largestTime
    return delay > 0 ? delay : 0
  }

  /** An acknowledgement of everything received so far was sent. */
  onAckSent(): void {
    this.unackedEliciting = 0
    this.immediateAck = false
    this.ackDeadline = Infinity
  }

  /**
   * The peer has seen our acknowledgement up to `largest`: numbers up to it need no further acknowledgement
   * (RFC 9000 section 13.2.4). They are still known: what comes later than that is late, not a duplicate. The largest
   * number received stays, so that there is always something to send.
   */
  onAckOfAck(largest: number): void {
    const from = largest < this.largest ? largest + 1 : this.largest
    if (from > this.reportFrom) this.reportFrom = from
  }

  /** The space is over: nothing is owed any more, and whatever arrives is a duplicate. */
  discard(): void {
    this.onAckSent()
    this.spanCount = this.rangeCount = 0
    this.floor = Infinity
  }

  /** A packet that does not extend the last span. False if it is a duplicate. */
  private insert(packetNumber: number): boolean {
    if (packetNumber < this.floor) return false
    const spans = this.spans
    let i = this.spanCount - 1
    while (i >= 0 && spans[2 * i]! > packetNumber) i--
    if (i >= 0 && packetNumber <= spans[2 * i + 1]!) return false
    if (packetNumber < this.reportFrom) this.reportFrom = packetNumber
    const above = i + 1
    const joinsBelow = i >= 0 && spans[2 * i + 1] === packetNumber - 1
    const joinsAbove = above < this.spanCount && spans[2 * above] === packetNumber + 1
    if (joinsBelow && joinsAbove) {
      spans[2 * i + 1] = spans[2 * above + 1]!
      spans.copyWithin(2 * above, 2 * above + 2, 2 * this.spanCount)
      this.spanCount--
    } else if (joinsBelow) {
      spans[2 * i + 1] = packetNumber
    } else if (joinsAbove) {
      spans[2 * above] = packetNumber
    } else {
      this.addSpan(above, packetNumber)
    }
    return true
  }

  private addSpan(index: number, packetNumber: number): void {
    if (2 * this.spanCount === this.spans.length && this.spanCount < MAX_ACK_RANGES) {
      const larger = new Float64Array(2 * this.spans.length)
      larger.set(this.spans)
      this.spans = larger
    }
    const spans = this.spans
    let at = index
    if (this.spanCount === MAX_ACK_RANGES) {
      // The oldest range goes. If that is this packet, it was of use but stays unacknowledged.
      if (at === 0) {
        this.floor = packetNumber + 1
        return
      }
      this.floor = spans[1]! + 1
      spans.copyWithin(0, 2, 2 * this.spanCount)
      this.spanCount--
      at--
    }
    spans.copyWithin(2 * at + 2, 2 * at, 2 * this.spanCount)
    spans[2 * at] = spans[2 * at + 1] = packetNumber
    this.spanCount++
  }
}
