import { assert, describe, it } from "@effect/vitest"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import {
  decodePacketNumber,
  packetNumberLength,
  readPacketNumber,
  writePacketNumber
} from "../../src/internal/wire/PacketNumber.ts"
import { Random } from "./random.ts"

describe("packet numbers (RFC 9000 section 17.1)", () => {
  it("A.2: the examples", () => {
    assert.strictEqual(packetNumberLength(0xac5c02, 0xabe8b3), 2)
    assert.strictEqual(packetNumberLength(0xace8fe, 0xabe8b3), 3)
  })

  it("A.3: the example", () => {
    assert.strictEqual(decodePacketNumber(0x9b32, 2, 0xa82f30ea), 0xa82f9b32)
  })

  it("A.2: the window is at least twice what is unacknowledged; without acknowledgement it counts from 0", () => {
    assert.strictEqual(packetNumberLength(0, -1), 1)
    assert.strictEqual(packetNumberLength(127, -1), 1)
    assert.strictEqual(packetNumberLength(128, -1), 2)
    assert.strictEqual(packetNumberLength(32_767, -1), 2)
    assert.strictEqual(packetNumberLength(32_768, -1), 3)
    assert.strictEqual(packetNumberLength(8_388_607, -1), 3)
    assert.strictEqual(packetNumberLength(8_388_608, -1), 4)
    assert.strictEqual(packetNumberLength(2 ** 40 + 1, 2 ** 40), 1)
  })

  it("A.3: numbers around the ends of the window and of the space", () => {
    assert.strictEqual(decodePacketNumber(0, 1, -1), 0)
    assert.strictEqual(decodePacketNumber(0xff, 1, -1), 0xff)
    assert.strictEqual(decodePacketNumber(0x00, 1, 0xff), 0x100)
    assert.strictEqual(decodePacketNumber(0xff, 1, 0x100), 0xff)
    assert.strictEqual(decodePacketNumber(0xff, 1, 0x17e), 0x1ff)
    assert.strictEqual(decodePacketNumber(0xff, 1, 0x17d), 0xff)
    assert.strictEqual(decodePacketNumber(0x00, 1, 0x17f), 0x200)
    assert.strictEqual(decodePacketNumber(0x01, 1, 0x17f), 0x101)
    assert.strictEqual(decodePacketNumber(0, 4, 2 ** 32 - 1), 2 ** 32)
    assert.strictEqual(decodePacketNumber(0xffff_ffff, 4, 2 ** 32), 2 ** 32 - 1)
    assert.isTrue(Number.isSafeInteger(decodePacketNumber(0, 4, Number.MAX_SAFE_INTEGER - 1)))
  })

  it("what is sent in the length of A.2 is read back by a receiver that has between the acknowledged and all", () => {
    const random = new Random(31)
    const w = new ByteWriter(new Uint8Array(8))
    for (let i = 0; i < 30_000; i++) {
      const largestAcked = random.integer(2 ** 52) - 1
      const ahead = random.between(1, [0x80, 0x8000, 0x80_0000, 0x8000_0000][i % 4]!)
      const packetNumber = largestAcked + ahead
      const length = packetNumberLength(packetNumber, largestAcked)
      w.reset(w.bytes, 1, 8)
      writePacketNumber(w, packetNumber, length)
      assert.strictEqual(w.position, 1 + length)
      const truncated = readPacketNumber(w.bytes, 1, length)
      const largestReceived = random.between(largestAcked, packetNumber - 1)
      assert.strictEqual(decodePacketNumber(truncated, length, largestReceived), packetNumber)
    }
  })
})
