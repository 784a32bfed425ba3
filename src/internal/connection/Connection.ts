/**
 * A QUIC connection: the parts put together, and what the shell calls. Synchronous; time and randomness are handed in.
 */
import type { PacketProtection } from "../crypto/Protection.ts"
import type { PathStatus, PathView } from "../paths/Scheduler.ts"
import type { ConnectionIdSource, LocalConnectionId, LocalConnectionIds } from "../paths/LocalConnectionIds.ts"
import { MtuDiscovery } from "../paths/MtuDiscovery.ts"
import { Path } from "../paths/Path.ts"
import { pathStats } from "../paths/PathStatistics.ts"
import type { PathStats } from "../paths/PathStatistics.ts"
import { PathValidation } from "../paths/PathValidation.ts"
import type { RemoteAddresses } from "../paths/RemoteAddresses.ts"
import type { RemoteConnectionIds, ResetTokenObserver } from "../paths/RemoteConnectionIds.ts"
import { PathRecovery } from "../recovery/PathRecovery.ts"
import type { DatagramQueue } from "../streams/DatagramQueue.ts"
import type { StreamTable } from "../streams/StreamTable.ts"
import type { HandshakeInfo, TlsOutput, TlsSession } from "../tls/TlsSession.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address, DatagramBurst, TransmitSink } from "../wire/Datagram.ts"
import { datagramRoom } from "../wire/FrameWriter.ts"
import { isViolation, Level } from "../wire/Protocol.ts"
import type { Role, Violation } from "../wire/Protocol.ts"
import { decodeTransportParameters } from "../wire/TransportParameters.ts"
import type { AdvertiseRefusal } from "./AddressExchange.ts"
import { Closing } from "./Closing.ts"
import { ConnectionState, frameRoom } from "./ConnectionState.ts"
import type { ConnectionPhase } from "./ConnectionState.ts"
import { Delivery } from "./Delivery.ts"
import { FailureDetector } from "./FailureDetector.ts"
import { Frames } from "./Frames.ts"
import type { HandshakeEvents, HandshakeFailure } from "./Handshake.ts"
import { HandshakeSender } from "./HandshakeSender.ts"
import { LocalMigration } from "./LocalMigration.ts"
import type { CloseInfo, ConnectionListener, ConnectionMachine, ConnectionStats, OpenPathRefusal } from "./Machine.ts"
import { checkParameters, encodeParameters } from "./Parameters.ts"
import { Migration } from "./Migration.ts"
import { Negotiation } from "./Negotiation.ts"
import { PathControl } from "./PathControl.ts"
import { Probing } from "./Probing.ts"
import type { ConnectionPolicies } from "./Policies.ts"
import { schedulerName } from "./Policies.ts"
import { Reactions } from "./Reactions.ts"
import type { HandshakeReactions } from "./Reactions.ts"
import { Receiver } from "./Receiver.ts"
import { Reinjection } from "./Reinjection.ts"
import { Sender } from "./Sender.ts"
import type { ConnectionSettings } from "../Settings.ts"
import { Timers } from "./Timers.ts"

/** What a connection asks of its endpoint. */
export interface ConnectionHost extends ConnectionIdSource, ResetTokenObserver {
  readonly onWake: (connection: Connection) => void
  /** Server: the client's address was validated for the first time. */
  readonly onAddressValidated: () => void
  /** Server: a token with which a client at this address can come back. */
  readonly newToken: (remote: Address) => Uint8Array
  readonly onDiscarded: (connection: Connection) => void
}

export interface ConnectionOptions {
  readonly role: Role
  readonly settings: ConnectionSettings
  readonly version: number
  readonly local: Address
  readonly remote: Address
  /** The ID that the peer's first packets come back to. */
  readonly ownId: LocalConnectionId
  /** Destination of the client's first Initial here, which the keys of Initials come from; on the client chosen by us. */
  readonly initialId: Uint8Array
  /** Destination of its very first Initial; not the same if a Retry answered that. */
  readonly originalId: Uint8Array
  /** Server: source of that Retry. */
  readonly retryId: Uint8Array | undefined
  /** Client: proves our address, if it is of this server. */
  readonly token: Uint8Array | undefined
  /** The peer's address is known to be its own; at a client always. */
  readonly addressProven: boolean
  /** Server: the first packet of the client is authentic. Set the listener at once. */
  readonly onAccepted: ((connection: Connection) => void) | undefined
  readonly host: ConnectionHost
  readonly protection: PacketProtection
  readonly policies: ConnectionPolicies
  /** Makes the TLS session once the transport parameters are encoded. */
  readonly tls: (transportParameters: Uint8Array, output: TlsOutput) => TlsSession
  readonly random: (length: number) => Uint8Array
  readonly randomNumber: () => number
  readonly now: number
}

