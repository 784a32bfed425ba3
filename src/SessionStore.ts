/**
 * What a client keeps of servers, for the next time that it connects: session tickets, with which a handshake needs no
 * certificates (RFC 8446 section 2.2), and tokens that prove its address and spare it a Retry (RFC 9000 section 8.1.3).
 *
 * Without a Layer each endpoint keeps them in memory. The service is read when a connection is made, from the context of
 * `Endpoint.connect`. Neither names anybody, but both tell a server that it has seen this client before: `layerNone` leaves that
 * out. The certificate of a ticket's server is judged anew each time, by the trust of then; a client that shows an identity of its
 * own (`Tls.layerClientIdentity`) keeps no tickets.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { Option } from "effect"
import { MemoryStore } from "./internal/runtime/MemoryStore.ts"
import { policyConfig } from "./internal/runtime/PolicyConfig.ts"
import type { QuicError } from "./QuicError.ts"

/**
 * `ticket`: a session to resume. It holds a key that opens what is sent with it: keep it as you would keep a password. `token`: a
 * proof of the address.
 *
 * @category models
 * @since 0.2.0
 */
export type Kind = "ticket" | "token"

/**
 * A store. What goes wrong in it is logged, and the connection goes on without.
 *
 * @category models
 * @since 0.2.0
 */
export interface Service {
  /** Takes one out, because none should be used twice. `server` is its name and port: "example.com:4433". */
  readonly take: (kind: Kind, server: string) => Effect.Effect<Option.Option<Uint8Array>>
  /** Keeps one: some tens of bytes, or with a ticket some kB, that mean nothing here. */
  readonly put: (kind: Kind, server: string, bytes: Uint8Array) => Effect.Effect<void>
}

/**
 * The store of new connections; undefined: the memory of their endpoint.
 *
 * @category services
 * @since 0.2.0
 */
export const SessionStore: Context.Reference<Service | undefined> = Context.Reference<Service | undefined>(
  "effect-mpquic/SessionStore",
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
export class MemoryConfig extends Schema.Class<MemoryConfig>("effect-mpquic/SessionStore/MemoryConfig")({
  /** How many servers are remembered; those used longest ago go first. Default 256 servers. */
  servers: count(256, 1_000_000, "servers"),
  /** How many of each kind are kept for each server, the newest of them. Default 4 tickets, and 4 tokens. */
  perServer: count(4, 1000, "tickets")
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
  Effect.map(policyConfig(MemoryConfig, config), ({ perServer, servers }) => new MemoryStore(servers, perServer))

/**
 * A store of one's own, such as one that outlives the process.
 *
 * **Example** (In a table)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { SessionStore } from "effect-mpquic"
 *
 * const table = new Map<string, Uint8Array>()
 * const stored = SessionStore.layer({
 *   take: (kind, server) =>
 *     Effect.sync(() => {
 *       const found = Option.fromNullishOr(table.get(`${kind} ${server}`))
 *       table.delete(`${kind} ${server}`)
 *       return found
 *     }),
 *   put: (kind, server, bytes) => Effect.sync(() => void table.set(`${kind} ${server}`, bytes))
 * })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <E = never, R = never>(store: Service | Effect.Effect<Service, E, R>): Layer.Layer<never, E, R> =>
  Effect.isEffect(store) ? Layer.effect(SessionStore, store) : Layer.succeed(SessionStore, store)

/**
 * One memory for all endpoints below it.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerMemory = (config?: {
  readonly servers?: number | undefined
  readonly perServer?: number | undefined
}): Layer.Layer<never, QuicError> => Layer.effect(SessionStore, makeMemory(config))

/**
 * Keeps nothing: no server can tell by it that a client was there before, and every handshake is a full one.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerNone: Layer.Layer<never> = layer({ take: () => Effect.succeedNone, put: () => Effect.void })
