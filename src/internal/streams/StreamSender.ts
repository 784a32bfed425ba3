import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import { varintLength } from "../wire/Cursor.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import { streamHeaderLength, writePadding, writeStreamHeader } from "../wire/FrameWriter.ts"
import { SendLanes } from "./SendLanes.ts"
import type { SendStream } from "./SendStream.ts"
import type { Stream } from "./Stream.ts"

/** A frame with less data than this is only written if it is all that the stream has: headers cost room, too. */
const MIN_FRAME_DATA = 128

/**
 * New bytes of a stream before others of its urgency have their turn: about a dozen packets. If it were one packet, the
 * peer would wake a reader, and both ends would touch the memory of another stream, for each of them.
 */
export const TURN = 16_384

/**
 * Which stream goes into the next packet, and how: STREAM frames (RFC 9000 section 19.8), credit of the connection, and
 * what becomes of the frames afterwards. The limit of the connection is one comparison for all streams that wait.
 */
export class StreamSender {
  /** MAX_DATA of the peer. */
  limit = 0
  /** Bytes sent of all streams, each counted once. */
  sent = 0
  /** Bytes that wait to be sent: new ones and lost ones. */
  queuedBytes = 0
  /** Bytes that are written and not acknowledged. */
  bufferedBytes = 0
  /** Statistics. */
  bytesRetransmitted = 0
  /** Bytes sent once more on another path, in case. */
  bytesCopied = 0
  framesSent = 0

  readonly lanes = new SendLanes<Stream>()
  private blockedAt = -1
  private readonly onBlocked: () => void
  private readonly onStreamBlocked: (stream: Stream) => void
  private readonly onSent: (stream: Stream, send: SendStream) => void

  /**
   * `onBlocked`: new bytes wait for MAX_DATA, called once for each limit; `onStreamBlocked`: for MAX_STREAM_DATA. `onSent`:
   * new bytes of the stream have left.
   */
  constructor(
    onBlocked: () => void,
    onStreamBlocked: (stream: Stream) => void,
    onSent: (stream: Stream, send: SendStream) => void
  ) {
    this.onBlocked = onBlocked
    this.onStreamBlocked = onStreamBlocked
    this.onSent = onSent
  }

  /** New bytes wait for nothing but credit of the connection. */
  get blocked(): boolean {
    return this.sent >= this.limit && this.lanes.hasFresh
  }

  /** A STREAM frame could go into a packet of this path now. */
  hasData(pathId: number): boolean {
    return this.hasRetransmission(pathId) || (this.sent < this.limit && this.lanes.fresh(pathId, false) !== undefined)
  }

  /** One of a stream that is bound to the path could: this path may carry it whatever its class. */
  hasBound(pathId: number): boolean {
    const { lanes } = this
    return (
      lanes.repair(pathId, true) !== undefined || (this.sent < this.limit && lanes.fresh(pathId, true) !== undefined)
    )
  }

  /** Lost bytes, or a lone FIN, could. */
  hasRetransmission(pathId: number): boolean {
    return this.lanes.repair(pathId, false) !== undefined
  }

  /** Puts a stream where it belongs after anything changed in its sending part. */
  update(stream: Stream, send: SendStream): void {
    const buffer = send.buffer
    const queued = buffer.pendingNew + buffer.lostBytes
    this.queuedBytes += queued - send.countedQueued
    send.countedQueued = queued
    const buffered = buffer.bufferedBytes
    this.bufferedBytes += buffered - send.countedBuffered
    send.countedBuffered = buffered

    const active = send.active && !stream.held
    const pending = active && buffer.pendingNew > 0
    const again = active && (buffer.hasRetransmission || (buffer.finPending && !pending))
    const sendable = pending && buffer.unsentOffset < send.limit
    this.lanes.place(stream, again, sendable)
    if (pending && !sendable && send.blockedAt !== send.limit) {
      send.blockedAt = send.limit
      this.onStreamBlocked(stream)
    }
    this.reportBlocked()
  }

  /** The paths that may carry the stream have changed. */
  bind(stream: Stream): void {
    this.lanes.bind(stream)
    if (stream.send !== undefined) this.update(stream, stream.send)
  }

  /** The stream is done. */
  forget(stream: Stream): void {
    this.lanes.leave(stream)
  }

  boundTo(pathId: number): Array<Stream> {
    return this.lanes.boundTo(pathId)
  }

  /**
   * Fills the packet with STREAM frames up to `w.end`, retransmissions first; with `boundOnly` of streams that are bound to
   * the path. True if anything was written. The last frame has no Length field when it ends the packet.
   */
  write(w: ByteWriter, frames: SentFrameList, pathId: number, boundOnly: boolean): boolean {
    const begin = w.position
    for (;;) {
      const repair = this.lanes.repair(pathId, boundOnly)
      if (repair !== undefined) {
        if (!this.writeRepair(w, frames, repair)) break
        continue
      }
      if (this.sent >= this.limit) break
      const stream = this.lanes.fresh(pathId, boundOnly)
      if (stream === undefined || !this.writeNew(w, frames, stream)) break
    }
    return w.position > begin
  }

  /**
   * The stream whose new bytes would fill the next packets of a path, one after the other and with nothing beside them;
   * undefined while anything has to be repeated. See `trainLength`.
   */
  trainFor(pathId: number): Stream | undefined {
    return this.sent < this.limit && this.lanes.repair(pathId, false) === undefined
      ? this.lanes.fresh(pathId, false)
      : undefined
  }

  /** New bytes of the stream that may follow each other now: what credit allows, and no more than its turn has left. */
  trainLength(stream: Stream): number {
    const send = stream.send!
    const credit = Math.min(send.sendableNew, this.limit - this.sent)
    return this.lanes.isAlone(stream) ? credit : Math.min(credit, TURN - send.turn)
  }

