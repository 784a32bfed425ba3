import type { EcnValidation } from "./EcnValidation.ts"
import { LostPackets } from "./LostPackets.ts"
import { SentFrameKind } from "./SentFrames.ts"
import type { SentFrame, SentFramePool } from "./SentFrames.ts"
import { PacketFlag, USUAL_CAPACITY } from "./SentPackets.ts"
import type { SentPackets } from "./SentPackets.ts"

/** What recovery finds out, told to the connection while it finds it. Records are valid during the call only. */
export interface PacketEvents<Path> {
  /**
   * For each record of an acknowledged packet. It may have been reported as lost before: then a copy of the content is
   * waiting or on its way, and is acknowledged or lost by itself.
   */
  frameAcked(path: Path, frame: SentFrame): void
  /** Once at most for each record: the packet was lost, or its content is to be sent again in case it was. */
  frameLost(path: Path, frame: SentFrame): void
  packetAcked(path: Path, space: number, packetNumber: number, bytes: number): void
  packetLost(path: Path, space: number, packetNumber: number, bytes: number): void
}

/**
 * What became of each packet of a path: counts it, takes it out of flight, and reports its records to the connection.
 */
export class PacketLedger<Path> {
  bytesInFlight = 0
  packetsSent = 0
  packetsAcked = 0
  packetsLost = 0
  /** Packets declared lost and acknowledged later. */
  spuriousLosses = 0
  bytesSent = 0
  bytesAcked = 0
  bytesLost = 0
  /** Given up without a judgement. */
  packetsForgotten = 0
  bytesForgotten = 0
  readonly pool: SentFramePool
  private readonly path: Path
  private readonly events: PacketEvents<Path>
  private readonly ecn: EcnValidation

  constructor(path: Path, events: PacketEvents<Path>, pool: SentFramePool, ecn: EcnValidation) {
    this.path = path
    this.events = events
    this.pool = pool
    this.ecn = ecn
  }

  /** The packet in the slot was acknowledged. */
  acked(sp: SentPackets, space: number, packetNumber: number): void {
    const slot = packetNumber & sp.mask
    const bytes = sp.size[slot]!
    this.takeOut(sp, slot, PacketFlag.acked)
    sp.size[slot] = 1
    this.packetsAcked++
    this.bytesAcked += bytes
    const list = sp.frames[slot]
    if (list !== undefined) {
      sp.frames[slot] = undefined
      this.reportAcked(list)
      this.pool.release(list)
    }
    this.events.packetAcked(this.path, space, packetNumber, bytes)
  }

  /** What the packet carried has arrived. */
  reportAcked(list: SentFrame | undefined): void {
    for (let frame = list; frame !== undefined; frame = frame.next) this.events.frameAcked(this.path, frame)
  }

  /** Reports an outstanding packet as lost. True if it was an MTU probe. */
  lost(sp: SentPackets, space: number, packetNumber: number, now: number): boolean {
    const slot = packetNumber & sp.mask
    const flags = sp.flags[slot]!
    const bytes = sp.size[slot]!
    this.takeOut(sp, slot, 0)
    this.packetsLost++
    this.bytesLost += bytes
    if ((flags & PacketFlag.ecn) !== 0) this.ecn.onLost()
    const list = sp.frames[slot]
    sp.frames[slot] = undefined
    const probe = this.reportLost(list, flags)
    if (!probe && (flags & PacketFlag.inFlight) !== 0) {
      if (sp.lost === undefined) sp.lost = new LostPackets(this.pool)
      sp.lost.add(packetNumber, sp.timeSent[slot]!, now, list)
    } else this.pool.release(list)
    this.events.packetLost(this.path, space, packetNumber, bytes)
    return probe
  }

  /**
   * Asks for the content of an ack-eliciting packet to be sent again, if that was not done before. The packet stays
   * outstanding with its records, since its acknowledgement still counts. False if there is no content to send again.
   */
  copy(sp: SentPackets, slot: number): boolean {
    const wanted = PacketFlag.outstanding | PacketFlag.ackEliciting
    const flags = sp.flags[slot]!
    if ((flags & (wanted | PacketFlag.copied)) !== wanted) return false
    const list = sp.frames[slot]
    let content = false
    for (let frame = list; frame !== undefined; frame = frame.next) {
      // The size of an MTU probe is its content.
      if (frame.kind === SentFrameKind.mtuProbe) return false
      if (frame.kind !== SentFrameKind.ack && frame.kind !== SentFrameKind.ping && !frame.covered) content = true
    }
    if (!content) return false
    this.reportLost(list, flags)
    sp.flags[slot] = flags | PacketFlag.copied
    return true
  }

  /** Gives up on the lowest number without judging it. */
  forgetBase(sp: SentPackets): void {
    this.forget(sp, sp.base)
    sp.base++
  }

  /** Gives up on a packet without judging it: what it held is sent again. */
  forget(sp: SentPackets, packetNumber: number): void {
    const slot = packetNumber & sp.mask
    const flags = sp.flags[slot]!
    if ((flags & PacketFlag.outstanding) !== 0) {
      this.forgotten(sp, slot)
      const list = sp.frames[slot]
      sp.frames[slot] = undefined
      this.reportLost(list, flags)
      this.pool.release(list)
    }
    sp.flags[slot] = 0
  }

  /**
   * The ring is full. Packets at its end that elicit no acknowledgement may never get one, so they go first: an endpoint
   * that only receives would grow for ever.
   */
  makeRoom(sp: SentPackets, space: number, packetNumber: number, now: number): void {
    while (packetNumber - sp.base > sp.mask) {
      const flags = sp.flags[sp.base & sp.mask]!
      const lasts = (flags & PacketFlag.ackEliciting) !== 0 || sp.capacity < USUAL_CAPACITY
      if ((flags & PacketFlag.outstanding) === 0 || !lasts) this.forgetBase(sp)
      else if (!sp.grow()) {
        this.lost(sp, space, sp.base, now)
        sp.base++
      }
    }
  }

  /** Forgets the whole space: what is outstanding there is neither lost nor acknowledged. */
  discard(sp: SentPackets): void {
    for (let n = sp.base; n < sp.next; n++) {
      const slot = n & sp.mask
      if ((sp.flags[slot]! & PacketFlag.outstanding) !== 0) this.forgotten(sp, slot)
      this.pool.release(sp.frames[slot])
      sp.frames[slot] = undefined
    }
    sp.lost?.clear()
  }

  /** Reports records as lost, unless that was done when they were copied. True for those of an MTU probe. */
  private reportLost(list: SentFrame | undefined, flags: number): boolean {
    let probe = false
    if ((flags & PacketFlag.copied) !== 0) return probe
    for (let frame = list; frame !== undefined; frame = frame.next) {
      if (frame.kind === SentFrameKind.mtuProbe) probe = true
      if (!frame.covered) this.events.frameLost(this.path, frame)
    }
    return probe
  }

  private forgotten(sp: SentPackets, slot: number): void {
    this.packetsForgotten++
    this.bytesForgotten += sp.size[slot]!
    this.takeOut(sp, slot, 0)
  }

  /** A packet leaves flight; `state` is what its slot says from now on. */
  private takeOut(sp: SentPackets, slot: number, state: number): void {
    const flags = sp.flags[slot]!
    sp.flags[slot] = state
    if ((flags & PacketFlag.inFlight) !== 0) this.bytesInFlight -= sp.size[slot]!
    if ((flags & PacketFlag.ackEliciting) !== 0) sp.ackElicitingOutstanding--
  }
}
