/**
 * The sending half of a connection once there are 1-RTT keys: acknowledgements and probes where the protocol wants them,
 * everything else on the path that the scheduler picks, packet by packet.
 */
import type { PacketKind, SelectContext } from "../paths/Scheduler.ts"
import type { Path, PathProbe } from "../paths/Path.ts"
import { Space } from "../recovery/PathRecovery.ts"
import type { ReceivedPackets } from "../recovery/ReceivedPackets.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import { ByteWriter } from "../wire/Cursor.ts"
import { Ecn, sameAddress } from "../wire/Datagram.ts"
import type { Address, TransmitSink } from "../wire/Datagram.ts"
import {
  NO_PATH,
  streamHeaderLength,
  writeAck,
  writeDatagramHeader,
  writeHandshakeDone,
  writePadding,
  writePathChallenge,
  writePathResponse,
  writePing
} from "../wire/FrameWriter.ts"
import { shortHeaderLength, writeShortHeader } from "../wire/PacketHeader.ts"
import { packetNumberLength } from "../wire/PacketNumber.ts"
import { AEAD_TAG, Level, MIN_INITIAL_DATAGRAM } from "../wire/Protocol.ts"
import type { ConnectionCore } from "./Core.ts"
import { SendBatch } from "./SendBatch.ts"

/** Packets without anything to acknowledge after which a PING goes along, so that acknowledgements get acknowledged. */
const MAX_UNELICITING = 20
/** ms: the same, where other paths could take over: whoever only acknowledges learns by it that nothing gets through. */
const MAX_UNELICITING_TIME = 250
/** Room left in a packet below which no further STREAM or DATAGRAM frame is started. */
const MIN_ROOM = 16
/** A larger ACK frame than this leaves too little of the packet for data. */
const MAX_ACK_ROOM = 400
/** ms: pacing is no finer than this. */
const MIN_WAIT = 0.01

// Shared by all connections: a flush runs to its end before the next connection has its turn.
const batch = new SendBatch()
const w = new ByteWriter()

/** Why a packet is built: what may go into it, and what may hold it back. */
const Purpose = {
  /** Acknowledgements only: no window holds it back. */
  ack: 0,
  /** Whatever is waiting, within window and pacing. */
  data: 1,
  /** A PTO probe: whatever is waiting, and a PING if nothing is; no window holds it back. */
  probe: 2,
  /** A path challenge or response, expanded to 1200 bytes. */
  path: 3,
  /** A probe for a larger packet size: PING and padding. */
  size: 4
} as const
type Purpose = (typeof Purpose)[keyof typeof Purpose]

export class Sender {
  private readonly core: ConnectionCore
  private readonly context: { -readonly [K in keyof SelectContext]: SelectContext[K] } & { paths: Array<Path> }
  private readonly usable: Array<Path> = []
  private sink!: TransmitSink
  private now = 0
  private ready = true
  /** When pacing lets the next packet go although there is something to send; Infinity if that is not what we wait for. */
  pacingDeadline = Infinity
  /** An ack-eliciting packet left since the last packet arrived (RFC 9000 section 10.1). */
  elicitedSinceReceive = false

  constructor(core: ConnectionCore) {
    this.core = core
    this.context = { paths: this.usable, kind: "data", queuedBytes: 0, now: 0 }
  }

  /** Sends what may be sent now. `false`: the sink is full. */
  poll(now: number, sink: TransmitSink): boolean {
    const { core } = this
    const keys = core.handshake.oneRtt
    if (keys === undefined || !core.open) return true
    this.sink = sink
    this.now = now
    this.ready = true
    this.pacingDeadline = Infinity
    if (keys.needsUpdate && keys.initiateUpdate(now, core.largestPto())) core.keyUpdates++
    const paths = core.paths.all
    batch.begin(sink.slab, paths.length)
    for (const path of paths) {
      path.now = now
      if (path.open) this.sendPathFrames(path)
    }
    this.sendData()
    this.sendAcknowledgements()
    this.finish()
    return this.ready
  }

