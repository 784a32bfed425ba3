/**
 * Certification path validation (RFC 5280 section 6) as TLS needs it: from the peer's leaf, through whatever it sent along, to an
 * anchor that is trusted here; then usage, dates and name.
 */
import { printableList } from "../../wire/Text.ts"
import type { CertificateInput } from "../Identity.ts"
import type { TlsFailure } from "../TlsSession.ts"
import { weakKey, weakSignature } from "./Algorithms.ts"
import { MAX_NAME_COMPARISONS, violatesConstraints } from "./NameConstraints.ts"
import { matchesReference, parseReference } from "./Names.ts"
import type { CertificateCache } from "./CertificateCache.ts"
import { describeNames } from "./ParsedCertificate.ts"
import type { ParsedCertificate, Unreadable } from "./ParsedCertificate.ts"
import type { TrustStore } from "./TrustStore.ts"

/** Certificates in a path, leaf and anchor included. Public ones have three or four. */
const MAX_PATH = 8
/** Certificates of the peer that are looked at. */
const MAX_SENT = 32
/**
 * Signatures checked for one chain, and how many of them may turn out wrong. They are checked from the anchor down, so that
 * every one is checked with a key that an anchor vouches for: a peer that nobody vouches for costs `MAX_FORGED` of them.
 */
const MAX_SIGNATURES = 12
const MAX_FORGED = 4
/** Ways up that are looked at: certificates of the same names could otherwise be arranged so that paths multiply. */
const MAX_STEPS = 256

/** Alerts about certificates (RFC 8446 section 6.2). */
export const Alert = {
  badCertificate: 42,
  unsupportedCertificate: 43,
  certificateExpired: 45,
  certificateUnknown: 46,
  unknownCa: 48
} as const

type Why = NonNullable<TlsFailure["certificate"]>

const ALERT_OF: Record<Why, number> = {
  unknownAuthority: Alert.unknownCa,
  expired: Alert.certificateExpired,
  notYetValid: Alert.certificateExpired,
  nameMismatch: Alert.badCertificate,
  badUsage: Alert.unsupportedCertificate,
  badSignature: Alert.badCertificate,
  pinMismatch: Alert.certificateUnknown,
  malformed: Alert.badCertificate
}

export const refuse = (certificate: Why, message: string, alert = ALERT_OF[certificate]): TlsFailure => ({
  alert,
  message,
  certificate
})

const KeyUsageBit = { digitalSignature: 1, keyCertSign: 32 } as const
const PURPOSE = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const
const ANY_PURPOSE = "2.5.29.37.0"

/** Judges a chain against the anchors; undefined accepts it. */
export const verifyChain = (
  input: CertificateInput,
  anchors: TrustStore,
  cache: CertificateCache
): TlsFailure | undefined => {
  const first = input.chain[0]
  if (first === undefined) return refuse("malformed", "the peer sent no certificate")
  if (input.chain.length > MAX_SENT) {
    return refuse("malformed", `the peer sent ${input.chain.length} certificates (at most ${MAX_SENT} are accepted)`)
  }
  const leaf = cache.parse(first)
  if ("problem" in leaf) return refuseUnreadable("the peer's certificate", leaf)
  // What costs least comes first: until the last step nothing is checked with a key.
  return (
    checkCertificate(leaf, input) ??
    checkLeaf(leaf, input) ??
    checkName(leaf, input) ??
    new PathSearch(input, anchors, cache).run(leaf)
  )
}

const refuseUnreadable = (whose: string, { problem }: Unreadable): TlsFailure =>
  refuse("malformed", `${whose} ${problem}`)

const name = (certificate: ParsedCertificate): string => `certificate "${certificate.label}"`

