/**
 * Connections: streams and datagrams between two endpoints, over one path or several.
 *
 * Fields are live: they say how things are when they are read. What waits or changes something is an Effect. Operations
 * on a connection that has ended fail with the reason of its end; what had arrived before can still be read.
 *
 * @module
 * @since 0.1.0
 */
import { Cause, Deferred, Effect, Exit, Predicate, Stream } from "effect"
import type { Inspectable, Pipeable, Pull, Scope } from "effect"
import type { NetAddress } from "effect/net"
import type {
  CloseInfo,
  ConnectionMachine,
  ConnectionStats as MachineStats,
  PathEvent
} from "./internal/connection/Machine.ts"
import type { AddressInput } from "./internal/runtime/Addresses.ts"
import { toInetAddress } from "./internal/runtime/Addresses.ts"
import * as Arguments from "./internal/runtime/Arguments.ts"
import { ADVERTISABLE, advertisable, Advertised } from "./internal/runtime/Advertised.ts"
import { Broadcast } from "./internal/runtime/Broadcast.ts"
import { closeError, closeReason } from "./internal/runtime/CloseError.ts"
import { ConnectionLog } from "./internal/runtime/ConnectionLog.ts"
import { ConnectionPaths } from "./internal/runtime/ConnectionPaths.ts"
import type { PathHost } from "./internal/runtime/ConnectionPaths.ts"
import { ConnectionStreams } from "./internal/runtime/ConnectionStreams.ts"
import type { StreamKind, StreamScopes } from "./internal/runtime/ConnectionStreams.ts"
import type { EndpointRuntime } from "./internal/runtime/EndpointRuntime.ts"
import type { Handshakes } from "./internal/runtime/Handshakes.ts"
import { pathGone } from "./internal/runtime/PathGone.ts"
import { Value } from "./internal/runtime/Value.ts"
import { WaitList } from "./internal/runtime/WaitList.ts"
import type { Address } from "./internal/wire/Datagram.ts"
import * as Path from "./Path.ts"
import type { PathStatus, PathView } from "./PathScheduler.ts"
import type { CloseCodes } from "./QuicConfig.ts"
import { AdvertiseUnavailable, DatagramsUnavailable, DatagramTooLarge, QuicError } from "./QuicError.ts"
import type { CloseReason } from "./QuicError.ts"
import type { Input, QuicStream, QuicStreamImpl, ReceiveStream, SendStream } from "./QuicStream.ts"

export type { AddressInput, CloseReason }

/**
 * Marks the values of this module, in whatever copy of it they were made.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-mpquic/Connection"

/**
 * What the handshake agreed on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Handshake {
  /** Such as `TLS_AES_128_GCM_SHA256`. */
  readonly cipherSuite: string
  /** The key exchange, such as `x25519`. */
  readonly group: string
  /** The application protocol both sides agreed on. */
  readonly alpn: string
  /** The name the client asked for (SNI), if any. */
  readonly serverName: string | undefined
  /** Whether it resumed an earlier session. Not yet: always false. */
  readonly resumed: boolean
  /** Whether 0-RTT data was accepted. Not yet: always false. */
  readonly earlyDataAccepted: boolean
  /** DER, leaf first; empty when the peer sent none. */
  readonly peerCertificates: ReadonlyArray<Uint8Array>
}

/**
 * Addresses at which the peer says that it can be reached, and their changes.
 *
 * @category models
 * @since 0.2.0
 */
export interface RemoteAddresses {
  /** The addresses now, in the order in which they came. Another array after each change. */
  readonly current: ReadonlyArray<NetAddress.InetAddress>
  /**
   * The addresses now, and again after each change. Who is slow misses those in between, and never the last. Ends with the
   * connection.
   */
  readonly changes: Stream.Stream<ReadonlyArray<NetAddress.InetAddress>>
}