export class Connection implements ConnectionMachine, HandshakeEvents, HandshakeReactions {
  readonly id: string
  readonly role: Role
  readonly settings: ConnectionSettings
  readonly streams: StreamTable
  readonly datagrams: DatagramQueue
  readonly core: ConnectionState
  private readonly delivery: Delivery
  /** Whether the endpoint has it on its list of connections to poll, and its datagrams of the burst that is worked off. */
  queued = false
  /** Waits for room in a socket. */
  held = false
  inbox = 0
  /** Deadline that the endpoint's heap knows of, Infinity if none, and its place there. */
  armed = Infinity
  place = -1
  private readonly options: ConnectionOptions
  private readonly receiver: Receiver
  private readonly sender: Sender
  private readonly handshakeSender: HandshakeSender
  private readonly closing: Closing
  private readonly pathControl: PathControl
  private readonly failureDetector: FailureDetector
  private readonly localMigration: LocalMigration
  private readonly timers: Timers
  private readonly negotiation: Negotiation
  private establishedPending = false
  private confirmedPending = false
  private closeAnnounced = false

  constructor(options: ConnectionOptions) {
    this.options = options
    this.role = options.role
    this.settings = options.settings
    this.id = Buffer.from(options.originalId).toString("hex")
    const core = new ConnectionState({
      ...options,
      makePath: (id, local, remote, localIds, remoteIds) => this.makePath(id, local, remote, localIds, remoteIds),
      handshakeEvents: this
    })
    this.core = core
    this.delivery = new Delivery(core)
    this.streams = core.streams
    this.datagrams = core.datagrams
    this.closing = new Closing(core)
    this.sender = new Sender(core)
    this.handshakeSender = new HandshakeSender(core)
    if (options.role === "client") this.handshakeSender.onHandshakePacketSent = () => this.discardInitial()
    this.pathControl = new PathControl(core)
    const migration = new Migration(core, this.pathControl)
    const probing = new Probing(core, this.handshakeSender)
    const failureDetector = new FailureDetector(core, this.pathControl, probing, new Reinjection())
    this.failureDetector = failureDetector
    this.localMigration = new LocalMigration(core, migration, failureDetector, probing)
    this.timers = new Timers(core, this.sender, this.pathControl, migration, failureDetector, options.now)
    this.negotiation = new Negotiation(core, options.protection, {
      original: options.originalId,
      retry: options.retryId,
      local: options.ownId.bytes,
      remote: undefined
    })
    const { negotiation, pathControl } = this
    const reactions = new Reactions(core, this, pathControl, migration, failureDetector, negotiation, probing)
    this.receiver = new Receiver(core, new Frames(core, reactions), reactions, options.ownId.bytes.length)
    const client = options.role === "client"
    // Until the server answers, its connection ID is the one that we made up.
    const path = core.paths.openInitial(
      options.local,
      options.remote,
      options.ownId,
      client ? options.initialId : undefined
    )
    path.lastReceived = options.now
    path.recovery.peerAddressValidated = !client
    if (options.addressProven) path.setValidated()
    if (options.token !== undefined) core.token = options.token
    core.handshake.installInitial(options.initialId)
    const encoded = encodeParameters({
      role: options.role,
      settings: options.settings,
      version: options.version,
      ids: this.negotiation.ids,
      resetToken: options.role === "server" ? options.ownId.resetToken : undefined,
      initialMaxPathId: core.paths.initialMaxPathId,
      random: options.random
    })
    const failure = core.handshake.begin(options.tls(encoded, core.handshake.output))
    if (failure !== undefined) this.onHandshakeFailure(failure)
  }

  get listener(): ConnectionListener | undefined {
    return this.core.listener
  }
  set listener(listener: ConnectionListener | undefined) {
    this.core.listener = listener
  }
  get state(): ConnectionPhase {
    return this.core.state
  }
  get handshake(): HandshakeInfo | undefined {
    return this.core.handshake.info
  }
  get confirmed(): boolean {
    return this.core.confirmed
  }
  get busy(): boolean {
    return this.core.busy
  }
  get multipath(): boolean {
    return this.core.paths.multipath
  }
  get closeInfo(): CloseInfo | undefined {
    return this.core.closeInfo
  }
  get paths(): ReadonlyArray<Path> {
    return this.core.paths.all
  }
  get remoteAddresses(): RemoteAddresses {
    return this.core.addresses.remote
  }
  observedAddress(pathId: number): Address | undefined {
    return this.core.paths.get(pathId)?.observed
  }

