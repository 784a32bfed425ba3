/**
 * Which acknowledgement leaves when, and on which path (RFC 9000 section 13.2; draft-21 section 3.2: PATH_ACK of any path
 * may be sent on any path). A path's own acknowledgements leave on it, because the peer measures its RTT by them (RTT-1).
 * One that has not shown lately that it works in our direction is asked at the same time, and only if it does not answer
 * they leave on others: on those that do work, and where none is known to, on every one, for each path that works alone in
 * its direction keeps the connection going.
 */
import type { Path } from "../paths/Path.ts"
import { Space } from "../recovery/PathRecovery.ts"
import type { ReceivedPackets } from "../recovery/ReceivedPackets.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import { NO_PATH, writeAck } from "../wire/FrameWriter.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { PacketBuilder } from "./PacketBuilder.ts"

/** Packets without anything to acknowledge after which a PING goes along, so that acknowledgements get acknowledged. */
const MAX_UNELICITING = 20
/** ms: the same, where other paths could take over: whoever only acknowledges learns by it that nothing gets through. */
const MAX_UNELICITING_TIME = 250
/** What such a packet must acknowledge, or how many there were before it: one PING must not be answered by another. */
const MIN_UNELICITING = 2
/** ms, and round trips, for which an acknowledgement of what we sent on a path proves that the path works. */
const PROOF_LIFE = 1000
const PROOF_ROUNDS = 4
/** Bytes: what a packet with an acknowledgement of a few ranges takes. */
const MIN_BUDGET = 100
/** A larger ACK frame than this leaves too little of the packet for data. */
export const MAX_ACK_ROOM = 400

export class Acknowledger {
  private readonly core: ConnectionState
  private readonly packet: PacketBuilder
  /** Paths whose acknowledgement is due and which may be dead. */
  private readonly due: Array<Path> = []
  private now = 0

  constructor(core: ConnectionState, packet: PacketBuilder) {
    this.core = core
    this.packet = packet
  }

  begin(now: number): void {
    this.now = now
  }

  /** Whether the next packet of a path has an acknowledgement to take along. */
  owes(path: Path): boolean {
    for (const other of this.core.paths.all) {
      const received = other.recovery.received(Space.application)
      if (other === path ? received.unackedEliciting > 0 : received.ackDue(this.now)) return true
    }
    return false
  }

  /** Acknowledgements that are due and found no packet to ride on, in packets of their own. */
  sendDue(): void {
    const { due } = this
    due.length = 0
    let everywhere = false
    for (const path of this.core.paths.all) {
      const received = path.recovery.received(Space.application)
      if (!received.ackDue(this.now)) continue
      if (this.trusted(path)) {
        this.send(path)
      } else {
        due.push(path)
        everywhere = everywhere || this.carrier(path) === undefined
      }
      // What could not leave is tried again later: a deadline in the past would keep the timer running in circles.
      if (received.ackDeadline <= this.now) received.ackDeadline = this.now + received.maxAckDelay
    }
    if (due.length === 0) return
    for (const carrier of this.core.paths.all) {
      if (everywhere || this.proven(carrier) || due.includes(carrier)) this.sendCopies(carrier)
    }
  }

  /**
   * Writes the path's own acknowledgement if one is owed, and those of paths that cannot carry theirs. On a path that may
   * be dead they are copies: `sendDue` sends them elsewhere, too.
   */
  write(path: Path): void {
    const alive = this.trusted(path)
    if (path.ptoCount > 0 && this.carrier(path) !== undefined) return
    for (const other of this.core.paths.all) {
      const received = other.recovery.received(Space.application)
      if (other === path) {
        if (received.unackedEliciting > 0 || received.ackDue(this.now)) this.writeOne(path.id, received, alive)
      } else if (received.ackDue(this.now) && !this.trusted(other)) {
        const settled = this.proven(path) && !this.mayCarry(other)
        if (this.packet.writer.remaining >= MAX_ACK_ROOM) this.writeOne(other.id, received, settled)
      }
    }
  }

