import type { ConnectionControllers, Controller } from "../congestion/Controller.ts"
import { DeliveryColumns, DeliverySampler } from "../congestion/DeliverySampler.ts"
import type { Address } from "../wire/Datagram.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"
import { CongestionEvents } from "./CongestionEvents.ts"
import { DeliveryRate } from "./DeliveryRate.ts"
import { EcnValidation } from "./EcnValidation.ts"
import { LateAcknowledgements } from "./LateAcknowledgements.ts"
import { LossDetection } from "./LossDetection.ts"
import { Pacer } from "./Pacer.ts"
import { PacketLedger } from "./PacketLedger.ts"
import type { PacketEvents } from "./PacketLedger.ts"
import { PathFacts } from "./PathFacts.ts"
import { ProbeTimeout } from "./ProbeTimeout.ts"
import type { ProbeState } from "./ProbeTimeout.ts"
import { ReceivedPackets } from "./ReceivedPackets.ts"
import { ReorderingWindow } from "./ReorderingWindow.ts"
import { RttEstimator } from "./RttEstimator.ts"
import type { SentFrame, SentFramePool } from "./SentFrames.ts"
import { PacketFlag, SentPackets } from "./SentPackets.ts"
import { Space } from "./Space.ts"

export { Space }

/** RFC 9000 appendix A.4: marks are tested for so many probe timeouts. */
const ECN_TEST_PTOS = 3

/** Stands in for spaces that do not exist. */
const nothingReceived = new ReceivedPackets(0)
nothingReceived.discard()

export type RecoveryEvents = PacketEvents<PathRecovery>

/** What a timer that ran out came to. */
export const RecoveryTimeout = {
  /** Nothing was due. */
  none: 0,
  /** Packets were declared lost. */
  loss: 1,
  /** The probe timeout expired: `probeSpace` says where to send one or two ack-eliciting packets. */
  probe: 2
} as const
export type RecoveryTimeout = (typeof RecoveryTimeout)[keyof typeof RecoveryTimeout]

/** What recovery reads of an ACK frame. */
export interface AckFrame {
  /** Descending pairs [smallest, largest]. */
  readonly ranges: Float64Array
  readonly rangeCount: number
  /** Whether the counts of marked packets are there. */
  readonly hasEcn: boolean
  readonly ect0: number
  readonly ect1: number
  readonly ce: number
}

export interface PathRecoveryOptions {
  readonly pathId: number
  readonly events: RecoveryEvents
  readonly pool: SentFramePool
  readonly controllers: ConnectionControllers
  /** Of the path: what its controller is told. */
  readonly local: Address
  readonly remote: Address
  /** 0 up to 1: which packet numbers to skip. */
  readonly random: () => number
  /** ms of RTT assumed before the first sample. */
  readonly initialRtt: number
  /** Bytes of a full packet. */
  readonly maxDatagramSize: number
  /** The path was opened beside a working one, and may start with a window that its RTT scales. */
  readonly scaledStart: boolean
  /** ms that our own acknowledgements of application packets may wait. */
  readonly localMaxAckDelay: number
  readonly ecn: boolean
  /** ms: the probe timeout backs off up to here. */
  readonly maxPtoInterval: number
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
  readonly delivery = new DeliveryRate()
  /** Probe timeouts in a row without an acknowledgement. */
  ptoCount = 0
  /** All of them so far. */
  probeTimeouts = 0
  /** ms: when the first of the probe timeouts in a row expired. */
  silentSince = 0
  /** ms: when the newest acknowledged packet left: the path worked then. */
  deliveredAt = -Infinity
  /** Settled packets that acknowledgements named again and that were looked at: what tests assert on instead of time. */
  ackSteps = 0
  /** Space that the last probe timeout wants a probe in. */
  probeSpace: number = Space.application

  /** Gates the probe timeout of application packets and the peer's max_ack_delay (RFC 9002 sections 5.3, 6.2.1). */
  handshakeConfirmed: boolean
  /** False at a client until the server has shown that it validated our address: then we must probe (section 6.2.2.1). */
  peerAddressValidated = true
  /** At the anti-amplification limit nothing can be sent, so no timer is armed (section 6.2.2.1). */
  amplificationBlocked = false
  hasHandshakeKeys = false
  /** ms the peer may hold back acknowledgements of application packets. */
  maxAckDelay = 25
  readonly maxPtoInterval: number
  /** The connection has other paths: this one is probed more often at first, so that it is found again soon. */
  oneOfSeveral = false

