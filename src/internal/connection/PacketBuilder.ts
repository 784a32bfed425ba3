/**
 * 1-RTT packets of one flush: each is built in place in the sink's slab, in the region of its path, and all of them are
 * sealed and handed to the sink together. One object, reused for every packet: `open`, write frames
 * through `writer`, `commit`.
 */
import type { Path } from "../paths/Path.ts"
import type { PathAnswer } from "../paths/PathAnswers.ts"
import type { RemoteConnectionId } from "../paths/RemoteConnectionIds.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import { ByteWriter } from "../wire/Cursor.ts"
import { Ecn, sameAddress } from "../wire/Datagram.ts"
import type { Address, TransmitSink } from "../wire/Datagram.ts"
import { writePadding, writePing } from "../wire/FrameWriter.ts"
import { writeShortHeader } from "../wire/PacketHeader.ts"
import { packetNumberLength } from "../wire/PacketNumber.ts"
import { AEAD_TAG, TransportError, violation } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import { SendBatch } from "./SendBatch.ts"
import { schedulerName } from "./Policies.ts"

/** Room for frames that a packet is worth starting for, header and tag included. */
const MIN_PACKET = 64

const batch = new SendBatch()
const writer = new ByteWriter()

/**
 * Bytes of a packet that a peer without state answers with a stateless reset, whatever the least is that it answers (RFC 9000
 * section 10.3): one more than the longest that is to be answered by a shorter one.
 */
const ANSWERABLE = 44

export class PacketBuilder {
  /** Where the frames of the open packet are written; its end leaves room for the tag. */
  readonly writer = writer
  /** `false`: nothing more may be sealed. */
  ready = true
  /** Something may wait for the full socket of a path. */
  held = false
  /** The open packet goes between other addresses than the path's own (RFC 9000 sections 8.2.2, 9.3.3). */
  elsewhere = false
  /** Bytes that the open packet may take at the most. */
  size = 0
  /** Sends what leaves on other paths, too; undefined if nothing wants that, and for what is a copy itself. */
  duplicator: { readonly onPacketSent: (path: Path, frames: SentFrame | undefined) => void } | undefined = undefined
  private core!: ConnectionState
  private frames!: SentFrameList
  private sink!: TransmitSink
  private now = 0
  private path!: Path
  private local!: Address
  private remote!: Address
  private region = -1
  private packetNumber = 0
  private pnOffset = 0
  private pnLength = 0
  private payload = 0

  /** Starts a flush. Only when the handshake has 1-RTT keys. */
  begin(core: ConnectionState, now: number, sink: TransmitSink): void {
    this.core = core
    this.frames = core.frames
    this.now = now
    this.sink = sink
    this.ready = true
    this.findBlocked()
    batch.begin(sink.slab, this.core.paths.all.length)
  }

  private findBlocked(): void {
    this.held = false
    for (const path of this.core.paths.all) {
      path.blocked = this.sink.isFull(path.local)
      if (path.blocked) this.held = true
    }
  }

  /** Seals and sends what was built. */
  flush(): void {
    if (batch.isEmpty) return
    const keys = this.core.handshake.oneRtt!
    const count = batch.burst.count
    if (!batch.send(this.sink, keys.write, keys.headerWrite)) this.findBlocked()
    keys.sealed(count)
    // RFC 9001 section 6.6: no update was possible for long; the key is used no further than it takes to say so.
    if (keys.limitReached) {
      this.ready = false
      this.core.fail(violation(TransportError.aeadLimitReached, "no more packets may be sealed with this key"))
    }
    batch.begin(this.sink.slab, this.core.paths.all.length)
  }

  /**
   * Starts a packet of up to `size` bytes on a path; what is open then is forgotten. `answer` sends it to where a challenge
   * came from. `false`: nothing may leave there now.
   */
  open(path: Path, size: number, answer?: PathAnswer): boolean {
    const id = answer === undefined ? path.remoteIds.active : path.idFor(answer)
    if (id === undefined) return false
    const remote = answer?.remote ?? path.remote
    this.elsewhere =
      answer !== undefined && !(sameAddress(remote, path.remote) && sameAddress(answer.local, path.local))
    const limit = this.elsewhere ? answer!.limit : path.amplificationBudget()
    const maxSize = limit < size ? limit : size
    if (maxSize < id.bytes.length + MIN_PACKET) return false
    const local = answer?.local ?? path.local
    if (this.isBlocked(path, local)) return false
    if (this.openIn(path, id, maxSize, local, remote)) return true
    this.flush()
    return this.ready && !this.isBlocked(path, local) && this.openIn(path, id, maxSize, local, remote)
  }

