/**
 * The life of paths beyond their frames: opening and closing. Proof and change of their addresses are `Migration`'s, silence
 * is `FailureDetector`'s.
 */
import type { PathStatus } from "../paths/Scheduler.ts"
import type { Path } from "../paths/Path.ts"
import type { OpenPathRefusal } from "../paths/PathEvent.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address, DatagramBurst } from "../wire/Datagram.ts"
import type { ConnectionState } from "./ConnectionState.ts"

/** ms that a peer gets at least to answer PATH_ABANDON: the answer may be lost a few times. */
const MIN_PATIENCE = 5000

export class PathControl {
  private readonly core: ConnectionState

  constructor(core: ConnectionState) {
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
    this.core.handshake.oneRtt?.forgetPath(path.id)
  }

  abandon(path: Path, code: number, now: number): void {
    const { core } = this
    core.paths.abandon(path, code, now, Math.max(3 * core.largestPto(), MIN_PATIENCE))
    // Draft-21 section 3.4: the frame may be the last thing that leaves on the path itself. Where no other works, it is; one
    // that is being proven will tell it.
    if (path.validated && core.paths.hasValidated && !core.hasAlternative(path)) path.farewellPending = true
  }

  private begin(path: Path, now: number): void {
    path.lastReceived = now
    path.recovery.hasHandshakeKeys = true
    this.core.validate(path, now)
  }
}
