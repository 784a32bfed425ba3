/** The key schedule (RFC 8446 section 7.1) and the transcript hash (section 4.4.1). */
import { type Hash, createHash, createHmac, hash as oneShot, timingSafeEqual } from "node:crypto"
import { type HkdfHash, hashLength, hkdfExpandLabel, hkdfExtract } from "./Hkdf.ts"
import { HandshakeType } from "./Messages.ts"

const empty = new Uint8Array(0)

const hashOf = (hash: HkdfHash, bytes: Uint8Array): Uint8Array => oneShot(hash, bytes, "buffer")

/** Where every schedule of a hash begins that no pre-shared key is in, as far as it does not depend on the handshake. */
interface Beginning {
  readonly zeros: Uint8Array
  /** The hash of nothing. */
  readonly nothing: Uint8Array
  readonly earlySecret: Uint8Array
  /** What the Handshake Secret is extracted with. */
  readonly derived: Uint8Array
}

const beginningOf = (hash: HkdfHash): Beginning => {
  const length = hashLength(hash)
  const zeros = new Uint8Array(length)
  const nothing = hashOf(hash, empty)
  const earlySecret = hkdfExtract(hash, empty, zeros)
  return { zeros, nothing, earlySecret, derived: hkdfExpandLabel(hash, earlySecret, "derived", nothing, length) }
}

const beginnings: Record<HkdfHash, Beginning> = { sha256: beginningOf("sha256"), sha384: beginningOf("sha384") }

/** The hash of all messages so far. */
export class Transcript {
  readonly #name: HkdfHash
  #hash: Hash

  constructor(hash: HkdfHash) {
    this.#name = hash
    this.#hash = createHash(hash)
  }

  /** Adds a whole message, header and all. */
  add(message: Uint8Array): void {
    this.#hash.update(message)
  }

  digest(): Uint8Array {
    return this.#hash.copy().digest()
  }

  /** Puts message_hash in the place of the ClientHello so far, before a HelloRetryRequest is added. */
  retry(): void {
    const digest = this.#hash.digest()
    this.#hash = createHash(this.#name)
      .update(Uint8Array.of(HandshakeType.messageHash, 0, 0, digest.length))
      .update(digest)
  }
}

/** The chain from Early Secret over Handshake Secret to Master Secret. */
export class KeySchedule {
  readonly #hash: HkdfHash
  #secret: Uint8Array

  /** Starts with the Early Secret, from a pre-shared key if there is one. */
  constructor(hash: HkdfHash, psk?: Uint8Array) {
    this.#hash = hash
    this.#secret = psk === undefined ? beginnings[hash].earlySecret : hkdfExtract(hash, empty, psk)
  }

  /** On to the Handshake Secret, with the secret of the key exchange, and then, with nothing, to the Master Secret. */
  advance(input: Uint8Array = beginnings[this.#hash].zeros): void {
    const { derived, earlySecret, nothing } = beginnings[this.#hash]
    const salt = this.#secret === earlySecret ? derived : this.derive("derived", nothing)
    this.#secret = hkdfExtract(this.#hash, salt, input)
  }

  /** Derive-Secret with the secret that the chain is at. */
  derive(label: string, transcriptHash: Uint8Array): Uint8Array {
    return hkdfExpandLabel(this.#hash, this.#secret, label, transcriptHash, hashLength(this.#hash))
  }
}

/** The verify_data of Finished (section 4.4.4), from the sender's handshake traffic secret. */
export const finishedData = (hash: HkdfHash, trafficSecret: Uint8Array, transcriptHash: Uint8Array): Uint8Array =>
  createHmac(hash, hkdfExpandLabel(hash, trafficSecret, "finished", empty, hashLength(hash)))
    .update(transcriptHash)
    .digest()

/** The pre-shared key that a ticket stands for (section 4.6.1). */
export const ticketKey = (hash: HkdfHash, resumptionSecret: Uint8Array, nonce: Uint8Array): Uint8Array =>
  hkdfExpandLabel(hash, resumptionSecret, "resumption", nonce, hashLength(hash))

/**
 * Exported keying material (section 7.5). The label is ASCII of at most 249 characters, the length at most 255 digests;
 * undefined otherwise.
 */
export const exportKey = (
  hash: HkdfHash,
  exporterSecret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number
): Uint8Array | undefined => {
  if (!/^[\x20-\x7e]{1,249}$/.test(label) || !(length >= 1 && length <= 255 * hashLength(hash))) return undefined
  const secret = hkdfExpandLabel(hash, exporterSecret, label, beginnings[hash].nothing, hashLength(hash))
  return hkdfExpandLabel(hash, secret, "exporter", hashOf(hash, context), length)
}

/** Compares in constant time. */
export const sameSecret = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)
