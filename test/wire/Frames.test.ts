import { getHeapStatistics } from "node:v8"
import { assert, describe, it } from "@effect/vitest"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { FrameReader, FRAMES_END, FRAMES_VIOLATION, MAX_ACK_RANGES } from "../../src/internal/wire/FrameReader.ts"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import * as Write from "../../src/internal/wire/FrameWriter.ts"
import { Level, TransportError } from "../../src/internal/wire/Protocol.ts"
import { randomRanges, samples } from "./frames.ts"
import type { SampleFrame } from "./frames.ts"
import { Random } from "./random.ts"

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"))

const over = (bytes: Uint8Array, level: Level = Level.oneRtt, multipath = true): FrameReader => {
  const reader = new FrameReader()
  reader.reset(bytes, 0, bytes.length, level, multipath)
  return reader
}

const assertFrame = (reader: FrameReader, frame: SampleFrame, name: string): void => {
  for (const [key, value] of Object.entries(frame.fields)) {
    assert.strictEqual(reader[key as keyof FrameReader], value, `${name} ${key}`)
  }
  const { bytes } = reader
  if (frame.data !== undefined) {
    assert.deepStrictEqual(bytes.slice(reader.dataStart, reader.dataStart + reader.dataLength), frame.data, name)
  }
  if (frame.cid !== undefined) {
    assert.deepStrictEqual(bytes.slice(reader.cidStart, reader.cidStart + reader.cidLength), frame.cid, name)
  }
  if (frame.token !== undefined) {
    assert.deepStrictEqual(bytes.slice(reader.tokenStart, reader.tokenStart + reader.tokenLength), frame.token, name)
  }
  if (frame.reason !== undefined) assert.strictEqual(reader.reason(), frame.reason, name)
  if (frame.ranges !== undefined) {
    assert.deepStrictEqual([...reader.ranges.subarray(0, 2 * reader.rangeCount)], [...frame.ranges], name)
  }
}

const assertRefused = (bytes: Uint8Array, code: number, type: number, level: Level = Level.oneRtt): void => {
  const reader = over(bytes, level)
  assert.strictEqual(reader.next(), FRAMES_VIOLATION, Buffer.from(bytes).toString("hex"))
  assert.strictEqual(reader.errorCode, code, reader.errorReason)
  assert.notStrictEqual(reader.errorReason, "")
  assert.strictEqual(reader.type, type)
}

