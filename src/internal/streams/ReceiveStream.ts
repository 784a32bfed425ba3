import { sendable } from "../wire/Cursor.ts"
import { FrameType } from "../wire/FrameType.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"
import { ReceiveBuffer } from "./ReceiveBuffer.ts"
import type { Loan } from "./ReceiveBuffer.ts"
import { ReceiveWindow } from "./ReceiveWindow.ts"

/** States of the receiving part of a stream (RFC 9000 section 3.2). */
export type ReceiveState = "recv" | "sizeKnown" | "dataRecvd" | "dataRead" | "resetRecvd"

/** Says plainly how far the peer overran (FLOW_CONTROL_ERROR, RFC 9000 section 4.1). */
export const overrun = (what: string, end: number, limit: number, frameType: number): Violation =>
  violation(
    TransportError.flowControl,
    `${what}: the peer sent ${end - limit} bytes beyond its limit of ${limit}`,
    frameType
  )

/** The receiving part of a stream: its bytes, its state and the credit given to the peer. */
export class ReceiveStream {
  readonly buffer = new ReceiveBuffer()
  readonly window: ReceiveWindow
  state: ReceiveState = "recv"
  /** Code of the peer's RESET_STREAM, -1 without one. */
  resetCode = -1
  /** Code of our STOP_SENDING, -1 without one. */
  stopCode = -1
  /** Bytes given back to the window of the connection: read or thrown away. */
  credited = 0
  /** What the sums of the connection hold of this stream. */
  countedReadable = 0
  countedOutOfOrder = 0

  constructor(window: number, maximum: number) {
    this.window = new ReceiveWindow(window, maximum)
  }

  /** Bytes wait to be read. */
  get readable(): boolean {
    return this.buffer.readable > 0
  }

  /** Every byte was read and the end seen. */
  get finished(): boolean {
    return this.state === "dataRead"
  }

  /** Nothing can come any more that anybody wants. */
  get terminal(): boolean {
    return (
      this.state === "dataRead" || this.state === "resetRecvd" || (this.stopCode >= 0 && this.buffer.finalSize >= 0)
    )
  }

  /** The peer can still use credit. */
  get wantsCredit(): boolean {
    return this.state === "recv" && this.stopCode < 0
  }

  /** Bytes up to the highest one received that wait for others before them. */
  get outOfOrder(): number {
    return this.discarded ? 0 : this.buffer.highestOffset - this.buffer.contiguousOffset
  }

  /** All that can be read was read, and what cannot be takes up the window. */
  get starved(): boolean {
    return this.buffer.readable === 0 && this.window.chokedBy(this.outOfOrder)
  }

  /** Bytes that the window of the connection can have back. */
  get creditable(): number {
    return (this.discarded ? this.buffer.highestOffset : this.buffer.readOffset) - this.credited
  }

  /** Nobody will read it. */
  private get discarded(): boolean {
    return this.stopCode >= 0 || this.state === "resetRecvd"
  }

  onData(offset: number, source: Uint8Array, from: number, length: number, fin: boolean): Violation | undefined {
    const wrong = this.buffer.insert(offset, source, from, length, fin)
    if (wrong !== undefined) return wrong
    if (this.buffer.finalSize >= 0) this.settle()
    return undefined
  }

  /** RESET_STREAM. What had not been read is dropped, unless all had arrived (RFC 9000 section 3.2). */
  onReset(code: number, finalSize: number): Violation | undefined {
    const buffer = this.buffer
    const wrong = buffer.checkFinalSize(finalSize, true, FrameType.resetStream)
    if (wrong !== undefined) return wrong
    buffer.highestOffset = finalSize
    if (this.state === "recv" || this.state === "sizeKnown") {
      this.state = "resetRecvd"
      this.resetCode = code
      buffer.discard()
    }
    return undefined
  }

  /** The application wants no more. False when the peer has nothing to stop, or was told before. */
  stop(code: number): boolean {
    if (this.stopCode >= 0 || this.terminal) return false
    this.stopCode = sendable(code)
    this.buffer.discard()
    return this.state === "recv"
  }

  /** The next bytes in order, at most `max`; undefined when there are none now. */
  read(max?: number): Uint8Array | undefined {
    const bytes = this.buffer.read(max)
    if (bytes !== undefined) this.onRead()
    return bytes
  }

  /** As `read`, of memory that is used again once it was given back. */
  lend(): Loan | undefined {
    const loan = this.buffer.lend()
    if (loan !== undefined) this.onRead()
    return loan
  }

  private onRead(): void {
    this.window.consumed = this.buffer.readOffset
    if (this.buffer.ended) this.state = "dataRead"
  }

  private settle(): void {
    if (this.state === "recv") this.state = "sizeKnown"
    if (this.state === "sizeKnown" && this.buffer.complete) this.state = "dataRecvd"
    if (this.state === "dataRecvd" && this.buffer.ended) this.state = "dataRead"
  }
}
