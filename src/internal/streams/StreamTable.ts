import type { ConnectionSettings } from "../Settings.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import { FrameType } from "../wire/FrameType.ts"
import type { Role, Violation } from "../wire/Protocol.ts"
import { Backpressure } from "./Backpressure.ts"
import { HeldStreams } from "./HeldStreams.ts"
import { ReceiveStream } from "./ReceiveStream.ts"
import { ReceiveWindow } from "./ReceiveWindow.ts"
import { SendStream } from "./SendStream.ts"
import { Stream, StreamControlBit, Wake } from "./Stream.ts"
import type { StreamHost, Waiter } from "./Stream.ts"
import { ControlBit, StreamControl } from "./StreamControl.ts"
import type { PeerStreamLimits } from "./StreamLimits.ts"
import { Part, StreamDirectory, streamType } from "./StreamDirectory.ts"
import type { StreamType } from "./StreamDirectory.ts"
import { StreamReceiver } from "./StreamReceiver.ts"
import { StreamSender } from "./StreamSender.ts"
import { WakeList } from "./WakeList.ts"

export interface StreamTableOptions {
  readonly role: Role
  readonly settings: ConnectionSettings
  /** Round-trip time in ms by which windows grow; with several paths that of the slowest in use. */
  readonly rtt: () => number
  /** Both parts of a stream are done. */
  readonly onStreamFinished?: ((stream: Stream) => void) | undefined
}

/**
 * The streams of one connection (RFC 9000 sections 2 to 4): opening, lookup, limits, flow control both ways, and the one
 * place where waiters are woken.
 *
 * Our own limits are those of the settings: `initialStreamWindow` for streams of every kind, `initialConnectionWindow`,
 * `maxBidiStreams`, `maxUniStreams`. The connection declares just these.
 *
 * Nothing calls out in the middle of a packet: streams to wake are gathered until `flushWakes`.
 */
export class StreamTable implements StreamHost {
  /** Streams whose both parts are done; for statistics. */
  streamsFinished = 0
  /** Some stream has asked for duplication. */
  anyDuplicated = false
  /** The peer said that our limit of streams holds it up. */
  private timesBlocked = 0

  private readonly directory: StreamDirectory
  private readonly window: ReceiveWindow
  private readonly sender: StreamSender
  private readonly receiver: StreamReceiver
  private readonly control: StreamControl
  private readonly wakes = new WakeList()
  private readonly backpressure: Backpressure
  private readonly settings: ConnectionSettings
  private readonly rtt: () => number
  private readonly onStreamFinished: ((stream: Stream) => void) | undefined
  private limits: PeerStreamLimits | undefined = undefined
  private closed = false
  private readonly held = new HeldStreams()

  constructor(options: StreamTableOptions) {
    const settings = options.settings
    this.settings = settings
    this.rtt = options.rtt
    this.onStreamFinished = options.onStreamFinished
    this.window = new ReceiveWindow(settings.initialConnectionWindow, settings.maxConnectionWindow)
    this.directory = new StreamDirectory(
      options.role === "client",
      settings.maxBidiStreams,
      settings.maxUniStreams,
      (streamId, local) => this.make(streamId, local)
    )
    this.sender = new StreamSender(
      () => this.control.request(ControlBit.dataBlocked),
      (stream) => this.control.requestFor(stream, StreamControlBit.streamDataBlocked),
      (stream, send) => this.backpressure.moved(stream, send)
    )
    this.control = new StreamControl({
      window: this.window,
      starved: () => this.receiver.starved,
      sender: this.sender,
      local: this.directory.local,
      remote: this.directory.remote
    })
    this.receiver = new StreamReceiver(this.window, this.control, this.wakes, (stream) => this.finish(stream))
    this.backpressure = new Backpressure(settings.streamSendBuffer, this.sender, this.wakes)
  }

  // What the connection asks

  /** Stream bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.sender.queuedBytes
  }

  /** Whether who writes the stream that is next on the path waits for room. */
  hasWaitingWriter(pathId: number): boolean {
    return this.sender.lanes.fresh(pathId, false)?.writeWaiter !== undefined
  }