/** What every certificate of a path must keep to, the anchor included. */
const checkCertificate = (certificate: ParsedCertificate, input: CertificateInput): TlsFailure | undefined => {
  if (input.now < certificate.notBefore) {
    return refuse(
      "notYetValid",
      `the ${name(certificate)} is valid from ${day(certificate.notBefore)}; it is ${day(input.now)} here: check this clock`
    )
  }
  // Through the last second (RFC 5280 section 4.1.2.5).
  if (input.now >= certificate.notAfter + 1000) {
    return refuse(
      "expired",
      `the ${name(certificate)} expired on ${day(certificate.notAfter)}; it is ${day(input.now)} here: have it renewed, or check this clock`
    )
  }
  const weak = weakKey(certificate.keyInfo)
  if (weak !== undefined) {
    return refuse("badSignature", `the ${name(certificate)} has ${weak}; have it issued for another key`)
  }
  if (certificate.unknownCritical.length > 0) {
    return refuse(
      "badUsage",
      `the ${name(certificate)} has critical extensions that are not understood here: ${printableList(certificate.unknownCritical)}`
    )
  }
  const purposes = certificate.extendedKeyUsage
  if (purposes !== undefined && !purposes.includes(PURPOSE[input.usage]) && !purposes.includes(ANY_PURPOSE)) {
    return refuse("badUsage", `the ${name(certificate)} may not be used for ${input.usage} (extended key usage)`)
  }
  return undefined
}

/** The part of a timestamp that people compare certificates by. Dates outside of what `Date` holds stay numbers. */
const day = (ms: number): string =>
  // @effect-diagnostics-next-line globalDate:off - a given time, not the clock's
  Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString().replace(/\.\d+Z$/, "Z") : `${ms} ms`

const checkLeaf = (leaf: ParsedCertificate, input: CertificateInput): TlsFailure | undefined => {
  if (leaf.keyUsage !== undefined && (leaf.keyUsage & KeyUsageBit.digitalSignature) === 0) {
    return refuse(
      "badUsage",
      `the ${name(leaf)} may not sign handshakes: its key usage lacks digitalSignature (needed for ${input.usage} in TLS 1.3)`
    )
  }
  return undefined
}

const checkName = (leaf: ParsedCertificate, input: CertificateInput): TlsFailure | undefined => {
  if (input.usage === "clientAuth" && input.serverName === undefined) return undefined
  const wanted = input.serverName ?? ""
  const reference = parseReference(wanted)
  if (reference === undefined) {
    return refuse(
      "nameMismatch",
      `"${wanted}" is neither a DNS name nor an IP address, so no certificate can be for it; pass serverName`
    )
  }
  if (leaf.names === undefined) {
    return refuse(
      "nameMismatch",
      `the ${name(leaf)} has no subject alternative names, and common names do not count; have it issued with ${wanted} as one`
    )
  }
  if (matchesReference(leaf.names, reference)) return undefined
  return refuse(
    "nameMismatch",
    `the certificate is for ${describeNames(leaf.names)}, not ${wanted}; connect by a name it is for, or pass serverName`
  )
}

/**
 * Depth-first search for a path that holds: up by names, and once an anchor is reached, down again by signatures. The first
 * specific reason met is what is reported when there is none.
 */
class PathSearch {
  private readonly input: CertificateInput
  private readonly anchors: TrustStore
  private readonly cache: CertificateCache
  /** What the peer sent along and leads to an anchor, as far as names tell. */
  private readonly candidates: ReadonlyArray<ParsedCertificate>
  private readonly sent: ReadonlyArray<ParsedCertificate>
  private steps = MAX_STEPS
  private signatures = MAX_SIGNATURES
  private forged = MAX_FORGED
  /** Signatures that were checked, by subject and issuer. */
  private readonly checked = new Map<ParsedCertificate, Map<ParsedCertificate, boolean>>()
  private readonly names = { left: MAX_NAME_COMPARISONS }
  private failure: TlsFailure | undefined
  /** What kept a certificate that the peer sent along from being read. */
  private unread: string | undefined

  constructor(input: CertificateInput, anchors: TrustStore, cache: CertificateCache) {
    this.input = input
    this.anchors = anchors
    this.cache = cache
    this.sent = this.readSent()
    this.candidates = this.leadingToAnchors()
  }

  run(leaf: ParsedCertificate): TlsFailure | undefined {
    // Whoever trusts exactly this certificate has said all there is to say about who issued it.
    if (this.anchors.has(leaf)) {
      this.cache.keep([leaf])
      return undefined
    }
    if (this.climb([leaf])) return undefined
    return this.failure ?? this.unknownAuthority(leaf)
  }

