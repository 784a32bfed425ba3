/**
 * Building Initial and Handshake packets: coalesced into one datagram, padded where RFC 9000 section 14.1 wants it, sealed
 * one by one.
 */
import { protect } from "../crypto/HeaderProtection.ts"
import type { LevelKeys } from "../crypto/LevelKeys.ts"
import { makePacketBurst } from "../crypto/PacketBurst.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import { patchLength, PacketType, writeLongHeader } from "../wire/PacketHeader.ts"
import { packetNumberLength } from "../wire/PacketNumber.ts"
import { AEAD_TAG, Level } from "../wire/Protocol.ts"
import { writePadding } from "../wire/FrameWriter.ts"
import type { ConnectionState } from "./ConnectionState.ts"

const MAX_COALESCED = 4
const NO_TOKEN = new Uint8Array(0)

/** One datagram under construction. Reused; all connections share it. */
export class LongDatagram {
  private readonly burst = makePacketBurst(MAX_COALESCED, NO_TOKEN)
  private readonly keys: Array<LevelKeys | undefined> = Array.from({ length: MAX_COALESCED })
  private readonly lengthOffset = new Int32Array(MAX_COALESCED)

  begin(slab: Uint8Array): void {
    this.burst.slab = slab
    this.burst.count = 0
  }

  get count(): number {
    return this.burst.count
  }

  /** Starts a packet at `w.position`; its payload is written with `w`, whose end leaves room for the tag. */
  open(
    w: ByteWriter,
    core: ConnectionState,
    level: Level,
    dcid: Uint8Array,
    scid: Uint8Array,
    packetNumber: number,
    largestAcked: number,
    keys: LevelKeys
  ): void {
    const { burst } = this
    const index = burst.count
    burst.start[index] = w.position
    const pnLength = packetNumberLength(packetNumber, largestAcked)
    const type = level === Level.initial ? PacketType.initial : PacketType.handshake
    this.lengthOffset[index] = writeLongHeader(
      w,
      type,
      core.handshake.version,
      dcid,
      scid,
      level === Level.initial ? core.token : NO_TOKEN,
      pnLength,
      packetNumber
    )
    burst.pnOffset[index] = this.lengthOffset[index]! + 2
    burst.pnLength[index] = pnLength
    burst.packetNumber[index] = packetNumber
    burst.pathId[index] = 0
    this.keys[index] = keys
  }

  /** Ends the packet. Gives its size with the tag. */
  close(w: ByteWriter): number {
    const { burst } = this
    const index = burst.count++
    const short = burst.pnOffset[index]! + 4 - w.position
    if (short > 0) writePadding(w, short)
    w.position += AEAD_TAG
    burst.end[index] = w.position
    return w.position - burst.start[index]!
  }

  /** Makes the datagram at least `size` bytes long, by PADDING frames in its last packet. Gives the bytes added. */
  padTo(w: ByteWriter, size: number): number {
    const { burst } = this
    const last = burst.count - 1
    const missing = burst.start[0]! + size - w.position
    if (missing <= 0) return 0
    w.position -= AEAD_TAG
    writePadding(w, missing)
    w.position += AEAD_TAG
    burst.end[last] = w.position
    return missing
  }

  /** Fills in lengths and seals. Gives where the datagram ends. */
  seal(): number {
    const { burst } = this
    for (let i = 0; i < burst.count; i++) {
      const keys = this.keys[i]!
      patchLength(burst.slab, this.lengthOffset[i]!, burst.end[i]!)
      protect(burst, i, i + 1, keys.write!, keys.headerWrite!)
      this.keys[i] = undefined
    }
    return burst.end[burst.count - 1]!
  }
}
