import { RangeSet } from "./RangeSet.ts"

/** Writes below this many bytes are gathered in blocks: a packet should not be put together from dozens of chunks. */
const SMALL = 1024
const FIRST_BLOCK = 2048
const BLOCK = 8192

/** A piece of what was written: offsets `[start, end)` of the stream are `bytes[0 .. end - start)`. */
class Chunk {
  readonly bytes: Uint8Array
  readonly start: number
  end: number
  /** Ours, with room behind `end`: small writes are copied in. */
  readonly block: boolean
  next: Chunk | undefined = undefined

  constructor(bytes: Uint8Array, start: number, end: number, block: boolean) {
    this.bytes = bytes
    this.start = start
    this.end = end
    this.block = block
  }
}

/**
 * The bytes of one send stream from the write to the acknowledgement (RFC 9000 section 2.2). Offsets are those of the
 * stream.
 *
 * Written arrays are kept, not copied: do not modify what was written until it is acknowledged. Only small writes after
 * one another are copied into shared blocks. Chunks are let go in order, as the acknowledged prefix grows.
 */
export class SendBuffer {
  /** End of what was written. */
  writtenOffset = 0
  /** End of what was sent at least once. */
  unsentOffset = 0
  /** Everything below is acknowledged. */
  ackedOffset = 0
  /** `finish` was called: `writtenOffset` is the final size. */
  finished = false
  /** A frame with FIN is on its way, or acknowledged. */
  finSent = false
  finAcked = false

  private head: Chunk | undefined = undefined
  private tail: Chunk | undefined = undefined
  /** Where the last copies ended: new data and retransmissions each move forward by themselves. */
  private fresh: Chunk | undefined = undefined
  private repair: Chunk | undefined = undefined
  /** Acknowledged ranges above `ackedOffset`. */
  private readonly acked = new RangeSet()
  private readonly lost = new RangeSet()
  /** Chunks passed over to find an offset: what tests assert on instead of time. */
  steps = 0

  /** Bytes written and not sent yet. */
  get pendingNew(): number {
    return this.writtenOffset - this.unsentOffset
  }

  /** Bytes held: written, and not acknowledged up to there. */
  get bufferedBytes(): number {
    return this.writtenOffset - this.ackedOffset
  }

  /** Bytes declared lost and not sent again yet. */
  get lostBytes(): number {
    return this.lost.total
  }

  get hasRetransmission(): boolean {
    return this.lost.count > 0
  }

  /** FIN has to be sent, for the first time or again. */
  get finPending(): boolean {
    return this.finished && !this.finSent
  }

  get allAcked(): boolean {
    return this.ackedOffset === this.writtenOffset && (!this.finished || this.finAcked)
  }

  /** First range to send again; only when `hasRetransmission`. */
  get retransmitOffset(): number {
    return this.lost.startAt(0)
  }

  get retransmitLength(): number {
    return this.lost.endAt(0) - this.lost.startAt(0)
  }

  /** Ranges looked at by the bookkeeping of acknowledgements and losses. */
  get rangeSteps(): number {
    return this.acked.steps + this.lost.steps
  }

  append(bytes: Uint8Array): void {
    const length = bytes.length
    if (length === 0) return
    const start = this.writtenOffset
    this.writtenOffset = start + length
    const tail = this.tail
    if (tail !== undefined && length < SMALL) {
      if (tail.block && tail.end - tail.start + length <= tail.bytes.length) {
        tail.bytes.set(bytes, tail.end - tail.start)
        tail.end += length
        return
      }
      if (tail.block || tail.end - tail.start < SMALL) {
        const block = new Uint8Array(Buffer.allocUnsafeSlow(tail.block ? BLOCK : FIRST_BLOCK).buffer)
        block.set(bytes)
        this.link(new Chunk(block, start, start + length, true))
        return
      }
    }
    // A Buffer is turned into the plain view it is, so that the packet path sees one kind of array.
    const plain =
      bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.link(new Chunk(plain, start, start + length, false))
  }

