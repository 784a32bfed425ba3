import { assert, describe, it } from "@effect/vitest"
import type * as Native from "../../src/internal/runtime/native/NativeProtection.ts"
import { protect, unprotectHeaders } from "../../src/internal/crypto/HeaderProtection.ts"
import { levelKeys } from "../../src/internal/crypto/LevelKeys.ts"
import { nodeProtection } from "../../src/internal/crypto/NodeProtection.ts"
import { makePacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import type { PacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import { cipherSuites } from "../../src/internal/tls/CipherSuites.ts"
import { Version } from "../../src/internal/wire/Protocol.ts"
import type { AeadAlgorithm } from "../../src/PacketProtection.ts"
import { hex, makeRandom } from "../crypto/support.ts"
import { skipped } from "./support.ts"

// Imported here and not above: where node:ffi is missing the module cannot be loaded.
const { nativeProtection } = !skipped
  ? await import("../../src/internal/runtime/native/NativeProtection.ts")
  : ({ nativeProtection: nodeProtection } satisfies typeof Native)

const test = it.skipIf(skipped)

type Random = (bound: number) => number

const randomBytes = (random: Random, length: number): Uint8Array => Uint8Array.from({ length }, () => random(256))

const lengths: Record<AeadAlgorithm, number> = { "aes-128-gcm": 16, "aes-256-gcm": 32, "chacha20-poly1305": 32 }
const algorithms = Object.keys(lengths) as Array<AeadAlgorithm>

/** Packets of random sizes at random places of a slab, with canaries between and around them. */
const randomBurst = (random: Random, count: number, slab: (length: number) => Uint8Array): PacketBurst => {
  const burst = makePacketBurst(count, slab(count * 1600 + 64))
  burst.slab.set(randomBytes(random, burst.slab.length))
  let at = random(8)
  for (let i = 0; i < count; i++) {
    const pnLength = 1 + random(4)
    const header = [1, 9, 30][random(3)]!
    const payload = Math.max(4 - pnLength, [0, 3, random(64), 1200, random(1452)][random(5)]!)
    burst.start[i] = at
    burst.pnOffset[i] = at + header
    burst.pnLength[i] = pnLength
    burst.end[i] = at + header + pnLength + payload + 16
    at = burst.end[i]! + random(40)
    burst.slab[burst.start[i]!] = (random(2) === 0 ? 0xc0 : 0x40) | (pnLength - 1)
    burst.pathId[i] = [0, 1, 2 ** 31 + 5, 2 ** 32 - 1][random(4)]!
    burst.packetNumber[i] = random(2) === 0 ? random(70_000) : random(2 ** 21) * 2 ** 32 + random(2 ** 32)
  }
  burst.count = count
  return burst
}

const copyOf = (burst: PacketBurst): PacketBurst => {
  const copy = makePacketBurst(burst.count, new Uint8Array(burst.slab))
  copy.count = burst.count
  for (const column of ["start", "pnOffset", "end"] as const) copy[column].set(burst[column])
  copy.pnLength.set(burst.pnLength)
  copy.pathId.set(burst.pathId)
  copy.packetNumber.set(burst.packetNumber)
  return copy
}

const resizable = (length: number): ArrayBuffer =>
  Reflect.construct(ArrayBuffer, [length, { maxByteLength: 2 * length }])

/** Memory of every kind that a caller may have. */
const slabs: Record<string, (length: number) => Uint8Array> = {
  "a slab of its own": (length) => Buffer.allocUnsafeSlow(length),
  "a view into a bigger buffer": (length) => new Uint8Array(length + 100).subarray(37, 37 + length),
  "a resizable buffer": (length) => new Uint8Array(resizable(length)),
  "a shared buffer": (length) => new Uint8Array(new SharedArrayBuffer(length)),
  "a pooled Buffer": (length) => Buffer.alloc(length)
}

for (const suite of cipherSuites) {
  describe(`${suite.name} by native code`, () => {
    for (const [kind, slab] of Object.entries(slabs)) {
      test(`gives the bytes of node:crypto in ${kind}, canaries included (RFC 9001 sections 5.3 and 5.4)`, () => {
        const random = makeRandom(suite.id + kind.length)
        for (let run = 0; run < 20; run++) {
          const secret = randomBytes(random, 48)
          const keys = levelKeys(nativeProtection, suite, Version.v1, secret, secret)
          const expectedKeys = levelKeys(nodeProtection, suite, Version.v1, secret, secret)
          const burst = randomBurst(random, run === 0 ? 150 : 1 + random(40), slab)
          const plain = copyOf(burst)
          const expected = copyOf(burst)
          const from = random(burst.count)
          protect(burst, from, burst.count, keys.write!, keys.headerWrite!)
          protect(expected, from, burst.count, expectedKeys.write!, expectedKeys.headerWrite!)
          assert.strictEqual(hex(burst.slab), hex(expected.slab))

          unprotectHeaders(burst, from, burst.count, keys.headerRead!)
          for (let i = from; i < burst.count; i++) {
            assert.strictEqual(burst.pnLength[i], plain.pnLength[i])
            burst.packetNumber[i] = plain.packetNumber[i]!
            assert.isTrue(keys.read!.open(burst, i), `packet ${i}`)
            const [start, end] = [plain.start[i]!, plain.end[i]! - 16]
            assert.strictEqual(hex(burst.slab.subarray(start, end)), hex(plain.slab.subarray(start, end)))
          }
          for (const key of [keys.write!, keys.read!, keys.headerRead!, keys.headerWrite!]) key.close()
        }
      })
    }

    test("refuses a packet forged in any byte, number or path, and opens the next good one", () => {
      const random = makeRandom(5)
      const secret = randomBytes(random, 48)
      const keys = levelKeys(nativeProtection, suite, Version.v1, secret, secret)
      const sealed = randomBurst(random, 1, slabs["a slab of its own"]!)
      keys.write!.seal(sealed, 0, 1)
      const open = (change: (burst: PacketBurst) => void): boolean => {
        const burst = copyOf(sealed)
        change(burst)
        return keys.read!.open(burst, 0)
      }
      for (let at = sealed.start[0]!; at < sealed.end[0]!; at++) {
        assert.isFalse(
          open((burst) => (burst.slab[at]! ^= 1 << random(8))),
          `byte ${at}`
        )
      }
      assert.isFalse(open((burst) => (burst.packetNumber[0]! += 1)))
      assert.isFalse(open((burst) => (burst.pathId[0]! ^= 1)))
      assert.isFalse(open((burst) => (burst.end[0]! -= 1)))
      assert.isTrue(open(() => {}))
    })

    test("masks of a burst are those of node:crypto, at any place and of any number (RFC 9001 section 5.4)", () => {
      const random = makeRandom(9)
      const key = randomBytes(random, suite.keyLength)
      const slab = randomBytes(random, 3000)
      // A ChaCha20 sample whose block counter is the last one.
      slab.fill(0xff, 1000, 1004)
      const offsets = Int32Array.from({ length: 200 }, (_, i) => (i === 3 ? 1000 : random(2984)))
      for (const count of [0, 1, 2, 63, 64, 65, 200]) {
        const [mine, expected] = [new Uint8Array(count * 16), new Uint8Array(count * 16)]
        nativeProtection.headerKey(suite.aead, key).masks(slab, offsets, count, mine)
        nodeProtection.headerKey(suite.aead, key).masks(slab, offsets, count, expected)
        for (let at = 0; at < count * 16; at += 16) {
          assert.strictEqual(hex(mine.subarray(at, at + 5)), hex(expected.subarray(at, at + 5)))
        }
      }
    })
  })
}

describe("what native code is never given", () => {
  test("packets that do not lie in their slab: seal throws, open refuses, the memory around stays as it was", () => {
    const random = makeRandom(3)
    for (const algorithm of algorithms) {
      const key = nativeProtection.packetKey(algorithm, randomBytes(random, lengths[algorithm]), new Uint8Array(12))
      const around = new Uint8Array(4096).fill(0xa5)
      const slab = around.subarray(1024, 3072)
      const burst = makePacketBurst(1, slab)
      const edges = [
        -(2 ** 31),
        -2048,
        -17,
        -1,
        0,
        1,
        15,
        16,
        17,
        2031,
        2032,
        2033,
        2047,
        2048,
        2049,
        65_536,
        2 ** 31 - 1
      ]
      const pick = (): number => (random(2) === 0 ? edges[random(edges.length)]! : random(2100) - 20)
      let refused = 0
      for (let run = 0; run < 8000; run++) {
        burst.start[0] = pick()
        burst.pnOffset[0] = pick()
        burst.pnLength[0] = random(256)
        burst.end[0] = pick()
        const payload = burst.pnOffset[0]! + burst.pnLength[0]!
        const fits =
          burst.start[0]! >= 0 && payload > burst.start[0]! && burst.end[0]! - 16 >= payload && burst.end[0]! <= 2048
        if (fits) {
          key.seal(burst, 0, 1)
          assert.isTrue(key.open(burst, 0))
        } else {
          refused++
          assert.throws(() => key.seal(burst, 0, 1), RangeError)
          assert.isFalse(key.open(burst, 0))
        }
      }
      assert.isAbove(refused, 1000)
      assert.isTrue(around.subarray(0, 1024).every((byte) => byte === 0xa5))
      assert.isTrue(around.subarray(3072).every((byte) => byte === 0xa5))
      // Columns that end before the packets asked for.
      assert.throws(() => key.seal(burst, 0, 2), RangeError)
      assert.isFalse(key.open(burst, 1))
    }
  })

  test("samples outside of the bytes", () => {
    for (const algorithm of algorithms) {
      const key = nativeProtection.headerKey(algorithm, new Uint8Array(lengths[algorithm]))
      const masks = new Uint8Array(64).fill(0xa5)
      key.masks(new Uint8Array(100), Int32Array.of(-5, 2 ** 31 - 17, 99, 1), 4, masks.subarray(0, 48))
      assert.isTrue(masks.subarray(48).every((byte) => byte === 0xa5))
    }
  })

  test("memory that was transferred away, or an empty slab", () => {
    const key = nativeProtection.packetKey("aes-128-gcm", new Uint8Array(16), new Uint8Array(12))
    const burst = makePacketBurst(1, new Uint8Array(100))
    burst.pnOffset[0] = 1
    burst.pnLength[0] = 2
    burst.end[0] = 100
    key.seal(burst, 0, 1)
    const { buffer } = burst.slab
    const kept = structuredClone(buffer as ArrayBuffer, { transfer: [buffer as ArrayBuffer] })
    assert.throws(() => key.seal(burst, 0, 1), RangeError)
    assert.isFalse(key.open(burst, 0))
    burst.slab = new Uint8Array(kept)
    assert.isTrue(key.open(burst, 0))
    burst.slab = new Uint8Array(0)
    assert.isFalse(key.open(burst, 0))
    assert.throws(() => key.seal(burst, 0, 1), RangeError)
  })

  test("keys and IVs of a wrong length", () => {
    for (const algorithm of algorithms) {
      for (const length of [0, 15, 17, 31, 33]) {
        assert.throws(
          () => nativeProtection.packetKey(algorithm, new Uint8Array(length), new Uint8Array(12)),
          RangeError
        )
        assert.throws(() => nativeProtection.headerKey(algorithm, new Uint8Array(length)), RangeError)
      }
      const key = new Uint8Array(lengths[algorithm])
      assert.throws(() => nativeProtection.packetKey(algorithm, key, new Uint8Array(8)), RangeError)
    }
  })

  test("closed keys: they throw, twice closed or not, and take the others with them no more", () => {
    for (const algorithm of algorithms) {
      const bytes = new Uint8Array(lengths[algorithm])
      const [gone, other] = [0, 1].map(() => nativeProtection.packetKey(algorithm, bytes, new Uint8Array(12)))
      const burst = makePacketBurst(1, new Uint8Array(100))
      burst.pnOffset[0] = 1
      burst.pnLength[0] = 2
      burst.end[0] = 100
      gone!.seal(burst, 0, 1)
      gone!.close()
      gone!.close()
      assert.throws(() => gone!.seal(burst, 0, 1), /closed/)
      assert.isTrue(other!.open(burst, 0))
      const header = nativeProtection.headerKey(algorithm, bytes)
      header.close()
      header.close()
      assert.throws(() => header.masks(new Uint8Array(100), Int32Array.of(0), 1, new Uint8Array(16)), /closed/)
    }
  })

  test("keys that their owner still changes: the bytes may be reused after the call", () => {
    const key = new Uint8Array(16).fill(1)
    const iv = new Uint8Array(12).fill(2)
    const mine = nativeProtection.packetKey("aes-128-gcm", key, iv)
    const expected = nodeProtection.packetKey("aes-128-gcm", key, iv)
    key.fill(9)
    iv.fill(9)
    const [a, b] = [
      randomBurst(makeRandom(1), 3, (n) => new Uint8Array(n)),
      randomBurst(makeRandom(1), 3, (n) => new Uint8Array(n))
    ]
    mine.seal(a, 0, 3)
    expected.seal(b, 0, 3)
    assert.strictEqual(hex(a.slab), hex(b.slab))
  })
})
