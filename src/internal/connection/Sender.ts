/**
 * The sending half of a connection once there are 1-RTT keys: what goes first. Path frames and probes go where the protocol
 * wants them, everything else on the path that the scheduler picks, packet by packet.
 */
import type { Path } from "../paths/Path.ts"
import type { PathAnswer } from "../paths/PathAnswers.ts"
import type { PacketKind } from "../paths/Scheduler.ts"
import { collectUsable, PathClass, pathClass } from "../paths/usable.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { TransmitSink } from "../wire/Datagram.ts"
import {
  newTokenLength,
  streamHeaderLength,
  writeDatagramHeader,
  writeHandshakeDone,
  writeNewToken,
  writePathChallenge,
  writePathResponse,
  writePing
} from "../wire/FrameWriter.ts"
import { shortHeaderLength } from "../wire/PacketHeader.ts"
import { AEAD_TAG, Level, MIN_INITIAL_DATAGRAM } from "../wire/Protocol.ts"
import { dropPromise } from "../Unwanted.ts"
import { Acknowledger, MAX_ACK_ROOM } from "./Acknowledger.ts"
import { CopyQueues } from "./CopyQueues.ts"
import { Duplicator } from "./Duplicator.ts"
import { Reinjector } from "./Reinjector.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { CopyQueue } from "../recovery/CopyQueue.ts"
import { PacketBuilder } from "./PacketBuilder.ts"
import { schedulerName } from "./Policies.ts"
import { SendContext } from "./SendContext.ts"

// Shared by all connections: a flush runs to its end before the next connection has its turn.
const packet = new PacketBuilder()

/** Room left in a packet below which no further STREAM or DATAGRAM frame is started. */
const MIN_ROOM = 16
/** ms: pacing is no finer than this. */
const MIN_WAIT = 0.01
/** ms for which a scheduler may give no path when there is nothing to wait for, and between two questions to it at most. */
const PATIENCE = 1000
const MAX_PATIENCE = 100

const isIdle = (path: Path): boolean => path.bytesInFlight === 0

/** The largest DATAGRAM frame that an otherwise empty packet of the path holds. */
const largestDatagram = (path: Path): number =>
  path.mtu - shortHeaderLength(path.remoteIds.active?.bytes.length ?? 0, 4) - AEAD_TAG

export class Sender {
  private readonly core: ConnectionState
  private readonly acknowledger: Acknowledger
  private readonly context: SendContext
  private readonly usable: Array<Path>
  private now = 0
  /** When pacing lets the next packet go although there is something to send; Infinity if that is not what we wait for. */
  pacingDeadline = Infinity
  /** What goes on several paths; made with the second one. */
  private copies: CopyQueues | undefined = undefined
  private duplicator: Duplicator | undefined = undefined
  reinjector: Reinjector | undefined = undefined
  /** When the scheduler began to give no path although one could send and nothing was under way. */
  private refusedSince = Infinity
  /** Since when it has given no path although one could send, whatever is under way. */
  private heldSince = Infinity

  constructor(core: ConnectionState) {
    this.core = core
    this.acknowledger = new Acknowledger(core, packet)
    this.context = new SendContext(core)
    this.usable = this.context.usable
  }

  /** Packets arrived: the next ack-eliciting packet counts as activity again (RFC 9000 section 10.1). */
  onReceived(): void {
    this.core.elicitedSinceReceive = false
  }

  /** Sends what may be sent now. `false`: a socket is full, something may wait for it. */
  poll(now: number, sink: TransmitSink): boolean {
    const { core } = this
    const keys = core.handshake.oneRtt
    if (keys === undefined || !core.open) return true
    this.now = now
    this.pacingDeadline = Infinity
    if (keys.needsUpdate && keys.initiateUpdate(now, core.largestPto())) core.keyUpdates++
    packet.begin(core, now, sink)
    packet.duplicator = undefined
    this.acknowledger.begin(now)
    let propagation = 0
    for (const path of core.paths.all) {
      path.now = now
      const { rtt } = path.recovery
      if (rtt.hasSample && rtt.min > propagation * rtt.smoothed) propagation = rtt.min / rtt.smoothed
      if (path.open && !path.blocked) this.sendPathFrames(path)
      else if (path.farewellPending) this.sendFarewell(path)
    }
    core.streams.propagation = propagation
    collectUsable(core.paths.all, this.usable)
    this.context.renew()
    const { copies } = this
    packet.duplicator = this.duplicator?.active === true ? this.duplicator : undefined
    if (copies !== undefined) {
      copies.refresh()
      this.sendCopies(copies)
    } else if (core.paths.all.length > 1) {
      this.copies = new CopyQueues(core)
      this.duplicator = new Duplicator(core, this.copies)
      core.copies = this.reinjector = new Reinjector(core, this.copies)
    }
    this.sendBound()
    this.sendData()
    if (copies !== undefined) {
      // Of paths that are idle now, and what was sent meanwhile is wanted on several.
      this.reinjector?.whenIdle(now)
      this.sendCopies(copies)
    }
    this.acknowledger.sendDue()
    packet.flush()
    return !packet.held || !core.open
  }

