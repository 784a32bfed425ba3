/**
 * Makes UDP sockets: descriptors of our own, bound and with all options set before the first datagram can arrive, in the care
 * of a `dgram` socket of Node.
 */
import { createSocket } from "node:dgram"
import type { Socket } from "node:dgram"
import { unsigned } from "./Ffi.ts"
import {
  bind,
  close,
  datagramType,
  errno,
  errorName,
  Family,
  getOption,
  getsockname,
  IpOption,
  Ipv6Option,
  Level,
  PMTU_PROBE,
  setOption,
  socket,
  SocketOption,
  UdpOption
} from "./Libc.ts"
import { permanentRegion } from "./Memory.ts"
import { endpointOfHost, SOCKADDR, writeSockaddr } from "./Sockaddr.ts"

/** A bound socket. */
export interface Opened {
  readonly fd: number
  /** Node's side of it. Closing it closes the descriptor. */
  readonly socket: Socket
  readonly inet6: boolean
  /** Bound to all addresses of its family, or of both if it is an IPv6 one. */
  readonly wildcard: boolean
  /** The port that it got. */
  readonly port: number
}

/** Why not: a system error with its `code`, as Node's own have it. */
class SystemError extends Error {
  readonly code: string

  constructor(call: string, code: string) {
    super(`${call} ${code}`)
    this.code = code
  }
}

const name = permanentRegion(32)

/** Binds a socket. Throws a system error. */
export const openSocket = (
  host: string,
  port: number,
  buffers: { readonly receive: number; readonly send: number }
): Opened => {
  const endpoint = endpointOfHost(host, port)
  if (endpoint === undefined) throw new SystemError("bind", "EINVAL")
  const inet6 = endpoint.family === 6
  const wildcard = endpoint.ip.every((byte) => byte === 0)
  const fd = socket(BigInt(inet6 ? Family.inet6 : Family.inet), datagramType, 0n)
  if (fd < 0) throw new SystemError("socket", errorName(errno()))
  let adopted: Socket | undefined
  try {
    setOptions(fd, inet6, wildcard)
    setBuffer(fd, SocketOption.receiveBufferForce, SocketOption.receiveBuffer, buffers.receive)
    setBuffer(fd, SocketOption.sendBufferForce, SocketOption.sendBuffer, buffers.send)
    const length = writeSockaddr(endpoint, inet6, name.bytes, 0)
    if (bind(unsigned(fd), name.address, BigInt(length)) !== 0) throw new SystemError("bind", errorName(errno()))
    const bound = portOf(fd)
    adopted = adopt(fd, inet6)
    return { fd, socket: adopted, inet6, wildcard, port: bound }
  } catch (cause) {
    if (adopted === undefined) close(unsigned(fd))
    throw cause
  }
}

/** Options that this kernel does not have are done without: no ECN is seen then, or no datagrams joined. */
const setOptions = (fd: number, inet6: boolean, wildcard: boolean): void => {
  setOption(fd, Level.udp, UdpOption.gro, 1)
  setOption(fd, Level.socket, SocketOption.overflow, 1)
  if (inet6) {
    // A wildcard stands for the addresses of both families.
    setOption(fd, Level.ipv6, Ipv6Option.only, wildcard ? 0 : 1)
    setOption(fd, Level.ipv6, Ipv6Option.receiveTrafficClass, 1)
    setOption(fd, Level.ipv6, Ipv6Option.mtuDiscover, PMTU_PROBE)
    setOption(fd, Level.ipv6, Ipv6Option.receiveErrors, 1)
    if (wildcard) setOption(fd, Level.ipv6, Ipv6Option.receivePacketInfo, 1)
  }
  if (!inet6 || wildcard) {
    setOption(fd, Level.ip, IpOption.receiveTos, 1)
    setOption(fd, Level.ip, IpOption.mtuDiscover, PMTU_PROBE)
    setOption(fd, Level.ip, IpOption.receiveErrors, 1)
    if (wildcard) setOption(fd, Level.ip, IpOption.packetInfo, 1)
  }
}

/** Asks for a buffer of this size: more than the system's limit takes a privilege, without it the limit is what there is. */
const setBuffer = (fd: number, force: number, option: number, bytes: number): void => {
  // The kernel reports twice what was set, for its own bookkeeping.
  if (!setOption(fd, Level.socket, force, bytes) || (getOption(fd, Level.socket, option) ?? 0) < bytes) {
    setOption(fd, Level.socket, option, bytes)
  }
}

const portOf = (fd: number): number => {
  const length = new Int32Array(name.bytes.buffer, name.bytes.byteOffset, 8)
  length[7] = SOCKADDR
  if (getsockname(unsigned(fd), name.address, name.address + 28n) !== 0) {
    throw new SystemError("getsockname", errorName(errno()))
  }
  return (name.bytes[2]! << 8) | name.bytes[3]!
}

/** Gives the descriptor to Node, in this process also when it is a worker of a cluster. */
const adopt = (fd: number, inet6: boolean): Socket => {
  const adopted = createSocket(inet6 ? "udp6" : "udp4")
  // Errors of the socket are found by our own calls.
  adopted.on("error", () => {})
  try {
    adopted.bind({ fd, exclusive: true })
  } catch (cause) {
    adopted.close()
    throw cause
  }
  // Node lets other sockets share the port of a descriptor that it is given; bound sockets of ours have theirs alone.
  setOption(fd, Level.socket, SocketOption.reuseAddress, 0)
  return adopted
}