  advertise(address: Address): AdvertiseRefusal | undefined {
    return this.core.addresses.advertise(address, this.core.paths.primary)
  }

  withdraw(address: Address): void {
    this.core.addresses.withdraw(address, this.core.paths.primary)
  }

  path(id: number): Path | undefined {
    return this.core.paths.get(id)
  }

  /** Datagrams of a burst, by index; `ids` are the connection IDs they were sent to. */
  receive(
    burst: DatagramBurst,
    indexes: Int32Array,
    ids: ReadonlyArray<LocalConnectionId | undefined>,
    count: number,
    now: number
  ): void {
    const { core } = this
    core.now = now
    core.busy = true
    try {
      if (core.open) {
        this.sender.onReceived()
        this.receiver.receive(burst, indexes, ids, count, now)
      } else {
        for (let i = 0; i < count; i++) this.closing.onDatagram()
      }
    } finally {
      core.busy = false
    }
    this.settle()
  }

  /** Sends what may be sent now. `false`: a socket is full, something may wait for it. */
  poll(now: number, sink: TransmitSink): boolean {
    const { core } = this
    core.now = now
    core.busy = true
    let ready = true
    try {
      if (core.open) {
        ready = this.handshakeSender.poll(now, sink, this.negotiation.ids.local)
        ready = this.sender.poll(now, sink) && ready
      }
      if (core.state === "closing") this.closing.poll(now, sink, this.negotiation.ids.local)
    } finally {
      core.busy = false
    }
    this.settle()
    return ready
  }

  nextTimeout(): number {
    return this.timers.next()
  }

  onTimeout(now: number): void {
    this.during(now, () => this.timers.onTimeout(now))
    this.settle()
    if (this.core.state !== "closing" && this.core.state !== "draining") return
    if (this.core.closeDeadline <= now) this.discard()
  }

  /** Whether packets to this address are on one of its paths. */
  leadsTo(remote: Address): boolean {
    for (const path of this.core.paths.all) if (sameAddress(path.remote, remote)) return true
    return false
  }

  /** A datagram that ends in a reset token of the peer (RFC 9000 section 10.3). */
  onStatelessReset(now: number): void {
    if (!this.core.open) return
    this.core.now = now
    this.core.drain({ kind: "statelessReset" })
    this.settle()
  }

  /**
   * A part that the user gave (a scheduler, a controller) or one of ours threw: the connection ends with INTERNAL_ERROR, the
   * endpoint goes on.
   */
  onDefect(cause: unknown, now: number): void {
    this.core.now = now
    this.core.frames.discard()
    this.core.close({ kind: "internal", cause })
    this.wake()
  }

  openPath(
    options: {
      readonly local: Address
      readonly remote?: Address | undefined
      readonly status?: PathStatus | undefined
    },
    now: number
  ): number | OpenPathRefusal {
    return this.during(now, () =>
      this.pathControl.open(options.local, options.remote, options.status ?? "available", now)
    )
  }

  get pathEvents(): number {
    return this.core.pathEvents
  }

  pathRefusal(remote: Address): OpenPathRefusal | undefined {
    return this.pathControl.refusal(remote)
  }

  migratePath(pathId: number, local: Address, gone: boolean, now: number): OpenPathRefusal | undefined {
    const path = this.core.paths.get(pathId)
    return path === undefined ? "closed" : this.during(now, () => this.localMigration.migrate(path, local, gone, now))
  }

  localAddressLost(pathId: number): void {
    const path = this.core.paths.get(pathId)
    if (path !== undefined) this.during(this.core.now, () => this.localMigration.onAddressLost(path))
  }

  localAddressBack(pathId: number): void {
    const path = this.core.paths.get(pathId)
    if (path !== undefined) this.localMigration.onAddressBack(path)
  }

  setPathState(pathId: number, state: "active" | "potentiallyFailed", now: number): boolean {
    const path = this.core.paths.get(pathId)
    if (path === undefined || !path.open) return false
    this.during(now, () => {
      if (state === "active") this.failureDetector.onTrusted(path, now)
      else this.failureDetector.onDistrusted(path)
    })
    return true
  }

  setPathStatus(pathId: number, status: PathStatus): boolean {
    const path = this.core.paths.get(pathId)
    if (path === undefined || !path.open) return false
    this.core.paths.setStatus(path, status)
    return true
  }

