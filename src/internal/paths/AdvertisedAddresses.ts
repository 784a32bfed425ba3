/**
 * Addresses that a server tells its client, in addition to the one that the client knows: ADD_ADDRESS and REMOVE_ADDRESS
 * (draft-seemann-quic-nat-traversal-02 section 6, in the form that noq speaks). Each has a sequence number that is never used
 * again, and is told until the client has it. An address counts against the client's limit until the client knows that it is
 * withdrawn.
 */
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import { addressToBytes } from "../wire/AddressBytes.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"
import { ADDRESS_FRAME_LENGTH, writeAddAddress, writeRemoveAddress } from "../wire/FrameWriter.ts"

/**
 * Where an entry is in its life. `held`: withdrawn while its ADD_ADDRESS is under way. A REMOVE_ADDRESS that overtook it would
 * leave the address with the client for good.
 */
type State = "untold" | "telling" | "told" | "held" | "withdrawn" | "withdrawing"

interface Entry {
  readonly sequence: number
  readonly address: Address
  state: State
  /** ADD_ADDRESS has left: the client may have it, even if that is taken for lost. */
  sent: boolean
}

export class AdvertisedAddresses {
  /** Addresses that the peer keeps; 0: it does not take part. */
  limit = 0
  /** Something may have to be said. */
  pending = false
  private entries: Array<Entry> | undefined = undefined
  private next = 0

  /** Those that are advertised now. */
  get current(): ReadonlyArray<Address> {
    return (this.entries ?? []).filter(isLive).map(({ address }) => address)
  }

  /** `false`: the peer keeps no more. One that is advertised already stays as it is. */
  add(address: Address): boolean {
    const entries = (this.entries ??= [])
    if (entries.some((entry) => isLive(entry) && sameAddress(entry.address, address))) return true
    if (entries.length >= this.limit) return false
    entries.push({ sequence: this.next++, address, state: "untold", sent: false })
    this.pending = true
    return true
  }

  /** `false`: it is not advertised. */
  remove(address: Address): boolean {
    const { entries } = this
    const entry = entries?.find((each) => isLive(each) && sameAddress(each.address, address))
    if (entry === undefined) return false
    if (!entry.sent) this.drop(entry)
    else if (entry.state === "telling") entry.state = "held"
    else this.put(entry, "withdrawn")
    return true
  }

  /** Writes what is pending as far as it fits. */
  write(w: ByteWriter, frames: SentFrameList): void {
    for (const entry of this.entries ?? []) {
      const { address, sequence, state } = entry
      if (state !== "untold" && state !== "withdrawn") continue
      if (w.remaining < ADDRESS_FRAME_LENGTH) return
      if (state === "untold") {
        entry.state = "telling"
        entry.sent = true
        writeAddAddress(w, sequence, addressToBytes(address), address.port)
        frames.add(SentFrameKind.addAddress).value = sequence
      } else {
        entry.state = "withdrawing"
        writeRemoveAddress(w, sequence)
        frames.add(SentFrameKind.removeAddress).value = sequence
      }
    }
    this.pending = false
  }

  onAcked(frame: SentFrame): void {
    const entry = this.entryOf(frame)
    if (entry === undefined) return
    if (frame.kind === SentFrameKind.removeAddress) this.drop(entry)
    else if (entry.state === "held") this.put(entry, "withdrawn")
    // Also one that was taken for lost before.
    else if (entry.state === "telling" || entry.state === "untold") entry.state = "told"
  }

  onLost(frame: SentFrame): void {
    const entry = this.entryOf(frame)
    if (entry === undefined) return
    if (frame.kind === SentFrameKind.removeAddress) {
      if (entry.state === "withdrawing") this.put(entry, "withdrawn")
    } else if (entry.state === "telling") this.put(entry, "untold")
    else if (entry.state === "held") this.put(entry, "withdrawn")
  }

  private entryOf({ value }: SentFrame): Entry | undefined {
    return this.entries?.find(({ sequence }) => sequence === value)
  }

  private put(entry: Entry, state: State): void {
    entry.state = state
    this.pending = true
  }

  private drop(entry: Entry): void {
    this.entries!.splice(this.entries!.indexOf(entry), 1)
  }
}

const isLive = ({ state }: Entry): boolean => state === "untold" || state === "telling" || state === "told"
