/**
 * Connection IDs that the peer issued for one path: this endpoint writes them on what it sends (RFC 9000 sections 5.1.2,
 * 19.15; per path: draft-21 sections 3.2 and 4.4).
 */
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"

export interface RemoteConnectionId {
  readonly sequence: number
  readonly bytes: Uint8Array
  /** Undefined for the one of the handshake until transport parameters bring it. */
  resetToken: Uint8Array | undefined
}

/** Told about reset tokens that come into use and fall out of it (RFC 9000 section 10.3). The endpoint implements it. */
export interface ResetTokenObserver {
  readonly addResetToken: (token: Uint8Array) => void
  readonly removeResetToken: (token: Uint8Array) => void
}

/** Sequence numbers beyond the lowest one missing that are remembered: a peer that leaves gaps of its own cannot fill us up. */
const MAX_SEEN = 256

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export class RemoteConnectionIds {
  readonly pathId: number
  private readonly limit: number
  private readonly observer: ResetTokenObserver
  private ids: Array<RemoteConnectionId> = []
  private retirePriorTo = 0
  /** Every sequence number below was seen, and those of the set, if there is one: what comes again after we retired it is not new. */
  private seenBelow = 0
  private seen: Set<number> | undefined = undefined
  private highest = -1
  /** Sequence numbers to tell the peer as retired, again if that was lost. */
  readonly pendingRetire: Array<number> = []
  private unacknowledgedRetires = 0

  constructor(pathId: number, limit: number, observer: ResetTokenObserver) {
    this.pathId = pathId
    this.limit = limit
    this.observer = observer
  }

  /** The one in use: the oldest that is not retired. */
  get active(): RemoteConnectionId | undefined {
    return this.ids[0]
  }

  get available(): number {
    return this.ids.length
  }

  /** The next sequence number expected, for PATH_CIDS_BLOCKED. */
  get nextSequence(): number {
    return this.highest + 1
  }

  /** The first ID of path 0: the peer's source connection ID, replaced when Retry or the server chooses another. */
  setInitial(bytes: Uint8Array): void {
    this.ids = [{ sequence: 0, bytes, resetToken: undefined }]
    this.highest = 0
    this.seenBelow = 1
  }

  setInitialResetToken(token: Uint8Array): void {
    const first = this.ids[0]
    if (first !== undefined && first.sequence === 0) {
      first.resetToken = token
      this.observer.addResetToken(token)
    }
  }

  /** A (PATH_)NEW_CONNECTION_ID frame. The bytes are copied. */
  add(
    sequence: number,
    retirePriorTo: number,
    bytes: Uint8Array,
    token: Uint8Array,
    inUse: boolean
  ): Violation | undefined {
    if (this.ids[0]?.bytes.length === 0) {
      return violation(TransportError.protocolViolation, "a peer that uses empty connection IDs issued one")
    }
    for (const id of this.ids) {
      if (id.sequence === sequence) {
        return sameBytes(id.bytes, bytes) && (id.resetToken === undefined || sameBytes(id.resetToken, token))
          ? undefined
          : violation(
              TransportError.protocolViolation,
              `connection ID ${sequence} was issued twice with different content`
            )
      }
      if (sameBytes(id.bytes, bytes)) {
        return violation(TransportError.protocolViolation, "one connection ID was issued under two sequence numbers")
      }
    }
    if (sequence > this.highest) this.highest = sequence
    if (sequence < this.seenBelow || this.seen?.has(sequence) === true) return undefined
    this.markSeen(sequence)
    if (this.seen !== undefined && this.seen.size > MAX_SEEN) {
      return violation(TransportError.connectionIdLimit, "too many gaps between the sequence numbers of connection IDs")
    }
    if (sequence < this.retirePriorTo) {
      this.retire(sequence)
      return this.tooManyRetires()
    }
    const id: RemoteConnectionId = { sequence, bytes: bytes.slice(), resetToken: token.slice() }
    let at = this.ids.length
    while (at > 0 && this.ids[at - 1]!.sequence > sequence) at--
    // The active ID stays first even if a lower sequence number arrives late.
    if (at === 0 && inUse && this.ids.length > 0) at = 1
    // As long as it must be: an array that grows takes room for a dozen more.
    this.ids = this.ids.toSpliced(at, 0, id)
    this.observer.addResetToken(id.resetToken!)
    if (retirePriorTo > this.retirePriorTo) {
      this.retirePriorTo = retirePriorTo
      for (let i = this.ids.length - 1; i >= 0; i--) {
        if (this.ids[i]!.sequence < retirePriorTo) this.drop(i)
      }
    }
    if (this.ids.length > this.limit) {
      return violation(
        TransportError.connectionIdLimit,
        `more than ${this.limit} active connection IDs on path ${this.pathId}`
      )
    }
    return this.tooManyRetires()
  }

  /** Moves on to a fresh ID and retires the old one. `false`: there is no spare one. */
  rotate(): boolean {
    if (this.ids.length < 2) return false
    this.drop(0)
    return true
  }

  /** A RETIRE frame was lost: it goes out again. */
  onRetireLost(sequence: number): void {
    this.unacknowledgedRetires--
    this.retire(sequence)
  }

  onRetireAcked(): void {
    this.unacknowledgedRetires--
  }

  /** The path is closed: every ID counts as retired without a frame (ABN-2, ABN-11). */
  clear(): void {
    for (const id of this.ids) if (id.resetToken !== undefined) this.observer.removeResetToken(id.resetToken)
    this.ids = []
    this.pendingRetire.length = 0
  }

  private markSeen(sequence: number): void {
    if (sequence > this.seenBelow) {
      this.seen ??= new Set()
      this.seen.add(sequence)
      return
    }
    this.seenBelow = sequence + 1
    while (this.seen?.delete(this.seenBelow) === true) this.seenBelow++
  }

  private drop(index: number): void {
    const id = this.ids[index]!
    this.ids.splice(index, 1)
    if (id.resetToken !== undefined) this.observer.removeResetToken(id.resetToken)
    this.retire(id.sequence)
  }

  private retire(sequence: number): void {
    this.pendingRetire.push(sequence)
    this.unacknowledgedRetires++
  }

  /** RFC 9000 section 5.1.2: a bound on retirements that the peer has not acknowledged. */
  private tooManyRetires(): Violation | undefined {
    return this.unacknowledgedRetires > this.limit * 8
      ? violation(TransportError.connectionIdLimit, "too many connection IDs retired without acknowledgement")
      : undefined
  }
}
