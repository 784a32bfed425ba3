/** Packet headers without their protection (RFC 8999, RFC 9000 section 17, RFC 9369 section 3.2). */
import { ByteReader, ByteWriter, varintLength } from "./Cursor.ts"
import { writePacketNumber } from "./PacketNumber.ts"
import { AEAD_TAG, Level, MAX_CONNECTION_ID, Version } from "./Protocol.ts"

/** Packet types. Those of the long header have the numbers of version 1. */
export const PacketType = { initial: 0, zeroRtt: 1, handshake: 2, retry: 3, oneRtt: 4, versionNegotiation: 5 } as const
export type PacketType = (typeof PacketType)[keyof typeof PacketType]

/** What `PacketHeader.parse` gives: 0, or why the packet is to be dropped. */
export const HeaderResult = {
  ok: 0,
  /** Ends inside the header, or before a whole sample for header protection and a tag (RFC 9001 section 5.4.2). */
  tooShort: -1,
  /** The fixed bit is 0, and `greaseQuicBit` does not allow it (RFC 9287). */
  fixedBit: -2,
  /** Long header of a version that is not spoken here; version and connection IDs are readable (RFC 8999). */
  unknownVersion: -3,
  /** Connection ID above 20 bytes in a version that is spoken here (RFC 9000 section 17.2). */
  connectionId: -4,
  /** Retry without token, Version Negotiation without whole versions. */
  malformed: -5
} as const
export type HeaderResult = (typeof HeaderResult)[keyof typeof HeaderResult]

export const LONG_HEADER = 0x80
export const FIXED_BIT = 0x40
export const SPIN_BIT = 0x20
/** In the first byte of a short header, under header protection. */
export const KEY_PHASE_BIT = 0x04

/** Least from the packet number on: the sample starts 4 bytes in, whatever the length of the packet number. */
const PROTECTED_MINIMUM = 4 + 16

/**
 * One object, reused for every packet. Positions are indexes of the buffer that was parsed; nothing is copied. Fields that
 * the packet type does not have are left as they were, except lengths, which are 0 then.
 */
export class PacketHeader {
  /** Accept packets whose fixed bit is 0: we sent grease_quic_bit (RFC 9287 section 3.1). */
  greaseQuicBit = false

  isLong = false
  packetType: PacketType = PacketType.oneRtt
  /** Encryption level; of Retry and Version Negotiation, which have none, `Level.initial`. */
  level: Level = Level.oneRtt
  /** 0 in short headers. */
  version = 0
  /** As received, its low bits still protected. */
  firstByte = 0
  dcidStart = 0
  dcidLength = 0
  scidStart = 0
  scidLength = 0
  /** Token of Initial and Retry. */
  tokenStart = 0
  tokenLength = 0
  /** Where the packet number starts. */
  pnOffset = 0
  /** One past this packet: another packet may follow in the datagram. The datagram's end where that is not known. */
  end = 0
  /** Retry: its 16-byte integrity tag. */
  integrityTagStart = 0
  /** Version Negotiation: 4 bytes a version. */
  versionsStart = 0
  versionsLength = 0

  private readonly reader = new ByteReader()

  /**
   * Reads the header of the packet at `start` of a datagram that ends at `end`. `localCidLength`: length of the connection
   * IDs issued here, which short headers do not tell.
   */
  parse(bytes: Uint8Array, start: number, end: number, localCidLength: number): HeaderResult {
    this.end = end
    this.tokenLength = this.versionsLength = this.scidLength = this.dcidLength = 0
    if (start >= end) return HeaderResult.tooShort
    const first = bytes[start]!
    this.firstByte = first
    this.isLong = (first & LONG_HEADER) !== 0
    if (this.isLong) return this.parseLong(bytes, start, end)
    this.packetType = PacketType.oneRtt
    this.level = Level.oneRtt
    this.version = 0
    if (start + 1 + localCidLength + PROTECTED_MINIMUM > end) return HeaderResult.tooShort
    this.dcidStart = start + 1
    this.dcidLength = localCidLength
    this.pnOffset = start + 1 + localCidLength
    return this.checkFixedBit()
  }

  private parseLong(bytes: Uint8Array, start: number, end: number): HeaderResult {
    const reader = this.reader.reset(bytes, start + 1, end)
    this.packetType = PacketType.versionNegotiation
    this.level = Level.initial
    this.version = reader.uint32()
    const dcidLength = reader.uint8()
    const dcidStart = reader.skip(dcidLength)
    const scidLength = reader.uint8()
    const scidStart = reader.skip(scidLength)
    if (reader.failed) return HeaderResult.tooShort
    this.dcidStart = dcidStart
    this.dcidLength = dcidLength
    this.scidStart = scidStart
    this.scidLength = scidLength
    if (this.version === Version.negotiation) {
      this.versionsStart = reader.position
      this.versionsLength = reader.remaining
      return reader.remaining === 0 || reader.remaining % 4 !== 0 ? HeaderResult.malformed : HeaderResult.ok
    }
    if (this.version !== Version.v1 && this.version !== Version.v2) return HeaderResult.unknownVersion
    if (dcidLength > MAX_CONNECTION_ID || scidLength > MAX_CONNECTION_ID) return HeaderResult.connectionId
    const typeBits = (this.firstByte >> 4) & 3
    // Version 2 counts from Retry (RFC 9369 section 3.2).
    const type = (this.version === Version.v2 ? (typeBits + 3) & 3 : typeBits) as 0 | 1 | 2 | 3
    this.packetType = type
    if (type === PacketType.retry) {
      this.tokenStart = reader.position
      this.tokenLength = reader.remaining - AEAD_TAG
      this.integrityTagStart = end - AEAD_TAG
      // RFC 9000 section 17.2.5.2: a Retry without token is discarded.
      if (this.tokenLength <= 0) {
        this.tokenLength = 0
        return HeaderResult.malformed
      }
      return this.checkFixedBit()
    }
    this.level = type
    if (type === PacketType.initial) {
      const tokenLength = reader.varint()
      this.tokenStart = reader.skip(tokenLength)
      if (!reader.failed) this.tokenLength = tokenLength
    }
    const length = reader.varint()
    this.pnOffset = reader.position
    if (reader.failed || length > reader.remaining) return HeaderResult.tooShort
    this.end = reader.position + length
    if (length < PROTECTED_MINIMUM) return HeaderResult.tooShort
    return this.checkFixedBit()
  }

