/**
 * The local addresses that paths leave from, as the host has them: a client moves a path to another one (RFC 9000 section 9),
 * and a path whose address is gone is suspected at once, on either side.
 */
import { mayMove, moveLocal } from "../paths/MovingIds.ts"
import type { Path } from "../paths/Path.ts"
import type { OpenPathRefusal } from "../paths/PathEvent.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { FailureDetector } from "./FailureDetector.ts"
import type { Migration } from "./Migration.ts"
import type { Probing } from "./Probing.ts"

export class LocalMigration {
  private readonly core: ConnectionState
  private readonly failureDetector: FailureDetector
  private readonly migration: Migration
  private readonly probing: Probing

  constructor(core: ConnectionState, migration: Migration, failureDetector: FailureDetector, probing: Probing) {
    this.core = core
    this.migration = migration
    this.failureDetector = failureDetector
    this.probing = probing
  }

  /**
   * The path leaves from `local` from now on. The peer's address is proven already, so data goes on at once; whether packets
   * get there this way, a challenge tells. When it fails, the path returns to its old address, unless that is `gone`.
   */
  migrate(path: Path, local: Address, gone: boolean, now: number): OpenPathRefusal | undefined {
    const { core } = this
    if (!core.open || !path.open) return "closed"
    if (core.role === "server") return "server"
    if (!core.confirmed) return "notConfirmed"
    // RFC 9000 section 18.2: towards the address of the handshake.
    if (core.peer?.disableActiveMigration === true && sameAddress(core.paths.handshakeAddress, path.remote))
      return "migrationDisabled"
    if (sameAddress(path.local, local)) return undefined
    for (const other of core.paths.all) {
      if (other.open && sameAddress(other.local, local) && sameAddress(other.remote, path.remote)) return "duplicate"
    }
    path.addressLost = false
    if (path.leadTo(local, path.remote)) return this.migration.goBack(path, now) ? undefined : "noConnectionIds"
    // Section 9.5: no connection ID is used from two addresses, unless the peer has none at all.
    if (path.remoteIds.active?.bytes.length !== 0 && !mayMove(core.paths, path, local)) return "noConnectionIds"
    const { host } = path.local
    // One that was not proven is nothing to return to: what was before it still is.
    if (!gone && path.previous === undefined) path.keepPrevious()
    moveLocal(core.paths, path, local, now)
    // The peer has yet to see where this is.
    path.observed = undefined
    path.sizeProven = false
    // Section 9.4: another port is most likely the same way.
    if (host !== local.host) path.restart(now)
    // What is on its way may arrive; what comes back to the old address will not.
    if (gone) path.recovery.handOver(Space.application)
    core.validate(path, now)
    // A challenge alone moves nobody (section 9.2).
    path.probes = Math.max(path.probes, 1)
    path.probeWithData = true
    core.emitPath({ kind: "migrated", pathId: path.id, local, remote: path.remote })
    return undefined
  }

  /** The host has lost the address of the path. May be said again while that lasts. */
  onAddressLost(path: Path): void {
    if (!this.core.open || !path.open || !path.validated) return
    path.addressLost = true
    this.failureDetector.onAddressLost(path)
  }

  /** The host has it again: the path is asked now, not when its next probe is due. */
  onAddressBack(path: Path): void {
    path.addressLost = false
    if (!this.core.open || !path.open || !path.validated) return
    if (this.core.hasAlternative(path)) this.probing.alone(path)
    else this.probing.withData(path)
  }
}
