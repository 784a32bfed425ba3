/**
 * HKDF (RFC 5869) and the HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1), synchronous. An expansion that fits one
 * block of the hash, as almost all of a handshake do, costs one HMAC.
 */
import { createHmac } from "node:crypto"

/** Hashes of TLS 1.3's cipher suites. */
export type HkdfHash = "sha256" | "sha384"

/** Bytes of a digest. */
export const hashLength = (hash: HkdfHash): 32 | 48 => (hash === "sha256" ? 32 : 48)

const hmac = (hash: HkdfHash, key: Uint8Array, data: Uint8Array): Uint8Array => {
  const digest = createHmac(hash, key).update(data).digest()
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.length)
}

/** HKDF-Extract: a pseudorandom key of `hashLength` bytes. An empty salt stands for one of zeros. */
export const hkdfExtract = (hash: HkdfHash, salt: Uint8Array, ikm: Uint8Array): Uint8Array => hmac(hash, salt, ikm)

/** `length` bytes of output from `prk`; `block` ends with a spare byte for the counter. */
const expand = (hash: HkdfHash, prk: Uint8Array, block: Uint8Array, length: number): Uint8Array => {
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
export const hkdfExpand = (hash: HkdfHash, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array => {
  const block = new Uint8Array(info.length + 1)
  block.set(info)
  return expand(hash, prk, block, length)
}

/**
 * HkdfLabel of RFC 8446: length (2), label and context, each with its length (1), here with a spare byte for the counter.
 * Labels are few and most of them have no context: those are built once.
 */
const labelBlock = (label: string, context: Uint8Array, length: number): Uint8Array => {
  const name = Buffer.from(`tls13 ${label}`, "latin1")
  const block = new Uint8Array(2 + 1 + name.length + 1 + context.length + 1)
  block[0] = length >>> 8
  block[1] = length
  block[2] = name.length
  block.set(name, 3)
  block[3 + name.length] = context.length
  block.set(context, 4 + name.length)
  return block
}

const noContext = new Uint8Array(0)

/** Blocks without a context. Their labels are those of TLS and QUIC: what an application chooses has one. */
const blocks = new Map<string, Uint8Array>()

const blockWithoutContext = (label: string, length: number): Uint8Array => {
  const key = `${label} ${length}`
  let block = blocks.get(key)
  if (block === undefined) blocks.set(key, (block = labelBlock(label, noContext, length)))
  return block
}

/**
 * HKDF-Expand-Label. `label` is ASCII without the prefix `tls13 `, of at most 249 characters; `context` of at most 255
 * bytes.
 */
export const hkdfExpandLabel = (
  hash: HkdfHash,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number
): Uint8Array =>
  expand(
    hash,
    secret,
    context.length === 0 ? blockWithoutContext(label, length) : labelBlock(label, context, length),
    length
  )
