import type { Violation } from "../wire/Protocol.ts"
import { FrameType } from "../wire/FrameType.ts"
import { overrun } from "./ReceiveStream.ts"
import type { ReceiveStream } from "./ReceiveStream.ts"
import type { ReceiveWindow } from "./ReceiveWindow.ts"
import { StreamControlBit, Wake } from "./Stream.ts"
import type { Stream } from "./Stream.ts"
import { ControlBit } from "./StreamControl.ts"
import type { StreamControl } from "./StreamControl.ts"
import type { WakeList } from "./WakeList.ts"

/**
 * The receiving parts of all streams: what frames and readers do to them, and the credit that they share (RFC 9000 sections
 * 3.2 and 4). Sums over the streams are kept as they change, so that no frame and no read looks at more than one stream.
 */
export class StreamReceiver {
  /** The peer said that our limits hold it up. */
  timesBlocked = 0
  /** Streams that have bytes to read. */
  private readable = 0
  /** Bytes of all streams that wait for others before them. */
  private outOfOrder = 0
  private readonly window: ReceiveWindow
  private readonly control: StreamControl
  private readonly wakes: WakeList
  private readonly onDone: (stream: Stream) => void

  /** `onDone`: nothing more can come for the receiving part that anybody wants. */
  constructor(window: ReceiveWindow, control: StreamControl, wakes: WakeList, onDone: (stream: Stream) => void) {
    this.window = window
    this.control = control
    this.wakes = wakes
    this.onDone = onDone
  }

  /** Every stream is read as far as it goes, and what nobody can read yet takes up the window of the connection. */
  get starved(): boolean {
    return this.readable === 0 && this.window.chokedBy(this.outOfOrder)
  }

  /** STREAM: `length` bytes of `bytes` from `start`. They are copied. */
  onData(
    stream: Stream,
    offset: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    fin: boolean,
    now: number
  ): Violation | undefined {
    const receive = stream.receive!
    const before = receive.buffer.highestOffset
    const end = offset + length
    if (end > before) {
      const over = this.checkCredit(receive, stream.id, end, FrameType.stream)
      if (over !== undefined) return over
    }
    const wrong = receive.onData(offset, bytes, start, length, fin)
    if (wrong !== undefined) return wrong
    if (end > before) {
      this.window.received += end - before
      receive.window.started(now)
      this.window.started(now)
    }
    this.received(stream, receive)
    return undefined
  }

  onReset(stream: Stream, code: number, finalSize: number, now: number): Violation | undefined {
    const receive = stream.receive!
    const before = receive.buffer.highestOffset
    const over = finalSize > before ? this.checkCredit(receive, stream.id, finalSize, FrameType.resetStream) : undefined
    if (over !== undefined) return over
    const wrong = receive.onReset(code, finalSize)
    if (wrong !== undefined) return wrong
    this.window.received += finalSize - before
    this.window.started(now)
    this.received(stream, receive)
    return undefined
  }

  /** The peer has used up `limit`. If that is what it was told last, it is told more when there is more. */
  onDataBlocked(limit: number): void {
    this.timesBlocked++
    const { window } = this
    if (limit >= window.limit && (window.renewable || this.starved)) this.control.request(ControlBit.maxData)
  }

  onStreamDataBlocked(stream: Stream, limit: number): void {
    const receive = stream.receive!
    this.timesBlocked++
    if (receive.wantsCredit && limit >= receive.window.limit && (receive.window.renewable || receive.starved))
      this.control.requestFor(stream, StreamControlBit.maxStreamData)
  }

  /** Bytes were read or dropped. */
  consumed(stream: Stream): void {
    const receive = stream.receive!
    this.count(receive)
    this.credit(receive)
    if (receive.wantsCredit && (receive.window.due || receive.starved))
      this.control.requestFor(stream, StreamControlBit.maxStreamData)
    if (receive.terminal) this.onDone(stream)
  }

  /** The application wants no more. */
  stopped(stream: Stream): void {
    this.control.cancelFor(stream, StreamControlBit.maxStreamData)
    this.control.requestFor(stream, StreamControlBit.stopSending)
    this.wakes.add(stream, Wake.read)
    this.consumed(stream)
  }

  /** After a frame changed the receiving part. */
  private received(stream: Stream, receive: ReceiveStream): void {
    this.count(receive)
    if (receive.state !== "recv") this.control.cancelFor(stream, StreamControlBit.maxStreamData)
    if (receive.stopCode >= 0 || receive.state === "resetRecvd") this.credit(receive)
    if (receive.readable || receive.terminal) this.wakes.add(stream, Wake.read)
    else if (receive.wantsCredit) {
      if (receive.starved) this.control.requestFor(stream, StreamControlBit.maxStreamData)
      if (this.starved) this.control.request(ControlBit.maxData)
    }
    if (receive.terminal) {
      this.control.cancelFor(stream, StreamControlBit.stopSending)
      this.onDone(stream)
    }
  }

  private checkCredit(receive: ReceiveStream, streamId: number, end: number, frameType: number): Violation | undefined {
    const own = receive.window.limit
    if (end > own) return overrun(`stream ${streamId}`, end, own, frameType)
    const total = this.window.received + end - receive.buffer.highestOffset
    if (total > this.window.limit) return overrun("connection", total, this.window.limit, frameType)
    return undefined
  }

  /** Gives what was read or dropped back to the window of the connection. */
  private credit(receive: ReceiveStream): void {
    const bytes = receive.creditable
    if (bytes === 0) return
    receive.credited += bytes
    this.window.consumed += bytes
    if (this.window.due || this.starved) this.control.request(ControlBit.maxData)
  }

  /** Brings the sums up to date. */
  private count(receive: ReceiveStream): void {
    const readable = receive.readable ? 1 : 0
    const { outOfOrder } = receive
    this.readable += readable - receive.countedReadable
    this.outOfOrder += outOfOrder - receive.countedOutOfOrder
    receive.countedReadable = readable
    receive.countedOutOfOrder = outOfOrder
  }
}
