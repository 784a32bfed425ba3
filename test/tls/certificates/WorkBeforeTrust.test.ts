/** What certificates of a stranger can make us do and keep: counted, not timed. */
import { assert, describe, it, vi } from "@effect/vitest"
import { AsnConvert } from "@peculiar/asn1-schema"
import {
  AttributeTypeAndValue,
  AttributeValue,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo
} from "@peculiar/asn1-x509"
import { createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto"
import { CertificateCache } from "../../../src/internal/tls/certificates/CertificateCache.ts"
import { DerReader } from "../../../src/internal/tls/certificates/Der.ts"
import { generateKey } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import type { Issued } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import { MAX_CERTIFICATE, parseCertificate } from "../../../src/internal/tls/certificates/ParsedCertificate.ts"
import { readPublicKey } from "../../../src/internal/tls/certificates/PublicKey.ts"
import { TrustStore } from "../../../src/internal/tls/certificates/TrustStore.ts"
import { verifyChain } from "../../../src/internal/tls/certificates/VerifyChain.ts"
import { encodeCertificate, HandshakeType } from "../../../src/internal/tls/Messages.ts"
import { assertAlert, replacing } from "../tampering.ts"
import { intermediate, issue, key, leaf, NOW, reissue, root, verdict, verify } from "./Fixtures.ts"

/** A SubjectPublicKeyInfo of RSA with all bits of modulus and exponent set: nobody needs to hold the private key. */
const rsa = (modulusBits: number, exponentBits: number): SubjectPublicKeyInfo => {
  const number = (bits: number) => {
    const bytes = Buffer.alloc(Math.ceil(bits / 8), 0xff)
    if (bits % 8 !== 0) bytes[0] = (1 << (bits % 8)) - 1
    return bytes.toString("base64url")
  }
  const jwk = { kty: "RSA", n: number(modulusBits), e: number(exponentBits) }
  const der = createPublicKey({ key: jwk, format: "jwk" }).export({ format: "der", type: "spki" })
  return AsnConvert.parse(der, SubjectPublicKeyInfo)
}

const withKey = (issued: Issued, signer: Issued, spki: SubjectPublicKeyInfo): Issued =>
  reissue(issued, signer, ({ tbsCertificate }) => {
    tbsCertificate.subjectPublicKeyInfo = spki
  })

/** Runs with OpenSSL watched: the keys that signatures were checked with, and the certificates that it was given. */
const watched = <A>(work: () => A) => {
  const verifying = vi.spyOn(X509Certificate.prototype, "verify")
  try {
    const result = work()
    return { result, keys: verifying.mock.calls.map(([publicKey]) => publicKey) }
  } finally {
    verifying.mockRestore()
  }
}

/** How many values of DER were read. */
const valuesRead = (work: () => void): number => {
  const spy = vi.spyOn(DerReader.prototype, "next")
  try {
    work()
    return spy.mock.calls.length
  } finally {
    spy.mockRestore()
  }
}

describe("B3: signatures checked for a stranger", () => {
  const hostile = rsa(3072, 3071)

  it("B3: authorities that lead to no anchor cost none", () => {
    const theirs = root({ subject: "Theirs" })
    const fakes = Array.from({ length: 31 }, () => withKey(intermediate(theirs), theirs, hostile))
    const { keys, result } = watched(() => verify({ anchors: [root()], chain: [leaf(intermediate(theirs)), ...fakes] }))
    assert.strictEqual(verdict(result), "48 unknownAuthority")
    assert.strictEqual(keys.length, 0)
  })

  it("B3: authorities in the name of the anchor cost four, and only with keys that are trusted", () => {
    const anchor = root()
    const impostor = root()
    // Good keys with which nothing is wrong but that the anchor did not sign them.
    const fakes = Array.from({ length: 31 }, () => intermediate(impostor))
    const { keys, result } = watched(() => verify({ anchors: [anchor], chain: [leaf(fakes[0]), ...fakes] }))
    assert.strictEqual(verdict(result), "42 badSignature")
    assert.strictEqual(keys.length, 4)
    const trusted = createPublicKey(anchor.privateKey)
    for (const used of keys) assert.isTrue(used.equals(trusted))
  })

  it("B3: all of one name, each of which may have issued each other", () => {
    const anchor = root({ subject: "Same" })
    const same = Array.from({ length: 31 }, () =>
      issue({ subject: "Same", key: key(), authority: {}, issuer: root({ subject: "Same" }) })
    )
    const { keys, result } = watched(() => verify({ anchors: [anchor], chain: [leaf(same[0]), ...same] }))
    assert.isDefined(result)
    assert.isAtMost(keys.length, 4)
  })

  it("B3: true authorities sent along with a false leaf do not multiply the work", () => {
    const anchor = root()
    const middles = Array.from({ length: 31 }, () => intermediate(anchor))
    const { keys, result } = watched(() =>
      verify({ anchors: [anchor], chain: [leaf(intermediate(root())), ...middles] })
    )
    assert.strictEqual(verdict(result), "42 badSignature")
    assert.isAtMost(keys.length, 12)
  })

  it("B3: the authority whose key the leaf names is tried first", () => {
    const anchors = Array.from({ length: 20 }, () => root())
    for (const anchor of [anchors[0]!, anchors[19]!]) {
      const { keys, result } = watched(() => verify({ anchors, chain: [leaf(anchor)] }))
      assert.isUndefined(result)
      assert.strictEqual(keys.length, 1)
    }
  })

  for (const [name, spki, said] of [
    ["an exponent of 3071 bits", hostile, "exponent has 3071 bits"],
    ["an exponent of 34 bits", rsa(2048, 34), "exponent has 34 bits"],
    ["a modulus of 16384 bits", rsa(16_384, 17), "16384 bits"]
  ] as const) {
    it(`B3: RSA keys with ${name} are refused before they are used`, () => {
      const anchor = root()
      const middle = withKey(intermediate(anchor), anchor, spki)
      const end = withKey(leaf(anchor), anchor, spki)
      for (const chain of [[end], [leaf(intermediate(root())), middle]]) {
        const { keys, result } = watched(() => verify({ anchors: [anchor], chain }))
        assert.strictEqual(verdict(result), "42 badSignature")
        assert.include(result?.message, said)
        assert.strictEqual(keys.length, 0)
      }
      // Also where nobody judges the certificate: the key of the peer itself signs the handshake.
      const failure = replacing("server", HandshakeType.certificate, () => encodeCertificate([end.certificate]))
      assertAlert(failure, 42)
      assert.include(failure?.message, said)
    })
  }

  it("B3: exponents of 33 bits and moduli of 8192 are not refused", () => {
    const anchor = root()
    for (const spki of [rsa(2048, 33), rsa(8192, 17)]) {
      const end = withKey(leaf(anchor), anchor, spki)
      assert.isUndefined(verify({ anchors: [anchor], chain: [end] }))
      assert.isNotString(readPublicKey(end.certificate))
    }
  })

  it("B10: elliptic curve keys with parameters of their own are refused (RFC 5480 section 2.1.1)", () => {
    const anchor = root()
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" })
    const end = leaf(anchor, { key: privateKey })
    const failure = verify({ anchors: [anchor], chain: [end] })
    assert.strictEqual(verdict(failure), "42 badSignature")
    assert.include(failure?.message, "instead of a named curve")
    assert.include(readPublicKey(end.certificate), "instead of a named curve")
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(anchor, { key: generateKey("ecdsa") })] }))
  })
})

