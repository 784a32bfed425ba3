/**
 * Reading and writing in place, at an offset of a larger buffer. Variable-length integers as in RFC 9000 section 16,
 * as numbers: no BigInt.
 */

/** Largest value a variable-length integer carries exactly here. Larger ones read as inexact numbers above it. */
export const MAX_SAFE = Number.MAX_SAFE_INTEGER

const TWO_32 = 0x1_0000_0000

/**
 * A number as a variable-length integer can say it: a caller's code that is none (negative, not whole, NaN, too large), or
 * one of the peer that was read inexactly, must not become another value on the wire.
 */
export const sendable = (value: number): number => (value >= 0 ? Math.min(Math.floor(value), MAX_SAFE) : 0)

/** Bytes that `value` takes as a variable-length integer: 1, 2, 4 or 8. */
export const varintLength = (value: number): 1 | 2 | 4 | 8 =>
  value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x4000_0000 ? 4 : 8

/**
 * A cursor over received bytes. Reads past `end` give 0 and set `failed`; nothing throws, so a parser checks once at the
 * end of a frame. Reused for every packet.
 */
export class ByteReader {
  bytes: Uint8Array
  position: number
  end: number
  failed = false

  constructor(bytes: Uint8Array = new Uint8Array(0), position = 0, end = bytes.length) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }

  reset(bytes: Uint8Array, position: number, end: number): this {
    this.bytes = bytes
    this.position = position
    this.end = end
    this.failed = false
    return this
  }

  get remaining(): number {
    return this.end - this.position
  }

  uint8(): number {
    if (this.position >= this.end) {
      this.failed = true
      return 0
    }
    return this.bytes[this.position++]!
  }

  uint16(): number {
    if (this.position + 2 > this.end) return this.fail()
    const { bytes, position } = this
    this.position = position + 2
    return (bytes[position]! << 8) | bytes[position + 1]!
  }

  uint24(): number {
    if (this.position + 3 > this.end) return this.fail()
    const { bytes, position } = this
    this.position = position + 3
    return (bytes[position]! << 16) | (bytes[position + 1]! << 8) | bytes[position + 2]!
  }

  uint32(): number {
    if (this.position + 4 > this.end) return this.fail()
    const { bytes, position } = this
    this.position = position + 4
    return (
      bytes[position]! * 0x100_0000 +
      ((bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!)
    )
  }

  /** A variable-length integer. Values above 2^53-1 are inexact but stay above `MAX_SAFE`. */
  varint(): number {
    const at = this.position
    if (at >= this.end) return this.fail()
    const bytes = this.bytes
    const first = bytes[at]!
    if (first < 0x40) {
      this.position = at + 1
      return first
    }
    if (first < 0x80) {
      if (at + 2 > this.end) return this.fail()
      this.position = at + 2
      return ((first & 0x3f) << 8) | bytes[at + 1]!
    }
    if (first < 0xc0) {
      if (at + 4 > this.end) return this.fail()
      this.position = at + 4
      return ((first & 0x3f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
    }
    if (at + 8 > this.end) return this.fail()
    this.position = at + 8
    const high = ((first & 0x3f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
    const low = ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0
    return high * TWO_32 + low
  }

  /** Moves on by `length` and gives the position before; fails when there is not so much left. */
  skip(length: number): number {
    const at = this.position
    if (length > this.end - at) {
      this.failed = true
      return at
    }
    this.position = at + length
    return at
  }

  /** A view of the next `length` bytes, not a copy. */
  view(length: number): Uint8Array {
    const at = this.skip(length)
    return this.failed ? this.bytes.subarray(at, at) : this.bytes.subarray(at, at + length)
  }

  private fail(): 0 {
    this.failed = true
    return 0
  }
}

/**
 * A cursor that writes in place. Callers check `remaining` first; `end` is where the packet must stop (room for the AEAD
 * tag is already taken off). Reused for every packet.
 */
export class ByteWriter {
  bytes: Uint8Array
  position: number
  end: number

  constructor(bytes: Uint8Array = new Uint8Array(0), position = 0, end = bytes.length) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }

  reset(bytes: Uint8Array, position: number, end: number): this {
    this.bytes = bytes
    this.position = position
    this.end = end
    return this
  }

  get remaining(): number {
    return this.end - this.position
  }

  uint8(value: number): void {
    this.bytes[this.position++] = value
  }

  uint16(value: number): void {
    const { bytes, position } = this
    bytes[position] = value >>> 8
    bytes[position + 1] = value
    this.position = position + 2
  }

  uint24(value: number): void {
    const { bytes, position } = this
    bytes[position] = value >>> 16
    bytes[position + 1] = value >>> 8
    bytes[position + 2] = value
    this.position = position + 3
  }

  uint32(value: number): void {
    const { bytes, position } = this
    bytes[position] = value >>> 24
    bytes[position + 1] = value >>> 16
    bytes[position + 2] = value >>> 8
    bytes[position + 3] = value
    this.position = position + 4
  }

  varint(value: number): void {
    const bytes = this.bytes
    let at = this.position
    if (value < 0x40) {
      bytes[at++] = value
    } else if (value < 0x4000) {
      bytes[at++] = 0x40 | (value >>> 8)
      bytes[at++] = value
    } else if (value < 0x4000_0000) {
      bytes[at++] = 0x80 | (value >>> 24)
      bytes[at++] = value >>> 16
      bytes[at++] = value >>> 8
      bytes[at++] = value
    } else {
      const high = Math.floor(value / TWO_32)
      const low = value >>> 0
      bytes[at++] = 0xc0 | (high >>> 24)
      bytes[at++] = high >>> 16
      bytes[at++] = high >>> 8
      bytes[at++] = high
      bytes[at++] = low >>> 24
      bytes[at++] = low >>> 16
      bytes[at++] = low >>> 8
      bytes[at++] = low
    }
    this.position = at
  }

  /** Always two bytes (values below 16384): for lengths that are filled in later. */
  varint2(value: number): void {
    this.bytes[this.position++] = 0x40 | (value >>> 8)
    this.bytes[this.position++] = value
  }

  copy(source: Uint8Array): void {
    this.bytes.set(source, this.position)
    this.position += source.length
  }

  copyRange(source: Uint8Array, from: number, to: number): void {
    this.bytes.set(source.subarray(from, to), this.position)
    this.position += to - from
  }
}

/**
 * Whether the variable-length integer that ends at `end`, read as `value`, is above 2^60: the most streams there can be
 * (RFC 9000 section 4.6). Numbers around 2^60 round to it from both sides, so there the bytes decide.
 */
export const aboveMaxStreams = (value: number, bytes: Uint8Array, end: number): boolean =>
  value > 2 ** 60 ||
  (value === 2 ** 60 &&
    bytes[end - 8] === 0xd0 &&
    (bytes[end - 3] !== 0 || bytes[end - 2] !== 0 || bytes[end - 1] !== 0))
