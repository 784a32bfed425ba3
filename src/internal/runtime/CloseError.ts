/**
 * Why a connection ended, as the error that its operations fail with.
 */
import { Duration } from "effect"
import * as QuicError from "../../QuicError.ts"
import type { CloseInfo } from "../connection/Machine.ts"
import type { TlsFailure } from "../tls/TlsSession.ts"
import { TransportError } from "../wire/Protocol.ts"

/** What went wrong and, where the user can act, what to do. */
const textOf = ({ message, advice }: TlsFailure): string => (advice === undefined ? message : `${message}; ${advice}`)

/** The same facts in the words of the public face. */
export const closeReason = (info: CloseInfo): QuicError.CloseReason => {
  switch (info.kind) {
    case "transport": {
      const { code, initiator, reason, tls } = info
      if (tls?.certificate !== undefined)
        return new QuicError.CertificateRefused({ why: tls.certificate, message: textOf(tls), alert: tls.alert })
      if (tls !== undefined) return new QuicError.HandshakeFailed({ alert: tls.alert, message: textOf(tls), initiator })
      if (code >= TransportError.crypto && code < TransportError.crypto + 256) {
        const alert = code - TransportError.crypto
        const said = reason === "" ? "it gave no reason" : reason
        const message = `${initiator === "peer" ? "the peer" : "this side"} ended the handshake with TLS alert ${alert}: ${said}`
        return new QuicError.HandshakeFailed({ alert, message, initiator })
      }
      if (code === TransportError.connectionRefused && initiator === "peer")
        return new QuicError.ConnectionRefused({ reason })
      return new QuicError.TransportClosed({ code, initiator, reason, frameType: info.frameType })
    }
    case "application":
      return new QuicError.ApplicationClosed({ code: info.code, reason: info.reason, initiator: info.initiator })
    case "idleTimeout":
      return new QuicError.IdleTimeout({ after: Duration.millis(info.after) })
    case "handshakeTimeout":
      return new QuicError.HandshakeTimeout({ after: Duration.millis(info.after) })
    case "statelessReset":
      return new QuicError.StatelessReset({})
    case "versionNegotiation":
      return new QuicError.VersionNegotiationFailed({ offered: info.offered })
    case "internal":
      return new QuicError.Internal({ cause: info.cause })
  }
}

/** Calls what may call a part that a user gave: what that throws is an `Internal` error, with the cause. */
export const attemptPolicy = <A>(call: () => A): A | QuicError.QuicError => {
  try {
    return call()
  } catch (cause) {
    return new QuicError.QuicError({ reason: new QuicError.Internal({ cause }) })
  }
}

export const closeError = (info: CloseInfo): QuicError.QuicError =>
  new QuicError.QuicError({ reason: closeReason(info) })

/** Ended as it should: nobody had anything to complain about. */
export const isCleanClose = (info: CloseInfo): boolean =>
  (info.kind === "application" || info.kind === "transport") && info.code === 0
