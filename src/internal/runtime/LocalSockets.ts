/**
 * The sockets of an endpoint that are bound when they are needed: one for each local address that connections leave from.
 */
import { Effect, Exit, Scope } from "effect"
import type { QuicError } from "../../QuicError.ts"
import type { BindOptions, BoundSocket, Sockets } from "./Sockets.ts"
import type { Address } from "../wire/Datagram.ts"
import type { EndpointRuntime } from "./EndpointRuntime.ts"
import { sourceHost } from "./Resolve.ts"
import { unreachable } from "./UdpErrors.ts"

/** ms for which an answer of the system's routes is believed, and how many of them are kept. */
const ROUTE_MEMORY = 5000
const MAX_ROUTES = 1000

export class LocalSockets {
  private readonly udp: Sockets
  private readonly runtime: EndpointRuntime
  private readonly scope: Scope.Scope
  private readonly options: BindOptions
  /** Sockets that live as long as paths leave from them, by local address; and those that a path is about to leave from. */
  private readonly passing = new Map<string, { readonly local: Address; readonly scope: Scope.Closeable }>()
  private readonly held = new Map<Address, number>()
  private readonly inUse: () => ReadonlySet<string>
  private readonly routes = new Map<string, { readonly host: string; readonly until: number }>()

  /** Sockets are closed by `scope`, which must outlive the runtime. `inUse`: the local addresses that paths have now. */
  constructor(
    udp: Sockets,
    runtime: EndpointRuntime,
    scope: Scope.Scope,
    options: BindOptions,
    inUse: () => ReadonlySet<string>
  ) {
    this.inUse = inUse
    this.udp = udp
    this.runtime = runtime
    this.scope = scope
    this.options = options
  }

