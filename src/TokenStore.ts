/**
 * Where a client keeps the tokens with which it proves its address when it comes back to a server (RFC 9000 section 8.1.3).
 * A server that asks for proof spares such a client a round trip.
 *
 * Without a Layer each endpoint keeps them in memory. The service is read when a connection is made, from the context of
 * `Endpoint.connect`. A token names nobody, but tells the server that it has seen this client before: `layerNone` leaves that out.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { Option } from "effect"
import { MemoryTokens } from "./internal/runtime/MemoryTokens.ts"
import { policyConfig } from "./internal/runtime/PolicyConfig.ts"
import type { QuicError } from "./QuicError.ts"

/**
 * A store of tokens. What it throws is logged, and the connection goes on without.
 *
 * @category models
 * @since 0.2.0
 */
export interface Service {
  /** Takes a token of a server out, because none may be used twice. `server` is its name and port: "example.com:4433". */
  readonly take: (server: string) => Effect.Effect<Option.Option<Uint8Array>>
  /** Keeps a token of a server: some tens of bytes that mean nothing here. */
  readonly put: (server: string, token: Uint8Array) => Effect.Effect<void>
}

/**
 * The store of new connections; undefined: the memory of their endpoint.
 *
 * @category services
 * @since 0.2.0
 */
export const TokenStore: Context.Reference<Service | undefined> = Context.Reference<Service | undefined>(
  "effect-mpquic/TokenStore",
  { defaultValue: () => undefined }
)

const count = (fallback: number, maximum: number, unit: string) => {
  const message = `Expected a whole number of ${unit} from 1 to ${maximum}`
  return Schema.Number.annotate({ message })
    .check(Schema.isInt({ message }), Schema.isBetween({ minimum: 1, maximum }, { message }))
    .pipe(Schema.withConstructorDefault(Effect.succeed(fallback)))
}

/**
 * Settings of `layerMemory`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class MemoryConfig extends Schema.Class<MemoryConfig>("effect-mpquic/TokenStore/MemoryConfig")({
  /** How many servers' tokens are kept; those used longest ago go first. Default 256 servers. */
  servers: count(256, 1_000_000, "servers"),
  /** How many of each server are kept, the newest of them. Default 4 tokens. */
  perServer: count(4, 1000, "tokens")
}) {}

/**
 * A store in memory, which forgets the oldest. Fails with `BadConfig`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeMemory = (
  config: { readonly servers?: number | undefined; readonly perServer?: number | undefined } = {}
): Effect.Effect<Service, QuicError> =>
  Effect.map(policyConfig(MemoryConfig, config), ({ perServer, servers }) => new MemoryTokens(servers, perServer))

/**
 * A store of one's own, such as one that outlives the process.
 *
 * **Example** (Tokens in a table)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { TokenStore } from "effect-mpquic"
 *
 * const table = new Map<string, Uint8Array>()
 * const stored = TokenStore.layer({
 *   take: (server) =>
 *     Effect.sync(() => {
 *       const token = Option.fromNullishOr(table.get(server))
 *       table.delete(server)
 *       return token
 *     }),
 *   put: (server, token) => Effect.sync(() => void table.set(server, token))
 * })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <E = never, R = never>(store: Service | Effect.Effect<Service, E, R>): Layer.Layer<never, E, R> =>
  Effect.isEffect(store) ? Layer.effect(TokenStore, store) : Layer.succeed(TokenStore, store)

/**
 * One memory for all endpoints below it.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerMemory = (config?: {
  readonly servers?: number | undefined
  readonly perServer?: number | undefined
}): Layer.Layer<never, QuicError> => Layer.effect(TokenStore, makeMemory(config))

/**
 * Keeps none: a server cannot tell by them that a client was there before.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerNone: Layer.Layer<never> = layer({ take: () => Effect.succeedNone, put: () => Effect.void })
