/** The server's side of the handshake (RFC 8446 appendix A.2). */
import { Level } from "../wire/Protocol.ts"
import { printableList } from "../wire/Text.ts"
import { Alert, abort, violate } from "./Alerts.ts"
import {
  ExtensionType,
  decodeAlpn,
  decodeClientShares,
  decodeClientVersions,
  decodeServerName,
  decodeUint16List,
  encodeAlpn,
  encodeServerShare,
  encodeUint16,
  encodeUint16List
} from "./Extensions.ts"
import type { Extensions, KeyShareEntry } from "./Extensions.ts"
import { HandshakeSession } from "./HandshakeSession.ts"
import type { KeyExchangeGroup } from "./KeyExchange.ts"
import {
  HandshakeType,
  RETRY_RANDOM,
  TLS_1_3,
  decodeClientHello,
  encodeCertificateRequest,
  encodeEncryptedExtensions,
  encodeServerHello,
  messageName
} from "./Messages.ts"
import type { ClientHello } from "./Messages.ts"
import type { ResolvedConfig } from "./OwnTlsConfig.ts"
import { announcedSchemes, schemesOf } from "./Signatures.ts"
import type { CipherSuite, TlsSessionOptions } from "./TlsSession.ts"

export interface ServerOptions extends TlsSessionOptions {
  /** Protocols, best first. */
  readonly alpn: ReadonlyArray<string>
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

export class ServerSession extends HandshakeSession {
  readonly #alpn: ReadonlyArray<string>
  #state: State = "clientHello"
  /** The ClientHello that a HelloRetryRequest answered, and what was decided from it. */
  #retried: { readonly hello: ClientHello; readonly choice: Choice } | undefined
  #agreed: Agreed | undefined
  #clientSecret: Uint8Array = NO_BYTES

  constructor(config: ResolvedConfig, options: ServerOptions) {
    super("server", config, options)
    this.#alpn = options.alpn
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
    this.transcript.add(message)
    if (choice.share === undefined) this.#sendRetry(hello, choice)
    else this.#answer(hello, choice, choice.share)
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
  #answer(hello: ClientHello, choice: Choice, clientShare: KeyShareEntry): void {
    const { config } = this
    const identity = config.selectIdentity(choice.serverName)
    if (identity === undefined) {
      return abort(Alert.unrecognizedName, `no certificate for ${choice.serverName ?? "a client without SNI"}`)
    }
    const scheme = schemesOf(identity.privateKey).find((one) => choice.schemes.includes(one))
    if (scheme === undefined) {
      return abort(Alert.handshakeFailure, "the client has no signature algorithm for our certificate's key")
    }
    this.readAt(Level.handshake)
    this.takeTransportParameters(hello.extensions.get(ExtensionType.quicTransportParameters))
    this.#retried = undefined
    this.#agreed = { suite: choice.suite, group: choice.group, alpn: choice.alpn, serverName: choice.serverName }
    const { secret, share } = choice.group.answer(clientShare.keyExchange, config.random)
    this.send(
      Level.initial,
      encodeServerHello({
        random: config.random(32),
        cipherSuite: choice.suite.id,
        extensions: new Map([
          [ExtensionType.supportedVersions, selectedVersion],
          [ExtensionType.keyShare, encodeServerShare({ group: choice.group.id, keyExchange: share })]
        ])
      })
    )
    this.installHandshakeSecrets(secret)
    const extensions = new Map<number, Uint8Array>()
    if (choice.serverName !== undefined) extensions.set(ExtensionType.serverName, new Uint8Array(0))
    extensions.set(ExtensionType.alpn, encodeAlpn([choice.alpn]))
    extensions.set(ExtensionType.quicTransportParameters, this.transportParameters)
    this.send(Level.handshake, encodeEncryptedExtensions(extensions))
    if (config.clientAuth !== "none") this.send(Level.handshake, encodeCertificateRequest(requestExtensions))
    this.sendIdentity(identity, scheme)
    this.sendFinished()
    const { client, server } = this.deriveApplicationSecrets()
    // 1-RTT data may be written now, but is read only when the client has proved itself (RFC 9001 section 5.7).
    this.output.secret(Level.oneRtt, "write", this.suite, server)
    this.#clientSecret = client
    this.#state = config.clientAuth === "none" ? "finished" : "certificate"
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
    this.#agreed = undefined
    this.#clientSecret = NO_BYTES
    this.finish({
      cipherSuite: suite,
      group: group.name,
      alpn,
      serverName,
      resumed: false,
      earlyDataAccepted: false,
      peerCertificates: this.peerCertificates
    })
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
