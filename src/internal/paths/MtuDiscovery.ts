/**
 * Datagram packetization layer path MTU discovery (RFC 8899, RFC 9000 section 14.3): probes for larger packets, and a way
 * back when a path that carried them no longer does.
 */

/** Probes of one size that may be lost before the size counts as too large (RFC 8899 section 5.1.2: MAX_PROBES). */
const MAX_LOSSES = 3
/** Rounds in which large packets alone were lost, after which the path no longer carries them (RFC 8899 section 4.3). */
const BLACK_HOLE_ROUNDS = 3
/** The same where so many of them were lost and none came through: no random loss does that. */
const CLEAR_ROUNDS = 2
const CLEAR_LOSSES = 6
/** Search ends when the answer is known this exactly, bytes. */
const PRECISION = 16

export class MtuDiscovery {
  /** Packet size that is known to pass. */
  current: number
  /** What every way carries, and the peer takes. */
  base: number
  /** Where the search stops. */
  private largest: number
  private upper: number
  private readonly enabled: boolean
  private probing = 0
  private losses = 0
  private inFlight = false
  private searching: boolean
  private blackHoleRounds = 0
  /** Packets above the base size that were lost since one was acknowledged. */
  private largeLost = 0
  /** The smallest of them, in bytes: a smaller packet that comes through says nothing about it. */
  private smallestLost = Infinity
  /** Newest packet above the base size that was acknowledged, its size, and the first one of the next round of losses. */
  private largeAcked = -1
  private ackedSize = 0
  private roundFrom = 0

  constructor(initial: number, max: number, enabled: boolean) {
    this.base = initial
    this.current = initial
    this.largest = Math.max(initial, max)
    this.upper = this.largest
    this.enabled = enabled
    this.searching = enabled && this.upper > initial
  }

  /** Another network is behind the path now: what was learnt may not hold there. */
  restart(): void {
    this.current = this.base
    this.upper = this.largest
    this.probing = this.losses = this.blackHoleRounds = this.largeLost = 0
    this.smallestLost = Infinity
    this.inFlight = false
    this.searching = this.enabled && this.upper > this.base
  }

  /** The peer's max_udp_payload_size bounds the search. */
  limit(max: number): void {
    // Below what was taken to pass everywhere: the peer drops what is larger (RFC 9000 section 18.2).
    if (max < this.base) this.base = max
    if (max < this.current) this.current = max
    this.largest = Math.max(this.base, Math.min(this.largest, max))
    this.upper = Math.max(this.base, Math.min(this.upper, max))
    this.searching = this.enabled && this.upper - this.current > 0
    if (this.probing > this.upper) this.probing = 0
  }

  /** Size of the probe to send now; 0: none. The first try is the largest size: it is usually right. */
  nextProbe(): number {
    if (!this.searching || this.inFlight) return 0
    if (this.probing === 0) this.probing = this.upper
    return this.probing
  }

  onProbeSent(): void {
    this.inFlight = true
  }

  onProbeAcked(size: number): void {
    this.inFlight = false
    this.losses = 0
    if (size > this.current) this.current = size
    this.next()
  }

  onProbeLost(size: number): void {
    this.inFlight = false
    if (size !== this.probing) return
    this.losses++
    if (this.losses < MAX_LOSSES) return
    this.losses = 0
    this.upper = size - 1
    this.next()
  }

  /** A packet that is not a probe was acknowledged. A large one shows that the path still carries such and smaller ones. */
  onPacketAcked(packetNumber: number, bytes: number): void {
    if (bytes <= this.base || packetNumber <= this.largeAcked) return
    this.largeAcked = packetNumber
    this.ackedSize = bytes
    if (this.largeLost > 0 && bytes < this.smallestLost) return
    this.blackHoleRounds = this.largeLost = 0
    this.smallestLost = Infinity
  }

  /**
   * A packet that is not a probe was lost; `next` is the number of the next one to be sent. Random loss takes small packets
   * too and lets large ones through; where only large ones get lost, round after round, nothing of their size passes.
   * `true`: the size has fallen.
   */
  onPacketLost(packetNumber: number, bytes: number, next: number): boolean {
    if (bytes <= this.base || bytes > this.current) return false
    if (packetNumber < this.largeAcked && bytes <= this.ackedSize) return false
    this.largeLost++
    this.smallestLost = Math.min(this.smallestLost, bytes)
    if (packetNumber >= this.roundFrom) {
      this.roundFrom = next
      this.blackHoleRounds++
    }
    return this.isBlackHole() && this.fall()
  }

  /** A probe timeout. `large`: more than a packet of the base size is outstanding. `true`: the size has fallen. */
  onTimeout(large: boolean): boolean {
    if (!large || this.current <= this.base) return false
    this.blackHoleRounds++
    return this.isBlackHole() && this.fall()
  }

  private isBlackHole(): boolean {
    return this.blackHoleRounds >= (this.largeLost >= CLEAR_LOSSES ? CLEAR_ROUNDS : BLACK_HOLE_ROUNDS)
  }

  private fall(): boolean {
    // The path may only have been down: the size that it carried is searched for again, from above.
    this.upper = this.current
    this.current = this.base
    this.blackHoleRounds = this.largeLost = this.losses = this.probing = 0
    this.smallestLost = Infinity
    this.inFlight = false
    this.searching = this.enabled && this.upper > this.current
    return true
  }

  private next(): void {
    const gap = this.upper - this.current
    this.searching = this.enabled && gap > 0 && (gap >= PRECISION || this.probing === 0)
    this.probing = this.searching ? this.current + Math.ceil(gap / 2) : 0
  }
}
