/**
 * GeneralName lists (RFC 5280 section 4.2.1.6) with the bytes that were encoded: the ASN.1 library turns addresses into
 * text, and network masks that are no prefix do not survive that.
 */
import { readTlv } from "./Der.ts"

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

const SEQUENCE = 0x30

/** Reads a SubjectAltName extension; undefined when it is malformed. */
export const readGeneralNames = (der: Uint8Array): ReadonlyArray<GeneralName> | undefined => {
  const list = readTlv(der, 0)
  if (list === undefined || list.tag !== SEQUENCE || list.end !== der.length) return undefined
  const names: Array<GeneralName> = []
  for (let at = list.content; at < list.end;) {
    const name = readTlv(der, at, list.end)
    if (name === undefined || (name.tag & 0xc0) !== 0x80) return undefined
    names.push({ kind: name.tag & 0x1f, value: der.subarray(name.content, name.end) })
    at = name.end
  }
  return names.length === 0 ? undefined : names
}

/** Reads a NameConstraints extension; undefined when it is malformed, or uses `minimum` or `maximum`, which RFC 5280 rules out. */
export const readNameConstraints = (der: Uint8Array): NameConstraints | undefined => {
  const whole = readTlv(der, 0)
  if (whole === undefined || whole.tag !== SEQUENCE || whole.end !== der.length) return undefined
  const lists: [Array<GeneralName>, Array<GeneralName>] = [[], []]
  for (let at = whole.content; at < whole.end;) {
    const subtrees = readTlv(der, at, whole.end)
    if (subtrees === undefined || (subtrees.tag !== 0xa0 && subtrees.tag !== 0xa1)) return undefined
    const list = lists[subtrees.tag === 0xa0 ? 0 : 1]
    for (let inner = subtrees.content; inner < subtrees.end;) {
      const subtree = readTlv(der, inner, subtrees.end)
      if (subtree === undefined || subtree.tag !== SEQUENCE) return undefined
      const base = readTlv(der, subtree.content, subtree.end)
      if (base === undefined || base.end !== subtree.end) return undefined
      list.push({ kind: base.tag & 0x1f, value: der.subarray(base.content, base.end) })
      inner = subtree.end
    }
    at = subtrees.end
  }
  return lists[0].length + lists[1].length === 0 ? undefined : { permitted: lists[0], excluded: lists[1] }
}
