import { assert, describe, it } from "@effect/vitest"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import {
  encodeRetry,
  encodeVersionNegotiation,
  HeaderResult,
  longHeaderLength,
  PacketHeader,
  PacketType,
  patchLength,
  shortHeaderLength,
  writeLongHeader,
  writeShortHeader
} from "../../src/internal/wire/PacketHeader.ts"
import { readPacketNumber } from "../../src/internal/wire/PacketNumber.ts"
import { Level, Version } from "../../src/internal/wire/Protocol.ts"
import { Random } from "./random.ts"

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"))
const part = (bytes: Uint8Array, start: number, length: number): Uint8Array => bytes.slice(start, start + length)
const none = new Uint8Array(0)

const parsed = (bytes: Uint8Array, localCidLength = 8): PacketHeader => {
  const header = new PacketHeader()
  assert.strictEqual(header.parse(bytes, 0, bytes.length, localCidLength), HeaderResult.ok)
  return header
}

const result = (bytes: Uint8Array, localCidLength = 8): HeaderResult =>
  new PacketHeader().parse(bytes, 0, bytes.length, localCidLength)

describe("long headers", () => {
  it("RFC 9001 A.2, RFC 9369 A.2: the client's Initial, versions 1 and 2", () => {
    for (const [bytes, version] of [
      ["c3 00000001 08 8394c8f03e515708 00 00 449e 00000002", Version.v1],
      ["d3 6b3343cf 08 8394c8f03e515708 00 00 449e 00000002", Version.v2]
    ] as const) {
      const w = new ByteWriter(new Uint8Array(1200))
      const dcid = hex("8394c8f03e515708")
      const lengthOffset = writeLongHeader(w, PacketType.initial, version, dcid, none, none, 4, 2)
      assert.strictEqual(w.position, longHeaderLength(PacketType.initial, 8, 0, 0, 4))
      patchLength(w.bytes, lengthOffset, 1200)
      assert.deepStrictEqual(w.bytes.slice(0, w.position), hex(bytes))
      const header = parsed(w.bytes)
      assert.strictEqual(header.version, version)
      assert.strictEqual(header.packetType, PacketType.initial)
      assert.strictEqual(header.level, Level.initial)
      assert.deepStrictEqual(part(w.bytes, header.dcidStart, header.dcidLength), dcid)
      assert.strictEqual(header.scidLength, 0)
      assert.strictEqual(header.pnOffset, 18)
      assert.strictEqual(header.end, 1200)
    }
  })

  it("RFC 9000 17.2, RFC 9369 3.2: the type bits of each version", () => {
    const bits = (packetType: PacketType, version: number): number => {
      const w = new ByteWriter(new Uint8Array(64))
      writeLongHeader(w, packetType, version, none, none, none, 1, 0)
      return (w.bytes[0]! >> 4) & 3
    }
    const types = [PacketType.initial, PacketType.zeroRtt, PacketType.handshake]
    assert.deepStrictEqual(
      types.map((type) => bits(type, Version.v1)),
      [0, 1, 2]
    )
    assert.deepStrictEqual(
      types.map((type) => bits(type, Version.v2)),
      [1, 2, 3]
    )
    assert.strictEqual(encodeRetry(Version.v1, none, none, hex("61"))[0]! >> 4, 0xf)
    assert.strictEqual(encodeRetry(Version.v2, none, none, hex("61"))[0]! >> 4, 0xc)
  })

  it("round-trip at any place of a datagram, with packets behind them (RFC 9000 12.2)", () => {
    const random = new Random(41)
    const header = new PacketHeader()
    for (let i = 0; i < 2000; i++) {
      const type = [PacketType.initial, PacketType.zeroRtt, PacketType.handshake][i % 3]!
      const version = random.boolean() ? Version.v1 : Version.v2
      const dcid = random.bytes(random.between(0, 20))
      const scid = random.bytes(random.between(0, 20))
      const token = type === PacketType.initial ? random.bytes(random.between(0, 100)) : none
      const pnLength = random.between(1, 4)
      const packetNumber = random.between(0, 2 ** (8 * pnLength) - 1)
      const start = random.between(0, 40)
      const w = new ByteWriter(random.bytes(1500), start)
      const lengthOffset = writeLongHeader(w, type, version, dcid, scid, token, pnLength, packetNumber)
      assert.strictEqual(w.position - start, longHeaderLength(type, dcid.length, scid.length, token.length, pnLength))
      const end = w.position + random.between(20, 1000)
      patchLength(w.bytes, lengthOffset, end)
      assert.strictEqual(header.parse(w.bytes, start, 1500, 8), HeaderResult.ok)
      assert.isTrue(header.isLong)
      assert.strictEqual(header.packetType, type)
      assert.strictEqual(header.level, [Level.initial, Level.zeroRtt, Level.handshake][i % 3])
      assert.strictEqual(header.version, version)
      assert.deepStrictEqual(part(w.bytes, header.dcidStart, header.dcidLength), dcid)
      assert.deepStrictEqual(part(w.bytes, header.scidStart, header.scidLength), scid)
      assert.deepStrictEqual(part(w.bytes, header.tokenStart, header.tokenLength), token)
      assert.strictEqual(header.pnOffset, lengthOffset + 2)
      assert.strictEqual(readPacketNumber(w.bytes, header.pnOffset, pnLength), packetNumber)
      assert.strictEqual(header.end, end)
    }
  })

  it("cut anywhere they are dropped", () => {
    const w = new ByteWriter(new Uint8Array(100))
    const lengthOffset = writeLongHeader(w, PacketType.initial, Version.v1, hex("0102"), hex("03"), hex("0405"), 2, 7)
    patchLength(w.bytes, lengthOffset, 100)
    for (let cut = 0; cut < 100; cut++) {
      assert.strictEqual(new PacketHeader().parse(w.bytes, 0, cut, 8), HeaderResult.tooShort, `at ${cut}`)
    }
  })

  it("RFC 9001 5.4.2: too short for a sample is dropped, and tells where the next packet starts", () => {
    const w = new ByteWriter(new Uint8Array(100))
    const lengthOffset = writeLongHeader(w, PacketType.handshake, Version.v1, hex("01"), none, none, 1, 7)
    patchLength(w.bytes, lengthOffset, lengthOffset + 2 + 19)
    const header = new PacketHeader()
    assert.strictEqual(header.parse(w.bytes, 0, 100, 8), HeaderResult.tooShort)
    assert.strictEqual(header.end, lengthOffset + 21)
    patchLength(w.bytes, lengthOffset, lengthOffset + 2 + 20)
    assert.strictEqual(header.parse(w.bytes, 0, 100, 8), HeaderResult.ok)
  })

  it("RFC 9000 17.2: connection IDs above 20 bytes are dropped", () => {
    const rest = "00".repeat(60)
    assert.strictEqual(result(hex(`c0 00000001 15 ${rest}`)), HeaderResult.connectionId)
    assert.strictEqual(result(hex(`c0 6b3343cf 00 15 ${rest}`)), HeaderResult.connectionId)
  })

  it("RFC 8999 5.1: of an unknown version the connection IDs are readable, up to 255 bytes", () => {
    const random = new Random(42)
    const dcid = random.bytes(255)
    const scid = random.bytes(33)
    const bytes = new Uint8Array(Buffer.concat([hex("80 0a1a2a3a ff"), dcid, hex("21"), scid, random.bytes(10)]))
    const header = new PacketHeader()
    assert.strictEqual(header.parse(bytes, 0, bytes.length, 8), HeaderResult.unknownVersion)
    assert.strictEqual(header.version, 0x0a1a_2a3a)
    assert.deepStrictEqual(part(bytes, header.dcidStart, header.dcidLength), dcid)
    assert.deepStrictEqual(part(bytes, header.scidStart, header.scidLength), scid)
  })

  it("a Length or token beyond the datagram, also of 2^62-1, is dropped", () => {
    const rest = "00".repeat(60)
    assert.strictEqual(result(hex(`c0 00000001 00 00 00 ffffffffffffffff ${rest}`)), HeaderResult.tooShort)
    assert.strictEqual(result(hex(`c0 00000001 00 00 ffffffffffffffff ${rest}`)), HeaderResult.tooShort)
    assert.strictEqual(result(hex(`c0 00000001 00 00 00 403d ${rest}`)), HeaderResult.tooShort)
    assert.strictEqual(result(hex(`c0 00000001 00 00 00 403c ${rest}`)), HeaderResult.ok)
  })
})

