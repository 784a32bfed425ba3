import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import { FrameType } from "../wire/FrameType.ts"
import { cryptoRoom, writeCryptoHeader } from "../wire/FrameWriter.ts"
import { Level, TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"
import { ReceiveBuffer } from "./ReceiveBuffer.ts"
import { SendBuffer } from "./SendBuffer.ts"

/** Bytes that may wait for a gap to close (RFC 9000 section 7.5 asks for 4096 at least): those of a long chain. */
export const CRYPTO_BUFFER = 65_536
/**
 * At the Initial level, where anyone can have them kept: those of the largest hello that is known, and no more than two small
 * blocks of memory. A longer one must arrive more or less in order.
 */
export const INITIAL_CRYPTO_BUFFER = 8192

/** A frame with less data than this is only written if it is all there is. */
const MIN_FRAME_DATA = 32

/** The bytes of the TLS handshake at one encryption level, both ways (RFC 9000 sections 7.5 and 19.6). No flow control. */
export class CryptoStream {
  readonly level: Level
  private readonly outgoing = new SendBuffer()
  private readonly incoming = new ReceiveBuffer()
  private readonly maxAhead: number
  private discarded = false
  /** Where the peer's bytes of this level end; Infinity while TLS reads them. */
  private end = Infinity

  constructor(level: Level) {
    this.level = level
    this.maxAhead = level === Level.initial ? INITIAL_CRYPTO_BUFFER : CRYPTO_BUFFER
  }

  /** Bytes to send, for the first time or again. */
  get hasData(): boolean {
    return this.outgoing.hasRetransmission || this.outgoing.pendingNew > 0
  }

  /** All that TLS sent at this level has arrived. */
  get isAcknowledged(): boolean {
    return this.outgoing.bufferedBytes === 0
  }

  /** Bytes that TLS has read. */
  get readOffset(): number {
    return this.incoming.readOffset
  }

  /** Hands over bytes of TLS; they are kept, not copied. */
  append(bytes: Uint8Array): void {
    if (!this.discarded) this.outgoing.append(bytes)
  }

  /** Writes CRYPTO frames up to `w.end`, with a record of each; true if anything was written. */
  write(w: ByteWriter, frames: SentFrameList): boolean {
    const buffer = this.outgoing
    const begin = w.position
    while (this.hasData) {
      const again = buffer.hasRetransmission
      const offset = again ? buffer.retransmitOffset : buffer.unsentOffset
      const available = again ? buffer.retransmitLength : buffer.pendingNew
      const room = cryptoRoom(w.remaining, offset)
      if (room < Math.min(available, MIN_FRAME_DATA)) break
      const length = Math.min(available, room)
      writeCryptoHeader(w, offset, length)
      buffer.copyTo(offset, length, w.bytes, w.position)
      w.position += length
      if (again) buffer.markRetransmitted(length)
      else buffer.markSent(length)
      const frame = frames.add(SentFrameKind.crypto)
      frame.owner = this
      frame.offset = offset
      frame.length = length
    }
    return w.position > begin
  }

  /** Writes once more what `frame` carried, if it is of use; false if there is no room for all of it. */
  writeCopy(w: ByteWriter, frames: SentFrameList, frame: SentFrame): boolean {
    const offset = Math.max(frame.offset, this.outgoing.ackedOffset)
    const length = frame.offset + frame.length - offset
    if (this.discarded || length <= 0) return true
    if (cryptoRoom(w.remaining, offset) < length) return false
    writeCryptoHeader(w, offset, length)
    this.outgoing.copyTo(offset, length, w.bytes, w.position)
    w.position += length
    const copy = frames.add(SentFrameKind.crypto)
    copy.owner = this
    copy.offset = offset
    copy.length = length
    copy.paths = frame.paths
    copy.covered = frame.covered
    return true
  }

  /** Takes a CRYPTO frame: `length` bytes of `bytes` from `start`. They are copied. */
  onFrame(offset: number, bytes: Uint8Array, start: number, length: number): Violation | undefined {
    if (this.discarded) return undefined
    const buffer = this.incoming
    if (offset + length > this.end && length > 0) return this.beyondEnd()
    const over = offset + length - buffer.readOffset - this.maxAhead
    if (over > 0) {
      const reason = `CRYPTO data ${over} bytes beyond the buffer of ${this.maxAhead}`
      return violation(TransportError.cryptoBufferExceeded, reason, FrameType.crypto)
    }
    return length === 0 ? undefined : buffer.insert(offset, bytes, start, length, false)
  }

  /**
   * TLS reads on at another level: what TLS has not read by now, in order or behind a gap, and what still comes that is new,
   * breaks the protocol (RFC 9001 section 4.1.3).
   */
  endReading(): Violation | undefined {
    if (this.discarded) return undefined
    this.end = this.incoming.readOffset
    return this.incoming.highestOffset > this.end ? this.beyondEnd() : undefined
  }

  private beyondEnd(): Violation {
    const reason = "handshake data at an encryption level that is over"
    return violation(TransportError.protocolViolation, reason, FrameType.crypto)
  }

  /** The next bytes in order, or undefined. */
  read(): Uint8Array | undefined {
    return this.incoming.read()
  }

  onFrameAcked(frame: SentFrame): void {
    if (!this.discarded) this.outgoing.acknowledge(frame.offset, frame.length, false)
  }

  onFrameLost(frame: SentFrame): void {
    if (!this.discarded) this.outgoing.lose(frame.offset, frame.length, false)
  }

  /** Everything that is not acknowledged goes out again: for a probe, or after Retry (RFC 9002 section 6.2.4). */
  requeue(): void {
    const { ackedOffset, unsentOffset } = this.outgoing
    this.outgoing.lose(ackedOffset, unsentOffset - ackedOffset, false)
  }

  /** The keys of the level are gone: nothing is sent or taken any more (RFC 9001 section 4.9). */
  discard(): void {
    this.discarded = true
    this.outgoing.discard()
    this.incoming.discard()
  }
}
