/**
 * Events of the machine as a Stream, for any number of subscribers; without one an event costs nothing.
 */
import { Effect, Queue, Stream } from "effect"
import type { Cause } from "effect"

/** Events that a slow subscriber may fall behind; then it loses the oldest. */
const BACKLOG = 256

interface Subscription<A> {
  /** Events that had happened before it. */
  readonly after: number
  readonly wants: (event: A) => boolean
}

const all = (): boolean => true

export class Broadcast<A> {
  /** Made by the first subscriber: most never have one. */
  private queues: Map<Queue.Queue<A, Cause.Done>, Subscription<A>> | undefined = undefined
  private ended = false
  private readonly happened: () => number

  /** `happened`: how many events there have been so far, those that are still to be published among them. */
  constructor(happened: () => number) {
    this.happened = happened
  }

  /** `number`: events are numbered from 1. Who has subscribed after it happened knows already how things are. */
  publish(event: A, number: number): void {
    if (this.queues === undefined) return
    for (const [queue, { after, wants }] of this.queues)
      if (number > after && wants(event)) Queue.offerUnsafe(queue, event)
  }

  end(): void {
    this.ended = true
    if (this.queues === undefined) return
    for (const queue of this.queues.keys()) Queue.endUnsafe(queue)
    this.queues = undefined
  }

  /** What happens from the moment it runs, of that what it `wants`: only that counts for its backlog. */
  stream(wants: (event: A) => boolean = all): Stream.Stream<A> {
    return Stream.callback<A>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            if (this.ended) Queue.endUnsafe(queue)
            else (this.queues ??= new Map()).set(queue, { after: this.happened(), wants })
          }),
          () => Effect.sync(() => this.queues?.delete(queue))
        ),
      { bufferSize: BACKLOG, strategy: "sliding" }
    )
  }
}
