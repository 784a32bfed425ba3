/**
 * The paths of a connection: limits, connection IDs per path, status, abandonment (draft-ietf-quic-multipath-21 sections 3
 * and 4). Without multipath it holds path 0 alone.
 */
import type { PathStatus } from "./Scheduler.ts"
import { Space } from "../recovery/PathRecovery.ts"
import { pathBit } from "../recovery/SentFrames.ts"
import type { Address } from "../wire/Datagram.ts"
import type { Role, Violation } from "../wire/Protocol.ts"
import { isViolation, PathError, TransportError, violation } from "../wire/Protocol.ts"
import { LocalConnectionIds } from "./LocalConnectionIds.ts"
import type { ConnectionIdSource, LocalConnectionId } from "./LocalConnectionIds.ts"
import type { Path } from "./Path.ts"
import type { OpenPathRefusal, PathEvent } from "./PathEvent.ts"
import { PathTotals, pathStats } from "./PathStatistics.ts"
import { PathFrames } from "./PathFrames.ts"
import { RetiredConnectionIds } from "./RetiredConnectionIds.ts"
import { RemoteConnectionIds } from "./RemoteConnectionIds.ts"
import type { ResetTokenObserver } from "./RemoteConnectionIds.ts"

/** Connection IDs that the peer has for a path before it is used: to begin with, and to move once (CID-5). */
const IDS_OF_UNUSED = 2

export interface PathTableContext {
  readonly role: Role
  /** Most paths at a time that this side allows; up to 1 leaves multipath unnegotiated. */
  readonly maxPaths: number
  readonly activeConnectionIdLimit: number
  /** Connection IDs that the peer has for each path in use, as far as its limit allows (CID-8). */
  readonly connectionIds: number
  readonly ids: ConnectionIdSource
  readonly resetTokens: ResetTokenObserver
  readonly makePath: (
    id: number,
    local: Address,
    remote: Address,
    localIds: LocalConnectionIds,
    remoteIds: RemoteConnectionIds
  ) => Path
  readonly emit: (event: PathEvent) => void
}

export class PathTable {
  /** Every path that has state, lowest ID first. */
  all: Array<Path> = []
  /** Both sides sent initial_max_path_id (NEG-2). */
  multipath = false
  /** The peer's address in the handshake. */
  handshakeAddress!: Address
  /** What has to be told to the peer. */
  readonly frames = new PathFrames(this)
  readonly totals = new PathTotals()
  /** Connection IDs of paths that are not in use yet, ours and the peer's. */
  readonly unusedLocal = new Map<number, LocalConnectionIds>()
  readonly unusedRemote = new Map<number, RemoteConnectionIds>()
  /** Path IDs below the highest used one that were never used (CID-7). */
  private holes: Set<number> | undefined = undefined
  private highestUsed = 0
  /** Highest path ID that this side allows, and that the peer allows. */
  localMax: number
  remoteMax = 0
  /** More paths may be possible than when the listener was last told. */
  roomChanged = false
  private readonly context: PathTableContext
  private peerIdLimit = 2
  /** When the connection ends because its only open path was abandoned by the peer and no other came (ABN-8). */
  private strandedUntil = Infinity
  /** IDs of ours that the peer retired and that still lead here. Made when there is one. */
  private retired: RetiredConnectionIds | undefined = undefined
  private earlyStatus: Map<number, { readonly sequence: number; readonly status: PathStatus }> | undefined = undefined

  constructor(context: PathTableContext) {
    this.context = context
    this.localMax = Math.max(0, context.maxPaths - 1)
  }

  /** Value for the transport parameter; undefined: do not offer multipath. */
  get initialMaxPathId(): number | undefined {
    return this.context.maxPaths > 1 ? Math.max(0, this.context.maxPaths - 1) : undefined
  }

  get(id: number): Path | undefined {
    for (const path of this.all) if (path.id === id) return path
    return undefined
  }

  get primary(): Path {
    return this.all[0]!
  }

