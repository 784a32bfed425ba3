/**
 * Where the machine sends to: picks the socket of a transmit, and keeps slabs for it to build packets in.
 */
import type { BoundSocket } from "./Sockets.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address, Transmit, TransmitSink } from "../wire/Datagram.ts"

/** Room for a full GSO batch and the packets of other paths built beside it. */
export const SLAB_BYTES = 128 * 1024

/** Slabs kept for reuse. */
const SPARE_SLABS = 8

/** A slab with bytes that sockets have taken and not sent yet: a batch may hold packets for several of them. */
interface HeldSlab {
  readonly slab: Uint8Array
  readonly sockets: Array<BoundSocket>
}

/** Datagrams and bytes both ways, and those that the sockets dropped because nobody took them in time. */
export interface Traffic {
  readonly datagramsReceived: number
  readonly bytesReceived: number
  readonly datagramsSent: number
  readonly bytesSent: number
  readonly queueFull: number
}

const noTraffic = () => ({ datagramsReceived: 0, bytesReceived: 0, datagramsSent: 0, bytesSent: 0, queueFull: 0 })

const addTraffic = (sum: ReturnType<typeof noTraffic>, { stats }: BoundSocket): void => {
  sum.datagramsReceived += stats.datagramsReceived
  sum.bytesReceived += stats.bytesReceived
  sum.datagramsSent += stats.datagramsSent
  sum.bytesSent += stats.bytesSent
  sum.queueFull += stats.datagramsDropped
}

export class SlabSink implements TransmitSink {
  slab: Uint8Array = Buffer.allocUnsafeSlow(SLAB_BYTES)
  /** Sockets that can take no more for now. */
  private readonly full: Array<BoundSocket> = []
  /** Those among them that became so since the last `takeFilled`. */
  private filled: Array<BoundSocket> = []
  room = 0
  /** Transmits from an address that has no socket (any more). */
  unroutable = 0
  /** In the order in which they were added. */
  readonly sockets: Array<BoundSocket> = []
  /** Of sockets that were removed. */
  private readonly past = noTraffic()
  private held: Array<HeldSlab> = []
  private readonly spare: Array<Uint8Array> = []
  private lastLocal: Address | undefined = undefined
  private last: BoundSocket | undefined = undefined

  add(socket: BoundSocket): void {
    this.sockets.push(socket)
    this.lastLocal = this.last = undefined
  }

  remove(socket: BoundSocket): void {
    const at = this.sockets.indexOf(socket)
    if (at >= 0) {
      this.sockets.splice(at, 1)
      addTraffic(this.past, socket)
    }
    this.release(socket)
    this.lastLocal = this.last = undefined
  }

  get isAnyFull(): boolean {
    return this.full.length > 0
  }

  isFull(local: Address): boolean {
    if (this.full.length === 0) return false
    const socket = this.route(local)
    return socket !== undefined && this.full.includes(socket)
  }

  /** Sockets that are full, each once: who takes them tells with `release` that they have room again. */
  takeFilled(): ReadonlyArray<BoundSocket> {
    const { filled } = this
    if (filled.length > 0) this.filled = []
    return filled
  }

  release(socket: BoundSocket): void {
    const at = this.full.indexOf(socket)
    if (at < 0) return
    this.full.splice(at, 1)
    this.room++
  }

  send(transmit: Transmit): boolean {
    const socket = this.route(transmit.local)
    if (socket === undefined) {
      this.unroutable++
      return true
    }
    const more = socket.send(transmit)
    if (socket.retained) this.hold(transmit.bytes, socket)
    if (!more && !this.full.includes(socket)) {
      this.full.push(socket)
      this.filled.push(socket)
    }
    return more
  }

  private route(local: Address): BoundSocket | undefined {
    if (local !== this.lastLocal) {
      this.last = this.find(local)
      this.lastLocal = local
    }
    return this.last
  }

  /** What went through all sockets so far. */
  get traffic(): Traffic {
    const all = { ...this.past }
    for (const socket of this.sockets) addTraffic(all, socket)
    return all
  }

  /** The socket bound to this address, or else one that covers it. */
  find(local: Address): BoundSocket | undefined {
    for (const socket of this.sockets) if (sameAddress(socket.local, local)) return socket
    for (const socket of this.sockets) if (socket.covers?.(local) === true) return socket
    return undefined
  }

  private hold(bytes: Uint8Array, socket: BoundSocket): void {
    for (const held of this.held) {
      if (held.slab.buffer !== bytes.buffer) continue
      if (!held.sockets.includes(socket)) held.sockets.push(socket)
      return
    }
    if (this.slab.buffer !== bytes.buffer) return
    this.held.push({ slab: this.slab, sockets: [socket] })
    this.recycle()
    this.slab = this.spare.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES)
  }

  private recycle(): void {
    const still: Array<HeldSlab> = []
    for (const held of this.held) {
      if (held.sockets.some((socket) => socket.retained)) still.push(held)
      else if (this.spare.length < SPARE_SLABS) this.spare.push(held.slab)
    }
    this.held = still
  }
}
