/**
 * Reproducible randomness for tests: with the same seed, an endpoint under `TestClock` sends the same bytes in every run.
 * Nothing it makes is secret. Never use it outside of tests.
 *
 * @module
 * @since 0.1.0
 */
import { Layer } from "effect"
import { RandomBytes } from "../internal/runtime/Random.ts"
import type { RandomSource } from "../internal/runtime/Random.ts"
import { seedOf } from "./internal/FaceOptions.ts"

export { RandomBytes, type RandomSource }

/**
 * A source of bytes from a seed (sfc32), a whole number of which 32 bits count. Throws a `QuicError` (`BadConfig`) for anything else.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (given: number): RandomSource => {
  const seed = seedOf(given ?? null)
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = 0xb7e15162 ^ seed
  let counter = seed | 0
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return sum
  }
  // The first outputs of nearby seeds look alike.
  for (let i = 0; i < 16; i++) next()
  return (length) => {
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; at++) bytes[at] = next() & 0xff
    return bytes
  }
}

/**
 * Replaces the randomness of every endpoint built under it. A wrong seed is a defect, as in `make`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (seed: number): Layer.Layer<never> => Layer.sync(RandomBytes, () => make(seed))
