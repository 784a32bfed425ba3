/** The client's side of the handshake (RFC 8446 appendix A.1). */
import { domainToASCII } from "node:url"
import { Level } from "../wire/Protocol.ts"
import { Alert, abort, violate } from "./Alerts.ts"
import { normalizeDns, parseIp } from "./certificates/Names.ts"
import { cipherSuite } from "./CipherSuites.ts"
import {
  ExtensionType,
  checkAnnounced,
  checkAnswered,
  checkCookie,
  checkEmpty,
  checkForms,
  decodeAlpn,
  decodeServerShare,
  decodeUint16,
  decodeUint16List,
  encodeAlpn,
  encodeClientShares,
  encodeClientVersions,
  encodeOfferedPsk,
  encodeServerName,
  encodeUint16List,
  pskDheKe
} from "./Extensions.ts"
import type { Extensions } from "./Extensions.ts"
import { HandshakeSession } from "./HandshakeSession.ts"
import type { KeyExchangeGroup, KeyOffer } from "./KeyExchange.ts"
import { hashLength } from "./Hmac.ts"
import { Transcript, binderOf, ticketKey } from "./KeySchedule.ts"
import {
  HandshakeType,
  RETRY_RANDOM,
  TLS_1_3,
  decodeCertificateRequest,
  decodeEncryptedExtensions,
  decodeNewSessionTicket,
  decodeServerHello,
  encodeCertificate,
  encodeClientHello,
  messageName
} from "./Messages.ts"
import type { ServerHello } from "./Messages.ts"
import type { ResolvedConfig } from "./OwnTlsConfig.ts"
import { announcedSchemes, schemesOf } from "./Signatures.ts"
import { MAX_TICKET_LIFETIME, decodeTicket, encodeTicket } from "./Tickets.ts"
import type { SessionTicket } from "./Tickets.ts"
import type { CipherSuite, TlsSessionOptions } from "./TlsSession.ts"

export interface ClientOptions extends TlsSessionOptions {
  /** Host name or IP address, as the certificate must have it. */
  readonly serverName: string
  /** Protocols, best first; at least one. */
  readonly alpn: ReadonlyArray<string>
  /** Of an earlier session with this server. */
  readonly ticket?: Uint8Array | undefined
}

/** Tickets taken of one server; what comes after them is passed over. */
const MAX_TICKETS = 16

/** What the next message has to be. */
type State =
  | "start"
  | "serverHello"
  | "encryptedExtensions"
  | "certificateOrRequest"
  | "certificate"
  | "certificateVerify"
  | "finished"
  | "connected"

export class ClientSession extends HandshakeSession {
  readonly #alpn: ReadonlyArray<string>
  readonly #serverName: string
  #state: State = "start"
  /** The extensions of our last ClientHello. */
  #offered: Extensions = new Map()
  /** Our last ClientHello, until the suite and with it the hash of the transcript is known. */
  #clientHello: Uint8Array = new Uint8Array(0)
  #group: KeyExchangeGroup
  #offer: KeyOffer | undefined
  /** The suite that a HelloRetryRequest chose; ServerHello must choose it again. */
  #retrySuite: CipherSuite | undefined
  #chosenAlpn = ""
  /** The signature schemes of a CertificateRequest. */
  #requestedSchemes: ReadonlyArray<number> | undefined
  /** The session that we offer to resume, and whether the server does. */
  #session: SessionTicket | undefined
  #resumed = false
  #resumptionSecret: Uint8Array = new Uint8Array(0)
  /** What tickets keep of this session. */
  #certificates: ReadonlyArray<Uint8Array> = []
  #began = 0
  #tickets = 0

  constructor(config: ResolvedConfig, options: ClientOptions) {
    super("client", config, options)
    this.#alpn = options.alpn
    this.#serverName = asciiName(options.serverName)
    this.#began = options.wallTime
    this.#session = options.ticket === undefined ? undefined : this.#resumable(options.ticket)
    this.#group = config.groups[0]!
  }

