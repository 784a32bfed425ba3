/**
 * Packet protection by OpenSSL's EVP functions, in place (RFC 9001 sections 5.3 and 5.4): a context for each key and
 * direction, made once, and five calls to seal a packet, four to open one. A forged packet costs no more than a good one.
 */
import { isMainThread } from "node:worker_threads"
import type { AeadAlgorithm, HeaderKey, PacketKey, PacketProtection } from "../../crypto/Protection.ts"
import { writeNonce } from "../../crypto/Nonce.ts"
import type { PacketBurst } from "../../crypto/PacketBurst.ts"
import { SAMPLE } from "../../crypto/Samples.ts"
import { AEAD_TAG } from "../../wire/Protocol.ts"
import * as Evp from "./Evp.ts"
import { addressOf, permanentRegion } from "./Memory.ts"

const aeads: Record<AeadAlgorithm, string> = {
  "aes-128-gcm": "AES-128-GCM",
  "aes-256-gcm": "AES-256-GCM",
  "chacha20-poly1305": "ChaCha20-Poly1305"
}

/** Header protection takes single blocks of AES, and of ChaCha20 the key stream (RFC 9001 sections 5.4.3 and 5.4.4). */
const headerCiphers: Record<AeadAlgorithm, string> = {
  "aes-128-gcm": "AES-128-ECB",
  "aes-256-gcm": "AES-256-ECB",
  "chacha20-poly1305": "ChaCha20"
}

const keyLengths: Record<AeadAlgorithm, number> = {
  "aes-128-gcm": 16,
  "aes-256-gcm": 32,
  "chacha20-poly1305": 32
}

const IV_LENGTH = 12

// Scratch that calls share: nothing in it outlives one packet, or one batch of masks.
const scratch = permanentRegion(512)
/** Nonce of the packet at hand. */
const nonce = scratch.bytes.subarray(0, IV_LENGTH)
const NONCE = scratch.address
/** Where OpenSSL writes lengths that are known anyway, and the nothing that an AEAD ends with. */
const LENGTH = scratch.address + 16n
const NOTHING = scratch.address + 32n
/** Tag of the packet that is being opened, and an OSSL_PARAM {"tag", octet string, TAG, 16} with the end of its array. */
const TAG_AT = 48
const TAG = scratch.address + BigInt(TAG_AT)
const NAME_AT = 80
const PARAMETERS_AT = 96
const PARAMETERS = scratch.address + BigInt(PARAMETERS_AT)

/** OSSL_PARAM_OCTET_STRING. */
const OCTET_STRING = 5

const layOutParameters = (): void => {
  scratch.bytes.set(Buffer.from("tag\0", "latin1"), NAME_AT)
  const view = new DataView(scratch.bytes.buffer, scratch.bytes.byteOffset + PARAMETERS_AT)
  view.setBigUint64(0, scratch.address + BigInt(NAME_AT), true)
  view.setUint32(8, OCTET_STRING, true)
  view.setBigUint64(16, TAG, true)
  view.setBigUint64(24, BigInt(AEAD_TAG), true)
}
layOutParameters()

/** Samples of a batch and their masks, in place. */
const BATCH = 64
const samples = permanentRegion(BATCH * SAMPLE)

const TAG_LENGTH = BigInt(AEAD_TAG)

/** Lengths of packets as native functions take them: to look one up costs a tenth of making it. */
const lengths = Array.from({ length: 2048 }, (_, length) => BigInt(length))

const lengthOf = (length: number): bigint => (length < lengths.length ? lengths[length]! : BigInt(length))

/** The key that a context is being made for. */
const keyCopy = permanentRegion(32)

/** Contexts of OpenSSL, 0n where there is none. Apart from its key, so that it can be freed when the key is lost. */
interface Contexts {
  seal: bigint
  open: bigint
}

const free = (contexts: Contexts): void => {
  if (contexts.seal !== 0n) Evp.contextFree(contexts.seal)
  if (contexts.open !== 0n) Evp.contextFree(contexts.open)
  contexts.seal = contexts.open = 0n
}

/** Those of a worker, which ends without finalizing what it has left: process memory that nobody could free any more. */
const ofWorker: Set<Contexts> | undefined = isMainThread ? undefined : new Set()
if (ofWorker !== undefined) process.on("exit", () => ofWorker.forEach(free))

const release = (contexts: Contexts): void => {
  free(contexts)
  ofWorker?.delete(contexts)
}

