/**
 * Fibers that wait for the same thing. The machine has one slot for a waiter where several fibers may wait; they are
 * resumed in the order in which they came, for as long as there is something for the next one, and look for themselves
 * whether their time has come. So a thousand fibers that wait for one thing each cost a thousand resumptions, not a million.
 */
import { Effect } from "effect"

interface Waiting {
  readonly resume: (effect: Effect.Effect<void>) => void
  /** The round of waking in which it began to wait: that round is not for it. */
  readonly round: number
  previous: Waiting | undefined
  next: Waiting | undefined
  listed: boolean
}

/** Every connection and every stream has several, most of which nobody ever waits on: all is made by the first who does. */
export class WaitList {
  private head: Waiting | undefined = undefined
  private tail: Waiting | undefined = undefined
  private round = 0
  private waking = false
  private again = false
  private waitOnce: Effect.Effect<void> | undefined = undefined
  private wakeOnce: (() => void) | undefined = undefined
  private readonly ready: () => boolean
  private readonly arm: ((wake: () => void) => void) | undefined

  /**
   * `ready`: one who waits would go on now, that is, would not come back to wait. `arm` puts the callback into the machine's
   * slot; it is called for every fiber that begins to wait, and after a wake that left some waiting.
   */
  constructor(ready: () => boolean, arm?: (wake: () => void) => void) {
    this.ready = ready
    this.arm = arm
  }

  /**
   * Resumes those who wait, while `ready`. Fibers run inside of it as far as they get: what they wait for next is for the
   * next wake, and a wake that they cause waits for the end of this one, so that the stack does not grow.
   */
  wake(): void {
    if (this.waking) {
      this.again = true
      return
    }
    this.waking = true
    try {
      do {
        this.again = false
        this.round++
        let first = this.head
        while (first !== undefined && first.round !== this.round && this.ready()) {
          this.remove(first)
          first.resume(Effect.void)
          first = this.head
        }
      } while (this.again)
    } finally {
      this.waking = false
    }
    if (this.head !== undefined) this.arm?.(this.callback)
  }

  /**
   * Waits for a wake, unless `ready`: a fiber may have to yield between its look at the machine and its wait, and what
   * happens then must not be lost. Nothing is taken from the machine here, so an interrupted wait loses nothing.
   */
  get wait(): Effect.Effect<void> {
    return (this.waitOnce ??= Effect.callback<void>((resume) => {
      if (this.ready()) {
        resume(Effect.void)
        return undefined
      }
      const waiting = this.add(resume)
      this.arm?.(this.callback)
      return Effect.sync(() => this.remove(waiting))
    }))
  }

  private get callback(): () => void {
    return (this.wakeOnce ??= () => this.wake())
  }

  private add(resume: Waiting["resume"]): Waiting {
    const waiting: Waiting = { resume, round: this.round, previous: this.tail, next: undefined, listed: true }
    if (this.tail === undefined) this.head = waiting
    else this.tail.next = waiting
    this.tail = waiting
    return waiting
  }

  private remove(waiting: Waiting): void {
    if (!waiting.listed) return
    waiting.listed = false
    const { previous, next } = waiting
    if (previous === undefined) this.head = next
    else previous.next = next
    if (next === undefined) this.tail = previous
    else next.previous = previous
    waiting.previous = waiting.next = undefined
  }
}
