/**
 * Duplication: what is sent on several paths at once, so that the first copy to arrive counts. It buys latency and certainty
 * with bytes. Each copy is a packet of its own, with its own number and key nonce, under the congestion control of its path; the
 * receiver drops the bytes that it has, and flow control counts them once.
 *
 * What is provided is a factory: every connection gets a policy of its own. It is read when a connection is made, from the
 * context of `Endpoint.connect` or, for accepted connections, from the one the endpoint was built in. Without a Layer nothing
 * is duplicated but what `QuicStream.setDuplication` asks for.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { Factory } from "./internal/paths/DuplicationPolicy.ts"
import { policyLayer } from "./internal/runtime/PolicyConfig.ts"
import type { QuicError } from "./QuicError.ts"

export type { Factory, Policy } from "./internal/paths/DuplicationPolicy.ts"

/**
 * The duplication policy of new connections; undefined: none.
 *
 * @category services
 * @since 0.2.0
 */
export const DuplicationPolicy: Context.Reference<Factory | undefined> = Context.Reference<Factory | undefined>(
  "effect-mpquic/DuplicationPolicy",
  { defaultValue: () => undefined }
)

const pathsMessage = "Expected a whole number from 2 to 8"
const budgetMessage = "Expected a number from 0 to 8"
const flagMessage = "Expected true or false"
const streamsMessage = 'Expected "all", "none" or an array of stream IDs'
const idMessage = "Expected a stream ID: a whole number from 0 to 2^53 - 1"

const yesOrNo = (usual: boolean) =>
  Schema.Boolean.annotate({ message: flagMessage }).pipe(Schema.withConstructorDefault(Effect.succeed(usual)))

/**
 * Settings of `layer`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class DuplicationConfig extends Schema.Class<DuplicationConfig>("effect-mpquic/DuplicationConfig")({
  /** On how many paths, the first one included, as far as there are so many. Default 2. */
  paths: Schema.Number.annotate({ message: pathsMessage })
    .check(
      Schema.isInt({ message: pathsMessage }),
      Schema.isBetween({ minimum: 2, maximum: 8 }, { message: pathsMessage })
    )
    .pipe(Schema.withConstructorDefault(Effect.succeed(2))),
  /** Streams whose data is duplicated: all, none, or those with these IDs. Default: none. */
  streams: Schema.Union([
    Schema.Literals(["all", "none"]).annotate({ message: streamsMessage }),
    Schema.Array(
      Schema.Number.annotate({ message: idMessage }).check(
        Schema.isInt({ message: idMessage }),
        Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }, { message: idMessage })
      )
    ).annotate({ message: streamsMessage })
  ])
    .annotate({ message: streamsMessage })
    .pipe(Schema.withConstructorDefault(Effect.succeed<"all" | "none">("none"))),
  /** Datagrams that are bound to no path. Their receiver gets every copy that arrives, so number them. Default false. */
  datagrams: yesOrNo(false),
  /** Session tickets: the CRYPTO frames after the handshake. Default true. */
  crypto: yesOrNo(true),
  /** The ends of streams before their time: RESET_STREAM and STOP_SENDING. Default true. */
  resets: yesOrNo(true),
  /** Flow control: MAX_DATA, MAX_STREAM_DATA, MAX_STREAMS, and what says that they hold something up. Default false. */
  control: yesOrNo(false),
  /** Bytes of copies at most for each byte of streams and datagrams that was sent; 64 KiB are free. Default 1. */
  budget: Schema.Number.annotate({ message: budgetMessage })
    .check(Schema.isBetween({ minimum: 0, maximum: 8 }, { message: budgetMessage }))
    .pipe(Schema.withConstructorDefault(Effect.succeed(1)))
}) {}

/**
 * Duplicates what the settings say: without any, session tickets and the ends of streams, and no data. Fails with `BadConfig`,
 * which names the setting and its range.
 *
 * **Example** (Every stream on two paths)
 *
 * ```ts
 * import { DuplicationPolicy } from "effect-mpquic"
 *
 * const layer = DuplicationPolicy.layer({ streams: "all" })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (config: ConstructorParameters<typeof DuplicationConfig>[0] = {}): Layer.Layer<never, QuicError> =>
  policyLayer(DuplicationConfig, config, (checked) => {
    const ids = typeof checked.streams === "string" ? undefined : new Set(checked.streams)
    const { streams } = checked
    return layerCustom(() => ({
      name: "duplication",
      paths: checked.paths,
      crypto: checked.crypto,
      resets: checked.resets,
      control: checked.control,
      budget: checked.budget,
      stream: streams === "none" ? undefined : ids === undefined ? () => true : (streamId) => ids.has(streamId),
      datagram: checked.datagrams ? () => true : undefined
    }))
  })

/**
 * A policy of one's own. The factory is called once per connection. One that needs services comes out of an Effect. A function
 * that throws duplicates nothing, which is logged once and counted.
 *
 * **Example** (Short datagrams, and the streams that the peer opened)
 *
 * ```ts
 * import { DuplicationPolicy } from "effect-mpquic"
 *
 * const layer = DuplicationPolicy.layerCustom(() => ({
 *   name: "answers",
 *   stream: (streamId) => streamId % 2 === 0,
 *   datagram: (bytes) => bytes < 200
 * }))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerCustom = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(factory) ? Layer.effect(DuplicationPolicy, factory) : Layer.succeed(DuplicationPolicy, factory)
