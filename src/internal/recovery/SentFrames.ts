import { Space } from "./Space.ts"

/**
 * What a sent packet carried, so that its loss or acknowledgement reaches the owner of each piece. Records are pooled and
 * linked: a packet costs one or two of them and no array.
 */
export const SentFrameKind = {
  /** An acknowledgement was sent; `value` is its largest packet number, `pathId` and `space` say whose. */
  ack: 0,
  crypto: 1,
  stream: 2,
  resetStream: 3,
  stopSending: 4,
  maxData: 5,
  maxStreamData: 6,
  maxStreams: 7,
  dataBlocked: 8,
  streamDataBlocked: 9,
  streamsBlocked: 10,
  newToken: 11,
  newConnectionId: 12,
  retireConnectionId: 13,
  pathChallenge: 14,
  pathResponse: 15,
  handshakeDone: 16,
  ping: 17,
  datagram: 18,
  pathAbandon: 19,
  pathStatus: 20,
  maxPathId: 21,
  pathsBlocked: 22,
  pathCidsBlocked: 23,
  mtuProbe: 24,
  addAddress: 25,
  removeAddress: 26,
  observedAddress: 27
} as const
export type SentFrameKind = (typeof SentFrameKind)[keyof typeof SentFrameKind]

export class SentFrame {
  kind: SentFrameKind = SentFrameKind.ping
  /** The stream (or crypto stream) the bytes belong to. */
  owner: unknown = undefined
  /** Stream or crypto offset. */
  offset = 0
  length = 0
  fin = false
  pathId = 0
  /** Packet number space that an acknowledgement is about. */
  space: number = Space.application
  /** Of MAX_STREAMS and STREAMS_BLOCKED: the type of streams. */
  unidirectional = false
  /** Limit, sequence number, or stream ID, by kind. */
  value = 0
  next: SentFrame | undefined = undefined
}

/** A free list. One per connection. */
export class SentFramePool {
  private free: SentFrame | undefined = undefined

  take(kind: SentFrameKind): SentFrame {
    const frame = this.free
    if (frame === undefined) {
      const made = new SentFrame()
      made.kind = kind
      return made
    }
    this.free = frame.next
    frame.next = undefined
    frame.kind = kind
    return frame
  }

  /** Gives a whole list back. */
  release(list: SentFrame | undefined): void {
    let frame = list
    while (frame !== undefined) {
      const next = frame.next
      frame.owner = undefined
      frame.fin = frame.unidirectional = false
      frame.space = Space.application
      frame.offset = frame.length = frame.pathId = frame.value = 0
      frame.next = this.free
      this.free = frame
      frame = next
    }
  }
}

/** The records of the packet that is being built. */
export class SentFrameList {
  head: SentFrame | undefined = undefined
  private tail: SentFrame | undefined = undefined
  readonly pool: SentFramePool

  constructor(pool: SentFramePool) {
    this.pool = pool
  }

  add(kind: SentFrameKind): SentFrame {
    const frame = this.pool.take(kind)
    if (this.tail === undefined) this.head = frame
    else this.tail.next = frame
    this.tail = frame
    return frame
  }

  /** Forgets a packet that will not be sent. */
  discard(): void {
    this.pool.release(this.detach())
  }

  /** Hands the list over and starts a new one. */
  detach(): SentFrame | undefined {
    const head = this.head
    this.head = this.tail = undefined
    return head
  }
}
