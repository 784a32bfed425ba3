import type { SendStream } from "./SendStream.ts"
import { Wake } from "./Stream.ts"
import type { Stream } from "./Stream.ts"
import type { StreamSender } from "./StreamSender.ts"
import type { WakeList } from "./WakeList.ts"

/** Bytes that a stream may hold however little of it is under way: what slow start takes before it has grown. */
const FIRST_BUFFER = 1_048_576
/**
 * Bytes up to which a buffer follows what is under way whatever holds it up. Beyond, it must not feed a queue: a window that
 * losses have not found yet fills the socket of the peer, or a router, and nothing gets there sooner.
 */
const PLENTY = 4_194_304
/** How many times what the paths themselves hold may be buffered then. */
const OF_PATHS = 4
/** All streams together may hold this many times what one may. */
const TOTAL_SEND_BUFFERS = 2
/** A writer goes on when this part of the buffer is free: not for each packet that is acknowledged. */
const ROOM = 1 / 4

/**
 * How much may be written, and when those who wait to write, or for everything to be acknowledged, go on.
 *
 * The buffer of a stream grows with what is under way: bytes that were sent, up to the first that is not acknowledged. As
 * many again may wait behind them, so that paths whose windows grow, or of which one holds up the others, never run out of
 * data; a stream whose peer takes little holds little. That is Linux's way with TCP, too. Writers go on while most of that is
 * still there. Above 4 MB only that part of what is under way counts that would be so without queues: the bandwidth-delay
 * product.
 *
 * All streams together have a bound, beyond which only an empty stream may write. Who waits for nothing but the others
 * stands in a queue of its own and goes on when its turn comes.
 */
export class Backpressure {
  /** The part of the RTT that is no queue, on the path where it is largest: 0 to 1. */
  propagation = 1
  /** Bytes of one stream above which `write` waits, however much is under way. */
  private readonly limit: number
  /** Bytes of all streams above which `write` waits. */
  private readonly totalLimit: number
  /** Who waits for nothing but the others. */
  private crowd: Set<Stream> | undefined = undefined
  private flushing = false
  private readonly sender: StreamSender
  private readonly wakes: WakeList

  constructor(limit: number, sender: StreamSender, wakes: WakeList) {
    this.limit = limit
    this.totalLimit = TOTAL_SEND_BUFFERS * limit
    this.sender = sender
    this.wakes = wakes
  }

  /** Bytes that the stream may write now: 0 while it has to wait. */
  roomFor(send: SendStream): number {
    return this.isCrowdedOut(send) ? 0 : Math.max(0, this.bufferOf(send) - send.buffer.bufferedBytes)
  }

  /** Somebody begins to wait to write to the stream. */
  waits(stream: Stream, send: SendStream): void {
    if (this.isCrowdedOut(send)) this.crowd = (this.crowd ?? new Set()).add(stream)
  }

  /** Bytes of the stream were sent or acknowledged: whoever waits to write goes on when there is enough room. */
  moved(stream: Stream, send: SendStream): void {
    if (stream.writeWaiter === undefined) return
    const size = this.bufferOf(send)
    if (size - send.buffer.bufferedBytes < ROOM * size) return
    if (this.isCrowdedOut(send)) this.crowd = (this.crowd ?? new Set()).add(stream)
    else this.wakes.add(stream, Wake.write)
  }

  /** Bytes of the stream were acknowledged. */
  acknowledged(stream: Stream, send: SendStream): void {
    this.moved(stream, send)
    if (stream.flushWaiter !== undefined && send.buffer.allAcked) this.wakes.add(stream, Wake.flush)
  }

  /** The sending part takes nothing more. */
  ended(stream: Stream): void {
    this.crowd?.delete(stream)
  }

  /** Calls everybody whose time has come. Whom a waiter wakes comes after it. */
  flush(): void {
    if (this.flushing) return
    this.flushing = true
    try {
      this.wakes.flush()
      if ((this.crowd?.size ?? 0) > 0 && this.sender.bufferedBytes <= (1 - ROOM) * this.totalLimit) this.relieve()
    } finally {
      this.flushing = false
    }
  }

  /** One after the other, in the order in which they came, until all streams hold too much again. */
  private relieve(): void {
    const { crowd } = this
    if (crowd === undefined) return
    for (const stream of crowd) {
      if (this.sender.bufferedBytes >= this.totalLimit) return
      crowd.delete(stream)
      this.wakes.add(stream, Wake.write)
      this.wakes.flush()
    }
  }

  private bufferOf(send: SendStream): number {
    const { ackedOffset, unsentOffset } = send.buffer
    const underWay = unsentOffset - ackedOffset
    const size = underWay + (underWay > FIRST_BUFFER ? underWay : FIRST_BUFFER)
    const wanted = size < this.limit ? size : this.limit
    if (wanted <= PLENTY) return wanted
    // Whole bytes: a writer that is told of a part of one would try again for ever.
    const ofPaths = Math.floor(OF_PATHS * underWay * this.propagation)
    const most = ofPaths > PLENTY ? ofPaths : PLENTY
    return wanted < most ? wanted : most
  }

  /** All streams together hold too much. An empty one always gets its turn. */
  private isCrowdedOut(send: SendStream): boolean {
    return this.sender.bufferedBytes >= this.totalLimit && send.buffer.bufferedBytes > 0
  }
}
