/** The key schedule (RFC 8446 section 7.1) and the transcript hash (section 4.4.1). */
import { timingSafeEqual } from "node:crypto"
import { hkdfExpandLabel, hkdfExtract } from "./Hkdf.ts"
import { digest, hashLength, hmac } from "./Hmac.ts"
import type { HashName } from "./Hmac.ts"
import { HandshakeType } from "./Messages.ts"

const empty = new Uint8Array(0)

/** Where every schedule of a hash begins that no pre-shared key is in, as far as it does not depend on the handshake. */
interface Beginning {
  readonly zeros: Uint8Array
  /** The hash of nothing. */
  readonly nothing: Uint8Array
  readonly earlySecret: Uint8Array
  /** What the Handshake Secret is extracted with. */
  readonly derived: Uint8Array
}

const beginningOf = (hash: HashName): Beginning => {
  const length = hashLength(hash)
  const zeros = new Uint8Array(length)
  const nothing = digest(hash, empty)
  const earlySecret = hkdfExtract(hash, empty, zeros)
  return { zeros, nothing, earlySecret, derived: hkdfExpandLabel(hash, earlySecret, "derived", nothing, length) }
}

const beginnings: Record<HashName, Beginning> = { sha256: beginningOf("sha256"), sha384: beginningOf("sha384") }

/** Bytes of messages that a transcript has room for at first: those of a handshake with a short certificate chain. */
const USUAL_MESSAGES = 2048

/**
 * The hash of all messages so far. The messages are kept and hashed again where a hash is wanted, a few times in a
 * handshake: that costs less than a hash that is carried on, of which node makes an object each time.
 */
export class Transcript {
  readonly #name: HashName
  #messages = new Uint8Array(USUAL_MESSAGES)
  #length = 0

  constructor(hash: HashName) {
    this.#name = hash
  }

  /** Adds a whole message, header and all. */
  add(message: Uint8Array): void {
    const length = this.#length + message.length
    if (length > this.#messages.length) {
      const grown = new Uint8Array(length + USUAL_MESSAGES)
      grown.set(this.#messages)
      this.#messages = grown
    }
    this.#messages.set(message, this.#length)
    this.#length = length
  }

  digest(): Uint8Array {
    return digest(this.#name, this.#messages.subarray(0, this.#length))
  }

  /** The hash of all so far and of the beginning of a message, which is not added. */
  digestWith(beginning: Uint8Array): Uint8Array {
    const before = this.#length
    this.add(beginning)
    this.#length = before
    return digest(this.#name, this.#messages.subarray(0, before + beginning.length))
  }

  /** Puts message_hash in the place of the ClientHello so far, before a HelloRetryRequest is added. */
  retry(): void {
    const hello = this.digest()
    this.#messages = new Uint8Array(USUAL_MESSAGES)
    this.#length = 0
    this.add(Uint8Array.of(HandshakeType.messageHash, 0, 0, hello.length))
    this.add(hello)
  }
}

/** The chain from Early Secret over Handshake Secret to Master Secret. */
export class KeySchedule {
  readonly #hash: HashName
  #secret: Uint8Array

  /** Starts with the Early Secret, from a pre-shared key if there is one. */
  constructor(hash: HashName, psk?: Uint8Array) {
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
export const finishedData = (hash: HashName, trafficSecret: Uint8Array, transcriptHash: Uint8Array): Uint8Array =>
  hmac(hash, hkdfExpandLabel(hash, trafficSecret, "finished", empty, hashLength(hash)), transcriptHash)

/** The binder of a ticket's key (section 4.2.11.2). `transcriptHash`: of all up to the binders. */
export const binderOf = (hash: HashName, psk: Uint8Array, transcriptHash: Uint8Array): Uint8Array => {
  const key = new KeySchedule(hash, psk).derive("res binder", beginnings[hash].nothing)
  return finishedData(hash, key, transcriptHash)
}

/** The pre-shared key that a ticket stands for (section 4.6.1). */
export const ticketKey = (hash: HashName, resumptionSecret: Uint8Array, nonce: Uint8Array): Uint8Array =>
  hkdfExpandLabel(hash, resumptionSecret, "resumption", nonce, hashLength(hash))

/**
 * Exported keying material (section 7.5). The label is ASCII of at most 249 characters, the length a whole number up to 255 digests;
 * undefined otherwise.
 */
export const exportKey = (
  hash: HashName,
  exporterSecret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number
): Uint8Array | undefined => {
  if (!/^[\x20-\x7e]{1,249}$/.test(label) || !(length >= 1 && length <= 255 * hashLength(hash)) || length % 1 !== 0)
    return undefined
  const secret = hkdfExpandLabel(hash, exporterSecret, label, beginnings[hash].nothing, hashLength(hash))
  return hkdfExpandLabel(hash, secret, "exporter", digest(hash, context), length)
}

/** Compares in constant time. */
export const sameSecret = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)
