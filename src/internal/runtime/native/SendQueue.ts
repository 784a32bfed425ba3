/**
 * Transmits that the kernel had no room for, in order, with bytes of their own. Bounded, because a sender need not heed that a
 * socket is full.
 */
import type { Address } from "../../wire/Datagram.ts"

/** Bytes that wait, at most, and what an entry counts beside its bytes: empty datagrams take memory too. */
const LIMIT = 4 * 1024 * 1024
const ENTRY = 512

/** What is left of a transmit. */
export interface Waiting {
  bytes: Uint8Array
  readonly charge: number
  readonly remote: Address
  readonly source: Address | undefined
  readonly ecn: number
  readonly segment: number
}

export class SendQueue {
  private readonly entries: Array<Waiting | undefined> = []
  /** Entries before this one have left. */
  private head = 0
  private charged = 0

  get first(): Waiting | undefined {
    return this.entries[this.head]
  }

  /** Takes the bytes behind `from`; false if there is no room for them. */
  add(
    bytes: Uint8Array,
    from: number,
    remote: Address,
    source: Address | undefined,
    ecn: number,
    segment: number
  ): boolean {
    const charge = bytes.length - from + ENTRY
    if (this.charged + charge > LIMIT) return false
    this.charged += charge
    this.entries.push({ bytes: new Uint8Array(bytes.subarray(from)), charge, remote, source, ecn, segment })
    return true
  }

  removeFirst(): void {
    this.charged -= this.entries[this.head]!.charge
    this.entries[this.head++] = undefined
    if (this.head === this.entries.length) {
      this.entries.length = this.head = 0
    } else if (this.head >= 1024) {
      this.entries.copyWithin(0, this.head)
      this.entries.length -= this.head
      this.head = 0
    }
  }
}
