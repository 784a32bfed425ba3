/**
 * The life of paths beyond their frames: opening, validation, change of address, probe timeouts and silent death.
 */
import type { PathStatus } from "../paths/Scheduler.ts"
import { spaceOfLevel } from "../paths/Path.ts"
import type { Path } from "../paths/Path.ts"
import type { OpenPathRefusal } from "../paths/PathEvent.ts"
import { CHALLENGE_LENGTH } from "../paths/PathValidation.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address, DatagramBurst } from "../wire/Datagram.ts"
import { Level, PathError, TransportError, violation } from "../wire/Protocol.ts"
import type { ConnectionCore } from "./Core.ts"
import type { HandshakeSender } from "./HandshakeSender.ts"

/** ms: probes of a silent path go on at least this often when there are several, so that it is found again soon. */
const MULTIPATH_PTO_CAP = 500
/** ms that a peer gets at least to answer PATH_ABANDON: the answer may be lost a few times. */
const MIN_PATIENCE = 5000
/** Probe timeouts in a row after which a path that others depend on is given up, if these are shown to work. */
const DEAD_WAY_PTOS = 2
/** Probes that a timeout sends (RFC 9002 section 6.2.4). */
const PROBES = 2

export class PathControl {
  private readonly core: ConnectionCore
  private readonly handshakeSender: HandshakeSender
  /** Figures of paths that are gone, so that those of the connection never fall. */
  readonly closedTotals = { packetsSent: 0, packetsLost: 0, bytesSent: 0, bytesReceived: 0 }

  constructor(core: ConnectionCore, handshakeSender: HandshakeSender) {
    this.core = core
    this.handshakeSender = handshakeSender
  }

  open(local: Address, remote: Address | undefined, status: PathStatus, now: number): number | OpenPathRefusal {
    const { core } = this
    if (!core.open) return "closed"
    if (core.role === "server") return "server"
    if (!core.confirmed) return "notConfirmed"
    const to = remote ?? core.paths.primary.remote
    for (const path of core.paths.all) {
      if (path.open && sameAddress(path.local, local) && sameAddress(path.remote, to)) return "duplicate"
    }
    // NEG-12
    if (core.peer?.disableActiveMigration === true && sameAddress(core.paths.handshakeAddress, to)) {
      return "migrationDisabled"
    }
    const path = core.paths.open(local, to, status)
    if (typeof path === "string") return path
    this.begin(path, now)
    return path.id
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
    path.answeredAt = now
    path.setValidated()
    if (path.validation.expanded) path.sizeProven = true
    path.previous = undefined
    if (validated) {
      this.abandonDeadWayBack(path, now)
      return
    }
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
    core.emitPath({ kind: "migrated", pathId: path.id, remote: path.remote })
  }

  /** A path's loss or probe timer has run out. */
  onRecoveryTimeout(path: Path, now: number): void {
    const { recovery } = path
    if (recovery.onTimeout(now) !== 2) return
    const space = recovery.probeSpace
    if (space !== Space.application) {
      this.probeHandshake(path, space)
      return
    }
    path.discovery.onTimeout()
    recovery.setMaxDatagramSize(path.mtu)
    if (this.core.paths.all.length > 1) recovery.maxPtoBackoff = MULTIPATH_PTO_CAP
    if (this.hasAlternative(path)) {
      // The others carry on with everything that is outstanding here (REC-4); this path gets PINGs until it answers.
      recovery.takeAllForReinjection(Space.application)
      path.probes = 1
      path.probeWithData = false
      if (path.state === "active") {
        path.state = "potentiallyFailed"
        this.core.emitPath({ kind: "potentiallyFailed", pathId: path.id })
      }
      this.abandonIfDead(path, now)
    } else {
      recovery.takeForProbe(Space.application, PROBES)
      path.probes = PROBES
      path.probeWithData = true
      this.checkWaysBack(path, now)
    }
  }

  /**
   * No path is acknowledged any more. If a peer sends the acknowledgements of several paths on one (ACK-4), it is enough that
   * this one died: a challenge tells, because its answer comes back on the path that it was sent on (RFC 9000 section 8.2.2).
   */
  private checkWaysBack(path: Path, now: number): void {
    if (path.validated && path.ackPath !== path.id && !path.validation.running) {
      path.validation.start(this.core.pto(path))
    }
    for (const other of this.core.paths.all) if (other.ackPath === path.id) this.abandonDeadWayBack(other, now)
  }

  /** `path` works, and yet nothing that left on it is acknowledged: the way that acknowledgements took is dead. */
  private abandonDeadWayBack(path: Path, now: number): void {
    const way = this.core.paths.get(path.ackPath)
    if (way === undefined || way === path || !way.open || !path.open || path.ptoCount === 0) return
    if (way.ptoCount < DEAD_WAY_PTOS || path.answeredAt <= way.lastReceived) return
    this.abandon(way, PathError.unstableOrPoor, now)
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

  private abandon(path: Path, code: number, now: number): void {
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

  /**
   * Probes every level of the handshake that has something unacknowledged (RFC 9002 section 6.2.4). What is outstanding at
   * one level may fill the window although the peer cannot read it for lack of what is lost at the other.
   */
  private probeHandshake(path: Path, due: number): void {
    const { handshake } = this.core
    for (const level of [Level.initial, Level.handshake] as const) {
      const space = spaceOfLevel(level)
      const sent = path.recovery.sent(space)
      const keys = level === Level.initial ? handshake.initial : handshake.handshake
      if (sent === undefined || keys === undefined) continue
      if (space !== due && sent.ackElicitingOutstanding === 0 && !handshake.stream(level).hasData) continue
      path.recovery.takeForProbe(space)
      this.handshakeSender.probe(level, PROBES)
    }
  }

  private hasAlternative(path: Path): boolean {
    for (const other of this.core.paths.all) {
      if (other !== path && other.open && other.validated && other.ptoCount === 0) return true
    }
    return false
  }

  /** Nothing came over it for as long as a whole connection may be silent. */
  private abandonIfDead(path: Path, now: number): void {
    const limit = this.core.settings.idleTimeout
    if (limit > 0 && now - path.lastReceived > limit) this.abandon(path, PathError.unstableOrPoor, now)
  }
}
