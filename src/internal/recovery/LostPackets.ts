/** Packets remembered after they were declared lost. */
const CAPACITY = 256
const MASK = CAPACITY - 1

/**
 * The packets most recently declared lost, oldest first: an acknowledgement that arrives after all shows that the loss was
 * spurious (RFC 9002 section 6.1). Bounded; what falls out is simply never found to be spurious.
 */
export class LostPackets {
  /** Packets that are still believed to be lost. */
  live = 0
  /** When the newest packet that the last `takeAcknowledged` found was sent. */
  newestSent = -Infinity
  private start = 0
  private count = 0
  /** -1 once it was acknowledged. */
  private readonly packetNumber = new Float64Array(CAPACITY)
  private readonly timeSent = new Float64Array(CAPACITY)
  private readonly timeLost = new Float64Array(CAPACITY)

  /** Packet numbers must come in ascending order. */
  add(packetNumber: number, timeSent: number, now: number): void {
    if (this.count === CAPACITY) this.dropOldest()
    const slot = (this.start + this.count) & MASK
    this.packetNumber[slot] = packetNumber
    this.timeSent[slot] = timeSent
    this.timeLost[slot] = now
    this.count++
    this.live++
  }

  /** Forgets what was declared lost before `time`. */
  expire(time: number): void {
    while (this.count > 0 && this.timeLost[this.start & MASK]! < time) this.dropOldest()
  }

  /** Takes out what the ranges (descending pairs [smallest, largest]) acknowledge, and returns how many packets that are. */
  takeAcknowledged(ranges: Float64Array, rangeCount: number): number {
    let found = 0
    let range = 0
    for (let k = this.count - 1; k >= 0; k--) {
      const slot = (this.start + k) & MASK
      const packetNumber = this.packetNumber[slot]!
      if (packetNumber < 0) continue
      while (range < rangeCount && ranges[2 * range]! > packetNumber) range++
      if (range === rangeCount) break
      if (packetNumber > ranges[2 * range + 1]!) continue
      if (found++ === 0) this.newestSent = this.timeSent[slot]!
      this.packetNumber[slot] = -1
      this.live--
    }
    return found
  }

  private dropOldest(): void {
    if (this.packetNumber[this.start & MASK]! >= 0) this.live--
    this.start = (this.start + 1) & MASK
    this.count--
  }
}
