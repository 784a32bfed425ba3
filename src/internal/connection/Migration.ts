/**
 * Validation of paths, and change of the peer's address under one (RFC 9000 sections 8.2 and 9; draft-21 section 3.1.2).
 *
 * A packet from a new address moves the path at once, within the 3x limit, and the new address is challenged. What is known
 * about the old one is kept until the new one is proven: whoever copies packets of the peer from elsewhere gets little, and
 * costs the path neither its connection ID nor its window.
 */
import { leaveRemoteId, moveRemoteId, releaseRemoteIds, restoreRemoteId } from "../paths/MovingIds.ts"
import type { Path } from "../paths/Path.ts"
import { CHALLENGE_LENGTH } from "../paths/PathValidation.ts"
import type { DatagramBurst } from "../wire/Datagram.ts"
import { PathError, TransportError, violation } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { PathControl } from "./PathControl.ts"

/** Attempts in a row after which the only path that there is counts as one that leads nowhere. */
const LAST_ATTEMPTS = 5

/**
 * Probe timeouts after a path started over within which the return to a proven address is no new start: a window for each
 * packet that comes from the other of two addresses would be no congestion control.
 */
const RESTART_PTOS = 3

/** ms between challenges to the address before, however often somebody seems to move: each has 1200 bytes. */
const CHALLENGE_INTERVAL = 10

export class Migration {
  private readonly core: ConnectionState
  private readonly pathControl: PathControl

  constructor(core: ConnectionState, pathControl: PathControl) {
    this.core = core
    this.pathControl = pathControl
  }

  /** A challenge of ours was answered. */
  onValidated(path: Path, now: number): void {
    if (!path.open) return
    this.probed(path, true)
    if (path.validation.expanded) path.sizeProven = true
    if (path.validated) {
      // A client has moved the path itself: the peer's address was proven all the time.
      if (path.previous !== undefined) {
        path.forgetPrevious(now)
      }
      releaseRemoteIds(this.core.paths, path)
      return
    }
    this.proven(path, now)
    // VAL-4: the 3x limit kept the challenge small, so the size is still to be proven.
    if (!path.sizeProven) this.core.validate(path, now)
  }

  onValidationFailed(path: Path, now: number): void {
    const { core } = this
    this.probed(path, false)
    if (path.validated && path.sizeProven) return
    // RFC 9000 section 9.3.2
    if (this.goBack(path, now)) return
    if (core.hasAlternative(path)) {
      // VAL-5
      this.pathControl.abandon(path, PathError.unstableOrPoor, now)
    } else if (!path.validated && core.paths.hasValidated) {
      // Nothing works: that is no fault of this path, and each one that is given up takes a path ID with it, which the peer
      // cannot replace before it is heard again.
      path.validation.failures = 0
      path.validation.retry(now)
    } else if (path.validation.failures < LAST_ATTEMPTS) {
      // There is no other: it may be out of order for a moment.
      path.validation.retry(now)
    } else if (!path.validated && path.id !== 0) {
      // ABN-8: it was to take over from a path that is gone.
      core.fail(violation(TransportError.noViablePath, "the only path left does not work"))
    }
  }

  private probed(path: Path, answered: boolean): void {
    if (!path.probeWanted) return
    path.probeWanted = false
    this.core.emitPath({ kind: "probed", pathId: path.id, answered })
  }

  /**
   * Server: the peer's packets on a path come from elsewhere now (VAL-6, RFC 9000 section 9.3). `sequence`: of the ID of ours
   * that the packet was sent to.
   */
  onAddressChange(path: Path, burst: DatagramBurst, datagram: number, sequence: number, now: number): void {
    const { core } = this
    if (!path.open || core.role === "client") return
    const local = burst.local[datagram]!
    const remote = burst.remote[datagram]!
    const bytes = burst.length[datagram]!
    if (path.leadTo(local, remote) && this.goBack(path, now)) {
      path.peerSequence = sequence
      return
    }
    // A peer that moves takes another ID; under the same one a translator has moved it (RFC 9000 section 9.5). So it is, too, if
    // only its port is another one, and it has changed its ID before: with no ID left for there the answer has the one of before,
    // which tells nobody more than the address does. Nothing would be heard otherwise, and nothing ask the peer for more.
    const samePlace = remote.host === path.remote.host && local.host === path.local.host
    const deliberate = sequence !== path.peerSequence && !(samePlace && !path.remoteIds.hasFor(local, remote))
    const { validated } = path
    if (deliberate) moveRemoteId(core.paths, path, local, remote)
    path.moveTo(local, remote)
    // The 3x limit may silence it: what is under way then is others' to send.
    path.recovery.oneOfSeveral = core.hasAlternative(path)
    path.peerSequence = sequence
    path.onUnvalidatedBytes(bytes)
    core.emitPath({ kind: "migrated", pathId: path.id, local, remote })
    if (path.wasProven(remote, now)) {
      this.proven(path, now, now - path.restartedAt >= RESTART_PTOS * core.pto(path))
      path.validation.stop()
      return
    }
    core.validate(path, now)
    // Section 9.3.3: its owner, if it is still there, speaks up. Not for each of many packets that somebody copies.
    const { previous } = path
    if (!validated || previous === undefined || now - path.challengedAt < CHALLENGE_INTERVAL) return
    path.challengedAt = now
    path.answers.challenge(core.random(CHALLENGE_LENGTH), previous.local, previous.remote)
  }

  /**
   * The path's address is the peer's: what was kept for the address before goes. `mayRestart`: unless it just did, and
   * switches between addresses that are proven. Each start is a new window.
   */
  private proven(path: Path, now: number, mayRestart = true): void {
    const { core } = this
    const { previous } = path
    path.setValidated()
    // Section 9.5; CID-12.
    if (previous !== undefined || path.remoteIds.isAway) leaveRemoteId(core.paths, path)
    if (previous !== undefined) {
      path.forgetPrevious(now)
      // VAL-7, section 9.4: another port of the same host is most likely a NAT that forgot, on the same way.
      if (mayRestart && previous.remote.host !== path.remote.host) path.restart(now)
    }
    core.emitPath({ kind: "validated", pathId: path.id })
  }

  /**
   * The path leads to its previous address again: the peer was there all the time, or the new one came to nothing. Proven once,
   * it need not be proven again; window and RTT are those of before (RFC 9000 section 9.3). A client tells the server, and asks.
   * `false`: there is no such address, or no connection ID for it.
   */
  goBack(path: Path, now: number): boolean {
    const { core } = this
    const { previous } = path
    if (previous === undefined || !path.remoteIds.mayReturn(previous.local, previous.remote)) return false
    restoreRemoteId(core.paths, path, previous.local, previous.remote)
    path.goBack()
    if (core.role === "client") {
      path.movedAt = now
      path.probes = Math.max(path.probes, 1)
      core.validate(path, now)
    } else releaseRemoteIds(core.paths, path)
    core.emitPath({ kind: "migrated", pathId: path.id, local: path.local, remote: path.remote })
    return true
  }
}
