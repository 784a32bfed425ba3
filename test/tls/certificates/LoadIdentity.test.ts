import { assert, describe, it } from "@effect/vitest"
import { generateKey } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import { loadIdentity } from "../../../src/internal/tls/certificates/LoadIdentity.ts"
import type { IdentityProblem } from "../../../src/internal/tls/certificates/LoadIdentity.ts"
import { writePem } from "../../../src/internal/tls/certificates/Pem.ts"
import { intermediate, leaf, root } from "./Fixtures.ts"

const anchor = root()
const middle = intermediate(anchor)
const ecKey = generateKey("ecdsa")
const end = leaf(middle, { key: ecKey })
const chain = writePem("CERTIFICATE", end.certificate) + writePem("CERTIFICATE", middle.certificate)
const pkcs8 = ecKey.export({ format: "pem", type: "pkcs8" }) as string

const problemOf = (certificate: string, key: string): IdentityProblem => {
  const loaded = loadIdentity(certificate, key)
  return "problem" in loaded ? loaded : assert.fail("an identity was loaded")
}

describe("loading an identity from PEM", () => {
  it("a chain with a PKCS #8, SEC 1 or PKCS #1 key, Windows line ends too", () => {
    const sec1 = ecKey.export({ format: "pem", type: "sec1" }) as string
    const parameters = `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${sec1}`
    for (const key of [pkcs8, sec1, parameters, pkcs8.replaceAll("\n", "\r\n")]) {
      const identity = loadIdentity(chain.replaceAll("\n", "\r\n"), key)
      if ("problem" in identity) return assert.fail(identity.message)
      assert.deepStrictEqual(
        identity.certificates.map((der) => Buffer.from(der)),
        [Buffer.from(end.certificate), Buffer.from(middle.certificate)]
      )
      assert.isTrue(identity.privateKey.equals(ecKey))
    }
    const rsaKey = generateKey("rsa")
    const rsa = leaf(anchor, { key: rsaKey })
    const identity = loadIdentity(
      writePem("CERTIFICATE", rsa.certificate),
      rsaKey.export({ format: "pem", type: "pkcs1" }) as string
    )
    assert.isFalse("problem" in identity)
  })

  it("certificate and key in one text", () => {
    assert.isFalse("problem" in loadIdentity(pkcs8 + chain, pkcs8 + chain))
  })

  it("no certificate, and no key", () => {
    assert.strictEqual(problemOf("", pkcs8).problem, "noCertificate")
    assert.strictEqual(problemOf(pkcs8, pkcs8).problem, "noCertificate")
    const noKey = problemOf(chain, chain)
    assert.strictEqual(noKey.problem, "noKey")
    assert.strictEqual(noKey.source, "privateKey")
  })

  it("certificates and keys that do not parse", () => {
    const bad = problemOf(chain + writePem("CERTIFICATE", Uint8Array.of(1, 2, 3)), pkcs8)
    assert.strictEqual(bad.problem, "badCertificate")
    assert.include(bad.message, "3 of 3")
    assert.strictEqual(problemOf(chain, writePem("PRIVATE KEY", Uint8Array.of(1, 2, 3))).problem, "badKey")
  })

  it("encrypted keys say how to decrypt them", () => {
    const encrypted = ecKey.export({ format: "pem", type: "pkcs8", cipher: "aes-128-cbc", passphrase: "x" }) as string
    const failure = problemOf(chain, encrypted)
    assert.strictEqual(failure.problem, "encryptedKey")
    assert.include(failure.message, "openssl pkey")
    const old = ecKey.export({ format: "pem", type: "sec1", cipher: "aes-128-cbc", passphrase: "x" }) as string
    assert.strictEqual(problemOf(chain, old).problem, "encryptedKey")
  })

  it("a key of another certificate, and a chain with the leaf not first", () => {
    const other = generateKey("ecdsa").export({ format: "pem", type: "pkcs8" }) as string
    assert.strictEqual(problemOf(chain, other).problem, "keyMismatch")
    const turned = writePem("CERTIFICATE", middle.certificate) + writePem("CERTIFICATE", end.certificate)
    const failure = problemOf(turned, pkcs8)
    assert.strictEqual(failure.problem, "keyMismatch")
    assert.include(failure.message, "put that one first")
  })

  it("keys that no peer would accept", () => {
    const weak = generateKey("rsa", 1024)
    const failure = problemOf(
      writePem("CERTIFICATE", leaf(anchor, { key: weak }).certificate),
      weak.export({ format: "pem", type: "pkcs8" }) as string
    )
    assert.strictEqual(failure.problem, "unsupportedKey")
    assert.include(failure.message, "1024")
  })
})
