import { assert, describe, it, vi } from "@effect/vitest"
import { AlgorithmIdentifier, Version } from "@peculiar/asn1-x509"
import { constants, generateKeyPairSync, sign, X509Certificate } from "node:crypto"
import { getCACertificates } from "node:tls"
import { generateKey } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import type { Issued } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import { systemTrust, trustRoots } from "../../../src/internal/tls/certificates/Trust.ts"
import { systemTrustStore } from "../../../src/internal/tls/certificates/TrustStore.ts"
import { readPemCertificates } from "../../../src/internal/tls/certificates/Pem.ts"
import { parseCertificate } from "../../../src/internal/tls/certificates/ParsedCertificate.ts"
import { intermediate, issue, key, leaf, NOW, reissue, root, verdict, verify } from "./Fixtures.ts"

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
const CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
const ANY_PURPOSE = "2.5.29.37.0"
const KEY_ENCIPHERMENT = 4
const DIGITAL_SIGNATURE = 1

const versionOne = (issued: Issued, signer = issued): Issued =>
  reissue(issued, signer, ({ tbsCertificate }) => {
    tbsCertificate.version = Version.v1
    delete tbsCertificate.extensions
  })

/** RSASSA-PSS-params: SHA-256, MGF1 with SHA-256, 32 bytes of salt. */
const PSS_SHA256 = Buffer.from(
  "3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
  "hex"
)