  probePath(pathId: number, now: number): boolean {
    const path = this.core.paths.get(pathId)
    if (path === undefined || !path.open) return false
    // An attempt that is under way answers, too.
    if (!path.validation.running) this.core.validate(path, now)
    path.probeWanted = true
    // A challenge alone does not tell the peer that an address has changed (RFC 9000 section 9.1).
    path.probes = Math.max(path.probes, 1)
    return true
  }

  closePath(pathId: number, code: number, now: number): boolean {
    return this.during(now, () => this.pathControl.close(pathId, code, now))
  }

  maxDatagramSize(): number {
    const limit = this.core.peer?.maxDatagramFrameSize ?? 0
    if (limit === 0) return 0
    let room = limit
    for (const path of this.core.paths.all) if (path.open) room = Math.min(room, frameRoom(path))
    return Math.max(0, datagramRoom(room))
  }

  updateKeys(now: number): boolean {
    const keys = this.core.handshake.oneRtt
    if (!this.core.open || keys === undefined || !keys.initiateUpdate(now, this.core.largestPto())) return false
    this.core.keyUpdates++
    return true
  }

  close(code: number, reason: string, now: number): void {
    this.core.now = now
    this.core.close({ kind: "application", initiator: "local", code, reason })
    this.wake()
  }

  wake(): void {
    this.options.host.onWake(this)
  }

  /** `now`: for what depends on the time; by default that of the last call. */
  stats(now: number = this.core.now): ConnectionStats {
    const { core } = this
    return {
      ...core.paths.totals.with(core.paths.all),
      packetsDropped: core.packetsDropped,
      addressesDropped: core.addresses.dropped,
      datagramsDropped: this.datagrams.droppedIncoming + this.datagrams.droppedOutgoing,
      keyUpdates: core.keyUpdates,
      scheduler: schedulerName(core.scheduler),
      schedulerMistakes: core.mistakes.scheduler,
      controllerMistakes: core.mistakes.controller,
      policyMistakes: core.mistakes.policy,
      mistakes: core.mistakes.sentences,
      paths: core.paths.all.map((path) => this.pathStats(path, now))
    }
  }

  /** Also of a path that is gone: it keeps its last figures. */
  pathStats(path: PathView, now: number): PathStats {
    const { closedAt, closeInfo, paths } = this.core
    const stats = pathStats(path as Path, now, paths.totals.scheduled(paths.all))
    return closeInfo === undefined || stats.state === "closed"
      ? stats
      : { ...stats, state: "closed", timeInState: Math.max(0, now - closedAt) }
  }

  /** Bytes of the largest frame that some open path carries. */
  private makePath(
    id: number,
    local: Address,
    remote: Address,
    localIds: LocalConnectionIds,
    remoteIds: RemoteConnectionIds
  ): Path {
    const { settings, random, randomNumber, policies } = this.options
    const recovery = new PathRecovery({
      pathId: id,
      events: this.delivery,
      pool: this.core.pool,
      controllers: policies.controllers,
      local,
      remote,
      random: randomNumber,
      initialRtt: settings.initialRtt,
      maxDatagramSize: settings.initialMtu,
      scaledStart: settings.scaledStart && id > 0 && this.core.hasAlternative(undefined),
      localMaxAckDelay: settings.maxAckDelay,
      ecn: settings.ecn,
      maxPtoInterval: settings.maxPtoInterval
    })
    const discovery = new MtuDiscovery(settings.initialMtu, settings.maxMtu, settings.mtuDiscovery)
    const { peer } = this.core
    if (peer !== undefined) {
      recovery.maxAckDelay = peer.maxAckDelay
      discovery.limit(peer.maxUdpPayloadSize)
      recovery.maxDatagramSize = discovery.current
    }
    const path = new Path({
      id,
      local,
      remote,
      recovery,
      localIds,
      remoteIds,
      validation: new PathValidation(random),
      discovery,
      limited: this.role === "server",
      now: this.core.now,
      onState: this.core.onPathState
    })
    this.core.observers?.pathState(path, this.core.now)
    return path
  }

  /** For `Handshake`. */
  onPeerParameters(encoded: Uint8Array): Violation | undefined {
    const { core } = this
    const received = decodeTransportParameters(encoded, this.role === "client" ? "server" : "client")
    if (isViolation(received)) return received
    const problem = checkParameters(this.role, received, this.negotiation.ids, core.handshake.version)
    if (problem !== undefined) return problem
    // What was only there to be checked is not kept for the life of the connection.
    const peer = { ...received, initialSourceConnectionId: undefined, versionInformation: undefined }
    core.peer = peer
    core.paths.applyPeerParameters(peer.initialMaxPathId, peer.activeConnectionIdLimit)
    this.streams.applyPeerParameters(peer)
    const { primary } = core.paths
    primary.recovery.maxAckDelay = peer.maxAckDelay
    primary.discovery.limit(peer.maxUdpPayloadSize)
    primary.recovery.maxDatagramSize = primary.discovery.current
    if (peer.statelessResetToken !== undefined) primary.remoteIds.setInitialResetToken(peer.statelessResetToken)
    return undefined
  }

