/**
 * The seam between the protocol machine and the Effect shell: what a connection and an endpoint offer to their runtime.
 * Everything is synchronous. Callers hold no lock and never call the machine from inside one of its listeners; waiters
 * (of streams, see `StreamTable`) and listeners run at the end of a burst, when the machine is consistent.
 */
import type { PathStatus, PathView } from "../paths/Scheduler.ts"
import type { PacketProtection } from "../crypto/Protection.ts"
import type { OpenPathRefusal, PathEvent } from "../paths/PathEvent.ts"
import type { PacketCounters, PathStats } from "../paths/PathStatistics.ts"
import type { RemoteAddresses } from "../paths/RemoteAddresses.ts"
import type { DatagramQueue } from "../streams/DatagramQueue.ts"
import type { StreamTable } from "../streams/StreamTable.ts"
import type { HandshakeInfo, TlsEngine, TlsFailure } from "../tls/TlsSession.ts"
import type { Address, DatagramBurst, TransmitSink } from "../wire/Datagram.ts"
import type { Role } from "../wire/Protocol.ts"
import type { AdvertiseRefusal } from "./AddressExchange.ts"
import type { ConnectionSettings } from "../Settings.ts"
import type { PolicyFactories } from "./Policies.ts"

export type { AdvertiseRefusal, OpenPathRefusal, PacketCounters, PathEvent, PathStats }

/** Why a connection ended. */
export type CloseInfo =
  | {
      readonly kind: "transport"
      readonly initiator: "local" | "peer"
      readonly code: number
      readonly reason: string
      readonly frameType: number
      /** When TLS refused: the alert's text and, for certificates, why. */
      readonly tls?: TlsFailure | undefined
    }
  | {
      readonly kind: "application"
      readonly initiator: "local" | "peer"
      readonly code: number
      readonly reason: string
    }
  | { readonly kind: "idleTimeout"; readonly after: number }
  | { readonly kind: "handshakeTimeout"; readonly after: number }
  | { readonly kind: "statelessReset" }
  | { readonly kind: "versionNegotiation"; readonly offered: ReadonlyArray<number> }
  | { readonly kind: "internal"; readonly cause: unknown }

/** Read with `connection.stats()`; a fresh plain object. Bytes are UDP payload bytes. */
export interface ConnectionStats extends PacketCounters {
  /** Packets dropped: not authentic, duplicate, malformed, or for keys that are gone. */
  readonly packetsDropped: number
  /** How many frames on addresses of the peer were of no use: more than are kept (`maxAdvertised`), or no address. */
  readonly addressesDropped: number
  /** Datagrams (RFC 9221) that nobody read in time (`datagramQueue`), and those that no path took. */
  readonly datagramsDropped: number
  /** Key updates of both sides (RFC 9001 section 6). */
  readonly keyUpdates: number
  /** What the path scheduler calls itself. */
  readonly scheduler: string
  /** Choices of the scheduler that could not be followed. */
  readonly schedulerMistakes: number
  /** Figures of congestion controllers that could not be used. */
  readonly controllerMistakes: number
  /** What other policies, and observers, did that could not be followed: they threw, or gave something that is of no use. */
  readonly policyMistakes: number
  /**
   * A sentence for each kind of these mistakes, the first of its kind, with the name of the part that made it: what the log has,
   * too. Empty as long as all is well.
   */
  readonly mistakes: ReadonlyArray<string>
  readonly paths: ReadonlyArray<PathStats>
}

export interface ConnectionListener {
  /** TLS is done: streams may be used (servers: also the accept point). */
  readonly onEstablished: () => void
  readonly onConfirmed: () => void
  /** `number`: the how manieth path event it is, from 1. */
  readonly onPath: (event: PathEvent, number: number) => void
  /** What decides about further paths has changed: the peer's limit, its connection IDs, or `remoteAddresses`. */
  readonly onPathRoom?: (() => void) | undefined
  /** Client: a session ticket, or a token to come back with (RFC 9000 section 8.1.3). */
  readonly onKept?: ((kind: "ticket" | "token", bytes: Uint8Array) => void) | undefined
  /** A part that a user gave is wrong, in a sentence: each kind of mistake once. */
  readonly onMistake?: ((message: string) => void) | undefined
  /** The connection is over for the application; waiters have been failed. Called once, also for a local close. */
  readonly onClosed: (info: CloseInfo) => void
  /** Nothing is left of it (drained): its routes are gone. */
  readonly onDiscarded: () => void
}

