/**
 * Fibers that wait for the same thing. The machine has one slot for a waiter where several fibers may wait; all are
 * resumed, in the order in which they came, and look for themselves whether their time has come.
 */
import { Effect } from "effect"

type Resume = (effect: Effect.Effect<void>) => void

export class WaitList {
  private waiting: Array<Resume> = []
  private readonly arm: (wake: () => void) => void

  /** `arm` puts the callback into the machine's slot; it is called for every fiber that begins to wait. */
  constructor(arm: (wake: () => void) => void) {
    this.arm = arm
  }

  readonly wakeAll = (): void => {
    const waiting = this.waiting
    if (waiting.length === 0) return
    this.waiting = []
    for (const resume of waiting) resume(Effect.void)
  }

  /** Waits for the next `wakeAll`. Nothing is taken from the machine here, so an interrupted wait loses nothing. */
  readonly wait: Effect.Effect<void> = Effect.callback<void>((resume) => {
    this.waiting.push(resume)
    this.arm(this.wakeAll)
    return Effect.sync(() => {
      const at = this.waiting.indexOf(resume)
      if (at >= 0) this.waiting.splice(at, 1)
    })
  })
}
