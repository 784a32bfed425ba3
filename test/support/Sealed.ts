/** What a node seals, packet by packet, before it is encrypted: key, nonce, number space and frames. */
import { nodeProtection } from "../../src/internal/crypto/NodeProtection.ts"
import type { PacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import type { PacketProtection } from "../../src/internal/crypto/Protection.ts"
import { FrameReader } from "../../src/internal/wire/FrameReader.ts"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { AEAD_TAG, Level } from "../../src/internal/wire/Protocol.ts"

export interface SealedFrame {
  readonly type: number
  /** Of a frame that names a path. */
  readonly pathId: number
  /** Of STREAM. */
  readonly streamId: number
  readonly offset: number
  readonly length: number
  /** Largest number that an acknowledgement acknowledges. */
  readonly largest: number
}

export interface SealedPacket {
  readonly pathId: number
  readonly packetNumber: number
  /** Key, IV and number together: what must never come twice (RFC 9001 section 5.3). */
  readonly nonce: string
  readonly keyPhase: number
  readonly bytes: number
  readonly frames: ReadonlyArray<SealedFrame>
}

const LONG_HEADER = 0x80
const KEY_PHASE = 0x04

/** The nonce as the draft has it, worked out anew: the IV xor path ID (32 bits), 2 zero bits, packet number (62 bits). */
const nonceOf = (iv: Uint8Array, pathId: number, packetNumber: number): string => {
  const own = BigInt(`0x${Buffer.from(iv).toString("hex")}`)
  return (own ^ ((BigInt(pathId) << 64n) | BigInt(packetNumber))).toString(16)
}

export class Sealed {
  /** 1-RTT packets in the order in which they were sealed. */
  readonly packets: Array<SealedPacket> = []
  /** Nonces that were used before. */
  readonly repeated: Array<string> = []
  readonly protection: PacketProtection
  private readonly nonces = new Set<string>()
  private readonly reader = new FrameReader()

  constructor(inner: PacketProtection = nodeProtection) {
    this.protection = {
      ...inner,
      packetKey: (algorithm, key, iv) => {
        const own = inner.packetKey(algorithm, key, iv)
        const name = Buffer.from(key).toString("hex")
        const ownIv = iv.slice()
        return {
          seal: (burst, from, to) => {
            for (let i = from; i < to; i++) this.note(burst, i, name, ownIv)
            own.seal(burst, from, to)
          },
          open: (burst, index) => own.open(burst, index),
          close: () => own.close()
        }
      }
    }
  }

  /** Packets with a frame of one of these types. */
  with(...types: ReadonlyArray<number>): ReadonlyArray<SealedPacket> {
    return this.packets.filter(({ frames }) => frames.some(({ type }) => types.includes(type)))
  }

  private note(burst: PacketBurst, i: number, key: string, iv: Uint8Array): void {
    const pathId = burst.pathId[i]!
    const packetNumber = burst.packetNumber[i]!
    const nonce = `${key} ${nonceOf(iv, pathId, packetNumber)}`
    if (this.nonces.has(nonce)) this.repeated.push(nonce)
    this.nonces.add(nonce)
    const first = burst.slab[burst.start[i]!]!
    if ((first & LONG_HEADER) !== 0) return
    this.packets.push({
      pathId,
      packetNumber,
      nonce,
      keyPhase: (first & KEY_PHASE) === 0 ? 0 : 1,
      bytes: burst.end[i]! - burst.start[i]!,
      frames: this.framesOf(burst, i)
    })
  }

  private framesOf(burst: PacketBurst, i: number): ReadonlyArray<SealedFrame> {
    const { reader } = this
    const frames: Array<SealedFrame> = []
    reader.reset(burst.slab, burst.pnOffset[i]! + burst.pnLength[i]!, burst.end[i]! - AEAD_TAG, Level.oneRtt, true)
    for (let type = reader.next(); type >= 0; type = reader.next()) {
      const stream = type >= FrameType.stream && type < FrameType.maxData
      const ack = type === FrameType.ack || type === FrameType.ackEcn || (type & ~1) === FrameType.pathAck
      frames.push({
        type: stream ? FrameType.stream : type,
        pathId: reader.pathId,
        streamId: stream ? reader.streamId : -1,
        offset: stream ? reader.offset : 0,
        length: stream ? reader.dataLength : 0,
        largest: ack ? reader.largest : -1
      })
    }
    return frames
  }
}
