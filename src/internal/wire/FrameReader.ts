/**
 * Reads the frames of a packet's payload in place (RFC 9000 section 19, RFC 9221 section 4, draft-21 section 4), and those
 * with addresses (see `AddressBytes`).
 */
import { aboveMaxStreams, MAX_SAFE, varintLength } from "./Cursor.ts"
import { FrameTrait, FrameType, frameTraits, MAX_PATH_ID, StreamBit } from "./FrameType.ts"
import { Level, MAX_CONNECTION_ID, RESET_TOKEN, TransportError } from "./Protocol.ts"
import { printable } from "./Text.ts"

/** `FrameReader.next`: the payload is read to its end. */
export const FRAMES_END = -1
/** `FrameReader.next`: the peer broke the protocol; close with `errorCode`, `errorReason` and `type`. */
export const FRAMES_VIOLATION = -2

/** Acknowledged ranges that are kept of one frame; older ones are checked and dropped. */
export const MAX_ACK_RANGES = 512

const NO_BYTES = new Uint8Array(0)
const TWO_32 = 0x1_0000_0000
const utf8 = new TextDecoder()
/** The most of a reason phrase that is kept: more than fits a packet on most paths. */
const MAX_REASON_BYTES = 2048

/**
 * One object, reused for every packet: `reset`, then `next` until it is negative. Each call leaves the frame in the fields
 * below; those that the frame does not have keep what an earlier one left, except `pathId`. Positions are indexes of
 * `bytes`; nothing is copied and nothing allocated. Numbers from 2^53 are clamped to 2^53-1 where they are limits, counts
 * or codes, and refused where they are positions.
 */
export class FrameReader {
  bytes: Uint8Array = NO_BYTES
  /** Where the next frame starts. */
  position = 0
  end = 0
  /** Bytes of PADDING passed over since `reset`. */
  padding = 0
  sawPadding = false

  /** Type of this frame, or of the one that violated the protocol (0 if it is not known). */
  type = 0
  /** 0 in frames without a path ID. */
  pathId = 0
  streamId = 0
  /** STREAM, CRYPTO. */
  offset = 0
  /** STREAM, CRYPTO, DATAGRAM; the eight bytes of PATH_CHALLENGE and PATH_RESPONSE. */
  dataStart = 0
  dataLength = 0
  fin = false
  /** Error code of RESET_STREAM, STOP_SENDING, CONNECTION_CLOSE, PATH_ABANDON. */
  code = 0
  finalSize = 0
  /** CONNECTION_CLOSE of type 0x1c: type of the frame that caused it. */
  offendingType = 0
  reasonStart = 0
  reasonLength = 0
  /** MAX_DATA, MAX_STREAM_DATA, MAX_STREAMS, MAX_PATH_ID and the frames that say blocked. */
  limit = 0
  /** MAX_STREAMS, STREAMS_BLOCKED. */
  bidirectional = false
  /** Of a connection ID, of a path status, of an address (REACH_OUT: its round), or the next one of PATH_CIDS_BLOCKED. */
  sequence = 0
  retirePriorTo = 0
  cidStart = 0
  cidLength = 0
  /** The reset token of a connection ID (16 bytes), or the token of NEW_TOKEN. */
  tokenStart = 0
  tokenLength = 0
  /** The IP address of ADD_ADDRESS, REACH_OUT and OBSERVED_ADDRESS: 4 or 16 bytes; and its port. */
  addressStart = 0
  addressLength = 0
  port = 0
  /** ACK and PATH_ACK: largest acknowledged. */
  largest = 0
  /** As sent, not yet scaled by ack_delay_exponent. */
  ackDelay = 0
  /** Pairs in `ranges`, 1 to `MAX_ACK_RANGES`. */
  rangeCount = 0
  /** Smallest and largest of each range, from the largest numbers down. */
  readonly ranges = new Float64Array(2 * MAX_ACK_RANGES)
  hasEcn = false
  ect0 = 0
  ect1 = 0
  ce = 0

  /** Transport error of a violation (RFC 9000 section 20.1). */
  errorCode = 0
  errorReason = ""