  private readonly initialRtt: number
  private readonly info: PathFacts
  private readonly spaces: Array<SentPackets | undefined>
  private readonly receivers: Array<ReceivedPackets>
  private readonly probe: ProbeTimeout
  private readonly ledger: PacketLedger<PathRecovery>
  private readonly reordering: ReorderingWindow
  private readonly congestion: CongestionEvents
  private readonly late: LateAcknowledgements
  private readonly losses: LossDetection<PathRecovery>
  /** Where the controller asks for samples. */
  private readonly samples: DeliverySampler | undefined
  /** When the window was last used to the full (RFC 9002 section 7.8). */
  private windowFullTime = -Infinity

  constructor(options: PathRecoveryOptions) {
    this.pathId = options.pathId
    this.initialRtt = options.initialRtt
    this.rtt = new RttEstimator(options.initialRtt)
    this.info = new PathFacts(options, this.rtt)
    this.controller = options.controllers.make(this.info)
    this.samples = this.controller.onDelivered === undefined ? undefined : new DeliverySampler(this.rtt)
    this.pacer = new Pacer(this.controller, this.info)
    this.ecn = new EcnValidation(options.ecn)
    this.ledger = new PacketLedger<PathRecovery>(this, options.events, options.pool, this.ecn)
    this.reordering = new ReorderingWindow(this.rtt)
    this.congestion = new CongestionEvents(this.controller, this.reordering)
    this.late = new LateAcknowledgements(this.ledger, this.reordering, this.congestion)
    this.losses = new LossDetection(
      this.ledger,
      this.rtt,
      this.reordering,
      this.congestion,
      this.controller,
      this.samples
    )
    this.maxPtoInterval = options.maxPtoInterval
    this.probe = new ProbeTimeout(this)
    const first = options.pathId === 0
    this.handshakeConfirmed = !first
    this.spaces = [
      first ? new SentPackets() : undefined,
      first ? new SentPackets() : undefined,
      new SentPackets(options.random)
    ]
    if (this.samples !== undefined) {
      for (const sp of this.spaces) if (sp !== undefined) sp.delivery = new DeliveryColumns(sp.capacity)
    }
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

  get bytesInFlight(): number {
    return this.ledger.bytesInFlight
  }
  get packetsSent(): number {
    return this.ledger.packetsSent
  }
  get packetsAcked(): number {
    return this.ledger.packetsAcked
  }
  get packetsLost(): number {
    return this.ledger.packetsLost
  }
  /** Packets declared lost and acknowledged later. */
  get spuriousLosses(): number {
    return this.ledger.spuriousLosses
  }
  get bytesSent(): number {
    return this.ledger.bytesSent
  }
  get bytesAcked(): number {
    return this.ledger.bytesAcked
  }
  get bytesLost(): number {
    return this.ledger.bytesLost
  }
  /** Packets whose fate does not matter any more, or never did: neither acknowledged nor lost. */
  get packetsForgotten(): number {
    return this.ledger.packetsForgotten
  }
  get bytesForgotten(): number {
    return this.ledger.bytesForgotten
  }

  /** Bytes of a full packet. */
  get maxDatagramSize(): number {
    return this.info.maxDatagramSize
  }

  /** Path MTU discovery, or a validated change of address, found another packet size. */
  set maxDatagramSize(bytes: number) {
    this.info.maxDatagramSize = bytes
  }

  /** The path leads from and to other addresses: its controller is told. */
  set local(address: Address) {
    this.info.local = address
  }
  set remote(address: Address) {
    this.info.remote = address
  }

  /** Whether the path may carry data now: its controller is told. */
  set usable(usable: boolean) {
    this.info.usable = usable
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
      this.ledger.pool.release(frames)
      return
    }
    if (packetNumber - sp.base > sp.mask) this.ledger.makeRoom(sp, space, packetNumber, now)
    let flags = 0
    if (ackEliciting) {
      flags |= PacketFlag.ackEliciting
      this.probe.lastActivity = now
    }
    if (ecn) {
      flags |= PacketFlag.ecn
      this.ecn.onSent(space, now)
    }
    if (inFlight) flags |= PacketFlag.inFlight
    sp.add(packetNumber, now, bytes, flags, frames)
    const { ledger } = this
    ledger.packetsSent++
    ledger.bytesSent += bytes
    if (!inFlight) return
    if (sp.delivery !== undefined) {
      this.samples?.onSent(sp.delivery, packetNumber & sp.mask, now, bytes, ledger.bytesInFlight)
    }
    const total = (ledger.bytesInFlight += bytes)
    this.controller.onPacketSent(now, bytes, total)
    this.pacer.onSent(now, bytes)
    if (total + this.info.maxDatagramSize > this.controller.congestionWindow) this.windowFullTime = now
  }