  /** Binds another socket on this host, whatever is there already. One that is not to be kept is closed by `release`. */
  private bind(local: Pick<Address, "host" | "port">, keep: boolean): Effect.Effect<Address, QuicError> {
    return Effect.suspend(() => {
      const scope = keep ? undefined : Scope.forkUnsafe(this.scope)
      return this.udp.bind(local, this.options).pipe(
        Scope.provide(scope ?? this.scope),
        Effect.map((socket) => {
          this.add(socket, scope)
          if (scope !== undefined) this.passing.set(socket.local.toString(), { local: socket.local, scope })
          return socket.local
        }),
        Effect.onExit((exit) =>
          scope === undefined || Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, Exit.void)
        ),
        Effect.uninterruptible
      )
    })
  }

  /** Hands a socket over that was bound with the same options. */
  add(socket: BoundSocket, scope: Scope.Scope = this.scope): void {
    this.runtime.addSocket(socket, (local) => Scope.provide(this.udp.bind(local, this.options), scope))
  }

  /**
   * The address of a socket on this host, bound now if there is none. Port 0 stands for any. Those of `keep` are used again
   * and again, so that there is one for each address of the host.
   */
  private on(local: Address, keep: boolean): Effect.Effect<Address, QuicError> {
    return Effect.suspend(() => {
      const there = this.runtime.sockets.find(
        (socket) => socket.local.host === local.host && (local.port === 0 || socket.local.port === local.port)
      )
      return there === undefined ? this.bind(local, keep && local.port === 0) : Effect.succeed(there.local)
    })
  }

  /**
   * Gives the address of a socket to something that begins a path from there, or not. A socket that was bound for it is
   * closed again if no path came of it, and else when its last path is gone.
   */
  using<A, E>(
    socket: Effect.Effect<Address, QuicError>,
    use: (local: Address) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | QuicError> {
    return Effect.acquireUseRelease(
      Effect.map(socket, (local) => {
        this.held.set(local, (this.held.get(local) ?? 0) + 1)
        return local
      }),
      use,
      (local) =>
        Effect.suspend(() => {
          const left = this.held.get(local)! - 1
          if (left === 0) this.held.delete(local)
          else this.held.set(local, left)
          return this.release
        })
    )
  }

  /** A path, or a connection with all of its own, is gone. */
  onPathGone(): void {
    if (this.passing.size > 0) this.runtime.fork(this.release)
  }

  /** Closes the sockets that were bound for paths which are gone. */
  private readonly release: Effect.Effect<void> = Effect.suspend(() => {
    if (this.passing.size === 0) return Effect.void
    const used = this.inUse()
    const idle = Array.from(this.passing).filter(([key, { local }]) => !used.has(key) && !this.held.has(local))
    return Effect.forEach(
      idle,
      ([key, { local, scope }]) => {
        this.passing.delete(key)
        return Effect.andThen(this.runtime.dropSocket(local), Scope.close(scope, Exit.void))
      },
      { discard: true }
    )
  })

  /**
   * The address of a socket on `local`, for packets to `remote`. Fails at once when they cannot leave from there: `local` is
   * not of this host or of another family, or no route leads on. A wildcard is the address that the routes say: who a path
   * leaves from must be known, or it could have another one from the same address.
   */
  from(local: Address, remote: Address, keep: boolean): Effect.Effect<Address, QuicError> {
    return Effect.suspend(() => {
      if (local.family !== remote.family) return Effect.fail(unreachable(remote, local))
      if (local.host === "0.0.0.0" || local.host === "::") {
        return Effect.flatMap(this.hostTowards(remote), (host) =>
          this.on(this.runtime.book.intern(host, local.port, local.family), keep)
        ).pipe(
          // There are addresses that cannot be bound by themselves, such as those of some tunnels.
          Effect.catchReason("QuicError", "AddressUnavailable", () => this.on(local, keep))
        )
      }
      const known = this.simulated ? Effect.void : sourceHost(remote, local)
      return Effect.andThen(known, this.on(local, keep))
    })
  }

  /** The address of a socket that packets to `remote` leave from, by the routes of this host. */
  towards(remote: Address): Effect.Effect<Address, QuicError> {
    return this.routed(remote, (host) => this.on(this.runtime.book.intern(host, 0, remote.family), true))
  }

  /** The same for one more path: a socket of its own. A simulated host has no routes, and prefers what path 0 has. */
  anotherTowards(remote: Address, primary: Address): Effect.Effect<Address, QuicError> {
    return this.simulated && primary.family === remote.family
      ? this.another(primary.host)
      : this.routed(remote, (host) => this.another(host))
  }

  /**
   * A socket where the routes to `remote` lead now that `gone` has left this host. Fails with `AddressUnreachable` if they
   * lead nowhere else.
   */
  elsewhere(remote: Address, gone: Address): Effect.Effect<Address, QuicError> {
    return Effect.suspend(() => {
      this.routes.delete(remote.host)
      return Effect.flatMap(this.hostTowards(remote), (host) =>
        host === gone.host ? Effect.fail(unreachable(remote, gone)) : this.another(host)
      )
    })
  }

  /** A socket that stands in for a wildcard on one more address, and what takes it away again. */
  forWildcard(local: Pick<Address, "host" | "port">): Effect.Effect<Effect.Effect<void>, QuicError> {
    return Effect.suspend(() => {
      const scope = Scope.forkUnsafe(this.scope)
      return this.udp.bind(local, this.options).pipe(
        Scope.provide(scope),
        Effect.map((socket) => {
          this.add(socket, scope)
          return Effect.andThen(this.runtime.dropSocket(socket.local), Scope.close(scope, Exit.void))
        }),
        Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, Exit.void))),
        Effect.uninterruptible
      )
    })
  }

  /** Routes may have changed. */
  forgetRoutes(): void {
    this.routes.clear()
  }

  /** One more socket on an address. */
  another(host: string): Effect.Effect<Address, QuicError> {
    return this.bind({ host, port: 0 }, false)
  }

  private routed(
    remote: Address,
    bind: (host: string) => Effect.Effect<Address, QuicError>
  ): Effect.Effect<Address, QuicError> {
    const attempt = Effect.flatMap(this.hostTowards(remote), bind)
    return attempt.pipe(
      // The routes may have changed since they were asked.
      Effect.catchReason("QuicError", "AddressUnavailable", () => {
        this.routes.delete(remote.host)
        return attempt
      }),
      // There are addresses that cannot be bound by themselves, such as those of some tunnels.
      Effect.catchReason("QuicError", "AddressUnavailable", () => bind(remote.family === 6 ? "::" : "0.0.0.0"))
    )
  }

  private hostTowards(remote: Address): Effect.Effect<string, QuicError> {
    return Effect.suspend(() => {
      const now = this.runtime.now()
      const known = this.routes.get(remote.host)
      if (known !== undefined && known.until > now) return Effect.succeed(known.host)
      return Effect.map(this.askSystem(remote), (host) => {
        if (this.routes.size >= MAX_ROUTES) this.routes.clear()
        this.routes.set(remote.host, { host, until: now + ROUTE_MEMORY })
        return host
      })
    })
  }

  /** A simulated host has no routes: its first address of the family is the one. */
  private askSystem(remote: Address): Effect.Effect<string, QuicError> {
    if (!this.simulated) return sourceHost(remote)
    const host = this.udp.hosts.find((each) => each.includes(":") === (remote.family === 6))
    return host === undefined ? Effect.fail(unreachable(remote)) : Effect.succeed(host)
  }

  private get simulated(): boolean {
    return this.udp.lane === "simulated"
  }
}
