/**
 * What datagrams that belong to no connection are answered with: Version Negotiation, Retry, stateless reset, refusal (RFC
 * 9000 sections 5.2.2, 6.1, 8.1.2, 10.3). Nothing is kept for who sent them, every answer is smaller than what asked for it, and what
 * costs more than a copy is limited in number.
 */
import { initialKeys, closeLevelKeys } from "../crypto/LevelKeys.ts"
import { retryTag } from "../crypto/RetryIntegrity.ts"
import { protect } from "../crypto/HeaderProtection.ts"
import { makePacketBurst } from "../crypto/PacketBurst.ts"
import type { PacketProtection } from "../crypto/Protection.ts"
import { ByteWriter } from "../wire/Cursor.ts"
import { Ecn } from "../wire/Datagram.ts"
import type { Address, DatagramBurst, TransmitSink } from "../wire/Datagram.ts"
import { writeConnectionClose } from "../wire/FrameWriter.ts"
import {
  encodeRetry,
  encodeVersionNegotiation,
  FIXED_BIT,
  longHeaderLength,
  PacketType,
  patchLength,
  writeLongHeader
} from "../wire/PacketHeader.ts"
import type { PacketHeader } from "../wire/PacketHeader.ts"
import { AEAD_TAG, RESET_TOKEN, TransportError, Version } from "../wire/Protocol.ts"
import { TokenBucket } from "./TokenBucket.ts"

/** Answers that may wait to be sent; more are not given at all. */
const MAX_ANSWERS = 64
/** A stateless reset must look like a short-header packet: this much and the token (RFC 9000 section 10.3). */
export const MIN_RESET = 5 + RESET_TOKEN
const MAX_RESET = 43
/** Resets a second, and at once: a restarted server has many peers, and each asks again. */
const RESETS = 200
/** Those for datagrams that may be resets themselves: two endpoints without state must not keep each other busy. */
const RESETS_FOR_RESETS = 10
/** Refusals a second, and at once: each costs the derivation of Initial keys. */
const REFUSALS = 100

/** Bytes of the connection ID of a Retry: not one of ours to look up, and longer, so that the two are never taken for each other. */
const RETRY_ID = 16
const NO_TOKEN = new Uint8Array(0)
/** Of CONNECTION_CLOSE without words. */
const CLOSE_LENGTH = 4
const PN_LENGTH = 1
const single = makePacketBurst(1, NO_TOKEN)

interface Answer {
  readonly local: Address
  readonly remote: Address
  readonly bytes: Uint8Array
}

export class StatelessAnswers {
  versionNegotiations = 0
  resets = 0
  retries = 0
  private readonly waiting: Array<Answer> = []
  private readonly random: (length: number) => Uint8Array
  private readonly resetToken: (id: Uint8Array) => Uint8Array
  private readonly protection: PacketProtection
  private readonly resetLimit = new TokenBucket(RESETS, RESETS)
  private readonly smallResetLimit = new TokenBucket(RESETS_FOR_RESETS, RESETS_FOR_RESETS)
  private readonly refusalLimit = new TokenBucket(REFUSALS, REFUSALS)

  constructor(options: {
    readonly random: (length: number) => Uint8Array
    readonly resetToken: (id: Uint8Array) => Uint8Array
    readonly protection: PacketProtection
  }) {
    this.random = options.random
    this.resetToken = options.resetToken
    this.protection = options.protection
  }

  private get full(): boolean {
    return this.waiting.length >= MAX_ANSWERS
  }

  /** Sends what waits; behind a full socket it waits on. */
  poll(sink: TransmitSink): void {
    const { waiting } = this
    let left = 0
    for (let i = 0; i < waiting.length; i++) {
      const answer = waiting[i]!
      const { local, remote, bytes } = answer
      if (sink.isFull(local)) {
        waiting[left++] = answer
        continue
      }
      sink.slab.set(bytes)
      const segmentSize = bytes.length
      sink.send({ local, remote, ecn: Ecn.notEct, segmentSize, bytes: sink.slab.subarray(0, segmentSize) })
    }
    waiting.length = left
  }