/** A leaf that an RSA root signed with RSA-PSS. */
const withPss = (parameters: Uint8Array, hash: string, saltLength: number) => {
  const anchor = root({ key: generateKey("rsa") })
  const algorithm = new AlgorithmIdentifier({
    algorithm: "1.2.840.113549.1.1.10",
    parameters: new Uint8Array(parameters).buffer
  })
  const end = reissue(
    leaf(anchor),
    anchor,
    (certificate) => {
      certificate.signatureAlgorithm = algorithm
      certificate.tbsCertificate.signature = algorithm
    },
    (bytes) => sign(hash, bytes, { key: anchor.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
  )
  return { anchor, end }
}

describe("accepted (RFC 5280 section 6)", () => {
  it("a leaf that the root issued", () => {
    const anchor = root()
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(anchor)] }))
  })

  it("a chain with two intermediates, and the root sent along", () => {
    const anchor = root()
    const one = intermediate(anchor, { subject: "One" })
    const two = intermediate(one, { subject: "Two" })
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(two), two, one, anchor] }))
  })

  it("intermediates out of order, doubled, and among strangers", () => {
    const anchor = root()
    const one = intermediate(anchor, { subject: "One" })
    const two = intermediate(one, { subject: "Two" })
    const stranger = intermediate(root({ subject: "Elsewhere" }), { subject: "Stranger" })
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(two), one, stranger, one, two, two] }))
  })

  it("garbage after the leaf is passed over", () => {
    const anchor = root()
    const garbage = { ...anchor, certificate: Uint8Array.of(0x30, 0x03, 1, 2, 3) }
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(anchor), garbage] }))
  })

  it("a self-signed certificate that is itself trusted, by its name", () => {
    const own = leaf(undefined)
    assert.isUndefined(verify({ anchors: [own], chain: [own] }))
    assert.strictEqual(verdict(verify({ anchors: [own], chain: [own], serverName: "b.example" })), "42 nameMismatch")
  })

  it("the good one of two intermediates of one name, whichever comes first", () => {
    const anchor = root()
    const shared = key()
    const expired = intermediate(anchor, { key: shared, notAfter: NOW - 1000 })
    const good = intermediate(anchor, { key: shared })
    const end = leaf(good)
    assert.isUndefined(verify({ anchors: [anchor], chain: [end, expired, good] }))
    assert.isUndefined(verify({ anchors: [anchor], chain: [end, good, expired] }))
  })

  it("the right one of two anchors of one name", () => {
    const old = root()
    const current = root()
    assert.isUndefined(verify({ anchors: [old, current], chain: [leaf(current)] }))
  })

  it("ECDSA and RSA chains", () => {
    const anchor = root({ key: generateKey("rsa") })
    const middle = intermediate(anchor, { key: generateKey("ecdsa"), hash: "sha384" })
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(middle, { key: generateKey("ecdsa") }), middle] }))
  })

  it("a client's certificate without a name", () => {
    const anchor = root()
    const client = leaf(anchor, { names: [], extendedKeyUsage: [CLIENT_AUTH] })
    assert.isUndefined(verify({ anchors: [anchor], chain: [client], usage: "clientAuth" }))
  })

  it("leaves without key usage and extended key usage, or with any purpose", () => {
    const anchor = root()
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(anchor, { keyUsage: "none", extendedKeyUsage: [] })] }))
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(anchor, { extendedKeyUsage: [ANY_PURPOSE] })] }))
  })

  it("an extension that is unknown and not critical", () => {
    const anchor = root()
    const extensions = [{ id: "1.2.3.4", critical: false, value: Uint8Array.of(5, 0) }]
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(anchor, { extensions })] }))
  })

  it("a policy that is critical, which says nothing against anyone (RFC 5280 section 6.1)", () => {
    const anchor = root()
    const anyPolicy = Uint8Array.of(0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00)
    const middle = intermediate(anchor, { extensions: [{ id: "2.5.29.32", critical: true, value: anyPolicy }] })
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(middle), middle] }))
  })

  it("RSA-PSS with SHA-256 (RFC 4055 section 3.1)", () => {
    const { anchor, end } = withPss(PSS_SHA256, "sha256", 32)
    assert.isUndefined(verify({ anchors: [anchor], chain: [end] }))
  })

  it("an anchor from before version 3, which trusting makes an authority", () => {
    const old = versionOne(root())
    assert.isUndefined(verify({ anchors: [old], chain: [leaf(old)] }))
  })

  it("bytes that the caller uses again later do not change what was read", () => {
    const own = leaf(undefined)
    const verifier = trustRoots([own.certificate])
    if (typeof verifier !== "function") return assert.fail(verifier.problem)
    const ask = (der: Uint8Array) => verifier({ chain: [der], serverName: "a.example", usage: "serverAuth", now: NOW })
    const buffer = own.certificate.slice()
    assert.isUndefined(ask(buffer))
    buffer.fill(0)
    assert.isUndefined(ask(own.certificate))
  })

  it("on the first and on the last second of its dates", () => {
    const anchor = root()
    const end = leaf(anchor, { notBefore: NOW, notAfter: NOW })
    assert.isUndefined(verify({ anchors: [anchor], chain: [end] }))
  })

  it("B10: the last second is valid to its end (RFC 5280 section 4.1.2.5)", () => {
    const anchor = root()
    const end = leaf(anchor, { notAfter: NOW })
    assert.isUndefined(verify({ anchors: [anchor], chain: [end], now: NOW + 999 }))
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [end], now: NOW + 1000 })), "45 expired")
  })
})

