/** A value that changes now and then, and who follows it. */
import { Effect, Queue, Stream } from "effect"
import type { Cause } from "effect"

export class LiveValue<A> {
  private value: A
  private readonly queues = new Set<Queue.Queue<A, Cause.Done>>()

  constructor(value: A) {
    this.value = value
  }

  get current(): A {
    return this.value
  }

  set(value: A): void {
    this.value = value
    for (const queue of this.queues) Queue.offerUnsafe(queue, value)
  }

  /** The value now, and each that follows. Who is slow misses those in between, and never the last. */
  readonly changes: Stream.Stream<A> = Stream.callback<A>(
    (queue) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          Queue.offerUnsafe(queue, this.value)
          this.queues.add(queue)
        }),
        () => Effect.sync(() => this.queues.delete(queue))
      ),
    { bufferSize: 1, strategy: "sliding" }
  )
}
