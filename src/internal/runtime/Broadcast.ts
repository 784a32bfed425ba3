/**
 * Events of the machine as a Stream, for any number of subscribers; without one an event costs nothing.
 */
import { Effect, Queue, Stream } from "effect"
import type { Cause } from "effect"

/** Events that a slow subscriber may fall behind; then it loses the oldest. */
const BACKLOG = 256

export class Broadcast<A> {
  /** Made by the first subscriber: most never have one. */
  private queues: Set<Queue.Queue<A, Cause.Done>> | undefined = undefined
  private ended = false

  publish(event: A): void {
    if (this.queues === undefined) return
    for (const queue of this.queues) Queue.offerUnsafe(queue, event)
  }

  end(): void {
    this.ended = true
    if (this.queues === undefined) return
    for (const queue of this.queues) Queue.endUnsafe(queue)
    this.queues = undefined
  }

  /** Everything published from the moment it runs. */
  get stream(): Stream.Stream<A> {
    return Stream.callback<A>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            if (this.ended) Queue.endUnsafe(queue)
            else (this.queues ??= new Set()).add(queue)
          }),
          () => Effect.sync(() => this.queues?.delete(queue))
        ),
      { bufferSize: BACKLOG, strategy: "sliding" }
    )
  }
}