  finish(): void {
    this.finished = true
  }

  /** Copies `[offset, offset + length)`, which must be written and not acknowledged, to `target` at `at`. */
  copyTo(offset: number, length: number, target: Uint8Array, at: number): void {
    if (length === 0) return
    const isNew = offset >= this.unsentOffset
    let chunk = isNew ? this.fresh : this.repair
    if (chunk === undefined || chunk.start > offset) chunk = this.head
    while (chunk !== undefined && chunk.end <= offset) {
      chunk = chunk.next
      this.steps++
    }
    let position = offset
    const end = offset + length
    while (chunk !== undefined) {
      const from = position - chunk.start
      const stop = end < chunk.end ? end : chunk.end
      target.set(chunk.bytes.subarray(from, stop - chunk.start), at + position - offset)
      position = stop
      if (stop === end) break
      chunk = chunk.next
      this.steps++
    }
    if (isNew) this.fresh = chunk
    else this.repair = chunk
  }

  /** New data left: the next `length` bytes after `unsentOffset`. */
  markSent(length: number): void {
    this.unsentOffset += length
  }

  /** `length` bytes of the first lost range left again. */
  markRetransmitted(length: number): void {
    this.lost.shorten(length)
  }

  /** A frame arrived at the peer. Repeated and overlapping acknowledgements do no harm. */
  acknowledge(offset: number, length: number, fin: boolean): void {
    if (fin) this.finAcked = this.finSent = true
    const end = offset + length
    if (end <= this.ackedOffset) return
    if (this.lost.count > 0) this.lost.remove(offset, end)
    if (offset > this.ackedOffset) {
      this.acked.add(offset, end)
      return
    }
    this.ackedOffset = end
    const acked = this.acked
    while (acked.count > 0 && acked.startAt(0) <= this.ackedOffset) {
      if (acked.endAt(0) > this.ackedOffset) this.ackedOffset = acked.endAt(0)
      acked.removeFirst()
    }
    this.free()
  }

  /** A frame was lost: what of it is not acknowledged goes out again. Harmless when it is repeated. */
  lose(offset: number, length: number, fin: boolean): void {
    if (fin && !this.finAcked) this.finSent = false
    let at = offset > this.ackedOffset ? offset : this.ackedOffset
    const end = Math.min(offset + length, this.unsentOffset)
    if (at >= end) return
    const acked = this.acked
    if (acked.count > 0) {
      for (let index = acked.lower(at); index < acked.count && at < end; index++) {
        const start = acked.startAt(index)
        if (start >= end) break
        this.lost.add(at, start)
        at = Math.max(at, acked.endAt(index))
      }
    }
    this.lost.add(at, end)
  }

  /** Forgets that anything was sent: the peer refused 0-RTT and saw none of it (RFC 9001 section 4.6.2). */
  rewind(): void {
    this.unsentOffset = this.ackedOffset
    this.finSent = this.finAcked
    this.lost.clear()
    this.acked.clear()
    this.fresh = this.repair = undefined
  }

  /** Lets everything go after a reset; `unsentOffset` stays, it is the final size. */
  discard(): void {
    this.head = this.tail = this.fresh = this.repair = undefined
    this.lost.clear()
    this.acked.clear()
    this.writtenOffset = this.ackedOffset = this.unsentOffset
    this.finished = false
  }

  private link(chunk: Chunk): void {
    if (this.tail === undefined) this.head = chunk
    else this.tail.next = chunk
    this.tail = chunk
  }

  private free(): void {
    let chunk = this.head
    while (chunk !== undefined && chunk.end <= this.ackedOffset) {
      if (chunk === this.fresh) this.fresh = chunk.next
      if (chunk === this.repair) this.repair = chunk.next
      chunk = chunk.next
    }
    this.head = chunk
    if (chunk === undefined) this.tail = undefined
  }
}
