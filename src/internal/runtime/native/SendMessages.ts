/**
 * Messages to the kernel: one sendmsg for a train of equal datagrams that the kernel or the network card cuts apart
 * (UDP_SEGMENT), with its ECN codepoint and source address, or one sendmmsg for datagrams apart.
 *
 * All sockets of a thread share the structures here: they hold nothing between two calls but what makes the next one
 * cheaper.
 */
import { MAX_SEGMENTS } from "../../wire/Datagram.ts"
import type { Address } from "../../wire/Datagram.ts"
import { unsigned } from "./Ffi.ts"
import { errno, IpOption, Ipv6Option, Level, sendmmsg, sendmsg, UdpOption } from "./Libc.ts"
import { addressOf, permanentRegion } from "./Memory.ts"
import { endpointOf, forgetEndpoint, writeSockaddr } from "./Sockaddr.ts"

/** Bytes of a datagram, at most: what an IPv6 packet holds. The kernel refuses those too big for IPv4. */
export const MAX_DATAGRAM = 65_527

// mmsghdr: msghdr {name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48}, length 56.
const HEADER = 64
const IOVEC = 16
const NAME_AT = MAX_SEGMENTS * (HEADER + IOVEC)
/** After the name: a sockaddr takes 28 bytes. */
const CONTROL_AT = NAME_AT + 32
const region = permanentRegion(CONTROL_AT + 128)
const { bytes: memory, address: HEADERS } = region
const ints = new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2)
const longs = new BigUint64Array(memory.buffer, memory.byteOffset, memory.length >> 3)
const control = CONTROL_AT >> 2

for (let i = 0; i < MAX_SEGMENTS; i++) {
  const header = (i * HEADER) >> 3
  longs[header] = HEADERS + BigInt(NAME_AT)
  longs[header + 2] = HEADERS + BigInt(MAX_SEGMENTS * HEADER + i * IOVEC)
  longs[header + 3] = 1n
  longs[header + 4] = HEADERS + BigInt(CONTROL_AT)
}

/** What the structures are laid out for. */
let to: Address | undefined
let from: Address | undefined
let inet6 = false
let mark = -1
let trainSegment = -1
/** Lengths of the name, and of the control messages without and with UDP_SEGMENT. */
let nameLength = 0
let plainControl = 0
let trainControl = 0

/** Appends a control message at word `at`, and returns the word for its data. */
const header = (at: number, length: number, level: number, type: number): number => {
  ints[at] = 16 + length
  ints[at + 1] = 0
  ints[at + 2] = level
  ints[at + 3] = type
  return at + 4
}

/** What is wrong with where a message is to go, as the system would call it. */
export type BadRoute = "EADDRNOTAVAIL" | "EAFNOSUPPORT"

/**
 * Says where the next messages go: from `source` if it is given, with this ECN codepoint, by a socket that is an IPv6 one or
 * not. Returns what is wrong with that.
 */
export const aim = (
  remote: Address,
  source: Address | undefined,
  ecn: number,
  socketIsInet6: boolean
): BadRoute | undefined => {
  if (remote === to && source === from && ecn === mark && socketIsInet6 === inet6) return undefined
  to = undefined
  const target = endpointOf(remote)
  const origin = source === undefined ? undefined : endpointOf(source)
  if (target === undefined || target.port === 0) return "EADDRNOTAVAIL"
  if (source !== undefined && origin === undefined) return "EADDRNOTAVAIL"
  if (target.family === 6 && !socketIsInet6) return "EAFNOSUPPORT"
  if (origin !== undefined && origin.family !== target.family) return "EAFNOSUPPORT"
  nameLength = writeSockaddr(target, socketIsInet6, memory, NAME_AT)
  let at = control
  if (ecn !== 0) {
    // A mapped address leaves as IPv4, whatever the socket: there IPV6_TCLASS would be ignored.
    const data =
      target.family === 4 ? header(at, 4, Level.ip, IpOption.tos) : header(at, 4, Level.ipv6, Ipv6Option.trafficClass)
    ints[data] = ecn
    ints[data + 1] = 0
    at = data + 2
  }
  if (origin !== undefined) at = source4or6(at, origin.ip, origin.scope)
  plainControl = (at - control) * 4
  trainControl = plainControl + 24
  trainSegment = -1
  to = remote
  from = source
  mark = ecn
  inet6 = socketIsInet6
  return undefined
}

/** Looks these addresses up again next time. */
export const forget = (remote: Address, source: Address | undefined): void => {
  forgetEndpoint(remote)
  if (source !== undefined) forgetEndpoint(source)
  to = undefined
}

/** in_pktinfo {interface, source, unused}, or in6_pktinfo {source, interface}. */
const source4or6 = (at: number, ip: Uint8Array, scope: number): number => {
  if (ip.length === 4) {
    const data = header(at, 12, Level.ip, IpOption.packetInfo)
    ints[data] = 0
    memory.set(ip, (data + 1) * 4)
    ints[data + 2] = 0
    ints[data + 3] = 0
    return data + 4
  }
  const data = header(at, 20, Level.ipv6, Ipv6Option.packetInfo)
  memory.set(ip, data * 4)
  ints[data + 4] = scope
  ints[data + 5] = 0
  return data + 6
}

/**
 * Sends `bytes[at, end)` as one train of datagrams of `segment` bytes, or as one datagram when it is not longer. Returns 0 or
 * the error.
 */
export const sendTrain = (fd: bigint, bytes: Uint8Array, at: number, end: number, segment: number): number => {
  const base = addressOf(bytes)
  const length = end - at
  if (!(at >= 0 && length >= 0 && length <= MAX_DATAGRAM && end <= bytes.length)) throw outOfRange(at, end)
  longs[(MAX_SEGMENTS * HEADER) >> 3] = base + BigInt(at)
  ints[((MAX_SEGMENTS * HEADER) >> 2) + 2] = length
  ints[2] = nameLength
  ints[10] = plainControl
  if (length > segment) {
    if (segment !== trainSegment) {
      const data = header(control + (plainControl >> 2), 2, Level.udp, UdpOption.segment)
      ints[data] = segment
      ints[data + 1] = 0
      trainSegment = segment
    }
    ints[10] = trainControl
  }
  return sendmsg(fd, HEADERS, 0n) >= 0 ? 0 : errno()
}

/**
 * Sends `bytes[at, end)` as datagrams of `segment` bytes, the last one possibly shorter, at most `MAX_SEGMENTS` of them.
 * Returns how many the system took, or, if it took none, the error as a negative number.
 */
export const sendApart = (fd: bigint, bytes: Uint8Array, at: number, end: number, segment: number): number => {
  const base = addressOf(bytes)
  const count = Math.min(Math.ceil((end - at) / segment), MAX_SEGMENTS)
  if (!(at >= 0 && segment >= 1 && segment <= MAX_DATAGRAM && count >= 1 && end <= bytes.length))
    throw outOfRange(at, end)
  for (let i = 0; i < count; i++) {
    const start = at + i * segment
    const iovec = MAX_SEGMENTS * HEADER + i * IOVEC
    longs[iovec >> 3] = base + BigInt(start)
    ints[(iovec >> 2) + 2] = Math.min(segment, end - start)
    const message = (i * HEADER) >> 2
    ints[message + 2] = nameLength
    ints[message + 10] = plainControl
  }
  const taken = sendmmsg(fd, HEADERS, unsigned(count), 0n)
  return taken > 0 ? taken : -errno()
}

const outOfRange = (at: number, end: number): RangeError =>
  new RangeError(`bytes ${at} to ${end} are not there to send`)