describe("frames", () => {
  for (const [name, sample] of Object.entries(samples)) {
    it(`${name} round-trips, at the length foretold`, () => {
      const random = new Random(name.length)
      const reader = new FrameReader()
      for (let i = 0; i < 300; i++) {
        const frame = sample(random)
        assert.strictEqual(frame.bytes.length, frame.length)
        const slab = new Uint8Array(frame.bytes.length + 20)
        slab.set(frame.bytes, 9)
        reader.reset(slab, 9, 9 + frame.bytes.length, Level.oneRtt, true)
        assert.strictEqual(reader.next(), frame.type, reader.errorReason)
        assert.strictEqual(reader.type, frame.type)
        assertFrame(reader, frame, name)
        assert.strictEqual(reader.next(), FRAMES_END)
        assert.strictEqual(reader.position, 9 + frame.bytes.length)
      }
    })

    it(`${name} cut anywhere is refused, or is data to the end of a shorter packet`, () => {
      const random = new Random(name.length + 1)
      for (let i = 0; i < 10; i++) {
        const frame = sample(random)
        const dataStart = frame.bytes.length - (frame.data?.length ?? 0)
        for (let cut = 1; cut < frame.bytes.length; cut++) {
          const reader = over(frame.bytes.subarray(0, cut))
          if (frame.last === true && cut >= dataStart) {
            assert.strictEqual(reader.next(), frame.type)
            assert.strictEqual(reader.dataLength, cut - dataStart)
          } else {
            assert.strictEqual(reader.next(), FRAMES_VIOLATION, `${name} cut at ${cut} of ${frame.bytes.length}`)
            assert.strictEqual(reader.errorCode, TransportError.frameEncoding)
          }
        }
      }
    })
  }

  it("packets of many frames and paddings are read frame by frame", () => {
    const random = new Random(7)
    const makers = Object.entries(samples)
    for (let i = 0; i < 200; i++) {
      const frames: Array<readonly [string, SampleFrame]> = []
      const parts: Array<Uint8Array> = []
      let padding = 0
      for (let count = random.between(1, 12); count > 0; count--) {
        const [name, make] = makers[random.between(0, makers.length - 1)]!
        const frame = make(random)
        if (random.boolean()) {
          const zeros = random.between(1, 30)
          padding += zeros
          parts.push(new Uint8Array(zeros))
        }
        frames.push([name, frame])
        parts.push(frame.bytes)
        if (frame.last === true) break
      }
      const reader = over(new Uint8Array(Buffer.concat(parts)))
      for (const [name, frame] of frames) {
        assert.strictEqual(reader.next(), frame.type, `${name}: ${reader.errorReason}`)
        assertFrame(reader, frame, name)
      }
      assert.strictEqual(reader.next(), FRAMES_END)
      assert.strictEqual(reader.padding, padding)
      assert.strictEqual(reader.sawPadding, padding > 0)
    }
  })

  it("random bytes never throw, never read past the end, and end with a frame, the end or a violation", () => {
    const random = new Random(11)
    const reader = new FrameReader()
    const slab = random.bytes(4096)
    const first = Object.values(FrameType)
    for (let i = 0; i < 60_000; i++) {
      const start = random.between(0, 64)
      const end = start + random.between(0, 80)
      for (let at = start; at < end; at++) slab[at] = random.uint32()
      // Most random first bytes are unknown types, so half of the cases start with a known one.
      if (random.boolean() && end - start > 2) {
        new ByteWriter(slab, start).varint(first[random.between(0, first.length - 1)]!)
      }
      reader.reset(slab, start, end, random.between(0, 3) as Level, random.boolean())
      let frames = 0
      let type = reader.next()
      while (type >= 0) {
        frames++
        assert.isAtMost(reader.position, end)
        type = reader.next()
      }
      assert.isAtMost(frames, end - start)
      assert.isAtMost(reader.position, end)
      if (type === FRAMES_VIOLATION) {
        assert.include([TransportError.frameEncoding, TransportError.protocolViolation], reader.errorCode)
        assert.isTrue(Number.isSafeInteger(reader.type))
      } else {
        assert.strictEqual(reader.position, end)
      }
    }
  })
})

describe("packets", () => {
  it("RFC 9000 12.4: a packet without frames is a PROTOCOL_VIOLATION, one of padding alone is not", () => {
    assertRefused(new Uint8Array(0), TransportError.protocolViolation, 0)
    const reader = over(new Uint8Array(1200), Level.initial)
    assert.strictEqual(reader.next(), FRAMES_END)
    assert.strictEqual(reader.padding, 1200)
    assert.isTrue(reader.sawPadding)
  })

  it("RFC 9000 12.4: a frame type that is not in its shortest form is a PROTOCOL_VIOLATION", () => {
    assertRefused(hex("4001"), TransportError.protocolViolation, FrameType.ping)
    assertRefused(hex("80003e7a 05"), TransportError.protocolViolation, FrameType.maxPathId)
    assertRefused(hex("c000000000000000"), TransportError.protocolViolation, 0)
  })

  it("RFC 9000 12.4: an unknown frame type is a FRAME_ENCODING_ERROR", () => {
    for (const level of [Level.initial, Level.oneRtt]) {
      assertRefused(hex("1f"), TransportError.frameEncoding, 0x1f, level)
      assertRefused(hex("2f"), TransportError.frameEncoding, 0x2f, level)
      assertRefused(hex("7e74"), TransportError.frameEncoding, 0x3e74, level)
      assertRefused(hex("7e7d"), TransportError.frameEncoding, 0x3e7d, level)
    }
    assertRefused(hex("ffffffffffffffff"), TransportError.frameEncoding, Number.MAX_SAFE_INTEGER)
    assertRefused(hex("7e"), TransportError.frameEncoding, 0)
  })

  it("RFC 9000 12.5: a frame of another packet type is a PROTOCOL_VIOLATION", () => {
    assertRefused(hex("1d 00 00"), TransportError.protocolViolation, FrameType.applicationClose, Level.initial)
    assertRefused(hex("1d 00 00"), TransportError.protocolViolation, FrameType.applicationClose, Level.handshake)
    assertRefused(hex("0a 00 01 61"), TransportError.protocolViolation, 0x0a, Level.handshake)
    assertRefused(hex("02 00 00 00 00"), TransportError.protocolViolation, FrameType.ack, Level.zeroRtt)
    assertRefused(hex("06 00 00"), TransportError.protocolViolation, FrameType.crypto, Level.zeroRtt)
  })

  it("a reader that met a violation starts afresh with the next packet", () => {
    const reader = over(hex("1f"))
    assert.strictEqual(reader.next(), FRAMES_VIOLATION)
    reader.reset(hex("01"), 0, 1, Level.oneRtt, false)
    assert.strictEqual(reader.next(), FrameType.ping)
    assert.strictEqual(reader.errorCode, 0)
    assert.strictEqual(reader.next(), FRAMES_END)
  })
})