describe("short headers", () => {
  it("round-trip (RFC 9000 17.3.1)", () => {
    const random = new Random(43)
    const header = new PacketHeader()
    for (let i = 0; i < 500; i++) {
      const dcid = random.bytes(random.between(0, 20))
      const pnLength = random.between(1, 4)
      const packetNumber = random.between(0, 2 ** (8 * pnLength) - 1)
      const [keyPhase, spin] = [i & 1, (i >> 1) & 1]
      const start = random.between(0, 10)
      const w = new ByteWriter(new Uint8Array(100), start)
      const pnOffset = writeShortHeader(w, dcid, keyPhase, spin, pnLength, packetNumber)
      assert.strictEqual(w.position - start, shortHeaderLength(dcid.length, pnLength))
      assert.strictEqual(w.bytes[start], 0x40 | (spin << 5) | (keyPhase << 2) | (pnLength - 1))
      assert.strictEqual(header.parse(w.bytes, start, 100, dcid.length), HeaderResult.ok)
      assert.isFalse(header.isLong)
      assert.strictEqual(header.packetType, PacketType.oneRtt)
      assert.strictEqual(header.level, Level.oneRtt)
      assert.strictEqual(header.pnOffset, pnOffset)
      assert.strictEqual(header.end, 100)
      assert.deepStrictEqual(part(w.bytes, header.dcidStart, header.dcidLength), dcid)
      assert.strictEqual(readPacketNumber(w.bytes, pnOffset, pnLength), packetNumber)
    }
  })

  it("RFC 9001 5.4.2: below a connection ID, 4 bytes and a sample they are dropped", () => {
    const bytes = new Uint8Array(29).fill(0x40)
    assert.strictEqual(result(bytes), HeaderResult.ok)
    assert.strictEqual(result(bytes.subarray(0, 28)), HeaderResult.tooShort)
    assert.strictEqual(result(none), HeaderResult.tooShort)
  })

  it("RFC 9287 3.1: a fixed bit of 0 only where grease_quic_bit was sent", () => {
    const w = new ByteWriter(new Uint8Array(100))
    patchLength(w.bytes, writeLongHeader(w, PacketType.handshake, Version.v1, hex("01"), none, none, 1, 0), 100)
    w.bytes[0]! &= ~0x40
    const retry = encodeRetry(Version.v1, none, none, hex("61"))
    retry[0]! &= ~0x40
    const header = new PacketHeader()
    for (const bytes of [new Uint8Array(40), w.bytes, retry]) {
      header.greaseQuicBit = false
      assert.strictEqual(header.parse(bytes, 0, bytes.length, 8), HeaderResult.fixedBit)
      header.greaseQuicBit = true
      assert.strictEqual(header.parse(bytes, 0, bytes.length, 8), HeaderResult.ok)
    }
  })
})