  private sendPathFrames(path: Path): void {
    const { validation } = path
    // Without a connection ID of this path they wait: the peer's frames may be out of order (INI-8).
    while (path.answers.length > 0 && path.remoteIds.active !== undefined) {
      const answer = path.answers.shift()!
      if (!this.build(path, Purpose.path, MIN_INITIAL_DATAGRAM, answer)) break
    }
    if (validation.pending !== undefined) this.build(path, Purpose.path, MIN_INITIAL_DATAGRAM, undefined)
    while (path.probes > 0) {
      path.probes--
      this.build(path, Purpose.probe, path.mtu, undefined)
    }
    const size = path.discovery.nextProbe()
    if (
      size > 0 &&
      this.core.confirmed &&
      path.validated &&
      path.ptoCount === 0 &&
      path.recovery.canSend(size, this.now)
    ) {
      if (this.build(path, Purpose.size, size, undefined)) path.discovery.onProbeSent()
    }
  }

  private sendData(): void {
    const { core, usable, context } = this
    this.findUsable()
    context.now = this.now
    let ranOut = false
    while (this.ready) {
      const kind = this.waiting()
      if (kind === undefined) {
        ranOut = true
        break
      }
      context.kind = kind
      context.queuedBytes = core.streams.queuedBytes
      const selected = core.scheduler.select(context) as Path | undefined
      if (selected === undefined) {
        for (const path of usable) this.awaitPacing(path)
        break
      }
      const index = usable.indexOf(selected)
      if (index < 0 || !selected.canSend) {
        core.schedulerMistakes++
        for (const path of usable) this.awaitPacing(path)
        break
      }
      if (kind === "data" && core.scheduler.steady === true && this.sendTrain(selected)) continue
      if (!this.build(selected, Purpose.data, selected.mtu, undefined)) {
        // Nothing of what waits may go on this path (affinity): the others are asked without it.
        selected.recovery.appLimited = this.ready
        usable.splice(index, 1)
        if (usable.length === 0) break
      }
    }
    for (const path of usable) path.recovery.appLimited = ranOut && path.canSend
  }

  /**
   * Full packets of new bytes of one stream, for as long as nothing else has to go along. `false`: there is none to send,
   * and `build` makes the next packet.
   */
  private sendTrain(path: Path): boolean {
    const { core, now } = this
    const { frames, streams } = core
    const { mtu, recovery } = path
    const id = path.remoteIds.active
    if (id === undefined || !path.validated || core.datagrams.hasOutgoing || this.owesAcknowledgement(path))
      return false
    const stream = streams.trainFor(path.id)
    if (stream === undefined) return false
    const sent = recovery.sent(Space.application)!
    const phase = core.handshake.oneRtt!.writePhase
    const from = stream.send!.buffer.unsentOffset
    // The last packet of a stream, or of its turn, is seldom full.
    const end = from + streams.trainLength(stream)
    let offset = from
    while (recovery.canSend(mtu, now)) {
      const region = batch.region(path.id, mtu)
      if (region < 0) break
      const packetNumber = recovery.nextPacketNumber(Space.application)
      const pnLength = packetNumberLength(packetNumber, sent.largestAcked)
      const start = batch.at(region)
      w.reset(batch.burst.slab, start, start + mtu - AEAD_TAG)
      const pnOffset = writeShortHeader(w, id.bytes, phase, 0, pnLength, packetNumber)
      const length = w.remaining - streamHeaderLength(stream.id, offset, -1)
      if (offset + length >= end) break
      streams.writeTrain(w, frames, stream, offset, length)
      offset += length
      this.commit(path, region, packetNumber, pnOffset, pnLength, path.local, path.remote, true, true, false)
    }
    if (offset === from) return false
    streams.trainSent(stream, offset - from)
    return true
  }

  private owesAcknowledgement(path: Path): boolean {
    for (const other of this.core.paths.all) {
      const received = other.recovery.received(Space.application)
      if (other === path ? received.unackedEliciting > 0 : received.ackDue(this.now)) return true
    }
    return false
  }