  /** Bytes that MAX_DATA of the peer allows beyond what was sent. */
  get sendWindow(): number {
    return this.sender.limit - this.sender.sent
  }

  /** Bytes of all streams that are written and not acknowledged. */
  get bufferedBytes(): number {
    return this.sender.bufferedBytes
  }

  /** How often the peer said that our limits hold it up. */
  get timesPeerBlocked(): number {
    return this.timesBlocked + this.receiver.timesBlocked
  }

  /** Bytes of streams sent, each counted once, and of those sent again. */
  get bytesSent(): number {
    return this.sender.sent
  }

  get bytesRetransmitted(): number {
    return this.sender.bytesRetransmitted
  }

  /** Those sent once more on another path, in case. */
  get bytesCopied(): number {
    return this.sender.bytesCopied
  }

  /** Sum of the highest offsets received. */
  get bytesReceived(): number {
    return this.window.received
  }

  /** Streams that are not done. */
  get openStreams(): number {
    return this.directory.streams.size
  }

  /** Sets of paths looked at to choose a stream. */
  get laneSteps(): number {
    return this.sender.lanes.steps
  }

  /** Frames of the peer for streams that were done already. */
  get lateFrames(): number {
    return this.directory.lateFrames
  }

  /** The stream, unless it was never opened or is done. */
  get(streamId: number): Stream | undefined {
    return this.directory.streams.get(streamId)
  }

  /** MAX_*, RESET_STREAM, STOP_SENDING or *_BLOCKED wait to be sent. */
  hasControl(): boolean {
    return !this.control.isEmpty
  }

  /** Writes those that fit, with a record of each in `frames`. `now` in ms. */
  writeControl(w: ByteWriter, frames: SentFrameList, now: number): void {
    this.control.write(w, frames, now, this.rtt())
  }

  /** Retransmissions, new data that flow control allows, or a FIN could go into a packet of this path. */
  hasData(pathId: number): boolean {
    return this.sender.hasData(pathId)
  }

  hasRetransmission(pathId: number): boolean {
    return this.sender.hasRetransmission(pathId)
  }

  /** Data of a stream that is bound to this path waits to be sent. Cheap, and false nearly always. */
  hasBound(pathId: number): boolean {
    return this.sender.hasBound(pathId)
  }

  /**
   * Fills the packet with STREAM frames up to `w.end`, with a record of each; true if anything was written. Call it last:
   * a frame that reaches `w.end` has no Length field. `boundOnly`: nothing that other paths could carry.
   */
  writeData(w: ByteWriter, frames: SentFrameList, pathId: number, boundOnly = false): boolean {
    return this.sender.write(w, frames, pathId, boundOnly)
  }

  /** Full packets of new bytes of one stream: see `StreamSender`. */
  trainFor(pathId: number): Stream | undefined {
    return this.sender.trainFor(pathId)
  }

  trainLength(stream: Stream): number {
    return this.sender.trainLength(stream)
  }

  writeTrain(w: ByteWriter, frames: SentFrameList, stream: Stream, offset: number, length: number): void {
    this.sender.writeTrain(w, frames, stream, offset, length)
  }

  trainSent(stream: Stream, length: number): void {
    this.sender.trainSent(stream, length)
  }

  /**
   * Writes once more what a record of these kinds stands for, as far as it is still of use. False if not all of it had room:
   * the record keeps the rest.
   */
  writeCopy(w: ByteWriter, frames: SentFrameList, frame: SentFrame): boolean {
    return frame.kind === SentFrameKind.stream
      ? this.sender.writeCopy(w, frames, frame)
      : this.control.writeCopy(w, frames, frame)
  }

