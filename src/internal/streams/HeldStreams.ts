import type { Stream } from "./Stream.ts"
import type { StreamType } from "./StreamDirectory.ts"

/**
 * Streams that were opened in 0-RTT, which the server refused: they wait until its MAX_STREAMS reaches them (RFC 9001
 * section 4.6.2).
 */
export class HeldStreams {
  /** By type, in the order of their IDs; those before `at` were let go. */
  private readonly streams: [Array<Stream>, Array<Stream>] = [[], []]
  private readonly at: [number, number] = [0, 0]

  hold(type: StreamType, stream: Stream): void {
    stream.held = true
    this.streams[type].push(stream)
  }

  /** Lets go of the next stream whose index is below the limit; undefined when there is none. */
  release(type: StreamType, limit: number): Stream | undefined {
    const stream = this.streams[type][this.at[type]]
    if (stream === undefined) {
      this.streams[type] = []
      this.at[type] = 0
      return undefined
    }
    if (stream.index >= limit) return undefined
    this.at[type]++
    stream.held = false
    return stream
  }
}
