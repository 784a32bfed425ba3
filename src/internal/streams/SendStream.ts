import { sendable } from "../wire/Cursor.ts"
import { SendBuffer } from "./SendBuffer.ts"

/** States of the sending part of a stream (RFC 9000 section 3.1). */
export type SendState = "ready" | "send" | "dataSent" | "dataRecvd" | "resetSent" | "resetRecvd"

/** The sending part of a stream: its bytes, its state and the credit the peer gave. */
export class SendStream {
  readonly buffer = new SendBuffer()
  state: SendState = "ready"
  /** MAX_STREAM_DATA of the peer. */
  limit: number
  /** The limit at which STREAM_DATA_BLOCKED was sent: once for each. */
  blockedAt = -1
  /** Code of our RESET_STREAM, -1 without one. */
  resetCode = -1
  /** Code of the peer's STOP_SENDING, -1 without one. */
  stopCode = -1
  /** Bytes of its current turn among the streams of its urgency. */
  turn = 0
  /** What the sums of the connection hold of this stream. */
  countedQueued = 0
  countedBuffered = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Neither all acknowledged nor reset. */
  get active(): boolean {
    return this.state === "ready" || this.state === "send" || this.state === "dataSent"
  }

  /** The application may still add bytes. */
  get writable(): boolean {
    return this.active && !this.buffer.finished
  }

  /** Nothing is left to do: the peer has everything, or knows that it will not get it. */
  get terminal(): boolean {
    return this.state === "dataRecvd" || this.state === "resetRecvd"
  }

  /** New bytes that the peer's limit for this stream allows now. */
  get sendableNew(): number {
    const credit = this.limit - this.buffer.unsentOffset
    const pending = this.buffer.pendingNew
    return pending < credit ? pending : credit > 0 ? credit : 0
  }

  /** Something left in a packet. */
  sent(): void {
    if (this.buffer.finSent && this.buffer.pendingNew === 0) this.state = "dataSent"
    else if (this.state === "ready") this.state = "send"
  }

  /** A STREAM frame arrived. Gives true when with it everything has. */
  acknowledged(offset: number, length: number, fin: boolean): boolean {
    this.buffer.acknowledge(offset, length, fin)
    if (this.state !== "dataSent" || !this.buffer.finAcked || !this.buffer.allAcked) return false
    this.state = "dataRecvd"
    return true
  }

  /**
   * Gives up on the stream: no byte is sent any more. False when there is nothing to give up, because it was reset before
   * or everything has arrived.
   */
  reset(code: number): boolean {
    if (!this.active) return false
    this.state = "resetSent"
    this.resetCode = sendable(code)
    this.buffer.discard()
    return true
  }

  /** The peer refused 0-RTT and saw nothing of this stream. */
  rewind(): void {
    this.limit = 0
    this.blockedAt = -1
    if (this.active) {
      this.state = "ready"
      this.buffer.rewind()
    } else {
      this.buffer.unsentOffset = 0
      this.buffer.discard()
    }
  }
}
