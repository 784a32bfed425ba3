/** The server's side of the handshake (RFC 8446 appendix A.2). */
import { Level } from "../wire/Protocol.ts"
import { printableList } from "../wire/Text.ts"
import { Alert, abort, violate } from "./Alerts.ts"
import {
  ExtensionType,
  decodeAlpn,
  decodeClientShares,
  decodeClientVersions,
  decodeOfferedPsks,
  decodeServerName,
  decodeUint16List,
  encodeAlpn,
  encodeServerShare,
  encodeUint16,
  encodeUint16List,
  hasPskDheKe
} from "./Extensions.ts"
import type { Extensions, KeyShareEntry } from "./Extensions.ts"
import { cipherSuite } from "./CipherSuites.ts"
import { HandshakeSession } from "./HandshakeSession.ts"
import type { Identity } from "./Identity.ts"
import type { KeyExchangeGroup } from "./KeyExchange.ts"
import { binderOf, sameSecret, ticketKey } from "./KeySchedule.ts"
import {
  HandshakeType,
  RETRY_RANDOM,
  TLS_1_3,
  decodeClientHello,
  encodeCertificateRequest,
  encodeEncryptedExtensions,
  encodeNewSessionTicket,
  encodeServerHello,
  messageName
} from "./Messages.ts"
import type { ClientHello } from "./Messages.ts"
import type { ResolvedConfig } from "./OwnTlsConfig.ts"
import { announcedSchemes, schemesOf } from "./Signatures.ts"
import { decodeSession, encodeSession } from "./Tickets.ts"
import type { SealedSession } from "./Tickets.ts"
import type { CipherSuite, TicketSealing, TlsSessionOptions } from "./TlsSession.ts"

export interface ServerOptions extends TlsSessionOptions {
  /** Protocols, best first. */
  readonly alpn: ReadonlyArray<string>
  /** How sessions go into tickets. */
  readonly tickets?: TicketSealing | undefined
}

/** What the next message has to be. */
type State = "clientHello" | "retriedClientHello" | "certificate" | "certificateVerify" | "finished" | "connected"

/** What is decided from a ClientHello. */
interface Choice {
  readonly suite: CipherSuite
  readonly group: KeyExchangeGroup
  /** The client's share of `group`; undefined if it has to be asked for. */
  readonly share: KeyShareEntry | undefined
  readonly alpn: string
  readonly schemes: ReadonlyArray<number>
  readonly serverName: string | undefined
}

/** What is told when the handshake is complete: nothing that the ClientHello could make large. */
type Agreed = Pick<Choice, "suite" | "group" | "alpn" | "serverName">

/** What CertificateRequest asks for. */
const requestExtensions: Extensions = new Map([[ExtensionType.signatureAlgorithms, encodeUint16List(announcedSchemes)]])

const selectedVersion = encodeUint16(TLS_1_3)

const NO_BYTES = new Uint8Array(0)

/** Tickets of a client that are looked at: each costs its opening. */
const MAX_OFFERS = 4
/** A session gives one ticket. */
const TICKET_NONCE = Uint8Array.of(0)

export class ServerSession extends HandshakeSession {
  readonly #alpn: ReadonlyArray<string>
  /** Undefined where clients are asked for certificates: a ticket would have to hold them. */
  readonly #tickets: TicketSealing | undefined
  #resumed = false
  #state: State = "clientHello"
  /** The ClientHello that a HelloRetryRequest answered, and what was decided from it. */
  #retried: { readonly hello: ClientHello; readonly choice: Choice } | undefined
  #agreed: Agreed | undefined
  #clientSecret: Uint8Array = NO_BYTES

  constructor(config: ResolvedConfig, options: ServerOptions) {
    super("server", config, options)
    this.#alpn = options.alpn
    this.#tickets = config.clientAuth === "none" ? options.tickets : undefined
  }

  protected override begin(): void {
    // A server waits for the client.
  }

  protected override check(type: number): void {
    switch (this.#state) {
      case "clientHello":
      case "retriedClientHello":
        return this.expect(type, HandshakeType.clientHello)
      case "certificate":
        return this.expect(type, HandshakeType.certificate)
      case "certificateVerify":
        return this.expect(type, HandshakeType.certificateVerify)
      case "finished":
        return this.expect(type, HandshakeType.finished)
      case "connected":
        return abort(Alert.unexpectedMessage, `${messageName(type)} after the handshake`)
    }
  }

