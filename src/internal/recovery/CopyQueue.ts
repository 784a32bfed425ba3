import type { SentFrame, SentFramePool } from "./SentFrames.ts"

/**
 * What waits to be sent once more on one path, the oldest first. Whoever puts a record here gives it away: it ends in a packet,
 * or with `takeAll` at its owner, who sends it in the ordinary way.
 */
export class CopyQueue {
  head: SentFrame | undefined = undefined
  count = 0
  /** ms: nothing leaves from here before. */
  notBefore = -Infinity
  private tail: SentFrame | undefined = undefined
  private readonly interval: number

  /** `interval`: ms between two packets from here. */
  constructor(interval = 0) {
    this.interval = interval
  }

  /** A packet with what waited here has left. */
  onSent(now: number): void {
    if (this.interval > 0) this.notBefore = now + this.interval
  }

  push(frame: SentFrame): void {
    frame.next = undefined
    if (this.tail === undefined) this.head = frame
    else this.tail.next = frame
    this.tail = frame
    this.count++
  }

  /** The first one is done. */
  shift(pool: SentFramePool): void {
    const frame = this.head
    if (frame === undefined) return
    this.head = frame.next
    if (this.head === undefined) this.tail = undefined
    this.count--
    frame.next = undefined
    pool.release(frame)
  }
}
