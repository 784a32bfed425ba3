/**
 * Writes frames in place (RFC 9000 section 19, RFC 9221 section 4, draft-21 section 4, frames with addresses). Callers check the room first with
 * the lengths below; only `writeAck` and the two kinds of CONNECTION_CLOSE shorten themselves to the room there is.
 */
import { varintLength } from "./Cursor.ts"
import type { ByteWriter } from "./Cursor.ts"
import { FrameType, StreamBit } from "./FrameType.ts"
import { RESET_TOKEN } from "./Protocol.ts"

/** `pathId` of a plain ACK, which has none and concerns path 0. */
export const NO_PATH = -1

/** PATH_CHALLENGE, PATH_RESPONSE. */
export const PATH_CHALLENGE_LENGTH = 9

const utf8 = new TextEncoder()

/**
 * Bytes of a frame that is its type and up to three variable-length integers: all but ACK, CRYPTO, STREAM, DATAGRAM,
 * NEW_TOKEN, NEW_CONNECTION_ID, CONNECTION_CLOSE and their path forms. Fields in the order of the frame.
 */
export const frameLength = (type: number, first = -1, second = -1, third = -1): number =>
  varintLength(type) +
  (first < 0 ? 0 : varintLength(first)) +
  (second < 0 ? 0 : varintLength(second)) +
  (third < 0 ? 0 : varintLength(third))

/** Bytes before the data of a STREAM frame. A negative `length` counts no Length field. */
export const streamHeaderLength = (streamId: number, offset: number, length: number): number =>
  1 + varintLength(streamId) + (offset === 0 ? 0 : varintLength(offset)) + (length < 0 ? 0 : varintLength(length))

export const cryptoHeaderLength = (offset: number, length: number): number =>
  1 + varintLength(offset) + varintLength(length)

/** Bytes before the data of a DATAGRAM frame. A negative `length` counts no Length field. */
export const datagramHeaderLength = (length: number): number => (length < 0 ? 1 : 1 + varintLength(length))

/** Most bytes of data that fit behind their own Length field into `room`; negative when not even the field fits. */
const dataRoom = (room: number): number =>
  room <= 0x40 ? room - 1 : room <= 0x4001 ? room - 2 : room <= 0x4000_0003 ? Math.max(0x3fff, room - 4) : room - 8

/** Most bytes of data of a STREAM frame in `remaining` bytes; negative when the header does not fit. */
export const streamRoom = (remaining: number, streamId: number, offset: number, withLength: boolean): number => {
  const room = remaining - streamHeaderLength(streamId, offset, -1)
  return withLength ? dataRoom(room) : room
}

/** Most bytes of data of a CRYPTO frame in `remaining` bytes; negative when the header does not fit. */
export const cryptoRoom = (remaining: number, offset: number): number => dataRoom(remaining - 1 - varintLength(offset))

/** Most bytes of data of a DATAGRAM frame with Length field in `remaining` bytes; negative when the header does not fit. */
export const datagramRoom = (remaining: number): number => dataRoom(remaining - 1)

/** Most bytes of ADD_ADDRESS, REMOVE_ADDRESS and OBSERVED_ADDRESS. */
export const ADDRESS_FRAME_LENGTH = 4 + 8 + 16 + 2

export const newTokenLength = (tokenLength: number): number => 1 + varintLength(tokenLength) + tokenLength

export const newConnectionIdLength = (sequence: number, retirePriorTo: number, cidLength: number): number =>
  2 + varintLength(sequence) + varintLength(retirePriorTo) + cidLength + RESET_TOKEN

export const pathNewConnectionIdLength = (
  pathId: number,
  sequence: number,
  retirePriorTo: number,
  cidLength: number
): number => 1 + varintLength(pathId) + newConnectionIdLength(sequence, retirePriorTo, cidLength)

/** CONNECTION_CLOSE with `reasonBytes` of UTF-8. `frameType` -1: the application's kind, which has no such field. */
export const connectionCloseLength = (code: number, frameType: number, reasonBytes: number): number =>
  1 + varintLength(code) + (frameType < 0 ? 0 : varintLength(frameType)) + varintLength(reasonBytes) + reasonBytes