  private sendPathFrames(path: Path): void {
    const { validation } = path
    // Without a connection ID of this path they wait: the peer's frames may be out of order (INI-8).
    // What a full socket keeps back waits: nothing is taken from where it is noted before a packet is open.
    while (!path.answers.isEmpty && path.remoteIds.active !== undefined && packet.ready) {
      const answer = path.answers.first!
      if (!this.sendPathProbe(path, answer) && packet.isBlocked(path, answer.local)) break
      path.answers.done()
    }
    if (validation.pending !== undefined) this.sendPathProbe(path, undefined)
    while (path.probes > 0 && (this.sendProbe(path) || !path.blocked)) path.probes--
    // A report is of the path that it leaves on; with a challenge it needs no packet of its own.
    if (this.core.addresses.owesReport(path) && path.validated && path.canSend) this.sendReport(path)
    this.sendSizeProbe(path)
  }

  /** OBSERVED_ADDRESS, with whatever is waiting. */
  private sendReport(path: Path): void {
    const { core } = this
    if (!packet.ready || !packet.open(path, path.mtu)) return
    core.addresses.writeReport(packet.writer, core.frames, path)
    this.acknowledger.write(path)
    if (path.ptoCount === 0) this.writeData(path)
    packet.commit(true, true)
  }

  private sendFarewell(path: Path): void {
    // A socket that is full takes it later.
    if (path.open || !packet.open(path, path.mtu)) return
    path.farewellPending = false
    this.core.paths.frames.writeAbandon(packet.writer, this.core.frames, path.id, path.abandonCode)
    packet.commit(false, false)
  }

  private sendData(): void {
    const { core, usable, context } = this
    context.now = this.now
    while (packet.ready) {
      this.sendCrowded()
      const kind = this.waiting()
      if (kind === undefined) {
        this.refusedSince = this.heldSince = Infinity
        for (const path of usable) path.recovery.onNothingToSend(this.now)
        break
      }
      context.kind = kind
      context.queuedBytes = core.streams.queuedBytes
      const selected = this.choose()
      if (selected === undefined) {
        for (const path of usable) this.awaitPacing(path)
        break
      }
      if (kind === "data" && core.scheduler.steady === true && this.sendTrain(selected)) continue
      if (!this.sendDataPacket(selected)) {
        // Nothing of what waits may go on this path (affinity): the others are asked without it.
        usable.splice(usable.indexOf(selected), 1)
        context.renew()
        if (usable.length === 0) break
      }
    }
  }

  /**
   * What the application has bound to a path leaves on it whatever its class: status is advice to the scheduler (draft-21
   * section 3.3), and nobody else may carry it.
   */
  private sendBound(): void {
    const { core, usable } = this
    for (const path of core.paths.all) {
      if (usable.includes(path) || !path.validated || pathClass(path) === PathClass.none) continue
      while (packet.ready && (core.streams.hasBound(path.id) || core.datagrams.hasBound(path.id))) {
        if (!path.canSend) {
          this.awaitPacing(path)
          break
        }
        if (!packet.open(path, path.mtu)) break
        this.writeDatagrams(path, true)
        if (packet.writer.remaining >= MIN_ROOM) {
          core.streams.writeData(packet.writer, core.frames, path.id, true)
        }
        if (packet.isEmpty) break
        packet.commit(true, true)
      }
    }
  }