describe("B5: what is read and kept of a stranger", () => {
  const judge = (cache: CertificateCache, anchor: Issued, chain: ReadonlyArray<Issued>) =>
    verifyChain(
      { chain: chain.map(({ certificate }) => certificate), serverName: "a.example", usage: "serverAuth", now: NOW },
      new TrustStore([anchor.certificate]),
      cache
    )
  const anchor = root()
  const padding = (bytes: number) => [{ id: "1.2.3.4", critical: false, value: new Uint8Array(bytes) }]

  it("B5: nothing of a chain that is refused", () => {
    const cache = new CertificateCache()
    const middle = intermediate(anchor)
    for (let i = 0; i < 16; i++) {
      const stranger = intermediate(root(), { extensions: padding(5000) })
      assert.isDefined(judge(cache, anchor, [leaf(stranger), stranger, middle]))
    }
    // Refused by its name although the chain is good.
    assert.isDefined(judge(cache, anchor, [leaf(middle, { names: ["b.example"] }), middle]))
    assert.strictEqual(cache.bytes, 0)
  })

  it("B5: of a chain that is accepted only what leads to the anchor", () => {
    const cache = new CertificateCache()
    const middle = intermediate(anchor)
    const end = leaf(middle)
    assert.isUndefined(judge(cache, anchor, [end, middle, intermediate(root(), { subject: "Stranger" })]))
    assert.strictEqual(cache.bytes, end.certificate.length + middle.certificate.length)
    assert.strictEqual(cache.parse(end.certificate), cache.parse(end.certificate.slice()))
  })

  it("B5: never more than 256 kB, nor single certificates above 8 kB", () => {
    const cache = new CertificateCache()
    for (let i = 0; i < 100; i++) {
      assert.isUndefined(judge(cache, anchor, [leaf(anchor, { extensions: padding(5000) })]))
      assert.isAtMost(cache.bytes, 262_144)
    }
    const before = cache.bytes
    assert.isUndefined(judge(cache, anchor, [leaf(anchor, { extensions: padding(9000) })]))
    assert.strictEqual(cache.bytes, before)
  })

  it("B5: certificates above 32 kB, with 1025 names, 65 extensions or 65 attributes are not read", () => {
    const names = (count: number) => Array.from({ length: count }, (_, i) => (i === 0 ? "a.example" : `n${i}.x`))
    const extensions = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ id: `1.2.3.${i}`, critical: false, value: new Uint8Array(2) }))
    const attributes = (count: number) =>
      reissue(leaf(anchor), anchor, ({ tbsCertificate }) => {
        const value = new AttributeValue({ utf8String: "x" })
        for (let i = 1; i < count; i++) {
          tbsCertificate.subject.push(
            new RelativeDistinguishedName([new AttributeTypeAndValue({ type: "2.5.4.11", value })])
          )
        }
      })
    const read = (issued: Issued) => verdict(verify({ anchors: [anchor], chain: [issued] }))
    assert.strictEqual(read(leaf(anchor, { extensions: padding(MAX_CERTIFICATE) })), "42 malformed")
    assert.strictEqual(read(leaf(anchor, { extensions: padding(30_000) })), "accepted")
    assert.strictEqual(read(leaf(anchor, { names: names(1025) })), "42 malformed")
    assert.strictEqual(read(leaf(anchor, { names: names(1024) })), "accepted")
    // A leaf has five of its own.
    assert.strictEqual(read(leaf(anchor, { extensions: extensions(60) })), "42 malformed")
    assert.strictEqual(read(leaf(anchor, { extensions: extensions(59) })), "accepted")
    assert.strictEqual(read(attributes(65)), "42 malformed")
    assert.strictEqual(read(attributes(64)), "accepted")
    const long = { id: `1.2${".1".repeat(64)}`, critical: false, value: new Uint8Array(2) }
    assert.strictEqual(read(leaf(anchor, { extensions: [long] })), "42 malformed")
  })

  it("B5: to read a certificate takes fewer steps than it has bytes", () => {
    const names = Array.from({ length: 1024 }, (_, i) => `${i}`)
    const purposes = Array.from({ length: 64 }, () => "1.2")
    for (const issued of [leaf(anchor), leaf(anchor, { names, extendedKeyUsage: purposes })]) {
      const steps = valuesRead(() => assert.isFalse("problem" in parseCertificate(issued.certificate)))
      assert.isBelow(steps, issued.certificate.length / 4)
    }
  })

  it("B10: names of certificates in messages have no control characters and an end", () => {
    const forged = "x\r\n\u001b[31mforged\u202e"
    const failure = verify({ anchors: [anchor], chain: [leaf(undefined, { subject: `${forged}${"y".repeat(500)}` })] })
    assert.include(failure?.message, "x???[31mforged?yy")
    assert.isBelow(failure!.message.length, 400)
    const names = leaf(anchor, { subject: "", names: [forged, ...Array.from({ length: 9 }, () => "z".repeat(300))] })
    const other = verify({ anchors: [anchor], chain: [names] })
    assert.strictEqual(verdict(other), "42 nameMismatch")
    assert.include(other?.message, "and 6 more")
    assert.match(other!.message, /^[\x20-\x7e…]{1,500}$/)
  })

  it("B10: more than 32 certificates are refused whoever asks", () => {
    const middle = intermediate(anchor)
    const chain = (count: number) => [leaf(middle), ...Array.from({ length: count - 1 }, () => middle)]
    assert.isUndefined(verify({ anchors: [anchor], chain: chain(32) }))
    const failure = verify({ anchors: [anchor], chain: chain(33) })
    assert.strictEqual(verdict(failure), "42 malformed")
    assert.include(failure?.message, "33 certificates")
  })
})
