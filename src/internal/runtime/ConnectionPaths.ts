/**
 * Paths of a connection as its users open and move them: from which address, and what is waited for meanwhile.
 */
import { Effect } from "effect"
import { AddressUnreachable, PathUnavailable, QuicError } from "../../QuicError.ts"
import type { ConnectionMachine, OpenPathRefusal } from "../connection/Machine.ts"
import type { PathStatus, PathView } from "../paths/Scheduler.ts"
import type { Address } from "../wire/Datagram.ts"
import { hostOf, toInetAddress } from "./Addresses.ts"
import type { AddressInput } from "./Addresses.ts"
import { attemptPolicy, closeError } from "./CloseError.ts"

/** How often opening or moving a path waits one round trip for the peer's connection IDs, which come right after the handshake. */
const CONNECTION_ID_ROUNDS = 5

/** What paths need of the endpoint of their connection. */
export interface PathHost {
  readonly runtime: { readonly now: () => number }
  /** Gives `use` the address to send to `remote` from: of a socket that is bound there, or of one bound now. */
  readonly withLocalAddress: <A>(
    local: AddressInput | undefined,
    primary: Pick<PathView, "local" | "remote">,
    remote: Address,
    use: (local: Address) => Effect.Effect<A, QuicError>
  ) => Effect.Effect<A, QuicError>
  readonly remoteAddress: (remote: AddressInput, primary: Address) => Effect.Effect<Address, QuicError>
  /** Gives `use` the address to send to `remote` from, now that `gone` is of this host no more. */
  readonly awayFrom: <A>(
    gone: Address,
    remote: Address,
    use: (local: Address) => Effect.Effect<A, QuicError>
  ) => Effect.Effect<A, QuicError>
}

const unavailable = (why: OpenPathRefusal): QuicError => new QuicError({ reason: new PathUnavailable({ why }) })

export class ConnectionPaths {
  private readonly machine: ConnectionMachine
  private readonly host: PathHost

  constructor(machine: ConnectionMachine, host: PathHost) {
    this.machine = machine
    this.host = host
  }

  /** Opens a path; gives its ID. `primary`: whose addresses stand for those that are not named. */
  open(
    primary: PathView,
    wanted: {
      readonly local: AddressInput | undefined
      readonly remote: AddressInput | undefined
      readonly status: PathStatus
    }
  ): Effect.Effect<number, QuicError> {
    const { host } = this
    const remote =
      wanted.remote === undefined ? Effect.succeed(primary.remote) : host.remoteAddress(wanted.remote, primary.remote)
    return Effect.flatMap(remote, (to) =>
      // Asked first, so that no socket is bound for nothing.
      Effect.andThen(
        this.retried(() => this.machine.pathRefusal(to)),
        host.withLocalAddress(wanted.local, primary, to, (local) =>
          this.tryOpen({ local, remote: to, status: wanted.status })
        )
      )
    )
  }

  /** Moves a path to another local address: to the given one, else to another port of its own. */
  migrate(pathId: number, local: AddressInput | undefined): Effect.Effect<void, QuicError> {
    return Effect.suspend(() => {
      const path = this.machine.path(pathId)
      return path === undefined
        ? Effect.fail(unavailable("closed"))
        : this.host.withLocalAddress(local, path, path.remote, (address) => this.move(pathId, address, false))
    })
  }

  /** Moves a path away from an address that is gone, unless another path leaves from where it would go. */
  moveAway(pathId: number): Effect.Effect<void, QuicError> {
    return Effect.suspend(() => {
      const path = this.machine.path(pathId)
      if (path === undefined || path.state === "closing") return Effect.void
      return this.host.awayFrom(path.local, path.remote, (address) => {
        const taken = this.machine.paths.some(
          (other) => other.id !== pathId && other.state === "active" && other.local.host === address.host
        )
        return taken ? Effect.void : this.move(pathId, address, true)
      })
    })
  }

  /** The same, to where the routes lead if that is one of `to`, else to the first of them that can be had. */
  moveTo(pathId: number, to: ReadonlyArray<AddressInput>): Effect.Effect<void, QuicError> {
    return Effect.suspend(() => {
      const path = this.machine.path(pathId)
      if (path === undefined || path.state === "closing") return Effect.fail(unavailable("closed"))
      const hosts = new Set(to.map((each) => hostOf(each)))
      const move = (address: Address) => this.move(pathId, address, true)
      const elsewhere = () =>
        new QuicError({ reason: new AddressUnreachable({ address: String(path.remote), local: path.local.host }) })
      const routed = this.host.awayFrom(path.local, path.remote, (address) =>
        hosts.has(hostOf(toInetAddress(address))) ? move(address) : Effect.fail(elsewhere())
      )
      return to.reduce<Effect.Effect<void, QuicError>>(
        (attempt, each) => Effect.catch(attempt, () => this.host.withLocalAddress(each, path, path.remote, move)),
        routed
      )
    })
  }

  private tryOpen(options: {
    readonly local: Address
    readonly remote: Address
    readonly status: PathStatus
  }): Effect.Effect<number, QuicError> {
    return Effect.suspend(() => {
      const { machine } = this
      const closed = machine.closeInfo
      if (closed !== undefined) return Effect.fail(closeError(closed))
      if (machine.busy) return Effect.andThen(Effect.yieldNow, this.tryOpen(options))
      const opened = attemptPolicy(() => machine.openPath(options, this.host.runtime.now()))
      if (opened instanceof QuicError) return Effect.fail(opened)
      if (typeof opened === "string") return Effect.fail(unavailable(opened))
      machine.wake()
      return Effect.succeed(opened)
    })
  }

  private move(pathId: number, local: Address, gone: boolean): Effect.Effect<void, QuicError> {
    const { machine } = this
    return this.retried(() => machine.migratePath(pathId, local, gone, this.host.runtime.now()))
  }

  /** Does it until it is not refused, if all that is missing are the peer's connection IDs; the peer is told. */
  private retried(
    attempt: () => OpenPathRefusal | undefined,
    rounds = CONNECTION_ID_ROUNDS
  ): Effect.Effect<void, QuicError> {
    return Effect.suspend(() => {
      const { machine } = this
      const closed = machine.closeInfo
      if (closed !== undefined) return Effect.fail(closeError(closed))
      if (machine.busy) return Effect.andThen(Effect.yieldNow, this.retried(attempt, rounds))
      const refusal = attempt()
      machine.wake()
      if (refusal === undefined) return Effect.void
      if (refusal !== "noConnectionIds" || rounds === 0) return Effect.fail(unavailable(refusal))
      const roundTrip = machine.paths[0]?.smoothedRtt ?? 1
      return Effect.andThen(Effect.sleep(Math.max(1, roundTrip)), this.retried(attempt, rounds - 1))
    })
  }
}