  /** Whether the socket of an address is full. If it is not the path's own, the connection comes back for it, too. */
  isBlocked(path: Path, local: Address): boolean {
    if (local === path.local) return path.blocked
    if (!this.sink.isFull(local)) return false
    this.held = true
    return true
  }

  /** The same for the next full packet of a train: `false` if the batch is full. */
  openFull(path: Path): boolean {
    this.elsewhere = false
    return this.openIn(path, path.remoteIds.active!, path.mtu, path.local, path.remote)
  }

  private openIn(path: Path, id: RemoteConnectionId, size: number, local: Address, remote: Address): boolean {
    const region = batch.region(path.id, size)
    if (region < 0) return false
    const { recovery } = path
    this.path = path
    this.local = local
    this.remote = remote
    this.size = size
    this.region = region
    this.packetNumber = recovery.nextPacketNumber(Space.application)
    this.pnLength = packetNumberLength(this.packetNumber, recovery.sent(Space.application)!.largestAcked)
    const start = batch.at(region)
    writer.reset(batch.burst.slab, start, start + size - AEAD_TAG)
    this.pnOffset = writeShortHeader(
      writer,
      id.bytes,
      this.core.handshake.oneRtt!.writePhase,
      0,
      this.pnLength,
      this.packetNumber
    )
    this.payload = writer.position
    return true
  }

  /** Nothing was written into the open packet. */
  get isEmpty(): boolean {
    return writer.position === this.payload
  }

  /** Whether the open packet holds anything beside acknowledgements. */
  get isEliciting(): boolean {
    for (let frame = this.frames.head; frame !== undefined; frame = frame.next) {
      if (frame.kind !== SentFrameKind.ack) return true
    }
    return false
  }

  ping(): void {
    writePing(writer)
    this.frames.add(SentFrameKind.ping)
  }

  /** Fills the open packet with PADDING to its full size. */
  pad(): void {
    if (writer.position < writer.end) writePadding(writer, writer.end - writer.position)
  }

  /** Makes the open packet so long that a peer which has lost its state says so. */
  padToAnswerable(): void {
    const short = batch.at(this.region) + ANSWERABLE - AEAD_TAG - writer.position
    if (short > 0) writePadding(writer, Math.min(short, writer.remaining))
  }

  /** Ends the open packet: it leaves with the next `flush`. */
  commit(ackEliciting: boolean, inFlight: boolean): void {
    const { core, now, path, packetNumber, pnOffset, region } = this
    const { recovery } = path
    // What wants an answer must get one; few bytes beside what else is in such a packet.
    if (ackEliciting) this.padToAnswerable()
    // Header protection samples four bytes behind the packet number's start (RFC 9001 section 5.4.2).
    const short = pnOffset + 4 - writer.position
    if (short > 0) writePadding(writer, short)
    const start = batch.at(region)
    const end = writer.position + AEAD_TAG
    const marked = inFlight && recovery.ecn.marks
    const frames = this.frames.detach()
    for (let frame = frames; frame !== undefined; frame = frame.next) {
      if (frame.kind !== SentFrameKind.stream) continue
      path.streamBytesSent += frame.length
      path.bytesRetransmitted += frame.value
    }
    if (this.duplicator !== undefined) this.duplicator.onPacketSent(path, frames)
    core.handshake.oneRtt!.onPacketSent(path.id, packetNumber)
    const ecn = marked ? Ecn.ect0 : Ecn.notEct
    batch.add(region, path.id, packetNumber, pnOffset, this.pnLength, end, this.local, this.remote, ecn)
    recovery.onPacketSent(Space.application, packetNumber, now, end - start, ackEliciting, inFlight, marked, frames)
    if (!this.elsewhere) path.onDatagramSent(end - start, now)
    if (ackEliciting && !core.elicitedSinceReceive) {
      core.elicitedSinceReceive = true
      core.idleSince = now
    }
    const given: unknown = core.scheduler.onPacketSent?.(path, end - start)
    if (given !== undefined) core.mistakes.answerOfScheduler(schedulerName(core.scheduler), "onPacketSent", given)
    if (core.observers !== undefined) core.observers.packetSent(path, end - start, now)
  }
}
