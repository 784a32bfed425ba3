/**
 * Connection IDs that the peer issued for one path: this endpoint writes them on what it sends (RFC 9000 sections 5.1.2,
 * 19.15; per path: draft-21 sections 3.2 and 4.4).
 */
import { bytesOf, textOf } from "../wire/ByteText.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"

export class RemoteConnectionId {
  readonly sequence: number
  readonly text: string
  /** Undefined for the one of the handshake until transport parameters bring it. */
  resetToken: string | undefined
  private read: Uint8Array | undefined = undefined

  constructor(sequence: number, bytes: Uint8Array, resetToken: Uint8Array | undefined) {
    this.sequence = sequence
    this.text = textOf(bytes)
    this.resetToken = resetToken && textOf(resetToken)
  }

  get bytes(): Uint8Array {
    return (this.read ??= bytesOf(this.text))
  }
}

/** Told about reset tokens of IDs that come into use and fall out of it (RFC 9000 section 10.3.1). The endpoint implements it. */
export interface ResetTokenObserver {
  readonly addResetToken: (token: Uint8Array) => void
  readonly removeResetToken: (token: Uint8Array) => void
}

/** Sequence numbers beyond the lowest one missing that are remembered: a peer that leaves gaps of its own cannot fill us up. */
const MAX_SEEN = 256

export class RemoteConnectionIds {
  readonly pathId: number
  private readonly limit: number
  private readonly observer: ResetTokenObserver
  /** The first one is the one in use, the others are spare. */
  private ids: Array<RemoteConnectionId> = []
  /** Packets are sent to the first one. Reset tokens of IDs that were never used say nothing (RFC 9000 section 10.3.1). */
  private inUse = false
  /** The one for the address that the path has left, while the new address is not validated. */
  private held: RemoteConnectionId | undefined = undefined
  private retirePriorTo = 0
  /** Every sequence number below was seen, and those of the set, if there is one: what comes again after we retired it is not new. */
  private seenBelow = 0
  private seen: Set<number> | undefined = undefined
  private highest = -1
  /** Sequence numbers to tell the peer as retired, again if that was lost. */
  readonly pendingRetire: Array<number> = []
  /** Sequence numbers that the peer may not know yet as retired; undefined: none. */
  private unacknowledged: Set<number> | undefined = undefined

  constructor(pathId: number, limit: number, observer: ResetTokenObserver) {
    this.pathId = pathId
    this.limit = limit
    this.observer = observer
  }

  /** The one in use: the oldest that is not retired. */
  get active(): RemoteConnectionId | undefined {
    return this.ids[0]
  }

  /** The one for packets to the address that the path has left. */
  get previous(): RemoteConnectionId | undefined {
    return this.held ?? this.ids[0]
  }

  get isHolding(): boolean {
    return this.held !== undefined
  }

  /** IDs to send to: the one in use and the spare ones. */
  get available(): number {
    return this.ids.length
  }

  /** The next sequence number expected, for PATH_CIDS_BLOCKED. */
  get nextSequence(): number {
    return this.highest + 1
  }

  /** The path is used from now on. */
  begin(): void {
    if (this.inUse) return
    this.inUse = true
    this.observe(this.ids[0])
  }

  /** The first ID of path 0: the peer's source connection ID, replaced when Retry or the server chooses another. */
  setInitial(bytes: Uint8Array): void {
    this.inUse = true
    this.ids = [new RemoteConnectionId(0, bytes, undefined)]
    this.highest = 0
    this.seenBelow = 1
  }

  setInitialResetToken(token: Uint8Array): void {
    const first = this.ids[0]
    if (first === undefined || first.sequence !== 0) return
    first.resetToken = textOf(token)
    this.observe(first)
  }

