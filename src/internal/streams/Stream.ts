import type { Loan } from "./ReceiveBuffer.ts"
import type { SendLane } from "./SendLanes.ts"
import { QueueNode } from "./SendQueue.ts"
import type { ReceiveStream } from "./ReceiveStream.ts"
import type { SendStream } from "./SendStream.ts"

/** Called once when what was waited for may have happened; set again to go on waiting. */
export type Waiter = () => void

/** Control frames of one stream that wait to be sent, as bits. */
export const StreamControlBit = { reset: 1, stopSending: 2, maxStreamData: 4, streamDataBlocked: 8 } as const

/** Waiters of one stream, as bits. */
export const Wake = { read: 1, write: 2, flush: 4 } as const

/** Urgencies are 0 (first) to 7 (last), as in RFC 9218 section 4.1. */
export const LEAST_URGENT = 7
export const DEFAULT_URGENCY = 3

/** What a stream tells the table it is in. */
export interface StreamHost {
  /** Bytes that may be written now; 0 while writers must wait. */
  readonly roomFor: (send: SendStream) => number
  /** Somebody begins to wait to write. */
  readonly writerWaits: (stream: Stream) => void
  /** There is something new to send, or nothing any more. */
  readonly sendChanged: (stream: Stream) => void
  readonly sendReset: (stream: Stream) => void
  readonly consumed: (stream: Stream) => void
  readonly receiveStopped: (stream: Stream) => void
  /** Other paths may carry it. */
  readonly pathsChanged: (stream: Stream) => void
  /** Its data is to go on several paths at once. */
  readonly duplicated: () => void
}

/**
 * One stream: at least one of a sending and a receiving part. Operations are those of the application; the table feeds
 * it with frames. Nothing throws: an operation that makes no sense any more does nothing and says so.
 */
export class Stream {
  readonly id: number
  /** Place among the streams of its type: `id >> 2`. */
  readonly index: number
  readonly bidirectional: boolean
  /** Opened by this end. */
  readonly local: boolean
  readonly send: SendStream | undefined
  readonly receive: ReceiveStream | undefined

  readWaiter: Waiter | undefined = undefined
  /** Woken when all that was written is acknowledged, or never will be. */
  flushWaiter: Waiter | undefined = undefined

  /** Paths that may carry its data; undefined for any. Set by `setPaths`. */
  paths: ReadonlyArray<number> | undefined = undefined
  /** On how many paths at once its data goes; 0: the policies say it. */
  duplication = 0
  urgency: number = DEFAULT_URGENCY
  /** Takes turns with others of the same urgency; otherwise it is sent to its end first. */
  incremental = true
  /** The connection is over, for this reason. */
  closed = false
  error: unknown = undefined

  /** Given to the application. Until then the stream does not count as finished. */
  accepted: boolean
  /** Both parts are done and the table has forgotten the stream. */
  removed = false
  /** Opened in 0-RTT beyond what the server then allowed: waits for MAX_STREAMS. */
  held = false
  /** Bits of `StreamControlBit`, and the link of the list of streams that have any. */
  control = 0
  controlQueued = false
  nextControl: Stream | undefined = undefined
  nextAccept: Stream | undefined = undefined
  /** Bits of `Wake`. */
  wakes = 0
  readonly repairNode: QueueNode<Stream> = new QueueNode<Stream>(this)
  readonly freshNode: QueueNode<Stream> = new QueueNode<Stream>(this)
  /** Where it waits to send, if it is bound to paths. */
  lane: SendLane<Stream> | undefined = undefined
  private readonly host: StreamHost
  private writer: Waiter | undefined = undefined

  constructor(
    host: StreamHost,
    id: number,
    local: boolean,
    send: SendStream | undefined,
    receive: ReceiveStream | undefined
  ) {
    this.host = host
    this.id = id
    this.index = Math.floor(id / 4)
    this.bidirectional = (id & 2) === 0
    this.local = this.accepted = local
    this.send = send
    this.receive = receive
  }

  /** Woken when there is room to write, or never will be. */
  get writeWaiter(): Waiter | undefined {
    return this.writer
  }

  set writeWaiter(waiter: Waiter | undefined) {
    this.writer = waiter
    if (waiter !== undefined && this.isWritable) this.host.writerWaits(this)
  }

  /** Bytes written and not acknowledged. */
  get bufferedBytes(): number {
    return this.send === undefined ? 0 : this.send.buffer.bufferedBytes
  }

  /**
   * Bytes that may be written before the buffer of the stream is full; 0 while it is, or while all streams together hold
   * too much, except that an empty stream always gets its turn. When 0: wait with `writeWaiter`.
   */
  get writableBytes(): number {
    return this.isWritable ? this.host.roomFor(this.send!) : 0
  }

