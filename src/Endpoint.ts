/**
 * Endpoints: the UDP sockets of a program, the connections behind them, and the fiber that drives them. One endpoint both
 * connects and serves.
 *
 * Policies (`PathScheduler`, `CongestionControl`, trust and identities of `Tls`) are read when a connection is made: `connect`
 * takes them from the context of its caller, accepted connections have those of the context that the endpoint was built in.
 *
 * **Example** (Ask a server)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Endpoint, UdpSocket } from "effect-mpquic"
 *
 * const program = Effect.gen(function*() {
 *   const connection = yield* Endpoint.connect({ host: "example.com", port: 4433, alpn: "echo" })
 *   const stream = yield* connection.openStream()
 *   yield* stream.end("hello multipath")
 *   return yield* stream.text
 * }).pipe(Effect.scoped, Effect.provide(Endpoint.layer()), Effect.provide(UdpSocket.layer))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import {
  Cause,
  Clock,
  Config,
  Context,
  Duration,
  Effect,
  Exit,
  Function,
  Fiber,
  Layer,
  Option,
  Redacted,
  References,
  Scope,
  Stream
} from "effect"
import type { Inspectable, Pipeable } from "effect"
import { NetAddress } from "effect/net"
import { CongestionControl } from "./CongestionControl.ts"
import { ConnectionImpl } from "./Connection.ts"
import type { Close, CloseOptions, Connection, ConnectionHost } from "./Connection.ts"
import type { Drops as MachineDrops, EndpointStats } from "./internal/connection/Machine.ts"
import type { PolicyFactories } from "./internal/connection/Policies.ts"
import { Endpoint as EndpointMachine } from "./internal/endpoint/Endpoint.ts"
import { AcceptQueue } from "./internal/runtime/AcceptQueue.ts"
import { toInetAddress } from "./internal/runtime/Addresses.ts"
import type { AddressInput } from "./internal/runtime/Addresses.ts"
import * as Arguments from "./internal/runtime/Arguments.ts"
import { badConfig } from "./internal/runtime/BadConfig.ts"
import { EndpointLife } from "./internal/runtime/EndpointLife.ts"
import { EndpointLog, line } from "./internal/runtime/EndpointLog.ts"
import { attemptPolicy } from "./internal/runtime/CloseError.ts"
import * as EndpointRuntime from "./internal/runtime/EndpointRuntime.ts"
import { Handlers } from "./internal/runtime/Handlers.ts"
import { Handshakes } from "./internal/runtime/Handshakes.ts"
import { RandomBytes, randomNumber } from "./internal/runtime/Random.ts"
import { followPaths, WildcardFollower } from "./internal/runtime/FollowHost.ts"
import { HostAddresses } from "./internal/runtime/HostAddresses.ts"
import { firstOf } from "./internal/runtime/HappyEyeballs.ts"
import { managePaths } from "./internal/runtime/ManagedPaths.ts"
import type { Management } from "./internal/runtime/ManagedPaths.ts"
import { LocalSockets } from "./internal/runtime/LocalSockets.ts"
import { NetworkAnswers } from "./internal/runtime/NetworkAnswers.ts"
import { destination, numericAddress, resolve } from "./internal/runtime/Resolve.ts"
import type { SendError } from "./internal/runtime/Sockets.ts"
import { servedHere } from "./internal/runtime/ServedHere.ts"
import { valueOf } from "./internal/runtime/Value.ts"
import { MemoryStore } from "./internal/runtime/MemoryStore.ts"
import { sameAddress } from "./internal/wire/Datagram.ts"
import type { Address } from "./internal/wire/Datagram.ts"
import { DuplicationPolicy } from "./DuplicationPolicy.ts"
import { FailureDetector } from "./FailureDetector.ts"
import { Observers } from "./MultipathController.ts"
import * as PacketProtection from "./PacketProtection.ts"
import { LocalAddresses } from "./LocalAddresses.ts"
import { PathManager } from "./PathManager.ts"
import { PathScheduler } from "./PathScheduler.ts"
import * as QuicConfig from "./QuicConfig.ts"
import { AddressUnreachable, ConnectionClosed, QuicError } from "./QuicError.ts"
import type { QuicStream } from "./QuicStream.ts"
import { ReinjectionPolicy } from "./ReinjectionPolicy.ts"
import { SessionStore } from "./SessionStore.ts"
import type { Kind as Kept } from "./SessionStore.ts"
import * as Tls from "./Tls.ts"
import { bindAll, expandWildcard, isWildcard, UdpSocket } from "./UdpSocket.ts"

/** The policies of the place where a connection is made. */
const policiesInContext: Effect.Effect<PolicyFactories> = Effect.all({
  scheduler: PathScheduler,
  congestion: CongestionControl,
  duplication: DuplicationPolicy,
  reinjection: ReinjectionPolicy,
  failures: FailureDetector,
  observers: Observers
})

