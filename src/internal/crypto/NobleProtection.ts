/**
 * Packet protection in JavaScript alone, by @noble/ciphers (RFC 9001 sections 5.3 and 5.4): for runtimes without
 * node:crypto, and the cross-check of the other implementations. A packet costs some ten times what node:crypto takes.
 * AES is made of table look-ups here, whose time depends on the cache.
 */
import { ecb, gcm } from "@noble/ciphers/aes.js"
import { chacha20, chacha20poly1305 } from "@noble/ciphers/chacha.js"
import type { AeadAlgorithm, HeaderKey, PacketKey, PacketProtection } from "./Protection.ts"
import { AEAD_TAG } from "../wire/Protocol.ts"
import { chachaKeyWords, chachaMask } from "./ChaChaMask.ts"
import { writeNonce } from "./Nonce.ts"
import type { PacketBurst } from "./PacketBurst.ts"
import { gatherSamples, SAMPLE } from "./Samples.ts"

class NoblePacketKey implements PacketKey {
  readonly #aead: typeof gcm | typeof chacha20poly1305
  readonly #key: Uint8Array
  readonly #iv: Uint8Array
  readonly #nonce: Uint8Array

  constructor(algorithm: AeadAlgorithm, key: Uint8Array, iv: Uint8Array) {
    this.#aead = algorithm === "chacha20-poly1305" ? chacha20poly1305 : gcm
    this.#key = key.slice()
    this.#iv = iv.slice()
    this.#nonce = new Uint8Array(iv.length)
  }

  seal(burst: PacketBurst, from: number, to: number): void {
    const slab = burst.slab
    for (let i = from; i < to; i++) {
      const payload = burst.pnOffset[i]! + burst.pnLength[i]!
      writeNonce(this.#nonce, this.#iv, burst.pathId[i]!, burst.packetNumber[i]!)
      const aad = slab.subarray(burst.start[i]!, payload)
      const plain = slab.subarray(payload, burst.end[i]! - AEAD_TAG)
      slab.set(this.#aead(this.#key, this.#nonce, aad).encrypt(plain), payload)
    }
  }

  open(burst: PacketBurst, index: number): boolean {
    const slab = burst.slab
    const payload = burst.pnOffset[index]! + burst.pnLength[index]!
    const end = burst.end[index]!
    writeNonce(this.#nonce, this.#iv, burst.pathId[index]!, burst.packetNumber[index]!)
    const aad = slab.subarray(burst.start[index]!, payload)
    // noble throws when a packet is forged, or shorter than a tag.
    try {
      slab.set(this.#aead(this.#key, this.#nonce, aad).decrypt(slab.subarray(payload, end)), payload)
      return true
    } catch {
      return false
    }
  }

  close(): void {
    this.#key.fill(0)
  }
}

const unpadded = { disablePadding: true }

class NobleAesHeaderKey implements HeaderKey {
  readonly #key: Uint8Array

  constructor(key: Uint8Array) {
    this.#key = key.slice()
  }

  masks(bytes: Uint8Array, offsets: Int32Array, count: number, masks: Uint8Array): void {
    if (count > 0) masks.set(ecb(this.#key, unpadded).encrypt(gatherSamples(bytes, offsets, count)))
  }

  close(): void {
    this.#key.fill(0)
  }
}

const zeros = new Uint8Array(5)

class NobleChaChaHeaderKey implements HeaderKey {
  readonly #key: Uint8Array
  readonly #words: Int32Array

  constructor(key: Uint8Array) {
    this.#key = key.slice()
    this.#words = chachaKeyWords(key)
  }

  masks(bytes: Uint8Array, offsets: Int32Array, count: number, masks: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      const at = offsets[i]!
      const counter = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
      // noble throws at the last block of a stream, which a peer can ask for: a sample chooses its block.
      if (counter === 0xffff_ffff) chachaMask(this.#words, bytes, at, masks, i * SAMPLE)
      else masks.set(chacha20(this.#key, bytes.slice(at + 4, at + SAMPLE), zeros, undefined, counter), i * SAMPLE)
    }
  }

  close(): void {
    this.#key.fill(0)
    this.#words.fill(0)
  }
}

/** Packet protection by @noble/ciphers. */
export const nobleProtection: PacketProtection = {
  name: "noble",
  packetKey: (algorithm, key, iv) => new NoblePacketKey(algorithm, key, iv),
  headerKey: (algorithm, key) =>
    algorithm === "chacha20-poly1305" ? new NobleChaChaHeaderKey(key) : new NobleAesHeaderKey(key)
}
