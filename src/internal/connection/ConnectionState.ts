/**
 * The state that the parts of a connection share, and the tables that hold most of it: streams, datagrams, paths, handshake,
 * built in the order in which they depend on each other. What is done with it is in the other files of this folder.
 */
import type { PacketProtection } from "../crypto/Protection.ts"
import type { Observers } from "../paths/Observer.ts"
import type { Scheduler } from "../paths/Scheduler.ts"
import type { Path } from "../paths/Path.ts"
import type { PathEvent } from "../paths/PathEvent.ts"
import type { ConnectionIdSource } from "../paths/LocalConnectionIds.ts"
import { PathTable } from "../paths/PathTable.ts"
import type { PathTableContext } from "../paths/PathTable.ts"
import type { ResetTokenObserver } from "../paths/RemoteConnectionIds.ts"
import { Space } from "../recovery/PathRecovery.ts"
import type { PathRecovery } from "../recovery/PathRecovery.ts"
import { SentFrameList, SentFramePool } from "../recovery/SentFrames.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import { DatagramQueue } from "../streams/DatagramQueue.ts"
import { StreamTable } from "../streams/StreamTable.ts"
import { AEAD_TAG, Level } from "../wire/Protocol.ts"
import type { Role, Violation } from "../wire/Protocol.ts"
import type { TransportParameters } from "../wire/TransportParameters.ts"
import { AddressExchange } from "./AddressExchange.ts"
import { Handshake } from "./Handshake.ts"
import type { HandshakeEvents } from "./Handshake.ts"
import type { Mistakes } from "./Mistakes.ts"
import type { CloseInfo, ConnectionListener } from "./Machine.ts"
import type { ConnectionPolicies } from "./Policies.ts"
import type { ConnectionSettings } from "../Settings.ts"

const NO_TOKEN = new Uint8Array(0)

/** Overhead of a 1-RTT packet around its frames, beside the connection ID: first byte, packet number and tag. */
const PACKET_OVERHEAD = 1 + 4 + AEAD_TAG

/** Bytes of frames in an otherwise empty packet of the path. */
export const frameRoom = (path: Path): number => path.mtu - PACKET_OVERHEAD - (path.remoteIds.active?.bytes.length ?? 0)

/** What is sent on several paths takes part in repairs. */
export interface FrameCopies {
  /** True if the record waits for another path now: its owner need not send it again. */
  readonly onFrameLost: (recovery: PathRecovery, frame: SentFrame) => boolean
}

export type ConnectionPhase = "handshaking" | "established" | "closing" | "draining" | "closed"

export interface ConnectionStateOptions {
  readonly role: Role
  readonly version: number
  readonly settings: ConnectionSettings
  readonly policies: ConnectionPolicies
  readonly protection: PacketProtection
  readonly host: ConnectionIdSource & ResetTokenObserver
  readonly makePath: PathTableContext["makePath"]
  readonly handshakeEvents: HandshakeEvents
  readonly random: (length: number) => Uint8Array
  readonly now: number
}

export class ConnectionState {
  readonly role: Role
  readonly settings: ConnectionSettings
  readonly scheduler: Scheduler
  readonly random: (length: number) => Uint8Array
  readonly pool = new SentFramePool()
  readonly frames = new SentFrameList(this.pool)
  readonly streams: StreamTable
  readonly datagrams: DatagramQueue
  readonly paths: PathTable
  readonly handshake: Handshake
  readonly addresses: AddressExchange
  listener: ConnectionListener | undefined = undefined
  state: ConnectionPhase = "handshaking"
  /** RFC 9001 section 4.1.2. */
  confirmed = false
  peer: TransportParameters | undefined = undefined
  /** Why it ends or ended; whether a CONNECTION_CLOSE is to be sent; when the last state goes. */
  closeInfo: CloseInfo | undefined = undefined
  closePending = false
  /** ms: when it ended. */
  closedAt = Infinity
  closeDeadline = Infinity
  /** ms: the time of the call that is under way; and whether one is. */
  now: number
  busy = false
  /** Client: token of the Initial packets, of a Retry or of an earlier connection. */
  token: Uint8Array = NO_TOKEN
  /** Client: the last token and the last ticket that the application has not been told of. */
  tokenReceived: Uint8Array | undefined = undefined
  ticketReceived: Uint8Array | undefined = undefined
  /** Server: the token of NEW_TOKEN until the client has it, and whether it is to be sent. */
  newToken: Uint8Array | undefined = undefined
  newTokenPending = false
  handshakeDonePending = false
  pingPending = false
  /** The last packet had datagrams where streams had something to say as well: the next one is theirs. */
  streamsNext = false
  packetsDropped = 0
  packetsReceived = 0
  keyUpdates = 0
  readonly mistakes: Mistakes
  readonly policies: ConnectionPolicies
  readonly observers: Observers | undefined
  /** Made with the second path. */
  copies: FrameCopies | undefined = undefined
  /** An ack-eliciting packet left since the last packet arrived (RFC 9000 section 10.1). */
  elicitedSinceReceive = false
  /** ms: when the last authentic packet arrived, or the first ack-eliciting one left after it (RFC 9000 section 10.1). */
  idleSince = 0
  private readonly events: Array<PathEvent> = []
  /** Path events so far, and those of them that the application has been told of. */
  pathEvents = 0
  private told = 0

