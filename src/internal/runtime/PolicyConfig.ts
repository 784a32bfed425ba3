/** Settings of policies: a Schema class each; what is wrong is a `BadConfig` with the field, the value and the range. */
import { Effect, Layer, Schema, SchemaIssue } from "effect"
import type { QuicError } from "../../QuicError.ts"
import { badArgument, copyOf, durationOf, fieldText, valueAt, withArguments } from "./Arguments.ts"

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * A setting that need not be given. The message is for the whole of it: that of `schema` alone is not asked for what is of
 * another kind.
 */
export const optional = <S extends Schema.Top>(schema: S, message: string): Schema.optional<S> =>
  Schema.optionalKey(Schema.UndefinedOr(schema).annotate({ message }))

const allowedOf = (message: string): string => message.replace(/^Expected /, "")

/** The first thing that is wrong, and where. */
const firstOf = (issue: SchemaIssue.Issue) => {
  const [first] = format(issue).issues
  return {
    path: (first?.path ?? []).map((key) => (typeof key === "object" ? key.key : key)),
    message: first?.message ?? ""
  }
}

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
      Effect.catch(schema.makeEffect(fields as Input), (issue) => {
        const { message, path } = firstOf(issue)
        // A setting without a default that is not there: what may be there is what `undefined` is refused with.
        if (message === "Missing key")
          return Effect.mapError(schema.makeEffect({ ...fields, [path[0]!]: undefined } as Input), (again) =>
            badArgument(fieldText(path), undefined, `${allowedOf(firstOf(again).message)}; there is no default`)
          )
        return Effect.fail(badArgument(fieldText(path), valueAt(copy, path), allowedOf(message)))
      })
  )

/** A Layer of what checked settings give. */
export const policyLayer = <A, Input extends object, E, R>(
  schema: ConfigClass<A, Input>,
  input: unknown,
  use: (config: A) => Layer.Layer<never, E, R>,
  durations?: ReadonlyArray<string>
): Layer.Layer<never, E | QuicError, R> => Layer.unwrap(Effect.map(policyConfig(schema, input, durations), use))