  /** Path 0, with the IDs of the handshake. */
  openInitial(local: Address, remote: Address, own: LocalConnectionId, peer: Uint8Array | undefined): Path {
    this.handshakeAddress = remote
    const localIds = new LocalConnectionIds(0, this.context.ids)
    localIds.adopt(own)
    const remoteIds = this.newRemoteIds(0)
    if (peer !== undefined) remoteIds.setInitial(peer)
    const path = this.context.makePath(0, local, remote, localIds, remoteIds)
    // One path is what most connections ever have, and an array that grows takes room for a dozen more.
    this.all = [path]
    return path
  }

  /** The peer's limits are known. */
  applyPeerParameters(initialMaxPathId: number | undefined, activeConnectionIdLimit: number): void {
    this.peerIdLimit = activeConnectionIdLimit
    this.multipath = initialMaxPathId !== undefined && this.initialMaxPathId !== undefined
    this.remoteMax = this.multipath ? initialMaxPathId! : 0
  }

  /** Connection IDs that the peer has for each path in use. */
  get idCount(): number {
    return Math.min(this.context.connectionIds, this.peerIdLimit)
  }

  /** The handshake is complete: spare IDs for path 0, and IDs for every path that may be opened (CID-5, CID-6). */
  issueConnectionIds(): void {
    for (const path of this.all) if (path.open) this.fillIds(path)
    if (!this.multipath) return
    const max = Math.min(this.localMax, this.remoteMax)
    for (const id of this.holes ?? []) if (id <= max) this.issueUnused(id)
    for (let id = this.highestUsed + 1; id <= max; id++) this.issueUnused(id)
  }

  /** A packet came to an ID of ours that is newer than those before (RFC 9000 section 5.1.2). */
  onIdUsed(path: Path, sequence: number): void {
    if (path.localIds.onUsed(sequence, this.idCount)) this.frames.idsIssued()
  }

  /** Whether a path ID was used and its state is gone (FRM-3). */
  isDiscarded(id: number): boolean {
    return id <= this.highestUsed && this.get(id) === undefined && this.holes?.has(id) !== true
  }

  /** FRM-2, for every frame that names a path. */
  checkPathId(id: number, frameType: number): Violation | undefined {
    return id > this.localMax
      ? violation(TransportError.protocolViolation, `path ID ${id} is above the limit of ${this.localMax}`, frameType)
      : undefined
  }

  /** Client: opens the lowest unused path ID for which both sides have connection IDs (INI-2, INI-3, CID-7). */
  open(local: Address, remote: Address, status: PathStatus): Path | OpenPathRefusal {
    const refusal = this.refusal
    if (refusal !== undefined) return refusal
    const id = this.nextId
    const path = this.use(id, local, remote, this.unusedLocal.get(id)!, this.unusedRemote.get(id)!)
    path.status = status
    this.frames.statusChanged(path)
    this.fillIds(path)
    this.announce(path, "local")
    return path
  }

  /** Why no path can be opened now, whatever its addresses; the peer is told what is missing. */
  get refusal(): OpenPathRefusal | undefined {
    if (!this.multipath) return "notNegotiated"
    if (this.context.role === "server") return "server"
    const id = this.nextId
    if (id > this.localMax) return "pathLimit"
    if (id > this.remoteMax) {
      this.frames.pathsBlockedAt(this.remoteMax)
      return "pathLimit"
    }
    if (this.unusedRemote.get(id)?.active === undefined || !this.unusedLocal.has(id)) {
      this.frames.idsBlocked(id)
      return "noConnectionIds"
    }
    return undefined
  }

  /** The lowest path ID that was never used. */
  private get nextId(): number {
    let id = this.highestUsed + 1
    for (const hole of this.holes ?? []) if (hole < id) id = hole
    return id
  }

  /** Server: a packet that decrypts arrived on an unused path ID (INI-5). Undefined: not acceptable, ignore it. */
  openFromPeer(id: number, local: Address, remote: Address): Path | undefined {
    if (!this.multipath || this.context.role === "client" || this.isDiscarded(id)) return undefined
    const localIds = this.unusedLocal.get(id)
    if (localIds === undefined) return undefined
    const remoteIds = this.unusedRemote.get(id) ?? this.newRemoteIds(id)
    const path = this.use(id, local, remote, localIds, remoteIds)
    this.fillIds(path)
    this.announce(path, "peer")
    return path
  }