  constructor(options: ConnectionStateOptions) {
    const { role, settings } = options
    this.role = role
    this.settings = settings
    this.scheduler = options.policies.scheduler
    this.policies = options.policies
    this.observers = options.policies.observers
    this.mistakes = options.policies.mistakes
    this.random = options.random
    this.now = this.idleSince = options.now
    this.streams = new StreamTable({ role, settings, rtt: () => this.slowestRtt() })
    this.datagrams = new DatagramQueue({
      capacity: settings.datagramQueue,
      maxOutgoingBytes: settings.streamSendBuffer,
      largestFrame: () => this.largestFrame(),
      isOpen: (pathId) => this.paths.get(pathId)?.open === true
    })
    this.addresses = new AddressExchange(role, settings, this.emitPath)
    this.paths = new PathTable({
      role,
      maxPaths: settings.maxPaths,
      activeConnectionIdLimit: settings.activeConnectionIdLimit,
      connectionIds: settings.connectionIds,
      ids: options.host,
      resetTokens: options.host,
      makePath: options.makePath,
      emit: this.emitPath
    })
    this.handshake = new Handshake({
      role,
      version: options.version,
      protection: options.protection,
      events: options.handshakeEvents
    })
  }

  get open(): boolean {
    return this.state === "handshaking" || this.state === "established"
  }

  /** The way out of every part: the peer, or the network, broke the protocol. */
  fail(problem: Violation): void {
    const { code, reason, frameType } = problem
    this.close({ kind: "transport", initiator: "local", code, reason, frameType })
  }

  /** This side closes. The state lives on for three PTOs, to answer what still comes (CLO-2). */
  close(info: CloseInfo): void {
    if (!this.open) return
    this.closeInfo = info
    this.closedAt = this.now
    this.state = "closing"
    this.closePending = true
    this.closeDeadline = this.now + 3 * this.largestPto()
  }

  /** The peer closed, or nothing may be sent any more. */
  drain(info: CloseInfo): void {
    if (this.state === "draining" || this.state === "closed") return
    this.end(info, this.now + 3 * this.largestPto())
  }

  /** Ends without a word: timeouts, version negotiation. */
  vanish(info: CloseInfo): void {
    this.end(info, this.now)
  }

  private end(info: CloseInfo, deadline: number): void {
    if (this.closeInfo === undefined) this.closedAt = this.now
    this.closeInfo ??= info
    this.state = "draining"
    this.closePending = false
    this.closeDeadline = deadline
  }

  emitPath = (event: PathEvent): void => {
    if (event.kind === "abandoned") {
      // What only this path may carry would wait for ever.
      this.streams.onPathClosed(event.pathId)
      this.datagrams.onPathClosed(event.pathId)
    }
    this.pathEvents++
    this.events.push(event)
  }

  readonly onPathState = (path: Path): void => {
    path.stateSince = this.now
    if (this.observers !== undefined) this.observers.pathState(path, this.now)
  }

  /** Tells the application what happened, when the machine is consistent again. */
  flushEvents(): void {
    while (this.events.length > 0) {
      const events = this.events.splice(0)
      for (const event of events) this.listener?.onPath(event, ++this.told)
    }
    if (this.addresses.remote.changed || this.paths.roomChanged) {
      this.addresses.remote.changed = this.paths.roomChanged = false
      this.listener?.onPathRoom?.()
    }
    const { mistakes } = this
    for (; mistakes.logged < mistakes.sentences.length; mistakes.logged++)
      this.listener?.onMistake?.(mistakes.sentences[mistakes.logged]!)
    this.streams.flushWakes()
    this.datagrams.flushWakes()
  }

  /** Largest PTO of all paths in ms: closing, key updates and abandoned paths wait for multiples of it (KEY-1, CLO-2). */
  largestPto(): number {
    let largest = 0
    for (const path of this.paths.all) largest = Math.max(largest, this.pto(path))
    return largest
  }

  /** ms: what flow-control windows must cover. */
  private slowestRtt(): number {
    let slowest = 0
    for (const path of this.paths.all) {
      if (path.open && path.hasRtt && path.state === "active") slowest = Math.max(slowest, path.smoothedRtt)
    }
    return slowest === 0 ? this.settings.initialRtt : slowest
  }

  /** The largest DATAGRAM frame that any open path carries. */
  private largestFrame(): number {
    let largest = 0
    for (const path of this.paths.all) if (path.open) largest = Math.max(largest, frameRoom(path))
    return largest
  }

  pto(path: Path): number {
    return path.recovery.rtt.ptoBase(path.recovery.maxAckDelay)
  }

  /**
   * Asks whether the peer is where the path leads. A way of which nothing is known yet is taken to be like the slowest one
   * that is; it fails as late as RFC 9000 section 8.2.4 says.
   */
  validate(path: Path, now: number): void {
    const own = this.pto(path)
    let interval = own
    if (!path.hasRtt) {
      let slowest = 0
      for (const other of this.paths.all)
        if (other.validated && other.hasRtt) slowest = Math.max(slowest, this.pto(other))
      if (slowest > 0) interval = slowest
    }
    const initial = 3 * this.settings.initialRtt + path.recovery.maxAckDelay
    path.validation.start(now, interval, Math.max(own, initial))
  }

  /** Whether another path works as far as we know: it is proven, and acknowledged. */
  hasAlternative(path: Path | undefined): boolean {
    for (const other of this.paths.all) {
      if (other !== path && other.open && other.validated && other.ptoCount === 0) return true
    }
    return false
  }

  /** Gives up the keys and the packet number space of a level (RFC 9001 section 4.9). */
  discardLevel(level: Level): void {
    this.handshake.discard(level)
    this.paths.primary.recovery.discardSpace(level === Level.initial ? Space.initial : Space.handshake)
    if (level === Level.handshake) this.paths.primary.recovery.hasHandshakeKeys = false
  }
}
