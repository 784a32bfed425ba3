/**
 * The few steps through DER (X.690) that need the encoded bytes themselves: names are compared, and keys are hashed, as
 * they were encoded. Everything else about a certificate is read by the ASN.1 library.
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

/** The encoded parts of a certificate that are compared as bytes. */
export interface CertificateOutline {
  /** Name of the issuer, DER as latin1 text, so that it can be a key. */
  readonly issuer: string
  readonly subject: string
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyInfo: Uint8Array
}

const SEQUENCE = 0x30
const INTEGER = 0x02
const EXPLICIT_VERSION = 0xa0

/** Finds issuer, subject and key in an encoded certificate (RFC 5280 section 4.1); undefined when it is not one, or has bytes after it. */
export const outline = (der: Uint8Array): CertificateOutline | undefined => {
  const certificate = readTlv(der, 0)
  if (certificate === undefined || certificate.tag !== SEQUENCE || certificate.end !== der.length) return undefined
  const tbs = readTlv(der, certificate.content, certificate.end)
  if (tbs === undefined || tbs.tag !== SEQUENCE) return undefined
  let at = tbs.content
  const next = (tag: number): Tlv | undefined => {
    const value = readTlv(der, at, tbs.end)
    if (value === undefined || value.tag !== tag) return undefined
    at = value.end
    return value
  }
  next(EXPLICIT_VERSION)
  if (next(INTEGER) === undefined || next(SEQUENCE) === undefined) return undefined
  const issuer = next(SEQUENCE)
  const validity = next(SEQUENCE)
  const subject = next(SEQUENCE)
  const publicKeyInfo = next(SEQUENCE)
  if (issuer === undefined || validity === undefined || subject === undefined || publicKeyInfo === undefined) {
    return undefined
  }
  return {
    issuer: textOf(der, issuer),
    subject: textOf(der, subject),
    publicKeyInfo: der.subarray(publicKeyInfo.start, publicKeyInfo.end)
  }
}

const textOf = (bytes: Uint8Array, value: Tlv): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + value.start, value.end - value.start).toString("latin1")