  /** For `Handshake`: keys that packets may already wait for. */
  onKeys(level: Level): void {
    if (level === Level.handshake) this.core.paths.primary.recovery.hasHandshakeKeys = true
  }

  /** For `Handshake`. */
  onTicket(ticket: Uint8Array): void {
    this.core.ticketReceived = ticket
  }

  /** For `Handshake`. */
  onComplete(): void {
    const { core } = this
    if (core.state !== "handshaking") return
    core.state = "established"
    this.establishedPending = true
    core.paths.issueConnectionIds()
    core.addresses.begin(core.peer!, core.paths.multipath, core.paths.primary)
    if (this.role === "server") {
      core.handshakeDonePending = true
      core.newToken = this.options.host.newToken(core.paths.primary.remote)
      core.newTokenPending = true
      this.onConfirmed()
    }
  }

  /** For `Reactions`: the handshake is confirmed (RFC 9001 section 4.1.2). */
  onConfirmed(): void {
    const { core } = this
    if (core.confirmed || core.handshake.oneRtt === undefined) return
    core.confirmed = true
    this.confirmedPending = true
    core.handshake.oneRtt.onHandshakeConfirmed()
    const { recovery } = core.paths.primary
    recovery.handshakeConfirmed = true
    recovery.peerAddressValidated = true
    // The datagrams of the handshake had 1200 bytes both ways.
    core.paths.primary.sizeProven = true
    this.discardInitial()
    core.discardLevel(Level.handshake)
  }

  /** For `Reactions`: the first authentic packet of the peer. */
  onIdentified(): void {
    this.options.onAccepted?.(this)
  }

  /** For `Reactions`: an authentic Handshake packet. */
  onHandshakePacket(): void {
    if (this.role === "client") return
    // RFC 9000 section 8.1: who sends Handshake packets has received ours.
    const { primary } = this.core.paths
    if (!primary.validated) {
      primary.setValidated()
      this.options.host.onAddressValidated()
    }
    this.discardInitial()
  }

  private discardInitial(): void {
    if (this.core.handshake.initial !== undefined) this.core.discardLevel(Level.initial)
  }

  /** For `Reactions`: TLS refused. */
  onHandshakeFailure(failure: HandshakeFailure): void {
    const { code, reason, frameType } = failure.violation
    this.core.close({ kind: "transport", initiator: "local", code, reason, frameType, tls: failure.tls })
  }

  /** A call that may get as far as policies and observers. */
  private during<A>(now: number, call: () => A): A {
    const { core } = this
    core.now = now
    core.busy = true
    try {
      return call()
    } finally {
      core.busy = false
    }
  }

  /** The machine is consistent again: now the application hears about it. */
  private settle(): void {
    const { core } = this
    if (this.establishedPending) {
      this.establishedPending = false
      core.listener?.onEstablished()
    }
    if (this.confirmedPending) {
      this.confirmedPending = false
      core.listener?.onConfirmed()
    }
    if (core.ticketReceived !== undefined) core.listener?.onKept?.("ticket", core.ticketReceived)
    if (core.tokenReceived !== undefined) core.listener?.onKept?.("token", core.tokenReceived)
    core.ticketReceived = core.tokenReceived = undefined
    if (core.closeInfo !== undefined && !this.closeAnnounced) {
      this.closeAnnounced = true
      this.receiver.close()
      this.streams.close(core.closeInfo)
      this.datagrams.close()
      core.flushEvents()
      core.listener?.onClosed(core.closeInfo)
      return
    }
    core.flushEvents()
  }

  /** Leaves nothing behind and says nothing. Also for a server connection whose first packets were not authentic. */
  discard(): void {
    const { core } = this
    core.state = "closed"
    core.paths.close()
    core.handshake.close()
    this.options.host.onDiscarded(this)
    core.listener?.onDiscarded()
    for (const path of core.paths.all) {
      path.state = "closed"
      try {
        path.recovery.close()
      } catch {
        // A controller that a user gave: nothing is left that it could spoil.
      }
    }
  }
}
