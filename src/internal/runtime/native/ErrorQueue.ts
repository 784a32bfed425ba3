/**
 * What the network says about datagrams sent earlier: ICMP errors, which the kernel keeps in a queue of the socket
 * (IP_RECVERR) with the address that each was for. Until they are read, one of them also makes the next call fail.
 */
import { errorName, IpOption, Ipv6Option, Level, MessageFlag, recvmsg } from "./Libc.ts"
import { permanentRegion } from "./Memory.ts"
import type { AddressMemory } from "./Sockaddr.ts"
import type { Address } from "../../wire/Datagram.ts"

/** Errors read at a time, at most. */
const LIMIT = 64

// msghdr, sockaddr, control messages. No room for the datagram itself, which is not of interest.
const NAME_AT = 64
const CONTROL_AT = 96
const CONTROL = 160
const region = permanentRegion(CONTROL_AT + CONTROL)
const ints = new Int32Array(region.bytes.buffer, region.bytes.byteOffset, region.bytes.length >> 2)
const longs = new BigUint64Array(region.bytes.buffer, region.bytes.byteOffset, region.bytes.length >> 3)
longs[0] = region.address + BigInt(NAME_AT)
longs[4] = region.address + BigInt(CONTROL_AT)

const FLAGS = MessageFlag.errorQueue | MessageFlag.dontWait

/** SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6. Errors of this host have failed their call already. */
const fromNetwork = (origin: number): boolean => origin === 2 || origin === 3

/**
 * Empties the queue, tells about each ICMP error, and returns how many there were. `report` must not come back here, as a
 * listener of the application might.
 */
export const drainErrors = (
  fd: bigint,
  memory: AddressMemory,
  report: (code: string, remote: Address) => void
): number => {
  let count = 0
  for (let left = LIMIT; left > 0; left--) {
    ints[2] = 32
    ints[10] = CONTROL
    ints[12] = 0
    if (recvmsg(fd, region.address, FLAGS) < 0) break
    const end = (CONTROL_AT + Math.min(ints[10]!, CONTROL)) >> 2
    for (let at = CONTROL_AT >> 2; at + 6 < end && ints[at]! > 16; at += ((ints[at]! + 7) >> 3) << 1) {
      const [level, type] = [ints[at + 2]!, ints[at + 3]!]
      const isError =
        (level === Level.ip && type === IpOption.receiveErrors) ||
        (level === Level.ipv6 && type === Ipv6Option.receiveErrors)
      // sock_extended_err {errno 4 bytes, origin 1, ...}
      if (!isError || !fromNetwork(ints[at + 5]! & 0xff)) continue
      count++
      report(errorName(ints[at + 4]!), memory.sockaddr(ints, NAME_AT >> 2))
    }
  }
  return count
}
