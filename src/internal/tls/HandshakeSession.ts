/** What client and server have in common: messages in and out, secrets, authentication, and the edge where failures end. */
import { dropPromise } from "../Unwanted.ts"
import { hash } from "node:crypto"
import type { KeyObject } from "node:crypto"
import { Level } from "../wire/Protocol.ts"
import type { Role } from "../wire/Protocol.ts"
import { Alert, abort, abortWith, failureOf, violate } from "./Alerts.ts"
import { readPublicKey } from "./certificates/PublicKey.ts"
import { checkAnswered } from "./Extensions.ts"
import type { Extensions } from "./Extensions.ts"
import type { CertificateVerifier, Identity } from "./Identity.ts"
import { KeySchedule, Transcript, exportKey, finishedData, sameSecret } from "./KeySchedule.ts"
import { MessageBuffer } from "./MessageBuffer.ts"
import {
  HandshakeType,
  MESSAGE_HEADER,
  decodeCertificate,
  decodeCertificateVerify,
  encodeCertificate,
  encodeCertificateVerify,
  encodeFinished,
  messageName
} from "./Messages.ts"
import type { ResolvedConfig } from "./OwnTlsConfig.ts"
import { schemeName, schemesOf, signWith, signedContent, verifyWith } from "./Signatures.ts"
import type { CipherSuite, HandshakeInfo, TlsFailure, TlsOutput, TlsSession, TlsSessionOptions } from "./TlsSession.ts"

interface TrafficSecrets {
  readonly client: Uint8Array
  readonly server: Uint8Array
}

const NO_BYTES = new Uint8Array(0)

/** The most bytes that the body of a message without certificates may have: what a TLS record holds. */
const MAX_PLAIN_MESSAGE = 16_384

export abstract class HandshakeSession implements TlsSession {
  protected readonly config: ResolvedConfig
  protected readonly output: TlsOutput
  protected readonly role: Role
  /** Identifies the connection in a key log. */
  protected clientRandom: Uint8Array = NO_BYTES
  protected peerCertificates: ReadonlyArray<Uint8Array> = []
  #complete = false
  #options: TlsSessionOptions | undefined
  readonly #buffer: MessageBuffer
  #readLevel: Level = Level.initial
  #failure: TlsFailure | undefined
  #suite: CipherSuite | undefined
  #transcript: Transcript | undefined
  #schedule: KeySchedule | undefined
  #handshakeSecrets: TrafficSecrets | undefined
  #exporterSecret: Uint8Array | undefined
  #peerKey: KeyObject | undefined

  constructor(role: Role, config: ResolvedConfig, options: TlsSessionOptions) {
    this.role = role
    this.config = config
    this.output = options.output
    this.#options = options
    this.#buffer = new MessageBuffer((type, length) => this.#admit(type, length))
  }

  /** Sends what comes before anything is received. */
  protected abstract begin(): void
  /** Refuses a message that may not come now. */
  protected abstract check(type: number): void
  /** Takes one whole message that was checked: its type, its body, and all of it, which goes into the transcript. */
  protected abstract handle(type: number, body: Uint8Array, message: Uint8Array): void

  start(): TlsFailure | undefined {
    return this.#guard(() => this.begin())
  }