  /** There is something to send and only the pacer, if anything that time alone can change, is in its way. */
  private awaitPacing(path: Path): void {
    const next = path.nextSendTime
    // Never now: what time does not change must not make the timer run in circles.
    if (next < this.pacingDeadline) this.pacingDeadline = Math.max(next, this.now + MIN_WAIT)
  }

  /** What waits to be sent, most urgent first. */
  private waiting(): PacketKind | undefined {
    const { core } = this
    if (
      core.handshakeDonePending ||
      core.pingPending ||
      core.paths.frames.pending ||
      core.streams.hasControl() ||
      core.handshake.stream(Level.oneRtt).hasData
    ) {
      return "control"
    }
    if (core.datagrams.hasOutgoing) return "data"
    for (const path of this.usable) {
      if (core.streams.hasRetransmission(path.id)) return "retransmission"
    }
    for (const path of this.usable) if (core.streams.hasData(path.id)) return "data"
    return undefined
  }

  /** Paths that may carry data now: validated, not closing, and of the best class that there is (STA-1). */
  private findUsable(): void {
    const { usable } = this
    usable.length = 0
    let best = 4
    for (const path of this.core.paths.all) {
      const rank = this.rank(path)
      if (rank < best) {
        best = rank
        usable.length = 0
      }
      if (rank === best && rank < 4) usable.push(path)
    }
  }

  /** 0 available, 1 backup, 2 and 3 the same but failing; 4 not usable. An address that is not validated may carry data within the 3x limit. */
  private rank(path: Path): number {
    if (!path.open || path.remoteIds.active === undefined) return 4
    if (!path.validated && path.id !== 0 && path.previous === undefined) return 4
    const backup = path.status === "backup" || path.remoteStatus === "backup" ? 1 : 0
    return (path.state === "potentiallyFailed" ? 2 : 0) + backup
  }

  /** Acknowledgements that are due and found no packet to ride on. Each goes on its own path if that is alive. */
  private sendAcknowledgements(): void {
    for (const path of this.core.paths.all) {
      const received = path.recovery.received(Space.application)
      if (!received.ackDue(this.now)) continue
      const carrier = this.ackCarrier(path)
      if (carrier !== undefined) this.build(carrier, Purpose.ack, carrier.mtu, undefined)
      // What could not leave is tried again later: a deadline in the past would keep the timer running in circles.
      if (received.ackDeadline <= this.now) received.ackDeadline = this.now + received.maxAckDelay
    }
  }

  private ackCarrier(path: Path): Path | undefined {
    let best = this.mayAcknowledge(path) ? path : undefined
    if (best?.ptoCount === 0) return best
    for (const other of this.core.paths.all) {
      if (other === path || !this.mayAcknowledge(other)) continue
      if (best === undefined || other.ptoCount < best.ptoCount) best = other
    }
    return best
  }

  private mayAcknowledge(path: Path): boolean {
    return path.open && path.remoteIds.active !== undefined && path.amplificationBudget() >= path.mtu
  }

  /** The path's own acknowledgements leave on it: the peer measures its RTT by them (RTT-1). */
  private canAcknowledge(path: Path): boolean {
    return path.ptoCount === 0 && this.mayAcknowledge(path)
  }

