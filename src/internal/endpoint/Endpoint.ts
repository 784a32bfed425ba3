/**
 * An endpoint: connections behind shared sockets. It routes datagrams, answers those that belong to none, makes connections
 * and keeps their deadlines (RFC 9000 section 5.2).
 */
import { Connection } from "../connection/Connection.ts"
import type {
  ConnectMachineOptions,
  EndpointMachine,
  EndpointMachineOptions,
  EndpointStats
} from "../connection/Machine.ts"
import { makePolicies } from "../connection/Policies.ts"
import type { PolicyFactories } from "../connection/Policies.ts"
import { SealedTokens } from "../crypto/SealedTokens.ts"
import type { TicketSealing } from "../tls/TlsSession.ts"
import type { LocalConnectionId } from "../paths/LocalConnectionIds.ts"
import type { Address, DatagramBurst, TransmitSink } from "../wire/Datagram.ts"
import { HeaderResult, LONG_HEADER, PacketHeader, PacketType } from "../wire/PacketHeader.ts"
import { MIN_INITIAL_DATAGRAM, TransportError, Version } from "../wire/Protocol.ts"
import { AddressTokens } from "./AddressTokens.ts"
import type { TokenAnswer } from "./AddressTokens.ts"
import { CONNECTION_ID_LENGTH, ConnectionIdTable } from "./ConnectionIdTable.ts"
import type { Route } from "./ConnectionIdTable.ts"
import { DeadlineHeap } from "./DeadlineHeap.ts"
import { Registration } from "./Registration.ts"
import type { Registry } from "./Registration.ts"
import { ResetTokens } from "./ResetTokens.ts"
import { MIN_RESET, StatelessAnswers } from "./StatelessAnswers.ts"

/** Shortest destination connection ID of a client's first Initial (RFC 9000 section 7.2). */
const MIN_ORIGINAL_ID = 8

/** The longest life of a session ticket, in seconds (RFC 8446 section 4.6.1). */
const LONGEST_TICKET = 604_800

const ticketSealing = ({ random, tokenKey, tokenLifetime }: EndpointMachineOptions): TicketSealing => {
  const sealed = new SealedTokens({ random, key: tokenKey, label: "session tickets", epochLength: tokenLifetime })
  return {
    lifetime: Math.min(LONGEST_TICKET, Math.floor(tokenLifetime / 1000)),
    seal: (session, wallTime) => sealed.seal(session, wallTime),
    open: (ticket, wallTime) => sealed.open(ticket, wallTime)
  }
}

interface Made {
  readonly connection: Connection
  readonly registration: Registration
}

export class Endpoint implements EndpointMachine {
  private readonly options: EndpointMachineOptions
  private readonly ids: ConnectionIdTable<Connection>
  private readonly resetTokens: ResetTokens<Connection>
  private readonly registry: Registry
  private readonly connections = new Set<Connection>()
  /** Server connections whose client has not proven its address. */
  private handshaking = 0
  private readonly deadlines = new DeadlineHeap<Connection>()
  /** Connections that may have something to send. */
  private dirty: Array<Connection> = []
  /** Those that wait for room in a socket, and what the sink said of it then. */
  private readonly held: Array<Connection> = []
  private room = 0
  private readonly answers: StatelessAnswers
  private readonly tokens: AddressTokens
  /** How sessions are sealed into tickets; undefined if clients get none. */
  private readonly tickets: TicketSealing | undefined
  /** Clients are refused: the endpoint ends. */
  private refusing = false
  private readonly header = new PacketHeader()
  /** Connections that the burst at hand touches, with its datagrams grouped by connection. */
  private readonly touched: Array<Connection> = []
  private readonly inboxes: Array<{ indexes: Int32Array; ids: Array<LocalConnectionId | undefined>; count: number }> =
    []
  private readonly counters = { received: 0, refused: 0, tokensAccepted: 0, tokensRejected: 0 }
  private readonly drops = { malformed: 0, unknownConnection: 0, unknownVersion: 0, notServing: 0, notAuthentic: 0 }

