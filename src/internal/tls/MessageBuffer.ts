/** Cuts the handshake bytes of one encryption level into messages, however they were split on the way. */
import { MESSAGE_HEADER } from "./Messages.ts"

const NO_BYTES = new Uint8Array(0)

export class MessageBuffer {
  readonly #admit: (type: number, length: number) => void
  #bytes = NO_BYTES
  #from = 0
  #to = 0

  /** `admit` throws for a message that is not wanted or too long, as soon as its header is here: nothing of it is kept. */
  constructor(admit: (type: number, length: number) => void) {
    this.#admit = admit
  }

  /** Whether a message has begun and not ended. */
  get pending(): boolean {
    return this.#to > this.#from
  }

  /** Copies what came. */
  push(bytes: Uint8Array): void {
    const held = this.#to - this.#from
    if (this.#to + bytes.length > this.#bytes.length) {
      // Doubling keeps the cost linear for a peer that sends single bytes.
      const grown = new Uint8Array(Math.max(1024, held * 2, held + bytes.length))
      grown.set(this.#bytes.subarray(this.#from, this.#to))
      this.#bytes = grown
      this.#from = 0
      this.#to = held
    }
    this.#bytes.set(bytes, this.#to)
    this.#to += bytes.length
  }

  /** The next whole message with its header, in a buffer of its own; undefined while there is none. */
  next(): Uint8Array | undefined {
    const from = this.#from
    if (this.#to - from < MESSAGE_HEADER) return undefined
    const bytes = this.#bytes
    const length = (bytes[from + 1]! << 16) | (bytes[from + 2]! << 8) | bytes[from + 3]!
    this.#admit(bytes[from]!, length)
    const end = from + MESSAGE_HEADER + length
    if (end > this.#to) return undefined
    this.#from = end
    const message = bytes.slice(from, end)
    if (end === this.#to) {
      // Connections live long after their last message: nothing is kept for a next one.
      this.#bytes = NO_BYTES
      this.#from = this.#to = 0
    }
    return message
  }
}
