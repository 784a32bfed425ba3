import { FrameType } from "../wire/FrameType.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"

const BLOCK = 65536
/** Bitmaps of 64 KB blocks that are kept for the next out-of-order block. */
const SPARE_BITMAPS = 8
/** Streams begin with small blocks, so that a short message does not cost 64 KB: bytes of the first ones, and of all others. */
const SIZES = [2048, 6144, 24576, 32768, BLOCK]
/** Memory of blocks that came back from loans, kept for all streams: so many of each size, 8 MB in all. */
const SPARE_BLOCKS = 64
/** A block that the end of the stream cuts takes spare memory, or is made to become some, if it fills this much of it. */
const WORTH_SPARING = 1 / 4

// The last one back is the first one used: it is still in the processor's caches.
const spareBlocks: ReadonlyArray<Array<Uint8Array>> = SIZES.map(() => [])

const blockIndex = (offset: number): number =>
  offset >= BLOCK ? 3 + Math.floor(offset / BLOCK) : offset < 2048 ? 0 : offset < 8192 ? 1 : offset < 32768 ? 2 : 3

const blockStart = (index: number): number =>
  index > 3 ? (index - 3) * BLOCK : index === 0 ? 0 : index === 1 ? 2048 : index === 2 ? 8192 : 32768

/** Bytes `[start, end)` of the stream. Its memory is used again only if all of it was lent and given back. */
class Block {
  readonly start: number
  readonly end: number
  /** May be longer. */
  readonly bytes: Uint8Array
  /** Index of its full size in `SIZES`. */
  readonly size: number
  /** One bit for each byte that arrived out of order; none while all came in order. */
  bits: Int32Array | undefined = undefined
  /** Loans that are not given back. */
  loans = 0
  /** All that will ever be in it was handed out. */
  exhausted = false
  /** A part of it is the application's for good. */
  kept = false

  constructor(index: number, end: number, lending: boolean) {
    this.start = blockStart(index)
    this.end = end
    this.size = Math.min(index, SIZES.length - 1)
    this.bytes = allocate(end - this.start, this.size, lending)
  }
}

const allocate = (length: number, size: number, lending: boolean): Uint8Array => {
  const full = SIZES[size]!
  const sparing = lending && length >= full * WORTH_SPARING
  // Zeroed memory is cheaper below this size, and never initialised twice above it.
  if (length <= 512 && !sparing) return new Uint8Array(length)
  return (
    (sparing ? spareBlocks[size]!.pop() : undefined) ??
    new Uint8Array(Buffer.allocUnsafeSlow(sparing ? full : length).buffer)
  )
}

/** Bytes that the application may look at until it gives them back. Lost loans cost nothing but the memory's next use. */
export class Loan {
  readonly bytes: Uint8Array
  private readonly block: Block
  private readonly owner: ReceiveBuffer
  private returned = false

  constructor(bytes: Uint8Array, block: Block, owner: ReceiveBuffer) {
    this.bytes = bytes
    this.block = block
    this.owner = owner
    block.loans++
  }

  /** Nobody looks at the bytes any more. */
  giveBack(): void {
    if (this.returned) return
    this.returned = true
    const { block } = this
    block.loans--
    if (block.loans > 0 || block.kept || block.bytes.length !== SIZES[block.size]) return
    if (!block.exhausted && !this.owner.dropIdle(block)) return
    const spare = spareBlocks[block.size]!
    if (spare.length < SPARE_BLOCKS) spare.push(block.bytes)
  }
}

/**
 * Puts the frames of one stream back in order (RFC 9000 section 2.2). Bytes are copied once, from the packet to their
 * place in a block; the application gets views of the blocks.
 *
 * With several paths much arrives out of order all the time, and a hostile peer may send single bytes anywhere. So
 * out-of-order bytes are marked in a bitmap, not in a list of gaps: every frame costs time in proportion to its own
 * length whatever came before, and memory is at most 9/8 of the flow control window and a block.
 */
export class ReceiveBuffer {
  /** Everything below was handed out. */
  readOffset = 0
  /** Everything below has arrived. */
  contiguousOffset = 0
  /** End of the highest frame: what flow control counts. */
  highestOffset = 0
  /** -1 until a frame with FIN or a reset tells it. */
  finalSize = -1
  /** Bytes that arrived again. */
  duplicateBytes = 0
  /** Words of bitmaps written or looked at: what tests assert on instead of time. */
  steps = 0

