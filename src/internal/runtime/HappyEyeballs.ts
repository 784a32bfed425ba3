/**
 * Several ways to reach somebody, tried one after the other without waiting for each to fail (RFC 8305 section 5).
 */
import { Cause, Deferred, Effect, Exit } from "effect"

/** ms that one attempt has for itself. */
const ATTEMPT_DELAY = 250

/**
 * The first attempt to succeed; the others are interrupted. The next one starts when the one before has failed, or has had 250
 * ms for itself. When all fail, the failure is that of the one that held out longest.
 */
export const firstOf = <A, E, R>(attempts: ReadonlyArray<Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> => {
  if (attempts.length === 1) return attempts[0]!
  return Effect.suspend(() => {
    const turns = attempts.map(() => Deferred.makeUnsafe<void>())
    const start = (index: number): Effect.Effect<unknown> =>
      index < turns.length ? Deferred.succeed(turns[index]!, undefined) : Effect.void
    const inTurn = attempts.map((attempt, index) =>
      Deferred.await(turns[index]!).pipe(
        Effect.andThen(Effect.forkChild(Effect.delay(start(index + 1), ATTEMPT_DELAY))),
        Effect.andThen(attempt),
        Effect.onExit((exit) => (Exit.isFailure(exit) ? start(index + 1) : Effect.void))
      )
    )
    return Effect.andThen(start(0), Effect.raceAll(inTurn)).pipe(
      Effect.catchCause((cause) => Effect.failCause(Cause.fromReasons(cause.reasons.slice(-1))))
    )
  })
}
