/**
 * Header protection over bursts (RFC 9001 section 5.4), and the whole of what a packet needs before it leaves.
 */
import type { HeaderKey, PacketKey } from "./Protection.ts"
import type { PacketBurst } from "./PacketBurst.ts"
import { SAMPLE } from "./Samples.ts"

/** From the packet number to its sample, whatever the length of the number (RFC 9001 section 5.4.2). */
export const SAMPLE_OFFSET = 4

// Shared by all keys: nothing here is left half done.
let offsets = new Int32Array(64)
let masks = new Uint8Array(64 * SAMPLE)

const makeMasks = (burst: PacketBurst, from: number, to: number, header: HeaderKey): void => {
  const count = to - from
  if (count > offsets.length) {
    offsets = new Int32Array(2 * count)
    masks = new Uint8Array(2 * count * SAMPLE)
  }
  for (let i = 0; i < count; i++) offsets[i] = burst.pnOffset[from + i]! + SAMPLE_OFFSET
  header.masks(burst.slab, offsets, count, masks)
}

/** The bits of the first byte that are protected: 4 in a long header, 5 in a short one. */
const firstByteMask = (first: number): number => ((first & 0x80) === 0 ? 0x1f : 0x0f)

/**
 * Seals packets `from` (inclusive) to `to` (exclusive) in place and protects their headers, all of them with the same
 * keys. A packet's number and payload are at least 4 bytes together, so that there is a sample.
 */
export const protect = (burst: PacketBurst, from: number, to: number, key: PacketKey, header: HeaderKey): void => {
  key.seal(burst, from, to)
  makeMasks(burst, from, to, header)
  const slab = burst.slab
  for (let i = from, mask = 0; i < to; i++, mask += SAMPLE) {
    const start = burst.start[i]!
    const first = slab[start]!
    slab[start] = first ^ (masks[mask]! & firstByteMask(first))
    const pn = burst.pnOffset[i]!
    const length = burst.pnLength[i]!
    for (let k = 0; k < length; k++) slab[pn + k]! ^= masks[mask + 1 + k]!
  }
}

/**
 * Removes header protection from packets `from` (inclusive) to `to` (exclusive) in place: the first byte and the packet
 * number become readable, `pnLength` is set, and `packetNumber` holds the TRUNCATED number, of `pnLength` bytes. A packet
 * must reach 20 bytes beyond its `pnOffset`; shorter ones are the caller's to drop.
 */
export const unprotectHeaders = (burst: PacketBurst, from: number, to: number, header: HeaderKey): void => {
  makeMasks(burst, from, to, header)
  const slab = burst.slab
  for (let i = from, mask = 0; i < to; i++, mask += SAMPLE) {
    const start = burst.start[i]!
    const protectedFirst = slab[start]!
    const first = protectedFirst ^ (masks[mask]! & firstByteMask(protectedFirst))
    slab[start] = first
    const pn = burst.pnOffset[i]!
    const length = (first & 0x03) + 1
    let truncated = 0
    for (let k = 0; k < length; k++) {
      const byte = slab[pn + k]! ^ masks[mask + 1 + k]!
      slab[pn + k] = byte
      truncated = truncated * 256 + byte
    }
    burst.pnLength[i] = length
    burst.packetNumber[i] = truncated
  }
}
