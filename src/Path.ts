/**
 * Paths: the pairs of addresses that a connection uses at the same time (draft-ietf-quic-multipath-21). Path 0 is the one
 * the handshake used; further ones are opened by the client, with `Connection.openPath` or by a `PathManager`.
 *
 * The fields of a `Path` are live: they say how things are when they are read. After the path is gone they keep the last
 * values.
 *
 * @module
 * @since 0.1.0
 */
import { Duration, Effect, Predicate, Stream } from "effect"
import type { Inspectable, Pipeable } from "effect"
import type { NetAddress } from "effect/net"
import type { ConnectionMachine, PathEvent, PathStats } from "./internal/connection/Machine.ts"
import { toInetAddress } from "./internal/runtime/Addresses.ts"
import type { AddressInput } from "./internal/runtime/Addresses.ts"
import * as Arguments from "./internal/runtime/Arguments.ts"
import type { Broadcast } from "./internal/runtime/Broadcast.ts"
import type { EndpointRuntime } from "./internal/runtime/EndpointRuntime.ts"
import { Value } from "./internal/runtime/Value.ts"
import { WaitList } from "./internal/runtime/WaitList.ts"
import { PathError } from "./internal/wire/Protocol.ts"
import type { PathState, PathStatus, PathView } from "./PathScheduler.ts"
import { PathFailed, QuicError } from "./QuicError.ts"

export type { PathState, PathStatus }

/**
 * Marks the values of this module, in whatever copy of it they were made.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-mpquic/Path"

/**
 * Counters and measurements of one path at one moment. Bytes are UDP payload, rates bytes per ms. Before the first sample
 * `latestRtt` is zero, `smoothedRtt` what is assumed (`initialRtt`), and `minRtt` infinite. Each packet that left is
 * outstanding, acknowledged, lost or forgotten; those four add up to `packetsSent`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends Omit<
  PathStats,
  "id" | "local" | "remote" | "latestRtt" | "minRtt" | "rttVariance" | "smoothedRtt" | "timeInState"
> {
  /** The path ID. */
  readonly pathId: number
  /** The last sample of the round-trip time. */
  readonly latestRtt: Duration.Duration
  /** The smallest sample. */
  readonly minRtt: Duration.Duration
  /** Mean deviation of the samples (RFC 9002 section 5.3). */
  readonly rttVariance: Duration.Duration
  /** Moving average of the samples (RFC 9002 section 5.3). */
  readonly smoothedRtt: Duration.Duration
  /**
   * How long the path has been in its `state`.
   *
   * @since 0.2.0
   */
  readonly timeInState: Duration.Duration
  /** Where the path leaves from. */
  readonly local: NetAddress.InetAddress
  /** Where it leads. */
  readonly remote: NetAddress.InetAddress
}

