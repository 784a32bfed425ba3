/**
 * The samples of a burst side by side, so that one call of a block cipher makes all of its masks (RFC 9001 section
 * 5.4.2).
 */

/** Bytes of a sample. */
export const SAMPLE = 16

let scratch = new Uint8Array(64 * SAMPLE)

/** A view of the samples at `offsets[0..count)` of `bytes`, one after the other; it holds until the next call. */
export const gatherSamples = (bytes: Uint8Array, offsets: Int32Array, count: number): Uint8Array => {
  const length = count * SAMPLE
  if (length > scratch.length) scratch = new Uint8Array(2 * length)
  for (let i = 0, out = 0; i < count; i++) {
    const from = offsets[i]!
    for (let at = from; at < from + SAMPLE; at++) scratch[out++] = bytes[at]!
  }
  return scratch.subarray(0, length)
}