  constructor(options: EndpointMachineOptions) {
    this.options = options
    const ids = new ConnectionIdTable<Connection>(options.random, options.resetKey)
    this.ids = ids
    this.resetTokens = new ResetTokens(options.random)
    this.registry = {
      ids,
      resetTokens: this.resetTokens,
      onWake: (connection) => this.markDirty(connection),
      onGone: (connection) => {
        this.connections.delete(connection)
        this.deadlines.remove(connection)
      },
      onHandshakeSettled: () => {
        this.handshaking--
      },
      newToken: (remote) => this.tokens.forLater(remote, options.wallTime())
    }
    this.answers = new StatelessAnswers({
      random: options.random,
      resetToken: (id) => ids.resetToken(id),
      protection: options.protection
    })
    this.tokens = new AddressTokens({
      random: options.random,
      key: options.tokenKey,
      lifetime: options.tokenLifetime
    })
    this.tickets = options.sessionTickets ? ticketSealing(options) : undefined
  }

  connect(options: ConnectMachineOptions, now: number): Connection {
    const engine = options.tls ?? this.options.tls
    const initialId = this.options.random(CONNECTION_ID_LENGTH).slice()
    const connection = this.make(
      {
        role: "client",
        version: Version.v1,
        settings: options.settings ?? this.options.settings,
        policies: options.policies ?? this.options.policies,
        local: options.local,
        remote: options.remote,
        initialId,
        originalId: initialId,
        retryId: undefined,
        token: options.token,
        addressProven: true,
        onAccepted: undefined,
        tls: (transportParameters, output) =>
          engine.client({
            transportParameters,
            output,
            wallTime: this.options.wallTime(),
            serverName: options.serverName,
            alpn: options.alpn,
            ticket: options.ticket
          })
      },
      now
    ).connection
    connection.listener = options.listener
    connection.wake()
    return connection
  }

  receive(burst: DatagramBurst, now: number): void {
    const { touched } = this
    const { slab } = burst
    // `slice` of a Node Buffer is a view, and what the machine keeps of a packet must be a copy.
    if (Buffer.isBuffer(slab)) burst.slab = new Uint8Array(slab.buffer, slab.byteOffset, slab.length)
    this.counters.received += burst.count
    for (let i = 0; i < burst.count; i++) this.route(burst, i, now)
    for (let i = 0; i < touched.length; i++) {
      const connection = touched[i]!
      const inbox = this.inboxes[i]!
      connection.inbox = 0
      try {
        connection.receive(burst, inbox.indexes, inbox.ids, inbox.count, now)
      } catch (cause) {
        connection.onDefect(cause, now)
      }
      inbox.count = 0
      if (connection.role === "server" && connection.core.packetsReceived === 0) {
        // What would have opened it was forged or damaged: no state for that.
        this.drops.notAuthentic++
        connection.discard()
        continue
      }
      this.markDirty(connection)
    }
    touched.length = 0
  }

  poll(now: number, sink: TransmitSink): void {
    this.answers.poll(sink)
    if (sink.room !== this.room) this.takeHeld(sink.room)
    const { dirty } = this
    this.dirty = []
    for (let i = 0; i < dirty.length; i++) {
      const connection = dirty[i]!
      connection.queued = false
      let ready = true
      try {
        ready = connection.poll(now, sink)
      } catch (cause) {
        connection.onDefect(cause, now)
      }
      this.deadlines.arm(connection)
      if (!ready && !connection.held) {
        connection.held = true
        this.held.push(connection)
      }
    }
  }

  /** A socket has room again: whose turn it is to ask for it. */
  private takeHeld(room: number): void {
    this.room = room
    for (const connection of this.held) {
      connection.held = false
      if (connection.queued || connection.state === "closed") continue
      connection.queued = true
      this.dirty.push(connection)
    }
    this.held.length = 0
  }

  nextTimeout(): number {
    return this.deadlines.next
  }

  onTimeout(now: number): void {
    for (let due = this.deadlines.pop(now); due !== undefined; due = this.deadlines.pop(now)) {
      try {
        due.onTimeout(now)
      } catch (cause) {
        due.onDefect(cause, now)
      }
      if (due.state === "closed") continue
      this.markDirty(due)
    }
  }

  refuseAll(refuse = true): void {
    this.refusing = refuse
  }

  closeAll(code: number, reason: string, now: number): void {
    this.refuseAll()
    for (const connection of this.connections) connection.close(code, reason, now)
  }

  discardAll(): void {
    for (const connection of this.connections) connection.discard()
    this.dirty.length = 0
    this.held.length = 0
  }