  private checkFixedBit(): HeaderResult {
    return (this.firstByte & FIXED_BIT) === 0 && !this.greaseQuicBit ? HeaderResult.fixedBit : HeaderResult.ok
  }
}

/** First byte of a long header, with its type in the bits of its version. */
const longFirstByte = (packetType: PacketType, version: number): number =>
  LONG_HEADER | FIXED_BIT | (((version === Version.v2 ? packetType + 1 : packetType) & 3) << 4)

/** Bytes of `writeLongHeader`, the packet number included. `tokenLength` counts for Initial only. */
export const longHeaderLength = (
  packetType: PacketType,
  dcidLength: number,
  scidLength: number,
  tokenLength: number,
  pnLength: number
): number =>
  7 +
  dcidLength +
  scidLength +
  (packetType === PacketType.initial ? varintLength(tokenLength) + tokenLength : 0) +
  2 +
  pnLength

/** Bytes of `writeShortHeader`, the packet number included. */
export const shortHeaderLength = (dcidLength: number, pnLength: number): number => 1 + dcidLength + pnLength

/**
 * Header of an Initial, 0-RTT or Handshake packet with its packet number. `token` is for Initial, empty otherwise. Gives the
 * position of the two bytes of the Length field, to be filled in with `patchLength`; the packet number starts behind it.
 */
export const writeLongHeader = (
  w: ByteWriter,
  packetType: PacketType,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  token: Uint8Array,
  pnLength: number,
  packetNumber: number
): number => {
  w.uint8(longFirstByte(packetType, version) | (pnLength - 1))
  w.uint32(version)
  w.uint8(dcid.length)
  w.copy(dcid)
  w.uint8(scid.length)
  w.copy(scid)
  if (packetType === PacketType.initial) {
    w.varint(token.length)
    w.copy(token)
  }
  const lengthOffset = w.position
  w.varint2(0)
  writePacketNumber(w, packetNumber, pnLength)
  return lengthOffset
}

/** Fills in the Length field at `lengthOffset` of a packet that ends, tag included, at `end`; at most 16383 bytes behind it. */
export const patchLength = (bytes: Uint8Array, lengthOffset: number, end: number): void => {
  const length = end - lengthOffset - 2
  bytes[lengthOffset] = 0x40 | (length >>> 8)
  bytes[lengthOffset + 1] = length
}

/** Header of a 1-RTT packet with its packet number. `keyPhase` and `spin` are 0 or 1. Gives the packet number's position. */
export const writeShortHeader = (
  w: ByteWriter,
  dcid: Uint8Array,
  keyPhase: number,
  spin: number,
  pnLength: number,
  packetNumber: number
): number => {
  w.uint8(FIXED_BIT | (spin === 0 ? 0 : SPIN_BIT) | (keyPhase === 0 ? 0 : KEY_PHASE_BIT) | (pnLength - 1))
  w.copy(dcid)
  const pnOffset = w.position
  writePacketNumber(w, packetNumber, pnLength)
  return pnOffset
}

/**
 * A Retry packet whose last 16 bytes, the integrity tag, are still 0 (RFC 9000 section 17.2.5, RFC 9001 section 5.8). `dcid`:
 * the client's source connection ID. `scid`: the one the client is to use from now on.
 */
export const encodeRetry = (version: number, dcid: Uint8Array, scid: Uint8Array, token: Uint8Array): Uint8Array => {
  const w = new ByteWriter(new Uint8Array(7 + dcid.length + scid.length + token.length + AEAD_TAG))
  w.uint8(longFirstByte(PacketType.retry, version))
  w.uint32(version)
  w.uint8(dcid.length)
  w.copy(dcid)
  w.uint8(scid.length)
  w.copy(scid)
  w.copy(token)
  return w.bytes
}

/**
 * A Version Negotiation packet (RFC 9000 section 17.2.1). `dcid` and `scid` are those of the client's packet, exchanged;
 * up to 255 bytes each. `random`: six bits that fill the unused ones.
 */
export const encodeVersionNegotiation = (
  dcid: Uint8Array,
  scid: Uint8Array,
  versions: ReadonlyArray<number>,
  random: number
): Uint8Array => {
  const w = new ByteWriter(new Uint8Array(7 + dcid.length + scid.length + 4 * versions.length))
  // The fixed bit is set so that the packet can share a port with other protocols (RFC 9000 section 17.2.1).
  w.uint8(LONG_HEADER | FIXED_BIT | (random & 0x3f))
  w.uint32(Version.negotiation)
  w.uint8(dcid.length)
  w.copy(dcid)
  w.uint8(scid.length)
  w.copy(scid)
  for (const version of versions) w.uint32(version)
  return w.bytes
}