  /** For the kinds that `writeControl` and `writeData` record; others do nothing. */
  onFrameAcked(frame: SentFrame): void {
    if (frame.kind === SentFrameKind.stream) {
      const stream = frame.owner as Stream
      const send = stream.send!
      const done = this.sender.acknowledged(stream, send, frame)
      this.backpressure.acknowledged(stream, send)
      if (done) this.finish(stream)
    } else if (frame.kind === SentFrameKind.resetStream) {
      const stream = frame.owner as Stream
      if (stream.send?.state !== "resetSent") return
      stream.send.state = "resetRecvd"
      this.control.cancelFor(stream, StreamControlBit.reset)
      this.finish(stream)
    }
  }

  /** For the same kinds. May be called for a frame that is not lost but should be sent again. */
  onFrameLost(frame: SentFrame): void {
    if (frame.kind === SentFrameKind.stream) {
      const stream = frame.owner as Stream
      this.sender.lost(stream, stream.send!, frame)
    } else this.control.lost(frame)
  }

  duplicated(): void {
    this.anyDuplicated = true
  }

  /** A path is gone: streams that were bound to it alone may use any. */
  onPathClosed(pathId: number): void {
    for (const stream of this.sender.boundTo(pathId)) stream.setPaths(stream.paths!.filter((id) => id !== pathId))
  }

  /** Limits as the peer declared them, remembered (0-RTT) or from this handshake. Limits never fall. */
  applyPeerParameters(limits: PeerStreamLimits): void {
    this.limits = limits
    this.sender.limit = Math.max(this.sender.limit, limits.initialMaxData)
    for (const stream of this.directory.streams.values()) {
      if (stream.send === undefined) continue
      stream.send.limit = Math.max(stream.send.limit, this.sendLimit(stream.bidirectional, stream.local))
      this.sender.update(stream, stream.send)
    }
    this.raise(0, limits.initialMaxStreamsBidi)
    this.raise(1, limits.initialMaxStreamsUni)
  }

  /**
   * The server refused 0-RTT: it saw nothing of what was sent (RFC 9001 section 4.6.2). Everything is sent anew within the
   * limits of the handshake, which `applyPeerParameters` must set next.
   */
  rejectEarlyData(): void {
    this.sender.rewind()
    this.control.cancel(ControlBit.dataBlocked)
    for (const local of this.directory.local) {
      local.limit = 0
      local.blockedAt = -1
    }
    for (const stream of this.directory.streams.values()) {
      if (stream.local) this.held.hold(streamType(stream.bidirectional), stream)
      this.control.cancelAll(stream)
      if (stream.send === undefined) continue
      stream.send.rewind()
      this.sender.update(stream, stream.send)
    }
  }

  // Opening

  /** A new stream, or undefined while the peer allows no more: wait with `setOpenWaiter`. */
  open(bidirectional: boolean): Stream | undefined {
    if (this.closed) return undefined
    const type = streamType(bidirectional)
    const local = this.directory.local[type]
    if (local.opened >= local.limit) {
      if (this.limits !== undefined && local.blockedAt !== local.limit) {
        local.blockedAt = local.limit
        this.control.request(ControlBit.streamsBlockedBidi << type)
      }
      return undefined
    }
    return this.directory.open(type)
  }

  /** The next stream that the peer opened, in the order of IDs; undefined if there is none: wait with `setAcceptWaiter`. */
  accept(bidirectional: boolean): Stream | undefined {
    const stream = this.directory.remote[streamType(bidirectional)].shift()
    if (stream !== undefined) {
      stream.accepted = true
      this.finish(stream)
    }
    return stream
  }

  /** `open` would give a stream, or never will again. */
  isOpenable(bidirectional: boolean): boolean {
    const local = this.directory.local[streamType(bidirectional)]
    return this.closed || local.opened < local.limit
  }

  /** `accept` would give a stream, or never will again. */
  isAcceptable(bidirectional: boolean): boolean {
    return this.closed || this.directory.remote[streamType(bidirectional)].waiting > 0
  }

  /** Called once when `open` may succeed, or the connection is closed. */
  setOpenWaiter(bidirectional: boolean, waiter: Waiter | undefined): void {
    this.directory.local[streamType(bidirectional)].waiter = waiter
  }

