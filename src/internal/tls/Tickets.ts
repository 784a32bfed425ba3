/** What both sides keep of a session, to resume it in a later handshake (RFC 8446 section 4.6.1), as opaque bytes. */
import { TlsReader, encode } from "./Presentation.ts"
import type { TlsWriter } from "./Presentation.ts"

/** Of a client. */
export interface SessionTicket {
  /** Number of the cipher suite: a ticket is only good with one of the same hash. */
  readonly cipherSuite: number
  readonly psk: Uint8Array
  readonly ticket: Uint8Array
  /** ms since 1970 at which it was given, or a little before. */
  readonly received: number
  /** Seconds, at most seven days. */
  readonly lifetime: number
  readonly ageAdd: number
  /** Whether 0-RTT is allowed with it. */
  readonly earlyData: boolean
  readonly alpn: string
  readonly serverName: string
  /** Those of the server, DER, leaf first: judged again each time. */
  readonly certificates: ReadonlyArray<Uint8Array>
}

/** The longest that a client may keep a ticket, in seconds. */
export const MAX_TICKET_LIFETIME = 604_800

const FORMAT = 2

const writeTime = (writer: TlsWriter, ms: number): TlsWriter =>
  writer.uint(4, Math.floor(ms / 2 ** 32)).uint(4, ms % 2 ** 32)
const readTime = (reader: TlsReader): number => reader.uint(4) * 2 ** 32 + reader.uint(4)

export const encodeTicket = (ticket: SessionTicket): Uint8Array =>
  encode((writer) => {
    writer
      .uint(1, FORMAT)
      .uint(2, ticket.cipherSuite)
      .vector(1, () => writer.raw(ticket.psk))
    writer.vector(2, () => writer.raw(ticket.ticket))
    writeTime(writer, ticket.received)
      .uint(4, ticket.lifetime)
      .uint(4, ticket.ageAdd)
      .uint(1, ticket.earlyData ? 1 : 0)
    writer.vector(1, () => writer.raw(Buffer.from(ticket.alpn)))
    writer.vector(2, () => writer.raw(Buffer.from(ticket.serverName)))
    writer.vector(3, () => {
      for (const certificate of ticket.certificates) writer.vector(3, () => writer.raw(certificate))
    })
  })

/** Undefined when these are not the bytes of a ticket. */
export const decodeTicket = (bytes: Uint8Array): SessionTicket | undefined => {
  try {
    const reader = new TlsReader(bytes, "ticket")
    if (reader.uint(1) !== FORMAT) return undefined
    const ticket = {
      cipherSuite: reader.uint(2),
      psk: reader.vector(1, 1),
      ticket: reader.vector(2, 1),
      received: readTime(reader),
      lifetime: reader.uint(4),
      ageAdd: reader.uint(4),
      earlyData: reader.uint(1) === 1,
      alpn: Buffer.from(reader.vector(1)).toString(),
      serverName: Buffer.from(reader.vector(2)).toString(),
      certificates: readCertificates(reader.nested(3))
    }
    reader.end()
    return ticket
  } catch {
    return undefined
  }
}

const readCertificates = (list: TlsReader): ReadonlyArray<Uint8Array> => {
  const certificates: Array<Uint8Array> = []
  while (list.remaining > 0) certificates.push(list.vector(3, 1))
  return certificates
}

/** What a server needs of a session: it is in the ticket itself, sealed. */
export interface SealedSession {
  readonly cipherSuite: number
  readonly psk: Uint8Array
  /** ms since 1970. */
  readonly issued: number
  readonly serverName: string
}

export const encodeSession = (session: SealedSession): Uint8Array =>
  encode((writer) => {
    writer
      .uint(1, FORMAT)
      .uint(2, session.cipherSuite)
      .vector(1, () => writer.raw(session.psk))
    writeTime(writer, session.issued).vector(2, () => writer.raw(Buffer.from(session.serverName)))
  })

/** Undefined when these are not the bytes of a session. */
export const decodeSession = (bytes: Uint8Array): SealedSession | undefined => {
  try {
    const reader = new TlsReader(bytes, "session")
    if (reader.uint(1) !== FORMAT) return undefined
    const session = {
      cipherSuite: reader.uint(2),
      psk: reader.vector(1, 1),
      issued: readTime(reader),
      serverName: Buffer.from(reader.vector(2)).toString()
    }
    reader.end()
    return session
  } catch {
    return undefined
  }
}
