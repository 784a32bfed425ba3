/**
 * Between the addresses people write and see (Effect's `InetAddress`, strings) and those the machine compares.
 */
import { Result } from "effect"
import { NetAddress } from "effect/net"
import { networkInterfaces } from "node:os"
import type { Address, AddressBook } from "../wire/Datagram.ts"

/** A numeric address: Effect's value, "192.0.2.1:4433", "[2001:db8::1]:4433", or without a port ("192.0.2.1", "::1"). */
export type AddressInput = NetAddress.InetAddress | string

const scopeIds = (): Map<string, number> => NetAddress.scopeIdsFromInterfaces(Object.entries(networkInterfaces()))

const zoned = /%/
const withPort = /^(?:\[[^\]]*\]|[^:]*):\d+$/

const parse = (input: string, port: number): Result.Result<NetAddress.InetAddress, NetAddress.NetAddressError> => {
  let host = input
  let at = port
  if (withPort.test(input)) {
    const colon = input.lastIndexOf(":")
    host = input.slice(0, colon)
    at = Number(input.slice(colon + 1))
  }
  if (host.startsWith("[") && host.endsWith("]")) host = host.slice(1, -1)
  return NetAddress.inetAddressFromHostString(host, at, zoned.test(host) ? scopeIds() : undefined)
}

/** As sockets report it: zones by interface name, the rest canonical (RFC 5952). */
const internFrom = (book: AddressBook, address: NetAddress.InetAddress): Address => {
  const scoped = NetAddress.isInetAddressV6(address) && address.scopeId !== 0
  const host = scoped
    ? NetAddress.formatNativeHost(address, scopeIds(), process.platform)
    : NetAddress.formatHost(address)
  return book.intern(host, address.port, NetAddress.isInetAddressV6(address) ? 6 : 4)
}

/** The failure is a sentence for the user. `port` is used when the input names none. */
export const addressFromInput = (
  book: AddressBook,
  input: AddressInput,
  port: number
): Result.Result<Address, string> => {
  const parsed = typeof input === "string" ? parse(input, port) : Result.succeed(input)
  return Result.match(parsed, {
    onFailure: (error) => Result.fail(`${JSON.stringify(input)} is not a numeric address: ${error.message}`),
    onSuccess: (address) => Result.succeed(internFrom(book, address))
  })
}

/** The address that a host names if it is an IP address, in brackets or not, without a port; undefined if it is a name. */
export const literalAddress = (book: AddressBook, host: string, port: number): Address | undefined => {
  if (withPort.test(host)) return undefined
  const parsed = parse(host, port)
  return Result.isSuccess(parsed) ? internFrom(book, parsed.success) : undefined
}

export const toInetAddress = (address: Address): NetAddress.InetAddress =>
  NetAddress.inetAddressFromNativeUnsafe(address.host, address.port, zoned.test(address.host) ? scopeIds() : undefined)
