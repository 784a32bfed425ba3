import type { ConnectionControllers, Controller, PathInfo } from "../congestion/Controller.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"
import { EcnValidation } from "./EcnValidation.ts"
import { LostPackets } from "./LostPackets.ts"
import { Pacer } from "./Pacer.ts"
import { ProbeTimeout } from "./ProbeTimeout.ts"
import type { ProbeState } from "./ProbeTimeout.ts"
import { ReceivedPackets } from "./ReceivedPackets.ts"
import { RttEstimator } from "./RttEstimator.ts"
import { SentFrameKind } from "./SentFrames.ts"
import type { SentFrame, SentFramePool } from "./SentFrames.ts"
import { PacketFlag, SentPackets, Space, USUAL_CAPACITY } from "./SentPackets.ts"

export { Space }

/** RFC 9002 section 6.1.1. */
const PACKET_THRESHOLD = 3
/** RFC 9002 section 7.6.1. */
const PERSISTENT_CONGESTION_THRESHOLD = 3
/** Lost packets are watched for a late acknowledgement for this many probe timeouts. */
const SPURIOUS_LOSS_PTOS = 3

/** Stands in for spaces that do not exist. */
const nothingReceived = new ReceivedPackets(0)
nothingReceived.discard()

/** What recovery finds out, told to the connection while it finds it. Records are valid during the call only. */
export interface RecoveryEvents {
  /** Once for each record of an acknowledged packet. */
  frameAcked(path: PathRecovery, frame: SentFrame): void
  /** Once for each record of a lost packet, or of one whose content is to be sent again. */
  frameLost(path: PathRecovery, frame: SentFrame): void
  packetAcked(path: PathRecovery, space: number, packetNumber: number, bytes: number): void
  packetLost(path: PathRecovery, space: number, packetNumber: number, bytes: number): void
}

export interface PathRecoveryOptions {
  readonly pathId: number
  readonly events: RecoveryEvents
  readonly pool: SentFramePool
  readonly controllers: ConnectionControllers
  /** 0 up to 1: which packet numbers to skip. */
  readonly random: () => number
  /** ms of RTT assumed before the first sample. */
  readonly initialRtt: number
  /** Bytes of a full packet. */
  readonly maxDatagramSize: number
  /** ms that our own acknowledgements of application packets may wait. */
  readonly localMaxAckDelay: number
  readonly ecn: boolean
}

/**
 * Everything about loss on one path (RFC 9002): what is outstanding in each packet number space, when it counts as lost,
 * when to probe, and how much more may leave. Time is in ms, sizes are UDP payload bytes.
 */
export class PathRecovery implements ProbeState {
  readonly pathId: number
  readonly rtt: RttEstimator
  readonly controller: Controller
  readonly pacer: Pacer
  readonly ecn: EcnValidation
  bytesInFlight = 0
  /** Probe timeouts in a row without an acknowledgement. */
  ptoCount = 0
  /** Space that the last probe timeout wants a probe in. */
  probeSpace: number = Space.application

  packetsSent = 0
  packetsAcked = 0
  packetsLost = 0
  /** Packets declared lost and acknowledged later. */
  spuriousLosses = 0
  bytesSent = 0
  bytesAcked = 0
  bytesLost = 0

  /** Gates the probe timeout of application packets and the peer's max_ack_delay (RFC 9002 sections 5.3, 6.2.1). */
  handshakeConfirmed: boolean
  /** False at a client until the server has shown that it validated our address: then we must probe (section 6.2.2.1). */
  peerAddressValidated = true
  /** At the anti-amplification limit nothing can be sent, so no timer is armed (section 6.2.2.1). */
  amplificationBlocked = false
  hasHandshakeKeys = false
  /** ms the peer may hold back acknowledgements of application packets. */
  maxAckDelay = 25
  /** ms beyond which the probe timeout does not back off. */
  maxPtoBackoff = 60_000
  /** Set when there was nothing to send though the path had room; sending to the limit clears it (section 7.8). */
  appLimited = false

  private readonly events: RecoveryEvents
  private readonly pool: SentFramePool
  private readonly initialRtt: number
  private readonly info: { -readonly [K in keyof PathInfo]: PathInfo[K] }
  private readonly spaces: Array<SentPackets | undefined>
  private readonly receivers: Array<ReceivedPackets>
  private readonly probe: ProbeTimeout