/**
 * What happened to a path. `PotentiallyFailed`: it owes acknowledgements for too long, or `setState` says so; schedulers avoid
 * it until it `Recovered`. `ObservedAddress`: the peer sees this side there now. `Abandoned`: a side gave it up, with the code of
 * its PATH_ABANDON; `Closed`: nothing is left of it.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly _tag: "Opened"; readonly pathId: number; readonly initiator: "local" | "peer" }
  | { readonly _tag: "Validated"; readonly pathId: number }
  | {
      readonly _tag: "Migrated"
      readonly pathId: number
      readonly local: NetAddress.InetAddress
      readonly remote: NetAddress.InetAddress
    }
  | { readonly _tag: "PotentiallyFailed"; readonly pathId: number }
  | { readonly _tag: "Recovered"; readonly pathId: number }
  | { readonly _tag: "Probed"; readonly pathId: number; readonly answered: boolean }
  | { readonly _tag: "ObservedAddress"; readonly pathId: number; readonly address: NetAddress.InetAddress }
  | { readonly _tag: "RemoteStatus"; readonly pathId: number; readonly status: PathStatus }
  | {
      readonly _tag: "Abandoned"
      readonly pathId: number
      readonly initiator: "local" | "peer"
      readonly code: number
    }
  | { readonly _tag: "Closed"; readonly pathId: number; readonly stats: Stats }

/**
 * A path of a connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Path extends Pipeable.Pipeable, Inspectable.Inspectable {
  readonly [TypeId]: typeof TypeId
  /** The path ID (section 3.1): never used again in the connection. */
  readonly id: number
  /** Where the path leaves from. */
  readonly local: NetAddress.InetAddress
  /** Where it leads. */
  readonly remote: NetAddress.InetAddress
  /** Where the path is in its life. */
  readonly state: PathState
  /**
   * What this side wants of it: `backup` paths carry data only while no available one works. The peer is told; of a path that
   * has failed it is told `backup` until the path is back.
   */
  readonly status: PathStatus
  /** What the peer told; undefined if nothing. `backup` also while the peer takes the path for failed. */
  readonly remoteStatus: PathStatus | undefined
  /**
   * Where the peer sees this side: behind a NAT, the address that it has on the outside. The peer's word; undefined until it
   * says so, which it does only if both sides want that (`addressDiscovery`).
   *
   * @since 0.2.0
   */
  readonly observedAddress: NetAddress.InetAddress | undefined
  /** Counters and measurements now. */
  readonly stats: Stats
  /** Waits until the peer has answered on the path (RFC 9000 section 8.2). Fails with `PathFailed` when it does not. */
  readonly validated: Effect.Effect<void, QuicError>
  /** Tells the peer (PATH_STATUS_AVAILABLE, PATH_STATUS_BACKUP) and schedules accordingly. */
  readonly setStatus: (status: PathStatus) => Effect.Effect<void, QuicError>
  /**
   * `potentiallyFailed` says that the path is not to be relied on, although it may answer: a modem that reports bad signal, a
   * network that costs too much now. A `PotentiallyFailed` event follows; what is under way there is sent on the others at once,
   * the peer is told `backup`, and data goes over it only while no other path works, so over the last one it goes on. It stays
   * so, whatever it answers, until `active` takes it back: the path is asked, and `active` again with a `Recovered` event once
   * it answers; `active` also asks a path that is suspected for its silence, instead of waiting for its next probe. A path that
   * is not validated yet is suspected as soon as it is.
   *
   * Called from inside a policy or an observer it is done when the packet that is being worked on is done. Fails with
   * `PathFailed` if the path is closed.
   *
   * @since 0.2.0
   */
  readonly setState: (state: "active" | "potentiallyFailed") => Effect.Effect<void, QuicError>
  /**
   * Sends a PATH_CHALLENGE, to see whether the path still works (RFC 9000 section 8.2). A `Probed` event tells whether it was
   * answered: after one round trip, or after three probe timeouts without an answer.
   */
  readonly probe: Effect.Effect<void, QuicError>
  /**
   * Moves the path to another local address (clients only; RFC 9000 section 9): to `local`, with a port or without, or to
   * another port of its address. Data goes on at once; when no answer comes from there, the path returns to where it was.
   * A path whose address this host has lost moves by itself if the routes lead elsewhere. Fails with `PathUnavailable`,
   * `AddressUnavailable` and `AddressUnreachable`.
   *
   * @since 0.2.0
   */
  readonly migrate: (options?: { readonly local?: AddressInput | undefined }) => Effect.Effect<void, QuicError>
  /**
   * Gives the path up (PATH_ABANDON); what it had under way is sent on the others. Does nothing if it is closed. Fails
   * with `PathFailed` for the last path that is open: close the connection instead. `code` is APPLICATION_ABANDON_PATH (0x3e) if not given.
   */
  readonly close: (options?: { readonly code?: number | undefined }) => Effect.Effect<void, QuicError>
  /**
   * What happens to this path after the Stream began to run, and nothing of before: once `validated` is done, no `Validated`
   * comes for it. Ends with the path. Who falls behind by more than 256 loses the oldest.
   */
  readonly changes: Stream.Stream<Event>
}

/**
 * Whether a value is a `Path`.
 *
 * @category guards
 * @since 0.2.0
 */
