import { assert, describe, it } from "@effect/vitest"
import { protect, SAMPLE_OFFSET, unprotectHeaders } from "../../src/internal/crypto/HeaderProtection.ts"
import { initialKeys, levelKeys } from "../../src/internal/crypto/LevelKeys.ts"
import { nobleProtection } from "../../src/internal/crypto/NobleProtection.ts"
import { nodeProtection } from "../../src/internal/crypto/NodeProtection.ts"
import { writeNonce } from "../../src/internal/crypto/Nonce.ts"
import {
  headerKeyBytes,
  initialSecrets,
  initialSuite,
  ivBytes,
  nextSecret,
  packetKeyBytes
} from "../../src/internal/crypto/PacketKeys.ts"
import { retryTag, verifyRetry } from "../../src/internal/crypto/RetryIntegrity.ts"
import { TLS_CHACHA20_POLY1305_SHA256 } from "../../src/internal/tls/CipherSuites.ts"
import { bytes, hex, layOut, received } from "./support.ts"
import { CLIENT_PAYLOAD, DCID, SERVER_PAYLOAD, vectors } from "./vectors.ts"

const protections = [nodeProtection, nobleProtection]

for (const vector of vectors) {
  const { version } = vector
  const other = vectors.find((each) => each !== vector)!

  describe(vector.name, () => {
    it("A.1: keys of Initial packets", () => {
      const secrets = initialSecrets(version, bytes(DCID))
      for (const side of ["client", "server"] as const) {
        const secret = secrets[side]
        assert.deepStrictEqual(
          {
            secret: hex(secret),
            key: hex(packetKeyBytes(initialSuite, version, secret)),
            iv: hex(ivBytes(initialSuite, version, secret)),
            hp: hex(headerKeyBytes(initialSuite, version, secret))
          },
          vector[side]
        )
      }
    })

    it("A.5: keys of ChaCha20, and of the next phase", () => {
      const suite = TLS_CHACHA20_POLY1305_SHA256
      const secret = bytes(vector.chacha.secret)
      assert.strictEqual(hex(packetKeyBytes(suite, version, secret)), vector.chacha.key)
      assert.strictEqual(hex(ivBytes(suite, version, secret)), vector.chacha.iv)
      assert.strictEqual(hex(headerKeyBytes(suite, version, secret)), vector.chacha.hp)
      assert.strictEqual(hex(nextSecret(suite, version, secret)), vector.chacha.ku)
      const nonce = new Uint8Array(12)
      writeNonce(nonce, bytes(vector.chacha.iv), 0, vector.chacha.packetNumber)
      assert.strictEqual(hex(nonce), vector.chacha.nonce)
    })

    for (const protection of protections) {
      describe(protection.name, () => {
        const initials = [
          {
            title: "A.2: client Initial",
            role: "client",
            peer: "server",
            pnLength: 4,
            packetNumber: 2,
            payload: CLIENT_PAYLOAD,
            ...vector.clientInitial
          },
          {
            title: "A.3: server Initial",
            role: "server",
            peer: "client",
            pnLength: 2,
            packetNumber: 1,
            payload: SERVER_PAYLOAD,
            ...vector.serverInitial
          }
        ] as const

        for (const { header, mask, packet, packetNumber, payload, peer, pnLength, role, title } of initials) {
          const pnOffset = header.length / 2 - pnLength

          it(`${title} is sealed`, () => {
            const burst = layOut([
              { header: bytes(header), pnLength, payload: bytes(payload), pathId: 0, packetNumber }
            ])
            const keys = initialKeys(protection, version, bytes(DCID), role)
            protect(burst, 0, 1, keys.write, keys.headerWrite)
            assert.strictEqual(hex(burst.slab), packet)
          })

          it(`${title} has the mask`, () => {
            const keys = initialKeys(protection, version, bytes(DCID), role)
            const masks = new Uint8Array(16)
            keys.headerWrite.masks(bytes(packet), Int32Array.of(pnOffset + SAMPLE_OFFSET), 1, masks)
            assert.strictEqual(hex(masks.subarray(0, 5)), mask)
          })

          it(`${title} is opened`, () => {
            const keys = initialKeys(protection, version, bytes(DCID), peer)
            const burst = received(bytes(packet), pnOffset)
            unprotectHeaders(burst, 0, 1, keys.headerRead)
            assert.strictEqual(burst.pnLength[0], pnLength)
            assert.strictEqual(burst.packetNumber[0], packetNumber)
            assert.isTrue(keys.read.open(burst, 0))
            assert.strictEqual(hex(burst.slab.subarray(0, -16)), header + payload)
          })

          it(`${title} is not opened by the other version's keys`, () => {
            const keys = initialKeys(protection, other.version, bytes(DCID), peer)
            const burst = received(bytes(packet), pnOffset)
            unprotectHeaders(burst, 0, 1, keys.headerRead)
            assert.isFalse(keys.read.open(burst, 0))
          })
        }

        it("A.4: Retry tag", () => {
          const packet = bytes(vector.retry)
          const tag = retryTag(protection, version, bytes(DCID), packet.subarray(0, -16))
          assert.strictEqual(hex(tag), vector.retry.slice(-32))
          assert.isTrue(verifyRetry(protection, version, bytes(DCID), packet))
        })

        it("A.4: a Retry that differs anywhere is refused", () => {
          const packet = bytes(vector.retry)
          for (let i = 0; i < packet.length; i++) {
            const forged = packet.slice()
            forged[i]! ^= 1
            assert.isFalse(verifyRetry(protection, version, bytes(DCID), forged), `byte ${i}`)
          }
          assert.isFalse(verifyRetry(protection, version, bytes("8394c8f03e515709"), packet))
          assert.isFalse(verifyRetry(protection, other.version, bytes(DCID), packet))
          assert.isFalse(verifyRetry(protection, version, bytes(DCID), packet.subarray(0, 15)))
        })

        it("A.5: ChaCha20 short header packet, both ways", () => {
          const { header, mask, packet, packetNumber, payload, secret } = vector.chacha
          const keys = levelKeys(protection, TLS_CHACHA20_POLY1305_SHA256, version, bytes(secret), bytes(secret))
          const sent = layOut([
            { header: bytes(header), pnLength: 3, payload: bytes(payload), pathId: 0, packetNumber }
          ])
          protect(sent, 0, 1, keys.write!, keys.headerWrite!)
          assert.strictEqual(hex(sent.slab), packet)

          const masks = new Uint8Array(16)
          keys.headerRead!.masks(bytes(packet), Int32Array.of(1 + SAMPLE_OFFSET), 1, masks)
          assert.strictEqual(hex(masks.subarray(0, 5)), mask)

          const burst = received(bytes(packet), 1)
          unprotectHeaders(burst, 0, 1, keys.headerRead!)
          assert.strictEqual(burst.pnLength[0], 3)
          assert.strictEqual(burst.packetNumber[0], packetNumber % 2 ** 24)
          burst.packetNumber[0] = packetNumber
          assert.isTrue(keys.read!.open(burst, 0))
          assert.strictEqual(hex(burst.slab.subarray(0, -16)), header + payload)
        })
      })
    }
  })
}

