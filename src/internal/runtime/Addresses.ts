/**
 * Between the addresses people write and see (Effect's `InetAddress`, strings) and those the machine compares.
 */
import { Result } from "effect"
import { NetAddress } from "effect/net"
import { networkInterfaces } from "node:os"
import type { NetworkInterfaceInfo } from "node:os"
import { Address } from "../wire/Datagram.ts"
import type { AddressBook } from "../wire/Datagram.ts"
import { describe } from "./Arguments.ts"

/**
 * A numeric address: Effect's value, "192.0.2.1:4433", "[2001:db8::1]:4433", or without a port ("192.0.2.1", "::1").
 *
 * @category models
 * @since 0.1.0
 */
export type AddressInput = NetAddress.InetAddress | string

/** Interfaces of this host with their addresses; none where the system does not tell, as some sandboxes do not. */
export const interfaces = (): ReadonlyArray<[string, ReadonlyArray<NetworkInterfaceInfo> | undefined]> => {
  try {
    return Object.entries(networkInterfaces())
  } catch {
    return []
  }
}

/** IP addresses of this machine, as they can be bound: link-local IPv6 with its zone. */
export const interfaceHosts = (): ReadonlyArray<string> => {
  const hosts = new Set<string>()
  for (const [name, entries] of interfaces()) {
    for (const entry of entries ?? []) {
      hosts.add(entry.family === "IPv6" && entry.scopeid > 0 ? `${entry.address}%${name}` : entry.address)
    }
  }
  return Array.from(hosts)
}

const scopeIds = (): Map<string, number> => NetAddress.scopeIdsFromInterfaces(interfaces())

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

const isScoped = (address: NetAddress.InetAddress): boolean =>
  NetAddress.isInetAddressV6(address) && address.scopeId !== 0

/** As sockets report it: zones by interface name, the rest canonical (RFC 5952). */
const hostText = (address: NetAddress.InetAddress): string =>
  isScoped(address)
    ? NetAddress.formatNativeHost(address, scopeIds(), process.platform)
    : NetAddress.formatHost(address)

const internFrom = (book: AddressBook, address: NetAddress.InetAddress): Address =>
  book.intern(hostText(address), address.port, NetAddress.isInetAddressV6(address) ? 6 : 4)

/** For people, who know interfaces by their names: "[fe80::1%eth0]:4433". */
export const addressText = (address: NetAddress.InetAddress): string =>
  isScoped(address) ? `[${hostText(address)}]:${address.port}` : NetAddress.formatInet(address)

/** The failure is a sentence for the user. `port` is used when the input names none. */
export const addressFromInput = (
  book: AddressBook,
  input: AddressInput,
  port: number
): Result.Result<Address, string> => {
  if (typeof input !== "string" && !NetAddress.isInetAddress(input))
    return Result.fail(`${describe(input)} is neither text nor an InetAddress`)
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

/**
 * Whether nobody can be reached there and answer from there: the unspecified address, which systems take for loopback and
 * answer from another one (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.2), multicast and broadcast.
 */
export const isNoDestination = (host: string): boolean => NO_DESTINATION.test(host)

const NO_DESTINATION = /^(?:::|(?:::ffff:)?(?:0\.0\.0\.0|2(?:2[4-9]|3\d)\.[\d.]+|255\.255\.255\.255)|ff[\da-f]{2}:.*)$/

/** What a destination may be. */
export const DESTINATION = 'an address that somebody can have; this host is "127.0.0.1" or "[::1]"'

export const toInetAddress = (address: Address): NetAddress.InetAddress => {
  const { host, port } = address
  const zone = host.indexOf("%")
  if (zone < 0) return NetAddress.inetAddressFromNativeUnsafe(host, port)
  const scopes = scopeIds()
  // The interface may be gone, while a path that led through it is still looked at.
  const known = scopes.has(host.slice(zone + 1)) || /^\d+$/.test(host.slice(zone + 1))
  return NetAddress.inetAddressFromNativeUnsafe(known ? host : host.slice(0, zone), port, scopes)
}

/** Hosts as addresses without a port. */
export const inetAddresses = (hosts: ReadonlyArray<string>): ReadonlyArray<NetAddress.InetAddress> =>
  hosts.map((host) => toInetAddress(new Address(host, 0, host.includes(":") ? 6 : 4)))

/** The address alone, without its port: what tells local addresses apart. */
export const hostOf = (input: AddressInput): string => {
  if (typeof input !== "string") return NetAddress.formatHost(input)
  const parsed = parse(input, 0)
  return Result.isSuccess(parsed) ? NetAddress.formatHost(parsed.success) : input
}