export const isPath = (u: unknown): u is Path => Predicate.hasProperty(u, TypeId)

/** @internal */
export const toStats = ({ id, ...stats }: PathStats): Stats => ({
  pathId: id,
  ...stats,
  local: toInetAddress(stats.local),
  remote: toInetAddress(stats.remote),
  latestRtt: Duration.millis(stats.latestRtt),
  smoothedRtt: Duration.millis(stats.smoothedRtt),
  rttVariance: Duration.millis(stats.rttVariance),
  minRtt: Duration.millis(stats.minRtt),
  timeInState: Duration.millis(stats.timeInState)
})

/** @internal */
export const toEvent = (event: PathEvent): Event => {
  const { pathId } = event
  switch (event.kind) {
    case "opened":
      return { _tag: "Opened", pathId, initiator: event.initiator }
    case "validated":
      return { _tag: "Validated", pathId }
    case "migrated":
      return { _tag: "Migrated", pathId, local: toInetAddress(event.local), remote: toInetAddress(event.remote) }
    case "potentiallyFailed":
      return { _tag: "PotentiallyFailed", pathId }
    case "recovered":
      return { _tag: "Recovered", pathId }
    case "probed":
      return { _tag: "Probed", pathId, answered: event.answered }
    case "observed":
      return { _tag: "ObservedAddress", pathId, address: toInetAddress(event.address) }
    case "remoteStatus":
      return { _tag: "RemoteStatus", pathId, status: event.status }
    case "abandoned":
      return { _tag: "Abandoned", pathId, initiator: event.initiator, code: event.code }
    case "closed":
      return { _tag: "Closed", pathId, stats: toStats(event.stats) }
  }
}

/** @internal */
export class PathImpl extends Value implements Path {
  readonly [TypeId] = TypeId
  private readonly connection: ConnectionMachine
  private readonly view: PathView
  private readonly runtime: Pick<EndpointRuntime, "now" | "defer">
  private readonly events: Broadcast<Event>
  private readonly move: (pathId: number, local: AddressInput | undefined) => Effect.Effect<void, QuicError>
  private readonly waiting = new WaitList(() => this.gone || this.view.validated)
  private abandoned: (PathEvent & { readonly kind: "abandoned" }) | undefined = undefined
  /** By `close`. */
  private closing = false
  private last: Stats | undefined = undefined
  private observed: NetAddress.InetAddress | undefined = undefined

  constructor(
    connection: ConnectionMachine,
    view: PathView,
    runtime: Pick<EndpointRuntime, "now" | "defer">,
    events: Broadcast<Event>,
    move: (pathId: number, local: AddressInput | undefined) => Effect.Effect<void, QuicError>
  ) {
    super()
    this.move = move
    this.connection = connection
    this.view = view
    this.runtime = runtime
    this.events = events
  }

  toJSON(): unknown {
    const { id, local, remote, remoteStatus, state, status } = this
    return { _id: "Path", id, local: String(local), remote: String(remote), state, status, remoteStatus }
  }

  override toString(): string {
    return `Path(${this.id}, ${this.local} -> ${this.remote}, ${this.state}, ${this.status})`
  }

  get id(): number {
    return this.view.id
  }
  get local(): NetAddress.InetAddress {
    return toInetAddress(this.view.local)
  }
  get remote(): NetAddress.InetAddress {
    return toInetAddress(this.view.remote)
  }
  get state(): PathState {
    return this.last === undefined ? this.view.state : "closed"
  }
  get status(): PathStatus {
    return this.view.status
  }
  get remoteStatus(): PathStatus | undefined {
    return this.view.remoteStatus
  }

  get observedAddress(): NetAddress.InetAddress | undefined {
    if (this.last === undefined) this.seeObserved()
    return this.observed
  }

  get stats(): Stats {
    return this.last ?? toStats(this.connection.pathStats(this.view, this.runtime.now()))
  }

