/**
 * Certification path validation (RFC 5280 section 6) as TLS needs it: from the peer's leaf, through whatever it sent along, to an
 * anchor that is trusted here; then usage, dates and name.
 */
import type { CertificateInput } from "../Identity.ts"
import type { TlsFailure } from "../TlsSession.ts"
import { weakKey, weakSignature } from "./Algorithms.ts"
import { MAX_NAME_COMPARISONS, violatesConstraints } from "./NameConstraints.ts"
import { matchesReference, parseReference } from "./Names.ts"
import { describeNames } from "./ParsedCertificate.ts"
import type { CertificateCache, ParsedCertificate, Unreadable } from "./ParsedCertificate.ts"
import type { TrustStore } from "./TrustStore.ts"

/** Certificates in a path, leaf and anchor included. Public ones have three or four. */
const MAX_PATH = 8
/** Certificates of the peer that are looked at. */
const MAX_SENT = 32
/** Signatures checked for one chain: cross-signed certificates could otherwise be arranged so that paths multiply. */
const MAX_SIGNATURES = 40

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
  const leaf = cache.parse(first)
  if ("problem" in leaf) return refuseUnreadable("the peer's certificate", leaf)
  return (
    checkCertificate(leaf, input) ??
    checkLeaf(leaf, input) ??
    checkName(leaf, input) ??
    new PathSearch(input, anchors, cache).run(leaf)
  )
}

const refuseUnreadable = (whose: string, { problem, unsupported }: Unreadable): TlsFailure =>
  unsupported ? refuse("badUsage", `${whose} ${problem}`) : refuse("malformed", `${whose} ${problem}`)

const name = (certificate: ParsedCertificate): string => `certificate "${certificate.label}"`

/** What every certificate of a path must keep to, the anchor included. */
const checkCertificate = (certificate: ParsedCertificate, input: CertificateInput): TlsFailure | undefined => {
  if (input.now < certificate.notBefore) {
    return refuse(
      "notYetValid",
      `the ${name(certificate)} is valid from ${day(certificate.notBefore)}; it is ${day(input.now)} here: check this clock`
    )
  }
  if (input.now > certificate.notAfter) {
    return refuse(
      "expired",
      `the ${name(certificate)} expired on ${day(certificate.notAfter)}; it is ${day(input.now)} here: have it renewed, or check this clock`
    )
  }
  const weak = weakKey(certificate.publicKey)
  if (weak !== undefined) {
    return refuse("badSignature", `the ${name(certificate)} has ${weak}; have it issued for a stronger key`)
  }
  if (certificate.unknownCritical.length > 0) {
    return refuse(
      "badUsage",
      `the ${name(certificate)} has critical extensions that are not understood here: ${certificate.unknownCritical.join(", ")}`
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

/** Depth-first search for a path that holds. The first specific reason met is what is reported when there is none. */
class PathSearch {
  private readonly input: CertificateInput
  private readonly anchors: TrustStore
  private readonly cache: CertificateCache
  private readonly sent: ReadonlyArray<ParsedCertificate>
  private signatures = MAX_SIGNATURES
  private readonly names = { left: MAX_NAME_COMPARISONS }
  private failure: TlsFailure | undefined
  /** Where the search ended with nobody to turn to. */
  private deadEnd: ParsedCertificate | undefined
  /** What kept a certificate that the peer sent along from being read. */
  private unread: string | undefined

  constructor(input: CertificateInput, anchors: TrustStore, cache: CertificateCache) {
    this.input = input
    this.anchors = anchors
    this.cache = cache
    this.sent = this.readSent()
  }

  run(leaf: ParsedCertificate): TlsFailure | undefined {
    // Whoever trusts exactly this certificate has said all there is to say about who issued it.
    if (this.anchors.has(leaf)) return undefined
    if (this.extend([leaf])) return undefined
    return this.failure ?? this.unknownAuthority(leaf)
  }

  /** The rest of what the peer sent: those that do not parse are of no use, and no harm. */
  private readSent(): ReadonlyArray<ParsedCertificate> {
    const seen = new Set<ParsedCertificate>()
    for (const der of this.input.chain.slice(1, MAX_SENT)) {
      const parsed = this.cache.parse(der)
      if ("problem" in parsed) this.unread ??= parsed.problem
      else seen.add(parsed)
    }
    return [...seen]
  }

  /** Tries every issuer of the last certificate of `path` (leaf first); true when one leads to an anchor. */
  private extend(path: ReadonlyArray<ParsedCertificate>): boolean {
    const subject = path[path.length - 1]!
    const weak = weakSignature(subject.signatureAlgorithm, subject.signatureParameters)
    if (weak !== undefined) {
      this.note(refuse("badSignature", `the ${name(subject)} is signed with ${weak}, which can be forged`))
      return false
    }
    let tried = 0
    for (const anchor of this.anchors.find(subject.issuer)) {
      tried++
      if (this.accepts(path, anchor, true) && this.holds([...path, anchor])) return true
    }
    for (const issuer of this.sent) {
      if (issuer.subject !== subject.issuer || path.some((link) => sameEntity(link, issuer))) continue
      tried++
      if (path.length + 1 >= MAX_PATH) {
        this.note(refuse("unknownAuthority", `the chain has more than ${MAX_PATH} certificates`))
        return false
      }
      if (this.accepts(path, issuer, false) && this.extend([...path, issuer])) return true
      if (this.signatures <= 0) return false
    }
    if (tried === 0) this.deadEnd ??= subject
    return false
  }

  /** Whether `issuer` may have issued the last certificate of `path`, and did. */
  private accepts(path: ReadonlyArray<ParsedCertificate>, issuer: ParsedCertificate, isAnchor: boolean): boolean {
    const subject = path[path.length - 1]!
    const failure = checkCertificate(issuer, this.input) ?? checkAuthority(issuer, path, isAnchor)
    if (failure !== undefined) return this.note(failure)
    if (this.signatures-- <= 0) {
      return this.note(refuse("unknownAuthority", "the chain leads to too many possible issuers"))
    }
    if (signedBy(subject, issuer)) return true
    return this.note(
      refuse(
        "badSignature",
        `the signature on the ${name(subject)} is not from the key of "${issuer.label}"; it was changed, or another authority has the same name`
      )
    )
  }

  /** Name constraints, now that the path is whole: each authority speaks for all that is below it. */
  private holds(path: ReadonlyArray<ParsedCertificate>): boolean {
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
    const last = this.deadEnd ?? leaf
    const advice = "to trust it, give its authority to Tls.layerTrustRoots or its hash to Tls.layerTrustPinned"
    if (last === leaf && isSelfIssued(leaf)) {
      return refuse("unknownAuthority", `the ${name(leaf)} is self-signed and not trusted here; ${advice}`)
    }
    const unread = this.unread === undefined ? "" : ` (a certificate sent along ${this.unread})`
    return refuse("unknownAuthority", `no trusted authority issued the ${name(last)}${unread}; ${advice}`)
  }
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
  try {
    return subject.x509.verify(issuer.publicKey)
  } catch {
    // A signature algorithm that does not go with the issuer's kind of key.
    return false
  }
}
