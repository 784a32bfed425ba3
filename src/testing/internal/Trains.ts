import { MAX_SEGMENTS, MAX_TRANSMIT } from "../../internal/wire/Datagram.ts"
import type { Address, Transmit } from "../../internal/wire/Datagram.ts"
import type { BoundSocket } from "../../UdpSocket.ts"

/** Joins datagrams that follow each other on the same way into transmits: a system call for each would be most of a relay's work. */
export class Trains {
  private slab = new Uint8Array(MAX_TRANSMIT)
  private used = 0
  private count = 0
  private socket: BoundSocket | undefined = undefined
  private readonly transmit: Transmit = {
    local: undefined as unknown as Address,
    remote: undefined as unknown as Address,
    ecn: 0,
    segmentSize: 0,
    bytes: this.slab
  }

  /** Takes a copy of a datagram. It leaves with the next `flush` at the latest. */
  add(socket: BoundSocket, remote: Address, bytes: Uint8Array, ecn: number): void {
    const { transmit } = this
    const size = bytes.length
    const fits =
      this.count > 0 &&
      size > 0 &&
      socket === this.socket &&
      remote === transmit.remote &&
      ecn === transmit.ecn &&
      size <= transmit.segmentSize &&
      // Only the last datagram of a transmit may be shorter.
      this.used === this.count * transmit.segmentSize &&
      this.count < MAX_SEGMENTS &&
      this.used + size <= MAX_TRANSMIT
    if (!fits) {
      this.flush()
      this.socket = socket
      transmit.local = socket.local
      transmit.remote = remote
      transmit.ecn = ecn
      transmit.segmentSize = size
    }
    this.slab.set(bytes, this.used)
    this.used += size
    this.count++
  }

  /** Sends what is there. */
  flush(): void {
    const { socket, transmit } = this
    if (socket === undefined || this.count === 0) return
    transmit.bytes = this.slab.subarray(0, this.used)
    this.used = this.count = 0
    socket.send(transmit)
    if (socket.retained) this.slab = new Uint8Array(MAX_TRANSMIT)
  }
}