describe("values out of range", () => {
  const encoding = TransportError.frameEncoding

  it("RFC 9000 19.3.1: acknowledged ranges below zero", () => {
    assertRefused(hex("02 05 00 00 06"), encoding, FrameType.ack)
    // 10 to 9, then a gap of 8: the next range would end at -1.
    assertRefused(hex("02 0a 00 01 01 08 00"), encoding, FrameType.ack)
    assertRefused(hex("02 0a 00 01 01 07 01"), encoding, FrameType.ack)
    const reader = over(hex("02 0a 00 01 01 07 00"))
    assert.strictEqual(reader.next(), FrameType.ack)
    assert.deepStrictEqual([...reader.ranges.subarray(0, 4)], [9, 10, 0, 0])
  })

  it("RFC 9000 19.3: a range count without its ranges costs no time", () => {
    assertRefused(hex("02 bfffffff 00 bfffffff 00 00 00"), encoding, FrameType.ack)
    assertRefused(hex("3e 00 bfffffff 00 ffffffffffffffff 00 00 00"), encoding, FrameType.pathAck)
  })

  it("keeps the first 512 ranges of an ACK and still checks the rest", () => {
    const count = MAX_ACK_RANGES + 100
    const ranges = new Float64Array(2 * count)
    for (let i = 0; i < count; i++) ranges[2 * i] = ranges[2 * i + 1] = 2 * (count - i)
    const w = new ByteWriter(new Uint8Array(4096))
    assert.isTrue(Write.writeAck(w, Write.NO_PATH, ranges, count, 0, 1, 2, 3, true))
    const reader = over(w.bytes.slice(0, w.position))
    assert.strictEqual(reader.next(), FrameType.ackEcn)
    assert.strictEqual(reader.rangeCount, MAX_ACK_RANGES)
    assert.strictEqual(reader.ranges[2 * MAX_ACK_RANGES - 1], 2 * 101)
    assert.deepStrictEqual([reader.ect0, reader.ect1, reader.ce], [1, 2, 3])
    assert.strictEqual(reader.next(), FRAMES_END)
    // The last range made one longer goes below zero: 2 - 3.
    const broken = w.bytes.slice(0, w.position)
    broken[w.position - 4] = 3
    assertRefused(broken, encoding, FrameType.ackEcn)
  })

  it("RFC 9000 19.6, 19.8: offset plus length too large", () => {
    assertRefused(hex("0e 00 c01fffffffffffff 01 61"), encoding, 0x0e)
    assertRefused(hex("0c 00 ffffffffffffffff"), encoding, 0x0c)
    assertRefused(hex("06 c01fffffffffffff 01 61"), encoding, FrameType.crypto)
    const reader = over(hex("0e 00 c01ffffffffffffe 01 61"))
    assert.strictEqual(reader.next(), 0x0e)
    assert.strictEqual(reader.offset + reader.dataLength, Number.MAX_SAFE_INTEGER)
  })

  it("positions that a number cannot hold are refused", () => {
    const wide = "c020000000000000"
    assertRefused(hex(`04 00 00 ${wide}`), encoding, FrameType.resetStream)
    assertRefused(hex(`0a ${wide} 00`), encoding, 0x0a)
    assertRefused(hex(`02 ${wide} 00 00 00`), encoding, FrameType.ack)
    assertRefused(hex(`19 ${wide}`), encoding, FrameType.retireConnectionId)
    assertRefused(hex(`7e76 01 ${wide}`), encoding, FrameType.pathStatusBackup)
    assertRefused(hex(`18 ${wide} 00 01 61 ${"00".repeat(16)}`), encoding, FrameType.newConnectionId)
  })

  it("limits and codes that a number cannot hold are clamped to 2^53-1", () => {
    const most = "ffffffffffffffff"
    for (const [frame, field] of [
      [`10 ${most}`, "limit"],
      [`11 00 ${most}`, "limit"],
      ["12 d000000000000000", "limit"],
      [`05 00 ${most}`, "code"],
      [`1c ${most} 00 00`, "code"],
      [`1c 00 ${most} 00`, "offendingType"],
      [`02 00 ${most} 00 00`, "ackDelay"],
      [`03 00 00 00 00 00 00 ${most}`, "ce"]
    ] as const) {
      const reader = over(hex(frame))
      assert.isAbove(reader.next(), 0, frame)
      assert.strictEqual(reader[field], Number.MAX_SAFE_INTEGER, frame)
    }
  })

  it("RFC 9000 19.11, 19.14: more than 2^60 streams", () => {
    for (const type of ["12", "13", "16", "17"]) {
      assertRefused(hex(`${type} d000000000000001`), encoding, Number.parseInt(type, 16))
      assert.isAbove(over(hex(`${type} d000000000000000`)).next(), 0)
    }
  })

  it("RFC 9000 19.15: connection IDs of 1 to 20 bytes, Retire Prior To not above the sequence number", () => {
    const token = "00".repeat(16)
    assertRefused(hex(`18 00 00 00 ${token}`), encoding, FrameType.newConnectionId)
    assertRefused(hex(`18 00 00 15 ${"61".repeat(21)} ${token}`), encoding, FrameType.newConnectionId)
    assertRefused(hex(`18 01 02 01 61 ${token}`), encoding, FrameType.newConnectionId)
    assert.strictEqual(over(hex(`18 02 02 14 ${"61".repeat(20)} ${token}`)).next(), FrameType.newConnectionId)
  })

  it("RFC 9000 19.7: an empty token", () => {
    assertRefused(hex("07 00"), encoding, FrameType.newToken)
  })
})

