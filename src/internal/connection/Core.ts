/**
 * The state that the parts of a connection share. Each piece has one owner among them; this is where they find each other.
 */
import type { Scheduler } from "../paths/Scheduler.ts"
import type { Path } from "../paths/Path.ts"
import type { PathEvent } from "../paths/PathEvent.ts"
import type { PathTable } from "../paths/PathTable.ts"
import { Space } from "../recovery/PathRecovery.ts"
import type { PathRecovery, RecoveryEvents } from "../recovery/PathRecovery.ts"
import { SentFrameKind, SentFrameList, SentFramePool } from "../recovery/SentFrames.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import type { DatagramQueue } from "../streams/DatagramQueue.ts"
import type { CryptoStream } from "../streams/CryptoStream.ts"
import type { StreamTable } from "../streams/StreamTable.ts"
import { Level } from "../wire/Protocol.ts"
import type { Role, Violation } from "../wire/Protocol.ts"
import type { TransportParameters } from "../wire/TransportParameters.ts"
import type { Handshake } from "./Handshake.ts"
import type { Mistakes } from "./Mistakes.ts"
import type { CloseInfo, ConnectionListener } from "./Machine.ts"
import type { ConnectionPolicies } from "./Policies.ts"
import type { ConnectionSettings } from "../Settings.ts"

const NO_TOKEN = new Uint8Array(0)

export type ConnectionState = "handshaking" | "established" | "closing" | "draining" | "closed"

export class ConnectionCore implements RecoveryEvents {
  readonly role: Role
  readonly settings: ConnectionSettings
  readonly scheduler: Scheduler
  readonly random: (length: number) => Uint8Array
  readonly pool = new SentFramePool()
  readonly frames = new SentFrameList(this.pool)
  paths!: PathTable
  streams!: StreamTable
  datagrams!: DatagramQueue
  handshake!: Handshake
  listener: ConnectionListener | undefined = undefined
  state: ConnectionState = "handshaking"
  /** RFC 9001 section 4.1.2. */
  confirmed = false
  peer: TransportParameters | undefined = undefined
  /** Why it ends or ended. */
  closeInfo: CloseInfo | undefined = undefined
  /** Address validation token for Initial packets (client, after Retry). */
  token: Uint8Array = NO_TOKEN
  handshakeDonePending = false
  pingPending = false
  packetsDropped = 0
  packetsReceived = 0
  keyUpdates = 0
  readonly mistakes: Mistakes
  /** An ack-eliciting packet left since the last packet arrived (RFC 9000 section 10.1). */
  elicitedSinceReceive = false
  /** ms: when the last authentic packet arrived, or the first ack-eliciting one left after it (RFC 9000 section 10.1). */
  idleSince = 0
  private readonly events: Array<PathEvent> = []

  constructor(options: {
    readonly role: Role
    readonly settings: ConnectionSettings
    readonly policies: ConnectionPolicies
    readonly random: (length: number) => Uint8Array
  }) {
    this.role = options.role
    this.settings = options.settings
    this.scheduler = options.policies.scheduler
    this.mistakes = options.policies.mistakes
    this.random = options.random
  }

  get open(): boolean {
    return this.state === "handshaking" || this.state === "established"
  }

  /** The way out of every part. */
  fail!: (violation: Violation) => void

  emitPath = (event: PathEvent): void => {
    if (event.kind === "abandoned") {
      // What only this path may carry would wait for ever.
      this.streams.onPathClosed(event.pathId)
      this.datagrams.onPathClosed(event.pathId)
    }
    this.events.push(event)
  }

  /** Tells the application what happened, when the machine is consistent again. */
  flushEvents(): void {
    while (this.events.length > 0) {
      const events = this.events.splice(0)
      for (const event of events) this.listener?.onPath(event)
    }
    const { untold } = this.mistakes
    for (const message of untold.length > 0 ? untold.splice(0) : untold) this.listener?.onMistake?.(message)
    this.streams.flushWakes()
    this.datagrams.flushWakes()
  }

