/**
 * Paths that have gone silent: when one is suspected, who carries on meanwhile, and when it is given up (draft-21
 * section 3.4.3; RFC 9002 section 6.2). A suspected path stays open and is asked until it answers.
 */
import { replaceLocalIds } from "../paths/MovingIds.ts"
import type { Path } from "../paths/Path.ts"
import { RecoveryTimeout, Space } from "../recovery/PathRecovery.ts"
import { dropPromise, textOf } from "../Unwanted.ts"
import { PathError } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { PathControl } from "./PathControl.ts"
import type { Probing } from "./Probing.ts"
import type { Reinjection } from "./Reinjection.ts"

/**
 * Probe timeouts in a row, and ms of silence, after which a path that others depend on is given up, if these are shown to
 * work meanwhile. An interface that flaps is silent for a few hundred ms at a time, and is only suspected.
 */
const DEAD_WAY_PTOS = 2
const DEAD_WAY_SILENCE = 350
/** Probe timeouts in a row after which the next one is far away. */
const BACKED_OFF = 2
/** Probe timeouts in a row after which the only path is suspected: one may be a lost tail. */
const ONLY_PATH_PTOS = 2

/** ms after which a peer that does not answer after a move gets other connection IDs once more. */
const REPLACE_AGAIN = 5000

/** ms: what came, and was acknowledged, that recently shows that a path works both ways. Probes of paths see to it. */
const BOTH_WAYS = 5000

export class FailureDetector {
  private readonly core: ConnectionState
  private readonly pathControl: PathControl
  private readonly probing: Probing
  private readonly reinjection: Reinjection

  constructor(core: ConnectionState, pathControl: PathControl, probing: Probing, reinjection: Reinjection) {
    this.core = core
    this.pathControl = pathControl
    this.probing = probing
    this.reinjection = reinjection
  }

  /** A path's loss or probe timer has run out. */
  onRecoveryTimeout(path: Path, now: number): void {
    const { recovery } = path
    if (path.ptoCount === 0) path.silentFrom = recovery.sent(Space.application)?.waitingSince ?? now
    if (recovery.onTimeout(now) !== RecoveryTimeout.probe) return
    if (recovery.probeSpace !== Space.application) {
      this.probing.handshake(path, recovery.probeSpace)
      return
    }
    if (path.discovery.onTimeout(recovery.bytesInFlight > path.discovery.base)) {
      recovery.maxDatagramSize = path.mtu
    }
    recovery.oneOfSeveral = this.isOneOfSeveral(path)
    if (this.isUnansweredMove(path, now)) replaceLocalIds(this.core.paths, path, now)
    if (path.ptoCount === 1) {
      this.repeatAcknowledgement(path)
      this.repeatCarried(path)
    }
    const alternative = this.core.hasAlternative(path)
    this.probing.others(path, !alternative && path.ptoCount === 1, now)
    if (alternative && path.state === "active" && !this.isFailed(path, now)) {
      this.probing.withData(path)
    } else if (alternative) {
      this.reinjection.onPathFailed(path)
      this.probing.alone(path)
      this.suspect(path)
      this.abandonIfDead(path, now)
    } else {
      this.probing.withData(path)
      if (path.ptoCount >= ONLY_PATH_PTOS && path.state === "active" && this.isFailed(path, now)) this.suspect(path)
      this.checkWaysBack(path, now)
    }
  }

  /** The application's word: what answers may be of no use all the same, so answers change nothing. */
  onDistrusted(path: Path): void {
    if (path.distrusted) return
    path.distrusted = true
    // One that was never proven carries no data; it is suspected then.
    if (path.state === "validating") return
    this.leave(path)
    // One that was suspected before, for its silence, has told the peer only if that came from the peer's side, too.
    this.core.paths.stateChanged(path)
    // It may be dead as well: the other paths should know what is left when they fail.
    this.probing.alone(path)
  }