  /** A (PATH_)NEW_CONNECTION_ID frame. The bytes are copied. */
  add(sequence: number, retirePriorTo: number, bytes: Uint8Array, token: Uint8Array): Violation | undefined {
    if (this.ids[0]?.text === "") {
      return violation(TransportError.protocolViolation, "a peer that uses empty connection IDs issued one")
    }
    const fresh = new RemoteConnectionId(sequence, bytes, token)
    for (let i = -1; i < this.ids.length; i++) {
      const id = i < 0 ? this.held : this.ids[i]
      if (id === undefined) continue
      if (id.sequence === sequence) {
        return id.text === fresh.text && (id.resetToken === undefined || id.resetToken === fresh.resetToken)
          ? undefined
          : violation(
              TransportError.protocolViolation,
              `connection ID ${sequence} was issued twice with different content`
            )
      }
      if (id.text === fresh.text) {
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
    let at = this.ids.length
    while (at > 0 && this.ids[at - 1]!.sequence > sequence) at--
    // The active ID stays first even if a lower sequence number arrives late.
    if (at === 0 && this.inUse && this.ids.length > 0) at = 1
    // As long as it must be: an array that grows takes room for a dozen more.
    this.ids = this.ids.toSpliced(at, 0, fresh)
    if (this.inUse && this.ids.length === 1) this.observe(fresh)
    if (retirePriorTo > this.retirePriorTo) {
      this.retirePriorTo = retirePriorTo
      for (let i = this.ids.length - 1; i >= 0; i--) {
        if (this.ids[i]!.sequence < retirePriorTo) this.drop(i)
      }
      if (this.held !== undefined && this.held.sequence < retirePriorTo) this.release()
    }
    if (this.ids.length + (this.held === undefined ? 0 : 1) > this.limit) {
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

  /**
   * The path's address changed, and nobody knows yet whether for good: moves on to a fresh ID, and keeps the old one for the
   * old address (RFC 9000 section 9.5). `false`: there is no spare one.
   */
  hold(): boolean {
    if (this.ids.length < 2) return false
    // Moved again meanwhile: what was used for the address in between is used up.
    if (this.held !== undefined) return this.rotate()
    this.held = this.ids.shift()
    this.observe(this.ids[0])
    return true
  }

  /** The new address is the path's own now: the ID of the old one is retired. */
  release(): void {
    const { held } = this
    if (held === undefined) return
    this.held = undefined
    this.forget(held)
  }

  /** The path is back at its old address, and so is its ID; the one that was used meanwhile is retired. */
  restore(): void {
    const { held } = this
    if (held === undefined) return
    this.held = undefined
    const used = this.ids[0]
    if (used === undefined) this.ids = [held]
    else {
      this.ids[0] = held
      this.forget(used)
    }
  }

  /** A RETIRE frame was lost: it goes out again. */
  onRetireLost(sequence: number): void {
    if (this.unacknowledged?.has(sequence) !== true || this.pendingRetire.includes(sequence)) return
    this.pendingRetire.push(sequence)
  }

  /** A RETIRE frame arrived. One that was sent again may do so twice. */
  onRetireAcked(sequence: number): void {
    const { pendingRetire, unacknowledged } = this
    if (unacknowledged?.delete(sequence) !== true) return
    if (unacknowledged.size === 0) this.unacknowledged = undefined
    const at = pendingRetire.indexOf(sequence)
    if (at >= 0) pendingRetire.splice(at, 1)
  }

  /** The path is closed: every ID counts as retired without a frame (ABN-2, ABN-11). */
  clear(): void {
    if (this.inUse && this.ids.length > 0) this.ignore(this.ids[0]!)
    if (this.held !== undefined) this.ignore(this.held)
    this.ids = []
    this.held = undefined
    this.pendingRetire.length = 0
  }

  /** The same, but the ID that was in use stays, for what may have to be said in the end. Its reset token means nothing more. */
  keepActive(): void {
    const { active } = this
    this.clear()
    this.inUse = false
    if (active !== undefined) this.ids = [active]
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
    if (index > 0 || !this.inUse) {
      this.retire(id.sequence)
      return
    }
    this.forget(id)
    this.observe(this.ids[0])
  }

  private observe(id: RemoteConnectionId | undefined): void {
    if (this.inUse && id?.resetToken !== undefined) this.observer.addResetToken(bytesOf(id.resetToken))
  }

  private ignore(id: RemoteConnectionId): void {
    if (id.resetToken !== undefined) this.observer.removeResetToken(bytesOf(id.resetToken))
  }

  /** Retires one that was used. */
  private forget(id: RemoteConnectionId): void {
    this.ignore(id)
    this.retire(id.sequence)
  }

  private retire(sequence: number): void {
    this.pendingRetire.push(sequence)
    this.unacknowledged = (this.unacknowledged ?? new Set()).add(sequence)
  }

  /** RFC 9000 section 5.1.2: a bound on retirements that the peer has not acknowledged. */
  private tooManyRetires(): Violation | undefined {
    return this.unacknowledged !== undefined && this.unacknowledged.size > this.limit * 8
      ? violation(TransportError.connectionIdLimit, "too many connection IDs retired without acknowledgement")
      : undefined
  }
}
