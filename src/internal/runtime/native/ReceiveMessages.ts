/**
 * Datagrams from the kernel: one recvmmsg fills a burst. Each message may be many datagrams that arrived back to back
 * (UDP_GRO), which are cut apart by their offsets alone: the slab of the burst is where the kernel wrote them.
 */
import { makeDatagramBurst } from "../../wire/Datagram.ts"
import type { Address, DatagramBurst } from "../../wire/Datagram.ts"
import { errno, Family, IpOption, Ipv6Option, Level, MessageFlag, recvmmsg, SocketOption, UdpOption } from "./Libc.ts"
import { makeRegion } from "./Memory.ts"
import type { AddressMemory } from "./Sockaddr.ts"

/** Messages of a call. */
const MESSAGES = 16

/** Room for each: GRO joins up to 64 KB. They lie a little further apart, so that they do not compete for the same cache lines. */
const ROOM = 65_536
const STRIDE = ROOM + 512
/** Messages of one call when they are long trains: acknowledgements of a larger burst would keep the sender waiting. */
const TRAINS = 4n
const TRAIN_SEGMENTS = 8
const ALL = BigInt(MESSAGES)

/** Datagrams of a message, at most (UDP_MAX_SEGMENTS). */
const SEGMENTS = 128

// As in SendMessages: mmsghdr of 64 bytes, iovec of 16; then sockaddr in 32, and control messages.
const HEADER = 64
const IOVEC_AT = MESSAGES * HEADER
const NAME_AT = IOVEC_AT + MESSAGES * 16
const NAME = 32
const CONTROL_AT = NAME_AT + MESSAGES * NAME
/** ECN, interface and destination in both families' forms, segment size and overflow take 168. */
const CONTROL = 192

/** What a socket makes of its datagrams. */
export interface Receiver {
  /** Its own address, for datagrams that do not tell theirs. */
  readonly local: Address
  /** Whether destination addresses are asked of the kernel. */
  readonly wildcard: boolean
  readonly memory: AddressMemory
  /** Datagrams that the kernel dropped for want of room, as it counts them. */
  overflow: number
  /** Datagrams and bytes received. */
  received: number
  receivedBytes: number
  /** Datagrams that were too long or too many here. */
  dropped: number
}

/** A burst with the structures that fill it. A socket has one between two pulls only: idle ones cost no memory. */
export class ReceiveBatch {
  readonly burst: DatagramBurst
  private readonly slab = makeRegion(MESSAGES * STRIDE)
  private readonly headers = makeRegion(CONTROL_AT + MESSAGES * CONTROL)
  private readonly ints: Int32Array
  /** Messages that the last call may have used. */
  private used = MESSAGES
  private trains = false
  // Of the control messages at hand.
  private ecn = 0
  private segment = 0
  private local: Address | undefined = undefined

