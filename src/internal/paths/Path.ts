/**
 * One path: its addresses, its packet number space with recovery, its connection IDs and its validation. Path 0 is the one
 * of the handshake; a connection without multipath has no other.
 */
import type { PathState, PathStatus, PathView } from "./Scheduler.ts"
import type { CopyQueue } from "../recovery/CopyQueue.ts"
import { Space } from "../recovery/PathRecovery.ts"
import type { PathRecovery } from "../recovery/PathRecovery.ts"
import type { RttEstimator } from "../recovery/RttEstimator.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"
import { Level, MIN_INITIAL_DATAGRAM } from "../wire/Protocol.ts"
import type { LocalConnectionIds } from "./LocalConnectionIds.ts"
import type { MtuDiscovery } from "./MtuDiscovery.ts"
import { PathAnswers } from "./PathAnswers.ts"
import type { PathAnswer } from "./PathAnswers.ts"
import type { PathValidation } from "./PathValidation.ts"
import type { RemoteConnectionId, RemoteConnectionIds } from "./RemoteConnectionIds.ts"

export const spaceOfLevel = (level: Level): number =>
  level === Level.initial ? Space.initial : level === Level.handshake ? Space.handshake : Space.application

/** ms that an address which was proven once is taken as proven when the path leads there again (RFC 9000 section 9.3). */
const PROVEN_FOR = 30_000
/** Addresses remembered for that. */
const MAX_PROVEN = 3

/** Where a path led before its peer's address changed, until the new address is proven (RFC 9000 sections 9.3.2, 9.3.3). */
export interface PreviousAddress {
  readonly local: Address
  readonly remote: Address
  readonly sizeProven: boolean
  readonly peerSequence: number
  readonly observed: Address | undefined
  /** First packet number that was not sent there. */
  readonly until: number
  readonly rtt: RttEstimator
}

export class Path implements PathView {
  readonly id: number
  readonly recovery: PathRecovery
  readonly localIds: LocalConnectionIds
  readonly remoteIds: RemoteConnectionIds
  readonly validation: PathValidation
  readonly discovery: MtuDiscovery
  status: PathStatus = "available"
  remoteStatus: PathStatus | undefined = undefined
  validated = false
  /** Whether 1200-byte datagrams are known to pass in our direction (VAL-4). */
  sizeProven = false
  previous: PreviousAddress | undefined = undefined
  /** UDP payload bytes to and from the address while it is unvalidated (RFC 9000 section 8.1). */
  unvalidatedSent = 0
  unvalidatedReceived = 0
  /** A client sends to addresses that its application chose: the limit is for those that a peer may have made up. */
  readonly limited: boolean
  /** Answers to challenges of the peer, and challenges to the address that a path has left. */
  readonly answers = new PathAnswers()
  /** Sequence number of the ID that the newest packet from the path's address was sent to. */
  peerSequence = 0
  /** ms: when the previous address was asked last whether its owner is still there. */
  challengedAt = -Infinity
  /** ms: when window and RTT last began anew. */
  restartedAt = -Infinity
  /** Client: ms, when it last moved to another local address. */
  movedAt = -Infinity
  /** Client: ms, when the peer last got other connection IDs because it did not answer after a move. */
  replacedAt = -Infinity
  private proven: Array<{ readonly remote: Address; readonly until: number }> | undefined = undefined
  /** Ack-eliciting packets to send although the window is full: PTO probes. */
  probes = 0
  /** Whether they may carry data: not while other paths do that better. */
  probeWithData = true
  /** The time of the poll that is under way: what `canSend` means by now. */
  now = 0
  /** The socket of its local address is full: nothing can leave until it has room. */
  blocked = false
  /** ms: since when nothing is acknowledged, of a path that is probed. */
  silentFrom = 0
  /** The host has lost the local address: what is still acknowledged left before that. */
  addressLost = false
  /** The application has said that the path is not to be relied on; ms: when it took that back. */
  distrusted = false
  trustedAt = -Infinity
  /** When something authentic last arrived here. */
  lastReceived = 0
  lastSent = 0
  /** ms: when a sign of life was last due here (`keepAlive`). */
  keptAliveAt = 0
  packetsReceived = 0
  bytesReceived = 0
  streamBytesSent = 0
  streamBytesReceived = 0
  /** Of `streamBytesSent`, those that had been lost before, here or elsewhere. */
  bytesRetransmitted = 0
  /** Packets that left with copies of what another path carries, and the payload in them. */
  packetsDuplicated = 0
  bytesDuplicated = 0
  packetsReinjected = 0
  bytesReinjected = 0
  /** Packets that the scheduler gave to this path. */
  packetsScheduled = 0
  /** ms: when the path was opened, and when it came into its state. */
  readonly openedAt: number
  stateSince: number
  /** PATH_STATUS: what the peer is told, our sequence number, the peer's, and whether ours must be told. */
  toldStatus: PathStatus = "available"
  statusSequence = 0
  remoteStatusSequence = -1
  statusPending = false
  /** PATH_ABANDON: what we said, what the peer said, and whether ours must be told. */
  abandonCode = -1
  abandonReceived = false
  abandonPending = false
  /** PATH_ABANDON leaves on the path itself. */
  farewellPending = false
  /** Whether the peer has it, by when it must answer, and how long it gets, in ms. */
  abandonAcked = false
  answerBy = Infinity
  abandonPatience = 0
  /** When the state of a closed path is dropped (ABN-5). */
  discardAt = Infinity
  /** What is sent here once more: at once with the original elsewhere, and because it is late there. Made by the first. */
  duplicates: CopyQueue | undefined = undefined
  reinjections: CopyQueue | undefined = undefined
  /** Of `SentFrame.paths`: another one than those of the paths that were there when it was opened. IDs grow for ever. */
  bit = 1
  /** Packet numbers from here on were not looked at for being late, and up to here for other paths being faster. */
  lateFrom = 0
  idleUpTo = -1
  /** ms: when the peer last showed that what we send here arrives. */
  provenAt = -Infinity
  /** The application asked whether the path works, and has not been told yet. */
  probeWanted = false
  /** ms: when a packet that arrived here last brought a probe forward. */
  hintedAt = -Infinity
  /** ms: when a challenge was last answered. */
  answeredAt = -Infinity
  /** Where the peer sees us on this path, by its newest report, and the number of that one. */
  observed: Address | undefined = undefined
  observedSequence = -1
  /** The peer is to be told where we see it, if it wants that; and the number of the last report. */
  reportDue = true
  reportSequence = -1
  /** Path that the acknowledgements behind our RTT samples came on. */
  ackPath: number
  /** ms: since when acknowledgements have come on another path only. */
  private elsewhereSince = Infinity
  private current: PathState = "validating"
  private from: Address
  private to: Address
  private readonly onState: ((path: Path, before: PathState) => void) | undefined