/** What an endpoint remembers by itself: servers, and tickets and tokens of each. */
const SERVERS = 256
const KEPT_PER_SERVER = 4

/** The longest that a client shows: tokens go into every Initial packet, tickets into one message with a chain of certificates. */
const LONGEST: Readonly<Record<Kept, number>> = { ticket: 131_072, token: 512 }

/** What a store gives may be anything. */
const usable = (kind: Kept, found: Option.Option<Uint8Array>): Uint8Array | undefined => {
  const bytes = Option.getOrUndefined(found)
  return bytes instanceof Uint8Array && bytes.length <= LONGEST[kind] ? bytes.slice() : undefined
}

/** A store of the user's that breaks costs no connection. */
const guarded = <A, B>(
  name: string,
  evaluate: () => Effect.Effect<A>,
  use: (answer: A) => B | undefined
): Effect.Effect<B | undefined> =>
  Effect.suspend(() => Arguments.effectOf(name, evaluate())).pipe(
    Effect.map(use),
    Effect.catchCause((cause) => Effect.as(Effect.logWarning("The session store failed", cause), undefined))
  )

/** Who manages the paths of connections that are made there, between which addresses. */
const managementInContext: Effect.Effect<Management> = Effect.all({ factory: PathManager, addresses: LocalAddresses })

/**
 * Settings of an endpoint: those of `QuicConfig`, and where it serves what.
 *
 * @category configuration
 * @since 0.1.0
 */
export type Options = QuicConfig.Input & {
  /**
   * Local addresses to serve on, such as "0.0.0.0:4433" or "[::]:4433". A wildcard becomes one socket for each address of
   * this host, all with the same port, and follows the addresses that come and go. Without it the endpoint only connects, from sockets bound when they are needed.
   */
  readonly listen?: AddressInput | ReadonlyArray<AddressInput> | undefined
  /** Application protocols to serve, the preferred first. */
  readonly alpn?: string | ReadonlyArray<string> | undefined
}

/**
 * Where to connect, and as what. Either `host` and `port`, or both in `address`: "127.0.0.1:4433", "[::1]:4433",
 * "example.com:4433". The addresses of listeners that stand for all of a host, 0.0.0.0 and [::], are no destination: such a
 * server on this host is "127.0.0.1" or "[::1]".
 *
 * @category configuration
 * @since 0.1.0
 */
export type ConnectOptions = (
  { readonly host: string; readonly port: number } | { readonly address: NetAddress.InetAddress | string }
) & {
  /** Application protocols to offer, the preferred first. */
  readonly alpn: string | ReadonlyArray<string>
  /** The name that the server's certificate must be for. Default: the host. */
  readonly serverName?: string | undefined
  /**
   * Codes of the ends of scopes, in place of those of the endpoint.
   *
   * @since 0.2.0
   */
  readonly codes?: QuicConfig.CodesInput | undefined
  /** Local address to connect from. Default: what the system's routes say, with a port that the system chooses. */
  readonly local?: AddressInput | undefined
}