const nonce = (iv: string, pathId: number, packetNumber: number): string => {
  const out = new Uint8Array(iv.length / 2)
  writeNonce(out, bytes(iv), pathId, packetNumber)
  return hex(out)
}

describe("nonce (draft-21 section 2.4)", () => {
  const zero = "00".repeat(12)

  it("NON-3: the draft's vector", () => {
    assert.strictEqual(nonce("6b26114b9cba2b63a9e8dd4f", 3, 54321), "6b2611489cba2b63a9e8097e")
  })

  it("NON-1: 32-bit path ID and 62-bit packet number, big endian", () => {
    assert.strictEqual(nonce(zero, 0x01020304, 0x05060708), "010203040000000005060708")
    assert.strictEqual(nonce(zero, 2 ** 32 - 1, 0), "ffffffff0000000000000000")
    assert.strictEqual(nonce(zero, 0, 2 ** 53 - 1), "00000000001fffffffffffff")
    assert.strictEqual(nonce(zero, 0x80000000, 2 ** 32 + 2 ** 31 + 1), "800000000000000180000001")
    assert.strictEqual(nonce(zero, 7, 0x12345_89abcdef), "000000070001234589abcdef")
  })

  it("NON-2: a longer IV keeps its first bytes", () => {
    assert.strictEqual(nonce("a1a2" + zero, 3, 54321), "a1a200000003000000000000d431")
  })

  it("NON-4: path 0 is the nonce of RFC 9001", () => {
    const iv = bytes("fa044b2f42a3fd3b46fb255c")
    for (const packetNumber of [0, 1, 255, 65536, 2 ** 31, 2 ** 40 + 3]) {
      const plain = iv.slice()
      const view = new DataView(plain.buffer)
      view.setBigUint64(4, view.getBigUint64(4) ^ BigInt(packetNumber))
      assert.strictEqual(nonce(hex(iv), 0, packetNumber), hex(plain))
    }
  })
})