describe("multipath frames (draft-21 section 4)", () => {
  const multipath = Object.entries(samples).filter(([name]) => /^PATHS?_(?!CHALLENGE|RESPONSE)|MAX_PATH_ID/.test(name))

  it("there are samples of all of them", () => {
    const types = new Set<number>()
    const random = new Random(3)
    for (let i = 0; i < 20; i++) for (const [, sample] of multipath) types.add(sample(random).type)
    assert.deepStrictEqual(
      [...types].toSorted((a, b) => a - b),
      [0x3e, 0x3f, 0x3e75, 0x3e76, 0x3e77, 0x3e78, 0x3e79, 0x3e7a, 0x3e7b, 0x3e7c]
    )
  })

  for (const [name, sample] of multipath) {
    it(`FRM-1: ${name} in Initial, Handshake or 0-RTT is a PROTOCOL_VIOLATION`, () => {
      const frame = sample(new Random(5))
      for (const level of [Level.initial, Level.handshake, Level.zeroRtt]) {
        assertRefused(frame.bytes, TransportError.protocolViolation, frame.type, level)
      }
    })

    it(`NEG-2: ${name} without the negotiation is an unknown frame`, () => {
      const frame = sample(new Random(5))
      const reader = over(frame.bytes, Level.oneRtt, false)
      assert.strictEqual(reader.next(), FRAMES_VIOLATION)
      assert.strictEqual(reader.errorCode, TransportError.frameEncoding)
      assert.strictEqual(reader.type, frame.type)
    })

    it(`FRM-2, MPI-1, BLK-1: ${name} with a path ID above 2^32-1 is a PROTOCOL_VIOLATION`, () => {
      const { type } = sample(new Random(5))
      const w = new ByteWriter(new Uint8Array(64))
      w.varint(type)
      w.varint(2 ** 32)
      assertRefused(w.bytes, TransportError.protocolViolation, type)
    })
  }

  it("the layouts of the draft, byte by byte", () => {
    const w = new ByteWriter(new Uint8Array(64))
    const bytes = (write: () => unknown): string => {
      w.position = 0
      write()
      return Buffer.from(w.bytes.subarray(0, w.position)).toString("hex")
    }
    const ranges = Float64Array.of(8, 10, 3, 5)
    assert.strictEqual(
      bytes(() => Write.writeAck(w, 1, ranges, 2, 7, 0, 0, 0, false)),
      "3e010a0701020102"
    )
    assert.strictEqual(
      bytes(() => Write.writeAck(w, 1, ranges, 1, 7, 1, 2, 3, true)),
      "3f010a070002010203"
    )
    assert.strictEqual(
      bytes(() => Write.writePathAbandon(w, 1, 0x3e76)),
      "7e75017e76"
    )
    assert.strictEqual(
      bytes(() => Write.writePathStatus(w, 2, 5, true)),
      "7e760205"
    )
    assert.strictEqual(
      bytes(() => Write.writePathStatus(w, 2, 5, false)),
      "7e770205"
    )
    const token = new Uint8Array(16).fill(0xee)
    assert.strictEqual(
      bytes(() => Write.writePathNewConnectionId(w, 3, 4, 1, hex("aabb"), token)),
      `7e7803040102aabb${"ee".repeat(16)}`
    )
    assert.strictEqual(
      bytes(() => Write.writePathRetireConnectionId(w, 3, 4)),
      "7e790304"
    )
    assert.strictEqual(
      bytes(() => Write.writeMaxPathId(w, 2 ** 32 - 1)),
      "7e7ac0000000ffffffff"
    )
    assert.strictEqual(
      bytes(() => Write.writePathsBlocked(w, 9)),
      "7e7b09"
    )
    assert.strictEqual(
      bytes(() => Write.writePathCidsBlocked(w, 9, 2)),
      "7e7c0902"
    )
  })
})