  constructor(options: {
    readonly id: number
    readonly local: Address
    readonly remote: Address
    readonly recovery: PathRecovery
    readonly localIds: LocalConnectionIds
    readonly remoteIds: RemoteConnectionIds
    readonly validation: PathValidation
    readonly discovery: MtuDiscovery
    readonly limited: boolean
    readonly now: number
    readonly onState?: ((path: Path, before: PathState) => void) | undefined
  }) {
    this.id = this.ackPath = options.id
    this.limited = options.limited
    this.from = options.local
    this.to = options.remote
    this.recovery = options.recovery
    this.localIds = options.localIds
    this.remoteIds = options.remoteIds
    this.validation = options.validation
    this.discovery = options.discovery
    this.openedAt = this.stateSince = options.now
    this.onState = options.onState
  }

  get hasCopies(): boolean {
    return this.duplicates?.head !== undefined || this.reinjections?.head !== undefined
  }
  get queuedReinjections(): number {
    return this.reinjections?.count ?? 0
  }
  get hasRtt(): boolean {
    return this.recovery.rtt.hasSample
  }
  get smoothedRtt(): number {
    return this.recovery.rtt.smoothed
  }
  get rttVariance(): number {
    return this.recovery.rtt.variance
  }
  get latestRtt(): number {
    return this.recovery.rtt.latest
  }
  get minRtt(): number {
    return this.recovery.rtt.min
  }
  get congestionWindow(): number {
    return this.recovery.controller.congestionWindow
  }
  get bytesInFlight(): number {
    return this.recovery.bytesInFlight
  }
  get deliveryRate(): number {
    return this.recovery.delivery.rate
  }
  /** To an address that is not proven, what every way carries: who knows what lies behind it. */
  get mtu(): number {
    return this.validated || this.previous === undefined ? this.discovery.current : this.discovery.base
  }
  get packetsSent(): number {
    return this.recovery.packetsSent
  }
  get packetsLost(): number {
    return this.recovery.packetsLost
  }
  get lossRate(): number {
    const sent = this.recovery.packetsSent
    return sent === 0 ? 0 : this.recovery.packetsLost / sent
  }
  get ptoCount(): number {
    return this.recovery.ptoCount
  }
  get canSend(): boolean {
    return !this.blocked && this.recovery.canSend(this.mtu, this.now) && this.amplificationBudget() >= this.mtu
  }
  get nextSendTime(): number {
    // At the 3x limit, and with a full socket, time alone changes nothing.
    return this.blocked || this.amplificationBudget() < this.mtu ? Infinity : this.recovery.nextSendTime(this.now)
  }

  /**
   * Whether an acknowledgement that came on path `carrier` may give an RTT sample of this one. Samples include the way back,
   * so those by this path itself go first; another way back counts once it has been the only one for a probe timeout (a path
   * that was quiet had nothing to acknowledge), and then the minimum starts anew (RTT-1, RTT-2).
   */
  samplesFrom(carrier: number, now: number): boolean {
    if (carrier !== this.ackPath) {
      if (carrier !== this.id && this.recovery.rtt.hasSample) {
        if (this.elsewhereSince === Infinity) this.elsewhereSince = now
        if (now - this.elsewhereSince < this.recovery.pto) return false
      }
      this.ackPath = carrier
      this.recovery.rtt.resetMin()
    }
    this.elsewhereSince = Infinity
    return true
  }

