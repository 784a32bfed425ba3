/**
 * Packet I/O: UDP sockets that give bursts of datagrams and take transmits. Endpoints use it; so may programs that want
 * plain UDP, a relay for example. Which lane does the work (node:dgram, native calls, a simulated network) is decided by
 * the Layer.
 *
 * @module
 * @since 0.1.0
 */
import { Context, Effect, Exit, Layer, Result, Scope } from "effect"
import { attempt, bindArguments, checkedBind } from "./internal/runtime/Arguments.ts"
import { interfaceHosts } from "./internal/runtime/Addresses.ts"
import { chooseLane, requireNative, wrongSockets } from "./internal/runtime/Lane.ts"
import type { LaneChoice } from "./internal/runtime/Lane.ts"
import { bindNodeUdp } from "./internal/runtime/NodeUdp.ts"
import type { Address, AddressBook, DatagramBurst, Transmit } from "./internal/wire/Datagram.ts"
import type { BindOptions, BoundSocket, Sockets } from "./internal/runtime/Sockets.ts"
import { QuicError } from "./QuicError.ts"

export type { Address, AddressBook, DatagramBurst, Transmit }

export type {
  BindOptions,
  BoundSocket,
  SendError,
  Sockets as Service,
  SocketStats as Stats
} from "./internal/runtime/Sockets.ts"

/**
 * Binds UDP sockets: see `Service`.
 *
 * @category services
 * @since 0.1.0
 */
export class UdpSocket extends Context.Service<UdpSocket, Sockets>()("effect-mpquic/UdpSocket") {}

/**
 * The local addresses that a wildcard stands for: `0.0.0.0` for all IPv4 addresses among `hosts`, `::` for those of both
 * families. Any other host stands for itself. QUIC needs one socket per address: an answer must leave from the address
 * that was asked (RFC 9000 section 9.5), and a path is a pair of addresses.
 *
 * @category addresses
 * @since 0.1.0
 */
export const expandWildcard = (host: string, hosts: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (host === "0.0.0.0") return hosts.filter((candidate) => !candidate.includes(":"))
  return host === "::" ? hosts : [host]
}

/** @internal */
export const isWildcard = (host: string): boolean => host === "0.0.0.0" || host === "::"

/** How often a port that is free on the first address and taken on another one is given up for a new one. */
const portAttempts = 16

/**
 * Binds an address, or, for a wildcard, what serves every local address it stands for: one socket that `covers` them where
 * the lane has such, else one for each of them, all with the same port. Of the latter those that cannot be bound now (an
 * interface on its way down) are left out as long as one can.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bindAll = (
  address: { readonly host: string; readonly port: number },
  options?: BindOptions
): Effect.Effect<ReadonlyArray<BoundSocket>, QuicError, UdpSocket | Scope.Scope> =>
  Effect.gen(function* () {
    const service = yield* UdpSocket
    const given = attempt("address", () => bindArguments(address, options))
    if (given instanceof QuicError) return yield* given
    return yield* bindEvery(service, given.address, given.options)
  })

const bindEvery = (
  service: Sockets,
  address: { readonly host: string; readonly port: number },
  options: BindOptions
): Effect.Effect<ReadonlyArray<BoundSocket>, QuicError, Scope.Scope> =>
  Effect.gen(function* () {
    if (isWildcard(address.host) && (yield* service.wildcards?.(options) ?? Effect.succeed(false))) {
      // A host without IPv6 has IPv4 alone behind `::`.
      const host = service.hosts.some((candidate) => candidate.includes(":")) ? address.host : "0.0.0.0"
      return [yield* service.bind({ host, port: address.port }, options)]
    }
    const hosts = expandWildcard(address.host, service.hosts)
    if (hosts.length === 0) return [yield* service.bind(address, options)]
    const parent = yield* Effect.scope
    const tryPorts = (left: number): Effect.Effect<ReadonlyArray<BoundSocket>, QuicError> =>
      Effect.gen(function* () {
        const scope = yield* Scope.fork(parent)
        const exit = yield* bindEach(service, hosts, address.port, options).pipe(Scope.provide(scope), Effect.exit)
        if (Exit.isSuccess(exit)) return exit.value
        yield* Scope.close(scope, exit)
        return yield* exit
      }).pipe(
        Effect.catchReason("QuicError", "AddressInUse", (_, error) =>
          address.port === 0 && left > 1 ? tryPorts(left - 1) : Effect.fail(error)
        )
      )
    return yield* tryPorts(portAttempts)
  })

const bindEach = Effect.fnUntraced(function* (
  service: Sockets,
  hosts: ReadonlyArray<string>,
  port: number,
  options: BindOptions | undefined
) {
  const sockets: Array<BoundSocket> = []
  let refused: QuicError | undefined
  for (const host of hosts) {
    const socket = yield* service.bind({ host, port: sockets[0]?.local.port ?? port }, options).pipe(
      Effect.catchReason("QuicError", "AddressUnavailable", (_, error) => {
        refused ??= error
        return Effect.undefined
      })
    )
    if (socket !== undefined) sockets.push(socket)
  }
  return sockets.length === 0 && refused !== undefined ? yield* Effect.fail(refused) : sockets
})

/** Binds only if the options do not insist on another lane than that of the Layer. */
const unless = (other: "portable" | "native", mine: string, bind: Sockets["bind"]): Sockets["bind"] =>
  checkedBind((address, options) =>
    options?.lane === other ? Effect.fail(wrongSockets(other, mine)) : bind(address, options)
  )

