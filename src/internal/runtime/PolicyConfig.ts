/** Settings of policies: a Schema class each; what is wrong is a `BadConfig` with the field, the value and the range. */
import { Effect, Layer, Predicate, SchemaIssue } from "effect"
import type { QuicError } from "../../QuicError.ts"
import { badArgument, copyOf, durationOf, withArguments } from "./Arguments.ts"

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const valueAt = (record: unknown, path: ReadonlyArray<PropertyKey>): unknown =>
  path.reduce<unknown>((value, key) => (Predicate.hasProperty(value, key) ? value[key] : undefined), record)

const allowedOf = (message: string): string =>
  message === "Missing key" ? "a value: there is no default" : message.replace(/^Expected /, "")

interface ConfigClass<A, Input> {
  readonly fields: object
  readonly makeEffect: (input: Input) => Effect.Effect<A, SchemaIssue.Issue>
}

/**
 * Checks settings. A field that does not exist is refused: it would do nothing, and say nothing. `durations`: fields that may be
 * whatever says a Duration.
 */
export const policyConfig = <A, Input extends object>(
  schema: ConfigClass<A, Input>,
  input: unknown,
  durations: ReadonlyArray<string> = []
): Effect.Effect<A, QuicError> =>
  withArguments(
    "settings",
    () => {
      const copy: Record<string, unknown> = copyOf("settings", input as Record<string, unknown>)
      for (const key of Object.keys(copy)) {
        if (!Object.hasOwn(schema.fields, key))
          throw badArgument(key, copy[key], `only the settings ${Object.keys(schema.fields).join(", ")}`)
      }
      const fields = { ...copy }
      for (const key of durations) if (key in fields) fields[key] = durationOf(fields[key]) ?? fields[key]
      return { copy, fields }
    },
    ({ copy, fields }) =>
      Effect.mapError(schema.makeEffect(fields as Input), (issue) => {
        const [first] = format(issue).issues
        const path = (first?.path ?? []).map((key) => (typeof key === "object" ? key.key : key))
        return badArgument(path.map(String).join("."), valueAt(copy, path), allowedOf(first?.message ?? ""))
      })
  )

/** A Layer of what checked settings give. */
export const policyLayer = <A, Input extends object, E, R>(
  schema: ConfigClass<A, Input>,
  input: unknown,
  use: (config: A) => Layer.Layer<never, E, R>,
  durations?: ReadonlyArray<string>
): Layer.Layer<never, E | QuicError, R> => Layer.unwrap(Effect.map(policyConfig(schema, input, durations), use))