  /** Builds one packet on a path. `false`: there was nothing to put in, or it may not leave. */
  private build(path: Path, purpose: Purpose, size: number, answer: PathProbe | undefined): boolean {
    const { core, now } = this
    const id = path.remoteIds.active
    const keys = core.handshake.oneRtt!
    if (id === undefined) return false
    const local = answer?.local ?? path.local
    const remote = answer?.remote ?? path.remote
    const elsewhere = answer !== undefined && !sameAddress(remote, path.remote)
    const maxSize = Math.min(size, elsewhere ? answer.limit : path.amplificationBudget())
    if (maxSize < id.bytes.length + 64) return false
    let region = batch.region(path.id, maxSize)
    if (region < 0) {
      this.finish()
      if (!this.ready) return false
      region = batch.region(path.id, maxSize)
      if (region < 0) return false
    }
    const sent = path.recovery.sent(Space.application)!
    const packetNumber = path.recovery.nextPacketNumber(Space.application)
    const pnLength = packetNumberLength(packetNumber, sent.largestAcked)
    const start = batch.at(region)
    w.reset(batch.burst.slab, start, start + maxSize - AEAD_TAG)
    const pnOffset = writeShortHeader(w, id.bytes, keys.writePhase, 0, pnLength, packetNumber)
    const payload = w.position
    const { frames } = core
    if (!elsewhere && purpose !== Purpose.size) this.writeAcknowledgements(path, purpose === Purpose.ack)
    if (purpose === Purpose.ack) {
      const late = core.paths.all.length > 1 && now - sent.lastAckElicitingTime > MAX_UNELICITING_TIME
      if (w.position > payload && (late || sent.sinceAckEliciting >= MAX_UNELICITING)) {
        writePing(w)
        frames.add(SentFrameKind.ping)
      }
    } else if (purpose === Purpose.path) {
      if (answer?.challenge === true) {
        writePathChallenge(w, answer.data)
        frames.add(SentFrameKind.pathChallenge)
      } else if (answer !== undefined) {
        writePathResponse(w, answer.data)
        frames.add(SentFrameKind.pathResponse)
      }
      // A response off the path's own addresses proves nothing about them, so the challenge waits.
      if (!elsewhere && path.validation.pending !== undefined) {
        writePathChallenge(w, path.validation.pending)
        frames.add(SentFrameKind.pathChallenge)
        path.validation.onSent(now, maxSize >= MIN_INITIAL_DATAGRAM)
      }
      if (!elsewhere && path.validated) this.writeData(path)
      // INI-6: nowhere else to say what concerns the paths themselves, for one that the path before is abandoned.
      else if (!elsewhere && core.paths.frames.pending && !this.hasValidated()) core.paths.frames.write(w, frames)
    } else if (purpose === Purpose.size) {
      writePing(w)
      frames.add(SentFrameKind.mtuProbe).value = size
    } else {
      if (purpose === Purpose.data || path.probeWithData) this.writeData(path)
      if (frames.head === undefined && purpose === Purpose.probe) {
        writePing(w)
        frames.add(SentFrameKind.ping)
      }
    }
    if (w.position === payload) return false
    const ackEliciting = w.position > payload && this.isEliciting()
    if (!ackEliciting && purpose === Purpose.data) {
      // Only acknowledgements came of it: they are sent, but the caller learns that no data fits this path.
      this.commit(path, region, packetNumber, pnOffset, pnLength, local, remote, false, false, elsewhere)
      return false
    }
    const expanded = purpose === Purpose.path || purpose === Purpose.size
    if (expanded && w.position < w.end) writePadding(w, w.end - w.position)
    this.commit(
      path,
      region,
      packetNumber,
      pnOffset,
      pnLength,
      local,
      remote,
      ackEliciting,
      ackEliciting || expanded,
      elsewhere
    )
    return true
  }

  private hasValidated(): boolean {
    for (const path of this.core.paths.all) if (path.open && path.validated) return true
    return false
  }

  /** Whether the packet that is being built holds anything beside acknowledgements. */
  private isEliciting(): boolean {
    for (let frame = this.core.frames.head; frame !== undefined; frame = frame.next) {
      if (frame.kind !== SentFrameKind.ack) return true
    }
    return false
  }

  private commit(
    path: Path,
    region: number,
    packetNumber: number,
    pnOffset: number,
    pnLength: number,
    local: Address,
    remote: Address,
    ackEliciting: boolean,
    inFlight: boolean,
    elsewhere: boolean
  ): void {
    const { core, now } = this
    // Header protection samples four bytes behind the packet number's start (RFC 9001 section 5.4.2).
    const short = pnOffset + 4 - w.position
    if (short > 0) writePadding(w, short)
    const start = batch.at(region)
    const end = w.position + AEAD_TAG
    const marked = inFlight && path.recovery.ecn.marks
    const frames = core.frames.detach()
    for (let frame = frames; frame !== undefined; frame = frame.next) {
      if (frame.kind === SentFrameKind.stream) path.streamBytesSent += frame.length
    }
    const keys = core.handshake.oneRtt!
    keys.onPacketSent(path.id, packetNumber)
    batch.add(region, path.id, packetNumber, pnOffset, pnLength, end, local, remote, marked ? Ecn.ect0 : Ecn.notEct)
    path.recovery.onPacketSent(
      Space.application,
      packetNumber,
      now,
      end - start,
      ackEliciting,
      inFlight,
      marked,
      frames
    )
    if (!elsewhere) path.onDatagramSent(end - start, now)
    if (ackEliciting && !this.elicitedSinceReceive) {
      this.elicitedSinceReceive = true
      core.idleSince = now
    }
    core.scheduler.onPacketSent?.(path, end - start)
  }