  /** Takes that back. A path that works shows it: by an answer to what leaves from now on. */
  onTrusted(path: Path, now: number): void {
    if (path.distrusted) path.trustedAt = now
    path.distrusted = false
    if (path.state !== "potentiallyFailed") return
    if (!path.validation.running) this.core.validate(path, now)
    if (this.core.hasAlternative(path)) this.probing.alone(path)
    else this.probing.withData(path)
  }

  /** Whether nothing is heard since the path moved, for long enough to give the peer other connection IDs. */
  private isUnansweredMove(path: Path, now: number): boolean {
    const { movedAt, replacedAt } = path
    if (movedAt <= path.recovery.deliveredAt) return false
    return replacedAt < movedAt ? now - movedAt > this.core.pto(path) : now - replacedAt > REPLACE_AGAIN
  }

  /** The host has lost the address that the path leaves from: nobody has to wait for a timeout to know. */
  onAddressLost(path: Path): void {
    this.leave(path)
  }

  private leave(path: Path): void {
    const alternative = this.core.hasAlternative(path)
    this.probing.others(path, !alternative, Infinity)
    if (alternative) this.reinjection.onPathFailed(path)
    this.suspect(path)
  }

  /** A challenge on a path that was validated before is answered: it works, whatever is acknowledged. */
  onAnswered(path: Path, now: number): void {
    path.answeredAt = path.provenAt = now
    this.abandonDeadWayBack(path, now)
    // One that the application had suspected may have nothing else to be acknowledged.
    if (path.open && path.state === "potentiallyFailed" && path.ptoCount === 0 && !path.distrusted)
      this.onProven(path, now)
  }

  /**
   * Something arrived on a path that is not acknowledged any more. The network may be back, and the next probe far away:
   * it leaves now, once for each probe timeout without backoff.
   */
  onReceived(path: Path, now: number): void {
    if (!path.open) return this.repeatAbandon(path, now)
    if (path.ptoCount < BACKED_OFF || now - path.hintedAt < this.core.pto(path)) return
    path.hintedAt = now
    if (this.core.hasAlternative(path)) this.probing.alone(path)
    else this.probing.withData(path)
  }

  /**
   * The peer still uses a path that we gave up: it was not told, and while no other path works nothing else can tell it. It
   * would go on for ever, unanswered. So, at most once for each probe timeout, PATH_ABANDON leaves on that path again, although
   * nothing should after the first (draft-21 section 3.4): only a peer that has not got it sends there, so the ID is good.
   */
  private repeatAbandon(path: Path, now: number): void {
    if (path.abandonReceived || path.abandonAcked || this.core.hasAlternative(path)) return
    // One that is being proven will tell it.
    if (!this.core.paths.hasValidated || now - path.hintedAt < this.core.pto(path)) return
    path.hintedAt = now
    path.farewellPending = true
  }

  /** A way is open again: what is stuck on paths that are still silent takes it, unless the detector has more patience. */
  onProven(path: Path, now: number): void {
    if (path.distrusted) this.suspect(path)
    else if (path.state === "potentiallyFailed" && !path.addressLost && path.provenAt >= path.trustedAt) {
      path.state = "active"
      this.core.paths.stateChanged(path)
      this.core.emitPath({ kind: "recovered", pathId: path.id })
    }
    // Those that it carried itself before its silence was noticed are lost.
    this.repeatAcknowledgement(path)
    for (const other of this.core.paths.all) {
      if (other === path || !other.open || (other.ptoCount === 0 && !other.addressLost)) continue
      this.repeatAcknowledgement(other)
      // While none worked nobody was asked.
      if (other.state === "active" && !other.addressLost && !this.isFailed(other, now)) continue
      this.reinjection.onPathFailed(other)
      this.suspect(other)
    }
  }

  /** What arrived on a path that went silent may be acknowledged in vain so far: other paths tell it again (ACK-4). */
  private repeatAcknowledgement(path: Path): void {
    if (this.core.paths.all.length > 1) path.recovery.received(Space.application).immediate()
  }