describe("Retry and Version Negotiation", () => {
  it("RFC 9001 A.4, RFC 9369 A.4: the Retry packet up to its tag", () => {
    for (const [first, version] of [
      ["ff 00000001", Version.v1],
      ["cf 6b3343cf", Version.v2]
    ] as const) {
      const token = hex("746f6b656e")
      const packet = encodeRetry(version, none, hex("f067a5502a4262b5"), token)
      // The four low bits of the first byte are unused and set in the example.
      packet[0]! |= 0x0f
      assert.deepStrictEqual(packet, hex(`${first} 00 08f067a5502a4262b5 746f6b656e ${"00".repeat(16)}`))
      const header = parsed(packet)
      assert.strictEqual(header.packetType, PacketType.retry)
      assert.deepStrictEqual(part(packet, header.scidStart, header.scidLength), hex("f067a5502a4262b5"))
      assert.deepStrictEqual(part(packet, header.tokenStart, header.tokenLength), token)
      assert.strictEqual(header.integrityTagStart, packet.length - 16)
      assert.strictEqual(header.end, packet.length)
    }
  })

  it("RFC 9000 17.2.5.2: a Retry without token is dropped", () => {
    const packet = encodeRetry(Version.v1, hex("01"), hex("02"), none)
    assert.strictEqual(result(packet), HeaderResult.malformed)
    assert.strictEqual(result(packet.subarray(0, packet.length - 5)), HeaderResult.malformed)
  })

  it("RFC 9000 17.2.1: Version Negotiation round-trips, its first byte arbitrary", () => {
    const versions = [Version.v2, Version.v1, 0x0a1a_2a3a]
    const packet = encodeVersionNegotiation(hex("0102"), hex("030405"), versions, 0xff)
    assert.strictEqual(packet.length, 7 + 5 + 12)
    for (const first of [packet[0]!, 0x80]) {
      packet[0] = first
      const header = parsed(packet)
      assert.strictEqual(header.packetType, PacketType.versionNegotiation)
      assert.strictEqual(header.version, 0)
      assert.deepStrictEqual(part(packet, header.dcidStart, header.dcidLength), hex("0102"))
      assert.deepStrictEqual(part(packet, header.scidStart, header.scidLength), hex("030405"))
      assert.deepStrictEqual(part(packet, header.versionsStart, header.versionsLength), packet.slice(12))
      assert.deepStrictEqual(packet.slice(12), hex("6b3343cf 00000001 0a1a2a3a"))
    }
    assert.strictEqual(result(packet.subarray(0, packet.length - 1)), HeaderResult.malformed)
    assert.strictEqual(result(packet.subarray(0, 12)), HeaderResult.malformed)
    assert.strictEqual(result(packet.subarray(0, 11)), HeaderResult.tooShort)
  })
})

