/**
 * The receiving half of a connection: from datagrams to frames. Short-header packets of a burst lose their header
 * protection together, in one call for all of them.
 */
import { unprotectHeaders } from "../crypto/HeaderProtection.ts"
import { OpenResult } from "../crypto/KeyPhases.ts"
import { makePacketBurst } from "../crypto/PacketBurst.ts"
import type { LocalConnectionId } from "../paths/LocalConnectionIds.ts"
import { spaceOfLevel } from "../paths/Path.ts"
import type { Path } from "../paths/Path.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { DatagramBurst } from "../wire/Datagram.ts"
import { FIXED_BIT, HeaderResult, KEY_PHASE_BIT, LONG_HEADER, PacketHeader, PacketType } from "../wire/PacketHeader.ts"
import { decodePacketNumber } from "../wire/PacketNumber.ts"
import { AEAD_TAG, Level, MIN_INITIAL_DATAGRAM, TransportError, violation } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { Frames } from "./Frames.ts"

/** Packets of one burst that are looked at together. */
const BATCH = 128
/** Datagrams kept until their keys are there, and their bytes: anybody can send them. */
const MAX_UNDECRYPTABLE = 16
const MAX_UNDECRYPTABLE_BYTES = 24_576
const RESERVED_LONG = 0x0c
const RESERVED_SHORT = 0x18

// Shared by all connections: a burst is worked off before the next connection has its turn.
const batch = makePacketBurst(BATCH, new Uint8Array(0))
/** Datagram in the burst that each packet of the batch came in, and the connection ID it was sent to. */
const batchDatagram = new Int32Array(BATCH)
const batchId: Array<LocalConnectionId | undefined> = Array.from({ length: BATCH })
const header = new PacketHeader()

