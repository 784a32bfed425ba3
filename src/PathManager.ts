/**
 * Path managers: who opens and closes the paths of a connection.
 *
 * Without a Layer the application does, with `Connection.openPath`. `layerAuto` opens paths by itself, `layer` takes a manager
 * of one's own. It is read when a connection is made, from the context of `Endpoint.connect` or, for accepted connections, from
 * the one the endpoint was built in; the addresses that it may use are those of `LocalAddresses` there.
 *
 * **Example** (A download over all networks of this host)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Endpoint, PathManager, UdpSocket } from "effect-mpquic"
 *
 * const program = Effect.gen(function* () {
 *   const connection = yield* Endpoint.connect({ host: "example.com", port: 4433, alpn: "download" })
 *   const stream = yield* connection.openStream()
 *   yield* stream.end("big.iso")
 *   return yield* stream.bytes
 * }).pipe(Effect.scoped)
 *
 * const ClientLive = Layer.merge(Endpoint.layer({ multipath: { maxPaths: 4 } }), PathManager.layerAuto())
 * const main = program.pipe(Effect.provide(ClientLive), Effect.provide(UdpSocket.layer))
 * ```
 *
 * @module
 * @since 0.2.0
 */
import { Context, Duration, Effect, Layer, Result, Schema } from "effect"
import type { NetAddress } from "effect/net"
import { addressFromInput, isNoDestination, toInetAddress } from "./internal/runtime/Addresses.ts"
import { badArgument } from "./internal/runtime/Arguments.ts"
import { autoPaths } from "./internal/runtime/AutoPaths.ts"
import { manual } from "./internal/runtime/ManagedPaths.ts"
import type { Factory } from "./internal/runtime/ManagedPaths.ts"
import { optional, policyConfig } from "./internal/runtime/PolicyConfig.ts"
import { AddressBook } from "./internal/wire/Datagram.ts"
import type { PathStatus } from "./PathScheduler.ts"
import type { QuicError } from "./QuicError.ts"

export type { Factory, View } from "./internal/runtime/ManagedPaths.ts"

/**
 * The path manager of new connections. Without a Layer: none, the application opens and closes paths.
 *
 * @category services
 * @since 0.2.0
 */
export const PathManager: Context.Reference<Factory> = Context.Reference<Factory>("effect-mpquic/PathManager", {
  defaultValue: () => manual
})

/**
 * Uses a path manager of one's own. The factory is called once per connection, on both sides, when the handshake is complete;
 * what it gives is run in a scope of its own and interrupted when the connection ends. When it fails that is logged as an
 * error, and the connection goes on with the paths that it has. A factory that needs services comes out of an Effect.
 *
 * **Example** (A standby path from the second address)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { PathManager } from "effect-mpquic"
 *
 * const standby = PathManager.layer((view) =>
 *   Effect.gen(function* () {
 *     if (view.role === "server" || !view.multipath) return
 *     yield* view.confirmed
 *     const second = view.localAddresses.current[1]
 *     if (second !== undefined) yield* view.openPath({ local: second, status: "backup" })
 *   })
 * )
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(factory) ? Layer.effect(PathManager, factory) : Layer.succeed(PathManager, factory)

/**
 * The application opens and closes paths. A path whose address this host has lost moves to where the routes lead. The default.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerManual: Layer.Layer<never> = layer(manual)

const duration = (shortest: string, longest: string, fallback: Duration.Duration) => {
  const message = `Expected a duration from ${shortest} to ${longest}, such as "5 seconds"`
  const range = {
    minimum: Duration.fromInputUnsafe(shortest as Duration.Input),
    maximum: Duration.fromInputUnsafe(longest as Duration.Input)
  }
  return Schema.Duration.annotate({ message })
    .check(Schema.makeFilter((candidate: Duration.Duration) => Duration.between(candidate, range), { message }))
    .pipe(Schema.withConstructorDefault(Effect.succeed(fallback)))
}

const maxPaths = "Expected a whole number of paths from 1 to 256"
const families = 'Expected "IPv4", "IPv6" or both in an array'

/**
 * Settings of `layerAuto`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class AutoConfig extends Schema.Class<AutoConfig>("effect-mpquic/AutoPathsConfig")({
  /** The only local addresses that paths are opened from, with a port or without. Default: all of `LocalAddresses`. */
  addresses: optional(
    Schema.Array(Schema.String.annotate({ message: "Expected an IP address of this host" })),
    "Expected IP addresses in an array"
  ),
  /** Which families paths are opened from. Default: both. */
  families: Schema.Array(Schema.Literals(["IPv4", "IPv6"]).annotate({ message: families }))
    .annotate({ message: families })
    .pipe(Schema.withConstructorDefault(Effect.succeed(["IPv4", "IPv6"] as const))),
  /** Whether paths are opened from loopback addresses, towards such. Default false. */
  includeLoopback: Schema.Boolean.annotate({ message: "Expected true or false" }).pipe(
    Schema.withConstructorDefault(Effect.succeed(false))
  ),
  /** Paths of the connection up to which more are opened. Default: as many as both sides allow (`multipath.maxPaths`). */
  maxPaths: optional(
    Schema.Number.annotate({ message: maxPaths }).check(
      Schema.isInt({ message: maxPaths }),
      Schema.isBetween({ minimum: 1, maximum: 256 }, { message: maxPaths })
    ),
    maxPaths
  ),
  /** What the paths are opened as. Default `available`. */
  status: Schema.Literals(["available", "backup"])
    .annotate({ message: 'Expected "available" or "backup"' })
    .pipe(Schema.withConstructorDefault(Effect.succeed("available" as const))),
  /** How long a pair of addresses that failed is left alone at first: twice as long each time. Default 1 s. */
  retryAfter: duration("10 millis", "1 hour", Duration.seconds(1)),
  /** How long it is left alone at most. Default 1 minute. */
  maxRetryAfter: duration("10 millis", "1 day", Duration.minutes(1))
}) {}

