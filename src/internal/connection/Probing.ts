/**
 * What a probe timeout sends (RFC 9002 section 6.2.4): how many packets, on which path, and what they may carry.
 */
import { spaceOfLevel } from "../paths/Path.ts"
import type { Path } from "../paths/Path.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { Level } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { HandshakeSender } from "./HandshakeSender.ts"

/** Probes that a timeout sends where nothing else carries the data. */
const PROBES = 2
/** ms: a path that was heard that recently is not asked whether it works. */
const HEARD = 1000

export class Probing {
  private readonly core: ConnectionState
  private readonly handshakeSender: HandshakeSender
  private repaired = false

  constructor(core: ConnectionState, handshakeSender: HandshakeSender) {
    this.core = core
    this.handshakeSender = handshakeSender
  }

  /** The path may have lost everything, and nothing else works better: the oldest of it goes out again. */
  withData(path: Path): void {
    path.recovery.takeForProbe(Space.application, PROBES)
    path.probes = PROBES
    path.probeWithData = true
  }

  /** Other paths carry the data: this one is only asked whether it is there. */
  alone(path: Path): void {
    path.probes = 1
    path.probeWithData = false
  }

  /**
   * One path went silent: whether the others still work is known only when they answer. `last`: it was the last one that
   * worked, and those that failed before it are not waited for any longer.
   */
  others(path: Path, last: boolean, now: number): void {
    for (const other of this.core.paths.all) {
      if (other === path || !other.open || !other.validated || other.probes > 0) continue
      if (other.ptoCount > 0 ? !last : now - other.lastReceived < HEARD || other.bytesInFlight > 0) continue
      other.probes = 1
      other.probeWithData = true
    }
  }

  /**
   * What the peer sent says that our first flight, or its answer, is lost: it goes out again before its probe timeout, which is
   * long as long as the RTT is not known. Once: endpoints that did so each time could answer each other for ever (RFC 9002
   * section 6.2.3).
   */
  handshakeEarly(): void {
    const path = this.core.paths.primary
    const outstanding = path.recovery.sent(Space.initial)?.ackElicitingOutstanding ?? 0
    if (this.repaired || outstanding === 0) return
    this.repaired = true
    this.handshake(path, Space.initial)
  }

  /**
   * Probes every level of the handshake that has something unacknowledged. What is outstanding at one level may fill the
   * window although the peer cannot read it for lack of what is lost at the other.
   */
  handshake(path: Path, due: number): void {
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
    // A server that has read our Finished has no Handshake keys any more: what it lost says so in 1-RTT packets alone, and so
    // does what we have under way there (RFC 9002 section 6.2.4).
    const application = path.recovery.sent(Space.application)
    if (handshake.oneRtt !== undefined && application !== undefined && application.ackElicitingOutstanding > 0) {
      this.withData(path)
    }
  }
}
