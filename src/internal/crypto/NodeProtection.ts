/**
 * Packet protection by node:crypto (RFC 9001 sections 5.3 and 5.4). node makes a cipher object for each packet, which is
 * most of what it costs; header masks of AES come from one cipher object that lives as long as the key.
 *
 * node reports a forged tag by throwing, so a forged packet costs an exception (about 2 µs) beside its decryption. The
 * exception does not leave this file.
 */
import { createCipheriv, createDecipheriv, createSecretKey } from "node:crypto"
import type { Cipheriv, KeyObject } from "node:crypto"
import type { AeadAlgorithm, HeaderKey, PacketKey, PacketProtection } from "./Protection.ts"
import { AEAD_TAG } from "../wire/Protocol.ts"
import { chachaKeyWords, chachaMask } from "./ChaChaMask.ts"
import { writeNonce } from "./Nonce.ts"
import { IV_LENGTH } from "./PacketKeys.ts"
import type { PacketBurst } from "./PacketBurst.ts"
import { gatherSamples, SAMPLE } from "./Samples.ts"

const options = { authTagLength: AEAD_TAG }

/** Of the packet at hand: ciphers copy it when they are made. */
const nonce = new Uint8Array(IV_LENGTH)

class NodePacketKey implements PacketKey {
  readonly #algorithm: AeadAlgorithm
  readonly #key: KeyObject
  readonly #iv: Uint8Array

  constructor(algorithm: AeadAlgorithm, key: Uint8Array, iv: Uint8Array) {
    this.#algorithm = algorithm
    this.#key = createSecretKey(key)
    this.#iv = iv.slice()
  }

  seal(burst: PacketBurst, from: number, to: number): void {
    const slab = burst.slab
    const algorithm = this.#algorithm
    for (let i = from; i < to; i++) {
      const payload = burst.pnOffset[i]! + burst.pnLength[i]!
      const tag = burst.end[i]! - AEAD_TAG
      writeNonce(nonce, this.#iv, burst.pathId[i]!, burst.packetNumber[i]!)
      const cipher =
        algorithm === "chacha20-poly1305"
          ? createCipheriv(algorithm, this.#key, nonce, options)
          : createCipheriv(algorithm, this.#key, nonce, options)
      cipher.setAAD(slab.subarray(burst.start[i]!, payload))
      slab.set(cipher.update(slab.subarray(payload, tag)), payload)
      cipher.final()
      slab.set(cipher.getAuthTag(), tag)
    }
  }

  open(burst: PacketBurst, index: number): boolean {
    const slab = burst.slab
    const algorithm = this.#algorithm
    const payload = burst.pnOffset[index]! + burst.pnLength[index]!
    const end = burst.end[index]!
    const tag = end - AEAD_TAG
    if (tag < payload) return false
    writeNonce(nonce, this.#iv, burst.pathId[index]!, burst.packetNumber[index]!)
    const decipher =
      algorithm === "chacha20-poly1305"
        ? createDecipheriv(algorithm, this.#key, nonce, options)
        : createDecipheriv(algorithm, this.#key, nonce, options)
    decipher.setAAD(slab.subarray(burst.start[index]!, payload))
    decipher.setAuthTag(slab.subarray(tag, end))
    const plain = decipher.update(slab.subarray(payload, tag))
    try {
      decipher.final()
    } catch {
      return false
    }
    slab.set(plain, payload)
    return true
  }

  /** node frees the key with this object. */
  close(): void {}
}

class NodeAesHeaderKey implements HeaderKey {
  readonly #cipher: Cipheriv

  constructor(algorithm: "aes-128-ecb" | "aes-256-ecb", key: Uint8Array) {
    this.#cipher = createCipheriv(algorithm, createSecretKey(key), null).setAutoPadding(false)
  }

  masks(bytes: Uint8Array, offsets: Int32Array, count: number, masks: Uint8Array): void {
    if (count > 0) masks.set(this.#cipher.update(gatherSamples(bytes, offsets, count)))
  }

  close(): void {}
}

class ChaChaHeaderKey implements HeaderKey {
  readonly #words: Int32Array

  constructor(key: Uint8Array) {
    this.#words = chachaKeyWords(key)
  }

  masks(bytes: Uint8Array, offsets: Int32Array, count: number, masks: Uint8Array): void {
    for (let i = 0; i < count; i++) chachaMask(this.#words, bytes, offsets[i]!, masks, i * SAMPLE)
  }

  close(): void {
    this.#words.fill(0)
  }
}

/** Packet protection by node:crypto. */
export const nodeProtection: PacketProtection = {
  name: "node",
  packetKey: (algorithm, key, iv) => new NodePacketKey(algorithm, key, iv),
  headerKey: (algorithm, key) =>
    algorithm === "chacha20-poly1305"
      ? new ChaChaHeaderKey(key)
      : new NodeAesHeaderKey(algorithm === "aes-128-gcm" ? "aes-128-ecb" : "aes-256-ecb", key)
}
