/**
 * A certificate, read once (RFC 5280 section 4). Nothing here is judged: a certificate that reads well can still be expired,
 * weak or not trusted. It comes from a peer that nobody knows yet: to read it takes time in proportion to its size, and
 * there are limits to that and to the number of everything in it. OpenSSL gets to see it only when its signature is checked
 * or its key is used.
 */
import { X509Certificate } from "node:crypto"
import type { KeyObject } from "node:crypto"
import { printable, printableList } from "../../wire/Text.ts"
import { contextTag, DerError, DerReader, outline, Tag } from "./Der.ts"
import { readName } from "./DirectoryName.ts"
import type { DirectoryName } from "./DirectoryName.ts"
import { NameKind, readGeneralNames, readNameConstraints, textOf } from "./GeneralNames.ts"
import type { GeneralName, NameConstraints } from "./GeneralNames.ts"
import { formatIp } from "./Names.ts"
import { publicKeyOf, readKeyInfo } from "./PublicKey.ts"
import type { KeyInfo } from "./PublicKey.ts"

export interface ParsedCertificate {
  readonly der: Uint8Array
  /** 1, 2 or 3. */
  readonly version: number
  /** Encoded names as keys: equal exactly when the encodings are. */
  readonly subject: string
  readonly issuer: string
  readonly subjectName: DirectoryName
  readonly subjectDer: Uint8Array
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyInfo: Uint8Array
  readonly keyInfo: KeyInfo
  /** ms since 1970. */
  readonly notBefore: number
  /** ms since 1970, of the beginning of the last second. */
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
  /** Identifiers of its own key and of its issuer's, in hex: hints which issuer to try first. */
  readonly keyId: string | undefined
  readonly issuerKeyId: string | undefined
  /** OIDs of critical extensions that nobody here understands. */
  readonly unknownCritical: ReadonlyArray<string>
  /** For OpenSSL, made when first asked for. May throw. */
  readonly x509: () => X509Certificate
  /** Made when first asked for. Undefined when OpenSSL cannot read it. */
  readonly publicKey: () => KeyObject | undefined
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
}

const unreadable = (problem: string): Unreadable => ({ problem })

/** The most bytes of a certificate that is read. Public ones have one or two thousand. */
export const MAX_CERTIFICATE = 32_768
const MAX_EXTENSIONS = 64
const MAX_PURPOSES = 64

const OID = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54"
} as const

/**
 * Critical extensions that are acted on here, or need no action: a verifier without required policies accepts any policy, so
 * policies matter only through policyConstraints (RFC 5280 section 6.1), which stays refused when critical.
 */
const UNDERSTOOD: ReadonlySet<string> = new Set(Object.values(OID))

/** Reads one DER certificate. */
export const parseCertificate = (der: Uint8Array): ParsedCertificate | Unreadable => {
  if (der.length > MAX_CERTIFICATE) {
    return unreadable(`has ${der.length} bytes (at most ${MAX_CERTIFICATE} are accepted)`)
  }
  const parts = outline(der)
  if (parts === undefined) return unreadable("is not an X.509 certificate in DER")
  try {
    return readCertificate(der, parts)
  } catch (error) {
    if (error instanceof DerError) return unreadable("is not an X.509 certificate in DER")
    throw error
  }
}

