/**
 * Failure detection: when a path that has gone silent is no longer relied on. It is suspected at a probe timeout with data
 * outstanding, never for being idle; then what it had under way moves to the other paths at once, schedulers do not see it, and
 * it is asked with growing intervals until it answers. `Path.changes` tells the application, `Path.state` says it.
 *
 * What is provided is a factory: every connection gets a detector of its own. It is read when a connection is made, from the
 * context of `Endpoint.connect` or, for accepted connections, from the one the endpoint was built in. Without a Layer a path is
 * suspected at its first probe timeout.
 *
 * On short paths that is some 30 ms, for which a peer or this program that computes is silent, too: then `PotentiallyFailed` and
 * `Recovered` follow each other, and nothing is lost. `minimumSilence` above the longest such pause leaves them out.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import type { Factory } from "./internal/paths/FailurePolicy.ts"
import { policyLayer } from "./internal/runtime/PolicyConfig.ts"
import type { QuicError } from "./QuicError.ts"

export type { Factory, Policy, Silence } from "./internal/paths/FailurePolicy.ts"

/**
 * The failure detector of new connections; undefined: the first probe timeout.
 *
 * @category services
 * @since 0.2.0
 */
export const FailureDetector: Context.Reference<Factory | undefined> = Context.Reference<Factory | undefined>(
  "effect-mpquic/FailureDetector",
  { defaultValue: () => undefined }
)

const timeouts = "Expected a whole number from 1 to 10"
const factor = "Expected a number from 0 to 100"
const minimum = 'Expected a duration from 0 to 1 minute, such as "500 millis"'

/**
 * Settings of `layer`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class FailureDetectorConfig extends Schema.Class<FailureDetectorConfig>("effect-mpquic/FailureDetectorConfig")({
  /** How many probe timeouts in a row it takes. Default 1. */
  probeTimeouts: Schema.Number.annotate({ message: timeouts })
    .check(Schema.isInt({ message: timeouts }), Schema.isBetween({ minimum: 1, maximum: 10 }, { message: timeouts }))
    .pipe(Schema.withConstructorDefault(Effect.succeed(1))),
  /** How long the path has to be silent at least. Default 0. */
  minimumSilence: Schema.Duration.annotate({ message: minimum })
    .check(
      Schema.makeFilter(
        (candidate: Duration.Duration) =>
          Duration.between(candidate, { minimum: Duration.zero, maximum: Duration.minutes(1) }),
        { message: minimum }
      )
    )
    .pipe(Schema.withConstructorDefault(Effect.succeed(Duration.zero))),
  /** The same, as so many times the probe timeout of the path. Default 0. */
  silenceFactor: Schema.Number.annotate({ message: factor })
    .check(Schema.isBetween({ minimum: 0, maximum: 100 }, { message: factor }))
    .pipe(Schema.withConstructorDefault(Effect.succeed(0)))
}) {}

/**
 * Suspects a path after so many probe timeouts, and a silence of `minimumSilence` and of `silenceFactor` probe timeouts, whichever
 * is longer. Fails with `BadConfig`, which names the setting and its range.
 *
 * **Example** (Radio that is silent for a moment now and then)
 *
 * ```ts
 * import { FailureDetector } from "effect-mpquic"
 *
 * const layer = FailureDetector.layer({ minimumSilence: "500 millis" })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  config: {
    readonly probeTimeouts?: number | undefined
    readonly minimumSilence?: Duration.Input | undefined
    readonly silenceFactor?: number | undefined
  } = {}
): Layer.Layer<never, QuicError> =>
  policyLayer(
    FailureDetectorConfig,
    config as ConstructorParameters<typeof FailureDetectorConfig>[0] & {},
    (checked) => {
      const least = Duration.toMillis(checked.minimumSilence)
      return layerCustom(() => ({
        name: "silence",
        isFailed: ({ probeTimeouts, pto, silence }) =>
          probeTimeouts >= checked.probeTimeouts && silence >= Math.max(least, checked.silenceFactor * pto)
      }))
    },
    ["minimumSilence"]
  )

/**
 * A detector of one's own. The factory is called once per connection. One that needs services comes out of an Effect. If it
 * throws, or answers with something else than true or false, the path is suspected; that is logged once and counted.
 *
 * **Example** (Patience with one network)
 *
 * ```ts
 * import { FailureDetector } from "effect-mpquic"
 *
 * const layer = FailureDetector.layerCustom(() => ({
 *   name: "patient",
 *   isFailed: ({ path, silence }) => silence > (path.local.host.startsWith("10.") ? 1000 : 0)
 * }))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerCustom = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(factory) ? Layer.effect(FailureDetector, factory) : Layer.succeed(FailureDetector, factory)
