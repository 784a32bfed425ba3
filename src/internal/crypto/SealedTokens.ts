/**
 * Bytes that are given to others and come back: sealed, so that they can neither be read nor made by anybody else, and so that
 * nothing is kept for those that are out. The key changes with each epoch; what was sealed in the one before still opens.
 */
import { createCipheriv, createDecipheriv } from "node:crypto"
import { hmac } from "../tls/Hmac.ts"
import { AEAD_TAG } from "../wire/Protocol.ts"

/** Bytes of a random secret, and of what makes the key of each token another one. */
const SECRET = 32
const SALT = 16
/** One byte of the epoch, and the salt: the part in the open, which the seal covers. */
const OPEN = 1 + SALT
/** Bytes, of AES-128-GCM. */
const KEY = 16
const NONCE = 12

export class SealedTokens {
  private readonly random: (length: number) => Uint8Array
  private readonly secret: Uint8Array
  private readonly epochLength: number
  private readonly label: string
  /** The key of the epoch that was asked for last: nearly always that of now. */
  private epochKey: { readonly epoch: number; readonly bytes: Uint8Array } | undefined = undefined

  /** `label`: what they are for; tokens of one label do not open under another. `epochLength`: ms. */
  constructor(options: {
    readonly random: (length: number) => Uint8Array
    readonly key: Uint8Array | undefined
    readonly label: string
    readonly epochLength: number
  }) {
    this.random = options.random
    this.secret = (options.key ?? options.random(SECRET)).slice()
    this.label = options.label
    this.epochLength = options.epochLength
  }

  /** `wallTime`: ms since 1970. */
  seal(payload: Uint8Array, wallTime: number): Uint8Array {
    const epoch = this.epoch(wallTime)
    const token = new Uint8Array(OPEN + payload.length + AEAD_TAG)
    token[0] = epoch
    token.set(this.random(SALT), 1)
    const cipher = createCipheriv("aes-128-gcm", ...this.key(token, epoch))
    cipher.setAAD(token.subarray(0, OPEN))
    token.set(cipher.update(payload), OPEN)
    cipher.final()
    token.set(cipher.getAuthTag(), OPEN + payload.length)
    return token
  }

  /** What was sealed; undefined if it was not sealed here, or before the last epoch. */
  open(token: Uint8Array, wallTime: number): Uint8Array | undefined {
    const end = token.length - AEAD_TAG
    if (end <= OPEN) return undefined
    const now = this.epoch(wallTime)
    const epoch = token[0] === (now & 0xff) ? now : token[0] === ((now - 1) & 0xff) ? now - 1 : undefined
    if (epoch === undefined) return undefined
    const decipher = createDecipheriv("aes-128-gcm", ...this.key(token, epoch), { authTagLength: AEAD_TAG })
    decipher.setAAD(token.subarray(0, OPEN))
    decipher.setAuthTag(token.subarray(end))
    const payload = decipher.update(token.subarray(OPEN, end))
    try {
      decipher.final()
      return payload
    } catch {
      return undefined
    }
  }

  /** What is another one in each token. */
  salt(token: Uint8Array): Uint8Array {
    return token.subarray(1, OPEN)
  }

  private epoch(wallTime: number): number {
    return Math.floor(wallTime / this.epochLength)
  }

  /** A key for each token, so that its nonce is used once. */
  private key(token: Uint8Array, epoch: number): [key: Uint8Array, nonce: Uint8Array] {
    if (this.epochKey?.epoch !== epoch) {
      this.epochKey = { epoch, bytes: hmac("sha256", this.secret, Buffer.from(`${this.label} ${epoch}`)) }
    }
    const material = hmac("sha256", this.epochKey.bytes, token.subarray(0, OPEN))
    return [material.subarray(0, KEY), material.subarray(KEY, KEY + NONCE)]
  }
}