  protected override begin(): void {
    if (this.#state !== "start") return abort(Alert.internalError, "the handshake was started twice")
    if (this.#alpn.length === 0)
      return abort(Alert.noApplicationProtocol, "QUIC needs at least one ALPN protocol to offer")
    this.clientRandom = Uint8Array.from(this.config.random(32))
    this.#offer = this.#group.offer(this.config.random)
    const extensions = new Map<number, Uint8Array>()
    if (namesHost(this.#serverName)) extensions.set(ExtensionType.serverName, encodeServerName(this.#serverName))
    extensions.set(ExtensionType.supportedGroups, encodeUint16List(this.config.groups.map(({ id }) => id)))
    extensions.set(ExtensionType.signatureAlgorithms, encodeUint16List(announcedSchemes))
    extensions.set(ExtensionType.alpn, encodeAlpn(this.#alpn))
    extensions.set(ExtensionType.supportedVersions, encodeClientVersions([TLS_1_3]))
    // Without it no server may send a ticket.
    extensions.set(ExtensionType.pskKeyExchangeModes, pskDheKe)
    extensions.set(ExtensionType.quicTransportParameters, this.transportParameters)
    extensions.set(ExtensionType.keyShare, this.#keyShare())
    this.#state = "serverHello"
    this.#sendClientHello(extensions)
  }

  /**
   * A ticket of this server that is still good, and whose server we would believe today: trust may be another than when it was
   * given (section 4.2.11). Who shows an identity of its own does not resume, lest it comes back as somebody else.
   */
  #resumable(bytes: Uint8Array): SessionTicket | undefined {
    const ticket = decodeTicket(bytes)
    const suite = ticket && cipherSuite(ticket.cipherSuite)
    if (ticket === undefined || suite === undefined || !this.config.cipherSuites.includes(suite)) return undefined
    const age = this.wallTime - ticket.received
    if (ticket.serverName !== this.#serverName || age < 0 || age >= 1000 * ticket.lifetime) return undefined
    if (this.config.identity !== undefined || ticket.psk.length !== hashLength(suite.hash)) return undefined
    try {
      const failure = this.judge(ticket.certificates, this.config.verifyServer, this.#serverName)
      return failure === undefined ? ticket : undefined
    } catch {
      // The handshake without the ticket says what is wrong.
      return undefined
    }
  }

  #keyShare(): Uint8Array {
    return encodeClientShares([{ group: this.#group.id, keyExchange: this.#offer!.share }])
  }

  #sendClientHello(plain: Extensions): void {
    const session = this.#session
    const extensions = session === undefined ? plain : this.#withPsk(plain, session)
    const message = encodeClientHello({
      random: this.clientRandom,
      legacySessionId: new Uint8Array(0),
      cipherSuites: this.config.cipherSuites.map(({ id }) => id),
      extensions
    })
    if (session !== undefined) this.#bind(message, session)
    this.#offered = extensions
    if (this.#retrySuite === undefined) this.#clientHello = message.slice()
    else this.transcript.add(message)
    this.output.send(Level.initial, message)
  }

  /** With pre_shared_key, which is the last one. */
  #withPsk(extensions: Extensions, session: SessionTicket): Extensions {
    const age = this.wallTime - session.received
    const identity = { ticket: session.ticket, obfuscatedAge: (age + session.ageAdd) % 2 ** 32 }
    return new Map(extensions).set(ExtensionType.preSharedKey, encodeOfferedPsk(identity, session.psk.length))
  }

  /** Fills in the binder: it covers all before the list of binders, and what came before a second ClientHello. */
  #bind(message: Uint8Array, { cipherSuite: id, psk }: SessionTicket): void {
    const { hash } = cipherSuite(id)!
    const covered = message.subarray(0, message.length - psk.length - 3)
    const transcript = this.#retrySuite === undefined ? new Transcript(hash) : this.transcript
    message.set(binderOf(hash, psk, transcript.digestWith(covered)), message.length - psk.length)
  }

  protected override check(type: number): void {
    switch (this.#state) {
      case "start":
        return abort(Alert.unexpectedMessage, `${messageName(type)} before our ClientHello`)
      case "serverHello":
        return this.expect(type, HandshakeType.serverHello)
      case "encryptedExtensions":
        return this.expect(type, HandshakeType.encryptedExtensions)
      case "certificateOrRequest":
        return this.expect(type, HandshakeType.certificate, HandshakeType.certificateRequest)
      case "certificate":
        return this.expect(type, HandshakeType.certificate)
      case "certificateVerify":
        return this.expect(type, HandshakeType.certificateVerify)
      case "finished":
        return this.expect(type, HandshakeType.finished)
      case "connected":
        if (type === HandshakeType.certificateRequest) {
          return violate(
            Alert.unexpectedMessage,
            "QUIC has no authentication after the handshake (RFC 9001 section 4.4)"
          )
        }
        if (type === HandshakeType.keyUpdate) {
          return abort(Alert.unexpectedMessage, "QUIC updates keys without KeyUpdate (RFC 9001 section 6)")
        }
        return this.expect(type, HandshakeType.newSessionTicket)
    }
  }

  protected override handle(type: number, body: Uint8Array, message: Uint8Array): void {
    switch (this.#state) {
      case "serverHello": {
        const hello = decodeServerHello(body)
        return Buffer.compare(hello.random, RETRY_RANDOM) === 0
          ? this.#helloRetryRequest(hello, message)
          : this.#serverHello(hello, message)
      }
      case "encryptedExtensions":
        return this.#encryptedExtensions(body, message)
      case "certificateOrRequest":
        if (type === HandshakeType.certificateRequest) return this.#certificateRequest(body, message)
        return this.#certificate(body, message)
      case "certificate":
        return this.#certificate(body, message)
      case "certificateVerify":
        this.receiveCertificateVerify(body, message)
        this.#state = "finished"
        return
      case "finished":
        return this.#finished(body, message)
      case "connected":
        return this.#newSessionTicket(body)
    }
  }

  /** What ServerHello and HelloRetryRequest share (RFC 8446 section 4.1.3). */
  #agreedSuite(hello: ServerHello): CipherSuite {
    const version = decodeUint16(hello.extensions.get(ExtensionType.supportedVersions)!, "supported_versions")
    if (version !== TLS_1_3) abort(Alert.illegalParameter, "the server chose a version that we did not offer")
    const suite = cipherSuite(hello.cipherSuite)
    if (suite === undefined || !this.config.cipherSuites.includes(suite)) {
      return abort(Alert.illegalParameter, "the server chose a cipher suite that we did not offer")
    }
    return suite
  }

  /** Section 4.1.4. */
  #helloRetryRequest(hello: ServerHello, message: Uint8Array): void {
    if (this.#retrySuite !== undefined) return abort(Alert.unexpectedMessage, "a second HelloRetryRequest")
    this.endOfFlight()
    checkAnswered(hello.extensions, "HelloRetryRequest", this.#offered)
    this.#retrySuite = this.#agreedSuite(hello)
    const selected = hello.extensions.get(ExtensionType.keyShare)
    const cookie = hello.extensions.get(ExtensionType.cookie)
    if (selected === undefined && cookie === undefined) {
      return abort(Alert.illegalParameter, "a HelloRetryRequest that changes nothing")
    }
    if (selected !== undefined) {
      const id = decodeUint16(selected, "key_share")
      const group = this.config.groups.find((one) => one.id === id)
      if (group === undefined || group === this.#group) {
        return abort(Alert.illegalParameter, "HelloRetryRequest for a group that we do not offer or sent a share for")
      }
      this.#group = group
      this.#offer = group.offer(this.config.random)
    }
    this.useSuite(this.#retrySuite)
    this.transcript.add(this.#clientHello)
    this.transcript.retry()
    this.transcript.add(message)
    // Section 4.1.4: a key of another hash is no use with this suite.
    if (this.#session !== undefined && cipherSuite(this.#session.cipherSuite)!.hash !== this.#retrySuite.hash)
      this.#session = undefined
    const extensions = new Map(this.#offered)
    extensions.delete(ExtensionType.preSharedKey)
    extensions.set(ExtensionType.keyShare, this.#keyShare())
    if (cookie !== undefined) {
      checkCookie(cookie)
      extensions.set(ExtensionType.cookie, cookie)
    }
    this.#sendClientHello(extensions)
  }

  #serverHello(hello: ServerHello, message: Uint8Array): void {
    checkAnswered(hello.extensions, "ServerHello", this.#offered)
    const suite = this.#agreedSuite(hello)
    if (this.#retrySuite === undefined) {
      this.useSuite(suite)
      this.transcript.add(this.#clientHello)
    } else if (suite !== this.#retrySuite) {
      return abort(Alert.illegalParameter, "ServerHello changes the cipher suite of HelloRetryRequest")
    }
    const encoded = hello.extensions.get(ExtensionType.keyShare)
    if (encoded === undefined) return abort(Alert.missingExtension, "ServerHello has no key_share")
    const share = decodeServerShare(encoded)
    if (share.group !== this.#group.id)
      abort(Alert.illegalParameter, "the server chose a group without a share of ours")
    const selected = hello.extensions.get(ExtensionType.preSharedKey)
    if (selected !== undefined) this.#resume(suite, decodeUint16(selected, "pre_shared_key"))
    const secret = this.#offer!.accept(share.keyExchange)
    this.readAt(Level.handshake)
    this.transcript.add(message)
    this.installHandshakeSecrets(secret)
    this.#state = "encryptedExtensions"
  }

  /** The server goes on with the session (section 4.2.11). */
  #resume(suite: CipherSuite, selected: number): void {
    const session = this.#session!
    if (selected !== 0) abort(Alert.illegalParameter, "the server chose a pre-shared key that we did not offer")
    if (cipherSuite(session.cipherSuite)!.hash !== suite.hash)
      abort(Alert.illegalParameter, "the server resumes a session with a cipher suite of another hash")
    this.usePsk(session.psk)
    this.#resumed = true
    this.peerCertificates = session.certificates
  }

  #encryptedExtensions(body: Uint8Array, message: Uint8Array): void {
    const extensions = decodeEncryptedExtensions(body)
    checkAnswered(extensions, "EncryptedExtensions", this.#offered)
    const alpn = extensions.get(ExtensionType.alpn)
    if (alpn === undefined) {
      return abort(Alert.noApplicationProtocol, `the server speaks none of ${this.#alpn.join(", ")}`)
    }
    const [name, ...more] = decodeAlpn(alpn)
    if (name === undefined || more.length > 0 || !this.#alpn.includes(name)) {
      return abort(Alert.illegalParameter, "the server chose an ALPN protocol that we did not offer")
    }
    const echo = extensions.get(ExtensionType.serverName)
    if (echo !== undefined) checkEmpty(echo, "server_name")
    const groups = extensions.get(ExtensionType.supportedGroups)
    if (groups !== undefined) decodeUint16List(groups, "supported_groups")
    this.takeTransportParameters(extensions.get(ExtensionType.quicTransportParameters))
    this.#chosenAlpn = name
    this.transcript.add(message)
    this.#state = this.#resumed ? "finished" : "certificateOrRequest"
  }

  #certificateRequest(body: Uint8Array, message: Uint8Array): void {
    const extensions = decodeCertificateRequest(body)
    checkAnnounced(extensions, "CertificateRequest")
    checkForms(extensions)
    const schemes = extensions.get(ExtensionType.signatureAlgorithms)
    if (schemes === undefined) {
      return abort(Alert.missingExtension, "CertificateRequest has no signature_algorithms")
    }
    this.#requestedSchemes = decodeUint16List(schemes, "signature_algorithms")
    this.transcript.add(message)
    this.#state = "certificate"
  }

  #certificate(body: Uint8Array, message: Uint8Array): void {
    const { verifyServer } = this.config
    if (!this.receiveCertificate(body, message, this.#offered, verifyServer, this.#serverName)) {
      // Section 4.4.2.4.
      return abort(Alert.decodeError, "the server sent no certificate")
    }
    this.#state = "certificateVerify"
  }

  #finished(body: Uint8Array, message: Uint8Array): void {
    this.receiveFinished(body, message)
    this.readAt(Level.oneRtt)
    const { client, server } = this.deriveApplicationSecrets()
    if (this.#requestedSchemes !== undefined) this.#answerRequest(this.#requestedSchemes)
    this.sendFinished()
    this.#resumptionSecret = this.schedule.derive("res master", this.transcript.digest())
    this.output.secret(Level.oneRtt, "read", this.suite, server)
    this.output.secret(Level.oneRtt, "write", this.suite, client)
    this.#state = "connected"
    this.#session = undefined
    this.#certificates = this.config.identity === undefined ? this.peerCertificates : []
    this.finish({
      cipherSuite: this.suite,
      group: this.#group.name,
      alpn: this.#chosenAlpn,
      serverName: this.#serverName,
      resumed: this.#resumed,
      earlyDataAccepted: false,
      peerCertificates: this.peerCertificates
    })
  }

  /** Shows our identity if the server can check it, and otherwise says that there is none (section 4.4.2). */
  #answerRequest(requested: ReadonlyArray<number>): void {
    const { identity } = this.config
    const scheme = identity && schemesOf(identity.privateKey).find((one) => requested.includes(one))
    if (identity === undefined || scheme === undefined) this.send(Level.handshake, encodeCertificate([]))
    else this.sendIdentity(identity, scheme)
  }

  #newSessionTicket(body: Uint8Array): void {
    const { ageAdd, extensions, lifetime, nonce, ticket } = decodeNewSessionTicket(body)
    checkAnnounced(extensions, "NewSessionTicket")
    const earlyData = extensions.get(ExtensionType.earlyData)
    if (earlyData !== undefined && !(earlyData.length === 4 && earlyData.every((byte) => byte === 0xff))) {
      return violate(Alert.illegalParameter, "QUIC does not limit early data by tickets (RFC 9001 section 4.6.1)")
    }
    // With an identity of ours nothing is resumed.
    if (lifetime === 0 || this.#tickets >= MAX_TICKETS || this.#certificates.length === 0) return
    this.#tickets++
    this.output.ticket(
      encodeTicket({
        cipherSuite: this.suite.id,
        psk: ticketKey(this.suite.hash, this.#resumptionSecret, nonce),
        ticket,
        received: this.#began,
        lifetime: Math.min(lifetime, MAX_TICKET_LIFETIME),
        ageAdd,
        earlyData: earlyData !== undefined,
        alpn: this.#chosenAlpn,
        serverName: this.#serverName,
        certificates: this.#certificates
      })
    )
  }
}

/** The name as certificates and SNI have it: ASCII, without a dot at the end. */
const asciiName = (name: string): string => {
  const ascii = /^[\x21-\x7e]*$/.test(name) ? name : domainToASCII(name)
  return ascii.endsWith(".") ? ascii.slice(0, -1) : ascii
}

/** SNI is for host names alone: not for IP addresses, nor for what cannot be a name (RFC 6066 section 3). */
const namesHost = (name: string): boolean => parseIp(name) === undefined && normalizeDns(name) !== undefined