/**
 * Counters of an endpoint since it was made; bytes are UDP payload.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends Omit<EndpointStats, "drops"> {
  /** UDP payload. */
  readonly bytesReceived: number
  /** UDP datagrams. */
  readonly datagramsSent: number
  /** UDP payload. */
  readonly bytesSent: number
  /** Datagrams that were dropped before any connection, by reason. */
  readonly drops: Drops
  /** Handshakes that clients began. */
  readonly handshakesAccepted: number
  /** Handshakes that this side began. */
  readonly handshakesStarted: number
  /** Handshakes of both kinds that came to a connection. */
  readonly handshakesCompleted: number
  /** By the name of the TLS alert or the transport error, `handshakeTimeout`, `application` (closed by a side) and the like. */
  readonly handshakesFailed: Readonly<Record<string, number>>
}

/**
 * Datagrams that were dropped before any connection, by reason. Counters since the endpoint was made.
 *
 * @category models
 * @since 0.2.0
 */
export interface Drops extends MachineDrops {
  /** Datagrams that arrived faster than they were read; see `UdpSocket`. */
  readonly queueFull: number
  /** Datagrams to be sent from an address that has no socket any more. */
  readonly unroutable: number
}

/**
 * Ends an endpoint gracefully. What is no duration fails with `BadConfig`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Shutdown {
  (): Effect.Effect<void>
  (options: { readonly within?: Duration.Input | undefined }): Effect.Effect<void, QuicError>
}

/**
 * What an endpoint does: the service `Endpoint`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Service extends Pipeable.Pipeable, Inspectable.Inspectable {
  /** Local addresses of its sockets now. */
  readonly addresses: ReadonlyArray<NetAddress.InetAddress>
  /**
   * Connects and waits for the handshake. Of several addresses of a name, the next one is tried as well when the one
   * before has not answered within 250 ms (RFC 8305). Fails with `ResolveFailed`, `HandshakeFailed`, `CertificateRefused`,
   * `HandshakeTimeout`, `ConnectionRefused` and what can go wrong with a socket. The scope closes the connection.
   */
  readonly connect: (options: ConnectOptions) => Effect.Effect<Connection, QuicError, Scope.Scope>
  /**
   * Accepted connections, each to one taker, when their handshake is done. They live until they are closed, or the
   * endpoint ends. `serve` runs a handler for each.
   */
  readonly connections: Stream.Stream<Connection>
  /**
   * Ends gracefully: accepts no more, hands out no more streams of clients, and lets handlers and streams finish for
   * `within` (default: `shutdownTimeout`). Then closes what is left, with code 0 where that drops nothing and with 1
   * (`codes.connectionAbort`) where it does. The end of `serve`'s Layer does the same for its connections.
   *
   * A handler may call it, and end the scope of its own Layer: then it waits for all others, and the connection of that
   * handler is closed when the handler is done.
   *
   * @since 0.2.0
   */
  readonly shutdown: Shutdown
  /** Closes all connections now, and accepts no more. Codes are those of `Connection.close`. */
  readonly close: Close
  /** Counters now. */
  readonly stats: Stats
}

/**
 * Connects and serves: `Endpoint.connect`, `Endpoint.serve` and their like in this module use the one of the context.
 *
 * @category services
 * @since 0.1.0
 */
export class Endpoint extends Context.Service<Endpoint, Service>()("effect-mpquic/Endpoint") {}

/** What `serve` needs to know of an endpoint beyond its service. */
interface Lifetime {
  readonly codes: QuicConfig.CloseCodes
  readonly shutdownTimeout: Duration.Input
  readonly log: EndpointLog | undefined
  /** Somebody begins to serve with these handlers, or ends. */
  readonly begin: (handlers: Handlers) => void
  readonly end: (handlers: Handlers) => void
}

const lifetimes = new WeakMap<Endpoint["Service"], Lifetime>()

/** Of an endpoint that is none of ours, as a test may have one: defaults. */
const lifetimeOf = (endpoint: Endpoint["Service"]): Lifetime =>
  lifetimes.get(endpoint) ?? {
    codes: new QuicConfig.CloseCodes(),
    shutdownTimeout: "10 seconds",
    log: undefined,
    begin: () => {},
    end: () => {}
  }

