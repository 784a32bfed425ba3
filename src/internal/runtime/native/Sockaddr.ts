/**
 * Addresses as the kernel has them (sockaddr_in, sockaddr_in6), to and from ours. Both directions remember, because text
 * costs more than the rest of a packet.
 */
import { NetAddress } from "effect/net"
import { Option, Result } from "effect"
import type { Address, AddressBook } from "../../wire/Datagram.ts"
import { interfaces } from "../Addresses.ts"
import { Family } from "./Libc.ts"

/** Bytes of the bigger one, sockaddr_in6. */
export const SOCKADDR = 28

/** An address in the kernel's terms. An IPv4-mapped one is IPv4 here. */
export interface Endpoint {
  readonly family: 4 | 6
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array
  readonly port: number
  /** Interface of a link-local address, or 0. */
  readonly scope: number
}

const scopeIds = (): Map<string, number> => NetAddress.scopeIdsFromInterfaces(interfaces())

const toEndpoint = (host: string, port: number): Endpoint | undefined => {
  const parsed = NetAddress.inetAddressFromHostString(host, port, host.includes("%") ? scopeIds() : undefined)
  if (Result.isFailure(parsed)) return undefined
  const { address } = parsed.success
  const plain = NetAddress.isIpv6Address(address)
    ? Option.getOrElse(NetAddress.fromIpv4Mapped(address), () => address)
    : address
  return NetAddress.isIpv4Address(plain)
    ? { family: 4, ip: Uint8Array.from(NetAddress.ipv4ToOctets(plain)), port, scope: 0 }
    : {
        family: 6,
        ip: Uint8Array.from(NetAddress.ipv6ToOctets(plain)),
        port,
        scope: NetAddress.isInetAddressV6(parsed.success) ? parsed.success.scopeId : 0
      }
}

const endpoints = new WeakMap<Address, Endpoint>()

/** An address for the kernel; undefined if its host is not numeric, or its port none. */
export const endpointOf = (address: Address): Endpoint | undefined => {
  const known = endpoints.get(address)
  if (known !== undefined) return known
  const made = endpointOfHost(address.host, address.port)
  if (made !== undefined) endpoints.set(address, made)
  return made
}

/** Looks the address up again next time: its interface may have got another number. */
export const forgetEndpoint = (address: Address): void => {
  endpoints.delete(address)
}

export const endpointOfHost = (host: string, port: number): Endpoint | undefined =>
  Number.isInteger(port) && port >= 0 && port <= 65_535 ? toEndpoint(host, port) : undefined

/**
 * Writes a sockaddr at `at` and returns its length. `inet6`: for an IPv6 socket, where an IPv4 address takes its mapped form
 * (RFC 4291 section 2.5.5.2).
 */
export const writeSockaddr = (endpoint: Endpoint, inet6: boolean, out: Uint8Array, at: number): number => {
  const { family, ip, port, scope } = endpoint
  const length = inet6 ? SOCKADDR : 16
  out.fill(0, at, at + length)
  out[at] = inet6 ? Family.inet6 : Family.inet
  out[at + 2] = port >> 8
  out[at + 3] = port
  if (!inet6) {
    out.set(ip, at + 4)
    return length
  }
  if (family === 4) out.fill(0xff, at + 18, at + 20)
  out.set(ip, at + (family === 4 ? 20 : 8))
  out[at + 24] = scope
  out[at + 25] = scope >> 8
  out[at + 26] = scope >> 16
  out[at + 27] = scope >> 24
  return length
}

/** Word 2 of an IPv4-mapped address, as they lie in memory: 00 00 ff ff. */
const MAPPED = 0xffff0000 | 0

const octets = (word: number): string =>
  `${word & 255}.${(word >>> 8) & 255}.${(word >>> 16) & 255}.${(word >>> 24) & 255}`

/** Entries of a memory, as a power of two. */
const ENTRY_BITS = 8
const ENTRIES = 1 << ENTRY_BITS
/** Words of an entry: family and port, four of the IP address, scope. */
const ENTRY = 6

/** How often a link-local address is found before the name of its interface is looked up again: it may have been renamed. */
const SCOPED_USES = 4096

/**
 * Turns addresses in the kernel's form into interned ones, and remembers as many as it has room for: who sends from ever new
 * addresses costs time, not memory.
 */
export class AddressMemory {
  private static readonly ofBooks = new WeakMap<AddressBook, AddressMemory>()
  private readonly book: AddressBook
  private readonly words = new Int32Array(ENTRIES * ENTRY)
  private readonly known: Array<Address | undefined> = Array.from({ length: ENTRIES }, () => undefined)
  private scopedUses = 0

  private constructor(book: AddressBook) {
    this.book = book
  }

  /** The one of a book, which the sockets that share it share too. */
  static of(book: AddressBook): AddressMemory {
    let memory = AddressMemory.ofBooks.get(book)
    if (memory === undefined) {
      memory = new AddressMemory(book)
      AddressMemory.ofBooks.set(book, memory)
    }
    return memory
  }

  /** The sockaddr at word `at`. */
  sockaddr(words: Int32Array, at: number): Address {
    const head = words[at]!
    return (head & 0xffff) === Family.inet
      ? this.find(head, words[at + 1]!, 0, 0, 0, 0)
      : this.find(head, words[at + 2]!, words[at + 3]!, words[at + 4]!, words[at + 5]!, words[at + 6]!)
  }

  /**
   * The address with these words as they lie in memory; `head` is the first of a sockaddr: family, and port in network
   * order. IPv4 addresses have one word and zeros.
   */
  find(head: number, a: number, b: number, c: number, d: number, scope: number): Address {
    const hash = Math.imul(head ^ Math.imul(a ^ Math.imul(b ^ Math.imul(c ^ d, 31), 31), 31), 0x9e3779b1)
    const entry = hash >>> (32 - ENTRY_BITS)
    const at = entry * ENTRY
    const words = this.words
    const known = this.known[entry]
    if (
      known !== undefined &&
      words[at] === head &&
      words[at + 1] === a &&
      words[at + 2] === b &&
      words[at + 3] === c &&
      words[at + 4] === d &&
      words[at + 5] === scope &&
      (scope === 0 || ++this.scopedUses % SCOPED_USES !== 0)
    ) {
      return known
    }
    const address = this.make(head, a, b, c, d, scope)
    words[at] = head
    words[at + 1] = a
    words[at + 2] = b
    words[at + 3] = c
    words[at + 4] = d
    words[at + 5] = scope
    this.known[entry] = address
    return address
  }

  private make(head: number, a: number, b: number, c: number, d: number, scope: number): Address {
    const port = ((head >>> 8) & 0xff00) | (head >>> 24)
    if ((head & 0xffff) === Family.inet) return this.book.intern(octets(a), port, 4)
    if (a === 0 && b === 0 && c === MAPPED) return this.book.intern(octets(d), port, 4)
    const bytes = new Uint8Array(Int32Array.of(a, b, c, d).buffer)
    const host = NetAddress.formatIp(NetAddress.ipv6FromBytesUnsafe(bytes))
    return this.book.intern(scope === 0 ? host : `${host}%${interfaceName(scope)}`, port, 6)
  }
}

const interfaceName = (scope: number): string => {
  for (const [name, id] of scopeIds()) if (id === scope) return name
  return String(scope)
}
