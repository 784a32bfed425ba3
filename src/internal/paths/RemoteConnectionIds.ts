/**
 * Connection IDs that the peer issued for one path: this endpoint writes them on what it sends (RFC 9000 sections 5.1.2,
 * 19.15; per path: draft-21 sections 3.2 and 4.4).
 */
import { bytesOf, textOf } from "../wire/ByteText.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"
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

/** Pairs of addresses beside the path's own that have an ID: of more, the oldest one is retired. */
const MAX_KEPT = 3

interface Way {
  readonly local: Address
  readonly remote: Address
}

/** The ID for packets between two addresses that are not the path's: it has left them, or the peer asks from there. */
interface Kept extends Way {
  readonly id: RemoteConnectionId
}

const isBetween =
  (local: Address, remote: Address) =>
  (one: Way): boolean =>
    sameAddress(one.remote, remote) && sameAddress(one.local, local)

export class RemoteConnectionIds {
  readonly pathId: number
  private readonly limit: number
  private readonly observer: ResetTokenObserver
  /** The first one is the one in use, the others are spare. */
  private ids: Array<RemoteConnectionId> = []
  /** Packets are sent to the first one. Reset tokens of IDs that were never used say nothing (RFC 9000 section 10.3.1). */
  private inUse = false
  private away = false
  /** The IDs of addresses that are not the path's own, oldest first. */
  private kept: Array<Kept> | undefined = undefined
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

  /** The one in use: the oldest that is not retired. Undefined: nothing can be sent, until the peer gives out another. */
  get active(): RemoteConnectionId | undefined {
    return this.ids[0]
  }

  /** The path moved on purpose, and its new addresses are not proven. */
  get isAway(): boolean {
    return this.away
  }

  /** The ID of addresses that the path has left: without a purpose it left under the same one. */
  idOf(local: Address, remote: Address): RemoteConnectionId | undefined {
    return this.away ? this.kept?.find(isBetween(local, remote))?.id : this.ids[0]
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
    const used = this.kept?.length ?? 0
    for (let i = 0; i < used + this.ids.length; i++) {
      const id = i < used ? this.kept![i]!.id : this.ids[i - used]!
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
      for (const { id } of this.kept ?? []) if (id.sequence < retirePriorTo) this.forget(id)
      this.kept = this.kept?.filter(({ id }) => id.sequence >= retirePriorTo)
    }
    if (this.ids.length + (this.kept?.length ?? 0) > this.limit) {
      return violation(
        TransportError.connectionIdLimit,
        `more than ${this.limit} active connection IDs on path ${this.pathId}`
      )
    }
    return this.tooManyRetires()
  }

  /** Whether there is an ID for packets between two addresses that no others have seen. */
  hasFor(local: Address, remote: Address): boolean {
    return this.ids.length > 1 || this.isKept(local, remote)
  }

  /** Whether there is an ID for the addresses that the path comes from, after a move on purpose or without. */
  mayReturn(local: Address, remote: Address): boolean {
    return !this.away || this.hasFor(local, remote)
  }

  /** Whether packets between two addresses that are not the path's have had an ID, which is still good. */
  isKept(local: Address, remote: Address): boolean {
    return this.kept?.some(isBetween(local, remote)) === true
  }

  /** Moves on to a fresh ID and retires the old one. `false`: there is no spare one. */
  rotate(): boolean {
    if (this.ids.length < 2) return false
    this.drop(0)
    return true
  }

  /**
   * The path leads elsewhere on purpose, and nobody knows yet whether for good: it moves on to the ID of its new addresses, or a
   * fresh one, and the old one is kept for the old addresses. Without one nothing is sent until the peer gives out another
   * (RFC 9000 section 9.5).
   */
  move(from: Way, local: Address, remote: Address): void {
    const old = this.ids.shift()
    const at = this.kept?.findIndex(isBetween(local, remote)) ?? -1
    if (at >= 0) this.ids.unshift(this.kept!.splice(at, 1)[0]!.id)
    else this.observe(this.ids[0])
    if (old !== undefined) this.keep(old, from.local, from.remote)
    this.away = true
  }

  /** The ID for packets between two addresses that are not the path's, a fresh one if need be. Undefined: there is none. */
  reserve(local: Address, remote: Address): RemoteConnectionId | undefined {
    const known = this.kept?.find(isBetween(local, remote))
    if (known !== undefined) return known.id
    if (this.ids.length < 2) return undefined
    const id = this.ids.splice(1, 1)[0]!
    this.observe(id)
    this.keep(id, local, remote)
    return id
  }

  /** The path's addresses are proven: the IDs of all others are retired. */
  release(): void {
    this.away = false
    const { kept } = this
    this.kept = undefined
    for (const { id } of kept ?? []) this.forget(id)
  }

  /** The path is back at its old addresses, and so is their ID, if they had one of their own. */
  restore(from: Way, local: Address, remote: Address): void {
    if (!this.away) return
    this.move(from, local, remote)
    this.away = false
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
    for (const { id } of this.kept ?? []) this.ignore(id)
    this.ids = []
    this.away = false
    this.kept = undefined
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

  private keep(id: RemoteConnectionId, local: Address, remote: Address): void {
    this.kept ??= []
    if (this.kept.length === MAX_KEPT) this.forget(this.kept.shift()!.id)
    this.kept.push({ local, remote, id })
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