/** A connection, as the shell sees it. After any call that changes something the shell calls `wake()`. */
export interface ConnectionMachine {
  /** Hex of the first destination connection ID: names the connection in logs. */
  readonly id: string
  readonly role: Role
  readonly settings: ConnectionSettings
  readonly streams: StreamTable
  readonly datagrams: DatagramQueue
  readonly state: "handshaking" | "established" | "closing" | "draining" | "closed"
  readonly handshake: HandshakeInfo | undefined
  readonly confirmed: boolean
  /** Both sides sent initial_max_path_id. */
  readonly multipath: boolean
  readonly closeInfo: CloseInfo | undefined
  listener: ConnectionListener | undefined
  /** Paths that exist (not yet discarded), lowest ID first. Views are live. */
  readonly paths: ReadonlyArray<PathView>
  readonly path: (id: number) => PathView | undefined
  /** Where the peer says that it can be reached too. */
  readonly remoteAddresses: RemoteAddresses
  /** Where the peer sees this side on a path, if it says so. */
  readonly observedAddress: (pathId: number) => Address | undefined
  /** Server: tells the client of a further address; port 0 stands for that of path 0. */
  readonly advertise: (address: Address) => AdvertiseRefusal | undefined
  readonly withdraw: (address: Address) => void
  /** Path events that have happened so far, told or not yet. */
  readonly pathEvents: number
  readonly openPath: (
    options: {
      readonly local: Address
      readonly remote?: Address | undefined
      readonly status?: PathStatus | undefined
    },
    now: number
  ) => number | OpenPathRefusal
  /** Why `openPath` to this address would be refused now, wherever the path begins. */
  readonly pathRefusal: (remote: Address) => OpenPathRefusal | undefined
  /** Client: the path leaves from `local` from now on; `gone`: its old address is of this host no more. */
  readonly migratePath: (pathId: number, local: Address, gone: boolean, now: number) => OpenPathRefusal | undefined
  /** The host has lost the local address of a path, or has it again. */
  readonly localAddressLost: (pathId: number) => void
  readonly localAddressBack: (pathId: number) => void
  /**
   * By the application's word. `potentiallyFailed`: the path is not relied on, whatever it answers, until that is taken back.
   * `active` does so: one that is suspected is asked now, and relied on once it answers.
   */
  readonly setPathState: (pathId: number, state: "active" | "potentiallyFailed", now: number) => boolean
  /** A call is under way, and with it what policies and observers do: what they want changed has to wait until it is over. */
  readonly busy: boolean
  readonly setPathStatus: (pathId: number, status: PathStatus) => boolean
  readonly probePath: (pathId: number, now: number) => boolean
  readonly closePath: (pathId: number, code: number, now: number) => boolean
  /** Largest DATAGRAM payload now; 0 when the peer takes none. */
  readonly maxDatagramSize: () => number
  /** `false`: initiating is not allowed now (RFC 9001 section 6.1). */
  readonly updateKeys: (now: number) => boolean
  readonly close: (code: number, reason: string, now: number) => void
  /** Tells the endpoint that this connection may have something to send or another deadline. */
  readonly wake: () => void
  readonly stats: (now?: number) => ConnectionStats
  /** The last figures, if the path is gone. */
  readonly pathStats: (path: PathView, now: number) => PathStats
}