  constructor(options: PathRecoveryOptions) {
    this.pathId = options.pathId
    this.events = options.events
    this.pool = options.pool
    this.initialRtt = options.initialRtt
    this.rtt = new RttEstimator(options.initialRtt)
    this.info = { pathId: options.pathId, maxDatagramSize: options.maxDatagramSize, rtt: this.rtt }
    this.controller = options.controllers.make(this.info)
    this.pacer = new Pacer(this.controller, this.rtt, options.maxDatagramSize)
    this.ecn = new EcnValidation(options.ecn)
    this.probe = new ProbeTimeout(this)
    const first = options.pathId === 0
    this.handshakeConfirmed = !first
    this.spaces = [
      first ? new SentPackets() : undefined,
      first ? new SentPackets() : undefined,
      new SentPackets(options.random)
    ]
    this.receivers = [
      first ? new ReceivedPackets(0) : nothingReceived,
      first ? new ReceivedPackets(0) : nothingReceived,
      new ReceivedPackets(options.localMaxAckDelay)
    ]
  }

  /** Undefined once the space was discarded, and where the path never had it. */
  sent(space: number): SentPackets | undefined {
    return this.spaces[space]
  }

  /** Takes nothing in and owes nothing once the space was discarded, and where the path never had it. */
  received(space: number): ReceivedPackets {
    return this.receivers[space] ?? nothingReceived
  }

  /** The number for the next packet; the same until one is sent. */
  nextPacketNumber(space: number): number {
    const sp = this.spaces[space]
    return sp === undefined ? 0 : sp.nextPacketNumber()
  }

  get maxDatagramSize(): number {
    return this.info.maxDatagramSize
  }

  /** Path MTU discovery, or a validated change of address, found another packet size. */
  setMaxDatagramSize(bytes: number): void {
    this.info.maxDatagramSize = bytes
    this.pacer.maxDatagramSize = bytes
    this.controller.onMaxDatagramSize(bytes)
  }

  /** Takes over the records of a packet that was sent. `ecn`: it was marked ECT(0). */
  onPacketSent(
    space: number,
    packetNumber: number,
    now: number,
    bytes: number,
    ackEliciting: boolean,
    inFlight: boolean,
    ecn: boolean,
    frames: SentFrame | undefined
  ): void {
    const sp = this.spaces[space]
    if (sp === undefined) {
      this.pool.release(frames)
      return
    }
    if (packetNumber - sp.base > sp.mask) this.makeRoom(sp, space, packetNumber, now)
    let flags = 0
    if (ackEliciting) {
      flags |= PacketFlag.ackEliciting
      this.probe.lastActivity = now
    }
    if (ecn) {
      flags |= PacketFlag.ecn
      this.ecn.onSent(space)
    }
    if (inFlight) flags |= PacketFlag.inFlight
    sp.add(packetNumber, now, bytes, flags, frames)
    this.packetsSent++
    this.bytesSent += bytes
    if (!inFlight) return
    this.bytesInFlight += bytes
    this.controller.onPacketSent(now, bytes, this.bytesInFlight)
    this.pacer.onSent(now, bytes)
    // Waiting for the pacer is using the window too (RFC 9002 section 7.8).
    if (this.appLimited && !this.canSend(this.info.maxDatagramSize, now)) this.appLimited = false
  }