  private sendCopies(copies: CopyQueues): void {
    for (const path of this.core.paths.all) {
      if (path.duplicates !== undefined) this.sendQueued(copies, path, path.duplicates)
      if (path.reinjections !== undefined) this.sendQueued(copies, path, path.reinjections)
    }
  }

  /** Many small frames went along at once: their copies must not be too many to wait. */
  private sendCrowded(): void {
    const { copies, duplicator } = this
    if (duplicator === undefined || !duplicator.crowded) return
    duplicator.crowded = false
    this.sendCopies(copies!)
  }

  private sendQueued(copies: CopyQueues, path: Path, queue: CopyQueue): void {
    const { duplicator } = packet
    packet.duplicator = undefined
    while (queue.head !== undefined && packet.ready) {
      if (queue.notBefore > this.now) {
        this.pacingDeadline = Math.min(this.pacingDeadline, queue.notBefore)
        break
      }
      if (!path.canSend) {
        this.awaitPacing(path)
        break
      }
      if (!packet.open(path, path.mtu)) break
      copies.write(queue, packet.writer, this.core.frames)
      if (packet.isEmpty) {
        copies.giveBackFirst(queue)
        continue
      }
      copies.count(path, queue, this.core.frames.head)
      if (packet.writer.remaining >= MAX_ACK_ROOM) this.acknowledger.write(path)
      packet.commit(true, true)
      queue.onSent(this.now)
    }
    packet.duplicator = duplicator
  }

  /** The path that the scheduler wants, if it can be had. */
  private choose(): Path | undefined {
    const { context, core } = this
    const selected = core.scheduler.select(context) as Path | undefined
    if (context.paths.length !== context.usable.length) {
      context.renew()
      core.mistakes.inScheduler(schedulerName(core.scheduler), "it changes the list of paths that it is given")
    }
    if (selected !== undefined && this.usable.includes(selected) && selected.canSend) {
      this.refusedSince = this.heldSince = Infinity
      return selected
    }
    return this.withoutChoice(selected)
  }

  /**
   * Nobody may be kept waiting for ever. A scheduler may wait for a better path, but with nothing under way there is nothing
   * to wait for: after a while that is a mistake. What is no path, or cannot send, is one at once: the packet waits as long as
   * an acknowledgement may change that, and else the connection chooses.
   */
  private withoutChoice(selected: unknown): Path | undefined {
    const { core, now, usable } = this
    let free: Path | undefined
    for (const path of usable) {
      if (path.canSend && (free === undefined || path.smoothedRtt < free.smoothedRtt)) free = path
    }
    const idle = core.paths.all.every(isIdle)
    if (selected === undefined) {
      if (free === undefined) this.heldSince = Infinity
      else if (this.heldSince === Infinity) this.heldSince = now
      if (!idle || free === undefined) this.refusedSince = Infinity
      else if (this.refusedSince === Infinity) this.refusedSince = now
      if (this.refusedFor(now) >= PATIENCE)
        core.mistakes.inScheduler(
          schedulerName(core.scheduler),
          "it gives no path although one can send, and nothing is under way",
          "It is obeyed, and counted: nothing is sent until it gives one"
        )
      return undefined
    }
    dropPromise(selected)
    const what = usable.includes(selected as Path)
      ? "it chooses a path that cannot send now"
      : "what it chooses is none of the paths that it was given"
    core.mistakes.inScheduler(schedulerName(core.scheduler), what)
    return idle ? free : undefined
  }

  /** ms for which the scheduler has given no path although there is nothing to wait for. */
  refusedFor(now: number): number {
    return Math.max(0, now - this.refusedSince)
  }

  /**
   * Full packets of new bytes of one stream, for as long as nothing else has to go along. `false`: there is none to send,
   * and `sendDataPacket` makes the next packet.
   */
  private sendTrain(path: Path): boolean {
    const { core } = this
    const { frames, streams } = core
    const { writer } = packet
    const { mtu, recovery } = path
    if (
      path.remoteIds.active === undefined ||
      !path.validated ||
      core.datagrams.hasOutgoingFor(path.id) ||
      this.acknowledger.owes(path)
    ) {
      return false
    }
    const stream = streams.trainFor(path.id)
    if (stream === undefined) return false
    const from = stream.send!.buffer.unsentOffset
    // The last packet of a stream, or of its turn, is seldom full.
    const end = from + streams.trainLength(stream)
    let offset = from
    while (recovery.canSend(mtu, this.now) && packet.openFull(path)) {
      const length = writer.remaining - streamHeaderLength(stream.id, offset, -1)
      if (offset + length >= end) break
      streams.writeTrain(writer, frames, stream, offset, length)
      offset += length
      packet.commit(true, true)
      path.packetsScheduled++
    }
    if (offset === from) return false
    streams.trainSent(stream, offset - from)
    return true
  }

