/**
 * Runs the path manager of a connection, and shows it what it may see.
 */
import { Cause, Effect, Stream } from "effect"
import type { Scope } from "effect"
import type { NetAddress } from "effect/net"
import type { ConnectionImpl, OpenPathOptions } from "../../Connection.ts"
import { ofHost } from "../../LocalAddresses.ts"
import type { Service as LocalAddresses } from "../../LocalAddresses.ts"
import type { Event, Path } from "../../Path.ts"
import type { QuicError } from "../../QuicError.ts"
import type { AddressInput } from "./Addresses.ts"
import { hostOf } from "./Addresses.ts"
import { effectOf } from "./Arguments.ts"
import type { EndpointLog } from "./EndpointLog.ts"
import type { EndpointRuntime } from "./EndpointRuntime.ts"
import type { HostAddresses } from "./HostAddresses.ts"
import { LiveValue } from "./LiveValue.ts"

/**
 * What a path manager sees of its connection, and can do. Fields are live.
 *
 * @category models
 * @since 0.2.0
 */
export interface View {
  /** The connection's name in logs. */
  readonly id: string
  /** Which side this is: only clients open paths. */
  readonly role: "client" | "server"
  /** Whether both sides agreed to use several paths. */
  readonly multipath: boolean
  /** Waits until the handshake is confirmed: no path can be opened before. */
  readonly confirmed: Effect.Effect<void>
  /** Paths that are open or closing, lowest ID first. */
  readonly paths: ReadonlyArray<Path>
  /** What happens to the paths from now on. */
  readonly events: Stream.Stream<Event>
  /** Local addresses of the connection (`LocalAddresses`), but those that this host has lost. */
  readonly localAddresses: LocalAddresses
  /** Where the peer says that it can be reached too: its word, which nobody has proven. */
  readonly remoteAddresses: LocalAddresses
  /** Something when more paths may be possible than before: the peer has raised its limit or sent connection IDs. */
  readonly room: Stream.Stream<void>
  /** As `Connection.openPath`. */
  readonly openPath: (options?: OpenPathOptions) => Effect.Effect<Path, QuicError>
  /** As `Path.close`. Does nothing if there is no such path. */
  readonly closePath: (
    pathId: number,
    options?: { readonly code?: number | undefined }
  ) => Effect.Effect<void, QuicError>
  /**
   * Moves a path (RFC 9000 section 9) off an address that is gone: to where the system's routes lead, if that is one of `to`,
   * else to the first of them that can be had.
   */
  readonly movePath: (
    pathId: number,
    options: { readonly to: ReadonlyArray<AddressInput> }
  ) => Effect.Effect<void, QuicError>
  /**
   * From now on paths whose local address this host has lost are left to the manager. Otherwise each moves to where the routes
   * lead, unless another leaves from there.
   */
  readonly handleLostPaths: Effect.Effect<void>
}

/**
 * Manages the paths of one connection: run when its handshake is complete, in a scope of its own, and interrupted when it ends.
 *
 * @category models
 * @since 0.2.0
 */
export type Factory = (view: View) => Effect.Effect<void, unknown, Scope.Scope>

/** Does nothing, and costs nothing. */
export const manual: Factory = () => Effect.void

/** The manager of a place where connections are made. */
export interface Management {
  readonly factory: Factory
  readonly addresses: LocalAddresses
}

/** Those of `addresses` that the host has not lost, by what its endpoint knows. */
const present = (addresses: LocalAddresses, host: HostAddresses): LocalAddresses => {
  if (addresses === ofHost) return host.list
  const current = (): ReadonlyArray<NetAddress.InetAddress> =>
    host.lost.size === 0 ? addresses.current : addresses.current.filter((address) => !host.isLost(hostOf(address)))
  // A service of the user's that has none is the manager's failure, not that of the connection.
  const told = Stream.suspend(() =>
    addresses.changes.pipe(
      Stream.tap((list) =>
        Effect.sync(() => {
          // One that is back may be known here before the endpoint has looked.
          if (list.some((address) => host.isLost(hostOf(address)))) host.nudge()
        })
      )
    )
  )
  return {
    get current() {
      return current()
    },
    changes: Stream.merge(told, host.list.changes).pipe(Stream.map(current))
  }
}

/** Runs the manager once the connection is established. @internal */
export const managePaths = (
  connection: ConnectionImpl,
  { addresses, factory }: Management,
  host: HostAddresses,
  runtime: EndpointRuntime,
  log: EndpointLog
): void => {
  if (factory === manual) return
  const room = new LiveValue<void>(undefined)
  connection.onPathRoom = () => room.set()
  const view: View = {
    id: connection.id,
    role: connection.role,
    get multipath() {
      return connection.multipath
    },
    confirmed: Effect.catch(
      Effect.suspend(() => connection.waitConfirmed()),
      () => Effect.never
    ),
    get paths() {
      return connection.paths
    },
    get events() {
      return connection.events
    },
    localAddresses: present(addresses, host),
    remoteAddresses: connection.remoteAddresses,
    room: room.changes,
    openPath: connection.openPath,
    closePath: (pathId, options) => connection.path(pathId)?.close(options) ?? Effect.void,
    movePath: (pathId, { to }) => connection.moveTo(pathId, to),
    handleLostPaths: Effect.sync(() => {
      connection.movesLostPaths = false
    })
  }
  connection.onEstablished = () => {
    const run = Effect.suspend(() => effectOf("factory", factory(view))).pipe(
      Effect.scoped,
      Effect.catchCause((cause) =>
        Effect.sync(() => {
          connection.movesLostPaths = true
          if (Cause.hasInterruptsOnly(cause)) return
          log.limited(
            "Error",
            "A path manager failed: the connection goes on with the paths that it has",
            { connection: connection.id },
            cause
          )
        })
      )
    )
    runtime.fork(Effect.raceFirst(run, connection.closed))
  }
}