  setStatus(path: Path, status: PathStatus): void {
    path.status = status
    if (this.multipath) this.frames.statusChanged(path)
  }

  /** A path has failed, or is back. */
  stateChanged(path: Path): void {
    if (this.multipath) this.frames.statusChanged(path)
  }

  /**
   * Closes a path from this side (ABN-1, ABN-2). Its unacknowledged data moves to the others at once. A peer that
   * acknowledges the frame and does not answer it within `patience` ms does not keep the path's state here (ABN-7).
   */
  abandon(path: Path, code: number, now: number, patience: number): void {
    if (!path.open) return
    path.abandonPatience = patience
    path.answerBy = now + patience
    this.beginClosing(path, code)
    this.context.emit({ kind: "abandoned", pathId: path.id, initiator: "local", code })
  }

  onPathAbandon(id: number, code: number, now: number, threePto: number): void {
    const path = this.get(id)
    if (path === undefined) {
      // ABN-6: it was never used. The ID is consumed, and the answer says so.
      if (!this.isDiscarded(id) && this.multipath) this.consumeUnused(id, now, threePto)
      return
    }
    if (path.abandonReceived) return
    path.abandonReceived = true
    path.discardAt = now + threePto
    if (!path.open) {
      if (this.hasOpen) path.remoteIds.clear()
      return
    }
    this.beginClosing(path, PathError.noError)
    // ABN-8: the client's application may open another path meanwhile; a server waits shortly for the client to do so.
    if (!this.hasOpen) this.strandedUntil = now + (this.context.role === "client" ? threePto : threePto / 3)
    this.context.emit({ kind: "abandoned", pathId: id, initiator: "peer", code })
  }

  /** Entries held for paths that are not in use, and for frames about them: bounded, whatever comes and goes. */
  get stateSize(): number {
    const numbers = (this.holes?.size ?? 0) + (this.earlyStatus?.size ?? 0) + (this.retired?.size ?? 0)
    return this.unusedLocal.size + this.unusedRemote.size + this.frames.size + numbers
  }

  /** Whether any path is open: not abandoned by either side. */
  get hasOpen(): boolean {
    for (const path of this.all) if (path.open) return true
    return false
  }

  /** Whether any open path leads to an address that is proven. */
  get hasValidated(): boolean {
    for (const path of this.all) if (path.open && path.validated) return true
    return false
  }

  /** When the connection ends for want of a path (ABN-8); Infinity while there is one. */
  get strandedDeadline(): number {
    return this.strandedUntil
  }

  onPathStatus(id: number, sequence: number, status: PathStatus): void {
    const path = this.get(id)
    if (path === undefined) {
      // STA-3: kept until the path is opened. Bounded by our limit of path IDs (FRM-2).
      const early = this.earlyStatus?.get(id)
      if (!this.isDiscarded(id) && (early === undefined || sequence > early.sequence)) {
        this.earlyStatus = (this.earlyStatus ?? new Map()).set(id, { sequence, status })
      }
      return
    }
    // STA-5
    if (sequence <= path.remoteStatusSequence) return
    path.remoteStatusSequence = sequence
    if (path.remoteStatus !== status) {
      path.remoteStatus = status
      this.context.emit({ kind: "remoteStatus", pathId: id, status })
    }
  }

  onMaxPathId(limit: number): void {
    if (limit <= this.remoteMax) return
    this.remoteMax = limit
    this.roomChanged = true
    this.frames.unblocked()
    this.issueConnectionIds()
  }

  onPathsBlocked(limit: number, frameType: number): Violation | undefined {
    if (limit > this.localMax) {
      return violation(
        TransportError.protocolViolation,
        `PATHS_BLOCKED at ${limit}, above the limit of ${this.localMax}`,
        frameType
      )
    }
    return undefined
  }

