import type { ConnectionControllers } from "./Controller.ts"
import { Coupled, coupledControllers } from "./Coupling.ts"

/** A path that is far behind the best gives up at most three quarters of its window. */
const LARGEST_LOSS_FACTOR = 1.5

/** BALIA (draft-walid-mptcp-congestion-control section 3.1): between fairness and speed of reaction. */
export class Balia extends Coupled<Balia> {
  readonly name = "balia"

  acked(window: number, bytes: number): number {
    const alpha = this.alpha()
    const total = this.totalRate()
    const factor = ((1 + alpha) / 2) * ((4 + alpha) / 5)
    // Never above Reno: the best path has a factor of 1, and at any other one alpha is in the sum of the rates, too.
    return window + (this.window / this.rtt ** 2 / total ** 2) * factor * bytes * this.path.maxDatagramSize
  }

  override reduced(window: number): number {
    return window - (window / 2) * Math.min(this.alpha(), LARGEST_LOSS_FACTOR)
  }

  /** The rate of the fastest path over that of this one: at least 1. */
  alpha(): number {
    const own = this.window / this.rtt
    let best = own
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i]!
      if (!this.sees(member)) continue
      const rate = member.window / member.rtt
      if (rate > best) best = rate
    }
    return best / own
  }
}

export const balia = (): ConnectionControllers => coupledControllers(Balia)
