import { assert, describe, it } from "@effect/vitest"
import { createHash, createHmac } from "node:crypto"
import { digest, hmac } from "../../src/internal/tls/Hmac.ts"

const sequence = (length: number, first: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (first + 7 * index) & 0xff)
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex")

describe("HMAC by one-shot digests", () => {
  it("agrees with OpenSSL for keys shorter than a block, as long and longer, and for messages of any length", () => {
    for (const hash of ["sha256", "sha384"] as const) {
      for (const keyLength of [0, 1, 20, 32, 48, 63, 64, 65, 127, 128, 129, 300]) {
        for (const length of [0, 1, 32, 55, 64, 256, 257, 1000, 3]) {
          const key = sequence(keyLength, 3)
          const message = sequence(length, 200)
          assert.strictEqual(hex(hmac(hash, key, message)), createHmac(hash, key).update(message).digest("hex"))
        }
      }
    }
  })

  it("digests keep their bytes when others are made", () => {
    const first = digest("sha256", sequence(10, 1))
    digest("sha256", sequence(10, 2))
    hmac("sha256", sequence(10, 3), sequence(10, 4))
    assert.strictEqual(hex(first), createHash("sha256").update(sequence(10, 1)).digest("hex"))
  })
})
