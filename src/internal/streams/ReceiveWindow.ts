/**
 * The peer is told more when it has used this part of the window. Less often, and it would wait for the news: of a window W
 * at a rate R all that this part takes, and the round trip, must fit into W / R.
 */
const RENEWAL = 1 / 4
/**
 * Bytes that wait for others before them are too much when they are this part of the window: the rest has to last for a round
 * trip of the fastest path, in which a peer in slow start sends twice what it sent in the one before.
 */
const OUT_OF_ORDER = 1 / 4

/**
 * What the peer may send to us, on one stream or on the connection: credit given, used and consumed (RFC 9000 section
 * 4.1). Offsets for a stream, sums over all streams for the connection.
 *
 * The window grows by itself: when the application consumes half of it within two round trips, the window is what limits
 * the peer, and it doubles up to its maximum. So it does, at once, when bytes that came out of order fill a quarter of it while
 * everything before them was read: over paths of different length no round trip that is measured here tells of that, and a
 * peer that had to wait first would lose that time at each doubling. A slow application never takes more memory than the first
 * window.
 */
export class ReceiveWindow {
  /** Bytes that may be outstanding: sent by the peer and not consumed here. */
  size: number
  readonly maximum: number
  /** What the peer was told. */
  limit: number
  received = 0
  consumed = 0
  /** When the half of the window began that is being consumed, or the first data came; -1 before. */
  private halfBegan = -1
  /** What was consumed then. */
  private halfFrom = 0

  constructor(size: number, maximum: number) {
    this.size = size
    this.maximum = Math.max(size, maximum)
    this.limit = size
  }

  /** Enough of the window is consumed: time to tell the peer. */
  get due(): boolean {
    return this.limit - this.consumed <= (1 - RENEWAL) * this.size
  }

  /** A new limit would be above the one the peer knows. */
  get renewable(): boolean {
    return this.consumed + this.size > this.limit
  }

  /** That many bytes, which nobody can read yet, are too much of the window, and it can grow. */
  chokedBy(outOfOrder: number): boolean {
    return outOfOrder >= OUT_OF_ORDER * this.size && this.size < this.maximum
  }

  /** Doubles it, whatever the application has read. Counts as this round's growth. */
  widen(): void {
    this.follow(2 * this.size)
  }

  /** Starts the clock of the first window. */
  started(now: number): void {
    if (this.halfBegan < 0) this.halfBegan = now
  }

  /** The limit to tell the peer now. `rtt` in ms. */
  renew(now: number, rtt: number): number {
    if (this.consumed - this.halfFrom >= this.size / 2) {
      if (this.halfBegan >= 0 && now - this.halfBegan < 2 * rtt) this.grow(2 * this.size)
      this.halfBegan = now
      this.halfFrom = this.consumed
    }
    const limit = this.consumed + this.size
    if (limit > this.limit) this.limit = limit
    return this.limit
  }

  /** At least `size`, as far as the maximum allows, because a part of it has grown: that counts as this round's growth. */
  follow(size: number): void {
    if (size <= this.size) return
    this.grow(size)
    this.halfBegan = -1
    this.halfFrom = this.consumed
  }

  private grow(size: number): void {
    this.size = Math.min(size, this.maximum)
  }
}
