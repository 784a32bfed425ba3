/**
 * The messages of the handshake (RFC 8446 section 4). Decoders take the body, without the header of type and length;
 * encoders give the whole message.
 */
import { Alert, abort, abortWith } from "./Alerts.ts"
import { ExtensionType, checkForms, readExtensions, writeExtensions } from "./Extensions.ts"
import type { Extensions } from "./Extensions.ts"
import { TlsReader, encode } from "./Presentation.ts"
import type { TlsWriter } from "./Presentation.ts"

export const HandshakeType = {
  clientHello: 1,
  serverHello: 2,
  newSessionTicket: 4,
  endOfEarlyData: 5,
  encryptedExtensions: 8,
  certificate: 11,
  certificateRequest: 13,
  certificateVerify: 15,
  finished: 20,
  keyUpdate: 24,
  messageHash: 254
} as const

const typeNames: Readonly<Record<number, string>> = {
  1: "ClientHello",
  2: "ServerHello",
  4: "NewSessionTicket",
  5: "EndOfEarlyData",
  8: "EncryptedExtensions",
  11: "Certificate",
  13: "CertificateRequest",
  15: "CertificateVerify",
  20: "Finished",
  24: "KeyUpdate"
}

/** The name of a message, for errors. */
export const messageName = (type: number): string => typeNames[type] ?? `message ${type}`

/** Length of the header: type (1) and length (3). */
export const MESSAGE_HEADER = 4

export const LEGACY_VERSION = 0x0303
export const TLS_1_3 = 0x0304

/** The random value that makes a ServerHello a HelloRetryRequest (RFC 8446 section 4.1.3). */
export const RETRY_RANDOM: Uint8Array = Uint8Array.from(
  Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex")
)

const message = (type: number, write: (writer: TlsWriter) => void): Uint8Array =>
  encode((writer) => writer.uint(1, type).vector(3, write))

export interface ClientHello {
  readonly random: Uint8Array
  readonly legacySessionId: Uint8Array
  readonly cipherSuites: ReadonlyArray<number>
  readonly extensions: Extensions
}

export const encodeClientHello = (hello: ClientHello): Uint8Array =>
  message(HandshakeType.clientHello, (writer) => {
    writer.uint(2, LEGACY_VERSION).raw(hello.random)
    writer.vector(1, () => writer.raw(hello.legacySessionId))
    writer.uint16List(2, hello.cipherSuites)
    writer.vector(1, () => writer.uint(1, 0))
    writeExtensions(writer, hello.extensions)
  })

/** Section 4.1.2. `legacy_version` says nothing: the supported_versions extension does. */
export const decodeClientHello = (body: Uint8Array): ClientHello => {
  const reader = new TlsReader(body, "ClientHello")
  reader.uint(2)
  const random = reader.take(32)
  const legacySessionId = reader.vector(1)
  if (legacySessionId.length > 32) reader.fail("its session ID is too long")
  const cipherSuites = reader.uint16List(2)
  const compression = reader.vector(1, 1)
  // Clients before TLS 1.2 may leave extensions out; they are then refused for their version.
  const extensions: Extensions = reader.remaining === 0 ? new Map() : readExtensions(reader, "ClientHello")
  reader.end()
  if (extensions.has(ExtensionType.supportedVersions) && (compression.length !== 1 || compression[0] !== 0)) {
    abort(Alert.illegalParameter, "TLS 1.3 has no compression")
  }
  checkForms(extensions)
  // Section 4.2.11: its binders cover all that stands before it.
  if (extensions.has(ExtensionType.preSharedKey) && [...extensions.keys()].at(-1) !== ExtensionType.preSharedKey) {
    abort(Alert.illegalParameter, "pre_shared_key is not the last extension of ClientHello")
  }
  // Section 4.2.9.
  if (extensions.has(ExtensionType.preSharedKey) && !extensions.has(ExtensionType.pskKeyExchangeModes)) {
    abort(Alert.missingExtension, "pre_shared_key without psk_key_exchange_modes")
  }
  return { random, legacySessionId, cipherSuites, extensions }
}

/** A ServerHello or, with `RETRY_RANDOM`, a HelloRetryRequest. */
export interface ServerHello {
  readonly random: Uint8Array
  readonly cipherSuite: number
  readonly extensions: Extensions
}

export const encodeServerHello = (hello: ServerHello): Uint8Array =>
  message(HandshakeType.serverHello, (writer) => {
    writer.uint(2, LEGACY_VERSION).raw(hello.random)
    // The echo of a session ID that is empty in QUIC (RFC 9001 section 8.4), and no compression.
    writer.uint(1, 0).uint(2, hello.cipherSuite).uint(1, 0)
    writeExtensions(writer, hello.extensions)
  })