  /** Largest PTO of all paths in ms: closing, key updates and abandoned paths wait for multiples of it (KEY-1, CLO-2). */
  largestPto(): number {
    let largest = 0
    for (const path of this.paths.all) largest = Math.max(largest, this.pto(path))
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

  frameAcked(recovery: PathRecovery, frame: SentFrame): void {
    switch (frame.kind) {
      case SentFrameKind.stream:
      case SentFrameKind.resetStream:
      case SentFrameKind.stopSending:
      case SentFrameKind.maxData:
      case SentFrameKind.maxStreamData:
      case SentFrameKind.maxStreams:
      case SentFrameKind.dataBlocked:
      case SentFrameKind.streamDataBlocked:
      case SentFrameKind.streamsBlocked:
        this.streams.onFrameAcked(frame)
        break
      case SentFrameKind.ack: {
        // RFC 9000 section 13.2.4: what the peer knows we received need not be repeated.
        const received =
          frame.space === Space.application
            ? this.paths.get(frame.pathId)?.recovery.received(Space.application)
            : recovery.received(frame.space)
        received?.onAckOfAck(frame.value)
        break
      }
      case SentFrameKind.crypto:
        ;(frame.owner as CryptoStream).onFrameAcked(frame)
        break
      case SentFrameKind.mtuProbe: {
        const path = this.paths.get(recovery.pathId)
        if (path === undefined) break
        path.discovery.onProbeAcked(frame.value)
        recovery.maxDatagramSize = path.mtu
        break
      }
      default:
        this.paths.frames.onAcked(frame)
    }
  }

  frameLost(recovery: PathRecovery, frame: SentFrame): void {
    switch (frame.kind) {
      case SentFrameKind.stream:
      case SentFrameKind.resetStream:
      case SentFrameKind.stopSending:
      case SentFrameKind.maxData:
      case SentFrameKind.maxStreamData:
      case SentFrameKind.maxStreams:
      case SentFrameKind.dataBlocked:
      case SentFrameKind.streamDataBlocked:
      case SentFrameKind.streamsBlocked:
        this.streams.onFrameLost(frame)
        break
      case SentFrameKind.crypto:
        ;(frame.owner as CryptoStream).onFrameLost(frame)
        break
      case SentFrameKind.handshakeDone:
        this.handshakeDonePending = true
        break
      case SentFrameKind.mtuProbe:
        this.paths.get(recovery.pathId)?.discovery.onProbeLost(frame.value)
        break
      // Acknowledgements, PINGs, datagrams and path probes are not repeated as they were (RFC 9000 section 13.3).
      case SentFrameKind.ack:
      case SentFrameKind.ping:
      case SentFrameKind.datagram:
      case SentFrameKind.pathChallenge:
      case SentFrameKind.pathResponse:
      case SentFrameKind.newToken:
        break
      default:
        this.paths.frames.onLost(frame)
    }
  }

  packetAcked(recovery: PathRecovery, space: number, packetNumber: number, bytes: number): void {
    // RFC 9002 section 6.2.2.1: who acknowledges Handshake packets has validated our address.
    if (space === Space.handshake) recovery.peerAddressValidated = true
    if (space !== Space.application) return
    const path = this.paths.get(recovery.pathId)
    if (path === undefined) return
    path.discovery.onPacketAcked(packetNumber, bytes)
    this.scheduler.onPacketAcked?.(path, bytes)
  }

  packetLost(recovery: PathRecovery, space: number, packetNumber: number, bytes: number): void {
    if (space !== Space.application) return
    const path = this.paths.get(recovery.pathId)
    if (path === undefined) return
    const { next } = recovery.sent(Space.application)!
    if (path.discovery.onPacketLost(packetNumber, bytes, next)) recovery.maxDatagramSize = path.mtu
    this.scheduler.onPacketLost?.(path, bytes)
  }

  /** Gives up the keys and the packet number space of a level (RFC 9001 section 4.9). */
  discardLevel(level: Level): void {
    this.handshake.discard(level)
    this.paths.primary.recovery.discardSpace(level === Level.initial ? Space.initial : Space.handshake)
    if (level === Level.handshake) this.paths.primary.recovery.hasHandshakeKeys = false
  }
}
