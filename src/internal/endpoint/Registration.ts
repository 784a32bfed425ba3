/**
 * What an endpoint keeps of one connection: the IDs and reset tokens that lead to it, and whether it counts as a handshake.
 * One object with methods, where a closure for each would cost every idle connection half a kilobyte.
 */
import type { Connection, ConnectionHost } from "../connection/Connection.ts"
import type { LocalConnectionId } from "../paths/LocalConnectionIds.ts"
import type { Address } from "../wire/Datagram.ts"
import type { ConnectionIdTable, Route } from "./ConnectionIdTable.ts"
import type { ResetTokens } from "./ResetTokens.ts"

/** What all connections of an endpoint share. */
export interface Registry {
  readonly ids: ConnectionIdTable<Connection>
  readonly resetTokens: ResetTokens<Connection>
  readonly onWake: (connection: Connection) => void
  readonly onGone: (connection: Connection) => void
  /** A server connection is no longer one of those whose client's address is not validated. */
  readonly onHandshakeSettled: () => void
  /** A token with which a client at this address can come back. */
  readonly newToken: (remote: Address) => Uint8Array
}

export class Registration implements ConnectionHost {
  /** The ID that the peer's first packets come back to: issued before the connection that it leads to exists. */
  readonly own: Route<Connection>
  private connection: Connection | undefined = undefined
  /** Server: the key of the ID that the client made up. */
  private initialKey: string | undefined = undefined
  private handshaking = false
  private readonly registry: Registry

  constructor(registry: Registry) {
    this.registry = registry
    this.own = registry.ids.issue(undefined, 0, 0)
  }

  bind(connection: Connection): void {
    this.connection = connection
    this.registry.ids.bind(this.own, connection)
  }

  /** Server: the ID of the client's first packets leads here too. `proven`: its address is known to be its own. */
  accept(initialId: Uint8Array, proven: boolean): void {
    this.initialKey = this.registry.ids.addInitial(initialId, this.own)
    this.handshaking = !proven
  }

  newToken(remote: Address): Uint8Array {
    return this.registry.newToken(remote)
  }

  issue(pathId: number, sequence: number): LocalConnectionId {
    return this.registry.ids.issue(this.connection, pathId, sequence)
  }

  retire(id: LocalConnectionId): void {
    this.registry.ids.retire(id)
  }

  addResetToken(token: Uint8Array): void {
    this.registry.resetTokens.add(token, this.connection!)
  }

  removeResetToken(token: Uint8Array): void {
    this.registry.resetTokens.remove(token, this.connection!)
  }

  onWake(connection: Connection): void {
    this.registry.onWake(connection)
  }

  onAddressValidated(): void {
    if (this.handshaking) this.registry.onHandshakeSettled()
    this.handshaking = false
  }

  /** The connection is gone; the IDs that it has issued it took back itself. */
  onDiscarded(connection: Connection): void {
    if (this.initialKey !== undefined) this.registry.ids.removeInitial(this.initialKey)
    this.onAddressValidated()
    this.registry.onGone(connection)
  }
}