/**
 * Paths by themselves. Once the handshake is confirmed, a client that has agreed on several paths opens one from each further
 * local address of `LocalAddresses`, and from each to every address that the peer advertises, up to the limit of both sides;
 * pairs of addresses that share least with the paths there are go first. No pair has two paths, and none is opened by servers.
 *
 * It follows the addresses: where one is gone, its paths are closed (PATH_UNSTABLE_OR_POOR) and what they carried goes over the
 * others, or, if there is no other, the path moves to an address that is left. One that is back, or new, gets a path, and so
 * does one that found no room when the peer raises its limit. A pair that fails is tried again after `retryAfter`, twice as
 * long each time. A path that the application closes is not opened again while both its addresses stay.
 *
 * Fails with `BadConfig`, which names the field and what is allowed.
 *
 * **Example** (Two networks, and no others)
 *
 * ```ts
 * import { PathManager } from "effect-mpquic"
 *
 * const layer = PathManager.layerAuto({ addresses: ["192.168.1.10", "10.0.0.2"] })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerAuto = (
  config: {
    readonly addresses?: ReadonlyArray<string> | undefined
    readonly families?: ReadonlyArray<"IPv4" | "IPv6"> | undefined
    readonly includeLoopback?: boolean | undefined
    readonly maxPaths?: number | undefined
    readonly status?: PathStatus | undefined
    readonly retryAfter?: Duration.Input | undefined
    readonly maxRetryAfter?: Duration.Input | undefined
  } = {}
): Layer.Layer<never, QuicError> =>
  layer(
    Effect.gen(function* () {
      const checked = yield* policyConfig(AutoConfig, config, ["retryAfter", "maxRetryAfter"])
      if (Duration.isLessThan(checked.maxRetryAfter, checked.retryAfter))
        return yield* Effect.fail(
          badArgument("maxRetryAfter", checked.maxRetryAfter, "a duration no shorter than retryAfter")
        )
      const addresses: Array<NetAddress.InetAddress> = []
      for (const [index, text] of (checked.addresses ?? []).entries()) {
        const address = addressFromInput(new AddressBook(1), text, 0)
        if (Result.isFailure(address) || isNoDestination(address.success.host))
          return yield* Effect.fail(
            badArgument(`addresses[${index}]`, text, 'an IP address of this host, such as "192.0.2.1"')
          )
        addresses.push(toInetAddress(address.success))
      }
      return autoPaths({
        addresses: checked.addresses === undefined ? undefined : addresses,
        families: new Set(checked.families),
        includeLoopback: checked.includeLoopback,
        maxPaths: checked.maxPaths ?? Infinity,
        status: checked.status,
        firstRetry: Duration.toMillis(checked.retryAfter),
        longestRetry: Duration.toMillis(checked.maxRetryAfter)
      })
    })
  )
