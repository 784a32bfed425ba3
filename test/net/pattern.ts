/** The bytes of every transfer: made up, always the same, and of a period that no packet size divides. */

const LENGTH = 1_048_573

export const PATTERN = Buffer.alloc(LENGTH)
let state = 0x2545f491
for (let i = 0; i < LENGTH; i++) {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  PATTERN[i] = state & 0xff
}

/** The bytes from `offset` on: `length` of them, or fewer at the end of a period. */
export const patternAt = (offset: number, length: number): Uint8Array => {
  const from = offset % LENGTH
  if (from + length <= LENGTH) return new Uint8Array(PATTERN.subarray(from, from + length))
  return new Uint8Array(Buffer.concat([PATTERN.subarray(from), PATTERN.subarray(0, from + length - LENGTH)]))
}