  /** A version that is not spoken here (RFC 9000 section 6.1). Gives whether there is an answer; reads `header`. */
  versionNegotiation(burst: DatagramBurst, index: number, header: PacketHeader): boolean {
    if (this.full) return false
    const { slab } = burst
    this.versionNegotiations++
    return this.add(
      burst,
      index,
      encodeVersionNegotiation(
        slab.subarray(header.scidStart, header.scidStart + header.scidLength),
        slab.subarray(header.dcidStart, header.dcidStart + header.dcidLength),
        [Version.v1, Version.v2],
        this.random(1)[0]!
      )
    )
  }

  /** A short header with an ID of ours, `idLength` bytes long, that leads nowhere (RFC 9000 section 10.3). */
  reset(burst: DatagramBurst, index: number, idLength: number, now: number): boolean {
    const { slab } = burst
    const start = burst.offset[index]!
    const length = burst.length[index]!
    // Smaller than what caused it, so that two endpoints without state do not answer each other for ever (section 10.3.3).
    if (length <= MIN_RESET || length < 1 + idLength + AEAD_TAG || (slab[start]! & FIXED_BIT) === 0) return false
    const limit = length > MAX_RESET ? this.resetLimit : this.smallResetLimit
    if (this.full || !limit.take(now)) return false
    const size = Math.min(length - 1, MAX_RESET)
    const bytes = this.random(size).slice()
    bytes[0] = FIXED_BIT | (bytes[0]! & 0x3f)
    bytes.set(this.resetToken(slab.subarray(start + 1, start + 1 + idLength)), size - RESET_TOKEN)
    this.resets++
    return this.add(burst, index, bytes)
  }

  /** A client is to show that it is where it says (RFC 9000 section 8.1.2). Gives whether it is told; reads `header`. */
  retry(
    burst: DatagramBurst,
    index: number,
    header: PacketHeader,
    tokenFor: (original: Uint8Array, scid: Uint8Array) => Uint8Array
  ): boolean {
    if (this.full) return false
    const { slab } = burst
    const original = slab.slice(header.dcidStart, header.dcidStart + header.dcidLength)
    const scid = this.random(RETRY_ID).slice()
    const client = slab.subarray(header.scidStart, header.scidStart + header.scidLength)
    const packet = encodeRetry(header.version, client, scid, tokenFor(original, scid))
    const end = packet.length - AEAD_TAG
    packet.set(retryTag(this.protection, header.version, original, packet.subarray(0, end)), end)
    this.retries++
    return this.add(burst, index, packet)
  }

  /** A client's first Initial that gets no connection, and why (RFC 9000 section 5.2.2). Reads `header`. */
  refuse(
    burst: DatagramBurst,
    index: number,
    header: PacketHeader,
    now: number,
    code: number = TransportError.connectionRefused
  ): boolean {
    if (this.full || !this.refusalLimit.take(now)) return false
    const { slab } = burst
    const { version } = header
    const client = slab.subarray(header.scidStart, header.scidStart + header.scidLength)
    const original = slab.slice(header.dcidStart, header.dcidStart + header.dcidLength)
    const length = longHeaderLength(PacketType.initial, client.length, original.length, 0, PN_LENGTH)
    const w = new ByteWriter(new Uint8Array(length + CLOSE_LENGTH + AEAD_TAG))
    const lengthOffset = writeLongHeader(w, PacketType.initial, version, client, original, NO_TOKEN, PN_LENGTH, 0)
    single.slab = w.bytes
    single.count = 1
    single.start[0] = 0
    single.pnOffset[0] = lengthOffset + 2
    single.pnLength[0] = PN_LENGTH
    single.end[0] = w.bytes.length
    single.pathId[0] = 0
    single.packetNumber[0] = 0
    writeConnectionClose(w, code, 0, "")
    patchLength(w.bytes, lengthOffset, w.bytes.length)
    const keys = initialKeys(this.protection, version, original, "server")
    protect(single, 0, 1, keys.write, keys.headerWrite)
    closeLevelKeys(keys)
    return this.add(burst, index, w.bytes)
  }

  private add(burst: DatagramBurst, index: number, bytes: Uint8Array): boolean {
    this.waiting.push({ local: burst.local[index]!, remote: burst.remote[index]!, bytes })
    return true
  }
}
