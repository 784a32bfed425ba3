/**
 * Datagrams inside a simulated link: pooled records with a reused buffer each, and the ring that queues them.
 */
import type { Address } from "../../internal/wire/Datagram.ts"

const slotSize = 2048

/** One datagram on its way. `C` is whatever its owner must know at the far end (a route, a relay session). */
export interface LinkPacket<C> {
  buffer: Uint8Array
  length: number
  ecn: number
  from: Address
  to: Address
  context: C
  /** Index of the next link of the route. */
  hop: number
  sentAt: number
  /** When it leaves the link that it is in. */
  dueAt: number
}

/** Keeps used packets, so that the steady state allocates nothing. `limit` bounds what is kept, not what can be on its way. */
export class PacketPool<C> {
  private readonly free: Array<LinkPacket<C>> = []
  private readonly limit: number

  constructor(limit = 8192) {
    this.limit = limit
  }

  /** Copies `bytes[start, end)` into a packet. */
  take(bytes: Uint8Array, start: number, end: number, from: Address, to: Address, context: C): LinkPacket<C> {
    const length = end - start
    let packet = this.free.pop()
    if (packet === undefined) {
      const buffer = new Uint8Array(Math.max(length, slotSize))
      packet = { buffer, length, ecn: 0, from, to, context, hop: 0, sentAt: 0, dueAt: 0 }
    } else {
      if (packet.buffer.length < length) packet.buffer = new Uint8Array(length)
      packet.length = length
      packet.from = from
      packet.to = to
      packet.context = context
      packet.hop = 0
    }
    if (length > 0) packet.buffer.set(bytes.subarray(start, end), 0)
    return packet
  }

  give(packet: LinkPacket<C>): void {
    if (this.free.length < this.limit && packet.buffer.length <= slotSize) this.free.push(packet)
  }
}

/** A growing ring of packets. */
export class PacketRing<C> {
  private slots: Array<LinkPacket<C> | undefined> = Array.from({ length: 64 }, () => undefined)
  private head = 0
  count = 0

  /** The packet at a position; 0 is the oldest. The caller stays below `count`. */
  at(position: number): LinkPacket<C> {
    return this.slots[(this.head + position) & (this.slots.length - 1)]!
  }

  push(packet: LinkPacket<C>): void {
    if (this.count === this.slots.length) this.grow()
    this.slots[(this.head + this.count++) & (this.slots.length - 1)] = packet
  }

  /** Takes its place by `dueAt`, behind those that are due at the same time. Quick when that is near the end. */
  insertByDue(packet: LinkPacket<C>): void {
    this.push(packet)
    const mask = this.slots.length - 1
    let position = this.count - 1
    while (position > 0) {
      const before = this.slots[(this.head + position - 1) & mask]!
      if (before.dueAt <= packet.dueAt) break
      this.slots[(this.head + position) & mask] = before
      position--
    }
    this.slots[(this.head + position) & mask] = packet
  }

  shift(): LinkPacket<C> {
    const packet = this.slots[this.head]!
    this.slots[this.head] = undefined
    this.head = (this.head + 1) & (this.slots.length - 1)
    this.count--
    return packet
  }

  private grow(): void {
    const slots: Array<LinkPacket<C> | undefined> = Array.from({ length: this.slots.length * 2 }, () => undefined)
    for (let i = 0; i < this.count; i++) slots[i] = this.at(i)
    this.slots = slots
    this.head = 0
  }
}
