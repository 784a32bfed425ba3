/**
 * What callers hand in, looked at before anything else happens: a wrong number or code that got as far as the wire would end
 * the connection, a wrong kind of value would throw where nobody expects it. All checks are comparisons; only a refusal costs.
 */
import { Duration, Effect, Option, Predicate, Redacted } from "effect"
import { isAnyArrayBuffer, isUint8Array } from "node:util/types"
import { BadConfig, QuicError } from "../../QuicError.ts"
import { dropPromise } from "../Unwanted.ts"
import type { BindOptions, Sockets } from "./Sockets.ts"

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

/** A field inside of others, as a program would write it: `multipath.advertise[0]`, `weights["10.0.0.1"]`. */
export const fieldText = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`
    const name = String(key)
    if (!PLAIN_NAME.test(name)) return `${text}[${describe(name)}]`
    return text === "" ? name : `${text}.${name}`
  }, "")

const PLAIN_NAME = /^[A-Za-z_$][\w$]*$/

/** What is at a field inside of others; undefined if nothing is. */
export const valueAt = (record: unknown, path: ReadonlyArray<PropertyKey>): unknown =>
  path.reduce<unknown>((value, key) => (Predicate.hasProperty(value, key) ? value[key] : undefined), record)

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

/** How something closes: by default as its owner says; any reason, because what is too long is cut. */
export const closeOptions = (given: { readonly code?: unknown; readonly reason?: unknown } | undefined) => {
  const value = at(given, "code")
  return {
    code: value === undefined ? undefined : code("code", value),
    reason: text("reason", at(given, "reason"), "")
  }
}

/** Handlers at a time: Infinity unless it is said how many. */
export const concurrency = (value: unknown): number => {
  if (value === undefined || value === "unbounded") return Infinity
  if (typeof value === "number" && Number.isInteger(value) && value > 0) return value
  throw badArgument("concurrency", value, 'a whole number of handlers from 1, or "unbounded"')
}

/**
 * An operation that takes a code and cannot fail otherwise: without options nothing can be wrong, and the types of the public
 * face say so by an overload.
 */
export const withCode = (
  given: { readonly code?: number | undefined } | undefined,
  act: (code: number) => void
): Effect.Effect<void> =>
  withArguments(
    "code",
    () => code("code", at(given, "code")),
    (value) => Effect.sync(() => act(value))
  ) as Effect.Effect<void>

/** IDs of paths: 32 bits (draft-ietf-quic-multipath-21 section 3.1). */
export const pathId = (field: string, value: unknown): number => wholeNumber(field, value, 0, 2 ** 32 - 1)

export const pathIds = (field: string, value: unknown): ReadonlyArray<number> => {
  if (!Array.isArray(value)) throw badArgument(field, value, 'path IDs in an array, or "any"')
  return value.map((id, index) => pathId(`${field}[${index}]`, id))
}

/** What a callback gave, where it must be an Effect: a Promise, say, would never be run. */
export const effectOf = <A, E, R>(
  field: string,
  result: Effect.Effect<A, E, R>
): Effect.Effect<A, E | QuicError, R> => {
  if (Effect.isEffect(result)) return result
  dropPromise(result)
  return Effect.fail(badArgument(field, result, "a function that returns an Effect"))
}

/** A function. */
export const callback = <F>(field: string, value: F): F => {
  if (typeof value === "function") return value
  throw badArgument(field, value, "a function")
}

const UNITS: ReadonlySet<string> = new Set([
  "weeks",
  "days",
  "hours",
  "minutes",
  "seconds",
  "millis",
  "milliseconds",
  "micros",
  "microseconds",
  "nanos",
  "nanoseconds"
])

/** A Duration, or what says one; undefined for anything else, of which Effect would take any object for a duration of zero. */
export const durationOf = (value: unknown): Duration.Duration | undefined => {
  if (typeof value === "number" && !(value >= 0)) return undefined
  if (typeof value === "object" && value !== null && !Duration.isDuration(value) && !Array.isArray(value)) {
    const keys = Object.keys(value)
    if (keys.length === 0 || keys.some((key) => !UNITS.has(key))) return undefined
  }
  return Option.getOrUndefined(Duration.fromInput(value as Duration.Input))
}

export const duration = (field: string, value: unknown, fallback: Duration.Duration): Duration.Duration => {
  const given = value === undefined ? fallback : durationOf(value)
  if (given !== undefined) return given
  throw badArgument(field, value, 'a duration of 0 or more, such as "10 seconds"')
}

/** Options: an object, or nothing. */
export const options = <A extends object>(field: string, value: A | undefined): Partial<A> => {
  if (value === undefined) return NOTHING
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value
  throw badArgument(field, value, "an object, or nothing")
}

const NOTHING = {}

/** One field of options; one whose getter throws is named. */
export const at = <A extends object, K extends keyof A & string>(value: A | undefined, key: K): A[K] | undefined => {
  const given = options("options", value)
  const read = attempt(key, () => given[key])
  if (read instanceof QuicError) throw read
  return read
}

/** A plain copy of options, each field read once; one whose getter throws is named. */
export const copyOf = <A extends object>(field: string, value: A | undefined, parent = ""): Partial<A> => {
  const copy: Partial<A> = {}
  for (const key of Object.keys(options(field, value)) as Array<keyof A & string>) {
    const read = attempt(parent + key, () => value![key])
    if (read instanceof QuicError) throw read
    copy[key] = read
  }
  return copy
}

/** What may be given alone or in an array. */
export const listOf = <A>(value: A | ReadonlyArray<A> | undefined): ReadonlyArray<A> =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as A]

/** Names of application protocols. */
export const protocols = (field: string, value: string | ReadonlyArray<string> | undefined): ReadonlyArray<string> => {
  const names = listOf(value)
  for (const name of names) {
    if (typeof name !== "string" || name.length === 0 || Buffer.byteLength(name) > 255)
      throw badArgument(field, name, "names of 1 to 255 bytes (RFC 7301 section 3.1)")
  }
  return names
}

/** A port to connect to or, where 0 lets the system choose, to bind. */
export const port = (field: string, value: unknown, lowest: 0 | 1): number => wholeNumber(field, value, lowest, 65_535)

export const flag = (field: string, value: unknown, fallback: boolean): boolean => {
  if (value === undefined) return fallback
  if (typeof value === "boolean") return value
  throw badArgument(field, value, "true or false")
}

/** One of some words. Without `fallback` it must be given. */
export const oneOf = <A extends string>(
  field: string,
  value: unknown,
  fallback: A | undefined,
  ...allowed: ReadonlyArray<A>
): A => {
  if (value === undefined && fallback !== undefined) return fallback
  if (allowed.includes(value as A)) return value as A
  throw badArgument(field, value, `one of ${allowed.join(", ")}`)
}

export const text = (field: string, value: unknown, fallback?: string): string => {
  if (value === undefined && fallback !== undefined) return fallback
  if (typeof value === "string") return value
  throw badArgument(field, value, "a string")
}

/** What a socket is bound to, and how: most of it goes to the system, which would take a wrong number for another one. */
export const bindArguments = (
  address: { readonly host: string; readonly port: number },
  given: BindOptions | undefined
) => {
  const { host, port: asked } = copyOf("address", address)
  const copy = copyOf("options", given)
  for (const field of ["socketReceiveBuffer", "socketSendBuffer"] as const) {
    if (copy[field] !== undefined) wholeNumber(field, copy[field], 1, 2 ** 31 - 1)
  }
  oneOf("lane", copy.lane, "auto", "auto", "portable", "native")
  if (copy.onSendError !== undefined && typeof copy.onSendError !== "function")
    throw badArgument("onSendError", copy.onSendError, "a function")
  return { address: { host: name("host", host), port: port("port", asked, 0) }, options: copy }
}

/** Binds after a look at what it is given. */
export const checkedBind =
  (bind: Sockets["bind"]): Sockets["bind"] =>
  (address, given) =>
    withArguments(
      "address",
      () => bindArguments(address, given),
      (checked) => bind(checked.address, checked.options)
    )

/** A host, or a name: neither empty nor longer than names are. */
export const name = (field: string, value: unknown, fallback?: string): string => {
  if (value === undefined && fallback !== undefined) return fallback
  if (typeof value === "string" && value.length > 0 && value.length <= 255) return value
  throw badArgument(field, value, "a name of 1 to 255 characters")
}

const encoder = new TextEncoder()

/** Bytes, or text as UTF-8; undefined for anything else. Called for every write. */
export const bytesOf = (data: unknown): Uint8Array | undefined =>
  isUint8Array(data) ? data : typeof data === "string" ? encoder.encode(data) : undefined

export const badBytes = (field: string, data: unknown): QuicError =>
  badArgument(field, data, "a Uint8Array or a string")
