/**
 * What the peer may send to us, on one stream or on the connection: credit given, used and consumed (RFC 9000 section
 * 4.1). Offsets for a stream, sums over all streams for the connection.
 *
 * The window grows by itself: when the application consumes half of it within two round trips, the window is what limits
 * the peer, and it doubles up to its maximum. So it does when the peer says that it waits while what fills the window is
 * bytes that came out of order, for one over paths of different length: no round trip that is measured here tells of that.
 * A slow application never takes more memory than the first window.
 */
export class ReceiveWindow {
  /** Bytes that may be outstanding: sent by the peer and not consumed here. */
  size: number
  readonly maximum: number
  /** What the peer was told. */
  limit: number
  received = 0
  consumed = 0
  /** When credit was last renewed, or the first data came; -1 before. */
  private renewedAt = -1
  /** Highest limit at which the peer said that it waits; -1: none. */
  private blockedAt = -1

  constructor(size: number, maximum: number) {
    this.size = size
    this.maximum = Math.max(size, maximum)
    this.limit = size
  }

  /** Half of the window is consumed: time to tell the peer. */
  get due(): boolean {
    return this.limit - this.consumed <= this.size / 2
  }

  /** A new limit would be above the one the peer knows. */
  get renewable(): boolean {
    return this.consumed + this.size > this.limit
  }

  /** The peer waits for more than `limit`. */
  blocked(limit: number): void {
    if (limit > this.blockedAt) this.blockedAt = limit
  }

  /** The peer waits at what it was told last, and the window can grow. */
  get waitedFor(): boolean {
    return this.blockedAt >= this.limit && this.size < this.maximum
  }

  /** That many bytes, which nobody can read yet, are too much of the window. */
  chokedBy(outOfOrder: number): boolean {
    return 2 * outOfOrder >= this.size
  }

  /** Doubles it, whatever the application has read. Counts as this round's growth. */
  widen(): void {
    this.follow(2 * this.size)
  }

  /** Starts the clock of the first window. */
  started(now: number): void {
    if (this.renewedAt < 0) this.renewedAt = now
  }

  /** The limit to tell the peer now. `rtt` in ms. */
  renew(now: number, rtt: number): number {
    if (this.due) {
      if (this.renewedAt >= 0 && now - this.renewedAt < 2 * rtt) this.grow(2 * this.size)
      this.renewedAt = now
    }
    const limit = this.consumed + this.size
    if (limit > this.limit) this.limit = limit
    return this.limit
  }

  /** At least `size`, as far as the maximum allows, because a part of it has grown: that counts as this round's growth. */
  follow(size: number): void {
    if (size <= this.size) return
    this.grow(size)
    this.renewedAt = -1
  }

  private grow(size: number): void {
    this.size = Math.min(size, this.maximum)
  }
}
