/** So many events per second, and a burst of so many at once. Time is in ms and handed in. */
export class TokenBucket {
  private readonly perMs: number
  private readonly burst: number
  private tokens: number
  private filledAt = -Infinity

  constructor(perSecond: number, burst: number) {
    this.perMs = perSecond / 1000
    this.burst = burst
    this.tokens = burst
  }

  /** Takes one if there is one. */
  take(now: number): boolean {
    if (now > this.filledAt) {
      this.tokens = Math.min(this.burst, this.tokens + (now - this.filledAt) * this.perMs)
      this.filledAt = now
    }
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }
}