/** A copy of what was given, each part of the right kind. */
const readOptions = (given: Options) => {
  const { alpn, listen, ...settings } = Arguments.copyOf("options", given)
  return { serveAlpn: Arguments.protocols("alpn", alpn), listenAt: Arguments.listOf(listen), settings }
}

/**
 * Makes an endpoint that lives in the scope: its end delivers what was written, for `shutdownTimeout` at most, closes all
 * connections, with code 0 where nothing was dropped, and the sockets after their last packet. Fails with `BadConfig` and what `UdpSocket` fails with.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  settings: Options = {}
): Effect.fn.Return<Endpoint["Service"], QuicError, UdpSocket | Scope.Scope> {
  const given = Arguments.attempt("options", () => readOptions(settings))
  if (given instanceof QuicError) return yield* given
  const { listenAt, serveAlpn } = given
  const config = yield* QuicConfig.make(given.settings)
  const random = yield* RandomBytes
  const udp = yield* UdpSocket
  const tls = yield* Tls.makeEngine(random)
  // Simulated time does not wait for native code to load: nothing but the clock may decide when things happen.
  const lane = udp.lane === "simulated" && config.lane === "auto" ? "portable" : config.lane
  if (listenAt.length > 0 && serveAlpn.length === 0)
    return yield* badConfig("alpn", "empty", "at least one application protocol, because the endpoint listens")
  if (listenAt.length > 0 && tls.server === undefined)
    return yield* badConfig(
      "listen",
      String(listenAt[0]),
      "with an identity only: Tls.layerIdentity or Tls.layerSelfSigned"
    )

  // Closes after the runtime has sent its last packets, because it was made before it.
  const socketScope = yield* Scope.fork(yield* Effect.scope)
  const runtime = yield* EndpointRuntime.make
  // Portable sockets do not hear of ICMP errors.
  const deaf = (lane === "auto" ? udp.lane : lane) === "portable" && udp.lane !== "simulated"
  const answers = new NetworkAnswers(deaf)
  const bindOptions = {
    socketReceiveBuffer: config.socketReceiveBuffer,
    socketSendBuffer: config.socketSendBuffer,
    addresses: runtime.book,
    lane: config.lane,
    onSendError: ({ code, remote }: SendError) => {
      answers.record(remote, code)
      hostAddresses.onSendError(code)
    }
  }
  const hostAddresses = new HostAddresses(
    () => udp.hosts,
    (address) => life.isLocalHost(address)
  )
  const life = new EndpointLife(runtime, new AcceptQueue<ConnectionImpl>())
  const sockets = new LocalSockets(udp, runtime, socketScope, bindOptions, () => life.localAddresses)
  const numeric = (field: string, input: AddressInput, port: number) => numericAddress(runtime.book, field, input, port)

  const handshakes = new Handshakes()
  const minimumLevel = yield* References.MinimumLogLevel
  const log = new EndpointLog(
    minimumLevel,
    (effect) => runtime.fork(effect),
    () => runtime.now()
  )
  const host: ConnectionHost = {
    runtime,
    log,
    handshakes,
    linger: Duration.toMillis(config.lingerTimeout),
    grace: Duration.toMillis(config.shutdownTimeout),
    codes: config.codes,
    withLocalAddress: (local, primary, remote, use) => {
      if (local !== undefined)
        return Effect.flatMap(numeric("local", local, 0), (address) =>
          sockets.using(sockets.from(address, remote, false), use)
        )
      return sockets.using(
        sameAddress(remote, primary.remote)
          ? sockets.another(primary.local.host)
          : sockets.anotherTowards(remote, primary.local),
        use
      )
    },
    remoteAddress: (remote, primary) => destination(runtime.book, "remote", remote, primary.port),
    awayFrom: (gone, remote, use) => sockets.using(sockets.elsewhere(remote, gone), use),
    onClosed: (connection) => life.remove(connection),
    onDiscarded: (connection) => {
      life.forget(connection)
      sockets.onPathGone()
    },
    onPathClosed: () => sockets.onPathGone()
  }
  const acceptingHost: ConnectionHost = { ...host, onEstablished: (connection) => life.accepted.add(connection) }

  const management = yield* managementInContext
  const memory = new MemoryStore(SERVERS, KEPT_PER_SERVER)
  let defective = false
  runtime.start(
    new EndpointMachine({
      settings: QuicConfig.toSettings(config),
      tls,
      serveAlpn,
      protection: yield* PacketProtection.forLane(lane),
      policies: yield* policiesInContext,
      random,
      randomNumber: () => randomNumber(random),
      wallTime: runtime.wallTime,
      maxConnections: config.maxConnections,
      maxHandshakes: config.maxHandshakes,
      resetKey: config.resetKey === undefined ? undefined : Buffer.from(Redacted.value(config.resetKey)),
      retry: config.retry,
      tokenKey: config.tokenKey === undefined ? undefined : Buffer.from(Redacted.value(config.tokenKey)),
      tokenLifetime: Duration.toMillis(config.tokenLifetime),
      sessionTickets: config.sessionTickets,
      onDefect: (cause) => {
        // Any number of clients may come: said once.
        if (defective) return
        defective = true
        runtime.fork(Effect.logError("A policy of the endpoint failed; its clients are refused", Cause.die(cause)))
      },
      onWake: runtime.wake,
      onConnection: (machine) => {
        const connection = new ConnectionImpl(acceptingHost, machine)
        managePaths(connection, management, hostAddresses, runtime, log)
        life.add(connection)
      }
    })
  )
  yield* Scope.addFinalizer(yield* Effect.scope, life.shutdown(config.shutdownTimeout, false))

  const followers: Array<WildcardFollower> = []
  for (const [index, input] of listenAt.entries()) {
    const local = yield* numeric(listenAt.length === 1 ? "listen" : `listen[${index}]`, input, 0)
    const bound = yield* bindAll(local, bindOptions).pipe(Scope.provide(socketScope))
    for (const socket of bound) sockets.add(socket)
    const { port } = bound[0]!.local
    if (isWildcard(local.host) && bound[0]!.covers === undefined)
      followers.push(
        new WildcardFollower(
          {
            covers: (here) => expandWildcard(local.host, here),
            isBound: (address) =>
              runtime.sockets.some((socket) => socket.local.host === address && socket.local.port === port),
            bind: (address) => sockets.forWildcard({ host: address, port })
          },
          () => runtime.now()
        )
      )
  }
  runtime.fork(
    hostAddresses.watch((change) => {
      sockets.forgetRoutes()
      const follow = Effect.forEach(followers, (follower) => follower.follow(change), { discard: true })
      return Effect.andThen(followPaths(life.connections, change), follow)
    })
  )

  const connectTo = Effect.fnUntraced(function* (target: ConnectOptions) {
    const to = Arguments.attempt("options", () => readTarget(target))
    if (to instanceof QuicError) return yield* to
    if (to.alpn.length === 0) return yield* badConfig("alpn", "empty", "at least one application protocol")
    const from = to.local === undefined ? undefined : yield* numeric("local", to.local, 0)
    const codes = yield* QuicConfig.withCodes(config.codes, to.codes)
    const policies = {
      serverName: to.serverName,
      alpn: to.alpn,
      policies: yield* policiesInContext,
      tls: yield* Tls.makeEngine(random)
    }
    const own = yield* managementInContext
    const store = (yield* SessionStore) ?? memory
    const server = `${to.serverName}:${to.port}`
    const found = yield* resolve(runtime.book, to.host, to.port, to.field)
    const remotes = from === undefined ? found : found.filter((remote) => remote.family === from.family)
    if (remotes.length === 0)
      return yield* new QuicError({ reason: new AddressUnreachable({ address: found.join(", "), local: from?.host }) })
    const keep = (kind: Kept, bytes: Uint8Array) =>
      runtime.fork(guarded("put", () => store.put(kind, server, bytes), Function.constUndefined))
    const kept = (kind: Kept) =>
      guarded(
        "take",
        () => store.take(kind, server),
        (one) => usable(kind, one)
      )
    let remembered = { ticket: yield* kept("ticket"), token: yield* kept("token") }
    const made: Array<ConnectionImpl> = []
    const attempt = (remote: Address): Effect.Effect<ConnectionImpl, QuicError> =>
      sockets.using(from === undefined ? sockets.towards(remote) : sockets.from(from, remote, true), (local) => {
        if (life.ended)
          return Effect.fail(
            new QuicError({ reason: new ConnectionClosed({ operation: "connect with this endpoint" }) })
          )
        const options = { ...policies, local, remote, ...remembered }
        // Two attempts at once must not show the same.
        remembered = { ticket: undefined, token: undefined }
        const machine = attemptPolicy(() => runtime.machine.connect(options, runtime.now()))
        if (machine instanceof QuicError) return Effect.fail(machine)
        const connection = new ConnectionImpl(host, machine)
        connection.onKept = keep
        connection.codes = codes
        managePaths(connection, own, hostAddresses, runtime, log)
        life.add(connection)
        made.push(connection)
        runtime.wake()
        return Effect.as(answers.explain(local, remote, connection.established), connection)
      })
    const first = firstOf(remotes.map(attempt))
    return yield* Effect.uninterruptibleMask((restore) =>
      restore(first).pipe(
        // Attempts that lost, or all of them when there is no winner.
        Effect.onExit((exit) =>
          Effect.forEach(made, (each) =>
            Exit.isSuccess(exit) && each === exit.value ? Effect.void : Effect.sync(() => each.closeNow())
          )
        ),
        Effect.tap((connection) => Effect.addFinalizer(connection.release))
      )
    )
  })

  const service: Endpoint["Service"] = {
    ...valueOf(
      () => ({ _id: "Endpoint", addresses: service.addresses.map(String), ...service.stats }),
      () => `Endpoint(${service.addresses.join(", ") || "no sockets yet"}, ${service.stats.connections} connections)`
    ),
    get addresses() {
      return runtime.sockets.map((socket) => toInetAddress(socket.local))
    },
    connect: connectTo,
    connections: Stream.fromPull(Effect.succeed(Effect.map(life.accepted.take, (connection) => [connection] as const))),
    shutdown: ((options?: { readonly within?: Duration.Input | undefined }) =>
      Arguments.withArguments(
        "within",
        () => Arguments.duration("within", Arguments.at(options, "within"), config.shutdownTimeout),
        (within) => life.shutdown(within, true)
      )) as Shutdown,
    close: ((why?: CloseOptions) =>
      Arguments.withArguments(
        "options",
        () => Arguments.closeOptions(why),
        ({ code, reason }) => Effect.sync(() => life.close(code, reason))
      )) as Close,
    get stats() {
      const { drops, ...machine } = runtime.machine.stats()
      const { bytesReceived, bytesSent, datagramsSent, queueFull, unroutable } = runtime.traffic
      return {
        ...machine,
        bytesReceived,
        datagramsSent,
        bytesSent,
        drops: { ...drops, queueFull, unroutable },
        handshakesAccepted: handshakes.accepted,
        handshakesStarted: handshakes.started,
        handshakesCompleted: handshakes.completed,
        handshakesFailed: handshakes.failedBy
      }
    }
  }
  lifetimes.set(service, {
    codes: config.codes,
    shutdownTimeout: config.shutdownTimeout,
    log,
    begin: (handlers) => life.begin(handlers),
    end: (handlers) => life.end(handlers)
  })
  return service
})

const HOST_AND_PORT = 'host and port, such as "example.com:4433" or "[::1]:4433"'

type Target = "address" | "alpn" | "codes" | "host" | "local" | "port" | "serverName"

const readTarget = (options: ConnectOptions) => {
  const given = Arguments.copyOf<Record<Target, unknown>>("options", options as Record<Target, unknown>)
  const { host, port } =
    given.address === undefined
      ? { host: Arguments.name("host", given.host), port: given.port }
      : splitAddress(given.address)
  const name = unbracketed(host)
  return {
    field: given.address === undefined ? "host" : "address",
    host: name,
    port: Arguments.port("port", port, 1),
    serverName: Arguments.name("serverName", given.serverName, name),
    alpn: Arguments.protocols("alpn", given.alpn as ConnectOptions["alpn"]),
    codes: given.codes as ConnectOptions["codes"],
    local: given.local as ConnectOptions["local"]
  }
}

const splitAddress = (address: unknown): { readonly host: string; readonly port: number } => {
  const text = NetAddress.isInetAddress(address) ? NetAddress.formatInet(address) : address
  const parts = typeof text === "string" ? /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(text) : null
  if (parts === null) throw Arguments.badArgument("address", address, HOST_AND_PORT)
  return { host: parts[1]!, port: Number(parts[2]) }
}

const unbracketed = (host: string): string => (host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host)

/**
 * An endpoint.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Endpoint, QuicError, UdpSocket> =>
  Layer.effect(Endpoint, make(options))

/**
 * An endpoint with the settings of the environment: `MPQUIC_IDLE_TIMEOUT="1 minute"`, `MPQUIC_MULTIPATH_MAX_PATHS=3` and so on
 * (`QuicConfig.fromEnvironment`), `MPQUIC_LISTEN` and `MPQUIC_ALPN` (several are parted by commas) among them. What `options`
 * names goes before. Fails when a value is wrong, with its name and what is allowed.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Options = {}): Layer.Layer<Endpoint, QuicError | Config.ConfigError, UdpSocket> =>
  Layer.effect(
    Endpoint,
    Effect.gen(function* () {
      const { alpn, listen, ...settings } = options
      const environment = yield* QuicConfig.fromEnvironment(["LISTEN", "ALPN"])
      return yield* make({
        ...QuicConfig.over(settings, environment),
        listen: listen ?? (yield* list("LISTEN")),
        alpn: alpn ?? (yield* list("ALPN"))
      })
    })
  )

const list = (name: string): Config.Config<ReadonlyArray<string>> =>
  Config.String(name).pipe(
    Config.nested("MPQUIC"),
    Config.option,
    Config.map(Option.match({ onNone: () => [], onSome: (text) => text.split(",").map((each) => each.trim()) }))
  )

/**
 * Connects with the endpoint of the context. See `Endpoint.connect`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const connect = (options: ConnectOptions): Effect.Effect<Connection, QuicError, Endpoint | Scope.Scope> =>
  Effect.flatMap(Effect.service(Endpoint), (endpoint) => endpoint.connect(options))

/**
 * How connections are served.
 *
 * @category configuration
 * @since 0.2.0
 */