/** Bytes of an ACK or PATH_ACK (see `writeAck`) without the range count and without ranges after the first. */
const ackBaseLength = (
  pathId: number,
  ranges: Float64Array,
  delayEncoded: number,
  ect0: number,
  ect1: number,
  ce: number,
  hasEcn: boolean
): number =>
  1 +
  (pathId === NO_PATH ? 0 : varintLength(pathId)) +
  varintLength(ranges[1]!) +
  varintLength(delayEncoded) +
  varintLength(ranges[1]! - ranges[0]!) +
  (hasEcn ? varintLength(ect0) + varintLength(ect1) + varintLength(ce) : 0)

/** Bytes of range `index` (1 or more): its gap and its length. */
const ackRangeLength = (ranges: Float64Array, index: number): number =>
  varintLength(ranges[2 * index - 2]! - ranges[2 * index + 1]! - 2) +
  varintLength(ranges[2 * index + 1]! - ranges[2 * index]!)

/** Bytes of `writeAck` with all of its ranges. */
export const ackLength = (
  pathId: number,
  ranges: Float64Array,
  rangeCount: number,
  delayEncoded: number,
  ect0: number,
  ect1: number,
  ce: number,
  hasEcn: boolean
): number => {
  let length = ackBaseLength(pathId, ranges, delayEncoded, ect0, ect1, ce, hasEcn) + varintLength(rangeCount - 1)
  for (let i = 1; i < rangeCount; i++) length += ackRangeLength(ranges, i)
  return length
}

export const writePadding = (w: ByteWriter, count: number): void => {
  w.bytes.fill(0, w.position, w.position + count)
  w.position += count
}

export const writePing = (w: ByteWriter): void => w.uint8(FrameType.ping)

/**
 * ACK (`NO_PATH`) or PATH_ACK with as many ranges as fit into `w.remaining`, the largest numbers first.
 *
 * `ranges`: pairs of smallest and largest, from the largest numbers down, not adjacent, one or more. `delayEncoded`: already
 * scaled by our ack_delay_exponent, a whole number. Gives `false`, with nothing written, when not even the first range fits.
 */
export const writeAck = (
  w: ByteWriter,
  pathId: number,
  ranges: Float64Array,
  rangeCount: number,
  delayEncoded: number,
  ect0: number,
  ect1: number,
  ce: number,
  hasEcn: boolean
): boolean => {
  const room = w.remaining - ackBaseLength(pathId, ranges, delayEncoded, ect0, ect1, ce, hasEcn)
  if (room < 1) return false
  // A range takes two bytes at least. The count comes before the ranges, so its length is settled before they are.
  const most = Math.min(rangeCount, 1 + ((room - 1) >> 1))
  const wideCount = most > 0x40
  const ecnLength = hasEcn ? varintLength(ect0) + varintLength(ect1) + varintLength(ce) : 0
  if (pathId === NO_PATH) {
    w.uint8(hasEcn ? FrameType.ackEcn : FrameType.ack)
  } else {
    w.uint8(hasEcn ? FrameType.pathAckEcn : FrameType.pathAck)
    w.varint(pathId)
  }
  w.varint(ranges[1]!)
  w.varint(delayEncoded)
  const countAt = w.position
  w.position += wideCount ? 2 : 1
  w.varint(ranges[1]! - ranges[0]!)
  const bytes = w.bytes
  const end = w.end - ecnLength
  let count = 1
  let smallest = ranges[0]!
  while (count < most) {
    const largest = ranges[2 * count + 1]!
    const gap = smallest - largest - 2
    smallest = ranges[2 * count]!
    const length = largest - smallest
    const at = w.position
    if (gap < 0x40 && length < 0x40) {
      if (at + 2 > end) break
      bytes[at] = gap
      bytes[at + 1] = length
      w.position = at + 2
    } else {
      if (at + varintLength(gap) + varintLength(length) > end) break
      w.varint(gap)
      w.varint(length)
    }
    count++
  }
  if (wideCount) {
    bytes[countAt] = 0x40 | ((count - 1) >>> 8)
    bytes[countAt + 1] = count - 1
  } else {
    bytes[countAt] = count - 1
  }
  if (hasEcn) {
    w.varint(ect0)
    w.varint(ect1)
    w.varint(ce)
  }
  return true
}