/** Throws `DerError`. */
const readCertificate = (
  der: Uint8Array,
  parts: NonNullable<ReturnType<typeof outline>>
): ParsedCertificate | Unreadable => {
  const certificate = new DerReader(der).enter(Tag.sequence)
  const tbs = certificate.enter(Tag.sequence)
  const outerAlgorithm = certificate.next(Tag.sequence)
  certificate.next(Tag.bitString)
  certificate.finish()

  const explicitVersion = tbs.optional(contextTag(0, true))
  const version = explicitVersion === undefined ? 1 : smallInteger(tbs.within(explicitVersion)) + 1
  tbs.next(Tag.integer)
  const innerAlgorithm = tbs.next(Tag.sequence)
  tbs.next(Tag.sequence)
  const validity = tbs.enter(Tag.sequence)
  const notBefore = readTime(validity)
  const notAfter = readTime(validity)
  const subject = tbs.next(Tag.sequence)
  tbs.next(Tag.sequence)
  tbs.optional(contextTag(1))
  tbs.optional(contextTag(2))
  const extensionsTag = tbs.optional(contextTag(3, true))
  tbs.finish()

  if (Buffer.compare(certificate.contents(outerAlgorithm), tbs.contents(innerAlgorithm)) !== 0) {
    return unreadable("names two different signature algorithms (RFC 5280 section 4.1.1.2)")
  }
  if (extensionsTag !== undefined && version !== 3) {
    return unreadable("has extensions but is not of version 3 (RFC 5280 section 4.1.2.1)")
  }
  if (!Number.isFinite(notBefore) || !Number.isFinite(notAfter)) return unreadable("has a date that does not decode")
  const extensions = readExtensions(extensionsTag === undefined ? undefined : tbs.within(extensionsTag))
  if ("problem" in extensions) return extensions
  const algorithm = certificate.within(outerAlgorithm)
  const signatureAlgorithm = algorithm.oid()
  const parameters = algorithm.more ? algorithm.next() : undefined
  const subjectDer = der.subarray(subject.start, subject.end)
  const subjectName = readName(subjectDer)
  const { publicKeyInfo } = parts
  return {
    der,
    version,
    subject: parts.subject,
    issuer: parts.issuer,
    subjectName,
    subjectDer,
    publicKeyInfo,
    keyInfo: readKeyInfo(publicKeyInfo),
    notBefore,
    notAfter,
    signatureAlgorithm,
    signatureParameters: parameters === undefined ? new Uint8Array(0) : der.subarray(parameters.start, parameters.end),
    ...extensions,
    x509: lazily(() => new X509Certificate(der)),
    publicKey: lazily(() => publicKeyOf(publicKeyInfo)),
    label: labelOf(subjectName, extensions.names)
  }
}

const lazily = <A>(make: () => A): (() => A) => {
  let made: A | undefined
  return () => (made ??= make())
}

/** A version, or the length of a path. */
const smallInteger = (reader: DerReader): number => {
  const bytes = reader.contents(reader.next(Tag.integer))
  if (bytes.length === 0 || bytes.length > 4 || bytes[0]! >= 0x80) throw new DerError("no count")
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0)
}

/** ms since 1970 (RFC 5280 section 4.1.2.5): in UTC and with seconds. NaN when there is no such time. */
const readTime = (reader: DerReader): number => {
  const value = reader.next()
  const text = Buffer.from(reader.contents(value)).toString("latin1")
  const digits =
    value.tag === Tag.utcTime && /^\d{12}Z$/.test(text)
      ? `${text < "50" ? "20" : "19"}${text}`
      : value.tag === Tag.generalizedTime && /^\d{14}Z$/.test(text)
        ? text
        : undefined
  if (digits === undefined) return Number.NaN
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)/.exec(digits)!
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

type ExtensionFields = Pick<
  ParsedCertificate,
  | "isCa"
  | "pathLength"
  | "keyUsage"
  | "extendedKeyUsage"
  | "names"
  | "nameConstraints"
  | "keyId"
  | "issuerKeyId"
  | "unknownCritical"
>

/** Throws `DerError` where the list itself does not decode. */
const readExtensions = (explicit: DerReader | undefined): ExtensionFields | Unreadable => {
  const values = new Map<string, Uint8Array>()
  const unknownCritical: Array<string> = []
  // Without any, a list of none.
  const list = explicit?.enter(Tag.sequence) ?? new DerReader(new Uint8Array(0))
  while (list.more) {
    if (values.size === MAX_EXTENSIONS) return unreadable(`has more than ${MAX_EXTENSIONS} extensions`)
    const extension = list.enter(Tag.sequence)
    const id = extension.oid()
    const critical = extension.peek() === Tag.boolean && extension.boolean()
    const value = extension.contents(extension.next(Tag.octetString))
    extension.finish()
    if (values.has(id)) return unreadable(`has the extension ${id} twice (RFC 5280 section 4.2)`)
    values.set(id, value)
    if (critical && !UNDERSTOOD.has(id)) unknownCritical.push(id)
  }
  /** What an extension holds, if it is there. */
  const read = <A>(id: string, what: string, decode: (reader: DerReader) => A): A | undefined => {
    const value = values.get(id)
    if (value === undefined) return undefined
    try {
      const reader = new DerReader(value)
      const decoded = decode(reader)
      reader.finish()
      return decoded
    } catch (error) {
      throw error instanceof DerError ? new DerError(`${what} that do not decode, or are too many`) : error
    }
  }
  try {
    const constraints = read(OID.basicConstraints, "basic constraints", readBasicConstraints)
    const names = read(OID.subjectAltName, "subject alternative names", readGeneralNames)
    return {
      isCa: constraints?.isCa ?? false,
      pathLength: constraints?.pathLength,
      keyUsage: read(OID.keyUsage, "key usages", readKeyUsage),
      extendedKeyUsage: read(OID.extendedKeyUsage, "extended key usages", readPurposes),
      names: names === undefined ? undefined : namesOf(names),
      nameConstraints: read(OID.nameConstraints, "name constraints", readNameConstraints),
      keyId: read(OID.subjectKeyIdentifier, "key identifiers", readKeyId),
      issuerKeyId: read(OID.authorityKeyIdentifier, "key identifiers", readIssuerKeyId),
      unknownCritical
    }
  } catch (error) {
    if (error instanceof DerError) return unreadable(`has ${error.message}`)
    throw error
  }
}

/** SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL } */
const readBasicConstraints = (reader: DerReader): { isCa: boolean; pathLength: number | undefined } => {
  const fields = reader.enter(Tag.sequence)
  const isCa = fields.peek() === Tag.boolean && fields.boolean()
  const pathLength = fields.more ? smallInteger(fields) : undefined
  fields.finish()
  return { isCa, pathLength }
}

/** The first bit of the first byte comes first. */
const readKeyUsage = (reader: DerReader): number => {
  const bytes = reader.contents(reader.next(Tag.bitString))
  const [unused, first = 0, second = 0] = bytes
  // Unused bits are zero (X.690 section 11.2.1): others would see no usage in them.
  const hidden = unused === undefined ? 0 : bytes[bytes.length - 1]! & ((1 << unused) - 1)
  if (unused === undefined || unused > 7 || bytes.length > 3 || (bytes.length > 1 ? hidden : unused) !== 0) {
    throw new DerError("no key usage")
  }
  let usage = 0
  for (let bit = 0; bit < 8; bit++) {
    if ((first & (0x80 >> bit)) !== 0) usage |= 1 << bit
    if ((second & (0x80 >> bit)) !== 0) usage |= 0x100 << bit
  }
  return usage
}

const readPurposes = (reader: DerReader): ReadonlyArray<string> => {
  const list = reader.enter(Tag.sequence)
  const purposes: Array<string> = []
  while (list.more) {
    if (purposes.length === MAX_PURPOSES) throw new DerError("too many purposes")
    purposes.push(list.oid())
  }
  return purposes
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const readKeyId = (reader: DerReader): string => hex(reader.contents(reader.next(Tag.octetString)))

/** SEQUENCE { [0] keyIdentifier OPTIONAL, [1] and [2]: issuer and serial number, which say the same in another way } */
const readIssuerKeyId = (reader: DerReader): string | undefined => {
  const fields = reader.enter(Tag.sequence)
  const id = fields.optional(contextTag(0))
  return id === undefined ? undefined : hex(fields.contents(id))
}

const namesOf = (all: ReadonlyArray<GeneralName>): CertificateNames => ({
  dns: all.filter((name) => name.kind === NameKind.dns).map(textOf),
  ip: all.filter((name) => name.kind === NameKind.ip).map((name) => name.value),
  all
})

const COMMON_NAME = "2.5.4.3"
const ORGANIZATION = "2.5.4.10"
/** Longest name of a certificate in a message. */
const MAX_LABEL = 100

const labelOf = (subject: DirectoryName, names: CertificateNames | undefined): string => {
  const attributes = subject.flat()
  for (const type of [COMMON_NAME, ORGANIZATION]) {
    const found = attributes.find((attribute) => attribute.type === type)
    if (found !== undefined) return printable(found.text, MAX_LABEL)
  }
  return names === undefined ? "without a name" : describeNames(names)
}

/** The names a certificate is for, for messages. */
export const describeNames = ({ dns, ip }: CertificateNames): string => {
  const listed = printableList([...dns, ...ip.map((address) => formatIp(address.subarray(0, 16)))])
  return listed === "" ? "no DNS name or IP address" : listed
}
