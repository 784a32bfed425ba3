/**
 * A certificate, read once (RFC 5280 section 4). Nothing here is judged: a certificate that reads well can still be expired,
 * weak or not trusted.
 */
import { AsnConvert } from "@peculiar/asn1-schema"
import {
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  id_ce_basicConstraints,
  id_ce_certificatePolicies,
  id_ce_extKeyUsage,
  id_ce_inhibitAnyPolicy,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_policyMappings,
  id_ce_subjectAltName,
  KeyUsage,
  Version
} from "@peculiar/asn1-x509"
import type { Extension, Name } from "@peculiar/asn1-x509"
import { X509Certificate } from "node:crypto"
import type { KeyObject } from "node:crypto"
import { outline } from "./Der.ts"
import { NameKind, readGeneralNames, readNameConstraints, textOf } from "./GeneralNames.ts"
import type { GeneralName, NameConstraints } from "./GeneralNames.ts"
import { formatIp } from "./Names.ts"

export interface ParsedCertificate {
  readonly der: Uint8Array
  /** 1, 2 or 3. */
  readonly version: number
  /** Encoded names as keys: equal exactly when the encodings are. */
  readonly subject: string
  readonly issuer: string
  readonly subjectName: Name
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyInfo: Uint8Array
  /** ms since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  /** OID of the signature on it, and its encoded parameters, empty when there are none. */
  readonly signatureAlgorithm: string
  readonly signatureParameters: Uint8Array
  readonly isCa: boolean
  /** Most intermediates that may follow a CA; undefined is no limit. */
  readonly pathLength: number | undefined
  /** Bits in the order of RFC 5280 (digitalSignature is 1, keyCertSign is 32); undefined when the extension is absent. */
  readonly keyUsage: number | undefined
  readonly extendedKeyUsage: ReadonlyArray<string> | undefined
  /** Subject alternative names; undefined when the extension is absent. */
  readonly names: CertificateNames | undefined
  readonly nameConstraints: NameConstraints | undefined
  /** OIDs of critical extensions that nobody here understands. */
  readonly unknownCritical: ReadonlyArray<string>
  readonly x509: X509Certificate
  readonly publicKey: KeyObject
  /** How messages call it. */
  readonly label: string
}

export interface CertificateNames {
  readonly dns: ReadonlyArray<string>
  readonly ip: ReadonlyArray<Uint8Array>
  readonly all: ReadonlyArray<GeneralName>
}

/** What stopped a certificate from being read, as the end of "the certificate ...". */
export interface Unreadable {
  readonly problem: string
  /** The key is of a kind that cannot be used here, as opposed to bytes that are wrong. */
  readonly unsupported: boolean
}

const unreadable = (problem: string, unsupported = false): Unreadable => ({ problem, unsupported })

/**
 * Critical extensions that need no action here: a verifier without required policies accepts any policy, so policies
 * matter only through policyConstraints (RFC 5280 section 6.1), which stays refused when critical.
 */
const HARMLESS = new Set([id_ce_certificatePolicies, id_ce_policyMappings, id_ce_inhibitAnyPolicy])

const UNDERSTOOD = new Set([
  id_ce_basicConstraints,
  id_ce_keyUsage,
  id_ce_extKeyUsage,
  id_ce_subjectAltName,
  id_ce_nameConstraints
])

/** Reads one DER certificate. */
export const parseCertificate = (der: Uint8Array): ParsedCertificate | Unreadable => {
  const parts = outline(der)
  if (parts === undefined) return unreadable("is not an X.509 certificate in DER")
  let certificate: Certificate
  let x509: X509Certificate
  try {
    certificate = AsnConvert.parse(der, Certificate)
    x509 = new X509Certificate(der)
  } catch {
    return unreadable("is not an X.509 certificate in DER")
  }
  let publicKey: KeyObject
  try {
    publicKey = x509.publicKey
  } catch {
    return unreadable("has a public key of a kind that is not supported", true)
  }
  const tbs = certificate.tbsCertificate
  const signature = certificate.signatureAlgorithm
  const parameters = new Uint8Array(signature.parameters ?? new ArrayBuffer(0))
  if (!signature.isEqual(tbs.signature)) {
    return unreadable("names two different signature algorithms (RFC 5280 section 4.1.1.2)")
  }
  const extensions = tbs.extensions ?? []
  if (extensions.length > 0 && tbs.version !== Version.v3) {
    return unreadable("has extensions but is not of version 3 (RFC 5280 section 4.1.2.1)")
  }
  let fields: ExtensionFields | Unreadable
  let notBefore: number
  let notAfter: number
  try {
    fields = readExtensions(extensions)
    notBefore = tbs.validity.notBefore.getTime().getTime()
    notAfter = tbs.validity.notAfter.getTime().getTime()
  } catch {
    return unreadable("has an extension or a date that does not decode")
  }
  if ("problem" in fields) return fields
  if (!Number.isFinite(notBefore) || !Number.isFinite(notAfter)) return unreadable("has a date that does not decode")
  return {
    der,
    version: tbs.version + 1,
    subject: parts.subject,
    issuer: parts.issuer,
    subjectName: tbs.subject,
    publicKeyInfo: parts.publicKeyInfo,
    notBefore,
    notAfter,
    signatureAlgorithm: signature.algorithm,
    signatureParameters: parameters,
    ...fields,
    x509,
    publicKey,
    label: labelOf(tbs.subject, fields.names)
  }
}

