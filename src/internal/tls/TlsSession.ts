/**
 * The seam between the connection and a TLS engine (RFC 9001 section 4): handshake bytes in and out by level, secrets out.
 * Engines are synchronous and own no I/O, clock or randomness.
 */
import type { Level } from "../wire/Protocol.ts"

/**
 * The AEADs of QUIC's cipher suites.
 *
 * @category models
 * @since 0.1.0
 */
export type AeadAlgorithm = "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305"

/**
 * A cipher suite of TLS 1.3 (RFC 8446 section B.4).
 *
 * @category models
 * @since 0.1.0
 */
export interface CipherSuite {
  /** The suite's number in TLS, such as 0x1301. */
  readonly id: number
  readonly name: "TLS_AES_128_GCM_SHA256" | "TLS_AES_256_GCM_SHA384" | "TLS_CHACHA20_POLY1305_SHA256"
  readonly aead: AeadAlgorithm
  readonly hash: "sha256" | "sha384"
  /** Bytes. */
  readonly keyLength: 16 | 32
}

/**
 * A fatal alert (RFC 8446 section 6): it becomes CRYPTO_ERROR 0x100 + `alert`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsFailure {
  /** The alert (RFC 8446 section 6), such as 40 for handshake_failure. */
  readonly alert: number
  /** The code of the transport error to close with instead, where RFC 9001 asks for one (sections 4.4, 4.6.1 and 8.4). */
  readonly transportError?: number | undefined
  /** Says what went wrong: the peer is told, too. */
  readonly message: string
  /** What the user on this side can do about it: it stays here. */
  readonly advice?: string | undefined
  /** Why a certificate was refused, if that is what happened. */
  readonly certificate?:
    | "unknownAuthority"
    | "expired"
    | "notYetValid"
    | "nameMismatch"
    | "badUsage"
    | "badSignature"
    | "pinMismatch"
    | "malformed"
    | undefined
}

/**
 * What a handshake agreed on.
 *
 * @category models
 * @since 0.1.0
 */
export interface HandshakeInfo {
  readonly cipherSuite: CipherSuite
  /** Of the key exchange, such as `X25519`. */
  readonly group: string
  readonly alpn: string
  readonly serverName: string | undefined
  readonly resumed: boolean
  readonly earlyDataAccepted: boolean
  /** DER, leaf first. Empty when the peer sent none. */
  readonly peerCertificates: ReadonlyArray<Uint8Array>
}

/**
 * What an engine tells its connection, synchronously, while `start` or `receive` runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsOutput {
  /** Handshake bytes to send at a level, in order; the engine does not keep or change them afterwards. */
  readonly send: (level: Level, bytes: Uint8Array) => void
  /** A traffic secret for 0-RTT, Handshake or 1-RTT. */
  readonly secret: (level: Level, direction: "read" | "write", suite: CipherSuite, secret: Uint8Array) => void
  /** The peer's transport parameters, encoded, once authenticated as far as the handshake has got. Returns a failure to abort with. */
  readonly transportParameters: (encoded: Uint8Array) => TlsFailure | undefined
  /** The handshake is complete here (RFC 9001 section 4.1.1): client and server Finished are in. */
  readonly complete: (info: HandshakeInfo) => void
  /** A NewSessionTicket arrived (client): opaque, to be kept by the ticket store and handed to a later session. */
  readonly ticket: (ticket: Uint8Array) => void
}

/**
 * The TLS of one connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsSession {
  /** Client: sends the ClientHello. Server: does nothing. */
  readonly start: () => TlsFailure | undefined
  /**
   * The next bytes of the CRYPTO stream of `level`, contiguous and in order; any split. The engine copies what it keeps.
   * After a failure the session is dead.
   */
  readonly receive: (level: Level, bytes: Uint8Array) => TlsFailure | undefined
  /** `length` bytes of the exporter (RFC 8446 section 7.5); undefined until the handshake is complete. */
  readonly exportKeyingMaterial: (label: string, context: Uint8Array, length: number) => Uint8Array | undefined
}

/**
 * What a session is made with.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsSessionOptions {
  /**
   * Own transport parameters, encoded. A function is called when they are sent, which for a server is after `output` has
   * been told those of the client: version_information depends on them (RFC 9368 section 4).
   */
  readonly transportParameters: Uint8Array | (() => Uint8Array)
  readonly output: TlsOutput
  /** Wall clock in ms since 1970 at the start of the handshake, for certificate dates. */
  readonly wallTime: number
}

/**
 * How a server seals what it needs to resume a session into the ticket that its client keeps.
 *
 * @category models
 * @since 0.2.0
 */
export interface TicketSealing {
  /** Seconds for which a ticket is good: at most seven days. */
  readonly lifetime: number
  /** Gives a ticket. `wallTime`: ms since 1970. */
  readonly seal: (session: Uint8Array, wallTime: number) => Uint8Array
  /** What was sealed; undefined if it was not sealed here, or too long ago. `wallTime`: ms since 1970. */
  readonly open: (ticket: Uint8Array, wallTime: number) => Uint8Array | undefined
}

/**
 * A configured engine; the endpoint makes one session per connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsEngine {
  readonly client: (
    options: TlsSessionOptions & {
      readonly serverName: string
      readonly alpn: ReadonlyArray<string>
      /** What `output.ticket` gave in an earlier session, to resume it; what is no ticket counts as none. */
      readonly ticket?: Uint8Array | undefined
    }
  ) => TlsSession
  /** Undefined when no identity is configured: such an endpoint cannot serve. */
  readonly server:
    | ((
        options: TlsSessionOptions & {
          readonly alpn: ReadonlyArray<string>
          /** Without it no tickets are given, and none is taken. */
          readonly tickets?: TicketSealing | undefined
        }
      ) => TlsSession)
    | undefined
}
