/**
 * The one error of this library. `QuicError` says that something failed; its `reason` says what, with the facts of that
 * failure as fields and a `message` that tells what can be done. Recover from one reason with
 * `Effect.catchReason("QuicError", "IdleTimeout", ...)`.
 *
 * Among the fields `why` is one word of a closed list, `reason` is the text that a side gave when it closed (the reason
 * phrase of RFC 9000 section 19.19), and `message` is a sentence for people.
 *
 * @module
 * @since 0.1.0
 */
import { Duration, Effect, Predicate, Schema } from "effect"
import { alertNames, transportErrorNames } from "./internal/wire/ErrorNames.ts"

/** Who ended it: `local` is this side. */
const Initiator = Schema.Literals(["local", "peer"])

const who = (initiator: "local" | "peer"): string => (initiator === "peer" ? "the peer" : "this side")

/** `": reason"`, or nothing for an empty reason. */
const because = (reason: string): string => (reason === "" ? "" : `: ${reason}`)

/**
 * The server refused the connection before a handshake (CONNECTION_REFUSED, RFC 9000 section 20.1): it is full, or does
 * not serve.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConnectionRefused extends Schema.TaggedError<ConnectionRefused>()("ConnectionRefused", {
  /** What the server says; often nothing. */
  reason: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed("")))
}) {
  override get message() {
    return `the server refused the connection${because(this.reason)}; it may have all the connections it takes, try again later`
  }
}

/**
 * TLS failed (RFC 8446 section 6; CRYPTO_ERROR 0x100 + alert). `initiator` tells who sent the alert.
 *
 * @category reasons
 * @since 0.1.0
 */
export class HandshakeFailed extends Schema.TaggedError<HandshakeFailed>()("HandshakeFailed", {
  /** The TLS alert (RFC 8446 section 6). */
  alert: Schema.Number,
  /** What is wrong, and what to do about it. */
  message: Schema.String,
  initiator: Initiator.pipe(Schema.withConstructorDefault(Effect.succeed("local")))
}) {
  /** The alert's name in TLS, such as `no_application_protocol`. */
  get alertName(): string {
    return alertName(this.alert)
  }
}

/**
 * This side refused the peer's certificate.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CertificateRefused extends Schema.TaggedError<CertificateRefused>()("CertificateRefused", {
  why: Schema.Literals([
    "unknownAuthority",
    "expired",
    "notYetValid",
    "nameMismatch",
    "badUsage",
    "badSignature",
    "pinMismatch",
    "malformed"
  ]),
  /** What is wrong, and what to do about it. */
  message: Schema.String,
  /** The TLS alert (RFC 8446 section 6). */
  alert: Schema.Number
}) {}

/**
 * The handshake was not complete in time: nobody answers there, UDP is blocked on the way, or the peer is too slow.
 *
 * @category reasons
 * @since 0.1.0
 */
export class HandshakeTimeout extends Schema.TaggedError<HandshakeTimeout>()("HandshakeTimeout", {
  /** How long it was waited for (`handshakeTimeout`). */
  after: Schema.Duration,
  /**
   * What the network answered meanwhile, as the system names it, such as `ECONNREFUSED`. Anyone can send such answers, so
   * they end no handshake.
   */
  network: Schema.Array(Schema.String).pipe(Schema.withConstructorDefault(Effect.succeed([])))
}) {
  override get message() {
    const answers = this.network.map((code) => `${networkAnswer(code)} (${code})`).join(", ")
    const said = answers === "" ? "" : `, and the network answered: ${answers}`
    return `no handshake within ${Duration.format(this.after)}${said}; check that a QUIC server listens there and that UDP gets through, or raise handshakeTimeout`
  }
}

const networkAnswers: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens on that port",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  EACCES: "it is prohibited on the way",
  EPERM: "it is forbidden on this host",
  EMSGSIZE: "packets of 1200 bytes are too large for the way",
  ENETDOWN: "the interface is down"
}

const networkAnswer = (code: string): string => networkAnswers[code] ?? "packets were refused"

/**
 * Nothing arrived for the idle timeout that both sides agreed on (RFC 9000 section 10.1).
 *
 * @category reasons
 * @since 0.1.0
 */
