import type { ConnectionControllers } from "./Controller.ts"
import { Coupled, coupledControllers } from "./Coupling.ts"

/** OLIA (draft-khalili-mptcp-congestion-control section 3): Pareto-optimal, and moves traffic to the best paths. */
export class Olia extends Coupled<Olia> {
  readonly name = "olia"
  /** l_1 and l_2: bytes acknowledged between the last two losses, and since the last. */
  private between = 0
  private since = 0
  private savedBetween = 0
  private savedSince = 0

  acked(window: number, bytes: number): number {
    const coupled = (this.window / this.rtt ** 2 / this.totalRate() ** 2) * bytes * this.path.maxDatagramSize
    const reno = this.reno(window, bytes)
    // The limit is not in the draft, but serves a goal that it takes over (RFC 6356 section 2, goal 2): while alpha is above 0,
    // a path of short RTT that has nearly all of the rate would grow up to 1.5 times as fast as a connection of its own.
    return window + Math.min(coupled + this.alpha() * reno, reno)
  }

  override delivered(bytes: number, now: number): void {
    super.delivered(bytes, now)
    this.since += bytes
  }

  override reduced(window: number): number {
    this.between = this.since
    this.since = 0
    return window / 2
  }

  override save(): void {
    this.savedBetween = this.between
    this.savedSince = this.since
  }

  override restore(): void {
    this.between = this.savedBetween
    this.since += this.savedSince
  }

  override reset(): void {
    this.between = this.since = 0
  }

  /** Windows are compared by these: to the byte, two equal paths would in turn be the smaller at each acknowledgement, and grow. */
  get packets(): number {
    return Math.floor(this.window / this.path.maxDatagramSize)
  }

  /** How good the path is: the square of the bytes between losses, over the RTT (the paper has them over the square of the RTT). */
  get quality(): number {
    return Math.max(this.between, this.since) ** 2 / this.rtt
  }

  /**
   * Above 0 on the best paths that have not the largest window, below 0 on those with the largest window if there are such
   * best ones, otherwise 0. The sum over all paths is 0.
   */
  alpha(): number {
    let paths = 0
    let quality = 0
    let largest = 0
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i]!
      if (!this.sees(member)) continue
      paths++
      quality = Math.max(quality, member.quality)
      largest = Math.max(largest, member.packets)
    }
    let collected = 0
    let withLargest = 0
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i]!
      if (!this.sees(member)) continue
      if (member.packets === largest) withLargest++
      else if (member.quality === quality) collected++
    }
    if (collected === 0) return 0
    if (this.packets === largest) return -1 / (paths * withLargest)
    return this.quality === quality ? 1 / (paths * collected) : 0
  }
}

export const olia = (): ConnectionControllers => coupledControllers(Olia)