/**
 * Counters of a connection, over all of its paths, those that are gone included; bytes are UDP payload.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends Omit<MachineStats, "paths"> {
  /** Of the paths that are open, lowest ID first. */
  readonly paths: ReadonlyArray<Path.Stats>
}

/**
 * Where a path is to go, and what it is for.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenPathOptions {
  /**
   * Local address of the path, without a port unless a certain one is wanted: it has the port that the endpoint has there already,
   * if any, so a second path to the same `remote` needs a port or another address. Default: another port of path 0's address, or,
   * for another `remote`, of the address that the system's routes say.
   */
  readonly local?: AddressInput | undefined
  /** Default: the peer's address of path 0. */
  readonly remote?: AddressInput | undefined
  /** `backup` keeps the path for when no available one works. Default `available`. */
  readonly status?: PathStatus | undefined
}

/**
 * How a stream is opened.
 *
 * @category models
 * @since 0.2.0
 */
export interface OpenStreamOptions {
  /** Whether to wait while the peer allows no more streams. Default true. */
  readonly wait?: boolean | undefined
}

/**
 * How a connection serves the streams of its peer.
 *
 * @category models
 * @since 0.2.0
 */
export interface ServeOptions {
  /** Handlers at a time; further streams wait. Default: as many as the peer may open (`maxBidiStreams`). */
  readonly concurrency?: number | "unbounded" | undefined
}

