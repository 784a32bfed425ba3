/**
 * Connections that nobody has taken yet. One that ends before it is taken is forgotten, so that peers who come and go
 * cannot fill it beyond the connections that are alive.
 */
import { Cause, Effect } from "effect"
import type { Pull } from "effect"
import { WaitList } from "./WaitList.ts"

export class AcceptQueue<A> {
  private readonly items = new Set<A>()
  private readonly takers = new WaitList(() => this.ended || this.items.size > 0)
  private ended = false

  add(item: A): void {
    this.items.add(item)
    this.takers.wake()
  }

  remove(item: A): void {
    this.items.delete(item)
  }

  end(): void {
    this.ended = true
    this.takers.wake()
  }

  /** The next one, and done after `end`. */
  readonly take: Pull.Pull<A> = Effect.suspend(() => {
    for (const item of this.items) {
      this.items.delete(item)
      return Effect.succeed(item)
    }
    return this.ended ? Cause.done() : Effect.flatMap(this.takers.wait, () => this.take)
  })
}
