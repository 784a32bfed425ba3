import type { DeliveryColumns } from "../congestion/DeliverySampler.ts"
import type { LostPackets } from "./LostPackets.ts"
import type { SentFrame } from "./SentFrames.ts"

/** Bits of `SentPackets.flags`. 0 is a number that was skipped, or whose packet was forgotten or lost. */
export const PacketFlag = {
  outstanding: 1,
  acked: 2,
  ackEliciting: 4,
  /** Counts in `bytesInFlight` of the path. */
  inFlight: 8,
  /** Was marked ECT(0). */
  ecn: 16,
  /** Its content was asked for again while it was outstanding: its loss asks for nothing more. */
  copied: 32
} as const

/** Quiet connections send few packets, and V8 keeps typed arrays this small in its own heap. */
const FIRST_CAPACITY = 8
/** Below this capacity a ring grows even for packets that may never be acknowledged. */
export const USUAL_CAPACITY = 64
const MAX_CAPACITY = 2 ** 17
/** Room kept for probes and control packets once `isFull` stops data. */
const RESERVE = 1024

/** Gaps between skipped packet numbers: the first on average, and how far they grow. */
const FIRST_SKIP_PERIOD = 256
const MAX_SKIP_PERIOD = 2 ** 17
/** Skipped numbers remembered: an acknowledgement of an older one would have to come very late. */
const SKIPS_KEPT = 4

// To copy: that is several times faster than making one.
const noFrames = Array.from<SentFrame | undefined>({ length: FIRST_CAPACITY })
const noSkips = Array.from({ length: SKIPS_KEPT }, () => -1)

/**
 * The packets of one space that are neither acknowledged nor lost: a ring of columns, where packet number `n` sits at
 * `n & mask`. `base` is the lowest number of interest: everything below is settled. Slots outside `base` to `next` have no
 * flags. The columns are open because `PathRecovery` runs over them once per packet.
 */
export class SentPackets {
  /** ms. */
  timeSent = new Float64Array(FIRST_CAPACITY)
  /**
   * Bytes of the UDP payload that the packet took. Once it is acknowledged: how many numbers from its own on are settled, as
   * far as is known.
   */
  size = new Int32Array(FIRST_CAPACITY)
  flags = new Uint8Array(FIRST_CAPACITY)
  frames: Array<SentFrame | undefined> = noFrames.slice()
  mask = FIRST_CAPACITY - 1
  /** Lowest packet number that may be outstanding. */
  base = 0
  /** The number after the last one used. */
  next = 0
  /** -1 before the first acknowledgement. */
  largestAcked = -1
  /** When the oldest outstanding packet will count as lost by time; Infinity if none will. */
  lossTime = Infinity
  lastAckElicitingTime = -Infinity
  ackElicitingOutstanding = 0
  /** ms: nothing that left since then has been acknowledged, and something waits to be. */
  waitingSince = 0
  /** Packets sent since the last ack-eliciting one: after many, the next acknowledgement wants a PING beside it. */
  sinceAckEliciting = 0
  /** Send time of the first packet of the current run of consecutive losses; NaN if none (RFC 9002 section 7.6.2). */
  lossRunStart = Number.NaN
  /** Only packets from this number on give RTT samples: earlier ones went to another address. */
  firstSampled = 0
  /** Where the controller asks for samples of the delivery rate. */
  delivery: DeliveryColumns | undefined = undefined
  /** Made by the first loss. */
  lost: LostPackets | undefined = undefined

  private readonly random: (() => number) | undefined
  private readonly skipped: Array<number> = noSkips.slice()
  private skipIndex = 0
  private skipPeriod = FIRST_SKIP_PERIOD
  private nextSkip = Infinity

  /** With `random` (0 up to 1), packet numbers are skipped now and then against optimistic acknowledgement (RFC 9000 section 21.4). */
  constructor(random?: () => number) {
    this.random = random
    if (random !== undefined) this.planSkip(random)
  }

  get capacity(): number {
    return this.mask + 1
  }

  /** Slots between the lowest number of interest and the next one. */
  get span(): number {
    return this.next - this.base
  }

  /** Too much is outstanding to send more data: only acknowledgements, probes and control packets may follow. */
  get isFull(): boolean {
    return this.next - this.base >= MAX_CAPACITY - RESERVE
  }

  /** The newest skipped number, -1 if none. */
  get lastSkipped(): number {
    return this.skipped[(this.skipIndex + SKIPS_KEPT - 1) % SKIPS_KEPT]!
  }

