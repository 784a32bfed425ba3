/**
 * What paths have to say to the peer: which of the management frames are to be sent, and again when they were lost
 * (RFC 9000 sections 19.15, 19.16; draft-ietf-quic-multipath-21 section 4).
 */
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import {
  writeMaxPathId,
  writeNewConnectionId,
  writePathAbandon,
  writePathCidsBlocked,
  writePathNewConnectionId,
  writePathRetireConnectionId,
  writePathStatus,
  writePathsBlocked,
  writeRetireConnectionId
} from "../wire/FrameWriter.ts"
import { MAX_CONNECTION_ID, RESET_TOKEN } from "../wire/Protocol.ts"
import type { LocalConnectionIds } from "./LocalConnectionIds.ts"
import type { Path } from "./Path.ts"
import type { RemoteConnectionIds } from "./RemoteConnectionIds.ts"

/** PATH_ABANDON frames of discarded paths that are told again: a peer that acknowledges none of them has no use for more. */
const MAX_LOST_ABANDONS = 64

/** Room that any management frame fits into. */
const LARGEST_FRAME = 4 + 8 + 8 + 8 + 1 + MAX_CONNECTION_ID + RESET_TOKEN

/** The state that the frames tell of; `PathTable` owns it. */
export interface PathRegister {
  readonly all: ReadonlyArray<Path>
  readonly multipath: boolean
  readonly localMax: number
  readonly remoteMax: number
  readonly unusedLocal: ReadonlyMap<number, LocalConnectionIds>
  readonly unusedRemote: ReadonlyMap<number, RemoteConnectionIds>
  readonly get: (id: number) => Path | undefined
  readonly isDiscarded: (id: number) => boolean
}

export class PathFrames {
  /** Something may have to be said. */
  get pending(): boolean {
    return this.due
  }
  private due = false
  private readonly table: PathRegister
  private maxPathIdPending = false
  /** The limit we are blocked at and have not said yet, and the last one that we said; -1: none. */
  private pathsBlocked = -1
  private pathsBlockedTold = -1
  // Made when there is something to hold: most connections have one path.
  private cidsBlocked: Set<number> | undefined = undefined
  /** PATH_ABANDON frames of discarded paths that were lost: error codes by path ID (ABN-10). */
  private lostAbandons: Map<number, number> | undefined = undefined

  constructor(table: PathRegister) {
    this.table = table
  }

  /** Entries held. */
  get size(): number {
    return (this.cidsBlocked?.size ?? 0) + (this.lostAbandons?.size ?? 0)
  }

  /** IDs were issued, or are to be told again: (PATH_)NEW_CONNECTION_ID. */
  idsIssued(): void {
    this.due = true
  }

  /** IDs of the peer were retired: (PATH_)RETIRE_CONNECTION_ID. */
  idsRetired(): void {
    this.due = true
  }

  /** PATH_ABANDON. */
  abandoned(path: Path): void {
    path.abandonPending = this.due = true
  }

  /**
   * PATH_STATUS_AVAILABLE or PATH_STATUS_BACKUP, if it says anything new. A path that has failed is told as backup: the peer,
   * which may have sent nothing on it, would find out by a timeout of its own (STA-8).
   */
  statusChanged(path: Path): void {
    const status = path.state === "potentiallyFailed" ? "backup" : path.status
    if (path.toldStatus === status) return
    path.toldStatus = status
    path.statusSequence++
    path.statusPending = this.due = true
  }

  /** Our limit went up: MAX_PATH_ID. */
  limitRaised(): void {
    this.maxPathIdPending = this.due = true
  }

  /** PATHS_BLOCKED, once for each limit (CID-11, BLK-4). */
  pathsBlockedAt(limit: number): void {
    if (this.pathsBlockedTold >= limit) return
    this.pathsBlocked = this.pathsBlockedTold = limit
    this.due = true
  }

  unblocked(): void {
    this.pathsBlocked = -1
  }

  /** PATH_CIDS_BLOCKED (CID-14). */
  idsBlocked(pathId: number): void {
    this.cidsBlocked = (this.cidsBlocked ?? new Set()).add(pathId)
    this.due = true
  }

  idsArrived(pathId: number): void {
    this.cidsBlocked?.delete(pathId)
  }

  /** Writes what is pending as far as it fits. */
  write(w: ByteWriter, frames: SentFrameList): void {
    if (!this.due) return
    for (const path of this.table.all) {
      if (path.abandonPending) {
        if (w.remaining < LARGEST_FRAME) return
        path.abandonPending = false
        this.writeAbandon(w, frames, path.id, path.abandonCode)
      }
      if (path.statusPending && path.open) {
        if (w.remaining < LARGEST_FRAME) return
        path.statusPending = false
        writePathStatus(w, path.id, path.statusSequence, path.toldStatus === "backup")
        const frame = frames.add(SentFrameKind.pathStatus)
        frame.pathId = path.id
        frame.value = path.statusSequence
      }
      if (!this.writeIds(w, frames, path.id, path.localIds, path.remoteIds)) return
    }
    for (const [id, code] of this.lostAbandons ?? []) {
      if (w.remaining < LARGEST_FRAME) return
      this.lostAbandons?.delete(id)
      this.writeAbandon(w, frames, id, code)
    }
    for (const [id, ids] of this.table.unusedLocal) if (!this.writeIds(w, frames, id, ids, undefined)) return
    for (const [id, ids] of this.table.unusedRemote) if (!this.writeIds(w, frames, id, undefined, ids)) return
    if (this.maxPathIdPending) {
      if (w.remaining < LARGEST_FRAME) return
      this.maxPathIdPending = false
      writeMaxPathId(w, this.table.localMax)
      frames.add(SentFrameKind.maxPathId).value = this.table.localMax
    }
    if (this.pathsBlocked >= 0) {
      if (w.remaining < LARGEST_FRAME) return
      writePathsBlocked(w, this.pathsBlocked)
      frames.add(SentFrameKind.pathsBlocked).value = this.pathsBlocked
      this.pathsBlocked = -1
    }
    for (const id of this.cidsBlocked ?? []) {
      if (w.remaining < LARGEST_FRAME) return
      const next = (this.table.get(id)?.remoteIds ?? this.table.unusedRemote.get(id))?.nextSequence ?? 0
      writePathCidsBlocked(w, id, next)
      const frame = frames.add(SentFrameKind.pathCidsBlocked)
      frame.pathId = id
      frame.value = next
      this.cidsBlocked?.delete(id)
    }
    this.due = false
  }