  /** A packet of nothing but a path's own acknowledgement. */
  private send(path: Path): void {
    const { packet } = this
    if (!packet.open(path, path.mtu)) return
    const received = path.recovery.received(Space.application)
    const { unackedEliciting } = received
    this.writeOne(path.id, received, true)
    this.commit(path, unackedEliciting)
  }

  /** A packet with all acknowledgements that are due and whose own path may be dead. */
  private sendCopies(carrier: Path): void {
    const { packet } = this
    if (!this.mayCarry(carrier) || !packet.open(carrier, carrier.mtu)) return
    let acknowledged = 0
    for (const path of this.due) {
      const received = path.recovery.received(Space.application)
      acknowledged += received.unackedEliciting
      this.writeOne(path.id, received, true)
    }
    this.commit(carrier, acknowledged)
  }

  /**
   * Now and then a packet that only acknowledges asks for an acknowledgement itself. Not every one, or two endpoints with
   * nothing to say would answer each other for ever (RFC 9000 section 13.2.4): whoever is answered has its proof.
   */
  private commit(carrier: Path, acknowledged: number): void {
    const { packet } = this
    if (packet.isEmpty) return
    const sent = carrier.recovery.sent(Space.application)!
    const { ackElicitingOutstanding, sinceAckEliciting } = sent
    const several = this.core.paths.all.length > 1
    const late = several && this.now - sent.lastAckElicitingTime > MAX_UNELICITING_TIME
    // While an answer is awaited another question tells nothing more, and would put off the probe timeout.
    const eliciting =
      ackElicitingOutstanding === 0 &&
      (sinceAckEliciting >= MAX_UNELICITING ||
        (several && !this.proven(carrier)) ||
        (late && (acknowledged >= MIN_UNELICITING || sinceAckEliciting >= MIN_UNELICITING)))
    if (eliciting) packet.ping()
    // Whoever only receives would never hear that the peer has lost its state (RFC 9000 section 10.3).
    else if (acknowledged < MIN_UNELICITING || (sinceAckEliciting & 7) === 7) packet.padToAnswerable()
    packet.commit(eliciting, eliciting)
  }

  /** Another path that is known to work: the one with the lowest RTT. */
  private carrier(path: Path): Path | undefined {
    let best: Path | undefined
    for (const other of this.core.paths.all) {
      if (other === path || !this.proven(other)) continue
      if (best === undefined || other.smoothedRtt < best.smoothedRtt) best = other
    }
    return best
  }

  /** An acknowledgement is small: it waits for no more of the 3x limit than it needs (RFC 9000 section 8.1). */
  private mayCarry(path: Path): boolean {
    return path.open && !path.blocked && path.remoteIds.active !== undefined && path.amplificationBudget() >= MIN_BUDGET
  }

  /** Whether one copy of an acknowledgement on the path is enough: it works, or its silence will show in a probe timeout. */
  private trusted(path: Path): boolean {
    return path.ptoCount === 0 && this.mayCarry(path)
  }

  /** Whether the path has shown lately that it works in our direction. */
  private proven(path: Path): boolean {
    if (!this.trusted(path)) return false
    return this.now - path.provenAt < Math.max(PROOF_LIFE, PROOF_ROUNDS * path.smoothedRtt)
  }

  /** `settled`: no further copy of it is owed. */
  private writeOne(pathId: number, received: ReceivedPackets, settled: boolean): void {
    const { core } = this
    const count = received.fillRanges()
    const delay = Math.floor((received.delay(this.now) * 1000) / 2 ** core.settings.ackDelayExponent)
    const hasEcn = received.ect0 + received.ect1 + received.ce > 0
    const form = core.paths.multipath ? pathId : NO_PATH
    const { ect0, ect1, ce } = received
    const { writer } = this.packet
    // Room for the PING or HANDSHAKE_DONE behind it.
    writer.end--
    const written = writeAck(writer, form, received.ranges, count, delay, ect0, ect1, ce, hasEcn)
    writer.end++
    if (!written) return
    const frame = core.frames.add(SentFrameKind.ack)
    frame.pathId = pathId
    frame.value = received.largest
    if (settled) received.onAckSent()
  }
}
