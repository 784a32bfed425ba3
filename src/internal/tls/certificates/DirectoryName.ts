/** Distinguished names (RFC 5280 section 4.1.2.4) as text: for messages, and to compare them with name constraints. */
import { DerError, DerReader, Tag } from "./Der.ts"

export interface Attribute {
  /** OID. */
  readonly type: string
  readonly text: string
}

/** Relative distinguished names in order, each with its attributes. */
export type DirectoryName = ReadonlyArray<ReadonlyArray<Attribute>>

/** Attributes that a name may have. Real ones have up to a dozen. */
const MAX_ATTRIBUTES = 64

/** Reads an encoded Name. Throws `DerError`. */
export const readName = (der: Uint8Array): DirectoryName => {
  const name = new DerReader(der)
  const sequence = name.enter(Tag.sequence)
  name.finish()
  const parts: Array<ReadonlyArray<Attribute>> = []
  let count = 0
  while (sequence.more) {
    const set = sequence.enter(Tag.set)
    const attributes: Array<Attribute> = []
    while (set.more) {
      if (++count > MAX_ATTRIBUTES) throw new DerError("too many attributes in a name")
      const attribute = set.enter(Tag.sequence)
      const type = attribute.oid()
      const value = attribute.next()
      attribute.finish()
      attributes.push({ type, text: textOf(value.tag, set.contents(value)) })
    }
    parts.push(attributes)
  }
  return parts
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

/** DirectoryString and IA5String (RFC 5280 appendix A.1). What is no text stays what it is, in hex. */
const textOf = (tag: number, bytes: Uint8Array): string => {
  switch (tag) {
    case 0x0c: // UTF8String
      return Buffer.from(bytes).toString()
    case 0x12: // NumericString
    case 0x13: // PrintableString
    case 0x14: // TeletexString
    case 0x16: // IA5String
      return latin1(bytes)
    case 0x1e: // BMPString
      return bytes.length % 2 === 0 ? Buffer.from(bytes).swap16().toString("utf16le") : latin1(bytes)
    default:
      return `#${Buffer.from(bytes).toString("hex")}`
  }
}

/** Each RDN in a form in which RFC 5280 section 7.1 calls them equal: case and runs of spaces do not count. */
export const canonicalName = (name: DirectoryName): ReadonlyArray<string> =>
  name.map((attributes) =>
    attributes
      .map(({ text, type }) => `${type}=${text.toLowerCase().trim().replace(/\s+/g, " ")}`)
      .toSorted()
      .join("\n")
  )

/** Whether a canonical name lies below another one. */
export const isBelow = (name: ReadonlyArray<string>, base: ReadonlyArray<string>): boolean =>
  base.length <= name.length && base.every((part, i) => part === name[i])