export class IdleTimeout extends Schema.TaggedError<IdleTimeout>()("IdleTimeout", {
  /** The idle timeout. */
  after: Schema.Duration
}) {
  override get message() {
    return `nothing was heard from the peer for ${Duration.format(this.after)}: it or the network is gone, or had nothing to say; set keepAlive to hold quiet connections open, or raise idleTimeout on both sides`
  }
}

/**
 * A side closed the connection with a transport error (RFC 9000 section 20.1).
 *
 * @category reasons
 * @since 0.1.0
 */
export class TransportClosed extends Schema.TaggedError<TransportClosed>()("TransportClosed", {
  /** The code (RFC 9000 section 20.1); `codeName` is its name. */
  code: Schema.Number,
  /** What the closing side said; may be empty. */
  reason: Schema.String,
  /** Number of the type of the frame that caused it; 0 is unknown. */
  frameType: Schema.Number,
  initiator: Initiator
}) {
  /** The name of the code, such as `FLOW_CONTROL_ERROR`. */
  get codeName(): string {
    return transportErrorName(this.code)
  }
  override get message() {
    const frame = this.frameType === 0 ? "" : ` at frame 0x${this.frameType.toString(16)}`
    return `${who(this.initiator)} closed the connection with ${this.codeName}${frame}${because(this.reason)}`
  }
}

/**
 * An application closed the connection with a code of its own (RFC 9000 section 20.2).
 *
 * @category reasons
 * @since 0.1.0
 */
export class ApplicationClosed extends Schema.TaggedError<ApplicationClosed>()("ApplicationClosed", {
  code: Schema.Number,
  reason: Schema.String,
  initiator: Initiator
}) {
  override get message() {
    return `${who(this.initiator)} closed the connection with application code ${this.code}${because(this.reason)}`
  }
}

/**
 * The peer no longer knows the connection (RFC 9000 section 10.3): it restarted, most likely.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StatelessReset extends Schema.TaggedError<StatelessReset>()("StatelessReset", {}) {
  override get message() {
    return "the peer lost the state of this connection (stateless reset), perhaps in a restart; connect again"
  }
}

/**
 * The peer speaks no version of QUIC that is spoken here (RFC 9000 section 6).
 *
 * @category reasons
 * @since 0.1.0
 */
export class VersionNegotiationFailed extends Schema.TaggedError<VersionNegotiationFailed>()(
  "VersionNegotiationFailed",
  {
    /** The versions that the peer offers. */
    offered: Schema.Array(Schema.Number)
  }
) {
  override get message() {
    const offered = this.offered.map((version) => `0x${version.toString(16).padStart(8, "0")}`).join(", ")
    return `no common version of QUIC: the peer offers ${offered === "" ? "none" : offered}; version 1 (RFC 9000) and version 2 (RFC 9369) are spoken here`
  }
}

/**
 * The peer reset its sending side of a stream (RESET_STREAM): what was not read yet is gone.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamReset extends Schema.TaggedError<StreamReset>()("StreamReset", {
  /** Application code. */
  code: Schema.Number
}) {
  override get message() {
    return `the peer gave up sending on the stream (reset with code ${this.code})`
  }
}

/**
 * The peer no longer reads a stream (STOP_SENDING): more bytes would be in vain.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamStopped extends Schema.TaggedError<StreamStopped>()("StreamStopped", {
  /** Application code. */
  code: Schema.Number
}) {
  override get message() {
    return `the peer no longer reads the stream (stopped with code ${this.code})`
  }
}

/**
 * The peer allows no more streams now, and the caller did not want to wait for one.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamLimit extends Schema.TaggedError<StreamLimit>()("StreamLimit", {}) {
  override get message() {
    return "the peer allows no more open streams now; finish some, or wait until it allows more"
  }
}

/**
 * An operation on a connection, stream or path that has ended.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConnectionClosed extends Schema.TaggedError<ConnectionClosed>()("ConnectionClosed", {
  /** What was to be done, and on what, such as `openStream on connection 0af3`. */
  operation: Schema.String
}) {
  override get message() {
    return `${this.operation}: it has ended`
  }
}

