/**
 * Fibers that wait for the same thing. The machine has one slot for a waiter where several fibers may wait; all are
 * resumed, in the order in which they came, and look for themselves whether their time has come.
 */
import { Effect } from "effect"

type Resume = (effect: Effect.Effect<void>) => void

/** Every connection and every stream has several, most of which nobody ever waits on: all is made by the first who does. */
export class WaitList {
  private waiting: Array<Resume> | undefined = undefined
  private waitOnce: Effect.Effect<void> | undefined = undefined
  private readonly arm: (wake: () => void) => void

  /** `arm` puts the callback into the machine's slot; it is called for every fiber that begins to wait. */
  constructor(arm: (wake: () => void) => void) {
    this.arm = arm
  }

  wakeAll(): void {
    const waiting = this.waiting
    if (waiting === undefined) return
    this.waiting = undefined
    for (const resume of waiting) resume(Effect.void)
  }

  /** Waits for the next `wakeAll`. Nothing is taken from the machine here, so an interrupted wait loses nothing. */
  get wait(): Effect.Effect<void> {
    return (this.waitOnce ??= this.makeWait())
  }

  private makeWait(): Effect.Effect<void> {
    const wake = (): void => this.wakeAll()
    return Effect.callback<void>((resume) => {
      if (this.waiting === undefined) this.waiting = [resume]
      else this.waiting.push(resume)
      this.arm(wake)
      return Effect.sync(() => {
        const at = this.waiting?.indexOf(resume) ?? -1
        if (at >= 0) this.waiting!.splice(at, 1)
      })
    })
  }
}