  /**
   * An acknowledgement: `ranges` are descending pairs [smallest, largest], `ackDelay` is in ms. `rttAllowed` is false if it
   * came by a way that says nothing about this path's RTT. Costs in proportion to what is newly acknowledged or lost.
   */
  onAck(
    space: number,
    ranges: Float64Array,
    rangeCount: number,
    ackDelay: number,
    now: number,
    rttAllowed: boolean,
    hasEcn: boolean,
    ect0: number,
    ect1: number,
    ce: number
  ): Violation | undefined {
    const sp = this.spaces[space]
    if (sp === undefined || rangeCount === 0) return undefined
    const largest = ranges[1]!
    if (largest >= sp.next || sp.acknowledgesSkipped(ranges, rangeCount)) {
      return violation(TransportError.protocolViolation, "acknowledgement of a packet that was never sent")
    }
    let range = 0
    while (range < rangeCount && ranges[2 * range + 1]! >= sp.base) range++
    let newest = -1
    let newestSent = 0
    let inFlightBytes = 0
    let marked = 0
    let seen = 0
    while (--range >= 0) {
      const to = ranges[2 * range + 1]!
      const from = ranges[2 * range]!
      for (let n = from > sp.base ? from : sp.base; n <= to; n++) {
        const slot = n & sp.mask
        const flags = sp.flags[slot]!
        if ((flags & PacketFlag.outstanding) === 0) continue
        const bytes = sp.size[slot]!
        this.takeOut(sp, slot, PacketFlag.acked)
        seen |= flags
        newest = n
        newestSent = sp.timeSent[slot]!
        if ((flags & PacketFlag.inFlight) !== 0) inFlightBytes += bytes
        if ((flags & PacketFlag.ecn) !== 0) marked++
        this.packetsAcked++
        this.bytesAcked += bytes
        const list = sp.frames[slot]
        if (list !== undefined) {
          sp.frames[slot] = undefined
          for (let frame: SentFrame | undefined = list; frame !== undefined; frame = frame.next) {
            this.events.frameAcked(this, frame)
          }
          this.pool.release(list)
        }
        this.events.packetAcked(this, space, n, bytes)
      }
    }
    const raised = largest > sp.largestAcked
    if (raised) sp.largestAcked = largest
    if (sp.lost !== undefined && sp.lost.live > 0) this.checkSpurious(sp.lost, ranges, rangeCount, now)
    if (newest < 0) return undefined
    this.probe.lastActivity = now
    if (rttAllowed && newest === largest && newest >= sp.firstSampled && (seen & PacketFlag.ackEliciting) !== 0) {
      // An Initial is never held back, whatever the field says (RFC 9002 section 5.3).
      const delay = space === Space.initial ? 0 : ackDelay
      this.rtt.update(now - newestSent, delay, now, this.handshakeConfirmed, this.maxAckDelay)
    }
    if (raised && this.ecn.onAck(space, marked, hasEcn, ect0, ect1, ce) > 0) {
      this.controller.onCongestion(now, newestSent, 0, true)
    }
    this.detectLost(sp, space, now)
    if (inFlightBytes > 0) this.controller.onAcked(now, inFlightBytes, newestSent, this.appLimited)
    // A client that the server may not have validated yet keeps backing off (RFC 9002 section 6.2.1).
    if (this.peerAddressValidated) this.ptoCount = 0
    return undefined
  }

  /** When `onTimeout` has work to do: the next loss by time, or a probe. Infinity if never. */
  timeout(): number {
    let lossTime = Infinity
    for (let space = 0; space < 3; space++) {
      const sp = this.spaces[space]
      if (sp !== undefined && sp.lossTime < lossTime) lossTime = sp.lossTime
    }
    return lossTime < Infinity ? lossTime : this.probe.deadline(this.spaces)
  }

  /**
   * 0: nothing was due. 1: packets were declared lost. 2: the probe timeout expired, `probeSpace` says where to send one or
   * two ack-eliciting packets, which no window holds back (RFC 9002 section 6.2.4).
   */
  onTimeout(now: number): number {
    let due = -1
    let lossTime = Infinity
    for (let space = 0; space < 3; space++) {
      const sp = this.spaces[space]
      if (sp !== undefined && sp.lossTime < lossTime) {
        lossTime = sp.lossTime
        due = space
      }
    }
    if (due >= 0) {
      if (lossTime > now) return 0
      this.detectLost(this.spaces[due]!, due, now)
      return 1
    }
    if (this.probe.deadline(this.spaces) > now) return 0
    this.probeSpace = this.probe.space
    this.ptoCount++
    // The next timeout counts from here even if no probe can be sent, so that it cannot be due at once.
    const sp = this.spaces[this.probeSpace]
    if (sp !== undefined) sp.lastAckElicitingTime = now
    this.probe.lastActivity = now
    return 2
  }

  /** ms: the current probe timeout of application packets, without backoff. What timers of whole connections are made of. */
  get pto(): number {
    return this.rtt.ptoBase(this.maxAckDelay)
  }

  /**
   * Hands the content of the oldest ack-eliciting packets over to be sent again, as far as it was not before. The packets
   * stay outstanding without their records, so nothing is reported twice. False if there was no content to hand over.
   */
  takeForProbe(space: number, maxPackets = 2): boolean {
    const sp = this.spaces[space]
    if (sp === undefined) return false
    let taken = 0
    for (let n = sp.base; n < sp.next && taken < maxPackets; n++) {
      if (this.detach(sp, n & sp.mask)) taken++
    }
    return taken > 0
  }

  /** The same for everything outstanding in the space: the path seems dead, other paths shall carry it. */
  takeAllForReinjection(space: number): boolean {
    return this.takeForProbe(space, Infinity)
  }

  /** Window and pacing allow `bytes` now. The amplification limit is the path's own affair. */
  canSend(bytes: number, now: number): boolean {
    return (
      this.bytesInFlight + bytes <= this.controller.congestionWindow &&
      this.pacer.canSend(now, bytes) &&
      this.spaces[Space.application]?.isFull !== true
    )
  }

