/**
 * Whose handlers a fiber runs in. What ends an endpoint waits for its handlers, and must not wait for the one that it was
 * called from.
 */
import { Context, Effect } from "effect"
import type { ConnectionMachine } from "../connection/Machine.ts"

/** Inherited by what a handler forks, because the handler may wait for that. */
export const ServedHere = Context.Reference<ReadonlySet<ConnectionMachine>>("effect-mpquic/ServedHere", {
  defaultValue: () => new Set()
})

/** Runs a handler of the connection, or of one of its streams. */
export const servedHere = <A, E, R>(
  machine: ConnectionMachine,
  handler: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(ServedHere, (outer) =>
    outer.has(machine) ? handler : Effect.provideService(handler, ServedHere, new Set([...outer, machine]))
  )