  /**
   * `bytes` wait to be sent here and only the pacer holds them back. Without it they would be in flight, so the window is
   * in use as far as they fill it (RFC 9002 section 7.8).
   */
  onPacingLimited(now: number, bytes: number): void {
    const total = this.ledger.bytesInFlight + bytes + this.info.maxDatagramSize
    if (total > this.controller.congestionWindow) this.windowFullTime = now
  }

  /** Nothing waits to be sent: if window and pacing leave room, the application is the limit. */
  onNothingToSend(now: number): void {
    if (this.samples !== undefined && this.canSend(this.info.maxDatagramSize, now)) this.samples.markAppLimited()
  }

  /** An acknowledgement. `ackDelay` is in ms; `rttAllowed` is false if it came on a way that says nothing about the RTT. */
  onAck(space: number, ack: AckFrame, ackDelay: number, now: number, rttAllowed: boolean): Violation | undefined {
    const sp = this.spaces[space]
    const { ranges, rangeCount } = ack
    if (sp === undefined || rangeCount === 0) return undefined
    const largest = ranges[1]!
    if (largest >= sp.next || sp.acknowledgesSkipped(ranges, rangeCount)) {
      return violation(TransportError.protocolViolation, "acknowledgement of a packet that was never sent")
    }
    const largestBefore = sp.largestAcked
    let range = 0
    while (range < rangeCount && ranges[2 * range + 1]! >= sp.base) range++
    let newest = -1
    let newestSent = 0
    let inFlightBytes = 0
    let marked = 0
    let seen = 0
    let overtaken = -1
    const { samples } = this
    samples?.begin()
    while (--range >= 0) {
      const to = ranges[2 * range + 1]!
      const from = ranges[2 * range]!
      for (let n = from > sp.base ? from : sp.base; n <= to; n++) {
        const slot = n & sp.mask
        const flags = sp.flags[slot]!
        if ((flags & PacketFlag.outstanding) === 0) {
          this.ackSteps++
          n = sp.skipSettled(n)
          continue
        }
        seen |= flags
        newest = n
        newestSent = sp.timeSent[slot]!
        if (n < largestBefore && overtaken < 0 && (flags & PacketFlag.ackEliciting) !== 0) {
          overtaken = n
          if (n >= sp.firstSampled) this.reordering.onLate(largestBefore - n, now - newestSent)
        }
        if ((flags & PacketFlag.inFlight) !== 0) {
          const bytes = sp.size[slot]!
          inFlightBytes += bytes
          if (sp.delivery !== undefined) samples?.onPacketAcked(sp.delivery, slot, now, newestSent, bytes)
        }
        if ((flags & PacketFlag.ecn) !== 0) marked++
        this.ledger.acked(sp, space, n)
      }
    }
    const raised = largest > largestBefore
    if (raised) sp.largestAcked = largest
    if (sp.lost !== undefined) this.late.find(sp, ranges, rangeCount, largestBefore, now, this.pto)
    if (newest < 0) return undefined
    this.probe.lastActivity = now
    // A late acknowledgement of old packets says nothing about those since.
    if (newestSent > sp.waitingSince) sp.waitingSince = newestSent
    if (rttAllowed && newest === largest && newest >= sp.firstSampled && (seen & PacketFlag.ackEliciting) !== 0) {
      // An Initial is never held back, whatever the field says (RFC 9002 section 5.3).
      const delay = space === Space.initial ? 0 : ackDelay
      this.rtt.update(now - newestSent, delay, now, this.handshakeConfirmed, this.maxAckDelay)
    }
    if (raised && this.ecn.onAck(space, marked, ack.hasEcn, ack.ect0, ack.ect1, ack.ce) > 0) {
      this.congestion.onMarked(now, newestSent)
    }
    this.losses.detect(sp, space, now, this.pto)
    // The window was in use if it was full at any time since the newest of these packets left.
    if (inFlightBytes > 0) {
      const appLimited = this.windowFullTime < newestSent
      this.controller.onAcked(now, inFlightBytes, newestSent, appLimited)
      this.delivery.onAcked(now, inFlightBytes, this.rtt.smoothed, appLimited, this.controller.congestionWindow)
      if (samples !== undefined) {
        samples.finish(this.ledger.bytesInFlight, rttAllowed && newest >= sp.firstSampled ? now - newestSent : -1)
        this.controller.onDelivered?.(now, samples)
      }
    }
    if (sp.ackElicitingOutstanding === 0) sp.lost?.releaseFrames()
    // A client that the server may not have validated yet keeps backing off (RFC 9002 section 6.2.1).
    // What left before the path went silent tells of the time before, if acknowledgements may come on other paths.
    const late = this.oneOfSeveral && newestSent < this.silentSince
    if (this.peerAddressValidated && !late) this.ptoCount = 0
    if (newestSent > this.deliveredAt) this.deliveredAt = newestSent
    this.ecn.onAnswered()
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

  /** A probe goes out whatever the window says (RFC 9002 section 6.2.4). */
  onTimeout(now: number): RecoveryTimeout {
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
      if (lossTime > now) return RecoveryTimeout.none
      this.losses.detect(this.spaces[due]!, due, now, this.pto)
      return RecoveryTimeout.loss
    }
    if (this.probe.deadline(this.spaces) > now) return RecoveryTimeout.none
    this.probeSpace = this.probe.space
    this.probeTimeouts++
    if (this.ptoCount++ === 0) this.silentSince = now
    // The next timeout counts from here even if no probe can be sent, so that it cannot be due at once.
    const sp = this.spaces[this.probeSpace]
    if (sp !== undefined) sp.lastAckElicitingTime = sp.waitingSince = now
    this.probe.lastActivity = now
    this.ecn.onProbeTimeout(now, ECN_TEST_PTOS * this.pto)
    return RecoveryTimeout.probe
  }