/** For keys that nobody closed. */
const lost = new FinalizationRegistry<Contexts>(release)

/** Frees contexts when the key that owns them is closed, or lost. */
const own = (key: object, contexts: Contexts): void => {
  lost.register(key, contexts, key)
  ofWorker?.add(contexts)
}

const failed = (operation: string): never => {
  throw new Error(`OpenSSL failed to ${operation}`)
}

const newContext = (init: typeof Evp.encryptInit | typeof Evp.decryptInit, cipher: string, key: Uint8Array): bigint => {
  const fetched = Evp.cipherNamed(cipher)
  keyCopy.bytes.set(key)
  const context = Evp.contextNew()
  const done = context !== 0n && init(context, fetched, keyCopy.address, 0n, 0n) === 1
  keyCopy.bytes.fill(0)
  if (done) return context
  if (context !== 0n) Evp.contextFree(context)
  return failed(`set up ${cipher}`)
}

const checkLength = (what: string, bytes: Uint8Array, length: number): void => {
  if (bytes.length !== length) throw new RangeError(`${what} of ${bytes.length} bytes; allowed: ${length}`)
}

/** A function of its own, because V8 counts calls: calls to native code are cheap only in what it has compiled at last. */
const sealOne = (burst: PacketBurst, index: number, base: bigint, iv: Uint8Array, context: bigint): void => {
  const start = burst.start[index]!
  const payload = burst.pnOffset[index]! + burst.pnLength[index]!
  const tag = burst.end[index]! - AEAD_TAG
  if (!(start >= 0 && payload > start && tag >= payload && tag + AEAD_TAG <= burst.slab.length)) outOfRange(index)
  writeNonce(nonce, iv, burst.pathId[index]!, burst.packetNumber[index]!)
  const at = base + BigInt(payload)
  if (
    Evp.encryptInit(context, 0n, 0n, NONCE, 0n) !== 1 ||
    Evp.encryptUpdate(context, 0n, LENGTH, base + BigInt(start), lengthOf(payload - start)) !== 1 ||
    (tag > payload && Evp.encryptUpdate(context, at, LENGTH, at, lengthOf(tag - payload)) !== 1) ||
    Evp.encryptFinal(context, NOTHING, LENGTH) !== 1 ||
    Evp.contextControl(context, Evp.GET_TAG, TAG_LENGTH, base + BigInt(tag)) !== 1
  ) {
    failed("seal a packet")
  }
}

class NativePacketKey implements PacketKey {
  readonly #cipher: string
  readonly #key: Uint8Array
  readonly #iv: Uint8Array
  readonly #contexts: Contexts = { seal: 0n, open: 0n }
  #closed = false