export interface EndpointMachineOptions {
  readonly settings: ConnectionSettings
  readonly tls: TlsEngine
  /** ALPN protocols this endpoint serves; empty: it does not accept connections. */
  readonly serveAlpn: ReadonlyArray<string>
  readonly protection: PacketProtection
  readonly policies: PolicyFactories
  readonly random: (length: number) => Uint8Array
  /** 0 <= x < 1. */
  readonly randomNumber: () => number
  /** Wall clock, ms since 1970: for certificate dates. */
  readonly wallTime: () => number
  readonly maxConnections: number
  /** Handshakes from unvalidated addresses at a time. */
  readonly maxHandshakes: number
  /** Something to send, or an earlier deadline: poll soon. Called synchronously, often; must only note it. */
  readonly onWake: () => void
  /** Secret that stateless reset tokens come from (RFC 9000 section 10.3.2). Default: random, so that none outlives the endpoint. */
  readonly resetKey?: Uint8Array | undefined
  /** Whether clients prove their address before anything is kept for them: always, never, or while many handshakes go on. */
  readonly retry: "always" | "busy" | "never"
  /** Secret that the keys of address tokens and session tickets come from. Default: random, so that none outlives the endpoint. */
  readonly tokenKey?: Uint8Array | undefined
  /** ms for which a client can come back with a token. */
  readonly tokenLifetime: number
  /** Whether clients get tickets with which they can resume their sessions. */
  readonly sessionTickets: boolean
  /** A part that the user gave threw while a client was accepted; the client was refused. */
  readonly onDefect?: ((cause: unknown) => void) | undefined
  /** Server: a client's first flight was accepted; called before its handshake is complete. Set `listener` at once. */
  readonly onConnection: (connection: ConnectionMachine) => void
}

export interface ConnectMachineOptions {
  readonly local: Address
  readonly remote: Address
  readonly serverName: string
  readonly alpn: ReadonlyArray<string>
  readonly settings?: ConnectionSettings | undefined
  /** Default: those of the endpoint. */
  readonly policies?: PolicyFactories | undefined
  readonly tls?: TlsEngine | undefined
  /** Of an earlier connection to this server, to prove our address (RFC 9000 section 8.1.3). */
  readonly token?: Uint8Array | undefined
  /** The same, to resume its session. */
  readonly ticket?: Uint8Array | undefined
  readonly listener?: ConnectionListener | undefined
}

export interface EndpointStats {
  /** Connections now, handshakes among them. */
  readonly connections: number
  /** Connection IDs, reset tokens and deadlines that lead to connections. */
  readonly routes: number
  /** UDP datagrams. */
  readonly datagramsReceived: number
  /** Dropped before any connection, for all reasons; those of `refused` are not among them. */
  readonly datagramsDropped: number
  readonly drops: Drops
  /** Version Negotiation packets (RFC 9000 section 6). */
  readonly versionNegotiationsSent: number
  /** Stateless resets (RFC 9000 section 10.3). */
  readonly statelessResetsSent: number
  /** Retry packets (RFC 9000 section 8.1.2). */
  readonly retriesSent: number
  /** First packets of clients with a token that proved their address. */
  readonly tokensAccepted: number
  /** First packets of clients with a token of somebody else, too old, damaged or used before. */
  readonly tokensRejected: number
  /** First packets of clients that were refused: it is full, or ends. */
  readonly refused: number
}

/** Datagrams that were dropped before any connection, by reason. */
export interface Drops {
  /** Datagrams without a header of QUIC, or with one that breaks its rules. */
  readonly malformed: number
  /** Datagrams for a connection that is not there (any more). */
  readonly unknownConnection: number
  /** Datagrams of another version of QUIC, and not answered. */
  readonly unknownVersion: number
  /** First datagrams of clients, at an endpoint that does not serve. */
  readonly notServing: number
  /** First datagrams of clients that were forged or damaged. */
  readonly notAuthentic: number
}

export interface EndpointMachine {
  readonly connect: (options: ConnectMachineOptions, now: number) => ConnectionMachine
  /** Decrypts in place: the burst's slab is overwritten. */
  readonly receive: (burst: DatagramBurst, now: number) => void
  /** Sends what may be sent now. Call again, too, when the sink has room that it had not before. */
  readonly poll: (now: number, sink: TransmitSink) => void
  /** Earliest deadline of all connections in ms; Infinity if none. */
  readonly nextTimeout: () => number
  readonly onTimeout: (now: number) => void
  /** From now on clients get CONNECTION_REFUSED in place of a connection, until `false`. Those that are there stay. */
  readonly refuseAll: (refuse?: boolean) => void
  /** Closes every connection with an application code, and refuses new ones. */
  readonly closeAll: (code: number, reason: string, now: number) => void
  /** Forgets every connection, without waiting for what may still come for it: no socket will bring it. */
  readonly discardAll: () => void
  readonly stats: () => EndpointStats
}