  private start = 0
  private level: Level = Level.initial
  private multipath = false
  /** What `varint` read. A field, because a number above 31 bits that a function returns costs an allocation. */
  private value = 0

  /** Takes on the payload `[start, end)` of a packet. `multipath`: it was negotiated by both sides. */
  reset(bytes: Uint8Array, start: number, end: number, level: Level, multipath: boolean): void {
    this.bytes = bytes
    this.start = this.position = start
    this.end = end
    this.level = level
    this.multipath = multipath
    this.padding = 0
    this.sawPadding = false
    this.type = 0
    this.errorCode = 0
    this.errorReason = ""
  }

  /** The next frame's type, `FRAMES_END` or `FRAMES_VIOLATION`; PADDING is passed over. Stop when it is negative. */
  next(): number {
    const bytes = this.bytes
    const end = this.end
    let at = this.position
    if (at < end && bytes[at] === 0) {
      const from = at
      do at++
      while (at < end && bytes[at] === 0)
      this.sawPadding = true
      this.padding += at - from
    }
    if (at >= end) {
      this.position = at
      if (at !== this.start) return FRAMES_END
      this.type = 0
      // RFC 9000 section 12.4: a packet without frames.
      this.refuse(TransportError.protocolViolation, "packet without frames")
      return FRAMES_VIOLATION
    }
    let type = bytes[at]!
    if (type < 0x40) {
      this.position = at + 1
    } else {
      this.position = at
      this.type = 0
      this.varint()
      if (this.errorCode !== 0) return FRAMES_VIOLATION
      type = this.value > MAX_SAFE ? MAX_SAFE : this.value
      // RFC 9000 section 12.4: the type is in its shortest form.
      if (this.position - at !== varintLength(type)) {
        this.type = type
        this.refuse(TransportError.protocolViolation, "frame type is not in its shortest form")
        return FRAMES_VIOLATION
      }
    }
    this.type = type
    this.pathId = 0
    const traits = frameTraits(type)
    if ((traits & (1 << this.level)) === 0) this.refuseType(traits)
    else if (type >= FrameType.stream && type < FrameType.maxData) this.readStream(type)
    else if ((traits & FrameTrait.multipath) !== 0) this.readMultipath(type)
    else this.readOther(type)
    return this.errorCode === 0 ? type : FRAMES_VIOLATION
  }

  /** Reason phrase of the CONNECTION_CLOSE frame just read, fit for a log: without control characters, and not too long. */
  reason(): string {
    const length = Math.min(this.reasonLength, MAX_REASON_BYTES)
    const text = utf8.decode(this.bytes.subarray(this.reasonStart, this.reasonStart + length))
    return printable(text, length < this.reasonLength ? text.length - 1 : text.length)
  }

  private refuseType(traits: number): void {
    if (traits === 0) this.refuse(TransportError.frameEncoding, "unknown frame type")
    else this.refuse(TransportError.protocolViolation, "frame is not allowed in packets of this type")
  }

  private readStream(type: number): void {
    this.readStreamId()
    if ((type & StreamBit.offset) !== 0) {
      this.varint()
      this.offset = this.value
    } else {
      this.offset = 0
    }
    this.readData((type & StreamBit.length) !== 0)
    this.fin = (type & StreamBit.fin) !== 0
    if (this.offset + this.dataLength > MAX_SAFE) {
      this.refuse(TransportError.frameEncoding, "stream offset is too large")
    }
  }

