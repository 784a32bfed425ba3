/**
 * What crosses between implementations: a block of 65,521 bytes (a prime, so that a piece at a wrong place shows) over and
 * over. Every peer program makes the same bytes by itself.
 */
import { createHash } from "node:crypto"

export const BLOCK = 65_521

export const block = new Uint8Array(BLOCK)
for (let i = 0; i < BLOCK; i++) block[i] = (i * i + 31 * i) % 251

/** The pattern's first `length` bytes, in pieces of at most a block. */
export function* pieces(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= BLOCK) yield left >= BLOCK ? block : block.subarray(0, left)
}

/** SHA-256, in hex, of the pattern's first `length` bytes. */
export const patternHash = (length: number): string => {
  const hash = createHash("sha256")
  for (const piece of pieces(length)) hash.update(piece)
  return hash.digest("hex")
}
