/**
 * What peers and attackers send that our own machine never would: raw datagrams from any address, and packets under the
 * real keys of a connection with any frames in them.
 */
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { LongDatagram } from "../../src/internal/connection/LongHeaderPackets.ts"
import { protect } from "../../src/internal/crypto/HeaderProtection.ts"
import { makePacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import { spaceOfLevel } from "../../src/internal/paths/Path.ts"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { Ecn } from "../../src/internal/wire/Datagram.ts"
import type { Address } from "../../src/internal/wire/Datagram.ts"
import { writePadding } from "../../src/internal/wire/FrameWriter.ts"
import { writeShortHeader } from "../../src/internal/wire/PacketHeader.ts"
import { AEAD_TAG, Level, MIN_INITIAL_DATAGRAM } from "../../src/internal/wire/Protocol.ts"
import type { Simulator } from "../../src/testing/internal/SimulatorCore.ts"
import type { Node } from "./Machines.ts"

/** Puts a datagram on the link from `from` to `to`, whoever lives there. */
export const sendRaw = (simulator: Simulator, from: Address, to: Address, bytes: Uint8Array): void =>
  simulator.send({ local: from, remote: to, ecn: Ecn.notEct, segmentSize: bytes.length, bytes })

export interface Captured {
  readonly bytes: Uint8Array
  readonly from: Address
  readonly to: Address
  readonly at: number
}

/** Copies everything that a node sends. */
export const capture = (node: Node): Array<Captured> => {
  const captured: Array<Captured> = []
  const before = node.tap
  node.tap = (bytes, from, to, at, ecn) => {
    captured.push({ bytes: bytes.slice(), from, to, at })
    return before?.(bytes, from, to, at, ecn) ?? true
  }
  return captured
}

export interface Forgery {
  readonly level?: Level | undefined
  readonly pathId?: number | undefined
  /** Default: the next one of the path. */
  readonly packetNumber?: number | undefined
  /** Bits to set in the first byte before it is protected. */
  readonly firstByte?: number | undefined
  /** Initial: leave it smaller than 1200 bytes. */
  readonly unpadded?: boolean | undefined
  /** Source connection ID of a long header. Default: the connection's own. */
  readonly scid?: Uint8Array | undefined
  /** Of a 1-RTT packet. Default: the one in use. */
  readonly dcid?: Uint8Array | undefined
  /** Where it seems to come from. Default: the path's own address. */
  readonly from?: Address | undefined
}

const long = new LongDatagram()

/** Frames as bytes: `frames((w) => writePing(w))`. */
export const frames = (write: (w: ByteWriter) => void): Uint8Array => {
  const w = new ByteWriter(new Uint8Array(4096))
  write(w)
  return w.bytes.slice(0, w.position)
}

/** A packet of `connection` with `payload` for its frames. The connection counts it as sent, and forgets it. */
export const forge = (connection: Connection, payload: Uint8Array, now: number, options: Forgery = {}): Uint8Array => {
  const level = options.level ?? Level.oneRtt
  const path = connection.path(options.pathId ?? 0)!
  const { handshake } = connection.core
  const space = spaceOfLevel(level)
  const sent = path.recovery.sent(space)!
  const next = path.recovery.nextPacketNumber(space)
  const packetNumber = options.packetNumber ?? next
  const dcid = options.dcid ?? path.remoteIds.active!.bytes
  const slab = new Uint8Array(4096)
  const w = new ByteWriter(slab)
  let end: number
  if (level === Level.oneRtt) {
    const keys = handshake.oneRtt!
    const pnOffset = writeShortHeader(w, dcid, keys.writePhase, 0, 4, packetNumber)
    slab[0]! |= options.firstByte ?? 0
    w.copy(payload)
    if (w.position < pnOffset + 4) writePadding(w, pnOffset + 4 - w.position)
    end = w.position + AEAD_TAG
    const burst = makePacketBurst(1, slab)
    burst.count = 1
    burst.pnOffset[0] = pnOffset
    burst.pnLength[0] = 4
    burst.end[0] = end
    burst.pathId[0] = path.id
    burst.packetNumber[0] = packetNumber
    protect(burst, 0, 1, keys.write, keys.headerWrite)
    keys.onPacketSent(path.id, packetNumber)
    keys.sealed(1)
  } else {
    const keys = level === Level.initial ? handshake.initial! : handshake.handshake!
    const own = options.scid ?? path.localIds.ids[0]!.bytes
    long.begin(slab)
    long.open(w, connection.core, level, dcid, own, packetNumber, sent.largestAcked, keys)
    slab[0]! |= options.firstByte ?? 0
    w.copy(payload)
    long.close(w)
    if (level === Level.initial && options.unpadded !== true) long.padTo(w, MIN_INITIAL_DATAGRAM)
    end = long.seal()
  }
  if (packetNumber >= next) {
    path.recovery.onPacketSent(space, packetNumber, now, end, false, false, false, undefined)
  }
  return slab.slice(0, end)
}

/** Sends such a packet. */
export const inject = (
  simulator: Simulator,
  connection: Connection,
  payload: Uint8Array,
  options: Forgery = {}
): void => {
  const path = connection.path(options.pathId ?? 0)!
  const bytes = forge(connection, payload, simulator.now, options)
  sendRaw(simulator, options.from ?? path.local, path.remote, bytes)
}