/**
 * A datagram that does not fit one packet: datagrams are never split (RFC 9221 section 5). Sizes are bytes.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DatagramTooLarge extends Schema.TaggedError<DatagramTooLarge>()("DatagramTooLarge", {
  /** Bytes that were to be sent. */
  size: Schema.Number,
  /** Bytes that fit now. */
  limit: Schema.Number
}) {
  override get message() {
    return `a datagram of ${this.size} bytes is over the limit of ${this.limit} bytes now; send less (maxDatagramSize tells the limit), or use a stream`
  }
}

/**
 * The peer takes no datagrams (RFC 9221 section 3).
 *
 * @category reasons
 * @since 0.1.0
 */
export class DatagramsUnavailable extends Schema.TaggedError<DatagramsUnavailable>()("DatagramsUnavailable", {}) {
  override get message() {
    return "the peer takes no datagrams; let its configuration allow them, or use a stream"
  }
}

const pathFailures = {
  unknown: "there is no such path",
  closed: "it was closed",
  last: "it is the last path that is open: close the connection instead",
  validation: "its addresses could not be validated: nothing comes back from there",
  abandoned: "the peer gave it up"
} as const

/**
 * A path failed, or an operation on it did (draft-ietf-quic-multipath-21 section 4). The connection lives on.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PathFailed extends Schema.TaggedError<PathFailed>()("PathFailed", {
  pathId: Schema.Number,
  why: Schema.Literals(["unknown", "closed", "last", "validation", "abandoned"]),
  /** The code of PATH_ABANDON, if there was one. */
  code: Schema.optional(Schema.Number)
}) {
  override get message() {
    const code = this.code === undefined ? "" : ` (code 0x${this.code.toString(16)})`
    return `path ${this.pathId}: ${pathFailures[this.why]}${code}`
  }
}

const pathRefusals = {
  notNegotiated: "multipath was not negotiated: both sides must set multipath.maxPaths to 2 or more",
  notConfirmed: "the handshake is not confirmed yet: wait for it, then open paths",
  server: "only clients open paths; the server may tell the client its addresses",
  pathLimit: "the limit of paths is reached: close one, or raise multipath.maxPaths on both sides",
  noConnectionIds: "the peer has given out no connection IDs for another path yet: try again soon",
  duplicate:
    "there is a path between these addresses already: give another local address or a port of its own, or leave it out, which takes another port",
  migrationDisabled: "the peer forbids paths from other addresses (disable_active_migration)",
  closed: "the connection has ended"
} as const

/**
 * A path could not be opened, or not be moved (`Path.migrate`).
 *
 * @category reasons
 * @since 0.1.0
 */
export class PathUnavailable extends Schema.TaggedError<PathUnavailable>()("PathUnavailable", {
  why: Schema.Literals([
    "notNegotiated",
    "notConfirmed",
    "server",
    "pathLimit",
    "noConnectionIds",
    "duplicate",
    "migrationDisabled",
    "closed"
  ])
}) {
  override get message() {
    return `no path can be opened: ${pathRefusals[this.why]}`
  }
}

const advertiseRefusals = {
  client: "only servers advertise addresses; clients open paths from theirs",
  notNegotiated:
    "it was not negotiated: both sides need multipath.maxPaths of at least 2 and multipath.maxAdvertised above 0",
  limit: "the peer keeps no more (multipath.maxAdvertised): withdraw one"
} as const

/**
 * An address could not be advertised (`Connection.advertise`).
 *
 * @category reasons
 * @since 0.2.0
 */
export class AdvertiseUnavailable extends Schema.TaggedError<AdvertiseUnavailable>()("AdvertiseUnavailable", {
  why: Schema.Literals(["client", "notNegotiated", "limit"])
}) {
  override get message() {
    return `the address cannot be advertised: ${advertiseRefusals[this.why]}`
  }
}

/**
 * The system refused an operation on a UDP socket.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SocketFailed extends Schema.TaggedError<SocketFailed>()("SocketFailed", {
  /** Such as `bind`, `send` or `receive`. */
  operation: Schema.String,
  /** Local address of the socket. */
  address: Schema.String,
  /** The system's name for it, such as `EACCES`; empty when it gives none. */
  code: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message() {
    const detail = this.code === "" && this.cause instanceof Error ? this.cause.message : this.code
    return `${this.operation} failed on the UDP socket ${this.address}${because(detail)}`
  }
}

