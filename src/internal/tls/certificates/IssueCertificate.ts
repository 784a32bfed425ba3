/** Makes certificates (RFC 5280 section 4) in memory: for development, and for tests of everything that must be refused. */
import { AsnConvert, OctetString } from "@peculiar/asn1-schema"
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  Name,
  NameConstraints,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version
} from "@peculiar/asn1-x509"
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto"
import type { KeyObject } from "node:crypto"
import { domainToASCII } from "node:url"
import { formatIp, parseIp } from "./Names.ts"

export type KeyKind = "ecdsa" | "ed25519" | "rsa"

/** A certificate with the key that belongs to it. */
export interface Issued {
  /** DER. */
  readonly certificate: Uint8Array
  readonly privateKey: KeyObject
}

export interface IssueOptions {
  /** The key that the certificate is for: private, so that the result is an identity. */
  readonly key: KeyObject
  /** Common name of the subject; "" leaves the subject empty. */
  readonly subject: string
  /** Who signs; without one, the certificate signs itself. */
  readonly issuer?: Issued | undefined
  /** Alternative names: DNS names (wildcards as they are) and IP addresses. Left out when empty. */
  readonly names?: ReadonlyArray<string> | undefined
  /** ms since 1970, both inclusive, whole seconds count. */
  readonly notBefore: number
  readonly notAfter: number
  /** Gives random bytes for the serial number. */
  readonly random: (length: number) => Uint8Array
  /** An authority, with as many authorities below it as `pathLength` says (no limit when undefined). */
  readonly authority?: { readonly pathLength?: number | undefined } | undefined
  /** Bits of `KeyUsageFlags`; by default what an authority or an end entity needs. `none` leaves the extension out. */
  readonly keyUsage?: number | "none" | undefined
  /** OIDs; by default server and client authentication for an end entity, and none for an authority. Empty leaves it out. */
  readonly extendedKeyUsage?: ReadonlyArray<string> | undefined
  readonly nameConstraints?:
    | { readonly permitted?: ReadonlyArray<string> | undefined; readonly excluded?: ReadonlyArray<string> | undefined }
    | undefined
  /** Added as they are. */
  readonly extensions?:
    ReadonlyArray<{ readonly id: string; readonly critical: boolean; readonly value: Uint8Array }> | undefined
  /** Hash of RSA and ECDSA signatures. */
  readonly hash?: "sha256" | "sha384" | "sha512" | "sha1" | undefined
}

/** A fresh private key from the operating system's randomness. ECDSA is on P-256; it is what every peer accepts. */
export const generateKey = (kind: KeyKind, rsaBits = 2048): KeyObject => {
  switch (kind) {
    case "ecdsa":
      return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
    case "ed25519":
      return generateKeyPairSync("ed25519").privateKey
    case "rsa":
      return generateKeyPairSync("rsa", { modulusLength: rsaBits }).privateKey
  }
}

/** PKCS #8 around the 32 bytes of an Ed25519 key (RFC 8410 section 7). */
const ED25519_PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex")

/** The Ed25519 key of a 32-byte seed: the same seed gives the same key, and the same signatures. */
export const ed25519FromSeed = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, seed]), format: "der", type: "pkcs8" })

/**
 * Issues a certificate. The same options give the same bytes when the issuer's key is Ed25519 or RSA; ECDSA signatures are
 * randomized. Throws what node:crypto or the ASN.1 library throw for options that make no certificate.
 */
export const issueCertificate = (options: IssueOptions): Issued => {
  const signer = options.issuer?.privateKey ?? options.key
  const algorithm = signatureAlgorithm(signer, options.hash ?? "sha256")
  const subject = nameOf(options.subject)
  const publicKey = publicKeyOf(options.key)
  const tbs = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialOf(options.random),
    signature: algorithm.identifier,
    issuer: options.issuer === undefined ? subject : subjectOf(options.issuer.certificate),
    // @effect-diagnostics-next-line globalDate:off - a given time, not the clock's
    validity: new Validity({ notBefore: new Date(options.notBefore), notAfter: new Date(options.notAfter) }),
    subject,
    subjectPublicKeyInfo: publicKey,
    extensions: new Extensions(extensionsOf(options, publicKey))
  })
  const signature = sign(algorithm.hash, Buffer.from(AsnConvert.serialize(tbs)), signer)
  const certificate = new Certificate({
    tbsCertificate: tbs,
    signatureAlgorithm: algorithm.identifier,
    signatureValue: arrayBufferOf(signature)
  })
  return { certificate: new Uint8Array(AsnConvert.serialize(certificate)), privateKey: options.key }
}

const publicKeyOf = (privateKey: KeyObject): SubjectPublicKeyInfo =>
  AsnConvert.parse(createPublicKey(privateKey).export({ format: "der", type: "spki" }), SubjectPublicKeyInfo)

const arrayBufferOf = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer

/** 16 bytes, positive and not zero in front, so that DER neither grows nor shrinks it (RFC 5280 section 4.1.2.2). */
const serialOf = (random: (length: number) => Uint8Array): ArrayBuffer => {
  const serial = new Uint8Array(random(16))
  serial[0] = (serial[0]! & 0x7f) | 0x40
  return serial.buffer
}