export interface ServeOptions {
  /** Codes of the ends of scopes and handlers, in place of those of the endpoint. */
  readonly codes?: QuicConfig.CodesInput | undefined
}

/**
 * How the streams of connections are served.
 *
 * @category configuration
 * @since 0.2.0
 */
export interface ServeStreamsOptions extends ServeOptions {
  /** Handlers of one connection at a time; further streams wait. Default: as many as a client may open (`maxBidiStreams`). */
  readonly concurrency?: number | "unbounded" | undefined
}

/**
 * Serves: runs the handler for each accepted connection, in a fiber and a scope of its own. When the handler is done the
 * connection is closed with code 0, after what was written is acknowledged; when it fails, at once and with code 1, and the
 * failure is logged, unless it is that the connection ended.
 *
 * When the connection ends before its handler, the handler may go on with what had arrived for `shutdownTimeout`, and is
 * interrupted then: fork what is to outlive the connection elsewhere.
 *
 * The end of the Layer accepts no more, hands out no more streams, and lets handlers finish for `shutdownTimeout`. What is
 * not done then is interrupted, and its connection closed: with code 0 if that drops nothing, with 1 if it does.
 *
 * @category layers
 * @since 0.1.0
 */
export const serve = <A, E, R>(
  handler: (connection: Connection) => Effect.Effect<A, E, R>,
  options?: ServeOptions
): Layer.Layer<never, QuicError, Endpoint | Exclude<R, Scope.Scope>> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const endpoint = yield* Endpoint
      const { begin, codes, end, log, shutdownTimeout } = lifetimeOf(endpoint)
      const given = Arguments.attempt("options", () => {
        Arguments.callback("handler", handler)
        return { codes: Arguments.at(options, "codes") }
      })
      if (given instanceof QuicError) return yield* given
      const own = given.codes === undefined ? undefined : yield* QuicConfig.withCodes(codes, given.codes)
      const fork = Effect.runForkWith(yield* Effect.context<Exclude<R, Scope.Scope>>())
      const clock = yield* Clock.Clock
      const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      const handlers = new Handlers(Duration.toMillis(Duration.fromInputUnsafe(shutdownTimeout)), now, fork)
      let accepting: Fiber.Fiber<unknown> | undefined
      begin(handlers)
      const finish = Effect.suspend(() => {
        end(handlers)
        const accepted = accepting === undefined ? Effect.void : Fiber.interrupt(accepting)
        return Effect.andThen(accepted, handlers.finish(shutdownTimeout))
      })
      yield* Scope.addFinalizer(yield* Effect.scope, finish)
      accepting = fork(
        Stream.runForEach(endpoint.connections, (connection) =>
          Effect.sync(() => {
            const taken = connection as ConnectionImpl
            if (own !== undefined) taken.codes = own
            const running = handled(
              Effect.suspend(() => Arguments.effectOf("handler", handler(connection))),
              taken,
              log
            )
            handlers.add(taken, fork(running))
          })
        )
      )
    })
  )

