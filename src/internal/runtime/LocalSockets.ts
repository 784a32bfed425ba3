/**
 * The sockets of an endpoint that are bound when they are needed: one for each local address that connections leave from.
 */
import { Effect, Scope } from "effect"
import { AddressUnreachable, QuicError } from "../../QuicError.ts"
import type { BindOptions, Sockets } from "./Sockets.ts"
import type { Address } from "../wire/Datagram.ts"
import type { EndpointRuntime } from "./EndpointRuntime.ts"
import { sourceHost } from "./Resolve.ts"

/** ms for which an answer of the system's routes is believed, and how many of them are kept. */
const ROUTE_MEMORY = 5000
const MAX_ROUTES = 1000

export class LocalSockets {
  private readonly udp: Sockets
  private readonly runtime: EndpointRuntime
  private readonly scope: Scope.Scope
  private readonly options: BindOptions
  private readonly routes = new Map<string, { readonly host: string; readonly until: number }>()

  /** Sockets are closed by `scope`, which must outlive the runtime. */
  constructor(udp: Sockets, runtime: EndpointRuntime, scope: Scope.Scope, options: BindOptions) {
    this.udp = udp
    this.runtime = runtime
    this.scope = scope
    this.options = options
  }

  /** Binds another socket on this host, whatever is there already. */
  bind(local: Pick<Address, "host" | "port">): Effect.Effect<Address, QuicError> {
    return this.udp.bind(local, this.options).pipe(
      Scope.provide(this.scope),
      Effect.map((socket) => {
        this.runtime.addSocket(socket)
        return socket.local
      }),
      Effect.uninterruptible
    )
  }

  /** The address of a socket on this host, bound now if there is none. Port 0 stands for any. */
  on(local: Address): Effect.Effect<Address, QuicError> {
    return Effect.suspend(() => {
      const there = this.runtime.sockets.find(
        (socket) => socket.local.host === local.host && (local.port === 0 || socket.local.port === local.port)
      )
      return there === undefined ? this.bind(local) : Effect.succeed(there.local)
    })
  }

  /** The address of a socket that packets to `remote` leave from, by the routes of this host. */
  towards(remote: Address): Effect.Effect<Address, QuicError> {
    const { book } = this.runtime
    return Effect.flatMap(this.hostTowards(remote), (host) =>
      this.on(book.intern(host, 0, remote.family)).pipe(
        // There are addresses that cannot be bound by themselves, such as those of some tunnels.
        Effect.catchReason("QuicError", "AddressUnavailable", () =>
          this.on(book.intern(remote.family === 6 ? "::" : "0.0.0.0", 0, remote.family))
        )
      )
    )
  }

  private hostTowards(remote: Address): Effect.Effect<string, QuicError> {
    return Effect.suspend(() => {
      const now = this.runtime.now()
      const known = this.routes.get(remote.host)
      if (known !== undefined && known.until > now) return Effect.succeed(known.host)
      return Effect.flatMap(this.askSystem(remote), (host) => {
        if (host === undefined)
          return Effect.fail(new QuicError({ reason: new AddressUnreachable({ address: remote.toString() }) }))
        if (this.routes.size >= MAX_ROUTES) this.routes.clear()
        this.routes.set(remote.host, { host, until: now + ROUTE_MEMORY })
        return Effect.succeed(host)
      })
    })
  }

  /** A simulated host has no routes: its first address of the family is the one. */
  private askSystem(remote: Address): Effect.Effect<string | undefined> {
    return this.udp.lane === "simulated"
      ? Effect.sync(() => this.udp.hosts.find((host) => host.includes(":") === (remote.family === 6)))
      : sourceHost(remote)
  }
}
