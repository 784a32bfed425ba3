import { assert, describe, it } from "@effect/vitest"
import { createPublicKey, X509Certificate } from "node:crypto"
import {
  ed25519FromSeed,
  generateKey,
  issueCertificate
} from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import { intermediate, issue, leaf, NOW, root } from "./Fixtures.ts"

const serial = (fill: number) =>
  new X509Certificate(
    issueCertificate({
      key: generateKey("ed25519"),
      subject: "Serial",
      notBefore: NOW,
      notAfter: NOW,
      random: (length) => new Uint8Array(length).fill(fill)
    }).certificate
  ).serialNumber

const once = () =>
  issueCertificate({
    key: ed25519FromSeed(new Uint8Array(32).fill(5)),
    subject: "Same",
    notBefore: 0,
    notAfter: NOW,
    random: (length) => new Uint8Array(length)
  }).certificate

describe("issued certificates, read by OpenSSL", () => {
  it("authorities, their signatures and their limits", () => {
    for (const kind of ["ecdsa", "ed25519", "rsa"] as const) {
      const anchor = root({ key: generateKey(kind) })
      const middle = intermediate(anchor, { key: generateKey(kind), authority: { pathLength: 0 } })
      const [above, below] = [anchor, middle].map(({ certificate }) => new X509Certificate(certificate))
      assert.isTrue(above?.ca)
      assert.isTrue(below?.checkIssued(above!), kind)
      assert.isTrue(below?.verify(above!.publicKey), kind)
      assert.isTrue(below?.checkPrivateKey(middle.privateKey), kind)
      assert.isTrue(above?.verify(createPublicKey(anchor.privateKey)), kind)
    }
  })

  it("names of every kind", () => {
    const names = ["a.example", "*.b.example", "bücher.example", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.2"]
    const certificate = new X509Certificate(leaf(root(), { names }).certificate)
    assert.strictEqual(certificate.checkHost("a.example"), "a.example")
    assert.strictEqual(certificate.checkHost("x.b.example"), "*.b.example")
    assert.strictEqual(certificate.checkHost("xn--bcher-kva.example"), "xn--bcher-kva.example")
    for (const ip of ["192.0.2.1", "2001:db8::1", "192.0.2.2"]) assert.strictEqual(certificate.checkIP(ip), ip)
    assert.isUndefined(certificate.checkHost("leaf"))
  })

  it("dates to the second, on both sides of 1970 and 2050, and a positive serial number", () => {
    const notBefore = Date.UTC(1965, 1, 2, 3, 4, 5)
    const notAfter = Date.UTC(2051, 1, 2, 3, 4, 5)
    const certificate = new X509Certificate(issue({ subject: "Long", notBefore, notAfter }).certificate)
    assert.strictEqual(Date.parse(certificate.validFrom), notBefore)
    assert.strictEqual(Date.parse(certificate.validTo), notAfter)
    assert.strictEqual(serial(0xff), `7F${"FF".repeat(15)}`)
    assert.strictEqual(serial(0), `40${"00".repeat(15)}`)
  })

  it("Ed25519: the same seed and options give the same bytes (RFC 8032)", () => {
    assert.deepStrictEqual(once(), once())
  })
})
