/** A seeded generator (mulberry32), so that every run of a test sees the same cases. */
export class Random {
  private state: number

  constructor(seed: number) {
    this.state = seed
  }

  uint32(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }

  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(((this.uint32() * 0x20_0000 + (this.uint32() >>> 11)) / 2 ** 53) * (high - low + 1))
  }

  boolean(): boolean {
    return (this.uint32() & 1) === 1
  }

  /** 0 to 2^53-1, every length of a variable-length integer equally likely, and its bounds often. */
  integer(most = Number.MAX_SAFE_INTEGER): number {
    const bounds = [0, 0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, 0xffff_ffff, Number.MAX_SAFE_INTEGER]
    if (this.between(0, 3) === 0) return Math.min(most, bounds[this.between(0, bounds.length - 1)]!)
    const classes = [0x3f, 0x3fff, 0x3fff_ffff, Number.MAX_SAFE_INTEGER]
    return this.between(0, Math.min(most, classes[this.between(0, 3)]!))
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.uint32()
    return bytes
  }
}
