/**
 * Path validation (RFC 9000 section 8.2): a challenge that repeats with growing intervals until the response arrives or
 * the attempt is given up.
 */

export const CHALLENGE_LENGTH = 8
/** Challenges that may be outstanding: a response to any of them counts. */
const MAX_ATTEMPTS = 8
const MAX_INTERVAL = 2000

interface Challenge {
  readonly data: Uint8Array
  readonly expanded: boolean
}

export class PathValidation {
  private readonly random: (length: number) => Uint8Array
  private readonly sent: Array<Challenge> = []
  private attempts = 0
  private interval = 0
  /** When the next challenge is due or the attempt fails; Infinity when there is nothing to do. */
  deadline = Infinity
  /** The challenge to send, if one is due. */
  pending: Uint8Array | undefined = undefined
  /** Whether the datagram of the challenge that is answered was expanded to 1200 bytes: then the size is proven too. */
  expanded = false

  constructor(random: (length: number) => Uint8Array) {
    this.random = random
  }

  get running(): boolean {
    return this.pending !== undefined || this.deadline !== Infinity
  }

  /** Starts, or starts over for another address. `interval` is a PTO in ms. */
  start(interval: number): void {
    this.sent.length = 0
    this.attempts = 0
    this.interval = Math.min(interval, MAX_INTERVAL)
    this.expanded = false
    this.pending = this.random(CHALLENGE_LENGTH)
    this.deadline = Infinity
  }

  stop(): void {
    this.pending = undefined
    this.deadline = Infinity
    this.sent.length = 0
  }

  /** The pending challenge has left. The clock of the attempt starts here, not when it was asked for. */
  onSent(now: number, expanded: boolean): void {
    if (this.pending === undefined) return
    this.sent.push({ data: this.pending, expanded })
    this.pending = undefined
    this.attempts++
    if (this.deadline === Infinity) {
      this.deadline = now + this.interval
      this.interval = Math.min(this.interval * 2, MAX_INTERVAL)
    }
  }

  /** The deadline has passed. `false`: validation failed. */
  onTimeout(now: number): boolean {
    // A challenge that could not leave, for the 3x limit, is an attempt too: this must come to an end (section 8.2.4).
    if (this.pending !== undefined) this.attempts++
    if (this.attempts >= MAX_ATTEMPTS) {
      this.stop()
      return false
    }
    this.pending = this.random(CHALLENGE_LENGTH)
    this.deadline = now + this.interval
    this.interval = Math.min(this.interval * 2, MAX_INTERVAL)
    return true
  }

  /** A PATH_RESPONSE with the eight bytes at `start`. `true`: it answers one of ours, the path is valid. */
  onResponse(bytes: Uint8Array, start: number): boolean {
    for (const challenge of this.sent) {
      let equal = true
      for (let i = 0; i < CHALLENGE_LENGTH; i++) {
        if (challenge.data[i] !== bytes[start + i]) {
          equal = false
          break
        }
      }
      if (equal) {
        this.expanded = challenge.expanded
        this.stop()
        return true
      }
    }
    return false
  }
}