  /** The path's own acknowledgement if one is owed, and those of paths that cannot carry theirs. */
  private writeAcknowledgements(path: Path, dueOnly: boolean): void {
    for (const other of this.core.paths.all) {
      const received = other.recovery.received(Space.application)
      const own = other === path
      if (own ? received.unackedEliciting === 0 && !received.ackDue(this.now) : !received.ackDue(this.now)) continue
      if (!own && (this.canAcknowledge(other) || (!dueOnly && w.remaining < MAX_ACK_ROOM))) continue
      // A path that seems dead takes no acknowledgement along that a better one could carry.
      if (own && !dueOnly && !this.canAcknowledge(path) && this.ackCarrier(path) !== path) continue
      this.writeAcknowledgement(other.id, received)
    }
  }

  private writeAcknowledgement(pathId: number, received: ReceivedPackets): void {
    const { core } = this
    const count = received.fillRanges()
    const delay = Math.floor((received.delay(this.now) * 1000) / 2 ** core.settings.ackDelayExponent)
    const hasEcn = received.ect0 + received.ect1 + received.ce > 0
    const form = core.paths.multipath ? pathId : NO_PATH
    if (!writeAck(w, form, received.ranges, count, delay, received.ect0, received.ect1, received.ce, hasEcn)) return
    const frame = core.frames.add(SentFrameKind.ack)
    frame.pathId = pathId
    frame.value = received.largest
    received.onAckSent()
  }

  /** Fills the packet: what the connection has to say, then datagrams, then streams. */
  private writeData(path: Path): void {
    const { core } = this
    const { frames } = core
    if (core.handshakeDonePending) {
      core.handshakeDonePending = false
      writeHandshakeDone(w)
      frames.add(SentFrameKind.handshakeDone)
    }
    const crypto = core.handshake.stream(Level.oneRtt)
    if (crypto.hasData) crypto.write(w, frames)
    if (core.paths.frames.pending) core.paths.frames.write(w, frames)
    if (core.streams.hasControl()) core.streams.writeControl(w, frames, this.now)
    if (core.datagrams.hasOutgoing) this.writeDatagrams(path)
    if (w.remaining >= MIN_ROOM) core.streams.writeData(w, frames, path.id)
    if (core.pingPending) {
      core.pingPending = false
      if (frames.head === undefined && w.remaining > 0) {
        writePing(w)
        frames.add(SentFrameKind.ping)
      }
    }
  }

  private writeDatagrams(path: Path): void {
    const { core } = this
    // What an otherwise empty packet holds: a longer one can never leave, since the path shrank.
    const largest = path.mtu - shortHeaderLength(path.remoteIds.active!.bytes.length, 4) - AEAD_TAG
    while (core.datagrams.hasOutgoing) {
      const bytes = core.datagrams.next(w.remaining, path.id, largest)
      if (bytes === undefined) return
      writeDatagramHeader(w, bytes.length, true)
      w.copy(bytes)
      core.frames.add(SentFrameKind.datagram).length = bytes.length
    }
  }

  private finish(): void {
    if (batch.isEmpty) return
    const keys = this.core.handshake.oneRtt!
    const count = batch.burst.count
    if (!batch.send(this.sink, keys.write, keys.headerWrite)) this.ready = false
    keys.sealed(count)
    batch.begin(this.sink.slab, this.core.paths.all.length)
  }
}