  onPathCidsBlocked(id: number, nextSequence: number, frameType: number): Violation | undefined {
    if (this.isDiscarded(id)) return undefined
    const ids = this.get(id)?.localIds ?? this.unusedLocal.get(id)
    if (nextSequence > (ids?.next ?? 0)) {
      return violation(
        TransportError.protocolViolation,
        `PATH_CIDS_BLOCKED expects sequence ${nextSequence} of path ${id}, above what was issued`,
        frameType
      )
    }
    return undefined
  }

  onNewConnectionId(
    id: number,
    sequence: number,
    retirePriorTo: number,
    bytes: Uint8Array,
    token: Uint8Array
  ): Violation | undefined {
    if (this.isDiscarded(id)) return undefined
    const path = this.get(id)
    if (path !== undefined && !path.open) return undefined
    let ids = path?.remoteIds ?? this.unusedRemote.get(id)
    if (ids === undefined) {
      ids = this.newRemoteIds(id)
      this.unusedRemote.set(id, ids)
      this.roomChanged = true
    }
    const problem = ids.add(sequence, retirePriorTo, bytes, token)
    if (ids.pendingRetire.length > 0) this.frames.idsRetired()
    this.frames.idsArrived(id)
    return problem
  }

  /** The ID leads here until `until`: what was sent to it before may be on a slower path. */
  onRetireConnectionId(id: number, sequence: number, usedSequence: number, until: number): Violation | undefined {
    if (this.isDiscarded(id)) return undefined
    const path = this.get(id)
    const ids = path?.localIds ?? this.unusedLocal.get(id)
    if (ids === undefined) {
      return violation(TransportError.protocolViolation, `connection ID ${sequence} of path ${id} was never issued`)
    }
    const retired = ids.onRetire(sequence, usedSequence)
    if (retired === undefined) return undefined
    if (isViolation(retired)) return retired
    this.retired ??= new RetiredConnectionIds(this.context.ids)
    this.retired.add(retired, until)
    // CID-13
    if (path === undefined) this.issueUnused(id)
    else if (path.open) {
      this.fillIds(path)
      if (ids.renew(this.idCount)) this.frames.idsIssued()
    }
    return undefined
  }

  /** Moves to a fresh ID of the same path, if there is one (CID-12). */
  rotateRemoteId(path: Path): boolean {
    const rotated = path.remoteIds.rotate()
    if (rotated) this.frames.idsRetired()
    // CID-14
    else if (this.multipath) this.frames.idsBlocked(path.id)
    return rotated
  }

  /** Earliest time at which a closed path's state goes, or the route of a retired ID. */
  nextDiscard(): number {
    let earliest = this.retired?.deadline ?? Infinity
    if (this.all.length === 1) return earliest
    for (const path of this.all) {
      const at = path.abandonReceived ? path.discardAt : path.answerBy
      if (at < earliest) earliest = at
    }
    return earliest
  }

  /** Drops paths whose time is over, and lets the peer open as many more (the limit rises by one for each). */
  discardExpired(now: number, onDiscard: (path: Path) => void): void {
    this.retired?.expire(now)
    for (let i = this.all.length - 1; i >= 0 && this.all.length > 1; i--) {
      const path = this.all[i]!
      if (!path.abandonReceived && path.answerBy <= now) {
        // While the frame has not come through, the peer cannot be blamed.
        if (path.abandonAcked) path.discardAt = now
        else path.answerBy = now + path.abandonPatience
      }
      if (path.discardAt > now) continue
      path.state = "closed"
      path.recovery.abandon(now)
      this.totals.onGone(path)
      onDiscard(path)
      path.recovery.close()
      path.localIds.retireAll()
      path.remoteIds.clear()
      this.all.splice(i, 1)
      this.raiseLimit()
      this.context.emit({
        kind: "closed",
        pathId: path.id,
        stats: pathStats(path, now, this.totals.scheduled(this.all))
      })
    }
  }

  close(): void {
    for (const path of this.all) {
      path.localIds.retireAll()
      path.remoteIds.clear()
    }
    this.retired?.clear()
    for (const ids of this.unusedLocal.values()) ids.retireAll()
    for (const ids of this.unusedRemote.values()) ids.clear()
    this.unusedLocal.clear()
    this.unusedRemote.clear()
  }