  /** Fills the packet with new bytes at `offset`, which are not marked as sent: see `trainSent`. */
  writeTrain(w: ByteWriter, frames: SentFrameList, stream: Stream, offset: number, length: number): void {
    this.emit(w, frames, stream, offset, length, false, false)
  }

  /** The next `length` new bytes of the stream have left. */
  trainSent(stream: Stream, length: number): void {
    const send = stream.send!
    send.buffer.markSent(length)
    this.onNewSent(stream, send, length)
  }

  /**
   * Writes once more what `frame` carried, as far as it is not acknowledged: a duplicate or a reinjection. The original stays as
   * it is; whichever arrives first counts. False if not all of it had room: `frame` keeps the rest.
   */
  writeCopy(w: ByteWriter, frames: SentFrameList, frame: SentFrame): boolean {
    const stream = frame.owner as Stream
    const send = stream.send
    if (send === undefined || !send.active) return true
    const { buffer } = send
    const end = frame.offset + frame.length
    const offset = Math.max(frame.offset, buffer.ackedOffset)
    const needed = end - offset
    const fin = frame.fin && !buffer.finAcked
    if (needed < 0 || (needed === 0 && !fin) || end > buffer.unsentOffset) return true
    const room = w.remaining - streamHeaderLength(stream.id, offset, needed)
    if (room < needed && room < MIN_FRAME_DATA) return false
    const length = room < needed ? room : needed
    const copy = this.emit(w, frames, stream, offset, length, fin && length === needed, true)
    copy.paths = frame.paths
    copy.covered = frame.covered
    this.bytesCopied += length
    frame.offset = offset + length
    frame.length = end - frame.offset
    return length === needed
  }

  /** A STREAM frame is acknowledged; true when with it the sending part is done. */
  acknowledged(stream: Stream, send: SendStream, frame: SentFrame): boolean {
    if (!send.active) return false
    const done = send.acknowledged(frame.offset, frame.length, frame.fin)
    this.update(stream, send)
    return done
  }

  lost(stream: Stream, send: SendStream, frame: SentFrame): void {
    if (!send.active) return
    send.buffer.lose(frame.offset, frame.length, frame.fin)
    this.update(stream, send)
  }

  /** Nothing was sent, nothing is allowed: before the limits of a handshake that refused 0-RTT apply. */
  rewind(): void {
    this.sent = this.limit = 0
    this.blockedAt = -1
  }

  /** Calls `onBlocked` if that is so, once for each limit. */
  reportBlocked(): void {
    if (!this.blocked || this.blockedAt === this.limit) return
    this.blockedAt = this.limit
    this.onBlocked()
  }

  private writeRepair(w: ByteWriter, frames: SentFrameList, stream: Stream): boolean {
    const send = stream.send!
    const buffer = send.buffer
    const again = buffer.hasRetransmission
    const offset = again ? buffer.retransmitOffset : buffer.unsentOffset
    const length = this.fill(w, frames, stream, offset, again ? buffer.retransmitLength : 0, again)
    if (length < 0) return false
    if (again) {
      buffer.markRetransmitted(length)
      this.bytesRetransmitted += length
    }
    send.sent()
    this.update(stream, send)
    this.lanes.rotate(stream, stream.repairNode)
    return true
  }

  private writeNew(w: ByteWriter, frames: SentFrameList, stream: Stream): boolean {
    const send = stream.send!
    const buffer = send.buffer
    const credit = this.limit - this.sent
    const sendable = send.sendableNew
    const length = this.fill(w, frames, stream, buffer.unsentOffset, sendable < credit ? sendable : credit, false)
    if (length < 0) return false
    buffer.markSent(length)
    this.onNewSent(stream, send, length)
    return true
  }

  private onNewSent(stream: Stream, send: SendStream, length: number): void {
    this.sent += length
    send.sent()
    send.turn += length
    this.update(stream, send)
    this.onSent(stream, send)
    if (send.turn >= TURN || stream.freshNode.level < 0) {
      send.turn = 0
      this.lanes.rotate(stream, stream.freshNode)
    }
  }

  /** One frame with as much of `available` as fits; gives the length, or -1 when it is not worth a frame. */
  private fill(
    w: ByteWriter,
    frames: SentFrameList,
    stream: Stream,
    offset: number,
    available: number,
    again: boolean
  ): number {
    const room = w.remaining - streamHeaderLength(stream.id, offset, -1)
    if (room < 0 || (room < available && room < MIN_FRAME_DATA)) return -1
    let length = available
    let withLength = false
    if (available >= room) length = room
    else if (available + varintLength(available) <= room) withLength = true
    // One to seven bytes short of a Length field: PADDING before the frame makes it end the packet.
    else writePadding(w, room - available)
    const buffer = stream.send!.buffer
    const fin = buffer.finPending && offset + length === buffer.writtenOffset
    const frame = this.emit(w, frames, stream, offset, length, fin, withLength)
    if (again) frame.value = length
    if (fin) buffer.finSent = true
    return length
  }

  private emit(
    w: ByteWriter,
    frames: SentFrameList,
    stream: Stream,
    offset: number,
    length: number,
    fin: boolean,
    withLength: boolean
  ): SentFrame {
    writeStreamHeader(w, stream.id, offset, length, fin, withLength)
    stream.send!.buffer.copyTo(offset, length, w.bytes, w.position)
    w.position += length
    const frame = frames.add(SentFrameKind.stream)
    frame.owner = stream
    frame.offset = offset
    frame.length = length
    frame.fin = fin
    this.framesSent++
    return frame
  }
}