/**
 * A connection. One that `Endpoint.connect` made is closed by its scope, an accepted one by the end of its handler.
 *
 * - When the scope succeeded the close has code 0 (`codes.connectionEnd`) and comes when everything that was written is
 *   acknowledged, however long that takes, as long as acknowledgements come (`lingerTimeout`).
 * - When it failed the close comes at once, with code 1 (`codes.connectionAbort`).
 * - When it was interrupted the close comes at once, with code 0 if there is nothing that it drops, with 1 if there is.
 *
 * What is dropped is logged, and never looks like a clean end to the peer. Under `TestClock` time has to pass for a close
 * too: let a test's clock run until the scope of its connections is closed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection extends Pipeable.Pipeable, Inspectable.Inspectable {
  readonly [TypeId]: typeof TypeId
  /** Names the connection in logs: the first destination connection ID in hex. */
  readonly id: string
  /** Which side this is. */
  readonly role: "client" | "server"
  /** The application protocol both sides agreed on. */
  readonly alpn: string
  /** What the handshake agreed on. */
  readonly handshake: Handshake
  /** Whether both sides agreed to use several paths. */
  readonly multipath: boolean
  /** Addresses of path 0, or of the lowest path that is left. */
  readonly local: NetAddress.InetAddress
  /** Where that path leads. */
  readonly remote: NetAddress.InetAddress
  /**
   * Opens a bidirectional stream. While the peer allows no more it waits, or with `wait: false` fails with `StreamLimit`. The
   * peer sees the stream with the first write.
   */
  readonly openStream: (options?: OpenStreamOptions) => Effect.Effect<QuicStream, QuicError, Scope.Scope>
  /** Opens a unidirectional stream, in the same way. */
  readonly openUniStream: (options?: OpenStreamOptions) => Effect.Effect<SendStream, QuicError, Scope.Scope>
  /** The next bidirectional stream of the peer, closed by the scope. */
  readonly acceptStream: Effect.Effect<QuicStream, QuicError, Scope.Scope>
  /** The next unidirectional stream of the peer, refused by the scope's end if it is not read to its end. */
  readonly acceptUniStream: Effect.Effect<ReceiveStream, QuicError, Scope.Scope>
  /**
   * Runs the handler for each bidirectional stream of the peer, many at a time, each in a fiber and a scope of its own.
   * What fails in one stays in it: a handler that fails or is interrupted has its stream reset and stopped
   * (`codes.streamAbort`), and says so in a debug line (a defect: an error line); one that succeeds has it ended. Done when the connection has ended
   * or the endpoint shuts down, and the last handler is done; how it ended is told by `closed`. After the end of the
   * connection handlers may go on with what had arrived, for `shutdownTimeout`. Fails with `BadConfig` only.
   *
   * @since 0.2.0
   */
  readonly serve: <A, E, R>(
    handler: (stream: QuicStream) => Effect.Effect<A, E, R>,
    options?: ServeOptions
  ) => Effect.Effect<void, QuicError, Exclude<R, Scope.Scope>>
  /**
   * As `serve`, for the unidirectional streams of the peer.
   *
   * @since 0.2.0
   */
  readonly serveUniStreams: <A, E, R>(
    handler: (stream: ReceiveStream) => Effect.Effect<A, E, R>,
    options?: ServeOptions
  ) => Effect.Effect<void, QuicError, Exclude<R, Scope.Scope>>
  /**
   * The bidirectional streams of the peer. Nobody's scope owns them: finish them, or they live as long as the connection;
   * `serve` does that. Ends when the connection is closed with code 0 or the endpoint shuts down, fails when it ends
   * otherwise.
   */
  readonly streams: Stream.Stream<QuicStream, QuicError>
  /** The unidirectional streams of the peer. */
  readonly uniStreams: Stream.Stream<ReceiveStream, QuicError>
  /**
   * Sends an unreliable datagram (RFC 9221), waiting while too many wait to be sent. With `pathId` it leaves on that path or
   * not at all. Fails with `DatagramTooLarge` above `maxDatagramSize` and with `DatagramsUnavailable`.
   */
  readonly sendDatagram: (
    data: Input,
    options?: { readonly pathId?: number | undefined }
  ) => Effect.Effect<void, QuicError>
  /** Received datagrams. While nobody reads, the newest ones are kept (`datagramQueue`). Ends as `streams` does. */
  readonly datagrams: Stream.Stream<Uint8Array, QuicError>
  /** Bytes that fit a datagram now; 0 when the peer takes none. */
  readonly maxDatagramSize: number
  /** Paths that are open, lowest ID first. */
  readonly paths: ReadonlyArray<Path.Path>
  /** The open path with this ID. */
  readonly path: (id: number) => Path.Path | undefined
  /**
   * Opens another path (clients only; multipath must be negotiated). Gives the path when its validation has begun; use
   * `path.validated` to wait until the peer answered there. Until then no data goes over it. Fails with `PathUnavailable`.
   */
  readonly openPath: (options?: OpenPathOptions) => Effect.Effect<Path.Path, QuicError>
  /**
   * What happens to the paths after the Stream began to run, and nothing of before; `paths` tells how things are then. Ends
   * with the connection. Who falls behind by more than 256 loses the oldest.
   */
  readonly events: Stream.Stream<Path.Event>
  /**
   * Where the peer says that it can be reached too (`multipath.advertise` of a server). Its word, which nobody has proven:
   * nothing is sent there unless a path is opened, and then only challenges until it has answered. One that is withdrawn closes
   * no path.
   *
   * @since 0.2.0
   */
  readonly remoteAddresses: RemoteAddresses
  /**
   * Tells the client of a further address of this server (ADD_ADDRESS), for as long as the connection lasts; without a port,
   * with that of path 0. The client decides whether it opens a path there. One that is advertised stays as it is. Fails with
   * `AdvertiseUnavailable`, and with `BadConfig` for what is no address that others can reach.
   *
   * @since 0.2.0
   */
  readonly advertise: (address: AddressInput) => Effect.Effect<void, QuicError>
  /**
   * Takes such an address back (REMOVE_ADDRESS), also one of `multipath.advertise`. Paths that lead there stay. Does nothing
   * if it is not advertised.
   *
   * @since 0.2.0
   */
  readonly withdraw: (address: AddressInput) => Effect.Effect<void, QuicError>
  /** Counters now. */
  readonly stats: Stats
  /** Begins a new generation of packet keys (RFC 9001 section 6). `false`: not allowed yet, the last update is too recent. */
  readonly updateKeys: Effect.Effect<boolean>
  /**
   * Closes at once; what is not delivered yet is lost. Default: no reason, and code 0, or 1 if something is lost
   * (`codes.connectionEnd`, `codes.connectionAbort`).
   */
  readonly close: Close
  /** Waits for the end of the connection and tells why it ended. Never fails. */
  readonly closed: Effect.Effect<CloseReason>
  /**
   * Whether it has ended.
   *
   * @since 0.2.0
   */
  readonly isClosed: boolean
}

