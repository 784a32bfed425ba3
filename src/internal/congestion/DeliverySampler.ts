import type { DeliverySample, PathRttView } from "./Controller.ts"

/**
 * What each packet of one space found when it left, in columns beside those of the packets: for controllers that ask for
 * samples of the delivery rate, and for nobody else.
 */
export class DeliveryColumns {
  /** Bytes that had been delivered, and when the last of them were; ms. */
  delivered: Float64Array
  deliveredTime: Float64Array
  /** When the first packet of the sampled flight left; ms. */
  firstSentTime: Float64Array
  /** Bytes that had been lost. */
  lost: Float64Array
  /** Bytes in flight, with the packet itself. */
  inFlight: Float64Array
  /** 1: the application was the limit. */
  appLimited: Uint8Array

  constructor(capacity: number) {
    this.delivered = new Float64Array(capacity)
    this.deliveredTime = new Float64Array(capacity)
    this.firstSentTime = new Float64Array(capacity)
    this.lost = new Float64Array(capacity)
    this.inFlight = new Float64Array(capacity)
    this.appLimited = new Uint8Array(capacity)
  }

  /** The columns in a larger ring, with the packets from `base` up to `next`. */
  grown(capacity: number, base: number, next: number): DeliveryColumns {
    const larger = new DeliveryColumns(capacity)
    const before = this.delivered.length - 1
    const mask = capacity - 1
    for (let n = base; n < next; n++) {
      const from = n & before
      const to = n & mask
      larger.delivered[to] = this.delivered[from]!
      larger.deliveredTime[to] = this.deliveredTime[from]!
      larger.firstSentTime[to] = this.firstSentTime[from]!
      larger.lost[to] = this.lost[from]!
      larger.inFlight[to] = this.inFlight[from]!
      larger.appLimited[to] = this.appLimited[from]!
    }
    return larger
  }
}

/**
 * Samples of the rate at which a path delivers: what one ACK says about the flight that ends with the newest packet in it
 * (draft-ietf-ccwg-bbr section 4.1, before draft-cheng-iccrg-delivery-rate-estimation). One object for the life of a path;
 * the sample in it is good until the next ACK or loss.
 */
export class DeliverySampler implements DeliverySample {
  delivered = 0
  newlyAcked = 0
  sentTime = 0
  rtt = -1
  priorDelivered = 0
  deliveredSince = 0
  rate = 0
  inFlightAtSend = 0
  lostSince = 0
  appLimited = false
  bytesInFlight = 0

  private readonly pathRtt: PathRttView
  private deliveredTime = 0
  private firstSentTime = 0
  private lost = 0
  /** The application was the limit until so many bytes are delivered; 0 if it is not. */
  private limitedUntil = 0
  /** Of the newest packet of this ACK. */
  private sendElapsed = 0
  private ackElapsed = 0
  private newestLost = 0
  private newestInFlight = 0
  private newestLimited = false

  constructor(pathRtt: PathRttView) {
    this.pathRtt = pathRtt
  }

  /** A packet leaves; `before` bytes are in flight without it. */
  onSent(columns: DeliveryColumns, slot: number, now: number, bytes: number, before: number): void {
    if (before === 0) this.firstSentTime = this.deliveredTime = now
    columns.delivered[slot] = this.delivered
    columns.deliveredTime[slot] = this.deliveredTime
    columns.firstSentTime[slot] = this.firstSentTime
    columns.lost[slot] = this.lost
    columns.inFlight[slot] = this.bytesInFlight = before + bytes
    columns.appLimited[slot] = this.limitedUntil > 0 ? 1 : 0
  }

  /** An ACK comes. */
  begin(): void {
    this.newlyAcked = 0
  }

  /** It acknowledges a packet; called in the order in which they left. */
  onPacketAcked(columns: DeliveryColumns, slot: number, now: number, sentTime: number, bytes: number): void {
    this.delivered += bytes
    this.deliveredTime = now
    this.newlyAcked += bytes
    this.sentTime = this.firstSentTime = sentTime
    this.priorDelivered = columns.delivered[slot]!
    this.sendElapsed = sentTime - columns.firstSentTime[slot]!
    this.ackElapsed = now - columns.deliveredTime[slot]!
    this.newestLost = columns.lost[slot]!
    this.newestInFlight = columns.inFlight[slot]!
    this.newestLimited = columns.appLimited[slot] === 1
  }

  /** A packet is lost: until the next ACK is settled the sample tells about this packet. */
  onPacketLost(columns: DeliveryColumns, slot: number, bytes: number, sentTime: number): void {
    this.lost += bytes
    this.sentTime = sentTime
    this.lostSince = this.lost - columns.lost[slot]!
    this.inFlightAtSend = columns.inFlight[slot]!
    this.appLimited = columns.appLimited[slot] === 1
  }

  /** The ACK and the losses that it shows are settled. `rtt`: ms, -1 if it says nothing about that. */
  finish(bytesInFlight: number, rtt: number): void {
    this.bytesInFlight = bytesInFlight
    this.sentTime = this.firstSentTime
    this.rtt = rtt
    if (this.limitedUntil > 0 && this.delivered > this.limitedUntil) this.limitedUntil = 0
    this.lostSince = this.lost - this.newestLost
    this.inFlightAtSend = this.newestInFlight
    this.appLimited = this.newestLimited
    this.deliveredSince = this.delivered - this.priorDelivered
    const interval = this.sendElapsed > this.ackElapsed ? this.sendElapsed : this.ackElapsed
    const { min } = this.pathRtt
    // Shorter than any round trip: the packet was not what was acknowledged, or clocks are coarse.
    this.rate = interval > 0 && (min === Infinity || interval >= min) ? this.deliveredSince / interval : 0
  }

  get limitedNow(): boolean {
    return this.limitedUntil > 0
  }

  markAppLimited(): void {
    const until = this.delivered + this.bytesInFlight
    this.limitedUntil = until > 1 ? until : 1
  }

  /** Another network is behind the path now: what is under way was sent to the one before. */
  reset(): void {
    this.limitedUntil = 0
    this.bytesInFlight = 0
  }
}
