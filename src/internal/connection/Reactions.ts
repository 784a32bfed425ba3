/**
 * What the receiving parts find out, and who acts on it. One object with methods, where a closure for each would cost every
 * idle connection a kilobyte.
 */
import type { Path } from "../paths/Path.ts"
import type { DatagramBurst } from "../wire/Datagram.ts"
import type { PacketHeader } from "../wire/PacketHeader.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { FailureDetector } from "./FailureDetector.ts"
import type { FrameEvents } from "./Frames.ts"
import type { HandshakeFailure } from "./Handshake.ts"
import type { CloseInfo } from "./Machine.ts"
import type { Migration } from "./Migration.ts"
import type { Negotiation } from "./Negotiation.ts"
import type { PathControl } from "./PathControl.ts"
import type { Probing } from "./Probing.ts"
import type { ReceiverEvents } from "./Receiver.ts"

/** What the connection itself does about the handshake. */
export interface HandshakeReactions {
  readonly onHandshakeFailure: (failure: HandshakeFailure) => void
  readonly onConfirmed: () => void
  readonly onHandshakePacket: () => void
  readonly onIdentified: () => void
}

export class Reactions implements FrameEvents, ReceiverEvents {
  private readonly core: ConnectionState
  private readonly connection: HandshakeReactions
  private readonly pathControl: PathControl
  private readonly migration: Migration
  private readonly failureDetector: FailureDetector
  private readonly negotiation: Negotiation
  private readonly probing: Probing

  constructor(
    core: ConnectionState,
    connection: HandshakeReactions,
    pathControl: PathControl,
    migration: Migration,
    failureDetector: FailureDetector,
    negotiation: Negotiation,
    probing: Probing
  ) {
    this.core = core
    this.connection = connection
    this.pathControl = pathControl
    this.migration = migration
    this.failureDetector = failureDetector
    this.negotiation = negotiation
    this.probing = probing
  }

  onHandshakeFailure(failure: HandshakeFailure): void {
    this.connection.onHandshakeFailure(failure)
  }

  onHandshakeDone(): void {
    this.connection.onConfirmed()
  }

  onHandshakeRepeated(): void {
    this.probing.handshakeEarly()
  }

  onKeysMissing(): void {
    this.probing.handshakeEarly()
  }

  onPeerClose(info: CloseInfo): void {
    this.core.drain(info)
  }

  onPathValidated(path: Path, now: number): void {
    const { validated } = path
    if (validated) this.failureDetector.onAnswered(path, now)
    this.migration.onValidated(path, now)
    if (!validated && path.validated) this.failureDetector.onProven(path, now)
  }

  onPathProven(path: Path, now: number): void {
    this.failureDetector.onProven(path, now)
  }

  onNewToken(token: Uint8Array): void {
    this.core.tokenReceived = token
  }

  onAddressChange(path: Path, burst: DatagramBurst, datagram: number, sequence: number, now: number): void {
    this.migration.onAddressChange(path, burst, datagram, sequence, now)
  }

  onNewPath(pathId: number, burst: DatagramBurst, datagram: number, now: number): Path | undefined {
    return this.pathControl.onNewPath(pathId, burst, datagram, now)
  }

  onHandshakePacket(): void {
    this.connection.onHandshakePacket()
  }

  onSilentPathHeard(path: Path, now: number): void {
    this.failureDetector.onReceived(path, now)
  }

  onRetry(burst: DatagramBurst, datagram: number, header: PacketHeader): void {
    this.negotiation.onRetry(burst, datagram, header)
  }

  onVersionNegotiation(burst: DatagramBurst, header: PacketHeader): void {
    this.negotiation.onVersionNegotiation(burst, header)
  }

  onPeerConnectionId(bytes: Uint8Array): void {
    this.negotiation.onPeerConnectionId(bytes)
    this.connection.onIdentified()
  }

  onKeyUpdate(now: number, initiated: boolean): void {
    const { core } = this
    if (initiated) core.keyUpdates++
    core.handshake.oneRtt!.keepPreviousUntil(now + 3 * core.largestPto())
  }
}
