/** Whom a certificate is for: DNS names and IP addresses, and how a name that was asked for is found among them (RFC 9525). */
import { isIP } from "node:net"
import { domainToASCII } from "node:url"

/** What a caller connects to: a DNS name in lower-case ASCII, or the 4 or 16 bytes of an address. */
export type ReferenceName =
  { readonly kind: "dns"; readonly name: string } | { readonly kind: "ip"; readonly address: Uint8Array }

/** Bytes of an IP address in text; undefined when it is none. A zone is dropped, and an IPv4-mapped address is IPv4. */
export const parseIp = (text: string): Uint8Array | undefined => {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text
  const percent = bare.indexOf("%")
  const host = percent === -1 ? bare : bare.slice(0, percent)
  const family = isIP(host)
  if (family === 0) return undefined
  if (family === 4) return parseIpv4(host)
  const bytes = parseIpv6(host)
  return isMapped(bytes) ? bytes.slice(12) : bytes
}

const parseIpv4 = (host: string): Uint8Array => Uint8Array.from(host.split("."), Number)

/** `host` has passed `isIP`. */
const parseIpv6 = (host: string): Uint8Array => {
  const [head = "", tail] = host.split("::")
  const left = groupsOf(head)
  const right = tail === undefined ? [] : groupsOf(tail)
  const bytes = new Uint8Array(16)
  bytes.set(left)
  bytes.set(right, 16 - right.length)
  return bytes
}

const groupsOf = (text: string): Array<number> => {
  const bytes: Array<number> = []
  for (const group of text === "" ? [] : text.split(":")) {
    if (group.includes(".")) bytes.push(...parseIpv4(group))
    else bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff)
  }
  return bytes
}

const isMapped = (bytes: Uint8Array): boolean =>
  bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0)

/** Text of 4 or 16 bytes. IPv6 is written out without `::`: it is only for messages. */
export const formatIp = (address: Uint8Array): string => {
  if (address.length === 4) return address.join(".")
  const groups: Array<string> = []
  for (let i = 0; i + 1 < address.length; i += 2) groups.push(((address[i]! << 8) | address[i + 1]!).toString(16))
  return groups.join(":")
}

/** A DNS name in the form that is compared: ASCII, lower case, without the final dot; undefined when it cannot be one. */
export const normalizeDns = (name: string): string | undefined => {
  const ascii = (/^[\x20-\x7e]*$/.test(name) ? name : domainToASCII(name)).toLowerCase()
  const bare = ascii.endsWith(".") ? ascii.slice(0, -1) : ascii
  if (bare.length === 0 || bare.length > 253) return undefined
  // Underscores are no host names, but certificates and internal networks have them.
  return bare.split(".").every((label) => /^[a-z0-9_-]{1,63}$/.test(label)) ? bare : undefined
}

/** What `serverName` asks for; undefined when it is neither an address nor a DNS name. */
export const parseReference = (serverName: string): ReferenceName | undefined => {
  const address = parseIp(serverName)
  if (address !== undefined) return { kind: "ip", address }
  const name = normalizeDns(serverName)
  return name === undefined ? undefined : { kind: "dns", name }
}

/**
 * Whether a dNSName of a certificate covers a name. A wildcard stands for exactly one label, is the whole leftmost label
 * (RFC 9525 section 6.3), and needs two labels after it: nobody owns all of a top-level domain.
 */
export const matchesDns = (presented: string, name: string): boolean => {
  // Compared as it is: name constraints see the presented name as it is, too.
  const pattern = (presented.endsWith(".") ? presented.slice(0, -1) : presented).toLowerCase()
  if (!pattern.startsWith("*.")) return pattern === name
  const parent = pattern.slice(2)
  const dot = name.indexOf(".")
  return parent.includes(".") && dot > 0 && name.slice(dot + 1) === parent
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])

/** Whether any of a certificate's alternative names covers the one asked for. The common name does not count. */
export const matchesReference = (
  names: { readonly dns: ReadonlyArray<string>; readonly ip: ReadonlyArray<Uint8Array> },
  reference: ReferenceName
): boolean =>
  reference.kind === "ip"
    ? names.ip.some((address) => sameBytes(address, reference.address))
    : names.dns.some((presented) => matchesDns(presented, reference.name))