describe("refused: trust and signatures", () => {
  it("an unknown authority (unknown_ca)", () => {
    const failure = verify({ anchors: [root()], chain: [leaf(root({ subject: "Elsewhere" }))] })
    assert.strictEqual(verdict(failure), "48 unknownAuthority")
    // The peer hears what is wrong; what our user can do about it stays here.
    assert.include(failure?.advice, "Tls.layerTrustRoots")
    assert.notInclude(failure?.message, "layer")
  })

  it("a self-signed certificate says that it is one", () => {
    const failure = verify({ anchors: [root()], chain: [leaf(undefined)] })
    assert.strictEqual(verdict(failure), "48 unknownAuthority")
    assert.include(failure?.message, "self-signed")
  })

  it("a chain whose intermediate was not sent", () => {
    const anchor = root()
    const failure = verify({ anchors: [anchor], chain: [leaf(intermediate(anchor))] })
    assert.strictEqual(verdict(failure), "48 unknownAuthority")
    assert.include(failure?.message, '"Leaf"')
  })

  it("a root that only the peer vouches for", () => {
    const theirs = root({ subject: "Theirs" })
    assert.strictEqual(verdict(verify({ anchors: [root()], chain: [leaf(theirs), theirs] })), "48 unknownAuthority")
  })

  it("an impostor with the name of the authority", () => {
    const failure = verify({ anchors: [root()], chain: [leaf(root())] })
    assert.strictEqual(verdict(failure), "42 badSignature")
  })

  it("a leaf of which one bit was changed", () => {
    const anchor = root()
    const end = leaf(anchor)
    const bytes = end.certificate.slice()
    const at = Buffer.from(bytes).indexOf("a.example")
    bytes[at] = "b".charCodeAt(0)
    const failure = verify({ anchors: [anchor], chain: [{ ...end, certificate: bytes }], serverName: "b.example" })
    assert.strictEqual(verdict(failure), "42 badSignature")
  })

  it("an intermediate that the root did not sign", () => {
    const anchor = root()
    const forged = intermediate(root())
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [leaf(forged), forged] })), "42 badSignature")
  })

  it("SHA-1 signatures, on leaves and intermediates, but not the root's own", () => {
    const rsa = root({ key: generateKey("rsa"), hash: "sha1" })
    const weakLeaf = verify({ anchors: [rsa], chain: [leaf(rsa, { hash: "sha1" })] })
    assert.strictEqual(verdict(weakLeaf), "42 badSignature")
    assert.include(weakLeaf?.message, "SHA-1")
    const weakMiddle = intermediate(rsa, { hash: "sha1" })
    assert.strictEqual(verdict(verify({ anchors: [rsa], chain: [leaf(weakMiddle), weakMiddle] })), "42 badSignature")
    assert.isUndefined(verify({ anchors: [rsa], chain: [leaf(rsa)] }))
  })

  it("RSA-PSS with SHA-1, which is its default", () => {
    const { anchor, end } = withPss(Uint8Array.of(0x30, 0x00), "sha1", 20)
    const failure = verify({ anchors: [anchor], chain: [end] })
    assert.strictEqual(verdict(failure), "42 badSignature")
    assert.include(failure?.message, "SHA-1")
  })

  it("keys on curves that nobody checks well", () => {
    const anchor = root()
    const odd = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey
    const failure = verify({ anchors: [anchor], chain: [leaf(anchor, { key: odd })] })
    assert.strictEqual(verdict(failure), "42 badSignature")
    assert.include(failure?.message, "secp256k1")
  })

  it("two different signature algorithms in one certificate (RFC 5280 section 4.1.1.2)", () => {
    const anchor = root()
    const end = reissue(leaf(anchor), anchor, ({ tbsCertificate }) => {
      tbsCertificate.signature = new AlgorithmIdentifier({ algorithm: "1.3.101.113" })
    })
    const failure = verify({ anchors: [anchor], chain: [end] })
    assert.strictEqual(verdict(failure), "42 malformed")
    assert.include(failure?.message, "two different signature algorithms")
  })

  it("extensions in a certificate of another version than 3 (RFC 5280 section 4.1.2.1)", () => {
    const anchor = root()
    const end = reissue(leaf(anchor), anchor, ({ tbsCertificate }) => {
      tbsCertificate.version = Version.v2
    })
    const failure = verify({ anchors: [anchor], chain: [end] })
    assert.strictEqual(verdict(failure), "42 malformed")
    assert.include(failure?.message, "version 3")
  })

  it("lengths that DER writes shorter (X.690 section 10.1)", () => {
    const anchor = root()
    const end = leaf(anchor)
    const [tag, form, high, low] = end.certificate
    assert.strictEqual(form, 0x82)
    const certificate = Buffer.concat([Buffer.of(tag!, 0x83, 0, high!, low!), end.certificate.subarray(4)])
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [{ ...end, certificate }] })), "42 malformed")
  })

  it("RSA keys under 2048 bits, of leaves, intermediates and roots", () => {
    const anchor = root()
    const weak = generateKey("rsa", 1024)
    const failure = verify({ anchors: [anchor], chain: [leaf(anchor, { key: weak })] })
    assert.strictEqual(verdict(failure), "42 badSignature")
    assert.include(failure?.message, "1024")
    const middle = intermediate(anchor, { key: weak })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [leaf(middle), middle] })), "42 badSignature")
    const weakRoot = root({ key: weak })
    assert.strictEqual(verdict(verify({ anchors: [weakRoot], chain: [leaf(weakRoot)] })), "42 badSignature")
  })

  it("bytes that are no certificate, cut ones, and ones with more behind", () => {
    const anchor = root()
    const end = leaf(anchor)
    const judge = (certificate: Uint8Array) => verdict(verify({ anchors: [anchor], chain: [{ ...end, certificate }] }))
    assert.strictEqual(judge(new Uint8Array(0)), "42 malformed")
    assert.strictEqual(judge(Uint8Array.of(0x30, 0x80, 0, 0)), "42 malformed")
    assert.strictEqual(judge(end.certificate.subarray(0, 100)), "42 malformed")
    assert.strictEqual(judge(Buffer.concat([end.certificate, Buffer.of(0)])), "42 malformed")
    assert.strictEqual(judge(Buffer.from("-----BEGIN CERTIFICATE-----")), "42 malformed")
  })

  it("no byte that is changed makes it throw", () => {
    const anchor = root()
    const end = leaf(anchor)
    for (let at = 0; at < end.certificate.length; at++) {
      const certificate = end.certificate.slice()
      certificate[at] = certificate[at]! ^ 0xff
      assert.isDefined(verify({ anchors: [anchor], chain: [{ ...end, certificate }] }), `byte ${at}`)
    }
  })
})