describe("random datagrams", () => {
  it("never throw, and what is accepted lies inside the datagram", () => {
    const random = new Random(44)
    const header = new PacketHeader()
    for (let i = 0; i < 40_000; i++) {
      const bytes = random.bytes(random.between(0, 120))
      const start = random.between(0, Math.min(5, bytes.length))
      if (random.boolean() && bytes.length >= start + 8) {
        bytes[start]! |= 0x80
        bytes.set([hex("00000001"), hex("6b3343cf"), hex("00000000")][random.between(0, 2)]!, start + 1)
        bytes[start + 5] = random.between(0, 22)
      }
      header.greaseQuicBit = random.boolean()
      const outcome = header.parse(bytes, start, bytes.length, random.between(0, 20))
      assert.isAtMost(header.end, bytes.length)
      if (outcome !== HeaderResult.ok) continue
      assert.isAtMost(header.dcidStart + header.dcidLength, header.end)
      if (header.packetType === PacketType.retry) {
        assert.strictEqual(header.tokenStart + header.tokenLength, header.integrityTagStart)
      } else if (header.packetType !== PacketType.versionNegotiation) {
        assert.isAtMost(header.pnOffset + 20, header.end)
        assert.isAtMost(header.tokenLength === 0 ? 0 : header.tokenStart + header.tokenLength, header.pnOffset)
      }
    }
  })
})
