/**
 * The running handlers of connections, and their end.
 */
import { Effect, Fiber } from "effect"
import type { Duration } from "effect"
import type { ConnectionMachine } from "../connection/Machine.ts"
import { ServedHere } from "./ServedHere.ts"
import { line } from "./EndpointLog.ts"

/** What a handler serves: when it hands out no more, a handler that serves comes to its end. */
export interface Drainable {
  readonly id: string
  readonly machine: ConnectionMachine
  readonly isClosed: boolean
  readonly drain: () => void
}

export class Handlers {
  private readonly running = new Map<Drainable, Fiber.Fiber<unknown>>()
  /** Those whose connection has ended, in the order of that, and when their time is over. */
  private readonly left = new Map<Fiber.Fiber<unknown>, { readonly until: number; readonly connection: string }>()
  private sweeping = false
  private readonly grace: number
  private readonly now: () => number
  private readonly run: (effect: Effect.Effect<void>) => unknown

  /** `grace`: ms that a handler may take after its connection has ended. Times are those of `now`, `run` is for the timer. */
  constructor(grace: number, now: () => number, run: (effect: Effect.Effect<void>) => unknown) {
    this.grace = grace
    this.now = now
    this.run = run
  }

  add(connection: Drainable, fiber: Fiber.Fiber<unknown>): void {
    if (fiber.pollUnsafe() !== undefined) return
    this.running.set(connection, fiber)
    fiber.addObserver(() => {
      this.running.delete(connection)
      this.left.delete(fiber)
    })
    if (connection.isClosed) this.ended(connection)
  }

  get connections(): Iterable<Drainable> {
    return this.running.keys()
  }

  /**
   * The connection has ended. What had arrived may still be worked on, for a while: clients come and go, and handlers that
   * never notice must not gather.
   */
  ended(connection: Drainable): void {
    const fiber = this.running.get(connection)
    if (fiber === undefined) return
    this.left.set(fiber, { until: this.now() + this.grace, connection: connection.id })
    if (this.sweeping) return
    this.sweeping = true
    this.run(this.sweep)
  }

  /** Waits until there are none, but for the one that waits. */
  readonly idle: Effect.Effect<void> = Effect.flatMap(ServedHere, (here) => {
    const others = this.fibers(here)
    return others.length === 0 ? Effect.void : Effect.flatMap(Fiber.awaitAll(others), () => this.idle)
  })

  /** Lets them finish what they have begun, and interrupts those that are not done in time; not the one that asks for it. */
  finish(within: Duration.Input): Effect.Effect<void> {
    return Effect.flatMap(ServedHere, (here) => {
      if (this.running.size === 0) return Effect.void
      for (const connection of this.running.keys()) connection.drain()
      return Effect.andThen(
        Effect.timeoutOption(Effect.interruptible(this.idle), within),
        Effect.suspend(() => Fiber.interruptAll(this.fibers(here)))
      )
    })
  }

  private fibers(except: ReadonlySet<ConnectionMachine>): ReadonlyArray<Fiber.Fiber<unknown>> {
    const fibers: Array<Fiber.Fiber<unknown>> = []
    for (const [{ machine }, fiber] of this.running) if (!except.has(machine)) fibers.push(fiber)
    return fibers
  }

  /** One timer for all of them: their times are over in the order in which they came. */
  private readonly sweep: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.now()
    for (const [fiber, { connection, until }] of this.left) {
      if (until > now) return Effect.andThen(Effect.sleep(Math.ceil(until - now)), this.sweep)
      this.left.delete(fiber)
      fiber.interruptUnsafe()
      this.run(line("Debug", "A handler that went on after its connection was interrupted", { connection }))
    }
    this.sweeping = false
    return Effect.void
  })
}