/**
 * Serves streams: runs the handler for each bidirectional stream of each client, many at a time, each in a fiber and a
 * scope of its own. When the handler is done, its stream is ended; when it fails, only its stream is reset
 * (`codes.streamAbort`), and a debug line says so (an error line if it was a defect). See `serve` for the end of the Layer, and `Connection.serve`.
 *
 * **Example** (An echo server)
 *
 * ```ts
 * import { Layer, Stream } from "effect"
 * import { Endpoint, Tls, UdpSocket } from "effect-mpquic"
 *
 * const EchoLive = Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
 *   Layer.provide(Endpoint.layer({ listen: "0.0.0.0:4433", alpn: "echo" })),
 *   Layer.provide(Tls.layerIdentity({ certificate: "cert.pem", privateKey: "key.pem" })),
 *   Layer.provide(UdpSocket.layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const serveStreams = <A, E, R>(
  handler: (stream: QuicStream, connection: Connection) => Effect.Effect<A, E, R>,
  options?: ServeStreamsOptions
): Layer.Layer<never, QuicError, Endpoint | Exclude<R, Scope.Scope>> =>
  Layer.unwrap(
    // A wrong number fails the Layer, not each connection.
    Arguments.withArguments(
      "concurrency",
      () => {
        Arguments.callback("handler", handler)
        return Arguments.concurrency(Arguments.at(options, "concurrency"))
      },
      () =>
        Effect.succeed(
          serve((connection) => connection.serve((stream) => handler(stream, connection), options), options)
        )
    )
  )

/** Runs a handler to its end, and closes its connection as the end asks. */
const handled = <A, E, R>(
  handler: Effect.Effect<A, E, R>,
  connection: ConnectionImpl,
  log: EndpointLog | undefined
): Effect.Effect<void, never, Exclude<R, Scope.Scope>> =>
  Effect.onExit(servedHere(connection.machine, Effect.scoped(handler)), (exit) => {
    if (Exit.isSuccess(exit)) return connection.release(exit)
    const { cause } = exit
    if (Cause.hasInterruptsOnly(cause)) return connection.release(exit)
    // That the connection ended is no failure of the handler. Otherwise it is one that clients may be able to cause.
    const ended = connection.machine.closeInfo !== undefined
    const message = "The handler of a connection failed"
    const admitted = ended ? {} : log === undefined ? {} : log.admit(message)
    return Effect.andThen(
      connection.release(exit, "the handler failed"),
      admitted === undefined
        ? Effect.void
        : line(ended ? "Debug" : "Error", message, { connection: connection.id, ...admitted }, cause)
    )
  }).pipe(Effect.exit, Effect.asVoid)
