import type { Stream, Waiter } from "./Stream.ts"

/** Limits that the peer declared in its transport parameters, named as the peer sees them (RFC 9000 section 18.2). */
export interface PeerStreamLimits {
  readonly initialMaxData: number
  /** For bidirectional streams that the peer opens. */
  readonly initialMaxStreamDataBidiLocal: number
  /** For bidirectional streams that we open. */
  readonly initialMaxStreamDataBidiRemote: number
  readonly initialMaxStreamDataUni: number
  readonly initialMaxStreamsBidi: number
  readonly initialMaxStreamsUni: number
}

/** Streams of one type that this end opens (RFC 9000 section 4.6). Counts, not IDs. */
export class LocalStreams {
  /** Opened so far: the next index. */
  opened = 0
  /** MAX_STREAMS of the peer. */
  limit = 0
  /** The limit at which STREAMS_BLOCKED was sent: once for each. */
  blockedAt = -1
  /** Woken when the limit rises. */
  waiter: Waiter | undefined = undefined
  waking = false
}

/** Streams of one type that the peer opens. */
export class RemoteStreams {
  opened = 0
  finished = 0
  /** What the peer was told. */
  advertised: number
  /** Setting: open at a time. */
  readonly concurrency: number
  /** Woken when there is a stream to accept. */
  waiter: Waiter | undefined = undefined
  waking = false
  /** Opened and not accepted yet. */
  waiting = 0
  private head: Stream | undefined = undefined
  private tail: Stream | undefined = undefined

  constructor(concurrency: number) {
    this.concurrency = this.advertised = concurrency
  }

  /** The limit may rise, and the peer runs low or has half of its streams to gain. */
  get due(): boolean {
    const gain = this.finished + this.concurrency - this.advertised
    return gain > 0 && (2 * gain >= this.concurrency || 2 * (this.advertised - this.opened) <= this.concurrency)
  }

  get renewable(): boolean {
    return this.finished + this.concurrency > this.advertised
  }

  /** The limit to tell the peer now. */
  renew(): number {
    return (this.advertised = Math.max(this.advertised, this.finished + this.concurrency))
  }

  push(stream: Stream): void {
    if (this.tail === undefined) this.head = stream
    else this.tail.nextAccept = stream
    this.tail = stream
    this.waiting++
  }

  shift(): Stream | undefined {
    const stream = this.head
    if (stream === undefined) return undefined
    this.head = stream.nextAccept
    stream.nextAccept = undefined
    if (this.head === undefined) this.tail = undefined
    this.waiting--
    return stream
  }
}
