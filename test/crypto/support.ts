import { makePacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import type { PacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import { AEAD_TAG } from "../../src/internal/wire/Protocol.ts"

export const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))
export const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex")

/** A seeded generator (mulberry32) of whole numbers below `bound`. */
export const makeRandom = (seed: number): ((bound: number) => number) => {
  let state = seed | 0
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * bound)
  }
}

export interface PlainPacket {
  /** Up to and including the packet number. */
  readonly header: Uint8Array
  readonly pnLength: number
  readonly payload: Uint8Array
  readonly pathId: number
  readonly packetNumber: number
}

/** Packets as a machine builds them: one after the other in a slab, with room for the tags. */
export const layOut = (packets: ReadonlyArray<PlainPacket>, gap = 0): PacketBurst => {
  let size = 0
  for (const packet of packets) size += packet.header.length + packet.payload.length + AEAD_TAG + gap
  const burst = makePacketBurst(packets.length, new Uint8Array(size))
  let at = 0
  packets.forEach((packet, i) => {
    burst.start[i] = at
    burst.slab.set(packet.header, at)
    at += packet.header.length
    burst.pnOffset[i] = at - packet.pnLength
    burst.pnLength[i] = packet.pnLength
    burst.slab.set(packet.payload, at)
    at += packet.payload.length + AEAD_TAG
    burst.end[i] = at
    at += gap
    burst.pathId[i] = packet.pathId
    burst.packetNumber[i] = packet.packetNumber
  })
  burst.count = packets.length
  return burst
}

/** One packet as it arrives. */
export const received = (packet: Uint8Array, pnOffset: number, pathId = 0): PacketBurst => {
  const burst = makePacketBurst(1, packet.slice())
  burst.count = 1
  burst.pnOffset[0] = pnOffset
  burst.end[0] = packet.length
  burst.pathId[0] = pathId
  return burst
}
