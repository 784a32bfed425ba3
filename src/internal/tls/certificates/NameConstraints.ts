/** Name constraints (RFC 5280 sections 4.2.1.10 and 6.1.3): a CA speaks for some names only. */
import { AsnConvert } from "@peculiar/asn1-schema"
import { Name } from "@peculiar/asn1-x509"
import { NameKind, textOf } from "./GeneralNames.ts"
import type { GeneralName, NameConstraints } from "./GeneralNames.ts"
import type { ParsedCertificate } from "./ParsedCertificate.ts"

/** Comparisons allowed per chain: a hostile CA could otherwise ask for names times constraints of them. */
export const MAX_NAME_COMPARISONS = 100_000

export interface ComparisonBudget {
  left: number
}

const EMAIL_ATTRIBUTE = "1.2.840.113549.1.9.1"

/** Undefined: `certificate` keeps to the constraints. Otherwise what is wrong, for the message. */
export const violatesConstraints = (
  constraints: NameConstraints,
  certificate: ParsedCertificate,
  budget: ComparisonBudget
): string | undefined => {
  for (const name of certificate.names?.all ?? []) {
    budget.left -= constraints.permitted.length + constraints.excluded.length
    if (budget.left < 0) return "the chain has too many names and name constraints to compare"
    const problem = checkName(constraints, name)
    if (problem !== undefined) return problem
  }
  return checkSubject(constraints, certificate.subjectName)
}

const checkName = (constraints: NameConstraints, name: GeneralName): string | undefined => {
  const of = (list: ReadonlyArray<GeneralName>) => list.filter((subtree) => subtree.kind === name.kind)
  const permitted = of(constraints.permitted)
  const excluded = of(constraints.excluded)
  if (permitted.length === 0 && excluded.length === 0) return undefined
  const text = textOf(name)
  switch (name.kind) {
    case NameKind.dns:
      if (excluded.some((subtree) => excludesDns(textOf(subtree), text))) return `the name ${text} is excluded`
      return permitted.length === 0 || permitted.some((subtree) => coversDns(textOf(subtree), text))
        ? undefined
        : `the name ${text} is outside the permitted names`
    case NameKind.ip:
      if (excluded.some((subtree) => coversIp(subtree.value, name.value))) return "an IP address is excluded"
      return permitted.length === 0 || permitted.some((subtree) => coversIp(subtree.value, name.value))
        ? undefined
        : "an IP address is outside the permitted networks"
    case NameKind.directory:
      return checkDirectory(permitted, excluded, parseName(name.value))
    default:
      // RFC 5280: a constraint on a form of name that appears must be processed, or the certificate refused.
      return `a constraint on names of kind ${name.kind} is not supported`
  }
}

const checkSubject = (constraints: NameConstraints, subject: Name): string | undefined => {
  if (subject.length === 0) return undefined
  const all = [...constraints.permitted, ...constraints.excluded]
  const hasEmail = subject.some((attributes) => attributes.some((attribute) => attribute.type === EMAIL_ATTRIBUTE))
  if (hasEmail && all.some((subtree) => subtree.kind === NameKind.email)) {
    return "a constraint on e-mail addresses is not supported"
  }
  return checkDirectory(directoryNames(constraints.permitted), directoryNames(constraints.excluded), subject)
}

const directoryNames = (list: ReadonlyArray<GeneralName>): ReadonlyArray<GeneralName> =>
  list.filter((subtree) => subtree.kind === NameKind.directory)

/** `example.com` covers itself and what is below it; with a leading dot, only what is below it; empty covers all. */
const coversDns = (constraint: string, name: string): boolean => {
  const base = constraint.toLowerCase()
  const candidate = withoutFinalDot(name.toLowerCase())
  if (base === "") return true
  if (base.startsWith(".")) return candidate.endsWith(base)
  return candidate === base || candidate.endsWith(`.${base}`)
}

/** An excluded name is also excluded under a wildcard that would stand for it. */
const excludesDns = (constraint: string, name: string): boolean => {
  if (coversDns(constraint, name)) return true
  if (!name.startsWith("*.")) return false
  const base = constraint.toLowerCase()
  const dot = base.indexOf(".")
  return dot > 0 && base.slice(dot + 1) === withoutFinalDot(name.slice(2).toLowerCase())
}

const withoutFinalDot = (name: string): string => (name.endsWith(".") ? name.slice(0, -1) : name)

/** `network` is an address followed by its mask, each as long as `address`. */
const coversIp = (network: Uint8Array, address: Uint8Array): boolean => {
  const length = address.length
  if (network.length !== 2 * length) return false
  return address.every((byte, i) => (byte & network[length + i]!) === (network[i]! & network[length + i]!))
}

const checkDirectory = (
  permitted: ReadonlyArray<GeneralName>,
  excluded: ReadonlyArray<GeneralName>,
  name: Name | undefined
): string | undefined => {
  if (permitted.length === 0 && excluded.length === 0) return undefined
  const inside = permitted.map((subtree) => parseName(subtree.value))
  const outside = excluded.map((subtree) => parseName(subtree.value))
  if (name === undefined || inside.includes(undefined) || outside.includes(undefined)) {
    return "a directory name does not decode"
  }
  if (outside.some((base) => base !== undefined && startsWith(name, base))) return "the subject is excluded"
  return inside.length === 0 || inside.some((base) => base !== undefined && startsWith(name, base))
    ? undefined
    : "the subject is outside the permitted directory names"
}

const parseName = (der: Uint8Array): Name | undefined => {
  try {
    return AsnConvert.parse(der, Name)
  } catch {
    return undefined
  }
}

const startsWith = (name: Name, base: Name): boolean =>
  base.length <= name.length && base.every((attributes, i) => canonical(attributes) === canonical(name[i]!))

/** Attributes of one RDN in a form in which RFC 5280 section 7.1 calls them equal: case and runs of spaces do not count. */
const canonical = (attributes: Name[number]): string =>
  attributes
    .map((attribute) => `${attribute.type}=${attribute.value.toString().toLowerCase().trim().replace(/\s+/g, " ")}`)
    .toSorted()
    .join("\n")
