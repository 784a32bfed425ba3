/**
 * System calls, libuv functions and constants of Linux (the same on x64 and arm64) that sockets need.
 */
import { getSystemErrorName } from "node:util"
import { intFunction, pointerFunction, readInt, unsigned } from "./Ffi.ts"
import { permanentRegion } from "./Memory.ts"

/** family, type, protocol. */
export const socket = intFunction("socket", 3)
export const bind = intFunction("bind", 3)
export const close = intFunction("close", 1)
/** fd, address of a sockaddr, address of its length. */
export const getsockname = intFunction("getsockname", 3)
const setsockopt = intFunction("setsockopt", 5)
const getsockopt = intFunction("getsockopt", 5)
/** fd, msghdr, flags. */
export const sendmsg = intFunction("sendmsg", 3)
export const recvmsg = intFunction("recvmsg", 3)
/** fd, array of mmsghdr, how many, flags. */
export const sendmmsg = intFunction("sendmmsg", 4)
/** fd, array of mmsghdr, how many, flags, timeout. */
export const recvmmsg = intFunction("recvmmsg", 5)

/** Major, minor and patch in a byte each. */
export const uvVersion = intFunction("uv_version", 0)
export const uvHandleType = intFunction("uv_handle_get_type", 1)
/** handle, address of an int. */
export const uvFileno = intFunction("uv_fileno", 2)
/** handle, callback that gives memory, callback that takes datagrams. */
export const uvReceiveStart = intFunction("uv_udp_recv_start", 3)
export const uvReceiveStop = intFunction("uv_udp_recv_stop", 1)

// Each thread has its own errno, and its own instance of this module.
const errnoAddress = pointerFunction("__errno_location", 0)()

/** The number of the error of the call just made. */
export const errno = (): number => readInt(errnoAddress)

export const Errno = {
  intr: 4,
  io: 5,
  badf: 9,
  again: 11,
  nomem: 12,
  acces: 13,
  fault: 14,
  inval: 22,
  nonet: 64,
  proto: 71,
  notsock: 88,
  msgsize: 90,
  noprotoopt: 92,
  opnotsupp: 95,
  netunreach: 101,
  nobufs: 105,
  connrefused: 111,
  hostdown: 112,
  hostunreach: 113
} as const

const network: ReadonlySet<number> = new Set([
  Errno.acces,
  Errno.nonet,
  Errno.proto,
  Errno.msgsize,
  Errno.noprotoopt,
  Errno.opnotsupp,
  Errno.netunreach,
  Errno.connrefused,
  Errno.hostdown,
  Errno.hostunreach
])

/**
 * Errors that ICMP can give: the kernel keeps one of them on the socket and fails the next call with it, whatever that call
 * was for, and forgets it by that. It does so also when its queue of errors has no room for it.
 */
export const isNetworkError = (error: number): boolean => network.has(error)

/** Errors after which a socket never works again. */
export const isFatalError = (error: number): boolean =>
  error === Errno.badf || error === Errno.notsock || error === Errno.inval || error === Errno.fault

/** A system error by its name, such as `EMSGSIZE`. */
export const errorName = (error: number): string => (error > 0 ? getSystemErrorName(-error) : "EUNKNOWN")

export const Family = { inet: 2, inet6: 10 } as const

/** SOCK_DGRAM with SOCK_NONBLOCK and SOCK_CLOEXEC. */
export const datagramType = BigInt(2 | 0x800 | 0x80000)

/** Option levels, which are also those of control messages. */
export const Level = { socket: 1, ip: 0, ipv6: 41, udp: 17 } as const

/** Option names within their levels. Control messages have the same, unless said otherwise. */
export const SocketOption = {
  reuseAddress: 2,
  sendBuffer: 7,
  receiveBuffer: 8,
  sendBufferForce: 32,
  receiveBufferForce: 33,
  overflow: 40
} as const
export const IpOption = { tos: 1, packetInfo: 8, mtuDiscover: 10, receiveErrors: 11, receiveTos: 13 } as const
export const Ipv6Option = {
  mtuDiscover: 23,
  receiveErrors: 25,
  only: 26,
  receivePacketInfo: 49,
  /** A control message only. */
  packetInfo: 50,
  receiveTrafficClass: 66,
  /** A control message only. */
  trafficClass: 67
} as const
export const UdpOption = { segment: 103, gro: 104 } as const

/** IP_PMTUDISC_PROBE: never fragment, and ignore what the kernel thinks the path carries. */
export const PMTU_PROBE = 3

export const MessageFlag = { truncated: 0x20, dontWait: 0x40n, errorQueue: 0x2000n } as const

const ints = permanentRegion(16)
const intView = new Int32Array(ints.bytes.buffer, ints.bytes.byteOffset, 4)

/** Sets an option to an int; false if the system refuses. */
export const setOption = (fd: number, level: number, option: number, value: number): boolean => {
  intView[0] = value
  return setsockopt(unsigned(fd), BigInt(level), BigInt(option), ints.address, 4n) === 0
}

/** An option that is an int; undefined if the system refuses. */
export const getOption = (fd: number, level: number, option: number): number | undefined => {
  intView[1] = 4
  const done = getsockopt(unsigned(fd), BigInt(level), BigInt(option), ints.address, ints.address + 4n)
  return done === 0 ? intView[0] : undefined
}

/** Where a function may leave an int, and the int that it left. */
export const intAddress = ints.address
export const intLeft = (): number => intView[0]!
