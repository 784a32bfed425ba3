/**
 * The presentation language of TLS (RFC 8446 section 3): big-endian integers and vectors with a length in front.
 * Reading is strict: whatever does not fit ends the handshake with decode_error.
 */
import { Alert, abort } from "./Alerts.ts"

/** Reads one structure. Byte strings are views of what it was given. */
export class TlsReader {
  readonly #bytes: Uint8Array
  /** What is read, for messages: "ClientHello". */
  readonly #what: string
  #at = 0

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  /** An integer of 1 to 4 bytes. */
  uint(width: 1 | 2 | 3 | 4): number {
    if (width > this.remaining) this.fail("it is cut short")
    let value = 0
    for (let left = width; left > 0; left--) value = value * 256 + this.#bytes[this.#at++]!
    return value
  }

  take(length: number): Uint8Array {
    if (length > this.remaining) this.fail("it is cut short")
    const from = this.#at
    this.#at += length
    return this.#bytes.subarray(from, this.#at)
  }

  /** A vector whose length takes `width` bytes and is at least `min`. */
  vector(width: 1 | 2 | 3, min = 0): Uint8Array {
    const length = this.uint(width)
    if (length < min) this.fail("a part of it is too short")
    return this.take(length)
  }

  /** The same, to be read further. */
  nested(width: 1 | 2 | 3, min = 0): TlsReader {
    return new TlsReader(this.vector(width, min), this.#what)
  }

  /** A vector of 16-bit numbers, not empty. */
  uint16List(width: 1 | 2): Array<number> {
    const list = this.nested(width, 2)
    const values: Array<number> = []
    while (list.remaining > 0) values.push(list.uint(2))
    return values
  }

  /** Nothing may be left. */
  end(): void {
    if (this.remaining > 0) this.fail("it has bytes to spare")
  }

  fail(why: string): never {
    return abort(Alert.decodeError, `malformed ${this.#what}: ${why}`)
  }
}

/** Writes one structure into a buffer that grows. */
export class TlsWriter {
  #bytes = new Uint8Array(512)
  #at = 0

  uint(width: 1 | 2 | 3 | 4, value: number): this {
    this.#room(width)
    for (let shift = (width - 1) * 8; shift >= 0; shift -= 8) this.#bytes[this.#at++] = value >>> shift
    return this
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
    return this
  }

  /** A vector with a length of `width` bytes before what `write` writes. */
  vector(width: 1 | 2 | 3, write: (writer: this) => void): this {
    const start = this.#at
    this.uint(width, 0)
    write(this)
    const end = this.#at
    const length = end - start - width
    if (length >= 2 ** (width * 8)) abort(Alert.internalError, `${length} bytes do not fit a vector of TLS`)
    this.#at = start
    this.uint(width, length)
    this.#at = end
    return this
  }

  uint16List(width: 1 | 2, values: ReadonlyArray<number>): this {
    return this.vector(width, () => {
      for (const value of values) this.uint(2, value)
    })
  }

  /** What was written, in a buffer of its own. The writer begins anew. */
  finish(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#at)
    this.#at = 0
    return bytes
  }

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + length))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

/** The writer of the last structure, for the next one. */
let spare: TlsWriter | undefined

/** What `write` writes, as bytes. */
export const encode = (write: (writer: TlsWriter) => void): Uint8Array => {
  const writer = spare ?? new TlsWriter()
  // `write` may encode parts by itself.
  spare = undefined
  write(writer)
  const bytes = writer.finish()
  spare = writer
  return bytes
}
