/** Cuts the handshake bytes of one encryption level into messages, however they were split on the way. */
import { Alert, abort } from "./Alerts.ts"
import { MESSAGE_HEADER, messageName } from "./Messages.ts"

const NO_BYTES = new Uint8Array(0)

export class MessageBuffer {
  readonly #maxMessage: number
  #bytes = NO_BYTES
  #from = 0
  #to = 0

  /** `maxMessage`: the most bytes that the body of a message may have. */
  constructor(maxMessage: number) {
    this.#maxMessage = maxMessage
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
    if (length > this.#maxMessage) {
      abort(
        Alert.illegalParameter,
        `${messageName(bytes[from]!)} has ${length} bytes, above the limit of ${this.#maxMessage}`
      )
    }
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
