/**
 * Events of the machine as a Stream, for any number of subscribers; without one an event costs nothing.
 */
import { Effect, Queue, Stream } from "effect"
import type { Cause } from "effect"

/** Events that a slow subscriber may fall behind; then it loses the oldest. */
const BACKLOG = 256

const all = (): boolean => true

export class Broadcast<A> {
  /** Made by the first subscriber: most never have one. */
  private queues: Map<Queue.Queue<A, Cause.Done>, (event: A) => boolean> | undefined = undefined
  private ended = false

  publish(event: A): void {
    if (this.queues === undefined) return
    for (const [queue, wants] of this.queues) if (wants(event)) Queue.offerUnsafe(queue, event)
  }

  end(): void {
    this.ended = true
    if (this.queues === undefined) return
    for (const queue of this.queues.keys()) Queue.endUnsafe(queue)
    this.queues = undefined
  }

  /** What is published from the moment it runs, of that what it `wants`: only that counts for its backlog. */
  stream(wants: (event: A) => boolean = all): Stream.Stream<A> {
    return Stream.callback<A>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            if (this.ended) Queue.endUnsafe(queue)
            else (this.queues ??= new Map()).set(queue, wants)
          }),
          () => Effect.sync(() => this.queues?.delete(queue))
        ),
      { bufferSize: BACKLOG, strategy: "sliding" }
    )
  }
}