/** Section 4.1.3. A server that answers with an older version is refused for it. */
export const decodeServerHello = (body: Uint8Array): ServerHello => {
  const reader = new TlsReader(body, "ServerHello")
  const version = reader.uint(2)
  const random = reader.take(32)
  const echo = reader.vector(1)
  if (echo.length > 32) reader.fail("its session ID is too long")
  const cipherSuite = reader.uint(2)
  const compression = reader.uint(1)
  const extensions: Extensions = reader.remaining === 0 ? new Map() : readExtensions(reader, "ServerHello")
  reader.end()
  if (!extensions.has(ExtensionType.supportedVersions)) {
    abort(Alert.protocolVersion, "the server does not speak TLS 1.3")
  }
  if (version !== LEGACY_VERSION || compression !== 0 || echo.length > 0) {
    abort(Alert.illegalParameter, "ServerHello has a legacy version, compression or session ID that TLS 1.3 forbids")
  }
  return { random, cipherSuite, extensions }
}

export const encodeEncryptedExtensions = (extensions: Extensions): Uint8Array =>
  message(HandshakeType.encryptedExtensions, (writer) => writeExtensions(writer, extensions))

/** Section 4.3.1. */
export const decodeEncryptedExtensions = (body: Uint8Array): Extensions => {
  const reader = new TlsReader(body, "EncryptedExtensions")
  const extensions = readExtensions(reader, "EncryptedExtensions")
  reader.end()
  return extensions
}

/** The certificate_request_context of a CertificateRequest or Certificate. Empty during the handshake. */
const readContext = (reader: TlsReader, what: string): void => {
  if (reader.vector(1).length > 0) abort(Alert.illegalParameter, `${what} has a context during the handshake`)
}

export const encodeCertificateRequest = (extensions: Extensions): Uint8Array =>
  message(HandshakeType.certificateRequest, (writer) => {
    writer.uint(1, 0)
    writeExtensions(writer, extensions)
  })

/** Section 4.3.2. */
export const decodeCertificateRequest = (body: Uint8Array): Extensions => {
  const reader = new TlsReader(body, "CertificateRequest")
  readContext(reader, "CertificateRequest")
  const extensions = readExtensions(reader, "CertificateRequest")
  reader.end()
  return extensions
}

/** Certificates that one message may have. Public chains have three or four. */
export const MAX_CERTIFICATES = 32

export interface CertificateEntry {
  /** DER. */
  readonly certificate: Uint8Array
  readonly extensions: Extensions
}

export const encodeCertificate = (certificates: ReadonlyArray<Uint8Array>): Uint8Array =>
  message(HandshakeType.certificate, (writer) => {
    writer.uint(1, 0).vector(3, () => {
      for (const certificate of certificates) writer.vector(3, () => writer.raw(certificate)).uint(2, 0)
    })
  })

/** Section 4.4.2. */
export const decodeCertificate = (body: Uint8Array): Array<CertificateEntry> => {
  const reader = new TlsReader(body, "Certificate")
  readContext(reader, "Certificate")
  const list = reader.nested(3)
  reader.end()
  const entries: Array<CertificateEntry> = []
  while (list.remaining > 0) {
    if (entries.length === MAX_CERTIFICATES) {
      abortWith({
        alert: Alert.badCertificate,
        message: `the peer sent more than ${MAX_CERTIFICATES} certificates; it should send its own and those of its issuers`,
        certificate: "malformed"
      })
    }
    entries.push({ certificate: list.vector(3, 1), extensions: readExtensions(list, "Certificate") })
  }
  return entries
}

export interface CertificateVerify {
  readonly scheme: number
  readonly signature: Uint8Array
}

export const encodeCertificateVerify = (verify: CertificateVerify): Uint8Array =>
  message(HandshakeType.certificateVerify, (writer) => {
    writer.uint(2, verify.scheme).vector(2, () => writer.raw(verify.signature))
  })

/** Section 4.4.3. */
export const decodeCertificateVerify = (body: Uint8Array): CertificateVerify => {
  const reader = new TlsReader(body, "CertificateVerify")
  const verify = { scheme: reader.uint(2), signature: reader.vector(2) }
  reader.end()
  return verify
}

/** Section 4.4.4; its body is the verify_data and nothing else. */
export const encodeFinished = (verifyData: Uint8Array): Uint8Array =>
  message(HandshakeType.finished, (writer) => writer.raw(verifyData))

export interface NewSessionTicket {
  /** Seconds. */
  readonly lifetime: number
  readonly ageAdd: number
  readonly nonce: Uint8Array
  readonly ticket: Uint8Array
  readonly extensions: Extensions
}

export const encodeNewSessionTicket = (ticket: NewSessionTicket): Uint8Array =>
  message(HandshakeType.newSessionTicket, (writer) => {
    writer.uint(4, ticket.lifetime).uint(4, ticket.ageAdd)
    writer.vector(1, () => writer.raw(ticket.nonce)).vector(2, () => writer.raw(ticket.ticket))
    writeExtensions(writer, ticket.extensions)
  })

/** Section 4.6.1. */
export const decodeNewSessionTicket = (body: Uint8Array): NewSessionTicket => {
  const reader = new TlsReader(body, "NewSessionTicket")
  const ticket = {
    lifetime: reader.uint(4),
    ageAdd: reader.uint(4),
    nonce: reader.vector(1),
    ticket: reader.vector(2, 1),
    extensions: readExtensions(reader, "NewSessionTicket")
  }
  reader.end()
  return ticket
}