  protected override handle(_type: number, body: Uint8Array, message: Uint8Array): void {
    switch (this.#state) {
      case "clientHello":
      case "retriedClientHello":
        return this.#clientHello(decodeClientHello(body), message)
      case "certificate":
        return this.#certificate(body, message)
      case "certificateVerify":
        this.receiveCertificateVerify(body, message)
        this.#state = "finished"
        return
      case "finished":
        return this.#finished(body, message)
    }
  }

  #clientHello(hello: ClientHello, message: Uint8Array): void {
    const choice = this.#choose(hello)
    if (this.#retried !== undefined) {
      checkRetried(this.#retried.hello, hello)
      const { group, suite } = this.#retried.choice
      if (choice.share === undefined || choice.group !== group || choice.suite !== suite) {
        return abort(Alert.illegalParameter, "the second ClientHello does not do what HelloRetryRequest asked for")
      }
    } else {
      // A copy: a view would keep the whole message.
      this.clientRandom = hello.random.slice()
      this.useSuite(choice.suite)
    }
    const selected = choice.share === undefined ? -1 : this.#resume(hello, choice, message)
    this.transcript.add(message)
    if (choice.share === undefined) this.#sendRetry(hello, choice)
    else this.#answer(hello, choice, choice.share, selected)
  }

  /** Takes up a session that the client offers (section 4.2.11). Gives which of its offers it is; -1: none. */
  #resume(hello: ClientHello, choice: Choice, message: Uint8Array): number {
    const offer = hello.extensions.get(ExtensionType.preSharedKey)
    const tickets = this.#tickets
    if (offer === undefined || tickets === undefined) return -1
    const { binders, bindersLength, identities } = decodeOfferedPsks(offer)
    if (!hasPskDheKe(hello.extensions.get(ExtensionType.pskKeyExchangeModes)!)) return -1
    for (let i = 0; i < identities.length && i < MAX_OFFERS; i++) {
      const sealed = tickets.open(identities[i]!.ticket, this.wallTime)
      const session = sealed && decodeSession(sealed)
      if (session === undefined || !this.#isGood(session, choice, tickets)) continue
      const covered = message.subarray(0, message.length - bindersLength)
      const binder = binderOf(choice.suite.hash, session.psk, this.transcript.digestWith(covered))
      if (!sameSecret(binder, binders[i]!)) return abort(Alert.decryptError, "the binder of a ticket is wrong")
      this.usePsk(session.psk)
      this.#resumed = true
      return i
    }
    return -1
  }