  private blocks: Array<Block | undefined> = [undefined, undefined]
  /** Index of the block of `readOffset`. */
  private base = 0
  private discarding = false
  /** The reader gives memory back. */
  private lending = false
  private spare: Array<Int32Array> | undefined = undefined

  /** Every byte up to the final size is here. */
  get complete(): boolean {
    return this.contiguousOffset === this.finalSize
  }

  get readable(): number {
    return this.contiguousOffset - this.readOffset
  }

  /** All was handed out and no more will come. */
  get ended(): boolean {
    return this.readOffset === this.finalSize
  }

  /**
   * Takes `length` bytes of `source` from `from`, which belong at `offset`. Overlaps and repetitions are fine; what was
   * said about the final size must hold (RFC 9000 section 4.5). Flow control is checked by the caller.
   */
  insert(offset: number, source: Uint8Array, from: number, length: number, fin: boolean): Violation | undefined {
    const end = offset + length
    if (fin || this.finalSize >= 0) {
      const wrong = this.checkFinalSize(end, fin, FrameType.stream)
      if (wrong !== undefined) return wrong
    }
    if (end > this.highestOffset) this.highestOffset = end
    if (this.discarding) return undefined
    const contiguous = this.contiguousOffset
    if (end <= contiguous) {
      this.duplicateBytes += length
      return undefined
    }
    if (offset > contiguous) {
      if (length > 0) this.insertAhead(offset, source, from, end)
      return undefined
    }
    this.duplicateBytes += contiguous - offset
    let at = contiguous
    while (at < end) {
      const block = this.blockAt(at)
      const to = end < block.end ? end : block.end
      block.bytes.set(source.subarray(from + at - offset, from + to - offset), at - block.start)
      at = to
      if (at === block.end) this.releaseBits(block)
    }
    this.contiguousOffset = end
    if (this.highestOffset > end) this.advance()
    return undefined
  }

  /** The final size, from a frame with FIN or from RESET_STREAM: never below what arrived, and never two of them. */
  checkFinalSize(end: number, fin: boolean, frameType: number): Violation | undefined {
    const known = this.finalSize
    let reason: string
    if (fin) {
      if (known >= 0 && known !== end) reason = `final size ${end} after final size ${known}`
      else if (end < this.highestOffset) reason = `final size ${end} below data received up to ${this.highestOffset}`
      else {
        this.finalSize = end
        return undefined
      }
    } else if (end > known) reason = `data up to ${end} beyond final size ${known}`
    else return undefined
    return violation(TransportError.finalSize, reason, frameType)
  }

  /**
   * The next bytes in order, at most `max`, or undefined when there are none. A view of memory that is never used again
   * by the library: the caller may keep and change it. It ends at the end of a block at the latest.
   */
  read(max = Number.POSITIVE_INFINITY): Uint8Array | undefined {
    const block = this.first
    if (this.readable <= 0 || block === undefined || max < 1) return undefined
    block.kept = true
    return this.take(block, max)
  }

  /** As `read`, but what is given back may hold other bytes afterwards. */
  lend(): Loan | undefined {
    this.lending = true
    const block = this.first
    if (this.readable <= 0 || block === undefined) return undefined
    const bytes = this.take(block, Number.POSITIVE_INFINITY)
    block.exhausted = this.readOffset === block.end || this.ended
    return new Loan(bytes, block, this)
  }

  /**
   * Lets go of the block that is being read if nothing is in it: what comes next gets another one. So a thousand streams
   * that each get a little at a time take turns with the same memory.
   */
  dropIdle(block: Block): boolean {
    if (this.highestOffset !== this.readOffset || this.first !== block) return false
    this.blocks[this.base & (this.blocks.length - 1)] = undefined
    this.releaseBits(block)
    return true
  }

  /** The block of `readOffset`. */
  private get first(): Block | undefined {
    return this.blocks[this.base & (this.blocks.length - 1)]
  }

  private take(block: Block, max: number): Uint8Array {
    const start = this.readOffset
    let to = this.contiguousOffset < block.end ? this.contiguousOffset : block.end
    if (to - start > max) to = start + Math.floor(max)
    this.readOffset = to
    if (to === block.end) {
      this.blocks[this.base & (this.blocks.length - 1)] = undefined
      this.base++
      if (start === block.start && to - start === block.bytes.length) return block.bytes
    }
    return block.bytes.subarray(start - block.start, to - block.start)
  }