/**
 * Sockets of node:dgram: one system call a datagram, no ECN. Runs everywhere.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNode: Layer.Layer<UdpSocket> = Layer.succeed(UdpSocket, {
  bind: unless("native", "portable", bindNodeUdp),
  get hosts() {
    return interfaceHosts()
  },
  lane: "portable"
})

/**
 * Sockets by system calls through node:ffi: trains of packets in one call, ECN, the local address of each datagram on a
 * wildcard address. Linux on x64 and arm64, Node 26 or later with the permission for it (`--allow-ffi` under the permission
 * model); fails with `BadConfig` elsewhere. node:ffi prints an ExperimentalWarning once, which
 * `--disable-warning=ExperimentalWarning` silences.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNative: Layer.Layer<UdpSocket, QuicError> = Layer.effect(
  UdpSocket,
  Effect.map(requireNative("UdpSocket"), (native) =>
    UdpSocket.of({
      bind: unless("portable", "native", native.bind),
      get hosts() {
        return interfaceHosts()
      },
      wildcards: () => Effect.succeed(true),
      lane: "native"
    })
  )
)

/**
 * The best lane that this process may use: native where it can be and works, portable elsewhere and in workers, where native
 * code could end the process (docs/native-lane.md). The environment variable
 * `MPQUIC_LANE` (`auto`, `portable`, `native`) forces it, and so does the setting `lane` of an endpoint, which goes before.
 * The choice and its reason are logged at debug level. When the variable asks for what cannot be, `bind` fails with
 * `BadConfig`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<UdpSocket> = Layer.effect(
  UdpSocket,
  Effect.gen(function* () {
    const chosen = yield* Effect.result(chooseLane("auto"))
    const lane = Result.isSuccess(chosen) && chosen.success.native !== undefined ? "native" : "portable"
    if (Result.isSuccess(chosen)) {
      yield* Effect.logDebug(`Packet I/O takes the ${lane} lane. About native code: ${chosen.success.why}`)
    }
    const choose = (options: BindOptions | undefined): Effect.Effect<LaneChoice, QuicError> =>
      options?.lane === undefined || options.lane === "auto" ? Effect.fromResult(chosen) : chooseLane(options.lane)
    return UdpSocket.of({
      bind: checkedBind((address, options) =>
        Effect.flatMap(choose(options), ({ native }) => (native?.bind ?? bindNodeUdp)(address, options))
      ),
      get hosts() {
        return interfaceHosts()
      },
      wildcards: (options) => Effect.map(choose(options), ({ native }) => native !== undefined),
      lane
    })
  })
)
