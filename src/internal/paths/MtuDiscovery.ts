/**
 * Datagram packetization layer path MTU discovery (RFC 8899, RFC 9000 section 14.3): probes for larger packets, and a way
 * back when a path that carried them no longer does.
 */

const MAX_LOSSES = 3
/** Search ends when the answer is known this exactly, bytes. */
const PRECISION = 16

export class MtuDiscovery {
  /** Packet size that is known to pass. */
  current: number
  /** What every way carries. */
  readonly base: number
  /** Where the search stops. */
  private largest: number
  private upper: number
  private readonly enabled: boolean
  private probing = 0
  private losses = 0
  private inFlight = false
  private searching: boolean
  private blackHoleLosses = 0

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
    this.probing = this.losses = this.blackHoleLosses = 0
    this.inFlight = false
    this.searching = this.enabled && this.upper > this.base
  }

  /** The peer's max_udp_payload_size bounds the search. */
  limit(max: number): void {
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

  /** A packet larger than the base size was acknowledged: the path still carries it. */
  onLargeAcked(): void {
    this.blackHoleLosses = 0
  }

  /** A probe timeout while sending larger packets than the base: after a few in a row the size falls back (RFC 8899 section 4.3). */
  onTimeout(): void {
    if (this.current <= this.base) return
    this.blackHoleLosses++
    if (this.blackHoleLosses >= MAX_LOSSES) {
      this.upper = this.current - 1
      this.current = this.base
      this.blackHoleLosses = 0
      this.losses = 0
      this.probing = 0
      this.next()
    }
  }

  private next(): void {
    const gap = this.upper - this.current
    this.searching = this.enabled && gap > 0 && (gap >= PRECISION || this.probing === 0)
    this.probing = this.searching ? this.current + Math.ceil(gap / 2) : 0
  }
}
