/**
 * Path validation (RFC 9000 section 8.2): a challenge that repeats with growing intervals until the response arrives or
 * the attempt is given up.
 */

export const CHALLENGE_LENGTH = 8
/** Challenges that are remembered: a response to any of them counts. */
const MAX_OUTSTANDING = 8
/** Probe timeouts after which an attempt is given up (section 8.2.4): those of the larger RTT, see `start`. */
export const VALIDATION_PTOS = 3

interface Challenge {
  readonly data: Uint8Array
  readonly expanded: boolean
}

export class PathValidation {
  private readonly random: (length: number) => Uint8Array
  private readonly sent: Array<Challenge> = []
  private interval = 0
  private timeout = 0
  private giveUpAt = Infinity
  /** Whether a challenge of this attempt has left. */
  private asked = false
  /** Attempts in a row that came to nothing. */
  failures = 0
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
    return this.deadline !== Infinity
  }

  /**
   * Starts, or starts over for another address. `interval`: ms until the challenge is repeated, then twice that, up to a PTO
   * of `slowest`, which is the longest that the new way is taken to need: the larger PTO of the old RTT and the initial one.
   * Three of these decide (section 8.2.4).
   */
  start(now: number, interval: number, slowest: number): void {
    this.sent.length = 0
    this.timeout = VALIDATION_PTOS * slowest
    this.interval = Math.min(interval, slowest)
    this.expanded = this.asked = false
    this.pending = this.random(CHALLENGE_LENGTH)
    this.deadline = this.giveUpAt = now + this.timeout
  }

  /** Another attempt after one that came to nothing, with as few challenges as may be. */
  retry(now: number): void {
    const slowest = this.timeout / VALIDATION_PTOS
    this.start(now, slowest, slowest)
  }

  stop(): void {
    this.pending = undefined
    this.deadline = this.giveUpAt = Infinity
    this.sent.length = 0
  }

  /** The pending challenge has left. The clock of the attempt starts with the first one, not when it was asked for. */
  onSent(now: number, expanded: boolean): void {
    if (this.pending === undefined) return
    if (this.sent.length === MAX_OUTSTANDING) this.sent.shift()
    this.sent.push({ data: this.pending, expanded })
    this.pending = undefined
    if (!this.asked) this.giveUpAt = now + this.timeout
    this.asked = true
    this.deadline = Math.min(now + this.interval, this.giveUpAt)
    this.interval = Math.min(this.interval * 2, this.timeout / VALIDATION_PTOS)
  }

  /**
   * The deadline has passed. `false`: validation failed. One that could not even ask, for the 3x limit or for want of a
   * connection ID, comes to an end as well.
   */
  onTimeout(now: number): boolean {
    if (now >= this.giveUpAt) {
      this.stop()
      this.failures++
      return false
    }
    this.pending = this.random(CHALLENGE_LENGTH)
    this.deadline = this.giveUpAt
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
        this.failures = 0
        this.stop()
        return true
      }
    }
    return false
  }
}
