/**
 * What callers hand in, looked at before anything else happens: a wrong number or code that got as far as the wire would end
 * the connection, a wrong kind of value would throw where nobody expects it. All checks are comparisons; only a refusal costs.
 */
import { Duration, Effect, Redacted } from "effect"
import { isAnyArrayBuffer, isUint8Array } from "node:util/types"
import { BadConfig, QuicError } from "../../QuicError.ts"

/** A value in an error's text: short, and without running any code of the value. */
export const describe = (value: unknown): string => {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > LONGEST ? `${value.slice(0, LONGEST)}...` : value)
    case "bigint":
      return `${value}n`
    case "function":
    case "symbol":
      return `a ${typeof value}`
    case "object":
      if (value === null) return "null"
      if (Array.isArray(value)) return "an array"
      if (isAnyArrayBuffer(value)) return "an ArrayBuffer"
      if (Redacted.isRedacted(value)) return "<redacted>"
      return Duration.isDuration(value) ? Duration.format(value) : "an object"
    default:
      return String(value)
  }
}

/** Characters of a string that an error shows. */
const LONGEST = 80

export const badArgument = (field: string, value: unknown, allowed: string): QuicError =>
  new QuicError({ reason: new BadConfig({ field, value: describe(value), allowed }) })

/**
 * Reads what a caller handed in, then goes on with it. What `read` throws is the caller's mistake: a `QuicError` of one of the
 * checks below, or whatever a getter of the caller's object throws.
 */
export const withArguments = <A, B, E, R>(
  field: string,
  read: () => A,
  use: (value: A) => Effect.Effect<B, E, R>
): Effect.Effect<B, E | QuicError, R> =>
  Effect.suspend((): Effect.Effect<B, E | QuicError, R> => {
    const value = attempt(field, read)
    return value instanceof QuicError ? Effect.fail(value) : use(value)
  })

/** What `read` gives, or why it cannot. */
export const attempt = <A>(field: string, read: () => A): A | QuicError => {
  try {
    return read()
  } catch (cause) {
    return cause instanceof QuicError
      ? cause
      : new QuicError({
          reason: new BadConfig({
            field,
            value: "a value that cannot be read",
            problem: cause instanceof Error ? cause.message : undefined,
            allowed: "plain values"
          })
        })
  }
}

/** A whole number in a range. */
export const wholeNumber = (field: string, value: unknown, lowest: number, highest: number): number => {
  if (typeof value === "number" && Number.isInteger(value) && value >= lowest && value <= highest) return value
  throw badArgument(field, value, `a whole number from ${lowest} to ${highest}`)
}

/**
 * An error code: RFC 9000 section 20.2 has 62 bits for it, of which a number of JavaScript tells 53 apart. 0 unless given.
 */
export const code = (field: string, value: unknown, fallback = 0): number =>
  value === undefined ? fallback : wholeNumber(field, value, 0, Number.MAX_SAFE_INTEGER)

/** Options: an object, or nothing. */
export const options = <A extends object>(field: string, value: A | undefined): Partial<A> => {
  if (value === undefined) return NOTHING
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value
  throw badArgument(field, value, "an object, or nothing")
}

const NOTHING = {}

export const flag = (field: string, value: unknown, fallback: boolean): boolean => {
  if (value === undefined) return fallback
  if (typeof value === "boolean") return value
  throw badArgument(field, value, "true or false")
}

export const oneOf = <A extends string>(
  field: string,
  value: unknown,
  fallback: A,
  ...allowed: ReadonlyArray<A>
): A => {
  if (value === undefined) return fallback
  if (allowed.includes(value as A)) return value as A
  throw badArgument(field, value, `one of ${allowed.join(", ")}`)
}

/** Text of at most so many bytes in UTF-8. */
export const text = (field: string, value: unknown, fallback: string, most: number): string => {
  if (value === undefined) return fallback
  if (typeof value === "string" && Buffer.byteLength(value) <= most) return value
  throw badArgument(field, value, `a string of at most ${most} bytes`)
}

const encoder = new TextEncoder()

/** Bytes, or text as UTF-8; undefined for anything else. Called for every write. */
export const bytesOf = (data: unknown): Uint8Array | undefined =>
  isUint8Array(data) ? data : typeof data === "string" ? encoder.encode(data) : undefined

export const badBytes = (field: string, data: unknown): QuicError =>
  badArgument(field, data, "a Uint8Array or a string")