  stats(): EndpointStats {
    const { received, refused, tokensAccepted, tokensRejected } = this.counters
    const drops = { ...this.drops }
    return {
      connections: this.connections.size,
      routes: this.ids.size + this.resetTokens.size + this.deadlines.size,
      datagramsReceived: received,
      datagramsDropped: Object.values(drops).reduce((sum, count) => sum + count, 0),
      drops,
      versionNegotiationsSent: this.answers.versionNegotiations,
      statelessResetsSent: this.answers.resets,
      retriesSent: this.answers.retries,
      tokensAccepted,
      tokensRejected,
      refused
    }
  }

  private markDirty(connection: Connection): void {
    if (connection.queued || connection.state === "closed") return
    connection.queued = true
    this.dirty.push(connection)
    this.options.onWake()
  }

  private route(burst: DatagramBurst, index: number, now: number): void {
    const { slab } = burst
    const start = burst.offset[index]!
    const end = start + burst.length[index]!
    let route: Route<Connection> | undefined
    if (end - start > CONNECTION_ID_LENGTH && (slab[start]! & LONG_HEADER) === 0) {
      route = this.ids.find(slab, start + 1)
      if (route === undefined) {
        this.onUnknownShort(burst, index, now)
        return
      }
    } else {
      route = this.routeLong(burst, index, start, end, now)
      if (route === undefined) return
    }
    this.deliver(route, index)
  }

  private deliver(route: Route<Connection>, index: number): void {
    const { connection } = route
    if (connection.inbox === 0) {
      this.touched.push(connection)
      connection.inbox = this.touched.length
      if (this.inboxes.length < this.touched.length) {
        this.inboxes.push({ indexes: new Int32Array(16), ids: [], count: 0 })
      }
    }
    const inbox = this.inboxes[connection.inbox - 1]!
    if (inbox.count === inbox.indexes.length) {
      const larger = new Int32Array(2 * inbox.count)
      larger.set(inbox.indexes)
      inbox.indexes = larger
    }
    inbox.indexes[inbox.count] = index
    inbox.ids[inbox.count] = route
    inbox.count++
  }

  private routeLong(
    burst: DatagramBurst,
    index: number,
    start: number,
    end: number,
    now: number
  ): Route<Connection> | undefined {
    const { header } = this
    const { slab } = burst
    const result = header.parse(slab, start, end, CONNECTION_ID_LENGTH)
    if (result === HeaderResult.unknownVersion) {
      this.onUnknownVersion(burst, index, end - start)
      return undefined
    }
    if (result !== HeaderResult.ok) {
      this.drops.malformed++
      return undefined
    }
    const own = header.dcidLength === CONNECTION_ID_LENGTH ? this.ids.find(slab, header.dcidStart) : undefined
    if (own !== undefined) return own
    if (header.packetType !== PacketType.initial && header.packetType !== PacketType.zeroRtt) {
      this.drops.unknownConnection++
      return undefined
    }
    const known = this.ids.findInitial(slab, header.dcidStart, header.dcidLength)
    if (known !== undefined) return known
    return header.packetType === PacketType.initial ? this.accept(burst, index, end - start, now) : undefined
  }

  /** A client's first Initial (RFC 9000 sections 7.2, 14.1). Reads the shared `header`. */
  private accept(burst: DatagramBurst, index: number, length: number, now: number): Route<Connection> | undefined {
    const { header, options } = this
    const engine = options.tls.server
    if (engine === undefined || options.serveAlpn.length === 0) {
      this.drops.notServing++
      return undefined
    }
    if (length < MIN_INITIAL_DATAGRAM || header.dcidLength < MIN_ORIGINAL_ID) {
      this.drops.malformed++
      return undefined
    }
    if (this.refusing) {
      this.counters.refused++
      this.answered(this.answers.refuse(burst, index, header, now))
      return undefined
    }
    const { slab } = burst
    const proof = this.proofOf(burst, index)
    if (proof.kind === "invalid") {
      this.answered(this.answers.refuse(burst, index, header, now, TransportError.invalidToken))
      return undefined
    }
    const proven = proof.kind === "proven"
    if (!proven && this.mustProve) {
      const remote = burst.remote[index]!
      this.answered(
        this.answers.retry(burst, index, header, (original, scid) =>
          this.tokens.forRetry(remote, original, scid, options.wallTime())
        )
      )
      return undefined
    }
    if (this.connections.size >= options.maxConnections || (!proven && this.handshaking >= options.maxHandshakes)) {
      this.counters.refused++
      return undefined
    }
    const retried = proven ? proof.original : undefined
    const initialId = slab.slice(header.dcidStart, header.dcidStart + header.dcidLength)
    let made: Made
    try {
      made = this.make(
        {
          role: "server",
          version: header.version,
          settings: options.settings,
          policies: options.policies,
          local: burst.local[index]!,
          remote: burst.remote[index]!,
          initialId,
          originalId: retried ?? initialId,
          retryId: retried === undefined ? undefined : initialId,
          token: undefined,
          addressProven: proven,
          onAccepted: options.onConnection,
          tls: (transportParameters, output) =>
            engine({
              transportParameters,
              output,
              wallTime: options.wallTime(),
              alpn: options.serveAlpn,
              tickets: this.tickets
            })
        },
        now
      )
    } catch (cause) {
      // A part that the user gave does not work. The other datagrams of the burst have nothing to do with it.
      this.counters.refused++
      this.options.onDefect?.(cause)
      this.answered(this.answers.refuse(burst, index, header, now))
      return undefined
    }
    made.registration.accept(initialId, proven)
    if (!proven) this.handshaking++
    return made.registration.own
  }

