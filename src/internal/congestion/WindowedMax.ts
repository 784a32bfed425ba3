/** Maxima over the recent past, as a model of a path remembers them. No allocation after construction. */

/** The maximum over this cycle and the last one that had a value (draft-ietf-ccwg-bbr section 5.5.3). */
export class CycleMax {
  private current = 0
  private previous = 0

  get value(): number {
    return this.current > this.previous ? this.current : this.previous
  }

  add(value: number): void {
    if (value > this.current) this.current = value
  }

  /** The next cycle begins. A cycle without a value does not count as one. */
  advance(): void {
    if (this.current === 0) return
    this.previous = this.current
    this.current = 0
  }

  reset(): void {
    this.current = this.previous = 0
  }
}

/** The maximum over the last rounds, this one included. */
export class RoundMax {
  private readonly rounds: Float64Array
  private round = 0

  constructor(length: number) {
    this.rounds = new Float64Array(length)
  }

  get value(): number {
    let max = 0
    for (let i = 0; i < this.rounds.length; i++) if (this.rounds[i]! > max) max = this.rounds[i]!
    return max
  }

  add(value: number): void {
    if (value > this.rounds[this.round]!) this.rounds[this.round] = value
  }

  /** The next round begins. */
  advance(): void {
    this.round = (this.round + 1) % this.rounds.length
    this.rounds[this.round] = 0
  }

  reset(): void {
    this.rounds.fill(0)
  }
}
