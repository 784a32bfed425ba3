/** Name constraints (RFC 5280 sections 4.2.1.10 and 6.1.3): a CA speaks for some names only. */
import { printable } from "../../wire/Text.ts"
import { canonicalName, isBelow, readName } from "./DirectoryName.ts"
import { NameKind, textOf } from "./GeneralNames.ts"
import type { GeneralName, NameConstraints } from "./GeneralNames.ts"
import { sameBytes } from "./Names.ts"
import type { ParsedCertificate } from "./ParsedCertificate.ts"

/** Comparisons allowed per chain: a hostile CA could otherwise ask for names times constraints of them. */
export const MAX_NAME_COMPARISONS = 20_000

export interface ComparisonBudget {
  left: number
}

const EMAIL_ATTRIBUTE = "1.2.840.113549.1.9.1"
/** Longest name in a message. */
const MAX_SHOWN = 80

/** How names of one kind are held against constraints. */
interface Form<Name> {
  /** What messages call such a name. */
  readonly what: string
  /** Reads a name, or what names are held against. Undefined when it is none, which is refused where there are constraints. */
  readonly read: (value: Uint8Array, isBase: boolean) => Name | undefined
  readonly covers: (base: Name, name: Name) => boolean
  /** As `covers`, for what is excluded, where that is more. */
  readonly excludes?: (base: Name, name: Name) => boolean
}

/** Undefined: `certificate` keeps to the constraints. Otherwise what is wrong, for the message. */
export const violatesConstraints = (
  constraints: NameConstraints,
  certificate: ParsedCertificate,
  budget: ComparisonBudget
): string | undefined => {
  const bases = new Map<number, Bases>()
  for (const name of namesOf(certificate)) {
    let against = bases.get(name.kind)
    if (against === undefined) bases.set(name.kind, (against = new Bases(constraints, name.kind)))
    budget.left -= against.count
    if (budget.left < 0) return "the chain has too many names and name constraints to compare"
    const problem = against.check(name)
    if (problem !== undefined) return problem
  }
  return undefined
}

/** The alternative names and the subject, which may hold e-mail addresses as certificates of old have them. */
const namesOf = ({ names, subjectDer, subjectName }: ParsedCertificate): ReadonlyArray<GeneralName> => {
  const all = names?.all ?? []
  if (subjectName.length === 0) return all
  const subject = { kind: NameKind.directory, value: subjectDer }
  if (all.some(({ kind }) => kind === NameKind.email)) return [...all, subject]
  const addresses = subjectName.flat().filter(({ type }) => type === EMAIL_ATTRIBUTE)
  return [...all, ...addresses.map(({ text }) => ({ kind: NameKind.email, value: Buffer.from(text) })), subject]
}

/** The constraints on one kind of name. */
class Bases {
  readonly count: number
  private readonly form: Form<unknown> | undefined
  private readonly permitted: ReadonlyArray<unknown>
  private readonly excluded: ReadonlyArray<unknown>

  constructor(constraints: NameConstraints, kind: number) {
    const form = forms.get(kind)
    const of = (list: ReadonlyArray<GeneralName>) =>
      list.filter((base) => base.kind === kind).map(({ value }) => form?.read(value, true))
    this.form = form
    this.permitted = of(constraints.permitted)
    this.excluded = of(constraints.excluded)
    this.count = this.permitted.length + this.excluded.length
  }

  check({ kind, value }: GeneralName): string | undefined {
    const { excluded, form, permitted } = this
    if (this.count === 0) return undefined
    // RFC 5280: a constraint on a form of name that appears must be processed, or the certificate refused.
    if (form === undefined) return `a constraint on names of kind ${kind} is not supported`
    const name = form.read(value, false)
    if (name === undefined || permitted.includes(undefined) || excluded.includes(undefined)) {
      return `${form.what} or a constraint on it does not decode`
    }
    const excludes = form.excludes ?? form.covers
    const shown = typeof name === "string" ? `${form.what} ${printable(name, MAX_SHOWN)}` : form.what
    if (excluded.some((base) => excludes(base, name))) return `${shown} is excluded`
    return permitted.length === 0 || permitted.some((base) => form.covers(base, name))
      ? undefined
      : `${shown} is outside of what is permitted`
  }
}

