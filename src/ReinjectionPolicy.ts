/**
 * Reinjection: data that is late on one path is sent again on another. What was lost goes to a path that works, what waits for
 * its acknowledgement too long need not wait for a timeout, and the end of a transfer does not wait for the slowest path.
 *
 * What is provided is a factory: every connection gets a policy of its own. It is read when a connection is made, from the
 * context of `Endpoint.connect` or, for accepted connections, from the one the endpoint was built in. Whatever the policy, what a
 * path that seems to have failed had under way moves to the others at once.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import type { Factory, Policy } from "./internal/paths/ReinjectionPolicy.ts"
import { optional, policyLayer } from "./internal/runtime/PolicyConfig.ts"
import type { QuicError } from "./QuicError.ts"

export type { Factory, Mode, Packet, Policy, TargetContext } from "./internal/paths/ReinjectionPolicy.ts"

/**
 * The reinjection policy of new connections; undefined: none.
 *
 * @category services
 * @since 0.2.0
 */
export const ReinjectionPolicy: Context.Reference<Factory | undefined> = Context.Reference<Factory | undefined>(
  "effect-mpquic/ReinjectionPolicy",
  { defaultValue: () => undefined }
)

const modes = 'Expected an array of "onLoss", "onDelay" and "onIdle"'
const flag = "Expected true or false"
const delayMessage = 'Expected a duration from 1 ms to 1 minute, such as "50 millis"'
const interval = 'Expected a duration from 0 to 1 minute, such as "20 millis"'
const ids = "Expected an array of path IDs, whole numbers from 0 to 2^32 - 1"

const between = (minimum: number, maximum: number, usual: number) => {
  const message = `Expected a whole number from ${minimum} to ${maximum}`
  return Schema.Number.annotate({ message })
    .check(Schema.isInt({ message }), Schema.isBetween({ minimum, maximum }, { message }))
    .pipe(Schema.withConstructorDefault(Effect.succeed(usual)))
}

const duration = (minimum: Duration.Duration, message: string) =>
  Schema.Duration.annotate({ message }).check(
    Schema.makeFilter(
      (candidate: Duration.Duration) => Duration.between(candidate, { minimum, maximum: Duration.minutes(1) }),
      { message }
    )
  )

const yes = Schema.Boolean.annotate({ message: flag }).pipe(Schema.withConstructorDefault(Effect.succeed(true)))

/**
 * Settings of `layer`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class ReinjectionConfig extends Schema.Class<ReinjectionConfig>("effect-mpquic/ReinjectionConfig")({
  /** When data goes to another path, see `Mode`. Default: all three; none switches reinjection off. */
  modes: Schema.Array(Schema.Literals(["onLoss", "onDelay", "onIdle"]).annotate({ message: modes }))
    .annotate({ message: modes })
    .pipe(
      Schema.withConstructorDefault(
        Effect.succeed<ReadonlyArray<"onLoss" | "onDelay" | "onIdle">>(["onLoss", "onDelay", "onIdle"])
      )
    ),
  /** Of `onDelay`: how long data may wait for its acknowledgement. Default: what RTT and its variation make usual on the path. */
  delay: optional(duration(Duration.millis(1), delayMessage), delayMessage),
  /** How often the same goes to a further path before it waits for the ordinary repair. Default 2. */
  maxReinjections: between(1, 8, 2),
  /** Frames that may wait for a path; more are repaired in the ordinary way. Default 64. */
  maxQueuePerPath: between(1, 4096, 64),
  /** Between two packets of reinjected data on a path. Default 0. */
  minInterval: duration(Duration.zero, interval).pipe(Schema.withConstructorDefault(Effect.succeed(Duration.zero))),
  /** IDs of the paths to use if they can, the first one first. Default: the one with the lowest RTT. */
  preferredPaths: optional(
    Schema.Array(
      Schema.Number.annotate({ message: ids }).check(
        Schema.isInt({ message: ids }),
        Schema.isBetween({ minimum: 0, maximum: 2 ** 32 - 1 }, { message: ids })
      )
    ).annotate({ message: ids }),
    ids
  ),
  /** Session tickets: the CRYPTO frames after the handshake. Default true. */
  crypto: yes,
  /** Flow control and resets. Default true. */
  control: yes,
  /** Bytes of `onDelay` and `onIdle` at most for each stream byte that was sent; 64 KiB are free. Default 0.25. */
  budget: Schema.Number.annotate({ message: "Expected a number from 0 to 8" })
    .check(Schema.isBetween({ minimum: 0, maximum: 8 }, { message: "Expected a number from 0 to 8" }))
    .pipe(Schema.withConstructorDefault(Effect.succeed(0.25)))
}) {}

/**
 * What `layer` takes.
 *
 * @category configuration
 * @since 0.2.0
 */
export type Options = Omit<ConstructorParameters<typeof ReinjectionConfig>[0] & {}, "delay" | "minInterval"> & {
  /** Of `onDelay`: how long data may wait for its acknowledgement. */
  readonly delay?: Duration.Input | undefined
  /** Between two packets of reinjected data on a path. */
  readonly minInterval?: Duration.Input | undefined
}

const policyOf = (config: ReinjectionConfig): Policy => {
  const { delay } = config
  const late = delay === undefined ? undefined : Duration.toMillis(delay)
  return {
    name: "reinjection",
    modes: config.modes,
    delay: late === undefined ? undefined : () => late,
    maxReinjections: config.maxReinjections,
    maxQueuePerPath: config.maxQueuePerPath,
    minInterval: Duration.toMillis(config.minInterval),
    preferredPaths: config.preferredPaths,
    crypto: config.crypto,
    control: config.control,
    budget: config.budget
  }
}

/**
 * Reinjects as the settings say. Fails with `BadConfig`, which names the setting and its range.
 *
 * **Example** (What waits for 50 ms, twice at most)
 *
 * ```ts
 * import { ReinjectionPolicy } from "effect-mpquic"
 *
 * const layer = ReinjectionPolicy.layer({ modes: ["onLoss", "onDelay"], delay: "50 millis", maxReinjections: 2 })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (config: Options = {}): Layer.Layer<never, QuicError> =>
  policyLayer(
    ReinjectionConfig,
    config as ConstructorParameters<typeof ReinjectionConfig>[0] & {},
    (checked) => layerCustom(() => policyOf(checked)),
    ["delay", "minInterval"]
  )

/**
 * A policy of one's own. The factory is called once per connection. One that needs services comes out of an Effect. What its
 * functions throw, and answers that cannot be followed, are replaced by the default, logged once and counted.
 *
 * **Example** (A target of one's own choice)
 *
 * ```ts
 * import { ReinjectionPolicy } from "effect-mpquic"
 *
 * const layer = ReinjectionPolicy.layerCustom(() => ({
 *   name: "least loss",
 *   selectTarget: ({ candidates }) =>
 *     candidates.reduce((best, path) => (path.lossRate < best.lossRate ? path : best))
 * }))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerCustom = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(factory) ? Layer.effect(ReinjectionPolicy, factory) : Layer.succeed(ReinjectionPolicy, factory)