  receive(level: Level, bytes: Uint8Array): TlsFailure | undefined {
    if (bytes.length === 0) return this.#failure
    return this.#guard(() => {
      if (level !== this.#readLevel) this.#wrongLevel(level)
      this.#buffer.push(bytes)
      for (let message = this.#buffer.next(); message !== undefined; message = this.#buffer.next()) {
        this.handle(message[0]!, message.subarray(MESSAGE_HEADER), message)
      }
    })
  }

  #wrongLevel(level: Level): never {
    // RFC 9001 section 4.1.3.
    if (level < this.#readLevel) violate(Alert.unexpectedMessage, "handshake data at an encryption level that is over")
    return abort(Alert.unexpectedMessage, "handshake data at an encryption level that has not begun")
  }

  #admit(type: number, length: number): void {
    this.check(type)
    const { maxMessage } = this.config
    const limit = type === HandshakeType.certificate ? maxMessage : Math.min(maxMessage, MAX_PLAIN_MESSAGE)
    if (length > limit) {
      abort(Alert.illegalParameter, `${messageName(type)} has ${length} bytes, above the limit of ${limit}`)
    }
  }

  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array | undefined {
    if (!this.#complete) return undefined
    return exportKey(this.suite.hash, this.#exporterSecret!, label, context, length)
  }

  /** Nothing that goes wrong inside leaves as an exception, and nothing works after it. */
  #guard(run: () => void): TlsFailure | undefined {
    if (this.#failure !== undefined) return this.#failure
    try {
      run()
    } catch (error) {
      this.#failure = failureOf(error)
    }
    return this.#failure
  }

  protected get suite(): CipherSuite {
    return this.#suite!
  }

  protected get transcript(): Transcript {
    return this.#transcript!
  }

  protected get schedule(): KeySchedule {
    return this.#schedule!
  }

  protected get transportParameters(): Uint8Array {
    const own = this.#options!.transportParameters
    return typeof own === "function" ? own() : own
  }

  /** Hands over the peer's transport parameters, which QUIC cannot do without (RFC 9001 section 8.2). */
  protected takeTransportParameters(encoded: Uint8Array | undefined): void {
    if (encoded === undefined) {
      return abort(
        Alert.missingExtension,
        "the peer sent no QUIC transport parameters: it does not speak QUIC version 1"
      )
    }
    const failure = this.output.transportParameters(encoded)
    if (failure !== undefined) abortWith(failure)
  }

  /** The suite is agreed on: its hash starts the transcript and the key schedule. */
  protected useSuite(suite: CipherSuite): void {
    this.#suite = suite
    this.#transcript = new Transcript(suite.hash)
    this.#schedule = new KeySchedule(suite.hash)
  }

  /** The schedule begins with the key of a session that is resumed. */
  protected usePsk(psk: Uint8Array): void {
    this.#schedule = new KeySchedule(this.suite.hash, psk)
  }

  /** ms since 1970 when the handshake began; until it is over. */
  protected get wallTime(): number {
    return this.#options!.wallTime
  }

  protected send(level: Level, message: Uint8Array): void {
    this.transcript.add(message)
    this.output.send(level, message)
  }

  /**
   * From here on messages come at another level; none may cross the change of keys (RFC 8446 section 5.1), which in QUIC is
   * a PROTOCOL_VIOLATION (RFC 9001 section 4.1.3).
   */
  protected readAt(level: Level): void {
    if (this.#buffer.pending) violate(Alert.unexpectedMessage, "handshake data goes on where the keys change")
    this.#readLevel = level
  }

  /** The peer has to hear from us before it can say more. */
  protected endOfFlight(): void {
    if (this.#buffer.pending) abort(Alert.unexpectedMessage, "handshake data behind a message that ends a flight")
  }

  /** The handshake is over, and what only it needed goes: there may be thousands of quiet connections, and it is secret. */
  protected finish(info: HandshakeInfo): void {
    this.#complete = true
    this.#options = undefined
    this.#transcript = undefined
    this.#schedule = undefined
    this.#handshakeSecrets = undefined
    this.#peerKey = undefined
    this.clientRandom = NO_BYTES
    this.peerCertificates = []
    this.output.complete(info)
  }

  protected expect(type: number, ...allowed: ReadonlyArray<number>): void {
    if (!allowed.includes(type)) {
      abort(Alert.unexpectedMessage, `${messageName(type)} instead of ${allowed.map(messageName).join(" or ")}`)
    }
  }

  /** Handshake keys, both directions, once ServerHello is in the transcript. */
  protected installHandshakeSecrets(sharedSecret: Uint8Array): void {
    this.schedule.advance(sharedSecret)
    const digest = this.transcript.digest()
    const client = this.schedule.derive("c hs traffic", digest)
    const server = this.schedule.derive("s hs traffic", digest)
    this.#handshakeSecrets = { client, server }
    this.#log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client)
    this.#log("SERVER_HANDSHAKE_TRAFFIC_SECRET", server)
    const own = this.role === "client"
    this.output.secret(Level.handshake, "read", this.suite, own ? server : client)
    this.output.secret(Level.handshake, "write", this.suite, own ? client : server)
  }

  /** Application secrets, once the server's Finished is in the transcript; the session says when they are used. */
  protected deriveApplicationSecrets(): TrafficSecrets {
    this.schedule.advance()
    const digest = this.transcript.digest()
    const client = this.schedule.derive("c ap traffic", digest)
    const server = this.schedule.derive("s ap traffic", digest)
    this.#exporterSecret = this.schedule.derive("exp master", digest)
    this.#log("CLIENT_TRAFFIC_SECRET_0", client)
    this.#log("SERVER_TRAFFIC_SECRET_0", server)
    this.#log("EXPORTER_SECRET", this.#exporterSecret)
    return { client, server }
  }

  /** NSS key log format. */
  #log(label: string, secret: Uint8Array): void {
    this.config.keyLog?.(
      `${label} ${Buffer.from(this.clientRandom).toString("hex")} ${Buffer.from(secret).toString("hex")}`
    )
  }

  protected sendFinished(): void {
    const secret = this.#handshakeSecrets![this.role]
    this.send(Level.handshake, encodeFinished(finishedData(this.suite.hash, secret, this.transcript.digest())))
  }

  /** Checks the peer's Finished and adds it to the transcript. */
  protected receiveFinished(body: Uint8Array, message: Uint8Array): void {
    const secret = this.#handshakeSecrets![this.#peer]
    const expected = finishedData(this.suite.hash, secret, this.transcript.digest())
    if (body.length !== expected.length) abort(Alert.decodeError, "malformed Finished: its length is not the hash's")
    if (!sameSecret(body, expected)) abort(Alert.decryptError, "Finished does not match the handshake")
    this.transcript.add(message)
  }

  get #peer(): Role {
    return this.role === "client" ? "server" : "client"
  }

  /** Sends our certificates and proves that we hold the key. */
  protected sendIdentity(identity: Identity, scheme: number): void {
    this.send(Level.handshake, encodeCertificate(identity.certificates))
    const content = signedContent(this.role, this.transcript.digest())
    const signature = signWith(scheme, identity.privateKey, content)
    if (signature === undefined) return abort(Alert.internalError, `the key cannot sign with ${schemeName(scheme)}`)
    this.send(Level.handshake, encodeCertificateVerify({ scheme, signature }))
  }

  /** What the verifier says of a chain. */
  protected judge(
    chain: ReadonlyArray<Uint8Array>,
    verifier: CertificateVerifier,
    serverName: string | undefined
  ): TlsFailure | undefined {
    const usage = this.role === "client" ? "serverAuth" : "clientAuth"
    return verdictOf(verifier({ chain, serverName, usage, now: this.wallTime }))
  }

  /**
   * Takes the peer's Certificate and has it judged. `asked` holds the extensions it may answer. Gives whether there was a
   * certificate at all.
   */
  protected receiveCertificate(
    body: Uint8Array,
    message: Uint8Array,
    asked: Extensions,
    verifier: CertificateVerifier,
    serverName: string | undefined
  ): boolean {
    const entries = decodeCertificate(body)
    for (const { extensions } of entries) checkAnswered(extensions, "Certificate", asked)
    this.transcript.add(message)
    const leaf = entries[0]
    if (leaf === undefined) return false
    const chain = entries.map(({ certificate }) => certificate)
    const failure = this.judge(chain, verifier, serverName)
    if (failure !== undefined) abortWith(failure)
    this.#peerKey = peerKey(leaf.certificate)
    this.peerCertificates = chain
    return true
  }

  /** Checks that the peer holds the key of its certificate. */
  protected receiveCertificateVerify(body: Uint8Array, message: Uint8Array): void {
    const { scheme, signature } = decodeCertificateVerify(body)
    const key = this.#peerKey!
    if (!schemesOf(key).includes(scheme)) {
      abort(Alert.illegalParameter, `CertificateVerify with ${schemeName(scheme)}, which does not fit the certificate`)
    }
    if (!verifyWith(scheme, key, signedContent(this.#peer, this.transcript.digest()), signature)) {
      abort(Alert.decryptError, "the signature of CertificateVerify is wrong")
    }
    keepKey(this.peerCertificates[0]!, key)
    this.transcript.add(message)
  }
}

/** What a user's verifier gave, where it gave what it must: nothing else accepts a certificate. */
const verdictOf = (given: TlsFailure | undefined): TlsFailure | undefined => {
  if (given === undefined) return undefined
  if (typeof given?.alert === "number" && typeof given.message === "string") return given
  const kind = dropPromise(given) ? "a Promise" : given === null ? "null" : `a value of type ${typeof given}`
  throw new TypeError(`the certificate verifier must return undefined or a TlsFailure, and not ${kind}`)
}

/** Public keys of the peers seen last: programs talk to the same few again and again, and reading a key is slow. */
const KEYS_KEPT = 64
const publicKeys = new Map<string, KeyObject>()

const keyNameOf = (certificate: Uint8Array): string => hash("sha256", certificate, "base64")

/**
 * The public key of a certificate, whoever judged that. What would take long to check a signature with is refused before
 * anything is done with it, and the certificate is not read any further.
 */
const peerKey = (certificate: Uint8Array): KeyObject => {
  const known = publicKeys.get(keyNameOf(certificate))
  if (known !== undefined) return known
  const key = readPublicKey(certificate)
  if (typeof key !== "string") return key
  return abortWith({
    alert: Alert.badCertificate,
    message: `the peer's certificate ${key}`,
    certificate: "malformed"
  })
}

/** Keeps the key of a peer that was accepted and holds it. */
const keepKey = (certificate: Uint8Array, key: KeyObject): void => {
  const name = keyNameOf(certificate)
  if (publicKeys.has(name)) return
  if (publicKeys.size >= KEYS_KEPT) publicKeys.clear()
  publicKeys.set(name, key)
}