  /** Everything that is in order, one array for each block. */
  readAll(): Array<Uint8Array> {
    const chunks: Array<Uint8Array> = []
    for (let chunk = this.read(); chunk !== undefined; chunk = this.read()) chunks.push(chunk)
    return chunks
  }

  /** Lets go of what was not read, and of all that will still come; offsets go on being counted. */
  discard(): void {
    this.discarding = true
    this.blocks = [undefined, undefined]
    this.spare = undefined
    this.contiguousOffset = this.readOffset
  }

  private insertAhead(offset: number, source: Uint8Array, from: number, end: number): void {
    let at = offset
    while (at < end) {
      const block = this.blockAt(at)
      const to = end < block.end ? end : block.end
      const local = at - block.start
      block.bytes.set(source.subarray(from + at - offset, from + to - offset), local)
      this.mark((block.bits ??= this.makeBits(block)), local, local + to - at)
      at = to
    }
  }

  private mark(bits: Int32Array, start: number, end: number): void {
    const first = start >>> 5
    const last = (end - 1) >>> 5
    const head = -1 << (start & 31)
    const tail = -1 >>> (31 - ((end - 1) & 31))
    this.steps += last - first + 1
    if (first === last) {
      bits[first]! |= head & tail
      return
    }
    bits[first]! |= head
    for (let word = first + 1; word < last; word++) bits[word] = -1
    bits[last]! |= tail
  }

  /** Moves `contiguousOffset` over what came ahead of its turn. Each bit is passed once in the life of the stream. */
  private advance(): void {
    let at = this.contiguousOffset
    for (;;) {
      const index = blockIndex(at)
      if (index - this.base >= this.blocks.length) break
      const block = this.blocks[index & (this.blocks.length - 1)]
      const bits = block?.bits
      if (block === undefined || bits === undefined) break
      at = block.start + this.runEnd(bits, at - block.start, block.end - block.start)
      if (at < block.end) break
      this.releaseBits(block)
    }
    this.contiguousOffset = at
  }

  /** End of the run of ones that begins at bit `at`; `at` itself if that bit is zero. */
  private runEnd(bits: Int32Array, at: number, size: number): number {
    const shift = at & 31
    let word = at >>> 5
    this.steps++
    let zeros = ~(bits[word]! >>> shift)
    // Above the shift zeros came in from the left, so `zeros` is 0 only for a whole word of ones.
    let run = zeros === 0 ? 32 : 31 - Math.clz32(zeros & -zeros)
    let end = at + run
    if (shift + run < 32) return end
    const words = bits.length
    const before = word
    while (++word < words && bits[word] === -1) end += 32
    this.steps += word - before
    if (word < words) {
      zeros = ~bits[word]!
      run = 31 - Math.clz32(zeros & -zeros)
      end += run
    }
    return end < size ? end : size
  }

  private blockAt(offset: number): Block {
    const index = blockIndex(offset)
    if (index - this.base >= this.blocks.length) this.grow(index)
    const slot = index & (this.blocks.length - 1)
    const found = this.blocks[slot]
    if (found !== undefined) return found
    const end = blockStart(index + 1)
    const block = new Block(index, this.finalSize >= 0 && this.finalSize < end ? this.finalSize : end, this.lending)
    this.blocks[slot] = block
    return block
  }

  private grow(index: number): void {
    let size = this.blocks.length
    while (index - this.base >= size) size *= 2
    const blocks: Array<Block | undefined> = Array.from({ length: size }, () => undefined)
    for (let at = 0; at < this.blocks.length; at++) {
      const from = this.base + at
      blocks[from & (size - 1)] = this.blocks[from & (this.blocks.length - 1)]
    }
    this.blocks = blocks
  }

  private makeBits(block: Block): Int32Array {
    const size = block.end - block.start
    return (size === BLOCK ? this.spare?.pop() : undefined) ?? new Int32Array((size + 31) >>> 5)
  }

  /** All of the block has arrived: its bitmap can serve another one. */
  private releaseBits(block: Block): void {
    const bits = block.bits
    if (bits === undefined) return
    block.bits = undefined
    const spare = (this.spare ??= [])
    if (bits.length !== BLOCK >>> 5 || spare.length >= SPARE_BITMAPS) return
    bits.fill(0)
    spare.push(bits)
  }
}
