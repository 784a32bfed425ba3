/**
 * Reading DER (X.690), as far as certificates need it. Each byte is looked at a fixed number of times: what is read here
 * comes from peers that nobody knows yet.
 */

/** Where one value lies: `start` at its tag, its contents in `[content, end)`. */
export interface Tlv {
  readonly tag: number
  readonly start: number
  readonly content: number
  readonly end: number
}

/** The value at `offset`; undefined when it is cut off, or has a length that DER does not write that way. */
export const readTlv = (bytes: Uint8Array, offset: number, limit = bytes.length): Tlv | undefined => {
  if (offset + 2 > limit) return undefined
  const tag = bytes[offset]!
  // Tag numbers of 31 and above have several bytes; X.509 has none.
  if ((tag & 0x1f) === 0x1f) return undefined
  const first = bytes[offset + 1]!
  let length = first
  let content = offset + 2
  if (first >= 0x80) {
    const count = first & 0x7f
    if (count === 0 || count > 3 || content + count > limit) return undefined
    length = 0
    for (let i = 0; i < count; i++) length = length * 256 + bytes[content + i]!
    content += count
    if (length < 0x80 || length < 2 ** (8 * (count - 1))) return undefined
  }
  const end = content + length
  return end <= limit ? { tag, start: offset, content, end } : undefined
}

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31
} as const

/** A tag of its context: `[number]`. */
export const contextTag = (number: number, constructed = false): number => (constructed ? 0xa0 : 0x80) | number

/** What cannot be read ends here, and is caught by whoever began to read. */
export class DerError extends Error {}

/** Reads values one after the other. */
export class DerReader {
  readonly bytes: Uint8Array
  private at: number
  private readonly end: number

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  get more(): boolean {
    return this.at < this.end
  }

  /** The next value, of this tag if one is given. */
  next(tag?: number): Tlv {
    const value = readTlv(this.bytes, this.at, this.end)
    if (value === undefined || (tag !== undefined && value.tag !== tag)) throw new DerError("malformed DER")
    this.at = value.end
    return value
  }

  /** The tag of the next value; -1 at the end. */
  peek(): number {
    return this.more ? this.bytes[this.at]! : -1
  }

  /** The next value if it has this tag. */
  optional(tag: number): Tlv | undefined {
    return this.peek() === tag ? this.next(tag) : undefined
  }

  /** A reader of what is in a value. */
  within({ content, end }: Tlv): DerReader {
    return new DerReader(this.bytes, content, end)
  }

  /** A reader of what is in the next value. */
  enter(tag: number): DerReader {
    return this.within(this.next(tag))
  }

  /** The contents of a value. */
  contents({ content, end }: Tlv): Uint8Array {
    return this.bytes.subarray(content, end)
  }

  boolean(): boolean {
    const value = this.contents(this.next(Tag.boolean))
    if (value.length !== 1) throw new DerError("malformed BOOLEAN")
    return value[0] !== 0
  }

  oid(): string {
    return oidText(this.contents(this.next(Tag.oid)))
  }

  /** Nothing may be left. */
  finish(): void {
    if (this.more) throw new DerError("trailing DER")
  }
}

/** Longest OID that is read, in bytes. */
const MAX_OID = 64

/** An OID as people write it. Numbers above 2^53 do not come out whole: nobody has such ones. */
const oidText = (bytes: Uint8Array): string => {
  if (bytes.length === 0 || bytes.length > MAX_OID || bytes[bytes.length - 1]! >= 0x80) throw new DerError("bad OID")
  const numbers: Array<number> = []
  let value = 0
  for (const byte of bytes) {
    value = value * 128 + (byte & 0x7f)
    if (byte >= 0x80) continue
    if (numbers.length === 0) {
      const first = Math.min(2, Math.floor(value / 40))
      numbers.push(first, value - 40 * first)
    } else numbers.push(value)
    value = 0
  }
  return numbers.join(".")
}

/** The encoded parts of a certificate that are compared as bytes. */
export interface CertificateOutline {
  /** Name of the issuer, DER as latin1 text, so that it can be a key. */
  readonly issuer: string
  readonly subject: string
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyInfo: Uint8Array
}

/** Finds issuer, subject and key in an encoded certificate (RFC 5280 section 4.1); undefined when it is not one, or has bytes after it. */
export const outline = (der: Uint8Array): CertificateOutline | undefined => {
  const certificate = readTlv(der, 0)
  if (certificate === undefined || certificate.tag !== Tag.sequence || certificate.end !== der.length) return undefined
  const tbs = readTlv(der, certificate.content, certificate.end)
  if (tbs === undefined || tbs.tag !== Tag.sequence) return undefined
  let at = tbs.content
  const next = (tag: number): Tlv | undefined => {
    const value = readTlv(der, at, tbs.end)
    if (value === undefined || value.tag !== tag) return undefined
    at = value.end
    return value
  }
  next(contextTag(0, true))
  if (next(Tag.integer) === undefined || next(Tag.sequence) === undefined) return undefined
  const issuer = next(Tag.sequence)
  const validity = next(Tag.sequence)
  const subject = next(Tag.sequence)
  const publicKeyInfo = next(Tag.sequence)
  if (issuer === undefined || validity === undefined || subject === undefined || publicKeyInfo === undefined) {
    return undefined
  }
  return {
    issuer: textOf(der, issuer),
    subject: textOf(der, subject),
    publicKeyInfo: der.subarray(publicKeyInfo.start, publicKeyInfo.end)
  }
}

/** The bytes of a value as latin1 text, so that they can be a key. */
export const textOf = (bytes: Uint8Array, value: Tlv): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + value.start, value.end - value.start).toString("latin1")
