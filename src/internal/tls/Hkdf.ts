/**
 * HKDF (RFC 5869) and the HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1), synchronous. An expansion that fits one
 * block of the hash, as almost all of a handshake do, costs one HMAC.
 */
import { hashLength, hmac } from "./Hmac.ts"
import type { HashName } from "./Hmac.ts"

/** HKDF-Extract: a pseudorandom key of `hashLength` bytes. An empty salt stands for one of zeros. */
export const hkdfExtract = (hash: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array => hmac(hash, salt, ikm)

/** `length` bytes of output from `prk`; `block` ends with a spare byte for the counter. */
const expand = (hash: HashName, prk: Uint8Array, block: Uint8Array, length: number): Uint8Array => {
  const last = block.length - 1
  block[last] = 1
  const size = hashLength(hash)
  let previous = hmac(hash, prk, block)
  if (length === size) return previous
  if (length < size) return previous.subarray(0, length)
  const out = new Uint8Array(length)
  out.set(previous)
  const chained = new Uint8Array(size + block.length)
  chained.set(block, size)
  for (let at = size, counter = 2; at < length; at += size, counter++) {
    chained.set(previous)
    chained[size + last] = counter
    previous = hmac(hash, prk, chained)
    out.set(length - at < size ? previous.subarray(0, length - at) : previous, at)
  }
  return out
}

/** HKDF-Expand: `length` bytes, at most 255 digests. */
export const hkdfExpand = (hash: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array => {
  const block = new Uint8Array(info.length + 1)
  block.set(info)
  return expand(hash, prk, block, length)
}

/** Labels that are remembered: TLS and QUIC have fewer. Applications choose some too, for the keys that they export. */
const LABELS_KEPT = 64
const labels = new Map<string, Uint8Array>()

/** A label as HkdfLabel has it, its length before it. */
const encodeLabel = (label: string): Uint8Array => {
  const known = labels.get(label)
  if (known !== undefined) return known
  const name = Buffer.from(`tls13 ${label}`, "latin1")
  const encoded = Uint8Array.of(name.length, ...name)
  if (labels.size < LABELS_KEPT) labels.set(label, encoded)
  return encoded
}

/**
 * HKDF-Expand-Label. `label` is ASCII without the prefix `tls13 `, of at most 249 characters; `context` of at most 255
 * bytes.
 */
export const hkdfExpandLabel = (
  hash: HashName,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number
): Uint8Array => {
  const name = encodeLabel(label)
  const contextAt = 2 + name.length
  // HkdfLabel: the length (2), the label, and the context with its length (1); the last byte is spare.
  const block = new Uint8Array(contextAt + 1 + context.length + 1)
  block[0] = length >>> 8
  block[1] = length
  block.set(name, 2)
  block[contextAt] = context.length
  block.set(context, contextAt + 1)
  return expand(hash, secret, block, length)
}
