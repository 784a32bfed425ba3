/**
 * What a client keeps of a NewSessionTicket (RFC 8446 section 4.6.1) for a later handshake, as opaque bytes. When it
 * came is not in it: the store of tickets knows.
 */
import { TlsReader, encode } from "./Presentation.ts"

export interface SessionTicket {
  /** Number of the cipher suite: a ticket is only good with one of the same hash. */
  readonly cipherSuite: number
  readonly psk: Uint8Array
  readonly ticket: Uint8Array
  /** Seconds, at most seven days. */
  readonly lifetime: number
  readonly ageAdd: number
  /** Whether 0-RTT is allowed with it. */
  readonly earlyData: boolean
  readonly alpn: string
  readonly serverName: string
}

/** The longest that a client may keep a ticket, in seconds. */
export const MAX_TICKET_LIFETIME = 604_800

const FORMAT = 1

export const encodeTicket = (ticket: SessionTicket): Uint8Array =>
  encode((writer) => {
    writer
      .uint(1, FORMAT)
      .uint(2, ticket.cipherSuite)
      .vector(1, () => writer.raw(ticket.psk))
    writer.vector(2, () => writer.raw(ticket.ticket))
    writer
      .uint(4, ticket.lifetime)
      .uint(4, ticket.ageAdd)
      .uint(1, ticket.earlyData ? 1 : 0)
    writer.vector(1, () => writer.raw(Buffer.from(ticket.alpn)))
    writer.vector(2, () => writer.raw(Buffer.from(ticket.serverName)))
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
      lifetime: reader.uint(4),
      ageAdd: reader.uint(4),
      earlyData: reader.uint(1) === 1,
      alpn: Buffer.from(reader.vector(1)).toString(),
      serverName: Buffer.from(reader.vector(2)).toString()
    }
    reader.end()
    return ticket
  } catch {
    return undefined
  }
}
