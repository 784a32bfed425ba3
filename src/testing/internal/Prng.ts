/**
 * Reproducible randomness: sfc32, a small generator with 128 bits of state. Every link has a stream of its own, so that
 * traffic on one link never changes what happens on another.
 */
export class Prng {
  private a: number
  private b: number
  private c: number
  private counter: number

  /** `stream` names an independent sequence of the same seed. */
  constructor(seed: number, stream = "") {
    // FNV-1a of the stream's name, mixed into the seed.
    let hash = 0x811c9dc5 ^ (seed | 0) ^ Math.floor(seed / 0x100000000)
    for (let i = 0; i < stream.length; i++) hash = Math.imul(hash ^ stream.charCodeAt(i), 0x01000193)
    this.a = seed | 0
    this.b = hash
    this.c = 0x9e3779b9
    this.counter = 1
    for (let i = 0; i < 12; i++) this.uint32()
  }

  /** The next 32 bits, 0 to 2^32-1. */
  uint32(): number {
    const sum = (this.a + this.b + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** Uniform in [0, 1). */
  next(): number {
    return this.uint32() / 0x100000000
  }

  /** Uniform integer in [0, bound). */
  int(bound: number): number {
    return Math.floor(this.next() * bound)
  }

  /** True with the given probability; draws nothing when it is 0, so an unused option does not shift the sequence. */
  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability
  }
}