  /** There is something to send and only the pacer, if anything that time alone can change, is in its way. */
  private awaitPacing(path: Path): void {
    const next = path.nextSendTime
    if (next < Infinity) path.recovery.onPacingLimited(this.now, this.context.queuedBytes)
    // Never now: what time does not change must not make the timer run in circles, and a scheduler that says no to a path
    // that can send is asked less and less often.
    const again = path.canSend ? Math.min(MAX_PATIENCE, Math.max(1, (this.now - this.heldSince) / 4)) : MIN_WAIT
    this.pacingDeadline = Math.min(this.pacingDeadline, Math.max(next, this.now + again))
  }

  /** What waits to be sent, most urgent first. */
  private waiting(): PacketKind | undefined {
    const { core } = this
    if (
      core.handshakeDonePending ||
      core.newTokenPending ||
      core.pingPending ||
      core.paths.frames.pending ||
      core.addresses.advertised.pending ||
      core.streams.hasControl() ||
      core.handshake.stream(Level.oneRtt).hasData
    ) {
      return "control"
    }
    for (const path of this.usable) {
      if (core.datagrams.hasOutgoingFor(path.id, largestDatagram(path))) return "data"
    }
    for (const path of this.usable) {
      if (core.streams.hasRetransmission(path.id)) return "retransmission"
    }
    for (const path of this.usable) if (core.streams.hasData(path.id)) return "data"
    return undefined
  }

  /** Whatever is waiting, within window and pacing. `false`: nothing of it fits this path. */
  private sendDataPacket(path: Path): boolean {
    if (!packet.open(path, path.mtu)) return false
    this.acknowledger.write(path)
    this.writeData(path)
    if (packet.isEmpty) return false
    const eliciting = packet.isEliciting
    packet.commit(eliciting, eliciting)
    if (eliciting) path.packetsScheduled++
    // Only acknowledgements came of it: what waits may fit a packet without them.
    return eliciting || this.sendUnaccompanied(path)
  }

  private sendUnaccompanied(path: Path): boolean {
    if (!packet.open(path, path.mtu)) return false
    this.writeData(path)
    if (packet.isEmpty) return false
    packet.commit(true, true)
    path.packetsScheduled++
    return true
  }

  /**
   * A PTO probe: whatever is waiting, and a PING if nothing is; no window holds it back (RFC 9002 section 6.2.4). It has the
   * size that every path carries: the silence may be that of a path that no longer takes larger ones (RFC 8899 section 4.3).
   */
  private sendProbe(path: Path): boolean {
    if (!packet.open(path, Math.min(path.mtu, path.discovery.base))) return false
    this.acknowledger.write(path)
    // Another path may have come to work since the probe was asked for: what left here now would have to wait.
    if (path.probeWithData && (path.ptoCount === 0 || !this.core.hasAlternative(path))) this.writeData(path)
    if (!packet.isEliciting) packet.ping()
    packet.commit(true, true)
    return true
  }

