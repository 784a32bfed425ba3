import type { SendStream } from "./SendStream.ts"
import { Wake } from "./Stream.ts"
import type { Stream } from "./Stream.ts"
import type { StreamSender } from "./StreamSender.ts"
import type { WakeList } from "./WakeList.ts"

/** All streams together may hold this many times the send buffer of one. */
const TOTAL_SEND_BUFFERS = 8

/**
 * When those who wait to write, or for everything to be acknowledged, go on. A writer goes on when its stream is below
 * half of its buffer; one that waited only because all streams together held too much, when they are below half of that.
 */
export class Backpressure {
  /** Bytes of one stream above which `write` waits. */
  readonly limit: number
  /** Bytes of all streams above which `write` waits. */
  readonly totalLimit: number
  private crowded = false
  private readonly sender: StreamSender
  private readonly streams: ReadonlyMap<number, Stream>
  private readonly wakes: WakeList

  constructor(limit: number, sender: StreamSender, streams: ReadonlyMap<number, Stream>, wakes: WakeList) {
    this.limit = limit
    this.totalLimit = TOTAL_SEND_BUFFERS * limit
    this.sender = sender
    this.streams = streams
    this.wakes = wakes
  }

  /** Bytes were written. */
  written(): void {
    if (this.sender.bufferedBytes >= this.totalLimit) this.crowded = true
  }

  /** Bytes of the stream were acknowledged. */
  acknowledged(stream: Stream, send: SendStream): void {
    if (stream.writeWaiter !== undefined && 2 * send.buffer.bufferedBytes <= this.limit && stream.writableBytes > 0)
      this.wakes.add(stream, Wake.write)
    if (stream.flushWaiter !== undefined && send.buffer.allAcked) this.wakes.add(stream, Wake.flush)
    this.relieve()
  }

  /** Bytes were let go. */
  relieve(): void {
    if (!this.crowded || 2 * this.sender.bufferedBytes > this.totalLimit) return
    this.crowded = false
    for (const stream of this.streams.values()) {
      if (stream.writeWaiter !== undefined && stream.writableBytes > 0) this.wakes.add(stream, Wake.write)
    }
  }
}