const nameOf = (commonName: string): Name =>
  new Name(
    commonName === ""
      ? []
      : [
          new RelativeDistinguishedName([
            new AttributeTypeAndValue({ type: "2.5.4.3", value: new AttributeValue({ utf8String: commonName }) })
          ])
        ]
  )

const subjectOf = (der: Uint8Array): Name => AsnConvert.parse(der, Certificate).tbsCertificate.subject

const RSA_OID = { sha1: "5", sha256: "11", sha384: "12", sha512: "13" } as const
const ECDSA_OID = { sha1: "1", sha256: "3.2", sha384: "3.3", sha512: "3.4" } as const

const signatureAlgorithm = (
  key: KeyObject,
  hash: keyof typeof RSA_OID
): { readonly hash: string | null; readonly identifier: AlgorithmIdentifier } => {
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return { hash: null, identifier: new AlgorithmIdentifier({ algorithm: "1.3.101.112" }) }
    case "rsa":
      return {
        hash,
        identifier: new AlgorithmIdentifier({
          algorithm: `1.2.840.113549.1.1.${RSA_OID[hash]}`,
          // RFC 4055 section 5: the parameters are NULL, and present.
          parameters: arrayBufferOf(Uint8Array.of(0x05, 0x00))
        })
      }
    default:
      return { hash, identifier: new AlgorithmIdentifier({ algorithm: `1.2.840.10045.4.${ECDSA_OID[hash]}` }) }
  }
}

const generalName = (text: string): GeneralName => {
  if (text.includes("/")) return new GeneralName({ iPAddress: text })
  const address = parseIp(text)
  // Written out in full: the library knows no IPv4 in IPv6 and no zones.
  if (address !== undefined) return new GeneralName({ iPAddress: formatIp(address) })
  return new GeneralName({ dNSName: /^[\x20-\x7e]*$/.test(text) ? text : domainToASCII(text) })
}

const subtrees = (bases: ReadonlyArray<string>): GeneralSubtrees =>
  new GeneralSubtrees(bases.map((base) => new GeneralSubtree({ base: generalName(base) })))

/** Short enough for any certificate (RFC 7093 section 2, method 1). */
const keyIdentifier = (key: SubjectPublicKeyInfo): OctetString => {
  const digest = createHash("sha256").update(new Uint8Array(key.subjectPublicKey)).digest()
  return new OctetString(arrayBufferOf(digest.subarray(0, 20)))
}

const extensionsOf = (options: IssueOptions, key: SubjectPublicKeyInfo): Array<Extension> => {
  const extensions: Array<Extension> = []
  const add = (extnID: string, critical: boolean, value: ArrayBuffer) =>
    extensions.push(new Extension({ extnID, critical, extnValue: new OctetString(value) }))
  add(id_ce_subjectKeyIdentifier, false, AsnConvert.serialize(keyIdentifier(key)))
  if (options.issuer !== undefined) {
    const identifier = new AuthorityKeyIdentifier({
      keyIdentifier: keyIdentifier(publicKeyOf(options.issuer.privateKey))
    })
    add(id_ce_authorityKeyIdentifier, false, AsnConvert.serialize(identifier))
  }
  const authority = options.authority
  if (authority !== undefined) {
    const { pathLength } = authority
    const constraints = pathLength === undefined ? { cA: true } : { cA: true, pathLenConstraint: pathLength }
    add(id_ce_basicConstraints, true, AsnConvert.serialize(new BasicConstraints(constraints)))
  }
  const usage =
    options.keyUsage ??
    (authority === undefined ? KeyUsageFlags.digitalSignature : KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)
  if (usage !== "none") add(id_ce_keyUsage, true, AsnConvert.serialize(new KeyUsage(usage)))
  const purposes = options.extendedKeyUsage ?? (authority === undefined ? [id_kp_serverAuth, id_kp_clientAuth] : [])
  if (purposes.length > 0) {
    add(id_ce_extKeyUsage, false, AsnConvert.serialize(new ExtendedKeyUsage([...purposes])))
  }
  const names = options.names ?? []
  if (names.length > 0) {
    // Critical when it is all there is to identify the subject (RFC 5280 section 4.1.2.6).
    add(
      id_ce_subjectAltName,
      options.subject === "",
      AsnConvert.serialize(new SubjectAlternativeName(names.map(generalName)))
    )
  }
  const constraints = options.nameConstraints
  if (constraints !== undefined) {
    const value = new NameConstraints({
      ...(constraints.permitted === undefined ? {} : { permittedSubtrees: subtrees(constraints.permitted) }),
      ...(constraints.excluded === undefined ? {} : { excludedSubtrees: subtrees(constraints.excluded) })
    })
    add(id_ce_nameConstraints, true, AsnConvert.serialize(value))
  }
  for (const extension of options.extensions ?? []) {
    add(extension.id, extension.critical, arrayBufferOf(extension.value))
  }
  return extensions
}