  get local(): Address {
    return this.from
  }

  set local(address: Address) {
    this.from = this.recovery.local = address
  }

  get remote(): Address {
    return this.to
  }

  set remote(address: Address) {
    this.to = this.recovery.remote = address
  }

  get state(): PathState {
    return this.current
  }

  set state(state: PathState) {
    const before = this.current
    if (state === before) return
    this.current = state
    this.recovery.usable = state === "active"
    this.onState?.(this, before)
  }

  /** Open in the sense of the draft: not abandoned by either side. */
  get open(): boolean {
    return this.state !== "closing" && this.state !== "closed"
  }

  /** Bytes that may still go to an address that is not validated (RFC 9000 section 8.1). */
  amplificationBudget(): number {
    return this.validated || !this.limited ? Infinity : Math.max(0, this.unvalidatedReceived * 3 - this.unvalidatedSent)
  }

  /** Something authentic came. */
  onDatagramReceived(bytes: number): void {
    this.bytesReceived += bytes
  }

  /** A datagram came from the path's address, which is not validated. */
  onUnvalidatedBytes(bytes: number): void {
    this.unvalidatedReceived += bytes
    this.recovery.amplificationBlocked = this.amplificationBudget() < MIN_INITIAL_DATAGRAM
  }

  onDatagramSent(bytes: number, now: number): void {
    this.lastSent = now
    if (!this.validated) {
      this.unvalidatedSent += bytes
      this.recovery.amplificationBlocked = this.amplificationBudget() < MIN_INITIAL_DATAGRAM
    }
  }

  /** The peer proved that it receives at this address. */
  setValidated(): void {
    this.validated = true
    this.recovery.amplificationBlocked = false
    if (this.state === "validating") this.state = "active"
  }

  /** Whether the path led there before its peer's address changed. */
  leadTo(local: Address, remote: Address): boolean {
    const { previous } = this
    return previous !== undefined && sameAddress(previous.remote, remote) && sameAddress(previous.local, local)
  }

  /** The connection ID for an answer: none is used between two pairs of addresses (RFC 9000 section 9.5). */
  idFor(answer: PathAnswer): RemoteConnectionId | undefined {
    const { local, remote, sequence } = answer
    const { remoteIds } = this
    const here = sameAddress(local, this.local)
    if (here && sameAddress(remote, this.remote)) return remoteIds.active
    if (this.leadTo(local, remote)) return remoteIds.idOf(local, remote)
    // Under the ID that the path's own packets come under, a translator has moved them, or somebody copies them.
    if ((here && sequence === this.peerSequence) || remoteIds.active?.bytes.length === 0) return remoteIds.active
    return answer.responses.length === 0 ? undefined : remoteIds.reserve(local, remote)
  }

  /** Moves the path to another address of the peer, not yet proven (VAL-6). */
  moveTo(local: Address, remote: Address): void {
    if (this.validated) this.keepPrevious()
    this.local = local
    this.remote = remote
    this.validated = false
    this.sizeProven = false
    this.unvalidatedReceived = 0
    this.unvalidatedSent = 0
    this.reportDue = true
  }

  /** Remembers where the path leads, and what is known of the way, before it moves. */
  keepPrevious(): void {
    const { recovery } = this
    this.previous = {
      local: this.local,
      remote: this.remote,
      sizeProven: this.sizeProven,
      peerSequence: this.peerSequence,
      observed: this.observed,
      until: recovery.sent(Space.application)!.next,
      rtt: recovery.rtt.copy()
    }
  }

  /** Back to the address before, with what is known of the way there. What was sent elsewhere says nothing about it. */
  goBack(): void {
    const { previous } = this
    if (previous === undefined) return
    this.previous = undefined
    this.local = previous.local
    this.remote = previous.remote
    this.reportDue = true
    this.sizeProven = previous.sizeProven
    this.peerSequence = previous.peerSequence
    this.observed = previous.observed
    this.validation.stop()
    this.recovery.returnToAddress(previous.until, previous.rtt)
    this.setValidated()
  }

  /** The new address is proven: from now on the one before is only remembered. */
  forgetPrevious(now: number): void {
    if (this.previous === undefined) return
    const entry = { remote: this.previous.remote, until: now + PROVEN_FOR }
    this.proven = [entry, ...(this.proven ?? []).filter(({ remote }) => !sameAddress(remote, entry.remote))]
    this.proven.length = Math.min(this.proven.length, MAX_PROVEN)
    this.previous = undefined
  }

  /** Whether an address was proven not long ago. */
  wasProven(remote: Address, now: number): boolean {
    return this.proven?.some((entry) => entry.until > now && sameAddress(entry.remote, remote)) === true
  }

  /** The path leads another way: what was learned of the old one means nothing (RFC 9000 section 9.4). */
  restart(now: number): void {
    this.restartedAt = now
    this.recovery.resetForNewAddress(now)
    this.restartDiscovery()
  }

  private restartDiscovery(): void {
    this.discovery.restart()
    this.recovery.maxDatagramSize = this.discovery.current
  }
}