  /** The rest of what the peer sent: those that do not parse are of no use, and no harm. */
  private readSent(): ReadonlyArray<ParsedCertificate> {
    const seen = new Map<string, ParsedCertificate>()
    for (const der of this.input.chain.slice(1)) {
      const parsed = this.cache.parse(der)
      if ("problem" in parsed) this.unread ??= parsed.problem
      else seen.set(Buffer.from(der).toString("latin1"), parsed)
    }
    return [...seen.values()]
  }

  private leadingToAnchors(): ReadonlyArray<ParsedCertificate> {
    const bySubjectOfIssuer = new Map<string, Array<ParsedCertificate>>()
    for (const certificate of this.sent) {
      const same = bySubjectOfIssuer.get(certificate.issuer)
      if (same === undefined) bySubjectOfIssuer.set(certificate.issuer, [certificate])
      else same.push(certificate)
    }
    // The set grows while it is walked: each certificate is in it once, each issuer's name is looked up once.
    const leading = new Set<ParsedCertificate>()
    for (const [issuer, issued] of bySubjectOfIssuer) {
      if (this.anchors.find(issuer).length > 0) for (const certificate of issued) leading.add(certificate)
    }
    for (const { subject } of leading) {
      for (const certificate of bySubjectOfIssuer.get(subject) ?? []) leading.add(certificate)
    }
    return this.sent.filter((certificate) => leading.has(certificate))
  }

  /** Tries every issuer of the last certificate of `path` (leaf first); true when one leads to an anchor. */
  private climb(path: ReadonlyArray<ParsedCertificate>): boolean {
    const subject = path[path.length - 1]!
    const weak = weakSignature(subject.signatureAlgorithm, subject.signatureParameters)
    if (weak !== undefined) {
      return this.note(refuse("badSignature", `the ${name(subject)} is signed with ${weak}, which can be forged`))
    }
    for (const anchor of likelyFirst(subject, this.anchors.find(subject.issuer))) {
      if (this.exhausted()) return false
      if (this.allows(path, anchor, true) && this.holds([...path, anchor])) return true
    }
    for (const issuer of likelyFirst(subject, this.candidates)) {
      if (issuer.subject !== subject.issuer || path.some((link) => sameEntity(link, issuer))) continue
      if (this.exhausted()) return false
      if (path.length + 1 >= MAX_PATH) {
        return this.note(refuse("unknownAuthority", `the chain has more than ${MAX_PATH} certificates`))
      }
      if (this.allows(path, issuer, false) && this.climb([...path, issuer])) return true
    }
    return false
  }

  private exhausted(): boolean {
    if (this.steps-- > 0 && this.signatures > 0 && this.forged > 0) return false
    this.note(refuse("unknownAuthority", "the chain leads to too many possible issuers"))
    return true
  }

  /** Whether `issuer` may have issued the last certificate of `path`, by what it says. */
  private allows(path: ReadonlyArray<ParsedCertificate>, issuer: ParsedCertificate, isAnchor: boolean): boolean {
    const failure = checkCertificate(issuer, this.input) ?? checkAuthority(issuer, path, isAnchor)
    return failure === undefined || this.note(failure)
  }

  /** Whether a path up to an anchor is true: its signatures, and then what its authorities may speak for. */
  private holds(path: ReadonlyArray<ParsedCertificate>): boolean {
    for (let i = path.length - 1; i > 0; i--) if (!this.signed(path[i - 1]!, path[i]!)) return false
    if (!this.keepsToConstraints(path)) return false
    this.cache.keep(path.slice(0, -1))
    return true
  }

  private signed(subject: ParsedCertificate, issuer: ParsedCertificate): boolean {
    let known = this.checked.get(subject)
    if (known === undefined) this.checked.set(subject, (known = new Map()))
    let good = known.get(issuer)
    if (good === undefined) {
      if (this.signatures-- <= 0 || this.forged <= 0) return false
      good = signedBy(subject, issuer)
      known.set(issuer, good)
      if (!good) this.forged--
    }
    return (
      good ||
      this.note(
        refuse(
          "badSignature",
          `the signature on the ${name(subject)} is not from the key of "${issuer.label}"; it was changed, or another authority has the same name`
        )
      )
    )
  }