type ExtensionFields = Pick<
  ParsedCertificate,
  "isCa" | "pathLength" | "keyUsage" | "extendedKeyUsage" | "names" | "nameConstraints" | "unknownCritical"
>

/** May throw what the ASN.1 library throws. */
const readExtensions = (extensions: ReadonlyArray<Extension>): ExtensionFields | Unreadable => {
  const values = new Map<string, Uint8Array>()
  const unknownCritical: Array<string> = []
  for (const extension of extensions) {
    const id = extension.extnID
    if (values.has(id)) return unreadable(`has the extension ${id} twice (RFC 5280 section 4.2)`)
    values.set(id, new Uint8Array(extension.extnValue.buffer))
    if (extension.critical && !UNDERSTOOD.has(id) && !HARMLESS.has(id)) unknownCritical.push(id)
  }
  const basic = values.get(id_ce_basicConstraints)
  const constraints = basic === undefined ? undefined : AsnConvert.parse(basic, BasicConstraints)
  const pathLength = constraints?.pathLenConstraint
  if (pathLength !== undefined && !(Number.isSafeInteger(pathLength) && pathLength >= 0)) {
    return unreadable("has a path length that is no count")
  }
  const usage = values.get(id_ce_keyUsage)
  const extended = values.get(id_ce_extKeyUsage)
  const alternative = values.get(id_ce_subjectAltName)
  const generalNames = alternative === undefined ? undefined : readGeneralNames(alternative)
  if (alternative !== undefined && generalNames === undefined) {
    return unreadable("has subject alternative names that do not decode")
  }
  const constrained = values.get(id_ce_nameConstraints)
  const nameConstraints = constrained === undefined ? undefined : readNameConstraints(constrained)
  if (constrained !== undefined && nameConstraints === undefined) {
    return unreadable("has name constraints that do not decode")
  }
  return {
    isCa: constraints?.cA ?? false,
    pathLength,
    keyUsage: usage === undefined ? undefined : AsnConvert.parse(usage, KeyUsage).toNumber(),
    extendedKeyUsage: extended === undefined ? undefined : [...AsnConvert.parse(extended, ExtendedKeyUsage)],
    names: generalNames === undefined ? undefined : namesOf(generalNames),
    nameConstraints,
    unknownCritical
  }
}

const namesOf = (all: ReadonlyArray<GeneralName>): CertificateNames => ({
  dns: all.filter((name) => name.kind === NameKind.dns).map(textOf),
  ip: all.filter((name) => name.kind === NameKind.ip).map((name) => name.value),
  all
})

const COMMON_NAME = "2.5.4.3"
const ORGANIZATION = "2.5.4.10"

const labelOf = (subject: Name, names: CertificateNames | undefined): string => {
  for (const type of [COMMON_NAME, ORGANIZATION]) {
    for (const attributes of subject) {
      for (const attribute of attributes) if (attribute.type === type) return printable(attribute.value.toString())
    }
  }
  return names === undefined ? "without a name" : describeNames(names)
}

/** What a certificate calls itself comes from the peer: no control characters, and not too long for a log line. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, "?").slice(0, 100)

/** The names a certificate is for, for messages. */
export const describeNames = (names: CertificateNames): string => {
  const listed = [...names.dns.map(printable), ...names.ip.map(formatIp)]
  if (listed.length === 0) return "no DNS name or IP address"
  return listed.length <= 4 ? listed.join(", ") : `${listed.slice(0, 4).join(", ")} and ${listed.length - 4} more`
}

/** Keeps what was parsed, since a client meets the same few certificates again and again. Starts over when full. */
export class CertificateCache {
  private readonly entries = new Map<string, ParsedCertificate>()
  private readonly limit: number

  constructor(limit = 64) {
    this.limit = limit
  }

  parse(der: Uint8Array): ParsedCertificate | Unreadable {
    const key = Buffer.from(der.buffer, der.byteOffset, der.length).toString("latin1")
    const known = this.entries.get(key)
    if (known !== undefined) return known
    // A copy: the caller's bytes may lie in a buffer that is used again.
    const parsed = parseCertificate(der.slice())
    if ("problem" in parsed) return parsed
    if (this.entries.size >= this.limit) this.entries.clear()
    this.entries.set(key, parsed)
    return parsed
  }
}
