/**
 * Connection IDs that this endpoint issued for one path (RFC 9000 section 5.1, draft-21 section 3.2): the peer writes
 * them on what it sends, and they route it back here.
 */
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"

/** One issued connection ID; also the entry that the endpoint's routing table leads to. */
export interface LocalConnectionId {
  readonly pathId: number
  readonly sequence: number
  readonly bytes: Uint8Array
  readonly resetToken: Uint8Array
  /** Whether it has to be told to the peer (again). The first one of path 0 travels in the handshake. */
  pending: boolean
}

/** Makes a fresh ID that routes to the connection, and takes it out of the routes again. The endpoint implements it. */
export interface ConnectionIdSource {
  readonly issue: (pathId: number, sequence: number) => LocalConnectionId
  readonly retire: (id: LocalConnectionId) => void
}

/** IDs in the place of all before, and times the usual number that there may be with those that the peer has not given back. */
const REPLACEMENTS = 2
const MAX_REPLACED = 4

export class LocalConnectionIds {
  readonly pathId: number
  private readonly source: ConnectionIdSource
  private nextSequence = 0
  private issued: Array<LocalConnectionId> = []
  /** Highest sequence number that a packet of the peer came to: those below are used up. */
  newestUsed = 0
  /** The same, if the peer has heard of each move of ours and has taken another ID for it (section 9.5). */
  private presumedUsed = 0
  /** The peer shall retire those below (RFC 9000 section 5.1.2). */
  private retireBelow = 0

  constructor(pathId: number, source: ConnectionIdSource) {
    this.pathId = pathId
    this.source = source
  }

  /** The sequence number that the next issued ID gets: BLK-2 compares with it. */
  get next(): number {
    return this.nextSequence
  }

  /** IDs that lead here: those the peer may use, and those it was asked to retire. */
  get ids(): ReadonlyArray<LocalConnectionId> {
    return this.issued
  }

  /** Takes an ID that the source already routes (the one of the handshake). */
  adopt(id: LocalConnectionId): void {
    this.issued = [id]
    this.nextSequence = id.sequence + 1
  }

  /** Issues until the peer has `count` that it may use (CID-5, CID-8). Gives whether any is new. */
  fill(count: number): boolean {
    let missing = count
    for (const id of this.issued) if (id.sequence >= this.retireBelow) missing--
    for (let i = 0; i < missing; i++) {
      const id = this.source.issue(this.pathId, this.nextSequence++)
      id.pending = true
      // An array as long as it must be: each of many connections has one.
      this.issued = this.issued.concat(id)
    }
    return missing > 0
  }

  /** A packet came to an ID that is newer than any used before. Gives whether IDs were issued. */
  onUsed(sequence: number, count: number): boolean {
    this.newestUsed = sequence
    return this.renew(count)
  }

  /** Whether the peer has one that it has not used, even if it has heard of each move of ours. */
  get hasSpare(): boolean {
    const used = Math.max(this.newestUsed, this.presumedUsed)
    for (const id of this.issued) if (id.sequence > used) return true
    return false
  }

  /** We move: the peer will take another one. Gives whether IDs were issued. */
  onMove(count: number): boolean {
    this.presumedUsed = Math.max(this.newestUsed, this.presumedUsed) + 1
    return this.renew(count)
  }

  /**
   * We moved, and the peer does not answer: it may have no ID left that it may use where we are now, and cannot tell, nor give
   * back the others. It gets new ones in the place of all before (section 5.1.2). Gives whether IDs were issued.
   */
  replaceAll(count: number): boolean {
    if (this.issued.length >= MAX_REPLACED * count) return false
    this.retireBelow = this.nextSequence
    return this.fill(Math.min(count, REPLACEMENTS))
  }

  /** The peer is heard since the last move: what it has used is known. */
  settled(): void {
    this.presumedUsed = 0
  }

  bySequence(sequence: number): LocalConnectionId | undefined {
    for (const id of this.issued) if (id.sequence === sequence) return id
    return undefined
  }

  /** Retire Prior To of the frame that tells an ID. */
  retirePriorTo(id: LocalConnectionId): number {
    return Math.min(this.retireBelow, id.sequence)
  }

  /**
   * The peer retired one (RFC 9000 section 19.16). `usedSequence` is the ID on the packet that said so, -1 if of another path.
   * Gives the ID, which is the caller's to take out of the routes; undefined: it was retired before.
   */
  onRetire(sequence: number, usedSequence: number): LocalConnectionId | Violation | undefined {
    if (sequence >= this.nextSequence) {
      return violation(
        TransportError.protocolViolation,
        `connection ID ${sequence} of path ${this.pathId} was never issued`
      )
    }
    if (sequence === usedSequence) {
      return violation(TransportError.protocolViolation, "a packet retires the connection ID it was sent to")
    }
    for (let i = 0; i < this.issued.length; i++) {
      const id = this.issued[i]!
      if (id.sequence === sequence) {
        this.issued.splice(i, 1)
        return id
      }
    }
    return undefined
  }

  /**
   * A peer that moves on to another ID for each address, and retires none, comes to the end of what it has, and then cannot
   * follow us to a new address. Before that it gets as many new ones as it is asked to give back (RFC 9000 section 5.1.2).
   * It has to give them back before it gets more. Gives whether IDs were issued.
   */
  renew(count: number): boolean {
    const used = Math.max(this.newestUsed, this.presumedUsed)
    let spare = 0
    for (const id of this.issued) {
      if (id.sequence < this.retireBelow) return false
      if (id.sequence > used) spare++
    }
    if (spare >= count >> 1) return false
    this.retireBelow = used
    return this.fill(count)
  }

  /** Forgets all of them: the path, or the connection, is gone. */
  retireAll(): void {
    for (const id of this.issued) this.source.retire(id)
    this.issued = []
  }
}
