/**
 * What is still said when a connection is closing (RFC 9000 section 10.2).
 */
import { protect } from "../crypto/HeaderProtection.ts"
import { makePacketBurst } from "../crypto/PacketBurst.ts"
import type { Path } from "../paths/Path.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { ByteWriter } from "../wire/Cursor.ts"
import { Ecn } from "../wire/Datagram.ts"
import type { TransmitSink } from "../wire/Datagram.ts"
import { NO_PATH, writeAck, writeConnectionClose } from "../wire/FrameWriter.ts"
import { writeShortHeader } from "../wire/PacketHeader.ts"
import { packetNumberLength } from "../wire/PacketNumber.ts"
import { AEAD_TAG, Level, MIN_INITIAL_DATAGRAM, TransportError } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import { LongDatagram } from "./LongHeaderPackets.ts"

const datagram = new LongDatagram()
const w = new ByteWriter()
const single = makePacketBurst(1, new Uint8Array(0))

/** Frame type that marks a CONNECTION_CLOSE of the application for the writer. */
const APPLICATION = -1

/** Room for a tag and the packet with the CONNECTION_CLOSE behind a Finished: its reason is cut short if need be. */
const CLOSE_ROOM = 256

export class Closing {
  private readonly core: ConnectionState
  /** Packets that came since closing, and how many are awaited before the next answer (exponential). */
  private received = 0
  private answerAt = 1

  constructor(core: ConnectionState) {
    this.core = core
  }

  /** Something arrived while closing: every so often it gets the answer again (RFC 9000 section 10.2.1). */
  onDatagram(): void {
    if (this.core.state !== "closing") return
    this.received++
    if (this.received >= this.answerAt) {
      this.received = 0
      this.answerAt *= 2
      this.core.closePending = true
    }
  }

  /** The last word does not wait for a full socket. */
  poll(now: number, sink: TransmitSink, scid: Uint8Array): void {
    const { core } = this
    if (!core.closePending || core.closeInfo === undefined) return
    core.closePending = false
    const finished = this.buildFinished(now, sink, scid)
    if (core.handshake.oneRtt !== undefined) {
      // On every open path: one of them may be dead without our knowledge, and it costs a packet each (CLO-1).
      // Of closed ones only the last has kept its connection IDs (ABN-8).
      const { hasOpen } = core.paths
      for (const path of core.paths.all) {
        if ((path.open || !hasOpen) && (path.validated || path.amplificationBudget() > 100))
          this.sendShort(path, now, sink, path === core.paths.primary ? finished : 0)
      }
    }
    // A peer that may not have 1-RTT keys yet understands the earlier ones (RFC 9000 section 10.2.3).
    if (!core.confirmed && finished === 0) this.sendLong(now, sink, scid)
  }

  /**
   * A client may close as soon as its handshake is complete, with its Finished still to send. Then that goes first in the
   * datagram of the 1-RTT packet: with it the server has a complete handshake, and can read why the connection ends. Gives
   * the bytes that it takes of the slab; 0: none, because there is nothing of the kind, or it does not fit.
   */
  private buildFinished(now: number, sink: TransmitSink, scid: Uint8Array): number {
    const { core } = this
    const path = core.paths.primary
    const dcid = path.remoteIds.active
    const sent = path.recovery.sent(Space.handshake)
    const keys = core.handshake.handshake
    const crypto = core.handshake.stream(Level.handshake)
    if (core.role !== "client" || core.handshake.info === undefined || !crypto.hasData) return 0
    if (keys?.write === undefined || sent === undefined || dcid === undefined) return 0
    const packetNumber = path.recovery.nextPacketNumber(Space.handshake)
    datagram.begin(sink.slab)
    w.reset(sink.slab, 0, path.mtu - CLOSE_ROOM)
    datagram.open(w, core, Level.handshake, dcid.bytes, scid, packetNumber, sent.largestAcked, keys)
    // The acknowledgement gives the server its only sample of the RTT, and with it a short draining period.
    const received = path.recovery.received(Space.handshake)
    writeAck(w, NO_PATH, received.ranges, received.fillRanges(), 0, 0, 0, 0, false)
    crypto.write(w, core.frames)
    core.frames.discard()
    if (crypto.hasData) return 0
    this.sent(path, Space.handshake, packetNumber, now, datagram.close(w))
    return datagram.seal()
  }