  /** Whether the session can go on with what was chosen now. */
  #isGood(session: SealedSession, { serverName, suite }: Choice, { lifetime }: TicketSealing): boolean {
    const age = Math.abs(this.wallTime - session.issued)
    return (
      cipherSuite(session.cipherSuite)?.hash === suite.hash &&
      session.serverName === (serverName ?? "") &&
      age <= 1000 * lifetime
    )
  }

  /** Chooses from what the client offers, by our order of preference (RFC 8446 sections 4.1.1 and 9.2). */
  #choose(hello: ClientHello): Choice {
    const { extensions } = hello
    const versions = extensions.get(ExtensionType.supportedVersions)
    if (versions === undefined || !decodeClientVersions(versions).includes(TLS_1_3)) {
      return abort(Alert.protocolVersion, "the client does not speak TLS 1.3")
    }
    if (hello.legacySessionId.length > 0) {
      return violate(Alert.illegalParameter, "QUIC has no compatibility mode of TLS (RFC 9001 section 8.4)")
    }
    const suite = this.config.cipherSuites.find(({ id }) => hello.cipherSuites.includes(id))
    if (suite === undefined) return abort(Alert.handshakeFailure, "no cipher suite in common")
    const needed = (type: number, name: string): Uint8Array =>
      extensions.get(type) ?? abort(Alert.missingExtension, `ClientHello has no ${name}`)
    const groups = decodeUint16List(needed(ExtensionType.supportedGroups, "supported_groups"), "supported_groups")
    const shares = decodeClientShares(needed(ExtensionType.keyShare, "key_share"))
    checkShares(groups, shares)
    const schemes = decodeUint16List(
      needed(ExtensionType.signatureAlgorithms, "signature_algorithms"),
      "signature_algorithms"
    )
    const possible = this.config.groups.filter(({ id }) => groups.includes(id))
    const shared = possible.find(({ id }) => shares.some((share) => share.group === id))
    const group = shared ?? possible[0]
    if (group === undefined) return abort(Alert.handshakeFailure, "no key exchange group in common")
    const offered = extensions.get(ExtensionType.alpn)
    const names = offered === undefined ? [] : decodeAlpn(offered)
    const alpn = this.#alpn.find((name) => names.includes(name))
    if (alpn === undefined) {
      return abort(
        Alert.noApplicationProtocol,
        `no ALPN protocol in common: the client offers ${printableList(names) || "none"}, we have ${this.#alpn.join(", ")}`
      )
    }
    const sni = extensions.get(ExtensionType.serverName)
    return {
      suite,
      group,
      share: shared && shares.find((share) => share.group === shared.id),
      alpn,
      schemes,
      serverName: sni && decodeServerName(sni)
    }
  }

  /** Section 4.1.4. No cookie: QUIC validates addresses by itself. */
  #sendRetry(hello: ClientHello, choice: Choice): void {
    this.endOfFlight()
    this.#retried = { hello, choice }
    this.transcript.retry()
    this.send(
      Level.initial,
      encodeServerHello({
        random: RETRY_RANDOM,
        cipherSuite: choice.suite.id,
        extensions: new Map([
          [ExtensionType.supportedVersions, selectedVersion],
          [ExtensionType.keyShare, encodeUint16(choice.group.id)]
        ])
      })
    )
    this.#state = "retriedClientHello"
  }

  /** Sends all of the server's flight (section 2). */
  #answer(hello: ClientHello, choice: Choice, clientShare: KeyShareEntry, selected: number): void {
    const { config } = this
    const proof = this.#proof(choice)
    this.readAt(Level.handshake)
    this.takeTransportParameters(hello.extensions.get(ExtensionType.quicTransportParameters))
    this.#retried = undefined
    this.#agreed = { suite: choice.suite, group: choice.group, alpn: choice.alpn, serverName: choice.serverName }
    const { secret, share } = choice.group.answer(clientShare.keyExchange, config.random)
    const answers = new Map<number, Uint8Array>([
      [ExtensionType.supportedVersions, selectedVersion],
      [ExtensionType.keyShare, encodeServerShare({ group: choice.group.id, keyExchange: share })]
    ])
    if (this.#resumed) answers.set(ExtensionType.preSharedKey, encodeUint16(selected))
    this.send(
      Level.initial,
      encodeServerHello({ random: config.random(32), cipherSuite: choice.suite.id, extensions: answers })
    )
    this.installHandshakeSecrets(secret)
    const extensions = new Map<number, Uint8Array>()
    if (choice.serverName !== undefined) extensions.set(ExtensionType.serverName, new Uint8Array(0))
    extensions.set(ExtensionType.alpn, encodeAlpn([choice.alpn]))
    extensions.set(ExtensionType.quicTransportParameters, this.transportParameters)
    this.send(Level.handshake, encodeEncryptedExtensions(extensions))
    if (!this.#resumed) {
      if (config.clientAuth !== "none") this.send(Level.handshake, encodeCertificateRequest(requestExtensions))
      this.sendIdentity(proof.identity, proof.scheme)
    }
    this.sendFinished()
    const { client, server } = this.deriveApplicationSecrets()
    // 1-RTT data may be written now, but is read only when the client has proved itself (RFC 9001 section 5.7).
    this.output.secret(Level.oneRtt, "write", this.suite, server)
    this.#clientSecret = client
    this.#state = config.clientAuth === "none" ? "finished" : "certificate"
  }

  /** With what we show who we are. A server that no longer has a name does not resume sessions in it either. */
  #proof(choice: Choice): { readonly identity: Identity; readonly scheme: number } {
    const identity = this.config.selectIdentity(choice.serverName)
    if (identity === undefined) {
      return abort(Alert.unrecognizedName, `no certificate for ${choice.serverName ?? "a client without SNI"}`)
    }
    const scheme = schemesOf(identity.privateKey).find((one) => choice.schemes.includes(one))
    if (scheme === undefined) {
      return abort(Alert.handshakeFailure, "the client has no signature algorithm for our certificate's key")
    }
    return { identity, scheme }
  }

  #certificate(body: Uint8Array, message: Uint8Array): void {
    const { clientAuth, verifyClient } = this.config
    if (this.receiveCertificate(body, message, requestExtensions, verifyClient!, undefined)) {
      this.#state = "certificateVerify"
      return
    }
    if (clientAuth === "require") return abort(Alert.certificateRequired, "the client sent no certificate")
    this.#state = "finished"
  }

  #finished(body: Uint8Array, message: Uint8Array): void {
    this.receiveFinished(body, message)
    this.readAt(Level.oneRtt)
    this.output.secret(Level.oneRtt, "read", this.suite, this.#clientSecret)
    this.#state = "connected"
    const { alpn, group, serverName, suite } = this.#agreed!
    if (this.#tickets !== undefined) this.#giveTicket(this.#tickets, suite, serverName ?? "")
    this.#agreed = undefined
    this.#clientSecret = NO_BYTES
    this.finish({
      cipherSuite: suite,
      group: group.name,
      alpn,
      serverName,
      resumed: this.#resumed,
      earlyDataAccepted: false,
      peerCertificates: this.peerCertificates
    })
  }

  /** Section 4.6.1: one ticket, since each is used once and each session that it resumes gives the next one. */
  #giveTicket(tickets: TicketSealing, suite: CipherSuite, serverName: string): void {
    const secret = this.schedule.derive("res master", this.transcript.digest())
    const psk = ticketKey(suite.hash, secret, TICKET_NONCE)
    const session = { cipherSuite: suite.id, psk, issued: this.wallTime, serverName }
    const message = encodeNewSessionTicket({
      lifetime: tickets.lifetime,
      ageAdd: new DataView(this.config.random(4).slice().buffer).getUint32(0),
      nonce: TICKET_NONCE,
      ticket: tickets.seal(encodeSession(session), this.wallTime),
      extensions: new Map()
    })
    this.output.send(Level.oneRtt, message)
  }
}