  constructor(algorithm: AeadAlgorithm, key: Uint8Array, iv: Uint8Array) {
    checkLength("a packet key", key, keyLengths[algorithm])
    checkLength("an IV", iv, IV_LENGTH)
    this.#cipher = aeads[algorithm]
    Evp.cipherNamed(this.#cipher)
    this.#key = new Uint8Array(key)
    this.#iv = new Uint8Array(iv)
    own(this, this.#contexts)
  }

  seal(burst: PacketBurst, from: number, to: number): void {
    const context = this.#contexts.seal === 0n ? this.#start("seal") : this.#contexts.seal
    const base = addressOf(burst.slab)
    for (let i = from; i < to; i++) sealOne(burst, i, base, this.#iv, context)
  }

  open(burst: PacketBurst, index: number): boolean {
    const start = burst.start[index]!
    const payload = burst.pnOffset[index]! + burst.pnLength[index]!
    const tag = burst.end[index]! - AEAD_TAG
    const slab = burst.slab
    const base = addressOf(slab)
    if (!(start >= 0 && payload > start && tag >= payload && tag + AEAD_TAG <= slab.length)) return false
    const context = this.#contexts.open === 0n ? this.#start("open") : this.#contexts.open
    writeNonce(nonce, this.#iv, burst.pathId[index]!, burst.packetNumber[index]!)
    for (let i = 0; i < AEAD_TAG; i++) scratch.bytes[TAG_AT + i] = slab[tag + i]!
    const at = base + BigInt(payload)
    return (
      Evp.decryptInit(context, 0n, 0n, NONCE, PARAMETERS) === 1 &&
      Evp.decryptUpdate(context, 0n, LENGTH, base + BigInt(start), lengthOf(payload - start)) === 1 &&
      (tag === payload || Evp.decryptUpdate(context, at, LENGTH, at, lengthOf(tag - payload)) === 1) &&
      Evp.decryptFinal(context, NOTHING, LENGTH) === 1
    )
  }

  close(): void {
    this.#closed = true
    this.#key.fill(0)
    release(this.#contexts)
    lost.unregister(this)
  }

  /** Keys work in one direction as a rule: a context is made when it is needed. */
  #start(direction: keyof Contexts): bigint {
    if (this.#closed) throw new Error(`a closed packet key cannot ${direction}`)
    const init = direction === "seal" ? Evp.encryptInit : Evp.decryptInit
    return (this.#contexts[direction] = newContext(init, this.#cipher, this.#key))
  }
}

const outOfRange = (index: number): never => {
  throw new RangeError(`packet ${index} does not lie in its slab`)
}

abstract class NativeHeaderKey implements HeaderKey {
  protected readonly contexts: Contexts = { seal: 0n, open: 0n }

  constructor(algorithm: AeadAlgorithm, key: Uint8Array) {
    checkLength("a header protection key", key, keyLengths[algorithm])
    this.contexts.seal = newContext(Evp.encryptInit, headerCiphers[algorithm], key)
    own(this, this.contexts)
  }

  masks(bytes: Uint8Array, offsets: Int32Array, count: number, masks: Uint8Array): void {
    if (this.contexts.seal === 0n) throw new Error("a closed header protection key makes no masks")
    for (let from = 0; from < count; from += BATCH)
      this.batch(bytes, offsets, from, Math.min(count, from + BATCH), masks)
  }

  close(): void {
    release(this.contexts)
    lost.unregister(this)
  }

  /** Masks `from` to `to`, at most `BATCH` of them. */
  protected abstract batch(bytes: Uint8Array, offsets: Int32Array, from: number, to: number, masks: Uint8Array): void
}

/** Copies samples `from` to `to` to the batch, one after the other. */
const gather = (bytes: Uint8Array, offsets: Int32Array, from: number, to: number): void => {
  const out = samples.bytes
  for (let i = from, at = 0; i < to; i++) {
    const sample = offsets[i]!
    for (let k = sample; k < sample + SAMPLE; k++) out[at++] = bytes[k]!
  }
}

class NativeAesHeaderKey extends NativeHeaderKey {
  constructor(algorithm: AeadAlgorithm, key: Uint8Array) {
    super(algorithm, key)
    Evp.contextSetPadding(this.contexts.seal, 0n)
  }

  protected batch(bytes: Uint8Array, offsets: Int32Array, from: number, to: number, masks: Uint8Array): void {
    gather(bytes, offsets, from, to)
    const length = (to - from) * SAMPLE
    const { address } = samples
    if (Evp.encryptUpdate(this.contexts.seal, address, LENGTH, address, BigInt(length)) !== 1) failed("make masks")
    const made = samples.bytes
    for (let i = 0, out = from * SAMPLE; i < length; i++) masks[out++] = made[i]!
  }
}

const sampleAddresses = Array.from({ length: BATCH }, (_, i) => samples.address + BigInt(i * SAMPLE))

class NativeChaChaHeaderKey extends NativeHeaderKey {
  protected batch(bytes: Uint8Array, offsets: Int32Array, from: number, to: number, masks: Uint8Array): void {
    gather(bytes, offsets, from, to)
    const context = this.contexts.seal
    const made = samples.bytes
    for (let i = from, at = 0, out = from * SAMPLE; i < to; i++, at += SAMPLE, out += SAMPLE) {
      const address = sampleAddresses[i - from]!
      // The sample is counter and nonce of the block, which is how OpenSSL takes them. Once in use it makes room for zeros.
      if (Evp.encryptInit(context, 0n, 0n, address, 0n) !== 1) failed("make a mask")
      made.fill(0, at, at + 8)
      if (Evp.encryptUpdate(context, address, LENGTH, address, 8n) !== 1) failed("make a mask")
      for (let k = 0; k < 8; k++) masks[out + k] = made[at + k]!
    }
  }
}

/** Packet protection by OpenSSL, called directly. */
export const nativeProtection: PacketProtection = {
  name: "native",
  packetKey: (algorithm, key, iv) => new NativePacketKey(algorithm, key, iv),
  headerKey: (algorithm, key) =>
    algorithm === "chacha20-poly1305"
      ? new NativeChaChaHeaderKey(algorithm, key)
      : new NativeAesHeaderKey(algorithm, key)
}
