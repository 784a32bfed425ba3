import { frameName } from "../wire/FrameType.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"
import type { Stream } from "./Stream.ts"
import { LocalStreams, RemoteStreams } from "./StreamLimits.ts"

/** Which part of a stream a frame is about, seen from this end. */
export const Part = { send: 0, receive: 1 } as const
export type Part = (typeof Part)[keyof typeof Part]

/** Of the types of streams: an index, and bit 1 of a stream ID (RFC 9000 section 2.1). */
export type StreamType = 0 | 1
export const streamType = (bidirectional: boolean): StreamType => (bidirectional ? 0 : 1)

/**
 * Streams by ID, and which IDs may be: what this end opened, what the peer opened, and how far either may go (RFC 9000
 * sections 2.1 and 4.6). A stream that is done leaves no trace but the counts.
 */
export class StreamDirectory {
  readonly streams = new Map<number, Stream>()
  readonly local = [new LocalStreams(), new LocalStreams()] as const
  readonly remote: readonly [RemoteStreams, RemoteStreams]
  /** What `find` has against a frame for which it gives no stream; undefined if it is merely late. */
  fault: Violation | undefined = undefined
  /** The last stream that was looked up. */
  last: Stream | undefined = undefined
  /** Frames for streams that were done already. */
  lateFrames = 0
  /** Bit 0 of the IDs of streams that this end opens. */
  private readonly ownBit: 0 | 1
  private readonly make: (streamId: number, local: boolean) => Stream

  constructor(
    isClient: boolean,
    maxBidiStreams: number,
    maxUniStreams: number,
    make: (streamId: number, local: boolean) => Stream
  ) {
    this.ownBit = isClient ? 0 : 1
    this.remote = [new RemoteStreams(maxBidiStreams), new RemoteStreams(maxUniStreams)]
    this.make = make
  }

  /** Opens the next stream of a type; the caller has checked the limit. */
  open(type: StreamType): Stream {
    return this.add(4 * this.local[type].opened++ + this.ownBit + 2 * type, true)
  }

  /** The stream a frame is about, opened if need be; undefined if it is done already, or with `fault` if it cannot be. */
  find(streamId: number, part: Part, frameType: number): Stream | undefined {
    this.fault = undefined
    const own = (streamId & 1) === this.ownBit
    if ((streamId & 2) !== 0 && own !== (part === Part.send)) {
      const reason = `${frameName(frameType)} for stream ${streamId}, on which only ${own ? "we send" : "the peer sends"}`
      return this.refuse(TransportError.streamState, reason, frameType)
    }
    const known = this.streams.get(streamId)
    if (known !== undefined) return (this.last = known)
    const index = Math.floor(streamId / 4)
    const type = streamType((streamId & 2) === 0)
    if (own && index >= this.local[type].opened)
      return this.refuse(TransportError.streamState, `stream ${streamId} was never opened`, frameType)
    if (own || index < this.remote[type].opened) {
      this.lateFrames++
      return undefined
    }
    return this.openRemote(type, index, frameType)
  }

  remove(stream: Stream): void {
    this.streams.delete(stream.id)
    if (this.last === stream) this.last = undefined
    if (!stream.local) this.remote[streamType(stream.bidirectional)].finished++
  }

  /** A stream opens all lower ones of its type (RFC 9000 section 3.2). */
  private openRemote(type: StreamType, index: number, frameType: number): Stream | undefined {
    const remote = this.remote[type]
    if (index >= remote.advertised) {
      const reason = `the peer opened ${index + 1 - remote.advertised} streams beyond its limit of ${remote.advertised}`
      return this.refuse(TransportError.streamLimit, reason, frameType)
    }
    let stream: Stream | undefined
    while (remote.opened <= index) {
      stream = this.add(4 * remote.opened++ + (1 - this.ownBit) + 2 * type, false)
      remote.push(stream)
    }
    return (this.last = stream)
  }

  private add(streamId: number, local: boolean): Stream {
    const stream = this.make(streamId, local)
    this.streams.set(streamId, stream)
    return stream
  }

  private refuse(code: number, reason: string, frameType: number): undefined {
    this.fault = violation(code, reason, frameType)
    return undefined
  }
}