export const writeResetStream = (w: ByteWriter, streamId: number, code: number, finalSize: number): void => {
  w.uint8(FrameType.resetStream)
  w.varint(streamId)
  w.varint(code)
  w.varint(finalSize)
}

export const writeStopSending = (w: ByteWriter, streamId: number, code: number): void => {
  w.uint8(FrameType.stopSending)
  w.varint(streamId)
  w.varint(code)
}

/** The caller writes `length` bytes of data behind it. */
export const writeCryptoHeader = (w: ByteWriter, offset: number, length: number): void => {
  w.uint8(FrameType.crypto)
  w.varint(offset)
  w.varint(length)
}

/** `token` must not be empty (RFC 9000 section 19.7). */
export const writeNewToken = (w: ByteWriter, token: Uint8Array): void => {
  w.uint8(FrameType.newToken)
  w.varint(token.length)
  w.copy(token)
}

/** The caller writes `length` bytes of data behind it; without Length field they must end the packet. */
export const writeStreamHeader = (
  w: ByteWriter,
  streamId: number,
  offset: number,
  length: number,
  fin: boolean,
  withLength: boolean
): void => {
  w.uint8(
    FrameType.stream |
      (offset === 0 ? 0 : StreamBit.offset) |
      (withLength ? StreamBit.length : 0) |
      (fin ? StreamBit.fin : 0)
  )
  w.varint(streamId)
  if (offset !== 0) w.varint(offset)
  if (withLength) w.varint(length)
}

export const writeMaxData = (w: ByteWriter, limit: number): void => {
  w.uint8(FrameType.maxData)
  w.varint(limit)
}

export const writeMaxStreamData = (w: ByteWriter, streamId: number, limit: number): void => {
  w.uint8(FrameType.maxStreamData)
  w.varint(streamId)
  w.varint(limit)
}

export const writeMaxStreams = (w: ByteWriter, bidirectional: boolean, limit: number): void => {
  w.uint8(bidirectional ? FrameType.maxStreamsBidi : FrameType.maxStreamsUni)
  w.varint(limit)
}

export const writeDataBlocked = (w: ByteWriter, limit: number): void => {
  w.uint8(FrameType.dataBlocked)
  w.varint(limit)
}

export const writeStreamDataBlocked = (w: ByteWriter, streamId: number, limit: number): void => {
  w.uint8(FrameType.streamDataBlocked)
  w.varint(streamId)
  w.varint(limit)
}

export const writeStreamsBlocked = (w: ByteWriter, bidirectional: boolean, limit: number): void => {
  w.uint8(bidirectional ? FrameType.streamsBlockedBidi : FrameType.streamsBlockedUni)
  w.varint(limit)
}

/** `resetToken` has 16 bytes. */
export const writeNewConnectionId = (
  w: ByteWriter,
  sequence: number,
  retirePriorTo: number,
  connectionId: Uint8Array,
  resetToken: Uint8Array
): void => {
  w.uint8(FrameType.newConnectionId)
  writeIssuedConnectionId(w, sequence, retirePriorTo, connectionId, resetToken)
}

/** `resetToken` has 16 bytes. */
export const writePathNewConnectionId = (
  w: ByteWriter,
  pathId: number,
  sequence: number,
  retirePriorTo: number,
  connectionId: Uint8Array,
  resetToken: Uint8Array
): void => {
  w.varint(FrameType.pathNewConnectionId)
  w.varint(pathId)
  writeIssuedConnectionId(w, sequence, retirePriorTo, connectionId, resetToken)
}

const writeIssuedConnectionId = (
  w: ByteWriter,
  sequence: number,
  retirePriorTo: number,
  connectionId: Uint8Array,
  resetToken: Uint8Array
): void => {
  w.varint(sequence)
  w.varint(retirePriorTo)
  w.uint8(connectionId.length)
  w.copy(connectionId)
  w.copy(resetToken)
}

export const writeRetireConnectionId = (w: ByteWriter, sequence: number): void => {
  w.uint8(FrameType.retireConnectionId)
  w.varint(sequence)
}

