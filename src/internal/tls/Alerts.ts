/** Alerts (RFC 8446 section 6.2) and how the handshake code stops on one. */
import { TransportError } from "../wire/Protocol.ts"
import { printable } from "../wire/Text.ts"
import type { TlsFailure } from "./TlsSession.ts"

/** Longest message of a failure, in characters: it goes into errors, logs and CONNECTION_CLOSE, and may quote the peer. */
const MAX_MESSAGE = 500

export const Alert = {
  unexpectedMessage: 10,
  handshakeFailure: 40,
  badCertificate: 42,
  illegalParameter: 47,
  decodeError: 50,
  decryptError: 51,
  protocolVersion: 70,
  internalError: 80,
  missingExtension: 109,
  unsupportedExtension: 110,
  unrecognizedName: 112,
  certificateRequired: 116,
  noApplicationProtocol: 120
} as const

/** Carries a failure from the depth of a parser to the edge of the session, which returns it: it never leaves `tls`. */
class TlsAbort extends Error {
  readonly failure: TlsFailure
  constructor(failure: TlsFailure) {
    const message = printable(failure.message, MAX_MESSAGE)
    super(message)
    this.failure = message === failure.message ? failure : { ...failure, message }
  }
}

/** Ends the handshake with an alert. */
export const abort = (alert: number, message: string): never => {
  throw new TlsAbort({ alert, message })
}

/** Ends the handshake with PROTOCOL_VIOLATION, which RFC 9001 asks for where QUIC forbids what TLS allows. */
export const violate = (alert: number, message: string): never => {
  throw new TlsAbort({ alert, message, transportError: TransportError.protocolViolation })
}

/** Ends the handshake with a failure made elsewhere, such as by a certificate verifier. */
export const abortWith = (failure: TlsFailure): never => {
  throw new TlsAbort(failure)
}

/** What was caught at the edge of the session, as a failure. */
export const failureOf = (error: unknown): TlsFailure => {
  if (error instanceof TlsAbort) return error.failure
  const why = error instanceof Error ? error.message : String(error)
  return { alert: Alert.internalError, message: printable(`TLS failed: ${why}`, MAX_MESSAGE) }
}
