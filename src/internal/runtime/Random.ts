/**
 * Random bytes for connection IDs, tokens, reset keys and challenges. Secure by default; replaced as a whole where a run
 * must be reproducible.
 */
import { Context } from "effect"
import { randomFillSync } from "node:crypto"

/**
 * Gives `length` fresh bytes that the caller owns.
 *
 * @category models
 * @since 0.1.0
 */
export type RandomSource = (length: number) => Uint8Array

const POOL = 4096

/** One call to the system's generator costs as much as 4 KB from it, so bytes are drawn in pools. */
export const makeSecureRandom = (): RandomSource => {
  const pool = Buffer.allocUnsafeSlow(POOL)
  let used = POOL
  return (length) => {
    const bytes = new Uint8Array(length)
    if (length > POOL / 4) return randomFillSync(bytes)
    if (used + length > POOL) {
      randomFillSync(pool)
      used = 0
    }
    const end = used + length
    for (let i = used, at = 0; i < end; i++, at++) bytes[at] = pool[i]!
    // What became a key must not be found here later.
    pool.fill(0, used, end)
    used = end
    return bytes
  }
}

/** A number in [0, 1) with 32 random bits. */
export const randomNumber = (source: RandomSource): number => {
  const bytes = source(4)
  return (((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0) / 4294967296
}

/**
 * Where the randomness of endpoints comes from: the secure generator of the system, unless replaced. For tests.
 *
 * @category references
 * @since 0.1.0
 */
export const RandomBytes: Context.Reference<RandomSource> = Context.Reference<RandomSource>(
  "effect-mpquic/RandomBytes",
  { defaultValue: makeSecureRandom }
)