  /** Called once when `accept` has a stream, or the connection is closed. */
  setAcceptWaiter(bidirectional: boolean, waiter: Waiter | undefined): void {
    this.directory.remote[streamType(bidirectional)].waiter = waiter
  }

  // Frames of the peer

  /** STREAM: `length` bytes of `bytes` from `start`. They are copied. */
  onStreamFrame(
    streamId: number,
    offset: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    fin: boolean,
    now: number
  ): Violation | undefined {
    const last = this.directory.last
    const stream =
      last !== undefined && last.id === streamId && last.receive !== undefined
        ? last
        : this.find(streamId, Part.receive, FrameType.stream)
    if (stream === undefined) return this.directory.fault
    return this.receiver.onData(stream, offset, bytes, start, length, fin, now)
  }

  onResetStream(streamId: number, code: number, finalSize: number, now: number): Violation | undefined {
    const stream = this.find(streamId, Part.receive, FrameType.resetStream)
    return stream === undefined ? this.directory.fault : this.receiver.onReset(stream, code, finalSize, now)
  }

  /** The peer reads no more: what it asks for is a reset with its code (RFC 9000 section 3.5). */
  onStopSending(streamId: number, code: number): Violation | undefined {
    const stream = this.find(streamId, Part.send, FrameType.stopSending)
    if (stream === undefined) return this.directory.fault
    const send = stream.send!
    if (!send.active) return undefined
    send.stopCode = code
    send.reset(code)
    this.sendReset(stream)
    return undefined
  }

  onMaxData(limit: number): Violation | undefined {
    if (limit > this.sender.limit) {
      this.sender.limit = limit
      this.control.cancel(ControlBit.dataBlocked)
    }
    return undefined
  }

  onMaxStreamData(streamId: number, limit: number): Violation | undefined {
    const stream = this.find(streamId, Part.send, FrameType.maxStreamData)
    if (stream === undefined) return this.directory.fault
    const send = stream.send!
    if (limit > send.limit) {
      send.limit = limit
      this.control.cancelFor(stream, StreamControlBit.streamDataBlocked)
      this.sender.update(stream, send)
    }
    return undefined
  }

  onMaxStreams(bidirectional: boolean, limit: number): Violation | undefined {
    this.raise(streamType(bidirectional), limit)
    return undefined
  }

  onDataBlocked(limit: number): Violation | undefined {
    this.receiver.onDataBlocked(limit)
    return undefined
  }

  onStreamDataBlocked(streamId: number, limit: number): Violation | undefined {
    const stream = this.find(streamId, Part.receive, FrameType.streamDataBlocked)
    if (stream === undefined) return this.directory.fault
    this.receiver.onStreamDataBlocked(stream, limit)
    return undefined
  }

  onStreamsBlocked(bidirectional: boolean, limit: number): Violation | undefined {
    const type = streamType(bidirectional)
    const remote = this.directory.remote[type]
    this.timesBlocked++
    if (limit >= remote.advertised && remote.renewable) this.control.request(ControlBit.maxStreamsBidi << type)
    return undefined
  }

  // Waiters

  /** The part of the RTT that is no queue, on the path where it is largest: 0 to 1. */
  set propagation(share: number) {
    this.backpressure.propagation = share
  }

  /** Calls every waiter whose time has come, once. At the end of a burst. Waiters may use streams as they like. */
  flushWakes(): void {
    this.backpressure.flush()
  }

  /**
   * The connection is over. Operations do nothing from now on, what has arrived can still be read, and `flushWakes` wakes
   * everybody. `error`: what `Stream.error` tells.
   */
  close(error: unknown): void {
    if (this.closed) return
    this.closed = true
    for (const type of [0, 1] as const) {
      this.wakes.addPlace(this.directory.local[type])
      this.wakes.addPlace(this.directory.remote[type])
    }
    for (const stream of this.directory.streams.values()) {
      stream.closed = true
      stream.error = error
      this.wakes.add(stream, Wake.read | Wake.write | Wake.flush)
    }
  }

  // What streams tell

