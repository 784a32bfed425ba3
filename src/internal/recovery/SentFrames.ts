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
  /** Limit, sequence number, or stream ID, by kind; of STREAM how many of its bytes had been sent before and were lost. */
  value = 0
  /** The same is on its way in a copy, whose loss asks for it again: the loss of this one need not. */
  covered = false
  /** Bits (`Path.bit`) of the paths that the same was sent on without being lost since; 0 if only on one. */
  paths = 0
  next: SentFrame | undefined = undefined
}

const PATH_BITS = 30

/** One that is not among `taken`. Of more paths two share one: then one of them is spared a copy that it could carry. */
export const pathBit = (taken: number, pathId: number): number => {
  for (let bit = 0; bit < PATH_BITS; bit++) if ((taken & (1 << bit)) === 0) return 1 << bit
  return 1 << (pathId % PATH_BITS)
}

/** On how many paths the same was sent. */
export const pathCount = (paths: number): number => {
  let count = 0
  for (let rest = paths; rest !== 0; rest &= rest - 1) count++
  return count
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

  /** One that says the same, in no list. */
  clone(of: SentFrame): SentFrame {
    const frame = this.take(of.kind)
    frame.owner = of.owner
    frame.offset = of.offset
    frame.length = of.length
    frame.fin = of.fin
    frame.pathId = of.pathId
    frame.space = of.space
    frame.unidirectional = of.unidirectional
    frame.value = of.value
    frame.paths = of.paths
    return frame
  }

  /** Gives a whole list back. */
  release(list: SentFrame | undefined): void {
    let frame = list
    while (frame !== undefined) {
      const next = frame.next
      frame.owner = undefined
      frame.fin = frame.unidirectional = frame.covered = false
      frame.space = Space.application
      frame.offset = frame.length = frame.pathId = frame.value = frame.paths = 0
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