describe("refused: dates (RFC 5280 section 4.1.2.5)", () => {
  it("expired, and not yet valid, with the dates in the message", () => {
    const anchor = root()
    const expired = verify({ anchors: [anchor], chain: [leaf(anchor, { notAfter: NOW - 1000 })] })
    assert.strictEqual(verdict(expired), "45 expired")
    assert.include(expired?.message, "expired on 2026-01-14")
    const early = verify({ anchors: [anchor], chain: [leaf(anchor, { notBefore: NOW + 1000 })] })
    assert.strictEqual(verdict(early), "45 notYetValid")
    assert.include(early?.message, "check this clock")
  })

  it("an expired intermediate and an expired root", () => {
    const anchor = root()
    const middle = intermediate(anchor, { notAfter: NOW - 1000 })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [leaf(middle), middle] })), "45 expired")
    const old = root({ notAfter: NOW - 1000 })
    assert.strictEqual(verdict(verify({ anchors: [old], chain: [leaf(old)] })), "45 expired")
  })

  it("dates before 1970, after 2050 (GeneralizedTime) and at time 0", () => {
    const long = { notBefore: Date.UTC(1965, 0, 1), notAfter: Date.UTC(2120, 0, 1) }
    const anchor = root(long)
    const end = leaf(anchor, long)
    assert.isUndefined(verify({ anchors: [anchor], chain: [end], now: 0 }))
    assert.isUndefined(verify({ anchors: [anchor], chain: [end], now: Date.UTC(2119, 0, 1) }))
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [end], now: Date.UTC(2121, 0, 1) })), "45 expired")
  })
})