  private writeClose(early: boolean): void {
    const info = this.core.closeInfo!
    if (info.kind === "application") {
      // Section 10.2.3: an application's code and words are not for packets that anyone can read.
      if (early) writeConnectionClose(w, TransportError.application, 0, "")
      else writeConnectionClose(w, info.code, APPLICATION, info.reason)
    } else if (info.kind === "transport") {
      writeConnectionClose(w, info.code, info.frameType, info.reason)
    } else {
      writeConnectionClose(w, info.kind === "internal" ? TransportError.internal : TransportError.noError, 0, "")
    }
  }

  private sent(path: Path, space: number, packetNumber: number, now: number, bytes: number): void {
    path.recovery.onPacketSent(space, packetNumber, now, bytes, false, false, false, undefined)
    this.core.observers?.packetSent(path, bytes, now)
  }

  /** Sends the packet behind the first `from` bytes of the slab, which are of the same datagram. */
  private sendShort(path: Path, now: number, sink: TransmitSink, from: number): void {
    const { core } = this
    const id = path.remoteIds.active
    const keys = core.handshake.oneRtt!
    const sent = path.recovery.sent(Space.application)
    if (id === undefined || sent === undefined || keys.exhausted) return
    const packetNumber = path.recovery.nextPacketNumber(Space.application)
    const pnLength = packetNumberLength(packetNumber, sent.largestAcked)
    const size = Math.min(path.mtu, path.amplificationBudget())
    w.reset(sink.slab, from, size - AEAD_TAG)
    const pnOffset = writeShortHeader(w, id.bytes, keys.writePhase, 0, pnLength, packetNumber)
    this.writeClose(false)
    const end = w.position + AEAD_TAG
    single.slab = sink.slab
    single.count = 1
    single.start[0] = from
    single.pnOffset[0] = pnOffset
    single.pnLength[0] = pnLength
    single.end[0] = end
    single.pathId[0] = path.id
    single.packetNumber[0] = packetNumber
    protect(single, 0, 1, keys.write, keys.headerWrite)
    keys.sealed(1)
    this.sent(path, Space.application, packetNumber, now, end - from)
    path.onDatagramSent(end, now)
    sink.send({
      local: path.local,
      remote: path.remote,
      ecn: Ecn.notEct,
      segmentSize: end,
      bytes: sink.slab.subarray(0, end)
    })
  }

  private sendLong(now: number, sink: TransmitSink, scid: Uint8Array): void {
    const { core } = this
    const path = core.paths.primary
    const dcid = path.remoteIds.active
    const budget = Math.min(path.mtu, path.amplificationBudget())
    if (dcid === undefined || budget < MIN_INITIAL_DATAGRAM) return
    datagram.begin(sink.slab)
    w.reset(sink.slab, 0, budget - AEAD_TAG)
    for (const level of [Level.initial, Level.handshake] as const) {
      const keys = level === Level.initial ? core.handshake.initial : core.handshake.handshake
      const space = level === Level.initial ? Space.initial : Space.handshake
      const sent = path.recovery.sent(space)
      if (keys?.write === undefined || sent === undefined) continue
      const packetNumber = path.recovery.nextPacketNumber(space)
      w.end = budget - AEAD_TAG
      datagram.open(w, core, level, dcid.bytes, scid, packetNumber, sent.largestAcked, keys)
      // Both packets must fit, whatever the reason says.
      w.end = Math.min(w.end, w.position + 400)
      this.writeClose(true)
      this.sent(path, space, packetNumber, now, datagram.close(w))
    }
    if (datagram.count === 0) return
    w.end = budget
    if (core.role === "client") datagram.padTo(w, MIN_INITIAL_DATAGRAM)
    const end = datagram.seal()
    path.onDatagramSent(end, now)
    sink.send({
      local: path.local,
      remote: path.remote,
      ecn: Ecn.notEct,
      segmentSize: end,
      bytes: sink.slab.subarray(0, end)
    })
  }
}