  sendChanged(stream: Stream): void {
    this.sender.update(stream, stream.send!)
    // Who waits to write to a stream that was ended meanwhile never can.
    if (stream.send!.buffer.finished) this.wakes.add(stream, Wake.write)
  }

  roomFor(send: SendStream): number {
    return this.backpressure.roomFor(send)
  }

  writerWaits(stream: Stream): void {
    this.backpressure.waits(stream, stream.send!)
  }

  sendReset(stream: Stream): void {
    this.control.cancelFor(stream, StreamControlBit.streamDataBlocked)
    this.control.requestFor(stream, StreamControlBit.reset)
    this.sender.update(stream, stream.send!)
    this.wakes.add(stream, Wake.write | Wake.flush)
    this.backpressure.ended(stream)
  }

  consumed(stream: Stream): void {
    this.receiver.consumed(stream)
  }

  receiveStopped(stream: Stream): void {
    this.receiver.stopped(stream)
  }

  pathsChanged(stream: Stream): void {
    this.sender.bind(stream)
  }

  // Inside

  /** The stream of a frame that comes seldom, or undefined with `directory.fault`. */
  private find(streamId: number, part: Part, frameType: number): Stream | undefined {
    const stream = this.directory.find(streamId, part, frameType)
    if (stream !== undefined && !stream.accepted) this.offered(stream)
    return stream
  }

  /** The peer opened the stream, or has more to say about it before it is accepted. */
  private offered(stream: Stream): void {
    const type = streamType(stream.bidirectional)
    const remote = this.directory.remote[type]
    this.wakes.addPlace(remote)
    if (remote.due) this.control.request(ControlBit.maxStreamsBidi << type)
  }

  private make(streamId: number, local: boolean): Stream {
    const bidirectional = (streamId & 2) === 0
    const { initialStreamWindow, maxStreamWindow } = this.settings
    const send = bidirectional || local ? new SendStream(this.sendLimit(bidirectional, local)) : undefined
    const receive = bidirectional || !local ? new ReceiveStream(initialStreamWindow, maxStreamWindow) : undefined
    return new Stream(this, streamId, local, send, receive)
  }

  private sendLimit(bidirectional: boolean, local: boolean): number {
    const limits = this.limits
    if (limits === undefined) return 0
    if (!bidirectional) return limits.initialMaxStreamDataUni
    return local ? limits.initialMaxStreamDataBidiRemote : limits.initialMaxStreamDataBidiLocal
  }

  private raise(type: StreamType, limit: number): void {
    const local = this.directory.local[type]
    if (limit <= local.limit) return
    local.limit = limit
    this.control.cancel(ControlBit.streamsBlockedBidi << type)
    this.wakes.addPlace(local)
    let stream = this.held.release(type, limit)
    for (; stream !== undefined; stream = this.held.release(type, limit)) this.released(stream)
  }

  /** The peer allows the stream now: what was decided about it in the meantime is said. */
  private released(stream: Stream): void {
    if (stream.send !== undefined) {
      this.sender.update(stream, stream.send)
      if (stream.send.state === "resetSent") this.control.requestFor(stream, StreamControlBit.reset)
    }
    if (stream.receive !== undefined && stream.receive.stopCode >= 0)
      this.control.requestFor(stream, StreamControlBit.stopSending)
  }

  /** Forgets the stream when both parts are done and the application has it; the peer may open another one then. */
  private finish(stream: Stream): void {
    const { send, receive } = stream
    if (stream.removed || !stream.accepted) return
    if (send !== undefined && !send.terminal) return
    if (receive !== undefined && !receive.terminal) return
    this.control.cancelAll(stream)
    this.sender.forget(stream)
    this.backpressure.ended(stream)
    stream.removed = true
    this.directory.remove(stream)
    this.streamsFinished++
    const type = streamType(stream.bidirectional)
    if (!stream.local && this.directory.remote[type].due) this.control.request(ControlBit.maxStreamsBidi << type)
    this.onStreamFinished?.(stream)
  }
}