const sameBytes = (id: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean => {
  if (id.length !== length) return false
  for (let i = 0; i < length; i++) if (id[i] !== bytes[start + i]) return false
  return true
}

const sameRange = (bytes: Uint8Array, a: number, aLength: number, b: number, bLength: number): boolean => {
  if (aLength !== bLength) return false
  for (let i = 0; i < aLength; i++) if (bytes[a + i] !== bytes[b + i]) return false
  return true
}

export interface ReceiverEvents {
  /** The newest packet, and not a mere probe, came from another address than the path's (RFC 9000 section 9.3). */
  readonly onAddressChange: (path: Path, burst: DatagramBurst, datagram: number, sequence: number, now: number) => void
  /** Server: the first packet of an unused path ID. */
  readonly onNewPath: (pathId: number, burst: DatagramBurst, datagram: number, now: number) => Path | undefined
  readonly onHandshakePacket: (now: number) => void
  /** Client: packets wait for the keys that the server's first one would bring. */
  readonly onKeysMissing: () => void
  /** Something arrived on a path on which probes are not acknowledged, or which is closed on this side. */
  readonly onSilentPathHeard: (path: Path, now: number) => void
  readonly onRetry: (burst: DatagramBurst, datagram: number, header: PacketHeader, now: number) => void
  readonly onVersionNegotiation: (burst: DatagramBurst, header: PacketHeader, now: number) => void
  /** The first authentic packet: its source connection ID is the one to use (RFC 9000 section 7.2). */
  readonly onPeerConnectionId: (bytes: Uint8Array) => void
  /** The peer's packets have moved on to the next keys, by its own wish (`initiated`) or in answer to our update. */
  readonly onKeyUpdate: (now: number, initiated: boolean) => void
}

export class Receiver {
  private readonly core: ConnectionState
  private readonly frames: Frames
  private readonly events: ReceiverEvents
  private readonly undecryptable: Array<{ readonly burst: DatagramBurst; readonly id: LocalConnectionId | undefined }> =
    []
  private readonly localIdLength: number
  private count = 0
  private burst!: DatagramBurst
  /** Datagram whose bytes were counted with an earlier packet of it, authentic or not; -1: none. */
  private counted = -1
  private credited = -1
  /** Source connection ID of the peer's long headers. */
  private peerId: Uint8Array | undefined = undefined

  constructor(core: ConnectionState, frames: Frames, events: ReceiverEvents, localIdLength: number) {
    this.core = core
    this.frames = frames
    this.events = events
    this.localIdLength = localIdLength
  }

  /** Works off datagrams `indexes[0..count)` of the burst; `ids[i]` is the connection ID of datagram `indexes[i]`. */
  receive(
    burst: DatagramBurst,
    indexes: Int32Array,
    ids: ReadonlyArray<LocalConnectionId | undefined>,
    count: number,
    now: number
  ): void {
    this.burst = burst
    this.count = 0
    this.counted = this.credited = -1
    for (let i = 0; i < count; i++) {
      const datagram = indexes[i]!
      const start = burst.offset[datagram]!
      const end = start + burst.length[datagram]!
      if ((burst.slab[start]! & LONG_HEADER) === 0) {
        this.addShort(datagram, start, end, ids[i], now)
      } else {
        this.flush(now)
        this.coalesced(datagram, start, end, ids[i], now)
      }
      if (!this.core.open) break
    }
    this.flush(now)
    this.replay(now)
  }

  /** Drops what waits for keys that will not come. */
  close(): void {
    this.undecryptable.length = 0
  }

  /** Whatever a datagram holds, its bytes count for what may be sent to where it came from (RFC 9000 section 8.1). */
  private credit(datagram: number, path: Path | undefined): void {
    if (path === undefined || path.validated || this.credited === datagram) return
    if (!sameAddress(path.remote, this.burst.remote[datagram]!)) return
    this.credited = datagram
    path.onUnvalidatedBytes(this.burst.length[datagram]!)
  }

  private addShort(datagram: number, start: number, end: number, id: LocalConnectionId | undefined, now: number): void {
    const { core } = this
    if (core.handshake.oneRtt === undefined) {
      this.credit(datagram, core.paths.get(0))
      this.keep(datagram, start, id)
      return
    }
    const pnOffset = start + 1 + this.localIdLength
    // RFC 9000 section 17.3.1: a fixed bit of 0 is for those who said that they take it (RFC 9287).
    if (id === undefined || pnOffset + 4 + AEAD_TAG > end || (this.burst.slab[start]! & FIXED_BIT) === 0) {
      this.credit(datagram, core.paths.get(id?.pathId ?? 0))
      core.packetsDropped++
      return
    }
    const at = this.count++
    batch.start[at] = start
    batch.pnOffset[at] = pnOffset
    batch.end[at] = end
    batch.pathId[at] = id.pathId
    batchDatagram[at] = datagram
    batchId[at] = id
    if (this.count === BATCH) this.flush(now)
  }

  private flush(now: number): void {
    const count = this.count
    this.count = 0
    const keys = this.core.handshake.oneRtt
    if (count === 0 || keys === undefined || !this.core.open) return
    batch.slab = this.burst.slab
    unprotectHeaders(batch, 0, count, keys.headerRead!)
    for (let i = 0; i < count && this.core.open; i++) this.openShort(i, now)
  }

  private openShort(at: number, now: number): void {
    const { core, burst } = this
    const keys = core.handshake.oneRtt!
    const id = batchId[at]!
    const datagram = batchDatagram[at]!
    let path = core.paths.get(id.pathId)
    const local = burst.local[datagram]!
    const remote = burst.remote[datagram]!
    this.credit(datagram, path)
    if (path !== undefined && core.role === "client" && !sameAddress(remote, path.remote)) {
      // RFC 9000 section 9: a server does not move, whatever its peer address now says.
      core.packetsDropped++
      return
    }
    if (path === undefined && core.paths.isDiscarded(id.pathId)) {
      // An ID that is routed for a while after it was retired. What is kept of a path's keys is gone, and must not come back.
      core.packetsDropped++
      return
    }
    let received = path?.recovery.received(Space.application)
    const largest = received === undefined ? -1 : received.largest
    const pnLength = batch.pnLength[at]!
    const packetNumber = decodePacketNumber(batch.packetNumber[at]!, pnLength, largest)
    batch.packetNumber[at] = packetNumber
    if (received !== undefined && received.isDuplicate(packetNumber)) {
      core.packetsDropped++
      return
    }
    const first = burst.slab[batch.start[at]!]!
    const result = keys.open(batch, at, (first & KEY_PHASE_BIT) === 0 ? 0 : 1, now)
    if (result <= 0) {
      core.packetsDropped++
      if (result === OpenResult.violation) core.fail(violation(TransportError.keyUpdate, "key phase out of order"))
      else if (keys.limitReached)
        core.fail(violation(TransportError.aeadLimitReached, "too many packets failed to open"))
      return
    }
    if (result !== OpenResult.opened) this.events.onKeyUpdate(now, result === OpenResult.peerUpdate)
    if ((first & RESERVED_SHORT) !== 0) {
      core.fail(violation(TransportError.protocolViolation, "reserved bits are set"))
      return
    }
    if (path === undefined) {
      path = this.events.onNewPath(id.pathId, burst, datagram, now)
      if (path === undefined) {
        core.packetsDropped++
        return
      }
      received = path.recovery.received(Space.application)
      this.credit(datagram, path)
    }
    if (id.sequence > path.localIds.newestUsed) core.paths.onIdUsed(path, id.sequence)
    const length = burst.length[datagram]!
    const moved = !sameAddress(remote, path.remote) || !sameAddress(local, path.local)
    if (datagram !== this.counted) path.onDatagramReceived(length)
    this.frames.datagramLength = length
    this.accept(path, now)
    if (
      !this.frames.process(
        burst.slab,
        batch.pnOffset[at]! + pnLength,
        batch.end[at]! - AEAD_TAG,
        Level.oneRtt,
        path,
        local,
        remote,
        id.sequence,
        keys.openedGeneration,
        now
      )
    ) {
      return
    }
    const newest = packetNumber > received!.largest
    received!.onReceived(packetNumber, this.frames.ackEliciting, now, burst.ecn[datagram]!)
    if (!newest) return
    if (!moved) path.peerSequence = id.sequence
    else if (!this.frames.probing) this.events.onAddressChange(path, burst, datagram, id.sequence, now)
  }

  /** A datagram that starts with a long header: its packets one by one (RFC 9000 section 12.2). */
  private coalesced(datagram: number, from: number, end: number, id: LocalConnectionId | undefined, now: number): void {
    const { core, burst } = this
    const { slab } = burst
    if (core.role === "client" && !sameAddress(burst.remote[datagram]!, core.paths.primary.remote)) {
      // RFC 9000 section 9: only the address that was asked may answer.
      core.packetsDropped++
      return
    }
    let start = from
    let firstId = -1
    let firstIdLength = 0
    this.counted = -1
    this.credit(datagram, core.paths.primary)
    while (start < end && core.open) {
      const result = header.parse(slab, start, end, this.localIdLength)
      if (result !== HeaderResult.ok) {
        core.packetsDropped++
        return
      }
      const packetEnd = header.end
      if (firstId < 0) {
        firstId = header.dcidStart
        firstIdLength = header.dcidLength
      } else if (!sameRange(slab, firstId, firstIdLength, header.dcidStart, header.dcidLength)) {
        // RFC 9000 section 12.2: the packets of a datagram are for one connection.
        core.packetsDropped++
        start = packetEnd
        continue
      }
      if (!header.isLong) {
        this.addShort(datagram, start, end, id, now)
        this.flush(now)
        return
      }
      if (header.packetType === PacketType.versionNegotiation) {
        this.events.onVersionNegotiation(burst, header, now)
        return
      }
      if (header.packetType === PacketType.retry) {
        this.events.onRetry(burst, datagram, header, now)
        return
      }
      if (header.version !== core.handshake.version) {
        core.packetsDropped++
      } else if (this.openLong(datagram, start, id, now) && this.counted < 0) {
        this.counted = datagram
        core.paths.primary.onDatagramReceived(end - from)
      }
      start = packetEnd
    }
  }

  /** `true`: the packet was authentic. Reads the shared `header`. */
  private openLong(datagram: number, start: number, id: LocalConnectionId | undefined, now: number): boolean {
    const { core, burst } = this
    const { level, pnOffset, end } = header
    const keys =
      level === Level.initial
        ? core.handshake.initial
        : level === Level.handshake
          ? core.handshake.handshake
          : undefined
    const path = core.paths.primary
    const received = path.recovery.received(spaceOfLevel(level))
    if (keys?.read === undefined || path.recovery.sent(spaceOfLevel(level)) === undefined) {
      // Handshake packets may be ahead of the keys; Initial keys are discarded, and 0-RTT is not accepted here.
      if (level === Level.handshake && core.handshake.oneRtt === undefined) this.keep(datagram, start, id)
      else core.packetsDropped++
      return false
    }
    // RFC 9000 section 14.1: the size of the datagram is what makes a stranger worth an answer.
    if (core.role === "server" && level === Level.initial && burst.length[datagram]! < MIN_INITIAL_DATAGRAM) {
      core.packetsDropped++
      return false
    }
    // RFC 9000 section 7.2: a peer keeps to the ID that it chose.
    if (this.peerId !== undefined && !sameBytes(this.peerId, burst.slab, header.scidStart, header.scidLength)) {
      core.packetsDropped++
      return false
    }
    batch.slab = burst.slab
    batch.start[0] = start
    batch.pnOffset[0] = pnOffset
    batch.end[0] = end
    batch.pathId[0] = 0
    unprotectHeaders(batch, 0, 1, keys.headerRead!)
    const pnLength = batch.pnLength[0]!
    const packetNumber = decodePacketNumber(batch.packetNumber[0]!, pnLength, received.largest)
    batch.packetNumber[0] = packetNumber
    if (received.isDuplicate(packetNumber) || !keys.read.open(batch, 0)) {
      core.packetsDropped++
      return false
    }
    if ((burst.slab[start]! & RESERVED_LONG) !== 0) {
      core.fail(violation(TransportError.protocolViolation, "reserved bits are set"))
      return true
    }
    if (this.peerId === undefined) {
      this.peerId = burst.slab.slice(header.scidStart, header.scidStart + header.scidLength)
      this.events.onPeerConnectionId(this.peerId)
    }
    this.accept(path, now)
    if (level === Level.handshake) this.events.onHandshakePacket(now)
    if (
      this.frames.process(
        burst.slab,
        pnOffset + pnLength,
        end - AEAD_TAG,
        level,
        path,
        burst.local[datagram]!,
        burst.remote[datagram]!,
        id?.sequence ?? -1,
        0,
        now
      )
    ) {
      // The space may be gone: the frames can have completed the handshake.
      path.recovery
        .received(spaceOfLevel(level))
        .onReceived(packetNumber, this.frames.ackEliciting, now, burst.ecn[datagram]!)
    }
    return true
  }

  private accept(path: Path, now: number): void {
    const { core } = this
    core.packetsReceived++
    core.idleSince = now
    path.packetsReceived++
    path.lastReceived = now
    if (path.ptoCount > 0 || !path.open) this.events.onSilentPathHeard(path, now)
  }

  /** Copies a datagram from the packet at `start` on, to be tried again. */
  private keep(datagram: number, start: number, id: LocalConnectionId | undefined): void {
    const { burst, undecryptable } = this
    const end = burst.offset[datagram]! + burst.length[datagram]!
    const kept = undecryptable.reduce((sum, one) => sum + one.burst.slab.length, end - start)
    if (undecryptable.length >= MAX_UNDECRYPTABLE || kept > MAX_UNDECRYPTABLE_BYTES) {
      this.core.packetsDropped++
      return
    }
    const bytes = burst.slab.slice(start, end)
    const single: DatagramBurst = {
      slab: bytes,
      count: 1,
      offset: new Int32Array(1),
      length: Int32Array.of(bytes.length),
      ecn: Uint8Array.of(burst.ecn[datagram]!),
      local: [burst.local[datagram]!],
      remote: [burst.remote[datagram]!]
    }
    undecryptable.push({ burst: single, id })
  }

  /** Tries again what came before its keys. */
  private replay(now: number): void {
    const { core, undecryptable } = this
    if (undecryptable.length === 0 || !core.open) return
    if (core.handshake.handshake === undefined && core.handshake.oneRtt === undefined) {
      if (core.role === "client") this.events.onKeysMissing()
      return
    }
    const waiting = undecryptable.splice(0)
    for (const { burst, id } of waiting) {
      if (!core.open) return
      this.burst = burst
      this.counted = -1
      this.credited = 0
      if ((burst.slab[0]! & LONG_HEADER) === 0) {
        this.addShort(0, 0, burst.length[0]!, id, now)
        this.flush(now)
      } else {
        this.coalesced(0, 0, burst.length[0]!, id, now)
      }
    }
  }
}