describe("room", () => {
  it("writeAck writes the ranges that fit, the largest first, or nothing", () => {
    const random = new Random(21)
    for (let i = 0; i < 300; i++) {
      const pairs = randomRanges(random, 100)
      const ranges = Float64Array.from(pairs)
      const count = pairs.length / 2
      const pathId = random.boolean() ? Write.NO_PATH : random.integer(0xffff_ffff)
      const hasEcn = random.boolean()
      const length = (kept: number): number => Write.ackLength(pathId, ranges, kept, 5, 1, 2, 3, hasEcn)
      const room = random.between(0, length(count) + 1)
      const w = new ByteWriter(new Uint8Array(length(count) + 16), 3, 3 + room)
      const fits = Write.writeAck(w, pathId, ranges, count, 5, 1, 2, 3, hasEcn)
      assert.strictEqual(fits, length(1) <= room)
      if (!fits) {
        assert.strictEqual(w.position, 3)
        continue
      }
      assert.isAtMost(w.position, w.end)
      const reader = new FrameReader()
      reader.reset(w.bytes, 3, w.position, Level.oneRtt, true)
      assert.isAbove(reader.next(), 0, reader.errorReason)
      const kept = reader.rangeCount
      assert.deepStrictEqual([...reader.ranges.subarray(0, 2 * kept)], pairs.slice(0, 2 * kept))
      // The count may take one byte more than what it turned out to be.
      if (kept < count) assert.isAbove(length(kept + 1) + 1, room)
      else assert.strictEqual(reader.rangeCount, count)
    }
  })

  it("streamRoom and cryptoRoom give the most data that fits, to the byte", () => {
    const random = new Random(22)
    const sizes = [0, 1, 2, 3, 62, 63, 64, 65, 66, 67, 68, 16_382, 16_383, 16_384, 16_385, 16_386, 16_387, 16_388]
    for (let i = 0; i < 2000; i++) {
      const [streamId, offset] = [random.integer(), random.boolean() ? 0 : random.integer()]
      const size = sizes[i % sizes.length]!
      const remaining = Write.streamHeaderLength(streamId, offset, -1) + size
      assert.strictEqual(Write.streamRoom(remaining, streamId, offset, false), size)
      const room = Write.streamRoom(remaining, streamId, offset, true)
      const total = (data: number): number => Write.streamHeaderLength(streamId, offset, data) + data
      if (room >= 0) assert.isAtMost(total(room), remaining)
      assert.isAbove(total(room + 1), remaining)
      const cryptoRemaining = Write.cryptoHeaderLength(offset, 0) + size
      const cryptoRoom = Write.cryptoRoom(cryptoRemaining, offset)
      assert.isAtMost(Write.cryptoHeaderLength(offset, cryptoRoom) + cryptoRoom, cryptoRemaining)
      assert.isAbove(Write.cryptoHeaderLength(offset, cryptoRoom + 1) + cryptoRoom + 1, cryptoRemaining)
    }
  })

  it("RFC 9000 19.19: a reason is cut to whole characters that fit", () => {
    const reason = "né €uro 🎉 ".repeat(20)
    const whole = Write.connectionCloseLength(1, 6, Buffer.byteLength(reason))
    for (let room = Write.connectionCloseLength(1, 6, 0); room <= whole; room++) {
      const w = new ByteWriter(new Uint8Array(whole + 8), 2, 2 + room)
      Write.writeConnectionClose(w, 1, 6, reason)
      assert.isAtMost(w.position, w.end)
      // At most the three bytes of a character cut off, and the Length field, are left over.
      assert.isAtLeast(w.position, w.end - 4)
      const reader = new FrameReader()
      reader.reset(w.bytes, 2, w.position, Level.oneRtt, false)
      assert.strictEqual(reader.next(), FrameType.connectionClose)
      assert.isTrue(reason.startsWith(reader.reason()))
      if (room === whole) assert.strictEqual(reader.reason(), reason)
    }
  })

  it("B10: a reason is read without control characters, and not to any length", () => {
    const read = (reason: string) => {
      const w = new ByteWriter(new Uint8Array(8192))
      Write.writeConnectionClose(w, 1, -1, reason)
      const reader = new FrameReader()
      reader.reset(w.bytes, 0, w.position, Level.oneRtt, false)
      assert.strictEqual(reader.next(), FrameType.applicationClose)
      return reader.reason()
    }
    assert.strictEqual(read("bye\r\n\u001b[31mERROR\u202e\u0085\u2028"), "bye???[31mERROR???")
    assert.strictEqual(read("né €uro 🎉 👩‍💻"), "né €uro 🎉 👩‍💻")
    assert.strictEqual(read("x".repeat(2048)), "x".repeat(2048))
    const long = read("🎉".repeat(1000))
    assert.isBelow(long.length, 1030)
    assert.match(long, /^(🎉)+\??…$/u)
  })

  it("a reason that is not UTF-8 is read with replacement characters", () => {
    const reader = over(hex("1d 00 02 ff61"))
    assert.strictEqual(reader.next(), FrameType.applicationClose)
    assert.strictEqual(reader.reason(), "\ufffda")
  })
})