  /** Name constraints: each authority speaks for all that is below it. */
  private keepsToConstraints(path: ReadonlyArray<ParsedCertificate>): boolean {
    for (let i = path.length - 1; i > 0; i--) {
      const constraints = path[i]!.nameConstraints
      if (constraints === undefined) continue
      for (let below = i - 1; below >= 0; below--) {
        // Self-issued certificates in between only carry a CA over to another key (RFC 5280 section 6.1.3).
        if (below > 0 && isSelfIssued(path[below]!)) continue
        const problem = violatesConstraints(constraints, path[below]!, this.names)
        if (problem === undefined) continue
        return this.note(
          refuse(
            "badUsage",
            `"${path[i]!.label}" may not issue the ${name(path[below]!)}: ${problem} (name constraints)`,
            Alert.badCertificate
          )
        )
      }
    }
    return true
  }

  private note(failure: TlsFailure): false {
    this.failure ??= failure
    return false
  }

  private unknownAuthority(leaf: ParsedCertificate): TlsFailure {
    const advice = "to trust it, give its authority to Tls.layerTrustRoots or its hash to Tls.layerTrustPinned"
    const last = this.topOf(leaf)
    if (last === leaf && isSelfIssued(leaf)) {
      return { ...refuse("unknownAuthority", `the ${name(leaf)} is self-signed and not trusted here`), advice }
    }
    const unread = this.unread === undefined ? "" : ` (a certificate sent along ${this.unread})`
    return { ...refuse("unknownAuthority", `no trusted authority issued the ${name(last)}${unread}`), advice }
  }

  /** Where the names lead that the peer sent. */
  private topOf(leaf: ParsedCertificate): ParsedCertificate {
    let top = leaf
    for (let length = 1; length < MAX_PATH; length++) {
      const above = this.sent.find(({ subject }) => subject === top.issuer)
      if (above === undefined || above === top) return top
      top = above
    }
    return top
  }
}

/** Those whose key the subject names first: others of the same name are seldom right, and a wrong one costs a signature. */
const likelyFirst = (
  { issuerKeyId }: ParsedCertificate,
  issuers: ReadonlyArray<ParsedCertificate>
): ReadonlyArray<ParsedCertificate> => {
  if (issuerKeyId === undefined || issuers.length < 2) return issuers
  const isLikely = ({ keyId }: ParsedCertificate) => keyId === issuerKeyId
  return [...issuers.filter(isLikely), ...issuers.filter((issuer) => !isLikely(issuer))]
}

const isSelfIssued = (certificate: ParsedCertificate): boolean => certificate.subject === certificate.issuer

const sameEntity = (a: ParsedCertificate, b: ParsedCertificate): boolean =>
  a === b || (a.subject === b.subject && Buffer.compare(a.publicKeyInfo, b.publicKeyInfo) === 0)

/** Whether `issuer` may issue what `path` ends with (RFC 5280 section 6.1.4 (k) to (n)). */
const checkAuthority = (
  issuer: ParsedCertificate,
  path: ReadonlyArray<ParsedCertificate>,
  isAnchor: boolean
): TlsFailure | undefined => {
  // Roots from before X.509 v3 have no extensions to say so; trusting them says it.
  if (!issuer.isCa && !(isAnchor && issuer.version < 3)) {
    return refuse("badUsage", `the ${name(issuer)} is not a certificate authority, so it cannot issue certificates`)
  }
  if (issuer.keyUsage !== undefined && (issuer.keyUsage & KeyUsageBit.keyCertSign) === 0) {
    return refuse("badUsage", `the ${name(issuer)} may not sign certificates: its key usage lacks keyCertSign`)
  }
  // Intermediates below the issuer; the leaf and self-issued ones do not count.
  const below = path.slice(1).filter((link) => !isSelfIssued(link)).length
  if (issuer.pathLength !== undefined && below > issuer.pathLength) {
    return refuse(
      "badUsage",
      `the ${name(issuer)} allows ${issuer.pathLength} authorities below it, and the chain has ${below}`
    )
  }
  return undefined
}

const signedBy = (subject: ParsedCertificate, issuer: ParsedCertificate): boolean => {
  const key = issuer.publicKey()
  try {
    return key !== undefined && subject.x509().verify(key)
  } catch {
    // What OpenSSL reads in another way, or a signature algorithm that does not go with the issuer's kind of key.
    return false
  }
}
