import type { ConnectionControllers } from "./Controller.ts"
import { Coupled, coupledControllers } from "./Coupling.ts"

/** LIA (RFC 6356): all paths together take what one connection would get on the best of them. */
export class Lia extends Coupled<Lia> {
  readonly name = "lia"

  /** Section 3: the smaller of the coupled increase and that of a connection of its own. */
  acked(window: number, bytes: number): number {
    const coupled = (this.alpha() * bytes * this.path.maxDatagramSize) / this.totalWindow()
    return window + Math.min(coupled, this.reno(window, bytes))
  }

  /** Equation 2: above 0; at most 1 where all round trips are alike. */
  alpha(): number {
    let best = 0
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i]!
      if (!this.sees(member)) continue
      const share = member.window / member.rtt ** 2
      if (share > best) best = share
    }
    return (this.totalWindow() * best) / this.totalRate() ** 2
  }

  private totalWindow(): number {
    let sum = 0
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i]!
      if (this.sees(member)) sum += member.window
    }
    return sum
  }
}

export const lia = (): ConnectionControllers => coupledControllers(Lia)
