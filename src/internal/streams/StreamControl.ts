import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import {
  writeDataBlocked,
  writeMaxData,
  writeMaxStreamData,
  writeMaxStreams,
  writeResetStream,
  writeStopSending,
  writeStreamDataBlocked,
  writeStreamsBlocked
} from "../wire/FrameWriter.ts"
import type { ReceiveWindow } from "./ReceiveWindow.ts"
import { StreamControlBit } from "./Stream.ts"
import type { Stream } from "./Stream.ts"
import type { LocalStreams, RemoteStreams } from "./StreamLimits.ts"
import type { StreamSender } from "./StreamSender.ts"

/** Control frames of the connection that wait to be sent, as bits. For streams: bidirectional ones, then unidirectional. */
export const ControlBit = {
  maxData: 1,
  dataBlocked: 2,
  maxStreamsBidi: 4,
  maxStreamsUni: 8,
  streamsBlockedBidi: 16,
  streamsBlockedUni: 32
} as const

/** Type and three variable-length integers of eight bytes at most. */
const LARGEST_FRAME = 25
/** The connection's window stays this much larger than that of any stream, so that one stream cannot use it up. */
const CONNECTION_FACTOR = 1.5

/** What the control frames speak about. */
export interface ControlState {
  readonly window: ReceiveWindow
  /** The peer waits for the window to grow, and no reader is to blame. */
  readonly starved: () => boolean
  readonly sender: StreamSender
  /** By type: bidirectional, unidirectional. */
  readonly local: readonly [LocalStreams, LocalStreams]
  readonly remote: readonly [RemoteStreams, RemoteStreams]
}

/**
 * The control frames of streams and flow control (RFC 9000 sections 19.4, 19.5, 19.9 to 19.14). Only the wish to send one
 * is kept; its value is what holds when the packet is built. A lost frame is sent again if it still says something.
 */
export class StreamControl {
  /** Bits of `ControlBit`. */
  private wanted = 0
  /** Bits set in all streams. */
  private pending = 0
  private head: Stream | undefined = undefined
  private tail: Stream | undefined = undefined
  private readonly state: ControlState

  constructor(state: ControlState) {
    this.state = state
  }

  get isEmpty(): boolean {
    return this.wanted === 0 && this.pending === 0
  }

  request(bit: number): void {
    this.wanted |= bit
  }

  cancel(bit: number): void {
    this.wanted &= ~bit
  }

  requestFor(stream: Stream, bit: number): void {
    if ((stream.control & bit) !== 0 || stream.removed || stream.held) return
    stream.control |= bit
    this.pending++
    if (stream.controlQueued) return
    stream.controlQueued = true
    if (this.tail === undefined) this.head = stream
    else this.tail.nextControl = stream
    this.tail = stream
  }

  cancelFor(stream: Stream, bit: number): void {
    if ((stream.control & bit) === 0) return
    stream.control &= ~bit
    this.pending--
  }

  cancelAll(stream: Stream): void {
    for (let rest = stream.control; rest !== 0; rest &= rest - 1) this.pending--
    stream.control = 0
  }

  /** Writes what fits, with a record of each. `now` and `rtt` in ms, for the growth of the windows. */
  write(w: ByteWriter, frames: SentFrameList, now: number, rtt: number): void {
    while (this.head !== undefined) {
      const stream = this.head
      while (stream.control !== 0) {
        if (w.remaining < LARGEST_FRAME) return
        const bit = stream.control & -stream.control
        this.cancelFor(stream, bit)
        this.writeFor(w, frames, stream, bit, now, rtt)
      }
      this.head = stream.nextControl
      stream.nextControl = undefined
      stream.controlQueued = false
      if (this.head === undefined) this.tail = undefined
    }
    // After the streams: their windows may have made the connection's grow.
    while (this.wanted !== 0) {
      if (w.remaining < LARGEST_FRAME) return
      const bit = this.wanted & -this.wanted
      this.wanted &= ~bit
      this.writeOwn(w, frames, bit, now, rtt)
    }
  }

  /** Sends the frame again unless it is out of date. */
  lost(frame: SentFrame): void {
    if (!this.isCurrent(frame)) return
    const stream = frame.owner as Stream
    const type = frame.unidirectional ? 1 : 0
    switch (frame.kind) {
      case SentFrameKind.maxData:
        return this.request(ControlBit.maxData)
      case SentFrameKind.maxStreams:
        return this.request(ControlBit.maxStreamsBidi << type)
      case SentFrameKind.dataBlocked:
        return this.request(ControlBit.dataBlocked)
      case SentFrameKind.streamsBlocked:
        return this.request(ControlBit.streamsBlockedBidi << type)
      case SentFrameKind.resetStream:
        return this.requestFor(stream, StreamControlBit.reset)
      case SentFrameKind.stopSending:
        return this.requestFor(stream, StreamControlBit.stopSending)
      case SentFrameKind.maxStreamData:
        return this.requestFor(stream, StreamControlBit.maxStreamData)
      case SentFrameKind.streamDataBlocked:
        return this.requestFor(stream, StreamControlBit.streamDataBlocked)
    }
  }