  readonly validated: Effect.Effect<void, QuicError> = Effect.suspend(() => {
    if (this.gone) {
      const refused = this.abandoned !== undefined && !this.view.validated && !this.closing
      return Effect.fail(this.failure(refused ? "validation" : "closed"))
    }
    return this.view.validated ? Effect.void : Effect.flatMap(this.waiting.wait, () => this.validated)
  })

  readonly setStatus = (status: PathStatus): Effect.Effect<void, QuicError> =>
    Arguments.withArguments(
      "status",
      () => Arguments.oneOf("status", status, undefined, "available", "backup"),
      (wanted) => this.act(() => this.connection.setPathStatus(this.view.id, wanted))
    )

  readonly setState = (state: "active" | "potentiallyFailed"): Effect.Effect<void, QuicError> =>
    Arguments.withArguments(
      "state",
      () => Arguments.oneOf("state", state, undefined, "active", "potentiallyFailed"),
      (wanted) => this.act(() => this.connection.setPathState(this.view.id, wanted, this.runtime.now()))
    )

  readonly probe: Effect.Effect<void, QuicError> = Effect.suspend(() =>
    this.act(() => this.connection.probePath(this.view.id, this.runtime.now()))
  )

  readonly migrate = (options?: { readonly local?: AddressInput | undefined }): Effect.Effect<void, QuicError> =>
    Arguments.withArguments(
      "local",
      () => Arguments.at(options, "local"),
      (local) => (this.gone ? Effect.fail(this.failure("closed")) : this.move(this.view.id, local))
    )

  readonly close = (options?: { readonly code?: number | undefined }): Effect.Effect<void, QuicError> =>
    Arguments.withArguments(
      "code",
      () => Arguments.code("code", Arguments.at(options, "code"), PathError.applicationAbandon),
      (code) =>
        this.gone
          ? Effect.void
          : this.act(() => (this.closing = this.connection.closePath(this.view.id, code, this.runtime.now())), "last")
    )

  readonly changes: Stream.Stream<Event> = Stream.suspend(() =>
    this.last === undefined && this.view.state !== "closed"
      ? this.events
          .stream((event) => event.pathId === this.view.id)
          .pipe(Stream.takeUntil((event) => event._tag === "Closed"))
      : Stream.empty
  )

  /** After an event of this path. */
  onEvent(event: PathEvent): void {
    if (event.kind === "abandoned") this.abandoned = event
    if (event.kind === "observed" || event.kind === "migrated") this.seeObserved()
    if (event.kind === "closed") this.last = toStats(event.stats)
    this.waiting.wake()
  }

  /** The connection ended, and the path with it. */
  onConnectionClosed(): void {
    this.last ??= this.stats
    this.waiting.wake()
  }

  /** Of a path that is gone the last that was known stays. */
  private seeObserved(): void {
    if (this.connection.path(this.view.id) === undefined) return
    const address = this.connection.observedAddress(this.view.id)
    this.observed = address === undefined ? undefined : toInetAddress(address)
  }

  private get gone(): boolean {
    return (
      this.last !== undefined ||
      this.view.state === "closing" ||
      this.view.state === "closed" ||
      this.connection.closeInfo !== undefined
    )
  }

  /** `refused`: why it is if the path is there. */
  private act(action: () => boolean, refused: "closed" | "last" = "closed"): Effect.Effect<void, QuicError> {
    return Effect.suspend(() => {
      if (this.gone) return Effect.fail(this.failure("closed"))
      // Called by a policy or an observer: the packet that it was told of comes first.
      if (this.connection.busy) {
        this.runtime.defer(() => {
          if (!this.gone && action()) this.connection.wake()
        })
        return Effect.void
      }
      if (!action()) return Effect.fail(this.failure(refused))
      this.connection.wake()
      return Effect.void
    })
  }

  private failure(why: "closed" | "last" | "validation"): QuicError {
    const abandoned = this.abandoned
    return new QuicError({
      reason:
        abandoned === undefined
          ? new PathFailed({ pathId: this.id, why })
          : new PathFailed({
              pathId: this.id,
              why: abandoned.initiator === "peer" ? "abandoned" : why,
              code: abandoned.code
            })
    })
  }
}