  private readOther(type: number): void {
    switch (type) {
      case FrameType.ping:
      case FrameType.handshakeDone:
        return
      case FrameType.ack:
      case FrameType.ackEcn:
        this.readAck(type === FrameType.ackEcn)
        return
      case FrameType.resetStream:
        this.readStreamId()
        this.readCode()
        this.readPosition("final size is too large")
        this.finalSize = this.value
        return
      case FrameType.stopSending:
        this.readStreamId()
        this.readCode()
        return
      case FrameType.crypto:
        this.varint()
        this.offset = this.value
        this.readData(true)
        if (this.offset + this.dataLength > MAX_SAFE) {
          this.refuse(TransportError.frameEncoding, "crypto offset is too large")
        }
        return
      case FrameType.newToken:
        this.varint()
        // RFC 9000 section 19.7: an empty token is a FRAME_ENCODING_ERROR.
        if (this.value === 0) this.refuse(TransportError.frameEncoding, "empty token")
        this.tokenLength = this.value
        this.tokenStart = this.skip(this.value)
        return
      case FrameType.maxData:
      case FrameType.dataBlocked:
        this.readLimit()
        return
      case FrameType.maxStreamData:
      case FrameType.streamDataBlocked:
        this.readStreamId()
        this.readLimit()
        return
      case FrameType.maxStreamsBidi:
      case FrameType.maxStreamsUni:
      case FrameType.streamsBlockedBidi:
      case FrameType.streamsBlockedUni:
        this.bidirectional = type === FrameType.maxStreamsBidi || type === FrameType.streamsBlockedBidi
        this.varint()
        if (aboveMaxStreams(this.value, this.bytes, this.position)) {
          this.refuse(TransportError.frameEncoding, "more than 2^60 streams")
        }
        this.limit = Math.min(this.value, MAX_SAFE)
        return
      case FrameType.newConnectionId:
        this.readNewConnectionId()
        return
      case FrameType.retireConnectionId:
        this.readSequence()
        return
      case FrameType.pathChallenge:
      case FrameType.pathResponse:
        this.dataLength = 8
        this.dataStart = this.skip(8)
        return
      case FrameType.connectionClose:
      case FrameType.applicationClose:
        this.readCode()
        this.offendingType = 0
        if (type === FrameType.connectionClose) {
          this.clamped()
          this.offendingType = this.value
        }
        this.varint()
        this.reasonLength = this.value
        this.reasonStart = this.skip(this.value)
        return
      case FrameType.datagram:
      case FrameType.datagramWithLength:
        this.readData(type === FrameType.datagramWithLength)
        return
      case FrameType.removeAddress:
        this.readSequence()
        return
      case FrameType.addIpv4Address:
      case FrameType.reachOutIpv4:
      case FrameType.observedIpv4Address:
        this.readAddress(4)
        return
      case FrameType.addIpv6Address:
      case FrameType.reachOutIpv6:
      case FrameType.observedIpv6Address:
        this.readAddress(16)
        return
    }
  }

  private readMultipath(type: number): void {
    // NEG-2: without the negotiation this is an unknown frame.
    if (!this.multipath) {
      this.refuse(TransportError.frameEncoding, "multipath frame, but multipath was not negotiated")
      return
    }
    this.varint()
    // FRM-2, MPI-1, BLK-1: above every limit that could have been announced.
    if (this.value > MAX_PATH_ID) {
      this.refuse(TransportError.protocolViolation, "path ID is above 2^32-1")
      return
    }
    if (type === FrameType.maxPathId || type === FrameType.pathsBlocked) {
      this.limit = this.value
      return
    }
    this.pathId = this.value
    switch (type) {
      case FrameType.pathAck:
      case FrameType.pathAckEcn:
        this.readAck(type === FrameType.pathAckEcn)
        return
      case FrameType.pathAbandon:
        this.readCode()
        return
      case FrameType.pathNewConnectionId:
        this.readNewConnectionId()
        return
      case FrameType.pathStatusBackup:
      case FrameType.pathStatusAvailable:
      case FrameType.pathRetireConnectionId:
      case FrameType.pathCidsBlocked:
        this.readSequence()
        return
    }
  }

  /** RFC 9000 section 19.3: from the largest packet number down, as first range, then gaps and lengths. */
  private readAck(hasEcn: boolean): void {
    this.readPosition("largest acknowledged is too large")
    this.largest = this.value
    this.clamped()
    this.ackDelay = this.value
    this.varint()
    const more = this.value
    this.varint()
    const ranges = this.ranges
    let largest = this.largest
    let smallest = largest - this.value
    let stored = 1
    ranges[0] = smallest
    ranges[1] = largest
    // Bounded by the payload: the first integer beyond its end is a refusal.
    for (let i = 0; i < more && smallest >= 0 && this.errorCode === 0; i++) {
      this.varint()
      largest = smallest - this.value - 2
      this.varint()
      smallest = largest - this.value
      if (stored < MAX_ACK_RANGES) {
        ranges[2 * stored] = smallest
        ranges[2 * stored + 1] = largest
        stored++
      }
    }
    if (smallest < 0) this.refuse(TransportError.frameEncoding, "acknowledged range below zero")
    this.rangeCount = stored
    this.hasEcn = hasEcn
    if (!hasEcn) {
      this.ect0 = this.ect1 = this.ce = 0
      return
    }
    this.clamped()
    this.ect0 = this.value
    this.clamped()
    this.ect1 = this.value
    this.clamped()
    this.ce = this.value
  }

