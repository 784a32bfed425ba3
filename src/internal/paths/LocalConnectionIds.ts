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

export class LocalConnectionIds {
  readonly pathId: number
  private readonly source: ConnectionIdSource
  private nextSequence = 0
  private issued: Array<LocalConnectionId> = []

  constructor(pathId: number, source: ConnectionIdSource) {
    this.pathId = pathId
    this.source = source
  }

  /** The sequence number that the next issued ID gets: BLK-2 compares with it. */
  get next(): number {
    return this.nextSequence
  }

  /** IDs the peer may use. */
  get ids(): ReadonlyArray<LocalConnectionId> {
    return this.issued
  }

  /** Takes an ID that the source already routes (the one of the handshake). */
  adopt(id: LocalConnectionId): void {
    this.issued = [id]
    this.nextSequence = id.sequence + 1
  }

  /** Issues until `count` are active (CID-5, CID-8). Gives whether any is new. */
  fill(count: number): boolean {
    let issuedAny = false
    while (this.issued.length < count) {
      const id = this.source.issue(this.pathId, this.nextSequence++)
      id.pending = true
      // An array as long as it must be: each of many connections has one.
      this.issued = this.issued.concat(id)
      issuedAny = true
    }
    return issuedAny
  }

  bySequence(sequence: number): LocalConnectionId | undefined {
    for (const id of this.issued) if (id.sequence === sequence) return id
    return undefined
  }

  /** The peer retired one (RFC 9000 section 19.16). `usedSequence` is the ID on the packet that said so, -1 if of another path. */
  onRetire(sequence: number, usedSequence: number): Violation | undefined {
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
        this.source.retire(id)
        break
      }
    }
    return undefined
  }

  /** Forgets all of them: the path, or the connection, is gone. */
  retireAll(): void {
    for (const id of this.issued) this.source.retire(id)
    this.issued = []
  }
}
