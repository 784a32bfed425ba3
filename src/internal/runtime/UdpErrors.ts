/**
 * What the system says about sockets, as reasons of `QuicError`.
 */
import { AddressInUse, AddressUnavailable, AddressUnreachable, QuicError, SocketFailed } from "../../QuicError.ts"
import type { Address } from "../wire/Datagram.ts"

interface HostAndPort {
  readonly host: string
  readonly port: number
}

const text = ({ host, port }: HostAndPort): string => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`)

/** The system's name of an error; empty if it gives none. */
export const systemCode = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""

export const addressInUse = (address: HostAndPort): QuicError =>
  new QuicError({ reason: new AddressInUse({ address: text(address) }) })

export const addressUnavailable = (address: HostAndPort): QuicError =>
  new QuicError({ reason: new AddressUnavailable({ address: text(address) }) })

/** No route, from `local` if it was asked for, as the system says in `cause` where it was asked. */
export const unreachable = (remote: Address, local?: Address, cause?: unknown): QuicError => {
  const code = systemCode(cause)
  return new QuicError({
    reason: new AddressUnreachable({
      address: remote.toString(),
      local: local?.host,
      code: code === "" ? undefined : code
    })
  })
}

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