  /** RFC 9000 section 19.15; draft-21 section 4.4 after its path ID. */
  private readNewConnectionId(): void {
    this.readSequence()
    this.readPosition("retire prior to is too large")
    this.retirePriorTo = this.value
    if (this.retirePriorTo > this.sequence) {
      this.refuse(TransportError.frameEncoding, "retire prior to is above the sequence number")
    }
    const at = this.skip(1)
    if (this.errorCode !== 0) return
    const length = this.bytes[at]!
    if (length < 1 || length > MAX_CONNECTION_ID) {
      this.refuse(TransportError.frameEncoding, "connection ID is not of 1 to 20 bytes")
      return
    }
    this.cidLength = length
    this.cidStart = this.skip(length)
    this.tokenLength = RESET_TOKEN
    this.tokenStart = this.skip(RESET_TOKEN)
  }

  private readAddress(length: number): void {
    this.readSequence()
    this.addressLength = length
    this.addressStart = this.skip(length)
    const at = this.skip(2)
    if (this.errorCode === 0) this.port = (this.bytes[at]! << 8) | this.bytes[at + 1]!
  }

  private readData(hasLength: boolean): void {
    if (hasLength) this.varint()
    else this.value = this.end - this.position
    this.dataLength = this.value
    this.dataStart = this.skip(this.value)
  }

  private readStreamId(): void {
    this.readPosition("stream ID is too large")
    this.streamId = this.value
  }

  private readSequence(): void {
    this.readPosition("sequence number is too large")
    this.sequence = this.value
  }

  private readCode(): void {
    this.clamped()
    this.code = this.value
  }

  private readLimit(): void {
    this.clamped()
    this.limit = this.value
  }

  /** Reads a limit, count or code into `value`. */
  private clamped(): void {
    this.varint()
    if (this.value > MAX_SAFE) this.value = MAX_SAFE
  }

  private readPosition(tooLarge: string): void {
    this.varint()
    if (this.value > MAX_SAFE) this.refuse(TransportError.frameEncoding, tooLarge)
  }

  /** Moves on by `length` and gives the position before. */
  private skip(length: number): number {
    const at = this.position
    if (length > this.end - at) {
      this.refuseTruncated()
      return at
    }
    this.position = at + length
    return at
  }

  /** Reads a variable-length integer into `value`: 0 when the payload ends inside it. */
  private varint(): void {
    const bytes = this.bytes
    const at = this.position
    const left = this.end - at
    if (left > 0) {
      const first = bytes[at]!
      if (first < 0x40) {
        this.value = first
        this.position = at + 1
        return
      }
      if (first < 0x80) {
        if (left >= 2) {
          this.value = ((first & 0x3f) << 8) | bytes[at + 1]!
          this.position = at + 2
          return
        }
      } else if (first < 0xc0) {
        if (left >= 4) {
          this.value = ((first & 0x3f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
          this.position = at + 4
          return
        }
      } else if (left >= 8) {
        const high = ((first & 0x3f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
        const low = ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0
        this.value = high * TWO_32 + low
        this.position = at + 8
        return
      }
    }
    this.value = 0
    this.refuseTruncated()
  }

  private refuseTruncated(): void {
    this.refuse(TransportError.frameEncoding, "frame ends too early")
  }

  /** Keeps the first refusal of a frame. */
  private refuse(code: number, reason: string): void {
    if (this.errorCode !== 0) return
    this.errorCode = code
    this.errorReason = reason
  }
}
