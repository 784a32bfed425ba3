import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { protect, unprotectHeaders } from "../../src/internal/crypto/HeaderProtection.ts"
import { closeLevelKeys, levelKeys } from "../../src/internal/crypto/LevelKeys.ts"
import { nobleProtection } from "../../src/internal/crypto/NobleProtection.ts"
import { nodeProtection } from "../../src/internal/crypto/NodeProtection.ts"
import { makePacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import type { PacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import { cipherSuites, TLS_AES_128_GCM_SHA256 } from "../../src/internal/tls/CipherSuites.ts"
import { Version } from "../../src/internal/wire/Protocol.ts"
import * as PacketProtection from "../../src/PacketProtection.ts"
import { hex, layOut, makeRandom } from "./support.ts"
import type { PlainPacket } from "./support.ts"

const secretOf = (random: (bound: number) => number): Uint8Array => Uint8Array.from({ length: 48 }, () => random(256))

const randomPackets = (random: (bound: number) => number, count: number): Array<PlainPacket> =>
  Array.from({ length: count }, () => {
    const pnLength = 1 + random(4)
    const long = random(3) === 0
    const header = Uint8Array.from({ length: (long ? 24 : 9) + pnLength }, () => random(256))
    header[0] = (long ? 0xc0 : 0x40) | (random(64) & (long ? 0x0c : 0x24)) | (pnLength - 1)
    const length = [4 - pnLength, 1 + random(40), 1200, random(1452)][random(4)]!
    return {
      header,
      pnLength,
      payload: Uint8Array.from({ length: Math.max(length, 4 - pnLength) }, () => random(256)),
      pathId: [0, 1, 2 ** 31 + 5, 2 ** 32 - 1][random(4)]!,
      packetNumber: random(2) === 0 ? random(70000) : random(2 ** 21) * 2 ** 32 + random(2 ** 32)
    }
  })

/** The same burst as a receiver sees it: neither length nor value of the packet numbers is known. */
const asReceived = (burst: PacketBurst): PacketBurst => {
  const copy = makePacketBurst(burst.count, burst.slab.slice())
  copy.count = burst.count
  copy.start.set(burst.start)
  copy.pnOffset.set(burst.pnOffset)
  copy.end.set(burst.end)
  copy.pathId.set(burst.pathId)
  return copy
}

for (const suite of cipherSuites) {
  describe(suite.name, () => {
    it("node and noble give the same bytes, and open each other's (RFC 9001 sections 5.3 and 5.4)", () => {
      const random = makeRandom(suite.id)
      for (let run = 0; run < 12; run++) {
        const secret = secretOf(random)
        const packets = randomPackets(random, run === 0 ? 150 : 1 + random(6))
        const node = levelKeys(nodeProtection, suite, Version.v1, secret, secret)
        const noble = levelKeys(nobleProtection, suite, Version.v1, secret, secret)
        const gap = random(8)
        const plain = layOut(packets, gap)
        const byNode = layOut(packets, gap)
        const byNoble = layOut(packets, gap)
        protect(byNode, 0, byNode.count, node.write!, node.headerWrite!)
        protect(byNoble, 0, byNoble.count, noble.write!, noble.headerWrite!)
        assert.strictEqual(hex(byNode.slab), hex(byNoble.slab))
        assert.notStrictEqual(hex(byNode.slab), hex(plain.slab))

        for (const reader of [node, noble]) {
          const burst = asReceived(byNode)
          unprotectHeaders(burst, 0, burst.count, reader.headerRead!)
          packets.forEach((packet, i) => {
            assert.strictEqual(burst.pnLength[i], packet.pnLength)
            let truncated = 0
            for (const byte of packet.header.subarray(-packet.pnLength)) truncated = truncated * 256 + byte
            assert.strictEqual(burst.packetNumber[i], truncated)
            burst.packetNumber[i] = packet.packetNumber
            assert.isTrue(reader.read!.open(burst, i), `packet ${i}`)
            const at = burst.start[i]! + packet.header.length
            assert.strictEqual(hex(burst.slab.subarray(burst.start[i]!, at)), hex(packet.header))
            assert.strictEqual(hex(burst.slab.subarray(at, burst.end[i]! - 16)), hex(packet.payload))
          })
        }
      }
    })

    for (const protection of [nodeProtection, nobleProtection]) {
      it(`${protection.name}: a packet forged at any byte, number or path is refused (RFC 9001 section 5.3)`, () => {
        const random = makeRandom(7)
        const secret = secretOf(random)
        const keys = levelKeys(protection, suite, Version.v1, secret, secret)
        const packet: PlainPacket = {
          header: Uint8Array.of(0x41, 1, 2, 3, 4, 0, 9),
          pnLength: 2,
          payload: Uint8Array.of(1, 0, 0, 0, 5),
          pathId: 2,
          packetNumber: 9
        }
        const sealed = layOut([packet])
        keys.write!.seal(sealed, 0, 1)
        const open = (change: (burst: PacketBurst) => void): boolean => {
          const burst = asReceived(sealed)
          burst.pnLength[0] = packet.pnLength
          burst.packetNumber[0] = packet.packetNumber
          change(burst)
          return keys.read!.open(burst, 0)
        }
        assert.isTrue(open(() => {}))
        for (let i = 0; i < sealed.slab.length; i++) {
          for (const bit of [1, 0x80])
            assert.isFalse(
              open((burst) => (burst.slab[i]! ^= bit)),
              `byte ${i}`
            )
        }
        assert.isFalse(open((burst) => (burst.packetNumber[0] = 10)))
        assert.isFalse(open((burst) => (burst.packetNumber[0] = 9 + 2 ** 32)))
        assert.isFalse(open((burst) => (burst.pathId[0] = 0)))
        assert.isFalse(open((burst) => (burst.end[0] = burst.end[0]! - 1)))
        // Shorter than a tag: no exception either.
        for (let end = burstPayload(sealed); end < burstPayload(sealed) + 16; end++) {
          assert.isFalse(open((burst) => (burst.end[0] = end)))
        }
      })

      it(`${protection.name}: masks of a burst are those of each packet alone`, () => {
        const random = makeRandom(11)
        const secret = secretOf(random)
        const keys = levelKeys(protection, suite, Version.v1, secret, undefined)
        const slab = Uint8Array.from({ length: 3000 }, () => random(256))
        // A ChaCha20 sample whose block counter is the last one.
        slab.fill(0xff, 1000, 1004)
        const offsets = Int32Array.from({ length: 200 }, (_, i) => (i === 3 ? 1000 : random(2984)))
        const masks = new Uint8Array(200 * 16)
        keys.headerRead!.masks(slab, offsets, 200, masks)
        const single = new Uint8Array(16)
        for (let i = 0; i < 200; i++) {
          keys.headerRead!.masks(slab, offsets.subarray(i), 1, single)
          assert.strictEqual(hex(masks.subarray(16 * i, 16 * i + 5)), hex(single.subarray(0, 5)))
        }
        keys.headerRead!.masks(slab, offsets, 0, single)
      })
    }

    it("masks are the same, at the last block of ChaCha20 too", () => {
      const random = makeRandom(13)
      const secret = secretOf(random)
      const node = levelKeys(nodeProtection, suite, Version.v2, secret, undefined)
      const noble = levelKeys(nobleProtection, suite, Version.v2, secret, undefined)
      const slab = Uint8Array.from({ length: 64 }, () => random(256))
      slab.fill(0xff, 32, 36)
      const offsets = Int32Array.of(0, 7, 32)
      const one = new Uint8Array(48)
      const two = new Uint8Array(48)
      node.headerRead!.masks(slab, offsets, 3, one)
      noble.headerRead!.masks(slab, offsets, 3, two)
      for (let at = 0; at < 48; at += 16) {
        assert.strictEqual(hex(one.subarray(at, at + 5)), hex(two.subarray(at, at + 5)))
      }
    })
  })
}

const burstPayload = (burst: PacketBurst): number => burst.pnOffset[0]! + burst.pnLength[0]!

const part = (of: PacketBurst, i: number): string => hex(of.slab.subarray(of.start[i]!, of.end[i]!))

describe("bursts", () => {
  it("only packets from..to are touched", () => {
    const random = makeRandom(17)
    const secret = secretOf(random)
    const keys = levelKeys(nodeProtection, TLS_AES_128_GCM_SHA256, Version.v1, secret, secret)
    const packets = randomPackets(random, 5)
    const plain = layOut(packets)
    const burst = layOut(packets)
    protect(burst, 1, 3, keys.write!, keys.headerWrite!)
    for (const i of [0, 3, 4]) assert.strictEqual(part(burst, i), part(plain, i))
    for (const i of [1, 2]) assert.notStrictEqual(part(burst, i), part(plain, i))
    unprotectHeaders(burst, 1, 3, keys.headerRead!)
    for (const i of [1, 2]) {
      burst.packetNumber[i] = packets[i]!.packetNumber
      assert.isTrue(keys.read!.open(burst, i))
    }
  })

  it("a level without one of its secrets has no keys for that direction", () => {
    const secret = new Uint8Array(32).fill(3)
    const keys = levelKeys(nodeProtection, TLS_AES_128_GCM_SHA256, Version.v1, undefined, secret)
    assert.isUndefined(keys.read)
    assert.isUndefined(keys.headerRead)
    assert.isDefined(keys.write)
    closeLevelKeys(keys)
  })
})

describe("PacketProtection", () => {
  it.effect("is node:crypto by default", () =>
    Effect.gen(function* () {
      const protection = yield* PacketProtection.PacketProtection
      assert.strictEqual(protection.name, "node")
    })
  )

  it.effect("is what a layer provides", () =>
    Effect.gen(function* () {
      const name = Effect.map(PacketProtection.PacketProtection, (protection) => protection.name)
      assert.strictEqual(yield* Effect.provide(name, PacketProtection.layerNoble), "noble")
      assert.strictEqual(yield* Effect.provide(name, PacketProtection.layerNode), "node")
    })
  )
})
