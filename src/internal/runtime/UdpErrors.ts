/**
 * What the system says about sockets, as reasons of `QuicError`.
 */
import { AddressInUse, AddressUnavailable, QuicError, SocketFailed } from "../../QuicError.ts"
import type { Address } from "../wire/Datagram.ts"

interface HostAndPort {
  readonly host: string
  readonly port: number
}

const text = ({ host, port }: HostAndPort): string => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`)

const systemCode = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""

export const addressInUse = (address: HostAndPort): QuicError =>
  new QuicError({ reason: new AddressInUse({ address: text(address) }) })

export const addressUnavailable = (address: HostAndPort): QuicError =>
  new QuicError({ reason: new AddressUnavailable({ address: text(address) }) })

/** Why a `bind` failed. */
export const bindError = (address: HostAndPort, cause: unknown): QuicError => {
  const code = systemCode(cause)
  if (code === "EADDRINUSE") return addressInUse(address)
  if (code === "EADDRNOTAVAIL") return addressUnavailable(address)
  return new QuicError({ reason: new SocketFailed({ operation: "bind", address: text(address), code, cause }) })
}

/** An operation on a socket whose scope has closed. */
export const socketClosed = (operation: "receive" | "send", local: Address): QuicError =>
  new QuicError({
    reason: new SocketFailed({ operation, address: local.toString(), code: "ERR_SOCKET_DGRAM_NOT_RUNNING" })
  })
