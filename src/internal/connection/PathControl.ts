/**
 * The life of paths beyond their frames: opening, validation, change of address, closing. Silence is `FailureDetector`'s.
 */
import type { PathStatus } from "../paths/Scheduler.ts"
import type { Path } from "../paths/Path.ts"
import type { OpenPathRefusal } from "../paths/PathEvent.ts"
import { CHALLENGE_LENGTH } from "../paths/PathValidation.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address, DatagramBurst } from "../wire/Datagram.ts"
import { PathError, TransportError, violation } from "../wire/Protocol.ts"
import type { ConnectionCore } from "./Core.ts"

/** ms that a peer gets at least to answer PATH_ABANDON: the answer may be lost a few times. */
const MIN_PATIENCE = 5000

export class PathControl {
  private readonly core: ConnectionCore
  /** Figures of paths that are gone, so that those of the connection never fall. */
  readonly closedTotals = { packetsSent: 0, packetsLost: 0, bytesSent: 0, bytesReceived: 0 }

  constructor(core: ConnectionCore) {
    this.core = core
  }

  open(local: Address, remote: Address | undefined, status: PathStatus, now: number): number | OpenPathRefusal {
    const { core } = this
    const to = remote ?? core.paths.primary.remote
    const refusal = this.refusal(to)
    if (refusal !== undefined) return refusal
    for (const path of core.paths.all) {
      if (path.open && sameAddress(path.local, local) && sameAddress(path.remote, to)) return "duplicate"
    }
    const path = core.paths.open(local, to, status)
    if (typeof path === "string") return path
    this.begin(path, now)
    return path.id
  }

  /** Why no path to this address can be opened now, wherever it begins. */
  refusal(remote: Address): OpenPathRefusal | undefined {
    const { core } = this
    if (!core.open) return "closed"
    if (core.role === "server") return "server"
    if (!core.confirmed) return "notConfirmed"
    // NEG-12
    if (core.peer?.disableActiveMigration === true && sameAddress(core.paths.handshakeAddress, remote))
      return "migrationDisabled"
    return core.paths.refusal
  }

  /** Server: a packet on an unused path ID (VAL-2). */
  onNewPath(pathId: number, burst: DatagramBurst, datagram: number, now: number): Path | undefined {
    const path = this.core.paths.openFromPeer(pathId, burst.local[datagram]!, burst.remote[datagram]!)
    if (path !== undefined) this.begin(path, now)
    return path
  }

  onValidated(path: Path, now: number): void {
    const { core } = this
    if (!path.open) return
    const { previous, validated } = path
    path.setValidated()
    if (path.validation.expanded) path.sizeProven = true
    path.previous = undefined
    if (validated) return
    // VAL-7, RFC 9000 section 9.4: another port of the same host is most likely a NAT that forgot, on the same way.
    if (previous !== undefined && previous.remote.host !== path.remote.host) path.recovery.resetForNewAddress(now)
    core.emitPath({ kind: "validated", pathId: path.id })
    // VAL-4: the 3x limit kept the challenge small, so the size is still to be proven.
    if (!path.sizeProven) path.validation.start(core.pto(path))
  }

  onValidationFailed(path: Path, now: number): void {
    const { core } = this
    if (path.validated && path.sizeProven) return
    if (path.previous !== undefined) {
      // RFC 9000 section 9.3.2
      const { local, remote } = path.previous
      path.previous = undefined
      path.local = local
      path.remote = remote
      path.setValidated()
    } else if (core.paths.all.some((other) => other !== path && other.open && other.validated)) {
      // VAL-5
      this.abandon(path, PathError.unstableOrPoor, now)
    } else if (!path.validated && path.id !== 0) {
      // ABN-8: it was to take over from a path that is gone.
      core.fail(violation(TransportError.noViablePath, "the only path left does not work"))
    }
  }

  /** Server: the peer's packets on a path come from elsewhere now (VAL-6, RFC 9000 section 9.3). */
  onAddressChange(path: Path, burst: DatagramBurst, datagram: number): void {
    const { core } = this
    if (!path.open || core.role === "client") return
    const known = path.validated
    path.moveTo(burst.local[datagram]!, burst.remote[datagram]!)
    if (known && path.previous !== undefined) path.queueChallenge(core.random(CHALLENGE_LENGTH), path.previous)
    path.onDatagramReceived(burst.length[datagram]!)
    path.onUnvalidatedBytes(burst.length[datagram]!)
    core.paths.rotateRemoteId(path)
    path.validation.start(core.pto(path))
    core.emitPath({ kind: "migrated", pathId: path.id, local: path.local, remote: path.remote })
  }

  close(pathId: number, code: number, now: number): boolean {
    const path = this.core.paths.get(pathId)
    if (path === undefined || !path.open) return false
    // The last path is closed by closing the connection.
    if (!this.core.paths.all.some((other) => other !== path && other.open)) return false
    this.abandon(path, code, now)
    return true
  }

  /** Drops the state of closed paths whose time is over. */
  discardExpired(now: number): void {
    if (this.core.paths.nextDiscard() <= now) this.core.paths.discardExpired(now, this.onDiscard)
  }

  private readonly onDiscard = (path: Path): void => {
    const totals = this.closedTotals
    totals.packetsSent += path.recovery.packetsSent
    totals.packetsLost += path.recovery.packetsLost
    totals.bytesSent += path.recovery.bytesSent
    totals.bytesReceived += path.bytesReceived
    this.core.handshake.oneRtt?.forgetPath(path.id)
  }

  abandon(path: Path, code: number, now: number): void {
    this.core.paths.abandon(path, code, now, Math.max(3 * this.core.largestPto(), MIN_PATIENCE))
  }

  /** ms: what flow-control windows must cover. */
  slowestRtt(): number {
    let slowest = 0
    for (const path of this.core.paths.all) {
      if (path.open && path.hasRtt && path.state === "active") slowest = Math.max(slowest, path.smoothedRtt)
    }
    return slowest === 0 ? this.core.settings.initialRtt : slowest
  }

  private begin(path: Path, now: number): void {
    path.lastReceived = now
    path.recovery.hasHandshakeKeys = true
    path.validation.start(this.core.pto(path))
  }
}
