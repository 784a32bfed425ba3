/**
 * The 1-RTT keys of a connection and their updates (RFC 9001 section 6; draft-ietf-quic-multipath-21 section 2.5).
 *
 * All paths share the keys, but packet numbers of different paths say nothing about each other: whatever compares
 * numbers here does so on one path. Generations count the phases from 0 in both directions; the Key Phase bit is the
 * lowest bit of a packet's generation.
 */
import type { AeadAlgorithm, HeaderKey, PacketKey, PacketProtection } from "./Protection.ts"
import type { CipherSuite } from "../tls/TlsSession.ts"
import type { PacketBurst } from "./PacketBurst.ts"
import { headerKey, nextSecret, packetKey } from "./PacketKeys.ts"

/** What became of a packet. */
export const OpenResult = {
  /** The peer broke the rules of key updates: close with KEY_UPDATE_ERROR. */
  violation: -1,
  /** Not authentic, or too old for any key that is left: drop it. */
  failed: 0,
  opened: 1,
  /** Opened, and the peer started a key update with it; `write` has followed. Call `keepPreviousUntil`. */
  peerUpdate: 2,
  /** Opened, and the peer followed our own key update with it. Call `keepPreviousUntil`. */
  updateAnswered: 3
} as const
export type OpenResult = (typeof OpenResult)[keyof typeof OpenResult]

/** Numbers of packets (RFC 9001 section 6.6 and appendix B). They hold for all paths together (NON-7). */
export interface AeadLimits {
  /** Packets sealed with one key. */
  readonly confidentiality: number
  /** Packets that fail to open over the life of the connection. */
  readonly integrity: number
  /** Packets sealed with one key after which an update is due. */
  readonly updateInterval: number
}

/** Packets short of the confidentiality limit at which `limitReached` says so: those of a flush, and they let the connection close. */
const RESERVE = 4096

const gcmLimits: AeadLimits = { confidentiality: 2 ** 23, integrity: 2 ** 52, updateInterval: 2 ** 22 }
const chachaLimits: AeadLimits = { confidentiality: Infinity, integrity: 2 ** 36, updateInterval: 2 ** 22 }

export const aeadLimits = (aead: AeadAlgorithm): AeadLimits => (aead === "chacha20-poly1305" ? chachaLimits : gcmLimits)

/** What is known of one path's packet numbers. */
interface PathPhase {
  readonly pathId: number
  /** Lowest number received in the current read generation; Infinity while there is none. */
  lowest: number
  /** Highest number received in any generation up to the current one, and in those before it; -1 if none. */
  highest: number
  highestOld: number
  /** Lowest number sent in the current write generation; Infinity while there is none. */
  lowestSent: number
}

export class KeyPhases {
  readonly headerWrite: HeaderKey
  /** Undefined until there is a read secret. */
  headerRead: HeaderKey | undefined = undefined
  /** The key to seal with, and the Key Phase bit that goes with it. They change only in `open` and `initiateUpdate`. */
  write: PacketKey
  writePhase: 0 | 1 = 0
  readGeneration = 0
  writeGeneration = 0
  /** Generation of the packet that `open` opened last: what `onAckReceived` wants with the frames of that packet. */
  openedGeneration = 0
  /** Packets that failed to open so far. */
  failures = 0

  readonly #protection: PacketProtection
  readonly #suite: CipherSuite
  readonly #version: number
  readonly #limits: AeadLimits
  /** Few, so that looking through them takes no time. */
  #paths: ReadonlyArray<PathPhase> = []

  #writeSecret: Uint8Array
  #readSecret: Uint8Array | undefined = undefined
  #nextReadSecret: Uint8Array | undefined = undefined
  #previous: PacketKey | undefined = undefined
  #previousUntil = Infinity
  #current: PacketKey | undefined = undefined
  #next: PacketKey | undefined = undefined

  #handshakeConfirmed = false
  #sealedInPhase = 0
  /**
   * When the first ack for a packet of the current write generation came, in ms; -1 until then. Such an ack comes under
   * keys of that generation, so the peer has followed.
   */
  #ackedAt = -1

