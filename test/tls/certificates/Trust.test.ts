import { assert, describe, it } from "@effect/vitest"
import { createHash, createPublicKey, X509Certificate } from "node:crypto"
import {
  fingerprintOf,
  insecure,
  parseFingerprint,
  trustPinned,
  trustRoots
} from "../../../src/internal/tls/certificates/Trust.ts"
import { writePem } from "../../../src/internal/tls/certificates/Pem.ts"
import { leaf, NOW, root, verdict } from "./Fixtures.ts"

const end = leaf(undefined)
const asked = {
  chain: [end.certificate],
  serverName: "unrelated.example",
  usage: "serverAuth",
  now: NOW * 10
} as const

const pinned = (...texts: ReadonlyArray<string>) =>
  trustPinned(texts.map((text) => parseFingerprint(text) ?? assert.fail(`not a hash: ${text}`)))

describe("pins", () => {
  const hex = fingerprintOf(end.certificate)
  const bytes = Buffer.from(hex, "hex")

  it("the SHA-256 of the certificate, in every form people write it", () => {
    const colons = new X509Certificate(end.certificate).fingerprint256
    const base64 = bytes.toString("base64")
    for (const form of [
      hex,
      hex.toUpperCase(),
      colons,
      base64,
      base64.replace("=", ""),
      bytes.toString("base64url"),
      `sha256/${base64}`,
      `sha256//${base64}`,
      `SHA256:${hex}`
    ]) {
      assert.isUndefined(pinned(form)(asked), form)
    }
  })

  it("the SHA-256 of the key, which outlives the certificate", () => {
    const spki = createPublicKey(end.privateKey).export({ format: "der", type: "spki" })
    assert.isUndefined(pinned(createHash("sha256").update(spki).digest("base64"))(asked))
  })

  it("another certificate is refused, and its hash told", () => {
    const failure = pinned("00".repeat(32))(asked)
    assert.strictEqual(verdict(failure), "46 pinMismatch")
    assert.include(failure?.message, hex)
    assert.strictEqual(verdict(trustPinned([])(asked)), "46 pinMismatch")
  })

  it("a pinned authority does not vouch for what it issued", () => {
    const anchor = root()
    const chain = [leaf(anchor).certificate, anchor.certificate]
    assert.strictEqual(verdict(pinned(fingerprintOf(anchor.certificate))({ ...asked, chain })), "46 pinMismatch")
  })

  it("garbage is refused", () => {
    assert.strictEqual(verdict(pinned(hex)({ ...asked, chain: [Uint8Array.of(1, 2)] })), "42 malformed")
  })

  it("what is no SHA-256 is no pin", () => {
    for (const text of ["", "00", "zz".repeat(32), "00".repeat(20), "sha256/AAAA"]) {
      assert.isUndefined(parseFingerprint(text), text)
    }
  })
})

describe("own roots", () => {
  it("PEM with several certificates and text between, DER, and both together", () => {
    const one = root({ subject: "One" })
    const two = root({ subject: "Two" })
    const three = root({ subject: "Three" })
    const pem = `# ours\n${writePem("CERTIFICATE", one.certificate)}\nand\n${writePem("CERTIFICATE", two.certificate)}`
    const verifier = trustRoots([pem, three.certificate])
    if (typeof verifier !== "function") return assert.fail(verifier.problem)
    for (const anchor of [one, two, three]) {
      const failure = verifier({ ...asked, chain: [leaf(anchor).certificate], serverName: "a.example", now: NOW })
      assert.isUndefined(failure)
    }
  })

  it("lists without a certificate, or with something else, are said to be so", () => {
    const nothing = trustRoots(["no PEM here"])
    assert.include("problem" in nothing ? nothing.problem : "", "BEGIN CERTIFICATE")
    const other = trustRoots([root().certificate, Uint8Array.of(1, 2, 3)])
    assert.include("problem" in other ? other.problem : "", "2 of 2")
    const huge = root({ extensions: [{ id: "1.2.3.4", critical: false, value: new Uint8Array(40_000) }] })
    const unread = trustRoots([huge.certificate])
    assert.include("problem" in unread ? unread.problem : "", "at most 32768")
    assert.isFunction(trustRoots([huge.certificate, root().certificate]))
  })
})

it("insecure accepts anything, as its name says", () => {
  assert.isUndefined(insecure()({ ...asked, chain: [Uint8Array.of(0)] }))
})