/**
 * Closes a connection with a code and a reason of the application: 0 and none unless given. A code that is no whole number
 * from 0 to 2^53 - 1 fails with `BadConfig`. Of the reason the peer gets as much as fits one packet.
 *
 * @category models
 * @since 0.2.0
 */
export interface Close {
  (): Effect.Effect<void>
  (options: CloseOptions): Effect.Effect<void, QuicError>
}

/**
 * How a connection is closed.
 *
 * @category models
 * @since 0.2.0
 */
export interface CloseOptions {
  readonly code?: number | undefined
  readonly reason?: string | undefined
}

/**
 * Whether a value is a `Connection`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isConnection = (u: unknown): u is Connection => Predicate.hasProperty(u, TypeId)

const pathIdOf = (options: { readonly pathId?: number | undefined }): number | undefined =>
  options.pathId === undefined ? undefined : Arguments.pathId("pathId", options.pathId)

/** What a connection needs of its endpoint. @internal */
export interface ConnectionHost extends StreamScopes, PathHost {
  readonly runtime: EndpointRuntime
  readonly handshakes: Handshakes
  /** The connection may be used. */
  readonly onEstablished?: ((connection: ConnectionImpl) => void) | undefined
  readonly onClosed?: ((connection: ConnectionImpl) => void) | undefined
  /** Nothing is left of it: no packet of it is sent any more. */
  readonly onDiscarded?: ((connection: ConnectionImpl) => void) | undefined
  readonly onPathClosed?: (() => void) | undefined
}

/** @internal */
export class ConnectionImpl extends Value implements Connection {
  readonly [TypeId] = TypeId
  readonly machine: ConnectionMachine
  private readonly host: ConnectionHost
  private readonly runtime: EndpointRuntime
  private readonly ready = Deferred.makeUnsafe<void, QuicError>()
  private readonly end = Deferred.makeUnsafe<CloseInfo>()
  // Of each of these, most connections have nobody who waits.
  private confirmed: WaitList | undefined = undefined
  private datagramReaders: WaitList | undefined = undefined
  private datagramWriters: WaitList | undefined = undefined
  private readonly broadcast = new Broadcast<Path.Event>(() => this.machine.pathEvents)
  /** Made with the first path that somebody asks for. */
  private known: Map<number, Path.PathImpl> | undefined = undefined
  private readonly ownStreams: ConnectionStreams
  private lastPrimary: PathView
  /** Made when somebody asks. */
  private remotes: Advertised | undefined = undefined
  /** What is done once it is established, and whenever further paths may have become possible. */
  onEstablished: (() => void) | undefined = undefined
  onPathRoom: (() => void) | undefined = undefined
  /** Client: the server gives something to come back with. */
  onKept: ((kind: "ticket" | "token", bytes: Uint8Array) => void) | undefined = undefined
  /** Whether a path whose address this host has lost moves by itself, or somebody else sees to it. */
  movesLostPaths = true