  private fillIds(path: Path): void {
    if (path.localIds.fill(this.idCount)) this.frames.idsIssued()
  }

  private issueUnused(id: number): void {
    let ids = this.unusedLocal.get(id)
    if (ids === undefined) {
      ids = new LocalConnectionIds(id, this.context.ids)
      this.unusedLocal.set(id, ids)
    }
    if (ids.fill(Math.min(IDS_OF_UNUSED, this.idCount))) this.frames.idsIssued()
  }

  /** A path came into use: there is a way for everything again. */
  private announce(path: Path, initiator: "local" | "peer"): void {
    if (this.strandedUntil < Infinity) {
      this.strandedUntil = Infinity
      for (const other of this.all) if (!other.open) other.remoteIds.clear()
    }
    this.context.emit({ kind: "opened", pathId: path.id, initiator })
    if (path.remoteStatus !== undefined) {
      this.context.emit({ kind: "remoteStatus", pathId: path.id, status: path.remoteStatus })
    }
  }

  private beginClosing(path: Path, code: number): void {
    path.state = "closing"
    path.abandonCode = code
    this.frames.abandoned(path)
    path.validation.stop()
    path.answers.clear()
    path.probes = 0
    // ABN-2. The IDs of the last path stay: CONNECTION_CLOSE may have to leave on it. And one stays of a path that the peer may
    // be the last to use: it is told there if nothing else gets through.
    if (this.hasOpen) {
      if (path.abandonReceived) path.remoteIds.clear()
      else path.remoteIds.keepActive()
    }
    path.recovery.handOver(Space.application)
    // A peer may have sent the acknowledgements of all paths on this one (ACK-4): what was lost with it, full windows must not
    // keep us from asking for again, nor from saying that the path is closed (RFC 9002 section 7.5).
    for (const other of this.all) {
      if (!other.open || !other.validated || other.recovery.bytesInFlight === 0) continue
      other.probes = Math.max(other.probes, 1)
      other.probeWithData = true
    }
  }

  private newRemoteIds(id: number): RemoteConnectionIds {
    return new RemoteConnectionIds(id, this.context.activeConnectionIdLimit, this.context.resetTokens)
  }

  private use(
    id: number,
    local: Address,
    remote: Address,
    localIds: LocalConnectionIds,
    remoteIds: RemoteConnectionIds
  ): Path {
    this.unusedLocal.delete(id)
    this.unusedRemote.delete(id)
    this.consume(id)
    remoteIds.begin()
    const path = this.context.makePath(id, local, remote, localIds, remoteIds)
    let taken = 0
    for (const other of this.all) taken |= other.bit
    path.bit = pathBit(taken, id)
    let at = this.all.length
    while (at > 0 && this.all[at - 1]!.id > id) at--
    this.all.splice(at, 0, path)
    const early = this.earlyStatus?.get(id)
    if (early !== undefined) {
      this.earlyStatus?.delete(id)
      path.remoteStatus = early.status
      path.remoteStatusSequence = early.sequence
    }
    return path
  }

  private consume(id: number): void {
    for (let hole = this.highestUsed + 1; hole < id; hole++) this.holes = (this.holes ?? new Set()).add(hole)
    this.holes?.delete(id)
    if (id > this.highestUsed) this.highestUsed = id
  }

  /** The peer abandoned an ID that was never used: it gets a short-lived path in the closing state, which answers. */
  private consumeUnused(id: number, now: number, threePto: number): void {
    const localIds = this.unusedLocal.get(id) ?? new LocalConnectionIds(id, this.context.ids)
    const remoteIds = this.unusedRemote.get(id) ?? this.newRemoteIds(id)
    const { local, remote } = this.primary
    const path = this.use(id, local, remote, localIds, remoteIds)
    path.state = "closing"
    path.remoteIds.clear()
    path.abandonCode = PathError.noError
    path.abandonReceived = true
    this.frames.abandoned(path)
    path.discardAt = now + threePto
  }

  private raiseLimit(): void {
    if (!this.multipath) return
    this.localMax++
    this.frames.limitRaised()
    this.issueConnectionIds()
  }
}
