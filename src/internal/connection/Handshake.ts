/**
 * The handshake of a connection: TLS, the CRYPTO streams that carry it, and the keys of every level that come out of it
 * (RFC 9001 section 4).
 */
import type { PacketProtection } from "../crypto/Protection.ts"
import { KeyPhases } from "../crypto/KeyPhases.ts"
import { closeLevelKeys, initialKeys, levelKeys } from "../crypto/LevelKeys.ts"
import type { LevelKeys } from "../crypto/LevelKeys.ts"
import { CryptoStream } from "../streams/CryptoStream.ts"
import type { CipherSuite, HandshakeInfo, TlsFailure, TlsOutput, TlsSession } from "../tls/TlsSession.ts"
import { isViolation, Level, TransportError, violation } from "../wire/Protocol.ts"
import type { Role, Violation } from "../wire/Protocol.ts"

export interface HandshakeEvents {
  readonly onPeerParameters: (encoded: Uint8Array) => TlsFailure | Violation | undefined
  readonly onComplete: (info: HandshakeInfo) => void
  readonly onTicket: (ticket: Uint8Array) => void
  /** Keys that packets may already wait for. */
  readonly onKeys: (level: Level) => void
}

/** What ends a handshake: the transport error to close with, and TLS's own words when it was TLS. */
export interface HandshakeFailure {
  readonly violation: Violation
  readonly tls: TlsFailure | undefined
}

/** The alert for what is this side's own mistake (RFC 8446 section 6.2). */
const INTERNAL_ERROR = 80

/** In the place of the streams of levels whose keys are gone; and 0-RTT packets hold no CRYPTO frames. */
const spent = new CryptoStream(Level.zeroRtt)
spent.discard()

export class Handshake {
  readonly role: Role
  version: number
  initial: LevelKeys | undefined = undefined
  handshake: LevelKeys | undefined = undefined
  oneRtt: KeyPhases | undefined = undefined
  info: HandshakeInfo | undefined = undefined
  private readonly protection: PacketProtection
  private readonly events: HandshakeEvents
  /** By level. */
  private readonly streams: Array<CryptoStream>
  private tls: TlsSession | undefined = undefined
  private handshakeSecrets: { read?: Uint8Array; write?: Uint8Array } = {}
  private applicationSecrets: { read?: Uint8Array; write?: Uint8Array } = {}
  /** What TLS cannot know of: parameters that break the protocol, or data that crosses a change of keys. */
  private problem: Violation | undefined = undefined

  constructor(options: {
    readonly role: Role
    readonly version: number
    readonly protection: PacketProtection
    readonly events: HandshakeEvents
  }) {
    this.role = options.role
    this.version = options.version
    this.protection = options.protection
    this.events = options.events
    this.streams = [
      new CryptoStream(Level.initial),
      spent,
      new CryptoStream(Level.handshake),
      new CryptoStream(Level.oneRtt)
    ]
  }

  /** TLS speaks through this. */
  readonly output: TlsOutput = {
    send: (level, bytes) => this.streams[level]!.append(bytes),
    secret: (level, direction, suite, secret) => this.onSecret(level, direction, suite, secret),
    transportParameters: (encoded) => {
      const problem = this.events.onPeerParameters(encoded)
      if (problem === undefined) return undefined
      if (!isViolation(problem)) return problem
      this.problem = problem
      // illegal_parameter: only to stop TLS; the connection closes with the violation itself.
      return { alert: 47, message: problem.reason }
    },
    complete: (info) => {
      if (this.problem !== undefined) return
      this.info = info
      this.events.onComplete(info)
    },
    ticket: (ticket) => this.events.onTicket(ticket)
  }

  begin(tls: TlsSession): HandshakeFailure | undefined {
    this.tls = tls
    return this.failure(tls.start())
  }

  /** Initial keys from the client's destination connection ID; again after a Retry. */
  installInitial(dcid: Uint8Array): void {
    if (this.initial !== undefined) closeLevelKeys(this.initial)
    this.initial = initialKeys(this.protection, this.version, dcid, this.role)
  }

  stream(level: Level): CryptoStream {
    return this.streams[level]!
  }

  /** A CRYPTO frame. */
  onCrypto(
    level: Level,
    offset: number,
    bytes: Uint8Array,
    start: number,
    length: number
  ): HandshakeFailure | undefined {
    const stream = this.streams[level]!
    const problem = stream.onFrame(offset, bytes, start, length)
    if (problem !== undefined) return { violation: problem, tls: undefined }
    for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) {
      const failure = this.failure(this.tls!.receive(level, chunk))
      if (failure !== undefined) return failure
    }
    return undefined
  }

  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array | undefined {
    return this.tls?.exportKeyingMaterial(label, context, length)
  }

  /** The keys of a level are no longer needed, nor what was sent and received under them (RFC 9001 section 4.9). */
  discard(level: Level): void {
    this.streams[level] = spent
    if (level === Level.initial && this.initial !== undefined) {
      closeLevelKeys(this.initial)
      this.initial = undefined
    } else if (level === Level.handshake && this.handshake !== undefined) {
      closeLevelKeys(this.handshake)
      this.handshake = undefined
    }
  }

  close(): void {
    this.discard(Level.initial)
    this.discard(Level.handshake)
    this.oneRtt?.close()
    this.oneRtt = undefined
  }

  private onSecret(level: Level, direction: "read" | "write", suite: CipherSuite, secret: Uint8Array): void {
    // TLS reads each level to its end before the next one.
    if (direction === "read" && level !== Level.zeroRtt) {
      this.problem ??= this.streams[level === Level.oneRtt ? Level.handshake : Level.initial]!.endReading()
    }
    if (level === Level.handshake) {
      const secrets = this.handshakeSecrets
      secrets[direction] = secret
      if (secrets.read !== undefined && secrets.write !== undefined) {
        this.handshake = levelKeys(this.protection, suite, this.version, secrets.read, secrets.write)
        this.handshakeSecrets = {}
        this.events.onKeys(level)
      }
    } else if (level === Level.oneRtt) {
      const secrets = this.applicationSecrets
      secrets[direction] = secret
      if (secrets.read !== undefined && secrets.write !== undefined) {
        this.oneRtt = new KeyPhases(this.protection, suite, this.version, secrets.read, secrets.write)
        this.applicationSecrets = {}
        this.events.onKeys(level)
      }
    }
  }

  private failure(failure: TlsFailure | undefined): HandshakeFailure | undefined {
    if (this.problem !== undefined) return { violation: this.problem, tls: undefined }
    if (failure === undefined) return undefined
    // What went wrong inside is nobody else's business: an exception of a user's verifier may tell anything.
    const reason = failure.alert === INTERNAL_ERROR ? "" : failure.message
    return {
      violation: violation(failure.transportError ?? TransportError.crypto + failure.alert, reason, 0x06),
      tls: failure
    }
  }
}
