/**
 * What is sent on more than one path: duplicates, which leave at once, and reinjections, for what is late. Each copy is a packet
 * of its own in the packet number space of its path, the receiver drops what it has by offset, and credit is spent once.
 *
 * Nothing is lost on the way: a record in a queue ends in a packet, or goes back to its owner, who repairs it as if it were lost.
 */
import type { Path } from "../paths/Path.ts"
import { collectUsable } from "../paths/usable.ts"
import type { CopyQueue } from "../recovery/CopyQueue.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import type { CryptoStream } from "../streams/CryptoStream.ts"
import type { Stream } from "../streams/Stream.ts"
import { varintLength } from "../wire/Cursor.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import { writeDatagramHeader } from "../wire/FrameWriter.ts"
import type { ConnectionState } from "./ConnectionState.ts"

export class CopyQueues {
  /** The paths that may carry copies: as for all data, the best class that there is. */
  readonly usable: Array<Path> = []
  private readonly core: ConnectionState

  constructor(core: ConnectionState) {
    this.core = core
  }

  /** Paths may have changed: what waits for one that carries nothing any more is repaired. */
  refresh(): void {
    const { usable } = this
    collectUsable(this.core.paths.all, usable)
    for (const path of this.core.paths.all) {
      if (path.hasCopies && !usable.includes(path)) {
        this.giveBack(path.duplicates)
        this.giveBack(path.reinjections)
      }
    }
  }

  /** A path that may carry the record, and has none of it under way. */
  mayCarry(path: Path, frame: SentFrame, paths: number): boolean {
    if ((paths & path.bit) !== 0) return false
    if (frame.kind !== SentFrameKind.stream) return true
    const bound = (frame.owner as Stream).paths
    return bound === undefined || bound.includes(path.id)
  }

  /** Puts a copy of the record into a queue; `paths`: where the same is under way already. */
  enqueue(queue: CopyQueue, frame: SentFrame, target: Path, paths: number): SentFrame {
    const copy = this.core.pool.clone(frame)
    copy.paths = paths | target.bit
    queue.push(copy)
    return copy
  }

  /** Fills the packet with what waits. */
  write(queue: CopyQueue, w: ByteWriter, frames: SentFrameList): void {
    while (queue.head !== undefined && this.writeOne(w, frames, queue.head)) queue.shift(this.core.pool)
  }

  /** A packet of the path is about to leave with these copies. */
  count(path: Path, queue: CopyQueue, list: SentFrame | undefined): void {
    let bytes = 0
    for (let frame = list; frame !== undefined; frame = frame.next) bytes += frame.length
    if (queue === path.duplicates) {
      path.packetsDuplicated++
      path.bytesDuplicated += bytes
    } else {
      path.packetsReinjected++
      path.bytesReinjected += bytes
    }
  }

  /** The first one fits no packet of the path. */
  giveBackFirst(queue: CopyQueue): void {
    if (queue.head === undefined) return
    this.repair(queue.head)
    queue.shift(this.core.pool)
  }

  private giveBack(queue: CopyQueue | undefined): void {
    for (let left = queue?.count ?? 0; left > 0; left--) this.giveBackFirst(queue!)
  }

  /** Its owner sends it again on any path. */
  private repair(frame: SentFrame): void {
    if (frame.covered) return
    if (frame.kind === SentFrameKind.crypto) (frame.owner as CryptoStream).onFrameLost(frame)
    else if (frame.kind !== SentFrameKind.datagram) this.core.streams.onFrameLost(frame)
  }

  /** True when nothing of it is left to write. */
  private writeOne(w: ByteWriter, frames: SentFrameList, frame: SentFrame): boolean {
    if (frame.kind === SentFrameKind.crypto) return (frame.owner as CryptoStream).writeCopy(w, frames, frame)
    if (frame.kind !== SentFrameKind.datagram) return this.core.streams.writeCopy(w, frames, frame)
    const bytes = frame.owner as Uint8Array
    if (w.remaining < 1 + varintLength(bytes.length) + bytes.length) return false
    writeDatagramHeader(w, bytes.length, true)
    w.copy(bytes)
    frames.add(SentFrameKind.datagram).length = bytes.length
    return true
  }
}