  /** When the pacer lets a full packet go; Infinity if only an acknowledgement can open the window. */
  nextSendTime(now: number): number {
    const bytes = this.bytesInFlight + this.info.maxDatagramSize
    if (bytes > this.controller.congestionWindow || this.spaces[Space.application]?.isFull === true) return Infinity
    return this.pacer.nextTime(now)
  }

  /** The keys of the space are gone: what is outstanding there is neither lost nor acknowledged (RFC 9002 section 6.4). */
  discardSpace(space: number): void {
    const sp = this.spaces[space]
    this.receivers[space]?.discard()
    this.receivers[space] = nothingReceived
    if (sp === undefined) return
    for (let n = sp.base; n < sp.next; n++) {
      const slot = n & sp.mask
      if ((sp.flags[slot]! & PacketFlag.outstanding) !== 0) this.takeOut(sp, slot, 0)
      this.pool.release(sp.frames[slot])
      sp.frames[slot] = undefined
    }
    this.spaces[space] = undefined
    this.ptoCount = 0
  }

  /**
   * Everything outstanding in the space is to be sent again, without a sign of congestion: a Retry arrived, or 0-RTT was
   * rejected (RFC 9002 section 6.3, RFC 9001 section 4.6.2). Packet numbers go on.
   */
  withdraw(space: number): void {
    const sp = this.spaces[space]
    if (sp === undefined) return
    while (sp.base < sp.next) this.forgetBase(sp)
    sp.lossTime = Infinity
    sp.lossRunStart = Number.NaN
    this.ptoCount = 0
  }

  /** The path ends: everything outstanding is lost, and nobody needs to slow down for it (draft-21 section 3.4.3). */
  abandon(now: number): void {
    for (let space = 0; space < 3; space++) {
      const sp = this.spaces[space]
      if (sp === undefined) continue
      while (sp.base < sp.next) {
        const slot = sp.base & sp.mask
        if ((sp.flags[slot]! & PacketFlag.outstanding) !== 0) this.declareLost(sp, space, sp.base, now)
        sp.flags[slot] = 0
        sp.base++
      }
      sp.lossTime = Infinity
    }
    this.bytesInFlight = 0
  }

  /**
   * The path's address changed and was validated: another network, another RTT, another window (RFC 9000 section 9.4,
   * draft-21 section 5). Earlier packets stay outstanding, yet tell nothing about the new way.
   */
  resetForNewAddress(now: number): void {
    for (let space = 0; space < 3; space++) {
      const sp = this.spaces[space]
      if (sp === undefined) continue
      sp.startOver()
    }
    this.bytesInFlight = 0
    this.ptoCount = 0
    this.appLimited = false
    this.rtt.reset(this.initialRtt)
    this.ecn.restart()
    this.controller.reset(now)
    this.pacer.reset()
  }

  /** Frees what the controller shares with others. The path is not used after this. */
  close(): void {
    this.controller.close()
  }

  /**
   * Walks `base` over what is settled, and declares lost what is too far or too long behind the largest acknowledged packet
   * (RFC 9002 section 6.1). Send times rise with the numbers, so the first packet that is not lost yet ends the walk.
   */
  private detectLost(sp: SentPackets, space: number, now: number): void {
    const delay = this.rtt.lossDelay()
    const largestAcked = sp.largestAcked
    let lostBytes = 0
    let newestSent = -Infinity
    let persistent = false
    sp.lossTime = Infinity
    while (sp.base < sp.next) {
      const n = sp.base
      const slot = n & sp.mask
      const flags = sp.flags[slot]!
      if ((flags & PacketFlag.outstanding) !== 0) {
        if (n > largestAcked) break
        const timeSent = sp.timeSent[slot]!
        // A skipped number between the two was never on its way.
        const skips = sp.lastSkipped > n && sp.lastSkipped < largestAcked ? 1 : 0
        if (largestAcked - n - skips < PACKET_THRESHOLD && timeSent + delay > now) {
          sp.lossTime = timeSent + delay
          break
        }
        const probe = this.declareLost(sp, space, n, now)
        // Neither an MTU probe (RFC 9000 section 14.4) nor a packet to an earlier address is a sign of congestion.
        if (!probe && (flags & PacketFlag.inFlight) !== 0) {
          lostBytes += sp.size[slot]!
          newestSent = timeSent
          if ((flags & PacketFlag.ackEliciting) !== 0 && timeSent > this.rtt.firstSampleTime) {
            if (sp.extendLossRun(timeSent, PERSISTENT_CONGESTION_THRESHOLD * this.pto)) persistent = true
          }
        }
      } else if ((flags & PacketFlag.acked) !== 0) {
        sp.lossRunStart = Number.NaN
      }
      sp.flags[slot] = 0
      sp.base++
    }
    if (lostBytes === 0) return
    this.controller.onCongestion(now, newestSent, lostBytes, false)
    if (persistent) {
      this.rtt.resetMin()
      this.controller.onPersistentCongestion(now)
    }
  }