const latin1 = (value: Uint8Array): string => textOf({ kind: 0, value })

/** In lower case and without the final dot; a dot alone is no way to say "everything". */
const hostOf = (text: string): string => {
  const host = text.toLowerCase()
  return host.length > 1 && host.endsWith(".") ? host.slice(0, -1) : host
}

/** `example.com` covers itself and what is below it; with a leading dot, only what is below it; empty covers all. */
const coversDns = (base: string, name: string): boolean => {
  if (base === "") return true
  if (base.startsWith(".")) return name.endsWith(base)
  return name === base || name.endsWith(`.${base}`)
}

/** An excluded name is also excluded under a wildcard that would stand for it. */
const excludesDns = (base: string, name: string): boolean => {
  if (coversDns(base, name)) return true
  if (!name.startsWith("*.")) return false
  const dot = base.indexOf(".")
  return dot > 0 && base.slice(dot + 1) === name.slice(2)
}

/** Hosts of addresses and URIs: `host` covers itself alone; with a leading dot, only what is below it; empty covers all. */
const coversHost = (base: string, host: string): boolean =>
  base === "" || (base.startsWith(".") ? host.endsWith(base) : host === base)

/** A mailbox with the host in lower case. A base may be a host alone, which covers all of its mailboxes. */
const readEmail = (value: Uint8Array, isBase: boolean): string | undefined => {
  const text = latin1(value)
  const at = text.lastIndexOf("@")
  if (at <= 0 && !(isBase && at < 0)) return undefined
  return text.slice(0, at + 1) + hostOf(text.slice(at + 1))
}

const coversEmail = (base: string, mailbox: string): boolean =>
  base.includes("@") ? mailbox === base : coversHost(base, mailbox.slice(mailbox.lastIndexOf("@") + 1))

const AUTHORITY = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#@:[\]]+)(?::\d*)?(?:[/?#]|$)/i

/** The host of a URI: constraints are on URIs that have one, and by name. */
const readUri = (value: Uint8Array, isBase: boolean): string | undefined => {
  const host = isBase ? latin1(value) : AUTHORITY.exec(latin1(value))?.[1]
  return host === undefined || /[:/@]|^[\d.]+$/.test(host) ? undefined : hostOf(host)
}

const readDirectory = (value: Uint8Array): ReadonlyArray<string> | undefined => {
  try {
    return canonicalName(readName(value))
  } catch {
    return undefined
  }
}

/** `network` is an address followed by its mask, each as long as `address`. */
const coversIp = (network: Uint8Array, address: Uint8Array): boolean => {
  const length = address.length
  if (network.length !== 2 * length) return false
  const masked = (bytes: Uint8Array) => bytes.slice(0, length).map((byte, i) => byte & network[length + i]!)
  return sameBytes(masked(network), masked(address))
}

const form = <Name>(kind: number, rules: Form<Name>): readonly [number, Form<unknown>] => [
  kind,
  rules as unknown as Form<unknown>
]

const forms: ReadonlyMap<number, Form<unknown>> = new Map([
  form(NameKind.dns, {
    what: "the name",
    read: (value) => hostOf(latin1(value)),
    covers: coversDns,
    excludes: excludesDns
  }),
  form(NameKind.email, { what: "the e-mail address", read: readEmail, covers: coversEmail }),
  form(NameKind.uri, { what: "the host of a URI", read: readUri, covers: coversHost }),
  form(NameKind.ip, { what: "an IP address", read: (value) => value, covers: coversIp }),
  form(NameKind.directory, { what: "the subject", read: readDirectory, covers: (base, name) => isBelow(name, base) })
])