export const writePathRetireConnectionId = (w: ByteWriter, pathId: number, sequence: number): void => {
  w.varint(FrameType.pathRetireConnectionId)
  w.varint(pathId)
  w.varint(sequence)
}

/** `data` has 8 bytes. */
export const writePathChallenge = (w: ByteWriter, data: Uint8Array): void => {
  w.uint8(FrameType.pathChallenge)
  w.copy(data)
}

/** `data`: the 8 bytes of the challenge. */
export const writePathResponse = (w: ByteWriter, data: Uint8Array): void => {
  w.uint8(FrameType.pathResponse)
  w.copy(data)
}

/**
 * CONNECTION_CLOSE. `frameType` -1: the application's kind (0x1d); otherwise a transport error (0x1c), with the type of the
 * frame that caused it or 0. The reason is cut to whole characters that fit; the room for an empty one must be there.
 */
export const writeConnectionClose = (w: ByteWriter, code: number, frameType: number, reason: string): void => {
  const text = utf8.encode(reason)
  let length = Math.min(text.length, Math.max(0, dataRoom(w.remaining - connectionCloseLength(code, frameType, 0) + 1)))
  if (length < text.length) {
    // Never inside a character: 0b10xxxxxx continues one (RFC 3629 section 3).
    while (length > 0 && (text[length]! & 0xc0) === 0x80) length--
  }
  if (frameType < 0) {
    w.uint8(FrameType.applicationClose)
    w.varint(code)
  } else {
    w.uint8(FrameType.connectionClose)
    w.varint(code)
    w.varint(frameType)
  }
  w.varint(length)
  w.copyRange(text, 0, length)
}

export const writeHandshakeDone = (w: ByteWriter): void => w.uint8(FrameType.handshakeDone)

/** The caller writes `length` bytes of data behind it; without Length field they must end the packet. */
export const writeDatagramHeader = (w: ByteWriter, length: number, withLength: boolean): void => {
  if (withLength) {
    w.uint8(FrameType.datagramWithLength)
    w.varint(length)
  } else {
    w.uint8(FrameType.datagram)
  }
}

export const writePathAbandon = (w: ByteWriter, pathId: number, code: number): void => {
  w.varint(FrameType.pathAbandon)
  w.varint(pathId)
  w.varint(code)
}

/** PATH_STATUS_BACKUP or PATH_STATUS_AVAILABLE. */
export const writePathStatus = (w: ByteWriter, pathId: number, sequence: number, backup: boolean): void => {
  w.varint(backup ? FrameType.pathStatusBackup : FrameType.pathStatusAvailable)
  w.varint(pathId)
  w.varint(sequence)
}

export const writeMaxPathId = (w: ByteWriter, maximum: number): void => {
  w.varint(FrameType.maxPathId)
  w.varint(maximum)
}

export const writePathsBlocked = (w: ByteWriter, maximum: number): void => {
  w.varint(FrameType.pathsBlocked)
  w.varint(maximum)
}

/** ADD_ADDRESS. `ip`: 4 or 16 bytes. */
export const writeAddAddress = (w: ByteWriter, sequence: number, ip: Uint8Array, port: number): void =>
  writeAddress(w, ip.length === 4 ? FrameType.addIpv4Address : FrameType.addIpv6Address, sequence, ip, port)

/** OBSERVED_ADDRESS. `ip`: 4 or 16 bytes. */
export const writeObservedAddress = (w: ByteWriter, sequence: number, ip: Uint8Array, port: number): void =>
  writeAddress(w, ip.length === 4 ? FrameType.observedIpv4Address : FrameType.observedIpv6Address, sequence, ip, port)

const writeAddress = (w: ByteWriter, type: number, sequence: number, ip: Uint8Array, port: number): void => {
  w.varint(type)
  w.varint(sequence)
  w.copy(ip)
  w.uint16(port)
}

export const writeRemoveAddress = (w: ByteWriter, sequence: number): void => {
  w.varint(FrameType.removeAddress)
  w.varint(sequence)
}

export const writePathCidsBlocked = (w: ByteWriter, pathId: number, nextSequence: number): void => {
  w.varint(FrameType.pathCidsBlocked)
  w.varint(pathId)
  w.varint(nextSequence)
}