/** Shares are for groups that the client supports, and one each (section 4.2.8). */
const checkShares = (groups: ReadonlyArray<number>, shares: ReadonlyArray<KeyShareEntry>): void => {
  // Each is struck off once: sets, since a client may name thousands of both.
  const open = new Set(groups)
  for (const { group } of shares) {
    if (!open.delete(group)) {
      abort(Alert.illegalParameter, "key_share has a group twice, or one that supported_groups has not")
    }
  }
}

/** What may differ in a second ClientHello (section 4.1.2). */
const mayChange: ReadonlySet<number> = new Set<number>([
  ExtensionType.keyShare,
  ExtensionType.earlyData,
  ExtensionType.cookie,
  ExtensionType.preSharedKey,
  ExtensionType.padding
])

/** All else in the second ClientHello must be as in the first. */
const checkRetried = (first: ClientHello, second: ClientHello): void => {
  const types = new Set([...first.extensions.keys(), ...second.extensions.keys()])
  const same =
    Buffer.compare(first.random, second.random) === 0 &&
    first.cipherSuites.join() === second.cipherSuites.join() &&
    !second.extensions.has(ExtensionType.earlyData) &&
    !second.extensions.has(ExtensionType.cookie) &&
    [...types].every((type) => mayChange.has(type) || sameExtension(first, second, type)) &&
    decodeClientShares(second.extensions.get(ExtensionType.keyShare)!).length === 1
  if (!same) abort(Alert.illegalParameter, "the second ClientHello differs from the first where it must not")
}

const sameExtension = (first: ClientHello, second: ClientHello, type: number): boolean => {
  const a = first.extensions.get(type)
  const b = second.extensions.get(type)
  return a !== undefined && b !== undefined && Buffer.compare(a, b) === 0
}
