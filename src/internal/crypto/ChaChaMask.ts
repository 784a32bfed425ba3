/**
 * Header protection masks of ChaCha20 (RFC 9001 section 5.4.4, RFC 8439 section 2.3): one block of the cipher, of which
 * only the first two words are wanted. Additions, rotations and xors only, so it takes the same time for every key.
 */

const word = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

/** The eight key words of a 32-byte key, as `chachaMask` takes them. */
export const chachaKeyWords = (key: Uint8Array): Int32Array =>
  Int32Array.from({ length: 8 }, (_, i) => word(key, 4 * i))

/** Writes the mask of the 16-byte sample at `at` of `bytes` to `masks` from `out`: 8 bytes, of which the first 5 count. */
export const chachaMask = (key: Int32Array, bytes: Uint8Array, at: number, masks: Uint8Array, out: number): void => {
  let x0 = 0x61707865
  let x1 = 0x3320646e
  let x2 = 0x79622d32
  let x3 = 0x6b206574
  let x4 = key[0]!
  let x5 = key[1]!
  let x6 = key[2]!
  let x7 = key[3]!
  let x8 = key[4]!
  let x9 = key[5]!
  let x10 = key[6]!
  let x11 = key[7]!
  let x12 = word(bytes, at)
  let x13 = word(bytes, at + 4)
  let x14 = word(bytes, at + 8)
  let x15 = word(bytes, at + 12)
  let t = 0
  for (let round = 0; round < 10; round++) {
    x0 = (x0 + x4) | 0
    t = x12 ^ x0
    x12 = (t << 16) | (t >>> 16)
    x8 = (x8 + x12) | 0
    t = x4 ^ x8
    x4 = (t << 12) | (t >>> 20)
    x0 = (x0 + x4) | 0
    t = x12 ^ x0
    x12 = (t << 8) | (t >>> 24)
    x8 = (x8 + x12) | 0
    t = x4 ^ x8
    x4 = (t << 7) | (t >>> 25)
    x1 = (x1 + x5) | 0
    t = x13 ^ x1
    x13 = (t << 16) | (t >>> 16)
    x9 = (x9 + x13) | 0
    t = x5 ^ x9
    x5 = (t << 12) | (t >>> 20)
    x1 = (x1 + x5) | 0
    t = x13 ^ x1
    x13 = (t << 8) | (t >>> 24)
    x9 = (x9 + x13) | 0
    t = x5 ^ x9
    x5 = (t << 7) | (t >>> 25)
    x2 = (x2 + x6) | 0
    t = x14 ^ x2
    x14 = (t << 16) | (t >>> 16)
    x10 = (x10 + x14) | 0
    t = x6 ^ x10
    x6 = (t << 12) | (t >>> 20)
    x2 = (x2 + x6) | 0
    t = x14 ^ x2
    x14 = (t << 8) | (t >>> 24)
    x10 = (x10 + x14) | 0
    t = x6 ^ x10
    x6 = (t << 7) | (t >>> 25)
    x3 = (x3 + x7) | 0
    t = x15 ^ x3
    x15 = (t << 16) | (t >>> 16)
    x11 = (x11 + x15) | 0
    t = x7 ^ x11
    x7 = (t << 12) | (t >>> 20)
    x3 = (x3 + x7) | 0
    t = x15 ^ x3
    x15 = (t << 8) | (t >>> 24)
    x11 = (x11 + x15) | 0
    t = x7 ^ x11
    x7 = (t << 7) | (t >>> 25)
    x0 = (x0 + x5) | 0
    t = x15 ^ x0
    x15 = (t << 16) | (t >>> 16)
    x10 = (x10 + x15) | 0
    t = x5 ^ x10
    x5 = (t << 12) | (t >>> 20)
    x0 = (x0 + x5) | 0
    t = x15 ^ x0
    x15 = (t << 8) | (t >>> 24)
    x10 = (x10 + x15) | 0
    t = x5 ^ x10
    x5 = (t << 7) | (t >>> 25)
    x1 = (x1 + x6) | 0
    t = x12 ^ x1
    x12 = (t << 16) | (t >>> 16)
    x11 = (x11 + x12) | 0
    t = x6 ^ x11
    x6 = (t << 12) | (t >>> 20)
    x1 = (x1 + x6) | 0
    t = x12 ^ x1
    x12 = (t << 8) | (t >>> 24)
    x11 = (x11 + x12) | 0
    t = x6 ^ x11
    x6 = (t << 7) | (t >>> 25)
    x2 = (x2 + x7) | 0
    t = x13 ^ x2
    x13 = (t << 16) | (t >>> 16)
    x8 = (x8 + x13) | 0
    t = x7 ^ x8
    x7 = (t << 12) | (t >>> 20)
    x2 = (x2 + x7) | 0
    t = x13 ^ x2
    x13 = (t << 8) | (t >>> 24)
    x8 = (x8 + x13) | 0
    t = x7 ^ x8
    x7 = (t << 7) | (t >>> 25)
    x3 = (x3 + x4) | 0
    t = x14 ^ x3
    x14 = (t << 16) | (t >>> 16)
    x9 = (x9 + x14) | 0
    t = x4 ^ x9
    x4 = (t << 12) | (t >>> 20)
    x3 = (x3 + x4) | 0
    t = x14 ^ x3
    x14 = (t << 8) | (t >>> 24)
    x9 = (x9 + x14) | 0
    t = x4 ^ x9
    x4 = (t << 7) | (t >>> 25)
  }
  const first = (x0 + 0x61707865) | 0
  const second = (x1 + 0x3320646e) | 0
  masks[out] = first
  masks[out + 1] = first >>> 8
  masks[out + 2] = first >>> 16
  masks[out + 3] = first >>> 24
  masks[out + 4] = second
  masks[out + 5] = second >>> 8
  masks[out + 6] = second >>> 16
  masks[out + 7] = second >>> 24
}