  /** ms: the current probe timeout of application packets, without backoff. What timers of whole connections are made of. */
  get pto(): number {
    return this.rtt.ptoBase(this.maxAckDelay)
  }

  /**
   * Asks for the content of the oldest ack-eliciting packets to be sent again, as far as that was not done before. The
   * packets stay outstanding, and their acknowledgement counts as before. False if there was no content.
   */
  takeForProbe(space: number, maxPackets = 2): boolean {
    const sp = this.spaces[space]
    if (sp === undefined) return false
    let taken = 0
    for (let n = sp.base; n < sp.next && taken < maxPackets; n++) {
      if (this.ledger.copy(sp, n & sp.mask)) taken++
    }
    return taken > 0
  }

  /** The same for everything outstanding in the space: the path seems dead, other paths shall carry it. */
  handOver(space: number): boolean {
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
    this.ledger.discard(sp)
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
    while (sp.base < sp.next) this.ledger.forgetBase(sp)
    sp.lost?.clear()
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
        if ((sp.flags[slot]! & PacketFlag.outstanding) !== 0) this.ledger.lost(sp, space, sp.base, now)
        sp.flags[slot] = 0
        sp.base++
      }
      sp.lossTime = Infinity
      sp.lost?.clear()
    }
    this.ledger.bytesInFlight = 0
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
    this.ledger.bytesInFlight = 0
    this.ptoCount = 0
    this.windowFullTime = -Infinity
    this.info.scaledStart = false
    this.rtt.reset(this.initialRtt)
    this.samples?.reset()
    this.reordering.reset()
    this.ecn.restart()
    this.congestion.reset(now)
    this.pacer.reset()
    this.delivery.reset()
  }

  /**
   * The path leads to the address again that it led to before packet `from`. What was sent elsewhere meanwhile is sent again at
   * once, and is in nobody's window: that it is lost there is no congestion (RFC 9000 section 9.3).
   */
  returnToAddress(from: number, rtt: RttEstimator): void {
    const sp = this.spaces[Space.application]
    if (sp !== undefined) for (let n = Math.max(from, sp.base); n < sp.next; n++) this.ledger.forget(sp, n)
    this.ptoCount = 0
    this.rtt.restore(rtt)
  }

  /** Frees what the controller shares with others. The path is not used after this. */
  close(): void {
    this.controller.close()
  }
}