  /** What the token of the Initial that `header` is of says about the client's address. */
  private proofOf(burst: DatagramBurst, index: number): TokenAnswer {
    const { counters, header, options } = this
    if (header.tokenLength === 0) return { kind: "none" }
    const { slab } = burst
    const token = slab.subarray(header.tokenStart, header.tokenStart + header.tokenLength)
    const dcid = slab.subarray(header.dcidStart, header.dcidStart + header.dcidLength)
    const proof = this.tokens.open(token, burst.remote[index]!, dcid, options.wallTime())
    if (proof.kind === "proven") counters.tokensAccepted++
    else counters.tokensRejected++
    return proof
  }

  /** Whether clients that have not shown that they are where they say get a Retry and no state (RFC 9000 section 8.1.2). */
  private get mustProve(): boolean {
    const { maxHandshakes, retry } = this.options
    return retry === "always" || (retry === "busy" && this.handshaking >= maxHandshakes / 2)
  }

  private make(
    options: {
      readonly role: "client" | "server"
      readonly version: number
      readonly settings: EndpointMachineOptions["settings"]
      readonly policies: PolicyFactories
      readonly local: Address
      readonly remote: Address
      readonly initialId: Uint8Array
      readonly originalId: Uint8Array
      readonly retryId: Uint8Array | undefined
      readonly token: Uint8Array | undefined
      readonly addressProven: boolean
      readonly onAccepted: ((connection: Connection) => void) | undefined
      readonly tls: ConstructorParameters<typeof Connection>[0]["tls"]
    },
    now: number
  ): Made {
    // What users gave may throw: before there is anything to take back.
    const policies = makePolicies(options.policies)
    const registration = new Registration(this.registry)
    let connection: Connection
    try {
      connection = new Connection({
        role: options.role,
        settings: options.settings,
        version: options.version,
        local: options.local,
        remote: options.remote,
        ownId: registration.own,
        initialId: options.initialId,
        originalId: options.originalId,
        retryId: options.retryId,
        token: options.token,
        addressProven: options.addressProven,
        onAccepted: options.onAccepted,
        host: registration,
        protection: this.options.protection,
        policies,
        tls: options.tls,
        random: this.options.random,
        randomNumber: this.options.randomNumber,
        now
      })
    } catch (cause) {
      this.ids.retire(registration.own)
      throw cause
    }
    registration.bind(connection)
    this.connections.add(connection)
    return { connection, registration }
  }

  private onUnknownShort(burst: DatagramBurst, index: number, now: number): void {
    const { slab } = burst
    const length = burst.length[index]!
    if (length >= MIN_RESET) {
      const owner = this.resetTokens.find(slab, burst.offset[index]! + length)
      // A token is worth something from where its connection leads only (RFC 9000 section 10.3.1).
      if (owner?.leadsTo(burst.remote[index]!) === true) {
        owner.onStatelessReset(now)
        this.markDirty(owner)
        return
      }
    }
    this.drops.unknownConnection++
    this.answered(this.answers.reset(burst, index, CONNECTION_ID_LENGTH, now))
  }

  private onUnknownVersion(burst: DatagramBurst, index: number, length: number): void {
    // RFC 9000 section 6.1: only to what could be a client's first datagram.
    const first = this.options.serveAlpn.length > 0 && length >= MIN_INITIAL_DATAGRAM
    if (first && this.answers.versionNegotiation(burst, index, this.header)) this.options.onWake()
    else this.drops.unknownVersion++
  }

  private answered(answer: boolean): void {
    if (answer) this.options.onWake()
  }
}