  /** `readSecret` may come later, through `setReadSecret`. `limits` replaces single limits of the suite's AEAD. */
  constructor(
    protection: PacketProtection,
    suite: CipherSuite,
    version: number,
    readSecret: Uint8Array | undefined,
    writeSecret: Uint8Array,
    limits?: Partial<AeadLimits>
  ) {
    this.#protection = protection
    this.#suite = suite
    this.#version = version
    const usual = aeadLimits(suite.aead)
    this.#limits = limits === undefined ? usual : { ...usual, ...limits }
    this.#writeSecret = writeSecret
    this.headerWrite = headerKey(protection, suite, version, writeSecret)
    this.write = packetKey(protection, suite, version, writeSecret)
    if (readSecret !== undefined) this.setReadSecret(readSecret)
  }

  /** The first read secret, if the constructor had none. */
  setReadSecret(secret: Uint8Array): void {
    this.#readSecret = secret
    this.headerRead = headerKey(this.#protection, this.#suite, this.#version, secret)
    this.#current = packetKey(this.#protection, this.#suite, this.#version, secret)
  }

  /**
   * Opens packet `index` in place; its header is unprotected and its packet number complete. `phaseBit` is its Key Phase
   * bit, `now` in ms. One key is tried, never two: the bit and the packet numbers of its path say which.
   */
  open(burst: PacketBurst, index: number, phaseBit: number, now: number): OpenResult {
    if (this.#current === undefined) return OpenResult.failed
    const path = this.#path(burst.pathId[index]!)
    const packetNumber = burst.packetNumber[index]!
    if (phaseBit !== (this.readGeneration & 1)) return this.#openOther(burst, index, path, packetNumber, now)
    if (!this.#current.open(burst, index)) return this.#fail()
    this.openedGeneration = this.readGeneration
    // Section 6.4: no packet may be under older keys than one with a lower number.
    if (packetNumber < path.highestOld) return OpenResult.violation
    if (packetNumber < path.lowest) path.lowest = packetNumber
    if (packetNumber > path.highest) path.highest = packetNumber
    return OpenResult.opened
  }

  /** A packet whose bit is not the current one's: it is of the previous generation or of the next. */
  #openOther(burst: PacketBurst, index: number, path: PathPhase, packetNumber: number, now: number): OpenResult {
    this.dropPrevious(now)
    // On a path without a packet of the current generation the number does not tell. While the previous key is kept,
    // such a path is taken to lag behind: an update further on could come so soon only if the peer did not wait
    // (KEY-1), and then its packets on the other paths carry it through.
    if (packetNumber < path.lowest && this.#previous !== undefined) {
      if (!this.#previous.open(burst, index)) return this.#fail()
      this.openedGeneration = this.readGeneration - 1
      if (packetNumber > path.highestOld) path.highestOld = packetNumber
      if (packetNumber > path.highest) path.highest = packetNumber
      return OpenResult.opened
    }
    // Older than the current generation, whose predecessor is gone.
    if (packetNumber < path.lowest && path.lowest !== Infinity) return OpenResult.failed
    if (!this.#nextRead().open(burst, index)) return this.#fail()
    // Section 6.4 again; and section 6.2: two updates in a row without waiting for an ack of the first, which cannot
    // have been sent under the keys that it wants.
    if (packetNumber < path.highest) return OpenResult.violation
    if (this.writeGeneration === this.readGeneration && this.readGeneration > 0 && this.#sealedInPhase === 0)
      return OpenResult.violation
    this.#advanceRead()
    path.lowest = packetNumber
    path.highest = packetNumber
    if (this.writeGeneration >= this.readGeneration) return OpenResult.updateAnswered
    this.#advanceWrite()
    return OpenResult.peerUpdate
  }

  /**
   * When to forget the keys before the current ones, in ms: 3 times the largest PTO of all paths after `open` moved on
   * (section 6.5, KEY-2).
   */
  keepPreviousUntil(deadline: number): void {
    this.#previousUntil = deadline
  }

  /** Forgets the previous keys if their time is over. `open` does so where it matters. */
  dropPrevious(now: number): void {
    if (this.#previous === undefined || now < this.#previousUntil) return
    this.#previous.close()
    this.#previous = undefined
  }

  /** Whether `initiateUpdate` would go ahead. */
  canUpdate(now: number, largestPto: number): boolean {
    return (
      this.#handshakeConfirmed &&
      this.#current !== undefined &&
      this.#ackedAt >= 0 &&
      (this.writeGeneration === 0 || now - this.#ackedAt >= 3 * largestPto)
    )
  }

  /**
   * Starts a key update if it is allowed now: the handshake is confirmed, a packet of the current phase was acknowledged
   * on any path (section 6.1), and 3 times `largestPto` (ms, over all paths) went by since (KEY-1). Seal what is built
   * before: `write` and `writePhase` change.
   */
  initiateUpdate(now: number, largestPto: number): boolean {
    if (!this.canUpdate(now, largestPto)) return false
    this.#advanceWrite()
    return true
  }

  /** The handshake is confirmed (section 4.1.2). */
  onHandshakeConfirmed(): void {
    this.#handshakeConfirmed = true
  }

  /** `count` packets were sealed with `write`. */
  sealed(count: number): void {
    this.#sealedInPhase += count
  }

  /** Call it with the first packet number of each flush on a path: what counts is the first one of a phase. */
  onPacketSent(pathId: number, packetNumber: number): void {
    const path = this.#path(pathId)
    if (packetNumber < path.lowestSent) path.lowestSent = packetNumber
  }

  /**
   * An acknowledgement for packets of path `pathId` up to `largest` came in a packet of generation `carrier`. `false`:
   * it was under older keys than what it acknowledges, so close with KEY_UPDATE_ERROR (section 6.2).
   */
  onAckReceived(pathId: number, largest: number, carrier: number, now: number): boolean {
    const path = this.#find(pathId)
    if (path === undefined || largest < path.lowestSent) return true
    if (carrier < this.writeGeneration) return false
    if (this.#ackedAt < 0) this.#ackedAt = now
    return true
  }

  /** Paths of which anything is kept. */
  get pathCount(): number {
    return this.#paths.length
  }

  /** A path is gone. */
  forgetPath(pathId: number): void {
    this.#paths = this.#paths.filter((path) => path.pathId !== pathId)
  }

  /** Enough was sealed with this key for an update: initiate one as soon as that is allowed. */
  get needsUpdate(): boolean {
    return this.#sealedInPhase >= this.#limits.updateInterval
  }

  /** Nothing may be sealed any more, not even the end of the connection (section 6.6). */
  get exhausted(): boolean {
    return this.#sealedInPhase >= this.#limits.confidentiality
  }

  /** Close with AEAD_LIMIT_REACHED (section 6.6): a limit is reached, or so near that closing takes what is left. */
  get limitReached(): boolean {
    return this.#sealedInPhase >= this.#limits.confidentiality - RESERVE || this.failures >= this.#limits.integrity
  }

  /** Frees all keys: they must not be used again. */
  close(): void {
    this.write.close()
    this.headerWrite.close()
    this.headerRead?.close()
    this.#previous?.close()
    this.#current?.close()
    this.#next?.close()
    this.#previous = undefined
    this.#current = undefined
    this.#next = undefined
  }

  #fail(): OpenResult {
    this.failures++
    return OpenResult.failed
  }

  #path(pathId: number): PathPhase {
    const found = this.#find(pathId)
    if (found !== undefined) return found
    const path: PathPhase = { pathId, lowest: Infinity, highest: -1, highestOld: -1, lowestSent: Infinity }
    // An array that grows would take room for a dozen more.
    this.#paths = this.#paths.concat(path)
    return path
  }

  #find(pathId: number): PathPhase | undefined {
    const paths = this.#paths
    for (let i = 0; i < paths.length; i++) if (paths[i]!.pathId === pathId) return paths[i]
    return undefined
  }

  /** Made once, by the first packet that asks for it, and kept when that was forged (section 6.3). */
  #nextRead(): PacketKey {
    if (this.#next !== undefined) return this.#next
    this.#nextReadSecret = nextSecret(this.#suite, this.#version, this.#readSecret!)
    return (this.#next = packetKey(this.#protection, this.#suite, this.#version, this.#nextReadSecret))
  }

  #advanceRead(): void {
    this.#previous?.close()
    this.#previous = this.#current
    this.#previousUntil = Infinity
    this.#current = this.#next
    this.#next = undefined
    this.#readSecret = this.#nextReadSecret
    this.readGeneration++
    this.openedGeneration = this.readGeneration
    for (const path of this.#paths) {
      path.highestOld = path.highest
      path.lowest = Infinity
    }
  }

  #advanceWrite(): void {
    this.write.close()
    this.#writeSecret = nextSecret(this.#suite, this.#version, this.#writeSecret)
    this.write = packetKey(this.#protection, this.#suite, this.#version, this.#writeSecret)
    this.writeGeneration++
    this.writePhase = this.writePhase === 0 ? 1 : 0
    this.#sealedInPhase = 0
    this.#ackedAt = -1
    for (const path of this.#paths) path.lowestSent = Infinity
  }
}