  /**
   * Everything that is owed to one address, and the path's own challenge if it is that one's; expanded to 1200 bytes (RFC 9000
   * sections 8.2.1, 8.2.2). What the 3x limit, or the want of a connection ID, does not let leave is not kept: the peer asks again.
   * `false`: nothing has left.
   */
  private sendPathProbe(path: Path, answer: PathAnswer | undefined): boolean {
    const { core } = this
    const { frames } = core
    if (!packet.open(path, MIN_INITIAL_DATAGRAM, answer)) return false
    const { elsewhere, writer } = packet
    if (!elsewhere) this.acknowledger.write(path)
    if (answer !== undefined) {
      for (const data of answer.responses) {
        writePathResponse(writer, data)
        frames.add(SentFrameKind.pathResponse)
      }
      if (answer.challenge !== undefined) {
        writePathChallenge(writer, answer.challenge)
        frames.add(SentFrameKind.pathChallenge)
      }
    }
    // A response off the path's own addresses proves nothing about them, so the challenge waits.
    if (!elsewhere && path.validation.pending !== undefined) {
      writePathChallenge(writer, path.validation.pending)
      frames.add(SentFrameKind.pathChallenge)
      path.validation.onSent(this.now, packet.size >= MIN_INITIAL_DATAGRAM)
    }
    if (!elsewhere) core.addresses.writeReport(writer, frames, path)
    // What a path that seems dead takes along waits for the next probe timeout there.
    if (!elsewhere && path.validated && path.ptoCount === 0) this.writeData(path)
    // INI-6: nowhere else to say what concerns the paths themselves, for one that the path before is abandoned.
    else if (!elsewhere && core.paths.frames.pending && !core.paths.hasValidated) {
      core.paths.frames.write(writer, frames)
    }
    if (packet.isEmpty) return false
    packet.pad()
    // What becomes of a packet to another address says nothing about the path.
    if (elsewhere) packet.commit(false, false)
    else packet.commit(packet.isEliciting, true)
    return true
  }

  /** A probe for a larger packet size: PING and padding (RFC 8899). */
  private sendSizeProbe(path: Path): void {
    const size = path.discovery.nextProbe()
    if (size === 0 || !this.core.confirmed || !path.validated || path.ptoCount > 0) return
    // With a window of two packets, one for the probe would leave no room for data until it is lost.
    if (!path.recovery.canSend(size + path.mtu, this.now) || !packet.open(path, size)) return
    writePing(packet.writer)
    this.core.frames.add(SentFrameKind.mtuProbe).value = size
    packet.pad()
    packet.commit(true, true)
    path.discovery.onProbeSent()
  }

  /** Fills the packet: what the connection has to say, then datagrams, then streams. */
  private writeData(path: Path): void {
    const { core } = this
    const { frames } = core
    const { writer } = packet
    if (core.handshakeDonePending && writer.remaining > 0) {
      core.handshakeDonePending = false
      writeHandshakeDone(writer)
      frames.add(SentFrameKind.handshakeDone)
    }
    const crypto = core.handshake.stream(Level.oneRtt)
    if (crypto.hasData) crypto.write(writer, frames)
    if (core.newTokenPending && writer.remaining >= newTokenLength(core.newToken!.length)) {
      core.newTokenPending = false
      writeNewToken(writer, core.newToken!)
      frames.add(SentFrameKind.newToken)
    }
    if (core.paths.frames.pending) core.paths.frames.write(writer, frames)
    if (core.addresses.advertised.pending) core.addresses.advertised.write(writer, frames)
    if (core.streams.hasControl()) core.streams.writeControl(writer, frames, this.now)
    this.writeApplicationData(path)
    if (core.pingPending && (packet.isEliciting || writer.remaining > 0)) {
      core.pingPending = false
      if (!packet.isEliciting) packet.ping()
    }
  }

  /** Datagrams before streams, but not for ever: where both wait, every other packet is for streams first. */
  private writeApplicationData(path: Path): void {
    const { core } = this
    const { writer } = packet
    const { streamsNext } = core
    core.streamsNext = false
    if (core.datagrams.hasOutgoing && !streamsNext) {
      const from = writer.position
      this.writeDatagrams(path, false)
      core.streamsNext = writer.position > from && core.streams.hasData(path.id)
    }
    if (writer.remaining >= MIN_ROOM) core.streams.writeData(writer, core.frames, path.id)
    if (streamsNext && core.datagrams.hasOutgoing) this.writeDatagrams(path, false)
  }

  private writeDatagrams(path: Path, boundOnly: boolean): void {
    const { core } = this
    const { writer } = packet
    const largest = largestDatagram(path)
    while (core.datagrams.hasOutgoing) {
      const bytes = core.datagrams.next(writer.remaining, path.id, largest, boundOnly)
      if (bytes === undefined) return
      writeDatagramHeader(writer, bytes.length, true)
      writer.copy(bytes)
      const frame = core.frames.add(SentFrameKind.datagram)
      frame.length = bytes.length
      if (this.duplicator !== undefined && this.duplicator.wantsDatagrams && !core.datagrams.tookBound)
        frame.owner = bytes
    }
  }
}