describe("refused: authorities (RFC 5280 sections 4.2.1.3, 4.2.1.9)", () => {
  it("an issuer that is no authority", () => {
    const anchor = root()
    const end = leaf(anchor)
    const below = leaf(end, { subject: "Below" })
    const failure = verify({ anchors: [anchor], chain: [below, end] })
    assert.strictEqual(verdict(failure), "43 badUsage")
    assert.include(failure?.message, "not a certificate authority")
  })

  it("a trusted certificate that is no authority: it speaks for itself only", () => {
    const own = leaf(undefined, { subject: "Own" })
    const failure = verify({ anchors: [own], chain: [leaf(own)] })
    assert.strictEqual(verdict(failure), "43 badUsage")
    assert.include(failure?.message, "not a certificate authority")
  })

  it("an issuer from before version 3 that the peer sent along", () => {
    const anchor = root()
    const old = versionOne(intermediate(anchor), anchor)
    const failure = verify({ anchors: [anchor], chain: [leaf(old), old] })
    assert.strictEqual(verdict(failure), "43 badUsage")
  })

  it("an authority without keyCertSign", () => {
    const anchor = root()
    const middle = intermediate(anchor, { keyUsage: DIGITAL_SIGNATURE })
    const failure = verify({ anchors: [anchor], chain: [leaf(middle), middle] })
    assert.strictEqual(verdict(failure), "43 badUsage")
    assert.include(failure?.message, "keyCertSign")
  })

  it("a key usage in bits that are not used, where others see none (X.690 section 11.2.1)", () => {
    const anchor = root()
    const usage = (...value: ReadonlyArray<number>) => {
      const extensions = [{ id: "2.5.29.15", critical: true, value: Uint8Array.of(3, value.length, ...value) }]
      const middle = intermediate(anchor, { keyUsage: "none", extensions })
      return verdict(verify({ anchors: [anchor], chain: [leaf(middle), middle] }))
    }
    assert.strictEqual(usage(1, 0x06), "accepted")
    assert.strictEqual(usage(2, 0x04), "accepted")
    assert.strictEqual(usage(7, 0x06, 0x80), "accepted")
    assert.strictEqual(usage(0), "43 badUsage")
    for (const value of [[5, 0x06], [8, 0x06], [1], [], [0, 0x06, 0, 0]]) {
      assert.strictEqual(usage(...value), "48 unknownAuthority", value.join())
    }
  })

  it("path lengths: as many authorities as allowed, and one more", () => {
    const anchor = root({ authority: { pathLength: 1 } })
    const one = intermediate(anchor, { subject: "One" })
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(one), one] }))
    const two = intermediate(one, { subject: "Two" })
    const failure = verify({ anchors: [anchor], chain: [leaf(two), two, one] })
    assert.strictEqual(verdict(failure), "43 badUsage")
    assert.include(failure?.message, "allows 1")
    const last = intermediate(root(), { authority: { pathLength: 0 } })
    const below = intermediate(last, { subject: "Below" })
    assert.strictEqual(verdict(verify({ anchors: [last], chain: [leaf(below), below] })), "43 badUsage")
  })

  it("self-issued certificates do not count for the path length", () => {
    const anchor = root({ authority: { pathLength: 1 } })
    const one = intermediate(anchor)
    const rolled = intermediate(one)
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(rolled), rolled, one] }))
  })

  it("an intermediate restricted to another purpose", () => {
    const anchor = root()
    const middle = intermediate(anchor, { extendedKeyUsage: [CODE_SIGNING] })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [leaf(middle), middle] })), "43 badUsage")
  })

  it("chains that are too long end, and say so", () => {
    const anchor = root()
    const chain = [anchor]
    for (let i = 0; i < 10; i++) chain.unshift(intermediate(chain[0]!, { subject: `Level ${i}` }))
    const failure = verify({ anchors: [anchor], chain: [leaf(chain[0]!), ...chain] })
    assert.strictEqual(verdict(failure), "48 unknownAuthority")
    assert.include(failure?.message, "more than 8")
  })

  it("loops of authorities end", () => {
    const one = intermediate(root(), { subject: "One" })
    const two = intermediate(one, { subject: "Two" })
    const back = issue({ subject: "One", key: one.privateKey, authority: {}, issuer: two })
    const failure = verify({ anchors: [root({ subject: "Other" })], chain: [leaf(two), two, back] })
    assert.strictEqual(verdict(failure), "48 unknownAuthority")
    assert.include(failure?.message, "no trusted authority")
  })

  it("cross-signed ladders cost a bounded number of signatures", () => {
    const keys = Array.from({ length: 7 }, key)
    // Four certificates for each of six keys, all issued by the next key: 4^6 ways up, to an authority of the anchor's name.
    const chain = keys.slice(0, 6).flatMap((own, i) => {
      const subject = i === 5 ? "Root" : `Rung ${i + 1}`
      const above = issue({ subject, key: keys[i + 1]!, authority: {} })
      return [0, 1, 2, 3].map(() => issue({ subject: `Rung ${i}`, key: own, authority: {}, issuer: above }))
    })
    const spy = vi.spyOn(X509Certificate.prototype, "verify")
    try {
      const failure = verify({ anchors: [root()], chain: [leaf(chain[0]), ...chain] })
      assert.strictEqual(verdict(failure), "42 badSignature")
      // Each of the four topmost is looked at once.
      assert.strictEqual(spy.mock.calls.length, 4)
      // And without an anchor to lead to, there is nothing to check.
      assert.isDefined(verify({ anchors: [root({ subject: "Other" })], chain: [leaf(chain[0]), ...chain] }))
      assert.strictEqual(spy.mock.calls.length, 4)
    } finally {
      spy.mockRestore()
    }
  })
})

