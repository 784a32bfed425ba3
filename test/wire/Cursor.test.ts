import { assert, describe, it } from "@effect/vitest"
import { aboveMaxStreams, ByteReader, ByteWriter, MAX_SAFE, varintLength } from "../../src/internal/wire/Cursor.ts"
import { Random } from "./random.ts"

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"))

const isAbove = (text: string): boolean => {
  const reader = new ByteReader(hex(text))
  return aboveMaxStreams(reader.varint(), reader.bytes, reader.position)
}

describe("variable-length integers (RFC 9000 section 16)", () => {
  it("reads the examples of RFC 9000 A.1", () => {
    const examples: ReadonlyArray<readonly [string, number]> = [
      ["9d7f3e7d", 494_878_333],
      ["7bbd", 15_293],
      ["25", 37],
      ["4025", 37]
    ]
    for (const [bytes, value] of examples) {
      const reader = new ByteReader(hex(bytes))
      assert.strictEqual(reader.varint(), value)
      assert.strictEqual(reader.remaining, 0)
      assert.isFalse(reader.failed)
    }
    // The 8-byte example, 151288809941952652, is above 2^53: not exact, and known to be above the limit.
    const wide = new ByteReader(hex("c2197c5eff14e88c")).varint()
    assert.isAbove(wide, MAX_SAFE)
    assert.isBelow(Math.abs(wide - Number(151_288_809_941_952_652n)), 32)
  })

  it("writes the examples of RFC 9000 A.1 in the shortest form", () => {
    for (const [value, bytes] of [
      [494_878_333, "9d7f3e7d"],
      [15_293, "7bbd"],
      [37, "25"]
    ] as const) {
      const w = new ByteWriter(new Uint8Array(8))
      w.varint(value)
      assert.deepStrictEqual(w.bytes.subarray(0, w.position), hex(bytes))
    }
  })

  it("round-trips values of every length, up to 2^53-1, at the length foretold", () => {
    const random = new Random(1)
    const w = new ByteWriter(new Uint8Array(16))
    const reader = new ByteReader()
    for (let i = 0; i < 20_000; i++) {
      const value = random.integer()
      w.reset(w.bytes, 3, 16).varint(value)
      assert.strictEqual(w.position - 3, varintLength(value))
      assert.strictEqual(reader.reset(w.bytes, 3, w.position).varint(), value)
      assert.strictEqual(reader.position, w.position)
      const cut = reader.reset(w.bytes, 3, w.position - 1)
      assert.strictEqual(cut.varint(), 0)
      assert.isTrue(cut.failed)
    }
  })

  it("tells 2^60 streams from more, although both round to the same number", () => {
    assert.isFalse(isAbove("cfffffffffffffff"))
    assert.isFalse(isAbove("d000000000000000"))
    assert.isTrue(isAbove("d000000000000001"))
    assert.isTrue(isAbove("d000000000000100"))
    assert.isTrue(isAbove("ffffffffffffffff"))
    assert.isFalse(isAbove("3f"))
  })
})