/**
 * Another socket has the local address (EADDRINUSE).
 *
 * @category reasons
 * @since 0.1.0
 */
export class AddressInUse extends Schema.TaggedError<AddressInUse>()("AddressInUse", {
  address: Schema.String
}) {
  override get message() {
    return `${this.address} is in use by another socket; choose another port, or 0 to let the system choose`
  }
}

/**
 * This host has no such local address (EADDRNOTAVAIL).
 *
 * @category reasons
 * @since 0.1.0
 */
export class AddressUnavailable extends Schema.TaggedError<AddressUnavailable>()("AddressUnavailable", {
  address: Schema.String
}) {
  override get message() {
    const address = this.address.replace(/:0$/, "")
    return `${address} is not an address of this host now; give one that is, or to listen on all, 0.0.0.0 or [::]`
  }
}

/**
 * There is no way to a remote address from here (ENETUNREACH, EHOSTUNREACH, a route that prohibits it, a link-local address
 * without its interface, or no local address of its family). Known at once: nothing was sent.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AddressUnreachable extends Schema.TaggedError<AddressUnreachable>()("AddressUnreachable", {
  address: Schema.String,
  /** Where packets were to leave from, if that was asked for. */
  local: Schema.optional(Schema.String),
  /** What the system says, such as `ENETUNREACH`; nothing when it was not asked. */
  code: Schema.optional(Schema.String)
}) {
  override get message() {
    const from = this.local === undefined ? "here" : this.local
    const detail = this.code === undefined ? "" : ` (${this.code})`
    return `there is no route from ${from} to ${this.address}${detail}; ${unreachableHelp(this.address, this.code)}`
  }
}

const unreachableHelp = (address: string, code: string | undefined): string => {
  if (/^\[?fe[89ab]/i.test(address) && !address.includes("%"))
    return "a link-local address needs its interface, such as fe80::1%eth0"
  if (code === "EACCES" || code === "EPERM") return "a route or a rule of this host forbids it"
  return "check the network, and that a local address of the same family (IPv4 or IPv6) is bound"
}

/**
 * A host name could not be resolved to an address.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ResolveFailed extends Schema.TaggedError<ResolveFailed>()("ResolveFailed", {
  host: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message() {
    return `${this.host} could not be resolved to an address; check the name, or give an IP address and serverName`
  }
}

/**
 * A setting is wrong.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadConfig extends Schema.TaggedError<BadConfig>()("BadConfig", {
  /** Where it is, such as `multipath.maxPaths`. */
  field: Schema.String,
  /** What it was set to, as text. */
  value: Schema.String,
  /** What would be right. */
  allowed: Schema.String,
  /** What is wrong with it, where `allowed` does not say so. */
  problem: Schema.optional(Schema.String)
}) {
  override get message() {
    return `${this.field} is ${this.value}${because(this.problem ?? "")}; allowed: ${this.allowed}`
  }
}

/**
 * A mistake in this library, or in a part that was given to it (a scheduler that throws, for example).
 *
 * @category reasons
 * @since 0.1.0
 */
export class Internal extends Schema.TaggedError<Internal>()("Internal", {
  cause: Schema.Defect()
}) {
  override get message() {
    const what = because(this.cause instanceof Error ? this.cause.message : String(this.cause))
    return `internal error${what}; the mistake is in effect-mpquic, or in a policy given to it: the stack of \`cause\` tells where`
  }
}

/**
 * Everything that can be the reason of a `QuicError`.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  ConnectionRefused,
  HandshakeFailed,
  CertificateRefused,
  HandshakeTimeout,
  IdleTimeout,
  TransportClosed,
  ApplicationClosed,
  StatelessReset,
  VersionNegotiationFailed,
  StreamReset,
  StreamStopped,
  StreamLimit,
  ConnectionClosed,
  DatagramTooLarge,
  DatagramsUnavailable,
  PathFailed,
  PathUnavailable,
  AdvertiseUnavailable,
  SocketFailed,
  AddressInUse,
  AddressUnavailable,
  AddressUnreachable,
  ResolveFailed,
  BadConfig,
  Internal
])

/**
 * One of them.
 *
 * @category reasons
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * Why a connection ended: what `Connection.closed` tells, and what operations on it fail with. An end that both sides wanted
 * is `ApplicationClosed` with code 0.
 *
 * @category reasons
 * @since 0.2.0
 */