  constructor() {
    const { bytes, address } = this.headers
    bytes.fill(0)
    this.burst = makeDatagramBurst(MESSAGES * SEGMENTS, this.slab.bytes)
    this.ints = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
    const longs = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length >> 3)
    for (let i = 0; i < MESSAGES; i++) {
      const header = (i * HEADER) >> 3
      const iovec = (IOVEC_AT + i * 16) >> 3
      longs[header] = address + BigInt(NAME_AT + i * NAME)
      longs[header + 2] = address + BigInt(IOVEC_AT + i * 16)
      longs[header + 3] = 1n
      longs[header + 4] = address + BigInt(CONTROL_AT + i * CONTROL)
      longs[iovec] = this.slab.address + BigInt(i * STRIDE)
      longs[iovec + 1] = BigInt(ROOM)
    }
  }

  /** Whether the memory is still here: who had the burst may have transferred it. */
  get intact(): boolean {
    return this.slab.bytes.length === MESSAGES * STRIDE
  }

  /** Fills the burst with what has arrived. Returns 0 or the error; without an error there is at least one message. */
  receive(fd: bigint, receiver: Receiver): number {
    const { ints, burst } = this
    burst.count = 0
    burst.slab = this.slab.bytes
    if (!this.intact) throw new Error("the memory of a received burst was transferred")
    // The kernel writes over lengths and flags.
    for (let i = 0; i < this.used; i++) {
      const header = (i * HEADER) >> 2
      ints[header + 2] = NAME
      ints[header + 10] = CONTROL
      ints[header + 12] = 0
    }
    const messages = recvmmsg(fd, this.headers.address, this.trains ? TRAINS : ALL, MessageFlag.dontWait, 0n)
    if (messages < 0) {
      // A failing call has touched the first message at most.
      this.used = 1
      return errno()
    }
    this.used = Math.max(messages, 1)
    for (let i = 0; i < messages; i++) this.take(i, receiver)
    this.trains = burst.count > messages * TRAIN_SEGMENTS
    return 0
  }

  private take(index: number, receiver: Receiver): void {
    const { ints } = this
    const header = (index * HEADER) >> 2
    const length = ints[header + 14]!
    if ((ints[header + 12]! & MessageFlag.truncated) !== 0 || length > ROOM) {
      receiver.dropped++
      return
    }
    this.ecn = this.segment = 0
    this.local = undefined
    this.readControl((CONTROL_AT + index * CONTROL) >> 2, ints[header + 10]!, receiver)
    const remote = receiver.memory.sockaddr(ints, (NAME_AT + index * NAME) >> 2)
    this.cut(index * STRIDE, length, this.local ?? receiver.local, remote, receiver)
  }

  /** Appends the datagrams of a message to the burst. */
  private cut(from: number, length: number, local: Address, remote: Address, receiver: Receiver): void {
    const { burst, ecn } = this
    const segment = this.segment > 0 ? this.segment : length
    const end = from + length
    const most = burst.offset.length
    let count = burst.count
    let at = from
    do {
      if (count === most) {
        receiver.dropped++
      } else {
        burst.offset[count] = at
        burst.length[count] = Math.min(segment, end - at)
        burst.ecn[count] = ecn
        burst.local[count] = local
        burst.remote[count] = remote
        count++
      }
      at += segment
    } while (at < end)
    receiver.received += count - burst.count
    receiver.receivedBytes += length
    burst.count = count
  }

  private readControl(start: number, length: number, receiver: Receiver): void {
    const { ints } = this
    const end = start + (Math.min(length, CONTROL) >> 2)
    for (let at = start; at + 4 < end;) {
      const size = ints[at]!
      // cmsghdr {length 8 bytes, level, type}, then data.
      if (size <= 16) return
      this.readMessage(ints[at + 2]!, ints[at + 3]!, at + 4, receiver)
      at += ((size + 7) >> 3) << 1
    }
  }

  private readMessage(level: number, type: number, data: number, receiver: Receiver): void {
    const { ints } = this
    if (level === Level.udp) {
      if (type === UdpOption.gro) this.segment = ints[data]!
    } else if (level === Level.ip) {
      if (type === IpOption.tos) this.ecn = ints[data]! & 3
      else if (type === IpOption.packetInfo && receiver.wildcard) {
        // The second word: the address of this host that it came to, also when it was sent to a broadcast one.
        this.local = receiver.memory.find(portOf(receiver) | Family.inet, ints[data + 1]!, 0, 0, 0, 0)
      }
    } else if (level === Level.ipv6) {
      if (type === Ipv6Option.trafficClass) this.ecn = ints[data]! & 3
      else if (type === Ipv6Option.packetInfo && receiver.wildcard) {
        const a = ints[data]!
        const linkLocal = (a & 0xc0ff) === 0x80fe
        this.local = receiver.memory.find(
          portOf(receiver) | Family.inet6,
          a,
          ints[data + 1]!,
          ints[data + 2]!,
          ints[data + 3]!,
          linkLocal ? ints[data + 4]! : 0
        )
      }
    } else if (level === Level.socket && type === SocketOption.overflow) {
      receiver.overflow = ints[data]! >>> 0
    }
  }
}

/** The port of the socket where a sockaddr has it: in network order, in the upper half of the first word. */
const portOf = ({ local }: Receiver): number => ((local.port & 0xff) << 24) | ((local.port >> 8) << 16)

/** Batches that nobody has, kept for the next pull of any socket. */
const spare: Array<ReceiveBatch> = []
const SPARES = 4

export const takeBatch = (): ReceiveBatch => spare.pop() ?? new ReceiveBatch()

export const returnBatch = (batch: ReceiveBatch): void => {
  if (spare.length < SPARES && batch.intact) spare.push(batch)
}