  constructor(host: ConnectionHost, machine: ConnectionMachine) {
    super()
    this.host = host
    this.runtime = host.runtime
    this.machine = machine
    this.ownStreams = new ConnectionStreams(machine, host, this.end)
    this.lastPrimary = machine.paths[0]!
    const log = new ConnectionLog(host.log, machine)
    let established = false
    host.handshakes.began(machine.role)
    machine.listener = {
      onEstablished: () =>
        this.runtime.defer(() => {
          established = true
          host.handshakes.completed++
          log.established()
          Deferred.doneUnsafe(this.ready, Effect.void)
          host.onEstablished?.(this)
          this.onEstablished?.()
        }),
      onConfirmed: () => this.runtime.defer(() => this.confirmed?.wake()),
      onPathRoom: () =>
        this.runtime.defer(() => {
          this.remotes?.update()
          this.onPathRoom?.()
        }),
      onKept: (kind, bytes) => this.runtime.defer(() => this.onKept?.(kind, bytes)),
      onMistake: (message) => this.runtime.defer(() => log.mistake(message)),
      onPath: (event, number) =>
        this.runtime.defer(() => {
          log.path(event)
          this.onPath(event, number)
        }),
      onClosed: (info) =>
        this.runtime.defer(() => {
          if (!established) host.handshakes.failed(info)
          log.ended(info, established, this.ownStreams.undelivered)
          this.onClosed(info)
        }),
      onDiscarded: () => this.runtime.defer(() => host.onDiscarded?.(this))
    }
  }

  toJSON(): unknown {
    const { alpn, id, local, multipath, paths, remote, role } = this
    const { closeInfo, state } = this.machine
    const closed = closeInfo === undefined ? undefined : closeReason(closeInfo)
    return {
      _id: "Connection",
      id,
      role,
      state,
      alpn,
      multipath,
      local: String(local),
      remote: String(remote),
      paths: paths.map((path) => path.toJSON()),
      closed: closed === undefined ? undefined : { _tag: closed._tag, message: closed.message }
    }
  }

  override toString(): string {
    const { closeInfo, state } = this.machine
    const paths = this.machine.paths.length
    const about =
      closeInfo === undefined ? `${paths} ${paths === 1 ? "path" : "paths"}` : closeReason(closeInfo).message
    return `Connection(${this.id}, ${this.role}, ${this.local} -> ${this.remote}, ${state}, ${about})`
  }

  get id(): string {
    return this.machine.id
  }
  get role(): "client" | "server" {
    return this.machine.role
  }
  get alpn(): string {
    return this.machine.handshake?.alpn ?? ""
  }
  get multipath(): boolean {
    return this.machine.multipath
  }
  get local(): NetAddress.InetAddress {
    return toInetAddress(this.primary.local)
  }
  get remote(): NetAddress.InetAddress {
    return toInetAddress(this.primary.remote)
  }
  get maxDatagramSize(): number {
    return this.machine.maxDatagramSize()
  }

  get handshake(): Handshake {
    const info = this.machine.handshake
    return {
      cipherSuite: info?.cipherSuite.name ?? "",
      group: info?.group ?? "",
      alpn: info?.alpn ?? "",
      serverName: info?.serverName,
      resumed: info?.resumed ?? false,
      earlyDataAccepted: info?.earlyDataAccepted ?? false,
      peerCertificates: info?.peerCertificates ?? []
    }
  }

  get stats(): Stats {
    const stats = this.machine.stats(this.runtime.now())
    return { ...stats, paths: stats.paths.map(Path.toStats) }
  }

  get paths(): ReadonlyArray<Path.Path> {
    return this.machine.paths.map((view) => this.pathOf(view))
  }

  readonly path = (id: number): Path.Path | undefined => {
    const view = this.machine.path(id)
    return view === undefined ? this.known?.get(id) : this.pathOf(view)
  }

  readonly openStream = (options?: OpenStreamOptions): Effect.Effect<QuicStream, QuicError, Scope.Scope> =>
    this.open("bidi", options)

  readonly openUniStream = (options?: OpenStreamOptions): Effect.Effect<SendStream, QuicError, Scope.Scope> =>
    this.open("uni", options)

  // Effects and Streams are made when they are asked for: an idle connection would hold a dozen that nobody wants.

  get acceptStream(): Effect.Effect<QuicStream, QuicError, Scope.Scope> {
    return this.ownStreams.scoped("bidi", "accept")
  }

