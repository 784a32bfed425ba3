/**
 * IP addresses between their bytes, as frames carry them, and the text by which addresses are known here: IPv4, or IPv6 as
 * RFC 5952 writes it. An IPv4-mapped IPv6 address is the IPv4 address that it stands for (RFC 4291 section 2.5.5.2).
 */
import { Address } from "./Datagram.ts"

const isMapped = (bytes: Uint8Array, at: number): boolean => {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff
}

const dotted = (bytes: Uint8Array, at: number): string =>
  `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`

const hexadecimal = (part: ReadonlyArray<number>): string => part.map((word) => word.toString(16)).join(":")

/** RFC 5952 section 4: the longest run of two zero groups or more is left out, the first of equal ones. */
const groups = (bytes: Uint8Array, at: number): string => {
  const words: Array<number> = []
  for (let i = 0; i < 16; i += 2) words.push((bytes[at + i]! << 8) | bytes[at + i + 1]!)
  let from = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && words[end] === 0) end++
    if (end - i > length) {
      from = i
      length = end - i
    }
  }
  return from < 0
    ? hexadecimal(words)
    : `${hexadecimal(words.slice(0, from))}::${hexadecimal(words.slice(from + length))}`
}

/** The address whose IP is `length` bytes at `at`: 4 or 16. */
export const addressFromBytes = (bytes: Uint8Array, at: number, length: number, port: number): Address =>
  length === 4
    ? new Address(dotted(bytes, at), port, 4)
    : isMapped(bytes, at)
      ? new Address(dotted(bytes, at + 12), port, 4)
      : new Address(groups(bytes, at), port, 6)

/** The bytes of an IP address: 4 or 16. A zone is of this host, and is left out. */
export const addressToBytes = ({ family, host }: Address): Uint8Array => {
  if (family === 4) return Uint8Array.from(host.split("."), Number)
  const zone = host.indexOf("%")
  const text = zone < 0 ? host : host.slice(0, zone)
  const gap = text.indexOf("::")
  const head = words(gap < 0 ? text : text.slice(0, gap))
  const tail = words(gap < 0 ? "" : text.slice(gap + 2))
  const bytes = new Uint8Array(16)
  head.forEach((word, i) => bytes.set([word >> 8, word & 0xff], 2 * i))
  tail.forEach((word, i) => bytes.set([word >> 8, word & 0xff], 16 - 2 * (tail.length - i)))
  return bytes
}

/** The groups of a part of an IPv6 address; the last two may be in the form of IPv4. */
const words = (part: string): ReadonlyArray<number> =>
  part === ""
    ? []
    : part.split(":").flatMap((group) => {
        if (!group.includes(".")) return [Number.parseInt(group, 16)]
        const [a, b, c, d] = group.split(".").map(Number) as [number, number, number, number]
        return [(a << 8) | b, (c << 8) | d]
      })
