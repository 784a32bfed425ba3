/** Numbers of the protocol that every room shares (RFC 9000, 9001, 9221, 9369; draft-ietf-quic-multipath-21). */

export const Version = {
  negotiation: 0,
  v1: 0x0000_0001,
  v2: 0x6b33_43cf
} as const

/** Encryption levels; the order is that of the handshake. */
export const Level = { initial: 0, zeroRtt: 1, handshake: 2, oneRtt: 3 } as const
export type Level = (typeof Level)[keyof typeof Level]

export type Role = "client" | "server"

/** Transport error codes (RFC 9000 section 20.1). `crypto` plus a TLS alert. */
export const TransportError = {
  noError: 0x00,
  internal: 0x01,
  connectionRefused: 0x02,
  flowControl: 0x03,
  streamLimit: 0x04,
  streamState: 0x05,
  finalSize: 0x06,
  frameEncoding: 0x07,
  transportParameter: 0x08,
  connectionIdLimit: 0x09,
  protocolViolation: 0x0a,
  invalidToken: 0x0b,
  application: 0x0c,
  cryptoBufferExceeded: 0x0d,
  keyUpdate: 0x0e,
  aeadLimitReached: 0x0f,
  noViablePath: 0x10,
  versionNegotiation: 0x11,
  crypto: 0x100
} as const

/** Error codes of PATH_ABANDON (draft-21 section 4.2). */
export const PathError = {
  noError: 0x00,
  applicationAbandon: 0x3e,
  resourceLimit: 0x3e75,
  unstableOrPoor: 0x3e76,
  noConnectionId: 0x3e77
} as const

/** A reason to close with a transport error. Parsers return it; nothing that a packet can cause is thrown. */
export interface Violation {
  readonly code: number
  readonly reason: string
  /** Type of the frame that caused it, 0 if unknown. */
  readonly frameType: number
}

export const violation = (code: number, reason: string, frameType = 0): Violation => ({ code, reason, frameType })

export const MIN_INITIAL_DATAGRAM = 1200
export const MAX_CONNECTION_ID = 20
export const AEAD_TAG = 16
export const RESET_TOKEN = 16

/** Tells a violation from whatever else a parser returns (no parsed shape has both fields). */
export const isViolation = <A extends object>(value: A | Violation): value is Violation =>
  "frameType" in value && "reason" in value
