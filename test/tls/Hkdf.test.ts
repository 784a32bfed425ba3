import { assert, describe, it } from "@effect/vitest"
import { hkdfSync } from "node:crypto"
import { cipherSuite, cipherSuites } from "../../src/internal/tls/CipherSuites.ts"
import { hkdfExpand, hkdfExpandLabel, hkdfExtract } from "../../src/internal/tls/Hkdf.ts"
import { hashLength } from "../../src/internal/tls/Hmac.ts"

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ""), "hex"))
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex")
const none = new Uint8Array(0)

describe("HKDF (RFC 5869)", () => {
  it("appendix A.1: SHA-256", () => {
    const prk = hkdfExtract("sha256", bytes("000102030405060708090a0b0c"), new Uint8Array(22).fill(0x0b))
    assert.strictEqual(hex(prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    assert.strictEqual(
      hex(hkdfExpand("sha256", prk, bytes("f0f1f2f3f4f5f6f7f8f9"), 42)),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
  })

  it("appendix A.3: empty salt and info", () => {
    const prk = hkdfExtract("sha256", none, new Uint8Array(22).fill(0x0b))
    assert.strictEqual(hex(prk), "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04")
    assert.strictEqual(
      hex(hkdfExpand("sha256", prk, none, 42)),
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
  })

  it("agrees with OpenSSL for both hashes and every length up to five digests", () => {
    const ikm = bytes("00112233445566778899aabbccddeeff")
    const salt = bytes("0102030405")
    const info = bytes("a0a1a2")
    for (const hash of ["sha256", "sha384"] as const) {
      const prk = hkdfExtract(hash, salt, ikm)
      assert.strictEqual(prk.length, hashLength(hash))
      const longest = new Uint8Array(hkdfSync(hash, ikm, salt, info, 5 * hashLength(hash)))
      for (let length = 1; length <= longest.length; length++) {
        assert.strictEqual(hex(hkdfExpand(hash, prk, info, length)), hex(longest.subarray(0, length)))
      }
    }
  })
})

describe("HKDF-Expand-Label (RFC 8446 section 7.1)", () => {
  // RFC 8448 section 3: the "derived" secret of the early secret, and the key and finished key of the server's handshake.
  it("RFC 8448: derived secret, with a transcript hash as context", () => {
    const early = hkdfExtract("sha256", new Uint8Array(32), new Uint8Array(32))
    assert.strictEqual(hex(early), "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
    const emptyHash = bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert.strictEqual(
      hex(hkdfExpandLabel("sha256", early, "derived", emptyHash, 32)),
      "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"
    )
  })

  it("RFC 8448: traffic key and IV, shorter than a digest", () => {
    const secret = bytes("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    assert.strictEqual(hex(hkdfExpandLabel("sha256", secret, "key", none, 16)), "3fce516009c21727d0f2e4e86ee403bc")
    assert.strictEqual(hex(hkdfExpandLabel("sha256", secret, "iv", none, 12)), "5d313eb2671276ee13000b30")
  })

  it("results do not share memory with later calls", () => {
    const secret = new Uint8Array(48).fill(7)
    const first = hkdfExpandLabel("sha384", secret, "quic key", none, 32)
    const kept = hex(first)
    hkdfExpandLabel("sha384", secret, "quic iv", none, 12)
    assert.strictEqual(hex(first), kept)
  })
})

describe("cipher suites (RFC 8446 appendix B.4)", () => {
  it("are found by number", () => {
    for (const suite of cipherSuites) assert.strictEqual(cipherSuite(suite.id), suite)
    assert.deepStrictEqual(
      cipherSuites.map((suite) => [suite.id, suite.aead, suite.hash, suite.keyLength]),
      [
        [0x1301, "aes-128-gcm", "sha256", 16],
        [0x1302, "aes-256-gcm", "sha384", 32],
        [0x1303, "chacha20-poly1305", "sha256", 32]
      ]
    )
  })

  it("others are not", () => {
    for (const id of [0, 0x1300, 0x1304, 0x1305, 0xc02f, 0xffff]) assert.isUndefined(cipherSuite(id))
  })
})