  /** The sending part takes bytes: not finished, reset or stopped. */
  get isWritable(): boolean {
    return this.send !== undefined && this.send.writable && !this.closed
  }

  /** All that was written, and the end if `finish` was called, is acknowledged. */
  get isFlushed(): boolean {
    const send = this.send
    return send === undefined || (send.resetCode < 0 && send.buffer.allAcked)
  }

  /** There are bytes to read now. */
  get isReadable(): boolean {
    return this.receive !== undefined && this.receive.readable
  }

  /** All bytes were read and the peer sent no more: the end of the stream. */
  get isFinished(): boolean {
    return this.receive === undefined || this.receive.finished
  }

  /** A read would not wait: there are bytes, or there will be no more. */
  get isReadSettled(): boolean {
    const receive = this.receive
    return receive === undefined || receive.readable || receive.terminal || receive.stopCode >= 0 || this.closed
  }

  /** A write would not wait: there is room, or nothing is taken any more. */
  get isWriteSettled(): boolean {
    return !this.isWritable || this.writableBytes > 0
  }

  /** All that was written is acknowledged, or never will be. */
  get isFlushSettled(): boolean {
    return this.closed || this.send === undefined || this.send.resetCode >= 0 || this.send.buffer.allAcked
  }

  /** Code with which the peer reset its sending part, -1 if it did not. */
  get resetCode(): number {
    return this.receive === undefined ? -1 : this.receive.resetCode
  }

  /** Code with which the peer asked us to stop sending, -1 if it did not. */
  get stopCode(): number {
    return this.send === undefined ? -1 : this.send.stopCode
  }

  /**
   * Hands over bytes to send; do not modify them until they are acknowledged. The bound of the buffer is not enforced
   * here: see `writableBytes`. False when the sending part takes no more.
   */
  write(bytes: Uint8Array): boolean {
    if (!this.isWritable) return false
    this.send!.buffer.append(bytes)
    this.host.sendChanged(this)
    return true
  }

  /** Ends the sending part after what was written (FIN). */
  finish(): boolean {
    if (!this.isWritable) return false
    this.send!.buffer.finish()
    this.host.sendChanged(this)
    return true
  }

  /** Ends the sending part at once: RESET_STREAM. What is not acknowledged may never arrive. */
  reset(code: number): boolean {
    if (this.send === undefined || this.closed || !this.send.reset(code)) return false
    this.host.sendReset(this)
    return true
  }

  /** Asks the peer to stop: STOP_SENDING. What has arrived and is not read is dropped. */
  stopSending(code: number): boolean {
    const receive = this.receive
    if (receive === undefined || this.closed || receive.stopCode >= 0 || receive.terminal) return false
    receive.stop(code)
    this.host.receiveStopped(this)
    return true
  }

  /** The next bytes in order, at most `max`, or undefined when none are there now. The caller owns them. */
  read(max?: number): Uint8Array | undefined {
    const bytes = this.receive?.read(max)
    if (bytes !== undefined) this.host.consumed(this)
    return bytes
  }

  /** The next bytes in order, lent: the same memory takes other bytes once it is given back. */
  lend(): Loan | undefined {
    const loan = this.receive?.lend()
    if (loan !== undefined) this.host.consumed(this)
    return loan
  }

  /** All bytes that are there, in order, in as few arrays as they came to lie in. */
  readAll(): Array<Uint8Array> {
    const receive = this.receive
    const chunks: Array<Uint8Array> = []
    if (receive === undefined) return chunks
    for (let bytes = receive.read(); bytes !== undefined; bytes = receive.read()) chunks.push(bytes)
    if (chunks.length > 0) this.host.consumed(this)
    return chunks
  }

  /** `urgency` 0 to 7, lower first; what is no number changes nothing. */
  setPriority(urgency: number, incremental = true): void {
    if (Number.isNaN(urgency)) return
    this.urgency = Math.min(LEAST_URGENT, Math.max(0, Math.floor(urgency)))
    this.incremental = incremental
    if (this.send !== undefined) this.host.sendChanged(this)
  }

  /** Restricts the data of the stream to these paths; undefined or none for any path. */
  /** On how many paths at once its data goes from now on; 0: the policies say it. */
  setDuplication(paths: number): void {
    this.duplication = paths
    if (paths > 1) this.host.duplicated()
  }

  setPaths(paths: ReadonlyArray<number> | undefined): void {
    if (this.send === undefined || this.removed) return
    this.paths = paths === undefined || paths.length === 0 ? undefined : [...new Set(paths)]
    this.host.pathsChanged(this)
  }
}
