/** Packet numbers on the wire (RFC 9000 section 17.1, appendix A.2 and A.3), as numbers. */
import { MAX_SAFE } from "./Cursor.ts"
import type { ByteWriter } from "./Cursor.ts"

/**
 * Bytes to send `packetNumber` in, so that a receiver that has everything up to `largestAcked` (-1: nothing) reads it right
 * (A.2).
 */
export const packetNumberLength = (packetNumber: number, largestAcked: number): 1 | 2 | 3 | 4 => {
  const unacknowledged = packetNumber - largestAcked
  return unacknowledged <= 0x80 ? 1 : unacknowledged <= 0x8000 ? 2 : unacknowledged <= 0x80_0000 ? 3 : 4
}

/** The full packet number of `truncated`, closest to the one after `largestReceived` (-1: none yet) (A.3). */
export const decodePacketNumber = (truncated: number, length: number, largestReceived: number): number => {
  const expected = largestReceived + 1
  const window = 2 ** (8 * length)
  // Bitwise operators take numbers modulo 2^32, also those above it.
  const low = length === 4 ? expected >>> 0 : expected & (window - 1)
  const candidate = expected - low + truncated
  if (candidate <= expected - window / 2 && candidate + window <= MAX_SAFE) return candidate + window
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window
  return candidate
}

/** Reads the truncated packet number of `length` bytes at `at`, its protection removed. */
export const readPacketNumber = (bytes: Uint8Array, at: number, length: number): number => {
  let value = bytes[at]!
  for (let i = 1; i < length; i++) value = value * 256 + bytes[at + i]!
  return value
}

/** Writes the low `length` bytes of `packetNumber`. */
export const writePacketNumber = (w: ByteWriter, packetNumber: number, length: number): void => {
  const { bytes, position } = w
  for (let i = 0; i < length; i++) bytes[position + i] = packetNumber >>> (8 * (length - 1 - i))
  w.position = position + length
}