  onLost(frame: SentFrame): void {
    const path = this.table.get(frame.pathId)
    switch (frame.kind) {
      case SentFrameKind.pathAbandon:
        // ABN-10
        if (path !== undefined) path.abandonPending = !path.abandonAcked
        else this.repeatAbandon(frame)
        this.due = true
        break
      case SentFrameKind.pathStatus:
        // STA-6
        if (path !== undefined && path.open && path.statusSequence === frame.value) path.statusPending = this.due = true
        break
      case SentFrameKind.newConnectionId: {
        const id = (path?.localIds ?? this.table.unusedLocal.get(frame.pathId))?.bySequence(frame.value)
        if (id !== undefined && (path === undefined || path.open)) id.pending = this.due = true
        break
      }
      case SentFrameKind.retireConnectionId:
        if (path !== undefined && path.open) {
          path.remoteIds.onRetireLost(frame.value)
          this.due = true
        } else {
          const ids = this.table.unusedRemote.get(frame.pathId)
          if (ids !== undefined) {
            ids.onRetireLost(frame.value)
            this.due = true
          }
        }
        break
      case SentFrameKind.maxPathId:
        // MPI-3
        if (frame.value === this.table.localMax) this.maxPathIdPending = this.due = true
        break
      case SentFrameKind.pathsBlocked:
        // BLK-4
        if (frame.value === this.table.remoteMax) {
          this.pathsBlocked = frame.value
          this.due = true
        }
        break
      case SentFrameKind.pathCidsBlocked: {
        // BLK-4
        const ids = path?.remoteIds ?? this.table.unusedRemote.get(frame.pathId)
        if (path?.open !== false && !this.table.isDiscarded(frame.pathId) && (ids?.nextSequence ?? 0) === frame.value) {
          this.cidsBlocked = (this.cidsBlocked ?? new Set()).add(frame.pathId)
          this.due = true
        }
        break
      }
    }
  }

  /** What arrived need not be said again, although it was taken for lost before. */
  onAcked(frame: SentFrame): void {
    const path = this.table.get(frame.pathId)
    if (frame.kind === SentFrameKind.retireConnectionId) {
      const ids = path?.remoteIds ?? this.table.unusedRemote.get(frame.pathId)
      ids?.onRetireAcked(frame.value)
    } else if (frame.kind === SentFrameKind.newConnectionId) {
      const id = (path?.localIds ?? this.table.unusedLocal.get(frame.pathId))?.bySequence(frame.value)
      if (id !== undefined) id.pending = false
    } else if (frame.kind === SentFrameKind.pathAbandon && path !== undefined) {
      path.abandonAcked = true
      path.abandonPending = false
    } else if (frame.kind === SentFrameKind.pathStatus && path?.statusSequence === frame.value) {
      path.statusPending = false
    }
  }

  private repeatAbandon(frame: SentFrame): void {
    this.lostAbandons ??= new Map()
    if (this.lostAbandons.size < MAX_LOST_ABANDONS) this.lostAbandons.set(frame.pathId, frame.value)
  }

  writeAbandon(w: ByteWriter, frames: SentFrameList, id: number, code: number): void {
    writePathAbandon(w, id, code)
    const frame = frames.add(SentFrameKind.pathAbandon)
    frame.pathId = id
    frame.value = code
  }

  /** `false`: no room left. */
  private writeIds(
    w: ByteWriter,
    frames: SentFrameList,
    pathId: number,
    localIds: LocalConnectionIds | undefined,
    remoteIds: RemoteConnectionIds | undefined
  ): boolean {
    if (localIds !== undefined) {
      for (const id of localIds.ids) {
        if (!id.pending) continue
        if (w.remaining < LARGEST_FRAME) return false
        id.pending = false
        const retire = localIds.retirePriorTo(id)
        if (this.table.multipath) writePathNewConnectionId(w, pathId, id.sequence, retire, id.bytes, id.resetToken)
        else writeNewConnectionId(w, id.sequence, retire, id.bytes, id.resetToken)
        const frame = frames.add(SentFrameKind.newConnectionId)
        frame.pathId = pathId
        frame.value = id.sequence
      }
    }
    if (remoteIds !== undefined) {
      while (remoteIds.pendingRetire.length > 0) {
        if (w.remaining < LARGEST_FRAME) return false
        const sequence = remoteIds.pendingRetire.pop()!
        if (this.table.multipath) writePathRetireConnectionId(w, pathId, sequence)
        else writeRetireConnectionId(w, sequence)
        const frame = frames.add(SentFrameKind.retireConnectionId)
        frame.pathId = pathId
        frame.value = sequence
      }
    }
    return true
  }
}