export type CloseReason =
  | ApplicationClosed
  | TransportClosed
  | IdleTimeout
  | StatelessReset
  | HandshakeTimeout
  | HandshakeFailed
  | CertificateRefused
  | ConnectionRefused
  | VersionNegotiationFailed
  | Internal

/**
 * Marks the values of this module, in whatever copy of it they were made.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-mpquic/QuicError"

/**
 * What every operation of this library fails with.
 *
 * **Example** (Recovering from one reason)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { QuicError } from "effect-mpquic"
 *
 * const patient = <A, R>(program: Effect.Effect<A, QuicError.QuicError, R>) =>
 *   program.pipe(Effect.catchReason("QuicError", "IdleTimeout", (reason) => Effect.logWarning(reason.message)))
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class QuicError extends Schema.TaggedError<QuicError>()("QuicError", {
  reason: Reason
}) {
  readonly [TypeId] = TypeId

  override get message() {
    return this.reason.message
  }

  /** What the reason was caused by, where something else failed first. */
  override get cause(): unknown {
    return "cause" in this.reason ? this.reason.cause : undefined
  }

  /**
   * Whether the same may succeed when it is tried again, on another connection if this one has ended: see `isRetryable`.
   *
   * @since 0.2.0
   */
  get isRetryable(): boolean {
    return isRetryable(this.reason)
  }

  /** Guard for unknown values. */
  static isQuicError(value: unknown): value is QuicError {
    return isQuicError(value)
  }
}

/**
 * Whether a value is a `QuicError`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isQuicError = (value: unknown): value is QuicError => Predicate.hasProperty(value, TypeId)

/**
 * Transport errors of a peer that is busy, restarts or has moved (RFC 9000 section 20.1): nothing was wrong with what we did.
 * APPLICATION_ERROR stands for a code that is not shown before the handshake is done (section 10.2.3): so ends a server that
 * is stopped meanwhile.
 */
const PASSING: ReadonlySet<number> = new Set([0x00, 0x01, 0x02, 0x0c, 0x0f, 0x10])

/**
 * Whether what failed for this reason may succeed when it is tried again: a connection that was lost or refused, a host that
 * did not answer, a limit that is reached now. Not what is wrong in itself: certificates, settings, protocols, and codes of the
 * application other than 0, whose meaning is the application's.
 *
 * **Example** (Trying again)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Endpoint } from "effect-mpquic"
 *
 * const patient = Endpoint.connect({ address: "example.com:4433", alpn: "echo" }).pipe(
 *   Effect.retry({ while: (error) => error.isRetryable, schedule: Schedule.exponential("100 millis"), times: 5 })
 * )
 * ```
 *
 * @category guards
 * @since 0.2.0
 */
export const isRetryable = (reason: Reason): boolean => {
  switch (reason._tag) {
    case "ConnectionRefused":
    case "ConnectionClosed":
    case "HandshakeTimeout":
    case "IdleTimeout":
    case "StatelessReset":
    case "StreamLimit":
    case "PathFailed":
    case "SocketFailed":
    case "AddressUnreachable":
    case "AddressUnavailable":
    case "ResolveFailed":
      return true
    case "ApplicationClosed":
      return reason.code === 0
    case "TransportClosed":
      return reason.initiator === "peer" && PASSING.has(reason.code)
    case "PathUnavailable":
      return reason.why === "noConnectionIds" || reason.why === "notConfirmed" || reason.why === "pathLimit"
    default:
      return false
  }
}

/**
 * The name of a TLS alert (RFC 8446 section 6), or its number.
 *
 * @category names
 * @since 0.1.0
 */
export const alertName = (alert: number): string => alertNames.get(alert) ?? `alert ${alert}`

/**
 * The name of a transport error code (RFC 9000 section 20.1, draft-ietf-quic-multipath-21 section 4.2), with the alert
 * when it carries one; the number in hex when it has no name.
 *
 * @category names
 * @since 0.1.0
 */
export const transportErrorName = (code: number): string =>
  code >= 0x100 && code <= 0x1ff
    ? `CRYPTO_ERROR (${alertName(code - 0x100)})`
    : (transportErrorNames.get(code) ?? `0x${code.toString(16)}`)
