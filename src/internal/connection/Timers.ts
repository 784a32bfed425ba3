/**
 * The deadlines of a connection, and what happens at each (RFC 9000 section 10, RFC 9002 section 6).
 */
import type { Path } from "../paths/Path.ts"
import type { Scheduler } from "../paths/Scheduler.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { FailureDetector } from "./FailureDetector.ts"
import type { Migration } from "./Migration.ts"
import type { PathControl } from "./PathControl.ts"
import { schedulerName } from "./Policies.ts"
import type { Sender } from "./Sender.ts"

/** ms between signs of life of a sender that waits for credit. */
const BLOCKED_REMINDER = 1000
/** Timers of one path that may run out together: more would mean that one makes no progress. */
const MAX_ROUNDS = 4

const noPath = (scheduler: Scheduler, ms: number): Error =>
  new Error(`the path scheduler ${JSON.stringify(schedulerName(scheduler))} gave no path for ${Math.round(ms)} ms`)

export class Timers {
  private readonly core: ConnectionState
  private readonly sender: Sender
  private readonly pathControl: PathControl
  private readonly migration: Migration
  private readonly failureDetector: FailureDetector
  private readonly startedAt: number
  private remindedAt: number

  constructor(
    core: ConnectionState,
    sender: Sender,
    pathControl: PathControl,
    migration: Migration,
    failureDetector: FailureDetector,
    now: number
  ) {
    this.core = core
    this.sender = sender
    this.pathControl = pathControl
    this.migration = migration
    this.failureDetector = failureDetector
    this.startedAt = now
    this.remindedAt = now
  }

  /** ms; 0: none. The lower of both sides' wishes (RFC 9000 section 10.1). */
  private idleTimeout(): number {
    const own = this.core.settings.idleTimeout
    const peer = this.core.peer?.maxIdleTimeout ?? 0
    return own === 0 ? peer : peer === 0 ? own : Math.min(own, peer)
  }

  private idleDeadline(): number {
    const timeout = this.idleTimeout()
    return timeout === 0 ? Infinity : this.core.idleSince + Math.max(timeout, 3 * this.core.largestPto())
  }

  /** ms between signs of life of a path; Infinity: none. Twice in the idle timeout, so that one may be lost. */
  private keepAliveInterval(): number {
    const { keepAlive } = this.core.settings
    if (keepAlive === 0 || !this.core.confirmed) return Infinity
    const timeout = this.idleTimeout()
    return timeout === 0 ? keepAlive : Math.min(keepAlive, timeout / 2)
  }

  /** When a path wants a sign of life: translators on its way forget it, whatever happens on others. */
  private keepAliveDeadline(path: Path): number {
    // One that is silent is asked by probes anyway.
    if (!path.open || !path.validated || path.ptoCount > 0) return Infinity
    return Math.max(path.lastSent, path.keptAliveAt) + this.keepAliveInterval()
  }

  /**
   * Data waits, nothing is on its way: only the peer can end that, by giving credit. It may not reach us, for one because a
   * translator forgot where we are, so it hears from us now and then (RFC 9000 section 4.1).
   */
  private reminderDeadline(): number {
    const { core } = this
    if (!core.confirmed || core.streams.queuedBytes === 0) return Infinity
    let last = this.remindedAt
    for (const path of core.paths.all) {
      if (!path.open) continue
      if (path.recovery.sent(Space.application)?.ackElicitingOutstanding !== 0) return Infinity
      last = Math.max(last, path.lastSent, path.lastReceived)
    }
    return last + BLOCKED_REMINDER
  }

  next(): number {
    const { core } = this
    if (!core.open) return core.state === "closed" ? Infinity : core.closeDeadline
    let next = Math.min(
      this.idleDeadline(),
      this.reminderDeadline(),
      core.paths.nextDiscard(),
      core.paths.strandedDeadline,
      this.sender.pacingDeadline,
      this.sender.reinjector?.deadline() ?? Infinity
    )
    if (core.state === "handshaking") next = Math.min(next, this.startedAt + core.settings.handshakeTimeout)
    for (const path of core.paths.all) {
      const { recovery } = path
      if (path.open) next = Math.min(next, recovery.timeout(), path.validation.deadline)
      const application = recovery.received(Space.application)
      if (application.ackDeadline < next) next = application.ackDeadline
      next = Math.min(next, this.keepAliveDeadline(path))
    }
    return next
  }

  onTimeout(now: number): void {
    const { core } = this
    if (!core.open) return
    if (core.state === "handshaking" && now >= this.startedAt + core.settings.handshakeTimeout) {
      core.vanish({ kind: "handshakeTimeout", after: core.settings.handshakeTimeout })
      return
    }
    if (now >= this.idleDeadline()) {
      // The network is not to blame when nothing was allowed to leave.
      const refused = this.sender.refusedFor(now)
      core.vanish(
        refused > 0
          ? { kind: "internal", cause: noPath(core.scheduler, refused) }
          : { kind: "idleTimeout", after: this.idleTimeout() }
      )
      return
    }
    if (now >= core.paths.strandedDeadline) {
      core.fail(violation(TransportError.noViablePath, "the peer abandoned the only path"))
      return
    }
    if (now >= this.reminderDeadline()) {
      this.remindedAt = now
      core.pingPending = true
    }
    for (const path of core.paths.all) {
      if (!path.open) continue
      if (now >= this.keepAliveDeadline(path)) {
        path.keptAliveAt = now
        path.probes = Math.max(path.probes, 1)
        path.probeWithData = true
      }
      if (path.validation.deadline <= now && !path.validation.onTimeout(now))
        this.migration.onValidationFailed(path, now)
      for (let i = 0; i < MAX_ROUNDS && path.open && path.recovery.timeout() <= now; i++) {
        this.failureDetector.onRecoveryTimeout(path, now)
      }
    }
    this.sender.reinjector?.onTimeout(now)
    this.pathControl.discardExpired(now)
    core.handshake.oneRtt?.dropPrevious(now)
  }
}
