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

/** A path on which nothing is acknowledged for so many ms, and so many round trips, carries no data. */
const IDLE_TIME = 1000
const IDLE_ROUNDS = 4

/** Growth that looks at the other paths of its connection: `members` is one array for all of them. */
export abstract class Coupled<M extends Coupled<M>> implements Growth {
  abstract readonly name: string
  protected readonly path: PathInfo
  protected readonly members: Array<M>
  /** The controller around this, which knows the window in slow start, too. */
  controller: Pick<Controller, "congestionWindow"> | undefined = undefined
  /** ms: when bytes were last acknowledged here. */
  private deliveredAt = -Infinity

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

  abstract acked(window: number, bytes: number): number

  /** Slow start and an application that is the limit count, too. */
  delivered(_bytes: number, now: number): void {
    this.deliveredAt = now
  }

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

  /**
   * Whether `member` counts for this one. What is closed, failing or was never measured takes nothing from the others, and
   * neither does a window that nobody uses: that of a backup path, or of one that the scheduler leaves alone. The algorithms
   * know none such: their senders fill every path. The path itself always counts: it has just got an acknowledgement.
   */
  protected sees(member: M): boolean {
    if ((member as unknown) === this) return true
    if (!member.path.usable || !member.path.rtt.hasSample) return false
    const idle = this.deliveredAt - member.deliveredAt
    return !(idle > IDLE_TIME && idle > IDLE_ROUNDS * member.rtt)
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

  /** Window that Reno adds for `bytes`: a coupled path takes no more than a connection of its own would (RFC 6356 section 2). */
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