  /** Reports an outstanding packet as lost. True if it was an MTU probe. */
  private declareLost(sp: SentPackets, space: number, packetNumber: number, now: number): boolean {
    const slot = packetNumber & sp.mask
    const flags = sp.flags[slot]!
    const bytes = sp.size[slot]!
    this.takeOut(sp, slot, 0)
    this.packetsLost++
    this.bytesLost += bytes
    if ((flags & PacketFlag.ecn) !== 0) this.ecn.onLost()
    const probe = this.reportLost(sp, slot)
    if (!probe && (flags & PacketFlag.inFlight) !== 0) {
      if (sp.lost === undefined) sp.lost = new LostPackets()
      sp.lost.add(packetNumber, sp.timeSent[slot]!, now)
    }
    this.events.packetLost(this, space, packetNumber, bytes)
    return probe
  }

  /** Hands the records of a packet over as lost. True if it was an MTU probe. */
  private reportLost(sp: SentPackets, slot: number): boolean {
    const list = sp.frames[slot]
    if (list === undefined) return false
    sp.frames[slot] = undefined
    let probe = false
    for (let frame: SentFrame | undefined = list; frame !== undefined; frame = frame.next) {
      if (frame.kind === SentFrameKind.mtuProbe) probe = true
      this.events.frameLost(this, frame)
    }
    this.pool.release(list)
    return probe
  }

  /** Hands over the records of an ack-eliciting packet that stays outstanding. True if there were any to send again. */
  private detach(sp: SentPackets, slot: number): boolean {
    const wanted = PacketFlag.outstanding | PacketFlag.ackEliciting
    const list = sp.frames[slot]
    if (list === undefined || (sp.flags[slot]! & wanted) !== wanted) return false
    let content = false
    for (let frame: SentFrame | undefined = list; frame !== undefined; frame = frame.next) {
      // An MTU probe keeps its records: they are what tells its loss from congestion.
      if (frame.kind === SentFrameKind.mtuProbe) return false
      if (frame.kind !== SentFrameKind.ack && frame.kind !== SentFrameKind.ping) content = true
    }
    if (content) this.reportLost(sp, slot)
    return content
  }

  /** Late acknowledgements of lost packets: the loss was none if no other packet of the time is still missing. */
  private checkSpurious(lost: LostPackets, ranges: Float64Array, rangeCount: number, now: number): void {
    lost.expire(now - SPURIOUS_LOSS_PTOS * this.pto)
    const found = lost.takeAcknowledged(ranges, rangeCount)
    if (found === 0) return
    this.spuriousLosses += found
    if (lost.live === 0) this.controller.onSpuriousLoss(now, lost.newestSent)
  }

  /** A packet leaves flight; `state` is what its slot says from now on. */
  private takeOut(sp: SentPackets, slot: number, state: number): void {
    const flags = sp.flags[slot]!
    sp.flags[slot] = state
    if ((flags & PacketFlag.inFlight) !== 0) this.bytesInFlight -= sp.size[slot]!
    if ((flags & PacketFlag.ackEliciting) !== 0) sp.ackElicitingOutstanding--
  }

  /** Gives up on the lowest number without judging it. */
  private forgetBase(sp: SentPackets): void {
    const slot = sp.base & sp.mask
    if ((sp.flags[slot]! & PacketFlag.outstanding) !== 0) {
      this.takeOut(sp, slot, 0)
      this.reportLost(sp, slot)
    }
    sp.flags[slot] = 0
    sp.base++
  }

  /**
   * The ring is full. Packets at its end that elicit no acknowledgement may never get one, so they go first: an endpoint
   * that only receives would grow for ever.
   */
  private makeRoom(sp: SentPackets, space: number, packetNumber: number, now: number): void {
    while (packetNumber - sp.base > sp.mask) {
      const flags = sp.flags[sp.base & sp.mask]!
      const lasts = (flags & PacketFlag.ackEliciting) !== 0 || sp.capacity < USUAL_CAPACITY
      if ((flags & PacketFlag.outstanding) === 0 || !lasts) this.forgetBase(sp)
      else if (!sp.grow()) {
        this.declareLost(sp, space, sp.base, now)
        sp.base++
      }
    }
  }
}