describe("refused: usage", () => {
  it("a leaf whose key may not sign", () => {
    const anchor = root()
    const failure = verify({ anchors: [anchor], chain: [leaf(anchor, { keyUsage: KEY_ENCIPHERMENT })] })
    assert.strictEqual(verdict(failure), "43 badUsage")
    assert.include(failure?.message, "digitalSignature")
  })

  it("a client's certificate from a server, and the other way round", () => {
    const anchor = root()
    const client = leaf(anchor, { extendedKeyUsage: [CLIENT_AUTH] })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [client] })), "43 badUsage")
    const server = leaf(anchor, { extendedKeyUsage: ["1.3.6.1.5.5.7.3.1"] })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [server], usage: "clientAuth" })), "43 badUsage")
  })

  it("a critical extension that nobody here understands, on a leaf and on an authority", () => {
    const anchor = root()
    const extensions = [{ id: "1.2.3.4", critical: true, value: Uint8Array.of(5, 0) }]
    const failure = verify({ anchors: [anchor], chain: [leaf(anchor, { extensions })] })
    assert.strictEqual(verdict(failure), "43 badUsage")
    assert.include(failure?.message, "1.2.3.4")
    const middle = intermediate(anchor, { extensions })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [leaf(middle), middle] })), "43 badUsage")
  })

  it("an extension that is there twice (RFC 5280 section 4.2)", () => {
    const anchor = root()
    const one = { id: "1.2.3.4", critical: false, value: Uint8Array.of(5, 0) }
    const failure = verify({ anchors: [anchor], chain: [leaf(anchor, { extensions: [one, one] })] })
    assert.strictEqual(verdict(failure), "42 malformed")
  })
})

describe("system roots", () => {
  it("every root that Node trusts has a place in the store, and parses", () => {
    const pems = getCACertificates("default")
    const store = systemTrustStore()
    assert.isAbove(store.size, 100)
    assert.isAtMost(store.size, pems.length)
    for (const der of pems.flatMap(readPemCertificates)) {
      const parsed = parseCertificate(der)
      if ("problem" in parsed) assert.fail(parsed.problem)
      else assert.isTrue(store.has(parsed), parsed.label)
    }
  })

  it("what is read of each is what OpenSSL reads", () => {
    for (const der of getCACertificates("default").flatMap(readPemCertificates)) {
      const parsed = parseCertificate(der)
      if ("problem" in parsed) return assert.fail(parsed.problem)
      const theirs = new X509Certificate(der)
      assert.strictEqual(parsed.notBefore, Date.parse(theirs.validFrom), parsed.label)
      assert.strictEqual(parsed.notAfter, Date.parse(theirs.validTo), parsed.label)
      assert.strictEqual(parsed.isCa, theirs.ca, parsed.label)
      assert.isTrue(parsed.publicKey()?.equals(theirs.publicKey), parsed.label)
      const { modulusLength } = theirs.publicKey.asymmetricKeyDetails ?? {}
      assert.strictEqual(parsed.keyInfo.modulusBits, modulusLength ?? 0, parsed.label)
    }
  })

  it("they do not trust a stranger, and each call finds the same store", () => {
    const verifier = systemTrust()
    const failure = verifier({
      chain: [leaf(root()).certificate],
      serverName: "a.example",
      usage: "serverAuth",
      now: NOW
    })
    assert.strictEqual(verdict(failure), "48 unknownAuthority")
    assert.strictEqual(systemTrustStore(), systemTrustStore())
  })
})
