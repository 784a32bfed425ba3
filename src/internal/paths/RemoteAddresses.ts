/**
 * Addresses at which the peer says that it can be reached too. Who reads its frames fills the list, path managers read it.
 * An address is the peer's word alone: nothing but a challenge is sent there before it has answered.
 */
import { sameAddress } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"

/** Addresses that are kept: those that come when the list is full are forgotten, and none is pushed out. */
export const MAX_REMOTE_ADDRESSES = 32

interface Entry {
  readonly sequence: number
  readonly address: Address
}

/** Sequence numbers that are remembered after they were withdrawn: an ADD_ADDRESS may come late, or again. */
const MAX_WITHDRAWN = 2 * MAX_REMOTE_ADDRESSES

const NONE: ReadonlyArray<Address> = []

export class RemoteAddresses {
  /** In the order in which they came, each once. Another array after each change, never the same one changed. */
  current: ReadonlyArray<Address> = NONE
  /** Since the listener was last told. */
  changed = false
  /** Made with the first address: most peers never send one. */
  private entries: Array<Entry> | undefined = undefined
  private withdrawn: Array<number> | undefined = undefined
  private readonly limit: number

  constructor(limit = MAX_REMOTE_ADDRESSES) {
    this.limit = limit
  }

  /** A known sequence number takes the new address in place of the old one, one that was withdrawn none. `false`: no room. */
  add(sequence: number, address: Address): boolean {
    if (this.withdrawn?.includes(sequence) === true) return true
    const entries = (this.entries ??= [])
    const known = entries.findIndex((entry) => entry.sequence === sequence)
    if (known < 0 && entries.length >= this.limit) return false
    if (known >= 0 && sameAddress(entries[known]!.address, address)) return true
    if (known >= 0) entries[known] = { sequence, address }
    else entries.push({ sequence, address })
    this.publish(entries)
    return true
  }

  /** `false`: there is none of that sequence number. */
  remove(sequence: number): boolean {
    const withdrawn = (this.withdrawn ??= [])
    if (!withdrawn.includes(sequence)) withdrawn.push(sequence)
    if (withdrawn.length > MAX_WITHDRAWN) withdrawn.shift()
    const at = this.entries?.findIndex((entry) => entry.sequence === sequence) ?? -1
    if (at < 0) return false
    this.entries!.splice(at, 1)
    this.publish(this.entries!)
    return true
  }

  private publish(entries: ReadonlyArray<Entry>): void {
    const current: Array<Address> = []
    for (const { address } of entries) if (!current.some((other) => sameAddress(other, address))) current.push(address)
    this.current = current
    this.changed = true
  }
}