  /** The acknowledgements of paths that are silent may have left on this one, and are lost with it. */
  private repeatCarried(path: Path): void {
    for (const other of this.core.paths.all) {
      if (other !== path && other.open && other.ptoCount > 0) this.repeatAcknowledgement(other)
    }
  }

  /** What the application's own detector says, if it has one. */
  private isFailed(path: Path, now: number): boolean {
    const policy = this.core.policies.failures
    if (policy === undefined) return true
    try {
      const silence = now - path.silentFrom
      const pto = this.core.pto(path)
      const answer: unknown = policy.isFailed({ path, probeTimeouts: path.ptoCount, silence, pto, now })
      if (typeof answer === "boolean") return answer
      dropPromise(answer)
      this.complain(policy.name, `gives ${answer === null ? "null" : typeof answer}`)
    } catch (error) {
      this.complain(policy.name, `throws ${textOf(error)}`)
    }
    return true
  }

  private complain(name: string, what: string): void {
    this.core.mistakes.inPolicy("failure detector", name, "isFailed", what, "true")
  }

  private suspect(path: Path): void {
    if (path.state !== "active") return
    path.state = "potentiallyFailed"
    // What still comes over it shows that the peer's direction works: only ours is left alone then.
    const silent = this.isOneOfSeveral(path) && path.lastReceived < path.silentFrom
    if (silent || path.distrusted) this.core.paths.stateChanged(path)
    this.core.emitPath({ kind: "potentiallyFailed", pathId: path.id })
  }

  /**
   * No path is acknowledged any more. If a peer sends the acknowledgements of several paths on one (ACK-4), it is enough that
   * this one died: a challenge tells, because its answer comes back on the path that it was sent on (RFC 9000 section 8.2.2).
   */
  private checkWaysBack(path: Path, now: number): void {
    if (path.validated && path.ackPath !== path.id && !path.validation.running) {
      this.core.validate(path, now)
    }
    for (const other of this.core.paths.all) if (other.ackPath === path.id) this.abandonDeadWayBack(other, now)
  }

  /** `path` works, and yet nothing that left on it is acknowledged: the way that acknowledgements took is dead. */
  private abandonDeadWayBack(path: Path, now: number): void {
    const way = this.core.paths.get(path.ackPath)
    if (way === undefined || way === path || !way.open || !path.open || path.ptoCount === 0) return
    const silence = Math.max(DEAD_WAY_SILENCE, 2 * this.core.pto(way))
    if (way.ptoCount < DEAD_WAY_PTOS || path.answeredAt - way.lastReceived < silence) return
    this.pathControl.abandon(way, PathError.unstableOrPoor, now)
  }

  private isOneOfSeveral(path: Path): boolean {
    for (const other of this.core.paths.all) if (other !== path && other.open && other.validated) return true
    return false
  }

  /**
   * Nothing came over it for as long as a whole connection may be silent; or nothing of ours got through for so long, and
   * another path works both ways: probes and their answers would keep a connection from idling out that nobody uses.
   */
  private abandonIfDead(path: Path, now: number): void {
    const limit = this.core.settings.idleTimeout
    if (limit === 0) return
    const unheard = now - path.recovery.silentSince > limit && this.hasBothWays(path, now)
    if (unheard || now - path.lastReceived > limit) this.pathControl.abandon(path, PathError.unstableOrPoor, now)
  }

  /** What the peer sends may come on `path` alone: it stays unless something came on another that is acknowledged, too. */
  private hasBothWays(path: Path, now: number): boolean {
    for (const other of this.core.paths.all) {
      if (other === path || !other.open || !other.validated || other.ptoCount > 0) continue
      if (now - Math.min(other.lastReceived, other.provenAt) < BOTH_WAYS) return true
    }
    return false
  }
}