  get acceptUniStream(): Effect.Effect<ReceiveStream, QuicError, Scope.Scope> {
    return this.ownStreams.scoped("uni", "accept")
  }

  readonly serve = <A, E, R>(
    handler: (stream: QuicStream) => Effect.Effect<A, E, R>,
    options?: ServeOptions
  ): Effect.Effect<void, QuicError, Exclude<R, Scope.Scope>> => this.serveKind("bidi", handler, options)

  readonly serveUniStreams = <A, E, R>(
    handler: (stream: ReceiveStream) => Effect.Effect<A, E, R>,
    options?: ServeOptions
  ): Effect.Effect<void, QuicError, Exclude<R, Scope.Scope>> => this.serveKind("uni", handler, options)

  get streams(): Stream.Stream<QuicStream, QuicError> {
    return this.ownStreams.incoming("bidi")
  }

  get uniStreams(): Stream.Stream<ReceiveStream, QuicError> {
    return this.ownStreams.incoming("uni")
  }

  readonly sendDatagram = (
    data: Input,
    options?: { readonly pathId?: number | undefined }
  ): Effect.Effect<void, QuicError> =>
    Effect.suspend(() => {
      const bytes = Arguments.bytesOf(data)
      if (bytes === undefined) return Effect.fail(Arguments.badBytes("data", data))
      const pathId = options === undefined ? undefined : Arguments.attempt("pathId", () => pathIdOf(options))
      if (pathId instanceof QuicError) return Effect.fail(pathId)
      const attempt: Effect.Effect<void, QuicError> = Effect.suspend(() => {
        const closed = this.machine.closeInfo
        if (closed !== undefined) return Effect.fail(closeError(closed))
        const limit = this.machine.maxDatagramSize()
        if (limit === 0) return Effect.fail(new QuicError({ reason: new DatagramsUnavailable({}) }))
        if (bytes.length > limit)
          return Effect.fail(new QuicError({ reason: new DatagramTooLarge({ size: bytes.length, limit }) }))
        const gone = pathId === undefined ? undefined : pathGone(this.machine, pathId)
        if (gone !== undefined) return Effect.fail(gone)
        if (!this.machine.datagrams.push(bytes, pathId)) return Effect.flatMap(this.writeWaiters.wait, () => attempt)
        this.machine.wake()
        return Effect.void
      })
      return attempt
    })

  get datagrams(): Stream.Stream<Uint8Array, QuicError> {
    // One by one: of several, a reader that stops early would lose those that it did not look at.
    const pull: Pull.Pull<readonly [Uint8Array], QuicError> = Effect.suspend(() => {
      const datagram = this.machine.datagrams.read()
      return datagram === undefined
        ? this.ownStreams.waitForMore(this.readWaiters, pull)
        : Effect.succeed([datagram] as const)
    })
    return Stream.fromPull(Effect.succeed(pull))
  }

  readonly openPath = (options?: OpenPathOptions): Effect.Effect<Path.Path, QuicError> =>
    Effect.gen({ self: this }, function* () {
      yield* this.waitConfirmed()
      const wanted = Arguments.attempt("options", () => {
        const status = Arguments.at(options, "status")
        return {
          local: Arguments.at(options, "local"),
          remote: Arguments.at(options, "remote"),
          status: Arguments.oneOf("status", status, "available", "available", "backup")
        }
      })
      if (wanted instanceof QuicError) return yield* wanted
      return this.pathOf(this.machine.path(yield* this.ownPaths.open(this.primary, wanted))!)
    })

  get remoteAddresses(): RemoteAddresses {
    return (this.remotes ??= new Advertised(this.machine, this.end))
  }

  readonly advertise = (address: AddressInput): Effect.Effect<void, QuicError> =>
    this.withAdvertised(address, (parsed) => {
      const closed = this.machine.closeInfo
      if (closed !== undefined) return Effect.fail(closeError(closed))
      const why = this.machine.advertise(parsed)
      if (why !== undefined) return Effect.fail(new QuicError({ reason: new AdvertiseUnavailable({ why }) }))
      this.machine.wake()
      return Effect.void
    })

