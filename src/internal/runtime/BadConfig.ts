import { Effect } from "effect"
import { BadConfig, QuicError } from "../../QuicError.ts"

/** Fails because of a setting: its name, what it is as text, and what it may be. */
export const badConfig = (field: string, value: string, allowed: string): Effect.Effect<never, QuicError> =>
  Effect.fail(new QuicError({ reason: new BadConfig({ field, value, allowed }) }))
