/**
 * The one place where memory gets an address. Native code checks nothing, so these rules hold:
 *
 * - Structures that native code reads and writes lie in memory of this module, allocated outside V8's heap and referenced
 *   for the life of the process.
 * - Bytes of others are used by address only inside one synchronous call, while `addressOf` holds on to their buffer.
 *   Buffers do not move while they live. One that was detached (transferred) has views of length 0.
 * - Callers check every offset and length against the length of the view, in JavaScript, after they asked for the address
 *   and before the call.
 */
import { rawAddress } from "./Ffi.ts"

/** Memory for structures and its address. */
export interface Region {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly address: bigint
}

const regions: Array<Region> = []

/** Zeroed memory that is never freed: for what a thread needs once. */
export const permanentRegion = (size: number): Region => {
  const region = makeRegion(size)
  region.bytes.fill(0)
  regions.push(region)
  return region
}

/** Memory that lives as long as the region is referenced: who calls native code with its address must hold it meanwhile. */
export const makeRegion = (size: number): Region => {
  const bytes = Buffer.allocUnsafeSlow(size)
  return { bytes, address: rawAddress(bytes) }
}

const bases = new WeakMap<ArrayBufferLike, bigint>()

/** The view asked about last. Held, so that its memory outlives the call that the address is for. */
let pinned: Uint8Array = new Uint8Array(0)
let pinnedAddress = 0n

/**
 * The address of the first byte of a view, good until the next call of this function. Meaningless for an empty view, which
 * no length check lets pass.
 */
export const addressOf = (bytes: Uint8Array): bigint => (bytes === pinned ? pinnedAddress : pin(bytes))

const pin = (bytes: Uint8Array): bigint => {
  // Asking for the buffer moves the bytes of a small array out of V8's heap, where they would not stay in place.
  const buffer = bytes.buffer
  // Empty, or detached.
  if (buffer.byteLength === 0) return 0n
  let base = bases.get(buffer)
  if (base === undefined) {
    base = rawAddress(new Uint8Array(buffer))
    bases.set(buffer, base)
  }
  pinned = bytes
  pinnedAddress = base + BigInt(bytes.byteOffset)
  return pinnedAddress
}
