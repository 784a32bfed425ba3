/**
 * Sends the Initial and Handshake packets of a connection, on path 0 (RFC 9000 sections 12.2, 14.1; RFC 9002 section 6.2.4).
 */
import { spaceOfLevel } from "../paths/Path.ts"
import type { Path } from "../paths/Path.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import { ByteWriter } from "../wire/Cursor.ts"
import { Ecn } from "../wire/Datagram.ts"
import type { TransmitSink } from "../wire/Datagram.ts"
import { NO_PATH, writeAck, writePing } from "../wire/FrameWriter.ts"
import { AEAD_TAG, Level, MIN_INITIAL_DATAGRAM } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import { LongDatagram } from "./LongHeaderPackets.ts"

/** Least room for a packet that is worth starting: header, some payload, tag. */
const MIN_PACKET = 128
const LEVELS = [Level.initial, Level.handshake] as const

const datagram = new LongDatagram()
const w = new ByteWriter()

interface Built {
  space: number
  packetNumber: number
  size: number
  ackEliciting: boolean
  frames: SentFrame | undefined
}

export class HandshakeSender {
  private readonly core: ConnectionState
  /** PTO probes to send, by level. */
  private readonly probes = [0, 0, 0, 0]
  private readonly built: Array<Built> = []
  /** Called when a client has sent its first Handshake packet (RFC 9001 section 4.9.1). */
  onHandshakePacketSent: () => void = () => {}

  constructor(core: ConnectionState) {
    this.core = core
  }

  probe(level: Level, count: number): void {
    this.probes[level] = count
  }

  /** Sends what may be sent now. `false`: the socket is full, something may wait for it. */
  poll(now: number, sink: TransmitSink, scid: Uint8Array): boolean {
    const { core } = this
    while (core.open && (core.handshake.initial !== undefined || core.handshake.handshake !== undefined)) {
      const path = core.paths.primary
      if (sink.isFull(path.local)) return false
      path.now = now
      const end = this.build(path, now, sink, scid)
      if (end === 0) return true
      const bytes = sink.slab.subarray(0, end)
      path.onDatagramSent(end, now)
      let sentHandshake = false
      for (const packet of this.built) {
        if (packet.space === 1) sentHandshake = true
        path.recovery.onPacketSent(
          packet.space,
          packet.packetNumber,
          now,
          packet.size,
          packet.ackEliciting,
          packet.ackEliciting,
          false,
          packet.frames
        )
        if (core.observers !== undefined) core.observers.packetSent(path, packet.size, now)
      }
      sink.send({ local: path.local, remote: path.remote, ecn: Ecn.notEct, segmentSize: end, bytes })
      if (sentHandshake) this.onHandshakePacketSent()
    }
    return true
  }

  /** Builds one datagram at the start of the slab. Gives its length; 0: there is nothing to send. */
  private build(path: Path, now: number, sink: TransmitSink, scid: Uint8Array): number {
    const { core, built } = this
    const dcid = path.remoteIds.active
    const budget = Math.min(path.mtu, path.amplificationBudget())
    built.length = 0
    // Below that not even an acknowledgement of an Initial can be expanded as it must be.
    if (dcid === undefined || budget < MIN_INITIAL_DATAGRAM) return 0
    datagram.begin(sink.slab)
    w.reset(sink.slab, 0, 0)
    let expand = false
    for (const level of LEVELS) {
      const keys = level === Level.initial ? core.handshake.initial : core.handshake.handshake
      if (keys?.write === undefined || budget - w.position < MIN_PACKET) continue
      const space = spaceOfLevel(level)
      const sent = path.recovery.sent(space)
      const received = path.recovery.received(space)
      if (sent === undefined) continue
      const crypto = core.handshake.stream(level)
      const probe = this.probes[level]!
      const mayCarry = probe > 0 || path.recovery.canSend(path.mtu, now)
      if (!received.ackDue(now) && !(mayCarry && (crypto.hasData || probe > 0))) continue
      const packetNumber = path.recovery.nextPacketNumber(space)
      w.end = budget - AEAD_TAG
      datagram.open(w, core, level, dcid.bytes, scid, packetNumber, sent.largestAcked, keys)
      // A probe repeats the acknowledgement as well: it may be what the peer is missing.
      if (received.unackedEliciting > 0 || received.ackDue(now) || probe > 0) {
        const count = received.fillRanges()
        // Room for the PING behind it.
        w.end--
        if (count > 0 && writeAck(w, NO_PATH, received.ranges, count, 0, 0, 0, 0, false)) {
          const frame = core.frames.add(SentFrameKind.ack)
          frame.space = space
          frame.value = received.largest
          received.onAckSent()
        }
        w.end++
      }
      let ackEliciting = false
      // A probe repeats what it can: a PING would tell the peer nothing (RFC 9002 section 6.2.4).
      if (probe > 0 && !crypto.hasData) crypto.requeue()
      if (mayCarry && crypto.hasData) {
        crypto.write(w, core.frames)
        ackEliciting = true
      }
      if (probe > 0) {
        this.probes[level] = probe - 1
        if (!ackEliciting) {
          writePing(w)
          core.frames.add(SentFrameKind.ping)
          ackEliciting = true
        }
      }
      const size = datagram.close(w)
      built.push({ space, packetNumber, size, ackEliciting, frames: core.frames.detach() })
      // RFC 9000 section 14.1: every datagram of a client with an Initial, and of a server with an ack-eliciting one.
      if (level === Level.initial && (core.role === "client" || ackEliciting)) expand = true
    }
    if (datagram.count === 0) return 0
    if (expand) {
      const added = datagram.padTo(w, MIN_INITIAL_DATAGRAM)
      built[built.length - 1]!.size += added
    }
    return datagram.seal()
  }
}
