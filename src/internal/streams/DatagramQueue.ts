import type { Waiter } from "./Stream.ts"

const NO_BYTES = new Uint8Array(0)
/** Received datagrams share chunks, which begin small and grow to this. */
const FIRST_CHUNK = 2048
const LARGEST_CHUNK = 65536

class Outgoing {
  readonly bytes: Uint8Array
  readonly pathId: number
  next: Outgoing | undefined = undefined

  constructor(bytes: Uint8Array, pathId: number) {
    this.bytes = bytes
    this.pathId = pathId
  }
}

/** A datagram may leave on any path. */
export const ANY_PATH = -1

/**
 * Datagrams on their way out and in (RFC 9221). Unreliable: what is lost stays lost, and both queues have bounds. A full
 * outgoing queue refuses, so that the writer can wait; a full incoming queue drops its oldest, which is worth the least.
 */
export class DatagramQueue {
  /** Called once when a full outgoing queue is half empty again. */
  writeWaiter: Waiter | undefined = undefined
  /** Called once when a datagram is there to read. */
  readWaiter: Waiter | undefined = undefined
  /** Statistics. */
  sent = 0
  received = 0
  /** Received datagrams that were never read because the queue was full. */
  droppedIncoming = 0
  /** Outgoing datagrams dropped because no packet holds them any more, or their path is gone. */
  droppedOutgoing = 0
  outgoingCount = 0
  outgoingBytes = 0

  private head: Outgoing | undefined = undefined
  private tail: Outgoing | undefined = undefined
  private readonly capacity: number
  private readonly maxOutgoingBytes: number
  /** Made by the first datagram received: many connections never see one. */
  private ring: Array<Uint8Array | undefined> | undefined = undefined
  private first = 0
  private count = 0
  private chunk = NO_BYTES
  private used = 0
  private chunkSize = FIRST_CHUNK
  private readWake = false
  private writeWake = false
  private closed = false

  /** `capacity`: datagrams in each direction; `maxOutgoingBytes`: bytes of those that wait to be sent. */
  constructor(capacity: number, maxOutgoingBytes: number) {
    this.capacity = Math.max(1, capacity)
    this.maxOutgoingBytes = maxOutgoingBytes
  }

  get hasOutgoing(): boolean {
    return this.head !== undefined
  }

  get incomingCount(): number {
    return this.count
  }

  /** A datagram waits that this path may carry. */
  hasOutgoingFor(pathId: number): boolean {
    for (let entry = this.head; entry !== undefined; entry = entry.next) {
      if (entry.pathId === ANY_PATH || entry.pathId === pathId) return true
    }
    return false
  }

  /**
   * Queues a datagram; do not modify the bytes until it has left. False when the queue is full: wait with `writeWaiter`.
   * One datagram always fits into an empty queue. With `pathId` only that path may carry it.
   */
  push(bytes: Uint8Array, pathId = ANY_PATH): boolean {
    if (this.closed || this.outgoingCount >= this.capacity) return false
    if (this.outgoingCount > 0 && this.outgoingBytes + bytes.length > this.maxOutgoingBytes) return false
    const entry = new Outgoing(bytes, pathId)
    if (this.tail === undefined) this.head = entry
    else this.tail.next = entry
    this.tail = entry
    this.outgoingCount++
    this.outgoingBytes += bytes.length
    return true
  }

  /**
   * Takes the next datagram for the path if it has at most `room` bytes. Those above `largest`, which is what an empty
   * packet of the path holds, can never leave on it: they are dropped and counted.
   */
  next(room: number, pathId: number, largest = Number.POSITIVE_INFINITY): Uint8Array | undefined {
    let previous: Outgoing | undefined
    let entry = this.head
    while (entry !== undefined) {
      const next: Outgoing | undefined = entry.next
      if (entry.pathId !== ANY_PATH && entry.pathId !== pathId) {
        previous = entry
      } else if (entry.bytes.length > largest) {
        this.unlink(previous, entry)
        this.droppedOutgoing++
      } else {
        if (entry.bytes.length > room) return undefined
        this.unlink(previous, entry)
        this.sent++
        return entry.bytes
      }
      entry = next
    }
    return undefined
  }

  /** Drops what only this path could have carried. */
  onPathClosed(pathId: number): void {
    let previous: Outgoing | undefined
    for (let entry = this.head; entry !== undefined; entry = entry.next) {
      if (entry.pathId === pathId) {
        this.unlink(previous, entry)
        this.droppedOutgoing++
      } else previous = entry
    }
  }

  /** Takes a DATAGRAM frame: `length` bytes of `bytes` from `start`. They are copied. */
  onReceived(bytes: Uint8Array, start: number, length: number): void {
    if (this.chunk.length - this.used < length) {
      this.chunk = new Uint8Array(Buffer.allocUnsafeSlow(Math.max(this.chunkSize, length)).buffer)
      this.chunkSize = Math.min(2 * this.chunkSize, LARGEST_CHUNK)
      this.used = 0
    }
    const copy = this.chunk.subarray(this.used, this.used + length)
    copy.set(bytes.subarray(start, start + length))
    this.used += length
    this.received++
    if (this.count === this.capacity) {
      this.shift()
      this.droppedIncoming++
    }
    let slot = this.first + this.count++
    if (slot >= this.capacity) slot -= this.capacity
    this.ring ??= Array.from<Uint8Array | undefined>({ length: this.capacity })
    this.ring[slot] = copy
    if (this.readWaiter !== undefined) this.readWake = true
  }

  /** The oldest received datagram, or undefined: wait with `readWaiter`. The caller owns it. */
  read(): Uint8Array | undefined {
    return this.count === 0 ? undefined : this.shift()
  }

  /** Calls the waiters whose time has come, once. At the end of a burst. */
  flushWakes(): void {
    if (this.readWake) {
      this.readWake = false
      const waiter = this.readWaiter
      this.readWaiter = undefined
      waiter?.()
    }
    if (this.writeWake) {
      this.writeWake = false
      const waiter = this.writeWaiter
      this.writeWaiter = undefined
      waiter?.()
    }
  }

  /** The connection is over: nothing is sent any more, what was received can be read, `flushWakes` wakes everybody. */
  close(): void {
    this.closed = true
    this.head = this.tail = undefined
    this.droppedOutgoing += this.outgoingCount
    this.outgoingCount = this.outgoingBytes = 0
    this.readWake = this.writeWake = true
  }

  private shift(): Uint8Array {
    const ring = this.ring!
    const bytes = ring[this.first]!
    ring[this.first] = undefined
    this.first = this.first + 1 === this.capacity ? 0 : this.first + 1
    this.count--
    return bytes
  }

  private unlink(previous: Outgoing | undefined, entry: Outgoing): void {
    if (previous === undefined) this.head = entry.next
    else previous.next = entry.next
    if (this.tail === entry) this.tail = previous
    this.outgoingCount--
    this.outgoingBytes -= entry.bytes.length
    if (
      this.writeWaiter !== undefined &&
      2 * this.outgoingCount <= this.capacity &&
      2 * this.outgoingBytes <= this.maxOutgoingBytes
    )
      this.writeWake = true
  }
}