/** Counts every allocation where the runtime does (Node 26), and otherwise what no collection has taken yet. */
const allocated = (): number => {
  const statistics: { readonly used_heap_size: number; readonly total_allocated_bytes?: number } = getHeapStatistics()
  return statistics.total_allocated_bytes ?? statistics.used_heap_size
}

describe("cost", () => {
  it("reading STREAM and PATH_ACK frames allocates nothing, also above 2^32", () => {
    const ranges = Float64Array.from({ length: 20 }, (_, i) => 2 ** 41 - 10 * (i >> 1) - (i % 2 === 0 ? 3 : 0))
    const w = new ByteWriter(new Uint8Array(1400))
    Write.writeAck(w, 2 ** 31, ranges, 10, 100, 2 ** 33, 0, 1, true)
    Write.writeStreamHeader(w, 2 ** 40, 2 ** 42, 1000, false, true)
    w.position += 1000
    const reader = new FrameReader()
    let frames = 0
    const read = (packets: number): void => {
      for (let i = 0; i < packets; i++) {
        reader.reset(w.bytes, 0, w.position, Level.oneRtt, true)
        while (reader.next() >= 0) frames++
      }
    }
    read(100_000)
    const before = allocated()
    read(200_000)
    assert.isBelow((allocated() - before) / 400_000, 4, "bytes a frame")
    assert.strictEqual(frames, 600_000)
  })
})
