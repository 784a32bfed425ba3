/**
 * Public keys of certificates (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7), looked at before OpenSSL gets them: what a
 * key costs to use is its owner's choice, and its owner may be anyone.
 */
import { createPublicKey } from "node:crypto"
import type { KeyObject } from "node:crypto"
import { DerError, DerReader, outline, Tag } from "./Der.ts"

/** What kind of key it is, in its own words. */
export interface KeyInfo {
  /** `other`: nothing that TLS 1.3 signs with. */
  readonly kind: "rsa" | "ec" | "ed25519" | "ed448" | "other"
  /** Bits of modulus and exponent of an RSA key, 0 for others. */
  readonly modulusBits: number
  readonly exponentBits: number
  /** OID of the curve of an elliptic curve key; undefined when it is not named (RFC 5480 section 2.1.1). */
  readonly curve: string | undefined
  /** The OID of the algorithm. */
  readonly algorithm: string
}

const KINDS: ReadonlyMap<string, KeyInfo["kind"]> = new Map<string, KeyInfo["kind"]>([
  ["1.2.840.113549.1.1.1", "rsa"],
  ["1.2.840.113549.1.1.10", "rsa"],
  ["1.2.840.10045.2.1", "ec"],
  ["1.3.101.112", "ed25519"],
  ["1.3.101.113", "ed448"]
])

/** An RSA signature check takes time with the cube of the modulus, and in proportion to the exponent's bits. */
const MAX_MODULUS_BITS = 8192
/** 65537 is what everyone has; 2^32 + 1 has been seen. */
const MAX_EXPONENT_BITS = 33

/** Reads a SubjectPublicKeyInfo. Throws what `DerReader` throws. */
export const readKeyInfo = (spki: Uint8Array): KeyInfo => {
  const outer = new DerReader(spki).enter(Tag.sequence)
  const identifier = outer.enter(Tag.sequence)
  const algorithm = identifier.oid()
  const kind = KINDS.get(algorithm) ?? "other"
  const bits = outer.contents(outer.next(Tag.bitString))
  outer.finish()
  if (bits[0] !== 0) throw new DerError("a key of broken bytes")
  const info = { kind, algorithm, modulusBits: 0, exponentBits: 0, curve: undefined }
  if (kind === "ec") {
    const curve = identifier.optional(Tag.oid)
    return curve === undefined ? info : { ...info, curve: new DerReader(spki, curve.start).oid() }
  }
  if (kind !== "rsa") return info
  const numbers = new DerReader(bits, 1).enter(Tag.sequence)
  const modulusBits = bitLength(numbers.contents(numbers.next(Tag.integer)))
  const exponentBits = bitLength(numbers.contents(numbers.next(Tag.integer)))
  numbers.finish()
  return { ...info, modulusBits, exponentBits }
}

/** Of a positive number, big-endian. */
const bitLength = (bytes: Uint8Array): number => {
  let zeros = 0
  while (zeros < bytes.length && bytes[zeros] === 0) zeros++
  return zeros === bytes.length ? 0 : 8 * (bytes.length - zeros) - Math.clz32(bytes[zeros]!) + 24
}

/** Undefined: it can be used at a bounded cost. Otherwise what it is, for the message. */
export const costlyKey = (info: KeyInfo): string | undefined => {
  if (info.modulusBits > MAX_MODULUS_BITS) {
    return `an RSA key of ${info.modulusBits} bits (at most ${MAX_MODULUS_BITS} are accepted)`
  }
  if (info.exponentBits > MAX_EXPONENT_BITS) {
    return `an RSA key whose exponent has ${info.exponentBits} bits (at most ${MAX_EXPONENT_BITS} are accepted)`
  }
  if (info.kind === "ec" && info.curve === undefined) {
    return "an elliptic curve key with parameters of its own instead of a named curve (RFC 5480 section 2.1.1)"
  }
  return undefined
}

/** The key itself, of bytes that `costlyKey` has nothing against; undefined when OpenSSL cannot read it. */
export const publicKeyOf = (spki: Uint8Array): KeyObject | undefined => {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" })
  } catch {
    return undefined
  }
}

/** The key of a certificate (DER), of which nothing else is read. A text says what is wrong with it, after "the certificate". */
export const readPublicKey = (certificate: Uint8Array): KeyObject | string => {
  const parts = outline(certificate)
  if (parts === undefined) return "is not an X.509 certificate in DER"
  let info: KeyInfo
  try {
    info = readKeyInfo(parts.publicKeyInfo)
  } catch {
    return "has a public key that does not decode"
  }
  const costly = costlyKey(info)
  if (costly !== undefined) return `has ${costly}`
  return (
    (info.kind === "other" ? undefined : publicKeyOf(parts.publicKeyInfo)) ??
    "has a public key of a kind that is not supported"
  )
}
