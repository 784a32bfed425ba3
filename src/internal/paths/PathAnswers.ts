/**
 * Responses to the peer's challenges, and challenges to an address that the path has left: what is owed to one address
 * leaves in one packet (RFC 9000 sections 8.2.2, 9.3.3). To an address that nobody has proven it is at most three times what
 * came from there, counted once for each datagram (section 8.1).
 */
import { sameAddress } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"

/** Addresses that are answered at a time, and challenges of one that are: a flood is answered up to here. */
const MAX_ADDRESSES = 4
const MAX_RESPONSES = 8

export interface PathAnswer {
  readonly local: Address
  readonly remote: Address
  /** Sequence number of our connection ID that the newest challenge came to; -1: there was none. */
  sequence: number
  /** Bytes that may go there if it is not the path's own address. */
  limit: number
  readonly responses: Array<Uint8Array>
  /** For the path's previous address. */
  challenge: Uint8Array | undefined
}

export class PathAnswers {
  // Made when there is something to hold.
  private waiting: Array<PathAnswer> | undefined = undefined

  get isEmpty(): boolean {
    return this.waiting === undefined || this.waiting.length === 0
  }

  /** Responses that wait. */
  get size(): number {
    return (this.waiting ?? []).reduce((sum, { responses }) => sum + responses.length, 0)
  }

  /** A challenge came in, to our ID of that sequence number. `datagram`: bytes of the one that brought it, 0 if they were counted with another challenge in it. */
  respond(data: Uint8Array, local: Address, remote: Address, sequence: number, datagram: number): void {
    const answer = this.to(local, remote)
    if (answer === undefined) return
    answer.sequence = sequence
    answer.limit += 3 * datagram
    if (answer.responses.length < MAX_RESPONSES) answer.responses.push(data)
  }

  /** Asks the owner of an address that was proven before. */
  challenge(data: Uint8Array, local: Address, remote: Address): void {
    const answer = this.to(local, remote)
    if (answer === undefined) return
    answer.limit = Infinity
    answer.challenge = data
  }

  /** What is owed to one address. It waits on until `done`. */
  get first(): PathAnswer | undefined {
    return this.waiting?.[0]
  }

  /** The first one has left, or never will. */
  done(): void {
    this.waiting?.shift()
  }

  clear(): void {
    this.waiting = undefined
  }

  private to(local: Address, remote: Address): PathAnswer | undefined {
    this.waiting ??= []
    for (const answer of this.waiting) {
      if (sameAddress(answer.remote, remote) && sameAddress(answer.local, local)) return answer
    }
    if (this.waiting.length >= MAX_ADDRESSES) return undefined
    const answer: PathAnswer = { local, remote, sequence: -1, limit: 0, responses: [], challenge: undefined }
    this.waiting.push(answer)
    return answer
  }
}