  /** The number of the next packet. Asking twice gives the same answer. */
  nextPacketNumber(): number {
    if (this.next >= this.nextSkip && this.random !== undefined && this.next - this.base < this.mask) {
      this.skipped[this.skipIndex] = this.next
      this.skipIndex = (this.skipIndex + 1) % SKIPS_KEPT
      if (this.base === this.next) this.base++
      this.next++
      this.planSkip(this.random)
    }
    return this.next
  }

  /** Whether an acknowledgement names a number that was skipped. `ranges`: descending pairs [smallest, largest]. */
  acknowledgesSkipped(ranges: Float64Array, rangeCount: number): boolean {
    for (let k = 0; k < SKIPS_KEPT; k++) {
      const packetNumber = this.skipped[k]!
      if (packetNumber < 0) continue
      for (let i = 0; i < rangeCount && ranges[2 * i + 1]! >= packetNumber; i++) {
        if (ranges[2 * i]! <= packetNumber) return true
      }
    }
    return false
  }

  /**
   * The last number of the run of settled ones that begins at `n`, as far as is known. An acknowledgement may name the same
   * thousands again and again while one packet below them is missing: each look halves the way for the next one.
   */
  skipSettled(n: number): number {
    const slot = n & this.mask
    if ((this.flags[slot]! & PacketFlag.acked) === 0) return n
    const next = n + this.size[slot]!
    if (next >= this.next) return next - 1
    const there = next & this.mask
    if ((this.flags[there]! & PacketFlag.acked) !== 0) this.size[slot] = this.size[slot]! + this.size[there]!
    return n + this.size[slot]! - 1
  }

  /** Doubles the ring. False if it has its largest size. */
  grow(): boolean {
    const capacity = 2 * (this.mask + 1)
    if (capacity > MAX_CAPACITY) return false
    const mask = capacity - 1
    const timeSent = new Float64Array(capacity)
    const size = new Int32Array(capacity)
    const flags = new Uint8Array(capacity)
    const frames = Array.from<SentFrame | undefined>({ length: capacity })
    for (let n = this.base; n < this.next; n++) {
      const from = n & this.mask
      const to = n & mask
      timeSent[to] = this.timeSent[from]!
      size[to] = this.size[from]!
      flags[to] = this.flags[from]!
      frames[to] = this.frames[from]
    }
    this.delivery = this.delivery?.grown(capacity, this.base, this.next)
    this.timeSent = timeSent
    this.size = size
    this.flags = flags
    this.frames = frames
    this.mask = mask
    return true
  }

  /** Adds a packet; `packetNumber` is at least `next` and fits in the ring. Numbers left out between are never sent. */
  add(packetNumber: number, now: number, bytes: number, flags: number, frames: SentFrame | undefined): void {
    const slot = packetNumber & this.mask
    this.timeSent[slot] = now
    this.size[slot] = bytes
    this.flags[slot] = flags | PacketFlag.outstanding
    this.frames[slot] = frames
    this.next = packetNumber + 1
    if ((flags & PacketFlag.ackEliciting) !== 0) {
      if (this.ackElicitingOutstanding++ === 0) this.waitingSince = now
      this.lastAckElicitingTime = now
      this.sinceAckEliciting = 0
    } else {
      this.sinceAckEliciting++
    }
  }

  /**
   * The next lost packet in a row was sent at `timeSent`. True if the run now spans more than `duration` ms: persistent
   * congestion (RFC 9002 section 7.6.2). An acknowledged packet in between ends the run.
   */
  extendLossRun(timeSent: number, duration: number): boolean {
    if (Number.isNaN(this.lossRunStart)) this.lossRunStart = timeSent
    if (timeSent - this.lossRunStart <= duration) return false
    this.lossRunStart = Number.NaN
    return true
  }

  /** What is outstanding was sent to another address: it stays outstanding, but counts for no window, mark or RTT any more. */
  startOver(): void {
    for (let n = this.base; n < this.next; n++) {
      const slot = n & this.mask
      this.flags[slot] = this.flags[slot]! & ~(PacketFlag.inFlight | PacketFlag.ecn)
    }
    this.firstSampled = this.next
    this.lossRunStart = Number.NaN
    this.lost?.clear()
  }

  private planSkip(random: () => number): void {
    this.nextSkip = this.next + 3 + Math.floor(random() * 2 * this.skipPeriod)
    if (this.skipPeriod < MAX_SKIP_PERIOD) this.skipPeriod *= 2
  }
}
