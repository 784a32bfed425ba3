/**
 * The running handlers of connections, and their graceful end.
 */
import { Effect, Fiber } from "effect"
import type { Duration } from "effect"

/** What a handler serves: when it hands out no more, a handler that serves comes to its end. */
export interface Drainable {
  readonly drain: () => void
}

export class Handlers {
  private readonly running = new Map<Fiber.Fiber<unknown>, Drainable>()

  add(fiber: Fiber.Fiber<unknown>, connection: Drainable): void {
    if (fiber.pollUnsafe() !== undefined) return
    this.running.set(fiber, connection)
    fiber.addObserver(() => this.running.delete(fiber))
  }

  get connections(): Iterable<Drainable> {
    return this.running.values()
  }

  /** Waits until there are none. */
  readonly idle: Effect.Effect<void> = Effect.suspend(() =>
    this.running.size === 0
      ? Effect.void
      : Effect.flatMap(Fiber.awaitAll(Array.from(this.running.keys())), () => this.idle)
  )

  /** Lets them finish what they have begun, and interrupts those that are not done in time. */
  finish(within: Duration.Input): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.running.size === 0) return Effect.void
      for (const connection of this.running.values()) connection.drain()
      return Effect.andThen(
        Effect.timeoutOption(Effect.interruptible(this.idle), within),
        Effect.suspend(() => Fiber.interruptAll(Array.from(this.running.keys())))
      )
    })
  }
}
