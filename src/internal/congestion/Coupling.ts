/**
 * What the coupled algorithms have in common: the paths of one connection, each with its window, and which of them count.
 * Windows are bytes, times ms.
 */
import type { ConnectionControllers, Controller, PathInfo } from "./Controller.ts"
import { HyStart } from "./HyStart.ts"
import { LossBased } from "./LossBased.ts"
import type { Growth } from "./LossBased.ts"

/** ms; what is shorter counts as this, so that no quotient is infinite. */
const SHORTEST_RTT = 0.001

/** Growth that looks at the other paths of its connection: `members` is one array for all of them. */
export abstract class Coupled<M extends Coupled<M>> implements Growth {
  abstract readonly name: string
  protected readonly path: PathInfo
  protected readonly members: Array<M>
  /** The controller around this, which knows the window in slow start, too. */
  controller: Pick<Controller, "congestionWindow"> | undefined = undefined

  constructor(path: PathInfo, members: Array<M>) {
    this.path = path
    this.members = members
  }

  /** Bytes. */
  get window(): number {
    return this.controller?.congestionWindow ?? 0
  }

  /** ms. */
  get rtt(): number {
    const { smoothed } = this.path.rtt
    return smoothed > SHORTEST_RTT ? smoothed : SHORTEST_RTT
  }

  /** Whether the others look at it: what is closed, failing or was never measured takes nothing from them. */
  get counts(): boolean {
    return this.path.usable && this.path.rtt.hasSample
  }

  abstract acked(window: number, bytes: number): number

  reduced(window: number): number {
    return window / 2
  }

  paused(): void {}
  save(): void {}
  restore(): void {}
  reset(): void {}

  close(): void {
    const at = (this.members as Array<unknown>).indexOf(this)
    if (at >= 0) this.members.splice(at, 1)
  }

  /** Whether `member` counts for this one, which itself always does: it has just got an acknowledgement. */
  protected sees(member: M): boolean {
    return (member as unknown) === this || member.counts
  }

  /** The sum of window over RTT: bytes per ms. */
  protected totalRate(): number {
    let sum = 0
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i]!
      if (this.sees(member)) sum += member.window / member.rtt
    }
    return sum
  }

  /** Window that Reno adds for `bytes`: no coupled path is more aggressive than a connection of its own would be. */
  protected reno(window: number, bytes: number): number {
    return (bytes * this.path.maxDatagramSize) / window
  }
}

/** Controllers of one connection. HyStart++ in slow start, which is not coupled (RFC 6356 section 3). */
export const coupledControllers = <M extends Coupled<M>>(
  growth: new (path: PathInfo, members: Array<M>) => M
): ConnectionControllers => {
  const members: Array<M> = []
  return {
    make: (path) => {
      const own = new growth(path, members)
      const controller = new LossBased(path, own, new HyStart(path.rtt))
      own.controller = controller
      members.push(own)
      return controller
    }
  }
}
