import type { SentFrame, SentFramePool } from "./SentFrames.ts"

/** Packets remembered after they were declared lost. */
const CAPACITY = 256
const MASK = CAPACITY - 1

/** Told of each packet that was acknowledged after all. `frames` is good during the call. */
export type OnAcknowledgedLate = (packetNumber: number, timeSent: number, frames: SentFrame | undefined) => void

/**
 * The packets most recently declared lost, oldest first: an acknowledgement that arrives after all shows that the loss was
 * spurious (RFC 9002 section 6.1), and what they carried needs no copy. Bounded; what falls out is never found spurious.
 */
export class LostPackets {
  /** Packets that are still believed to be lost. */
  live = 0
  private readonly pool: SentFramePool
  private start = 0
  private count = 0
  /** Slots with records. */
  private held = 0
  /** -1 once it was acknowledged. */
  private readonly packetNumber = new Float64Array(CAPACITY)
  private readonly timeSent = new Float64Array(CAPACITY)
  private readonly timeLost = new Float64Array(CAPACITY)
  private readonly frames = Array.from<SentFrame | undefined>({ length: CAPACITY })

  constructor(pool: SentFramePool) {
    this.pool = pool
  }

  /** Takes the records over. Packet numbers must come in ascending order. */
  add(packetNumber: number, timeSent: number, now: number, frames: SentFrame | undefined): void {
    if (this.count === CAPACITY) this.dropOldest()
    const slot = (this.start + this.count) & MASK
    this.packetNumber[slot] = packetNumber
    this.timeSent[slot] = timeSent
    this.timeLost[slot] = now
    this.frames[slot] = frames
    if (frames !== undefined) this.held++
    this.count++
    this.live++
  }

  /** Forgets what was declared lost before `time`. */
  expire(time: number): void {
    while (this.count > 0 && this.timeLost[this.start & MASK]! < time) this.dropOldest()
  }

  /** Takes out what the ranges (descending pairs [smallest, largest]) acknowledge, newest first, and tells of each. */
  takeAcknowledged(ranges: Float64Array, rangeCount: number, onLate: OnAcknowledgedLate): number {
    let found = 0
    let range = 0
    for (let k = this.count - 1; k >= 0; k--) {
      const slot = (this.start + k) & MASK
      const packetNumber = this.packetNumber[slot]!
      if (packetNumber < 0) continue
      while (range < rangeCount && ranges[2 * range]! > packetNumber) range++
      if (range === rangeCount) break
      if (packetNumber > ranges[2 * range + 1]!) continue
      found++
      this.packetNumber[slot] = -1
      this.live--
      const frames = this.takeFrames(slot)
      onLate(packetNumber, this.timeSent[slot]!, frames)
      this.pool.release(frames)
    }
    return found
  }

  /** Whether one that was sent after `from` and up to `to` is still believed to be lost. */
  misses(from: number, to: number): boolean {
    for (let k = 0; k < this.count; k++) {
      const slot = (this.start + k) & MASK
      const timeSent = this.timeSent[slot]!
      if (timeSent > to) return false
      if (timeSent > from && this.packetNumber[slot]! >= 0) return true
    }
    return false
  }

  /** What the packets carried has arrived in copies, or leaves in one now: quiet connections keep no records. */
  releaseFrames(): void {
    for (let k = 0; this.held > 0 && k < this.count; k++) {
      this.pool.release(this.takeFrames((this.start + k) & MASK))
    }
  }

  clear(): void {
    while (this.count > 0) this.dropOldest()
  }

  private takeFrames(slot: number): SentFrame | undefined {
    const frames = this.frames[slot]
    if (frames === undefined) return undefined
    this.frames[slot] = undefined
    this.held--
    return frames
  }

  private dropOldest(): void {
    const slot = this.start & MASK
    if (this.packetNumber[slot]! >= 0) this.live--
    this.pool.release(this.takeFrames(slot))
    this.start = (this.start + 1) & MASK
    this.count--
  }
}
