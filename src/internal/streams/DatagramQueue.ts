import { datagramHeaderLength } from "../wire/FrameWriter.ts"
import type { Waiter } from "./Stream.ts"

const NO_BYTES = new Uint8Array(0)
/** Received datagrams share chunks, which begin small and grow to this. */
const FIRST_CHUNK = 2048
const LARGEST_CHUNK = 65536

/** A datagram that waits to be sent. */
class Outgoing {
  readonly bytes: Uint8Array
  readonly pathId: number
  /** Bytes of its frame. */
  readonly size: number
  /** How many were queued before it. */
  readonly order: number
  next: Outgoing | undefined = undefined

  constructor(bytes: Uint8Array, pathId: number, order: number) {
    this.bytes = bytes
    this.pathId = pathId
    this.size = datagramHeaderLength(bytes.length) + bytes.length
    this.order = order
  }
}

/** Datagrams that wait for the same, in the order in which they were queued. */
class Waiting {
  head: Outgoing | undefined = undefined
  private tail: Outgoing | undefined = undefined

  push(entry: Outgoing): void {
    if (this.tail === undefined) this.head = entry
    else this.tail.next = entry
    this.tail = entry
  }

  shift(): void {
    const head = this.head!
    this.head = head.next
    head.next = undefined
    if (this.head === undefined) this.tail = undefined
  }

  clear(): void {
    this.head = this.tail = undefined
  }
}

/** A datagram may leave on any path. */
export const ANY_PATH = -1

export interface DatagramQueueOptions {
  /** Datagrams in each direction. */
  readonly capacity: number
  /** Bytes of those that wait to be sent. */
  readonly maxOutgoingBytes: number
  /** The largest frame that a packet of any open path holds now. Default: that of the path that is asked for one. */
  readonly largestFrame?: (() => number) | undefined
  /** The path exists and is not about to close. Default: yes. */
  readonly isOpen?: ((pathId: number) => boolean) | undefined
}

/**
 * Datagrams on their way out and in (RFC 9221). Unreliable: what is lost stays lost, and both queues have bounds. A full
 * outgoing queue refuses, so that the writer can wait; a full incoming queue drops its oldest, which is worth the least.
 *
 * Those bound to a path wait in a list of that path, so that they hold up nobody else, and every question takes the same
 * time however many wait.
 */
export class DatagramQueue {
  /** Called once when a full outgoing queue is half empty again, or a path is gone that datagrams could be bound to. */
  writeWaiter: Waiter | undefined = undefined
  /** Called once when a datagram is there to read. */
  readWaiter: Waiter | undefined = undefined
  /** The last one that `next` gave was bound to its path. */
  tookBound = false
  /** Statistics. */
  sent = 0
  bytesSent = 0
  received = 0
  /** Received datagrams that were never read because the queue was full. */
  droppedIncoming = 0
  /** Outgoing datagrams dropped because no packet holds them any more, or their path is gone. */
  droppedOutgoing = 0
  outgoingCount = 0
  outgoingBytes = 0

  private readonly free = new Waiting()
  /** By path, for those that only this one may carry; made by the first of them. */
  private bound: Map<number, Waiting> | undefined = undefined
  /** Free ones that were too large for a path that was asked, but not for all: queued before that path shrank. */
  private readonly large = new Waiting()
  private queued = 0
  private readonly capacity: number
  private readonly maxOutgoingBytes: number
  private readonly largestFrame: (() => number) | undefined
  private readonly isOpen: ((pathId: number) => boolean) | undefined
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

  constructor(options: DatagramQueueOptions) {
    this.capacity = Math.max(1, options.capacity)
    this.maxOutgoingBytes = options.maxOutgoingBytes
    this.largestFrame = options.largestFrame
    this.isOpen = options.isOpen
  }

  get hasOutgoing(): boolean {
    return this.outgoingCount > 0
  }

  get incomingCount(): number {
    return this.count
  }

  /** `read` would give a datagram, or never will again. */
  get isReadSettled(): boolean {
    return this.count > 0 || this.closed
  }

