/**
 * GeneralName lists (RFC 5280 section 4.2.1.6) with the bytes that were encoded: network masks that are no prefix would not
 * survive being turned into text.
 */
import { contextTag, DerError, Tag } from "./Der.ts"
import type { DerReader } from "./Der.ts"

export interface GeneralName {
  /** Context tag: 1 rfc822Name, 2 dNSName, 4 directoryName, 6 URI, 7 iPAddress. */
  readonly kind: number
  /** The contents: text as latin1 for 1, 2 and 6, the bytes of the address (and mask) for 7, an encoded Name for 4. */
  readonly value: Uint8Array
}

export const NameKind = { email: 1, dns: 2, directory: 4, uri: 6, ip: 7 } as const

export const textOf = (name: GeneralName): string =>
  Buffer.from(name.value.buffer, name.value.byteOffset, name.value.length).toString("latin1")

/** Subtrees that names below a CA must be in, and must not be in (RFC 5280 section 4.2.1.10). */
export interface NameConstraints {
  readonly permitted: ReadonlyArray<GeneralName>
  readonly excluded: ReadonlyArray<GeneralName>
}

/** Names that one certificate may have, or may constrain. Public ones have a few hundred at the most. */
const MAX_NAMES = 1024

/** Reads a GeneralName: its context tag tells its kind. */
const readGeneralName = (reader: DerReader): GeneralName => {
  const name = reader.next()
  if ((name.tag & 0xc0) !== 0x80) throw new DerError("no general name")
  return { kind: name.tag & 0x1f, value: reader.contents(name) }
}

/** Reads a SubjectAltName extension. Throws `DerError`. */
export const readGeneralNames = (reader: DerReader): ReadonlyArray<GeneralName> => {
  const list = reader.enter(Tag.sequence)
  const names: Array<GeneralName> = []
  while (list.more) {
    if (names.length === MAX_NAMES) throw new DerError("too many names")
    names.push(readGeneralName(list))
  }
  if (names.length === 0) throw new DerError("no name")
  return names
}

/**
 * Reads a NameConstraints extension. Throws `DerError`, also when it uses `minimum` or `maximum`, which RFC 5280 rules out.
 */
export const readNameConstraints = (reader: DerReader): NameConstraints => {
  const whole = reader.enter(Tag.sequence)
  const permitted = readSubtrees(whole, 0)
  const excluded = readSubtrees(whole, 1)
  whole.finish()
  if (permitted.length + excluded.length === 0) throw new DerError("no constraint")
  return { permitted, excluded }
}

const readSubtrees = (reader: DerReader, number: number): ReadonlyArray<GeneralName> => {
  const found = reader.optional(contextTag(number, true))
  if (found === undefined) return []
  const list = reader.within(found)
  const bases: Array<GeneralName> = []
  while (list.more) {
    if (bases.length === MAX_NAMES) throw new DerError("too many constraints")
    const subtree = list.enter(Tag.sequence)
    bases.push(readGeneralName(subtree))
    subtree.finish()
  }
  return bases
}