  /** Writes it once more as it was, unless it is out of date; false if there is no room. */
  writeCopy(w: ByteWriter, frames: SentFrameList, frame: SentFrame): boolean {
    if (!this.isCurrent(frame)) return true
    if (w.remaining < LARGEST_FRAME) return false
    const stream = frame.owner as Stream
    const { value } = frame
    const bidirectional = !frame.unidirectional
    if (frame.kind === SentFrameKind.maxData) writeMaxData(w, value)
    else if (frame.kind === SentFrameKind.maxStreams) writeMaxStreams(w, bidirectional, value)
    else if (frame.kind === SentFrameKind.dataBlocked) writeDataBlocked(w, value)
    else if (frame.kind === SentFrameKind.streamsBlocked) writeStreamsBlocked(w, bidirectional, value)
    else if (frame.kind === SentFrameKind.resetStream)
      writeResetStream(w, stream.id, value, stream.send!.buffer.unsentOffset)
    else if (frame.kind === SentFrameKind.stopSending) writeStopSending(w, stream.id, value)
    else if (frame.kind === SentFrameKind.maxStreamData) writeMaxStreamData(w, stream.id, value)
    else writeStreamDataBlocked(w, stream.id, value)
    const copy = this.record(frames, frame.kind, frame.owner as Stream | undefined, value)
    copy.unidirectional = frame.unidirectional
    copy.paths = frame.paths
    copy.covered = frame.covered
    return true
  }

  /** It still says something. */
  private isCurrent(frame: SentFrame): boolean {
    const { sender, window, local, remote } = this.state
    const stream = frame.owner as Stream | undefined
    const type = frame.unidirectional ? 1 : 0
    switch (frame.kind) {
      case SentFrameKind.maxData:
        return frame.value === window.limit
      case SentFrameKind.maxStreams:
        return frame.value === remote[type].advertised
      case SentFrameKind.dataBlocked:
        return frame.value === sender.limit && sender.blocked
      case SentFrameKind.streamsBlocked:
        return frame.value === local[type].limit
      case SentFrameKind.resetStream:
        return stream?.send?.state === "resetSent"
      case SentFrameKind.stopSending:
        return stream?.receive !== undefined && !stream.receive.terminal
      case SentFrameKind.maxStreamData:
        return (
          stream?.receive !== undefined && stream.receive.wantsCredit && frame.value === stream.receive.window.limit
        )
      case SentFrameKind.streamDataBlocked:
        return stream?.send !== undefined && frame.value === stream.send.limit && stream.send.buffer.pendingNew > 0
      default:
        return false
    }
  }

  private writeFor(w: ByteWriter, frames: SentFrameList, stream: Stream, bit: number, now: number, rtt: number): void {
    const { send, receive } = stream
    const id = stream.id
    if (bit === StreamControlBit.reset && send !== undefined) {
      writeResetStream(w, id, send.resetCode, send.buffer.unsentOffset)
      this.record(frames, SentFrameKind.resetStream, stream, send.resetCode)
    } else if (bit === StreamControlBit.streamDataBlocked && send !== undefined) {
      writeStreamDataBlocked(w, id, send.limit)
      this.record(frames, SentFrameKind.streamDataBlocked, stream, send.limit)
    } else if (bit === StreamControlBit.stopSending && receive !== undefined) {
      writeStopSending(w, id, receive.stopCode)
      this.record(frames, SentFrameKind.stopSending, stream, receive.stopCode)
    } else if (bit === StreamControlBit.maxStreamData && receive !== undefined) {
      const before = receive.window.size
      if (receive.starved) receive.window.widen()
      const limit = receive.window.renew(now, rtt)
      if (receive.window.size > before) {
        const total = this.state.window
        total.follow(CONNECTION_FACTOR * receive.window.size)
        if (total.due) this.request(ControlBit.maxData)
      }
      writeMaxStreamData(w, id, limit)
      this.record(frames, SentFrameKind.maxStreamData, stream, limit)
    }
  }

  private writeOwn(w: ByteWriter, frames: SentFrameList, bit: number, now: number, rtt: number): void {
    const { sender, window, local, remote } = this.state
    if (bit === ControlBit.maxData) {
      if (this.state.starved()) window.widen()
      const limit = window.renew(now, rtt)
      writeMaxData(w, limit)
      this.record(frames, SentFrameKind.maxData, undefined, limit)
    } else if (bit === ControlBit.dataBlocked) {
      writeDataBlocked(w, sender.limit)
      this.record(frames, SentFrameKind.dataBlocked, undefined, sender.limit)
    } else if (bit === ControlBit.maxStreamsBidi || bit === ControlBit.maxStreamsUni) {
      const type = bit === ControlBit.maxStreamsBidi ? 0 : 1
      const limit = remote[type].renew()
      writeMaxStreams(w, type === 0, limit)
      this.record(frames, SentFrameKind.maxStreams, undefined, limit).unidirectional = type === 1
    } else {
      const type = bit === ControlBit.streamsBlockedBidi ? 0 : 1
      const limit = local[type].limit
      writeStreamsBlocked(w, type === 0, limit)
      this.record(frames, SentFrameKind.streamsBlocked, undefined, limit).unidirectional = type === 1
    }
  }

  private record(frames: SentFrameList, kind: SentFrameKind, stream: Stream | undefined, value: number): SentFrame {
    const frame = frames.add(kind)
    frame.owner = stream
    frame.value = value
    return frame
  }
}