  /** `push` would take a datagram, or never will again. */
  get isWriteSettled(): boolean {
    return this.closed || (this.outgoingCount < this.capacity && this.outgoingBytes < this.maxOutgoingBytes)
  }

  /** A datagram waits that this path, whose packets hold frames of `largest` bytes, may carry or must drop. */
  hasOutgoingFor(pathId: number, largest = Number.POSITIVE_INFINITY): boolean {
    return this.outgoingCount > 0 && this.nextList(pathId, largest, false) !== undefined
  }

  /** A datagram waits that only this path may carry. */
  hasBound(pathId: number): boolean {
    return this.bound?.get(pathId)?.head !== undefined
  }

  /**
   * Queues a datagram; do not modify the bytes until it has left. False when the queue is full: wait with `writeWaiter`.
   * The last one may exceed the bytes. With `pathId` only that path may carry it; if it is not there, the
   * datagram is dropped and counted.
   */
  push(bytes: Uint8Array, pathId = ANY_PATH): boolean {
    if (this.closed || !this.isWriteSettled) return false
    if (pathId !== ANY_PATH && this.isOpen?.(pathId) === false) {
      this.droppedOutgoing++
      return true
    }
    const entry = new Outgoing(bytes, pathId, this.queued++)
    if (pathId === ANY_PATH) this.free.push(entry)
    else this.boundList(pathId).push(entry)
    this.outgoingCount++
    this.outgoingBytes += bytes.length
    return true
  }

  /**
   * Takes the next datagram for the path if its frame, with a Length field, has at most `room` bytes; with `boundOnly` one
   * that no other path may carry. Those whose frame is above `largest`, which is what an empty packet of the path holds,
   * wait for a path that is larger; if there is none, they can never leave: they are dropped and counted.
   */
  next(room: number, pathId: number, largest = Number.POSITIVE_INFINITY, boundOnly = false): Uint8Array | undefined {
    if (this.outgoingCount === 0) return undefined
    for (;;) {
      const list = this.nextList(pathId, largest, boundOnly)
      if (list === undefined) return undefined
      const entry = list.head!
      if (entry.size <= largest) {
        if (entry.size > room) return undefined
        list.shift()
        this.left(entry)
        this.sent++
        this.bytesSent += entry.bytes.length
        this.tookBound = entry.pathId !== ANY_PATH
        return entry.bytes
      }
      list.shift()
      if (entry.pathId === ANY_PATH && this.fitsSomewhere(entry, largest)) this.large.push(entry)
      else {
        this.left(entry)
        this.droppedOutgoing++
      }
    }
  }

  /** Drops what only this path could have carried; who waits for room may have waited for this path. */
  onPathClosed(pathId: number): void {
    const list = this.bound?.get(pathId)
    if (list !== undefined) {
      this.bound!.delete(pathId)
      for (let entry = list.head; entry !== undefined; entry = entry.next) {
        this.left(entry)
        this.droppedOutgoing++
      }
    }
    if (this.writeWaiter !== undefined) this.writeWake = true
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
    this.free.clear()
    this.large.clear()
    this.bound = undefined
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

  private boundList(pathId: number): Waiting {
    const bound = (this.bound ??= new Map<number, Waiting>())
    let list = bound.get(pathId)
    if (list === undefined) bound.set(pathId, (list = new Waiting()))
    return list
  }

  /** The list whose head was queued first of those that the path may carry. */
  private nextList(pathId: number, largest: number, boundOnly: boolean): Waiting | undefined {
    const bound = this.bound?.get(pathId)
    let best = bound?.head === undefined ? undefined : bound
    if (boundOnly) return best
    const { free, large } = this
    if (free.head !== undefined && (best === undefined || free.head.order < best.head!.order)) best = free
    const head = large.head
    if (head !== undefined && (best === undefined || head.order < best.head!.order)) {
      if (head.size <= largest || !this.fitsSomewhere(head, largest)) best = large
    }
    return best
  }

  private fitsSomewhere(entry: Outgoing, largest: number): boolean {
    return entry.size <= Math.max(largest, this.largestFrame?.() ?? 0)
  }

  private left(entry: Outgoing): void {
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