  readonly withdraw = (address: AddressInput): Effect.Effect<void, QuicError> =>
    this.withAdvertised(address, (parsed) =>
      Effect.sync(() => {
        this.machine.withdraw(parsed)
        this.machine.wake()
      })
    )

  get events(): Stream.Stream<Path.Event> {
    return this.broadcast.stream()
  }

  get updateKeys(): Effect.Effect<boolean> {
    return Effect.sync(() => {
      const updated = this.machine.updateKeys(this.runtime.now())
      this.machine.wake()
      return updated
    })
  }

  readonly close = ((options?: CloseOptions) =>
    Arguments.withArguments(
      "code",
      () => Arguments.closeOptions(options),
      ({ code, reason }) => Effect.sync(() => this.closeNow(code, reason))
    )) as Close

  get closed(): Effect.Effect<CloseReason> {
    return Effect.map(Deferred.await(this.end), closeReason)
  }

  get isClosed(): boolean {
    return this.machine.closeInfo !== undefined
  }

  /** Waits until the handshake is done. */
  get established(): Effect.Effect<void, QuicError> {
    return Deferred.await(this.ready)
  }

  /** Closes as the end of a scope does. */
  readonly release = (exit: Exit.Exit<unknown, unknown>, reason?: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (Exit.isFailure(exit)) {
        this.closeNow(Cause.hasInterruptsOnly(exit.cause) ? undefined : this.codes.connectionAbort, reason)
        return Effect.void
      }
      if (this.machine.state !== "established") return Effect.sync(() => this.closeNow())
      const delivered = this.ownStreams.delivered(() => this.runtime.now())
      // Who waits for the end of a scope may lose patience.
      return Effect.onExit(Effect.interruptible(delivered), () => Effect.sync(() => this.closeNow(undefined, reason)))
    })

  /** Hands out no more streams of the peer, so that what serves them comes to its end. */
  drain(): void {
    if (this.ownStreams.draining || this.isClosed) return
    this.ownStreams.drain()
    this.datagramReaders?.wake()
  }

  /** What the ends of scopes say. */
  get codes(): CloseCodes {
    return this.ownStreams.codes
  }
  set codes(codes: CloseCodes) {
    this.ownStreams.codes = codes
  }

  /** Closes at once. Without a code: that of a clean end, unless something is dropped. */
  closeNow(code?: number, reason = ""): void {
    if (this.machine.closeInfo !== undefined) return
    if (this.machine.busy) return this.runtime.defer(() => this.closeNow(code, reason))
    const { codes } = this
    const dropped = this.ownStreams.undelivered
    const wrong = dropped === undefined ? reason : reason || "closed before everything was delivered"
    this.machine.close(
      code ?? (dropped === undefined ? codes.connectionEnd : codes.connectionAbort),
      wrong,
      this.runtime.now()
    )
    this.machine.wake()
  }

  /** Addresses of path 0, or of the lowest path that is left, or was. */
  private get primary(): PathView {
    const view = this.machine.paths[0]
    if (view !== undefined) this.lastPrimary = view
    return this.lastPrimary
  }

  private pathOf(view: PathView): Path.PathImpl {
    let path = this.known?.get(view.id)
    if (path === undefined) {
      path = new Path.PathImpl(this.machine, view, this.runtime, this.broadcast, (pathId, local) =>
        Effect.andThen(
          this.waitConfirmed(),
          Effect.suspend(() => this.ownPaths.migrate(pathId, local))
        )
      )
      ;(this.known ??= new Map()).set(view.id, path)
    }
    return path
  }

  private onPath(event: PathEvent, number: number): void {
    const view = this.machine.path(event.pathId)
    const path = view === undefined ? this.known?.get(event.pathId) : this.pathOf(view)
    path?.onEvent(event)
    if (event.kind === "closed") {
      this.known?.delete(event.pathId)
      this.host.onPathClosed?.()
    }
    this.broadcast.publish(Path.toEvent(event), number)
  }

  private onClosed(info: CloseInfo): void {
    if (this.known !== undefined) for (const path of this.known.values()) path.onConnectionClosed()
    this.broadcast.end()
    this.confirmed?.wake()
    // Errors are expensive, and most connections that end were established.
    if (!Deferred.isDoneUnsafe(this.ready)) Deferred.doneUnsafe(this.ready, Effect.fail(closeError(info)))
    Deferred.doneUnsafe(this.end, Effect.succeed(info))
    this.host.onClosed?.(this)
  }

  private get confirmWaiters(): WaitList {
    return (this.confirmed ??= new WaitList(() => this.machine.confirmed || this.machine.closeInfo !== undefined))
  }

  private get readWaiters(): WaitList {
    const { datagrams } = this.machine
    return (this.datagramReaders ??= new WaitList(
      () => datagrams.isReadSettled || this.ownStreams.draining,
      (wake) => {
        datagrams.readWaiter = wake
      }
    ))
  }

  private get writeWaiters(): WaitList {
    const { datagrams } = this.machine
    return (this.datagramWriters ??= new WaitList(
      () => datagrams.isWriteSettled,
      (wake) => {
        datagrams.writeWaiter = wake
      }
    ))
  }

  /** Waits until paths may be opened. */
  waitConfirmed(): Effect.Effect<void, QuicError> {
    return Effect.suspend(() => {
      const closed = this.machine.closeInfo
      if (closed !== undefined) return Effect.fail(closeError(closed))
      return this.machine.confirmed ? Effect.void : Effect.flatMap(this.confirmWaiters.wait, () => this.waitConfirmed())
    })
  }

  private withAdvertised(
    input: AddressInput,
    use: (address: Address) => Effect.Effect<void, QuicError>
  ): Effect.Effect<void, QuicError> {
    return Effect.suspend(() => {
      const address = advertisable(input)
      return address === undefined ? Effect.fail(Arguments.badArgument("address", input, ADVERTISABLE)) : use(address)
    })
  }

  private serveKind<A, E, R>(
    kind: StreamKind,
    handler: (stream: QuicStreamImpl) => Effect.Effect<A, E, R>,
    options: ServeOptions | undefined
  ): Effect.Effect<void, QuicError, Exclude<R, Scope.Scope>> {
    const limit = Arguments.attempt("concurrency", () => {
      Arguments.callback("handler", handler)
      return Arguments.concurrency(Arguments.at(options, "concurrency"))
    })
    return limit instanceof QuicError
      ? Effect.fail(limit)
      : this.ownStreams.serve(kind, (stream) => Arguments.effectOf("handler", handler(stream)), limit)
  }

  private open(
    kind: StreamKind,
    options: OpenStreamOptions | undefined
  ): Effect.Effect<QuicStreamImpl, QuicError, Scope.Scope> {
    if (options === undefined) return this.ownStreams.scoped(kind, "open")
    return Arguments.withArguments(
      "wait",
      () => Arguments.flag("wait", Arguments.at(options, "wait"), true),
      (wait) => this.ownStreams.scoped(kind, "open", wait)
    )
  }

  /** Moves a path away from an address that is gone, unless another path leaves from where it would go. */
  readonly moveAway = (pathId: number): Effect.Effect<void, QuicError> =>
    Effect.suspend(() => (this.movesLostPaths ? this.ownPaths.moveAway(pathId) : Effect.void))

  /** The same, to where the routes lead if that is one of `to`, else to the first of them that can be had. */
  moveTo(pathId: number, to: ReadonlyArray<AddressInput>): Effect.Effect<void, QuicError> {
    return this.ownPaths.moveTo(pathId, to)
  }

  /** Made when it is asked for: most connections have the path that they began with. */
  private get ownPaths(): ConnectionPaths {
    return new ConnectionPaths(this.machine, this.host)
  }
}
