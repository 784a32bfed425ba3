/**
 * The connection IDs of a path that moves: packets between each pair of addresses have one of their own, both ways (RFC 9000
 * section 9.5), and neither side runs out of them unnoticed.
 */
import type { Address } from "../wire/Datagram.ts"
import type { Path } from "./Path.ts"
import type { PathTable } from "./PathTable.ts"

type Table = Pick<PathTable, "frames" | "idCount" | "multipath" | "rotateRemoteId">

const noteRetired = (table: Table, path: Path): void => {
  if (path.remoteIds.pendingRetire.length > 0) table.frames.idsRetired()
}

/** CID-14. */
const noteBlocked = (table: Table, path: Path): void => {
  if (table.multipath) table.frames.idsBlocked(path.id)
}

/** Client: whether both sides have a connection ID for packets between the path's new addresses. */
export const mayMove = (table: Table, path: Path, local: Address): boolean => {
  const { localIds, remote, remoteIds } = path
  // What an acknowledgement since the last move shows is what the peer has used.
  if (path.recovery.deliveredAt > path.movedAt) localIds.settled()
  if (remoteIds.isKept(local, remote) || (remoteIds.hasFor(local, remote) && localIds.hasSpare)) return true
  noteBlocked(table, path)
  return false
}

/**
 * The path moves on purpose: it takes the ID of its new addresses, or a fresh one, and the old one is kept for the old ones.
 * Before its addresses change.
 */
export const moveRemoteId = (table: Table, path: Path, local: Address, remote: Address): void => {
  // An empty ID is for all addresses.
  if (path.remoteIds.active?.bytes.length === 0) return
  path.remoteIds.move(path, local, remote)
  noteRetired(table, path)
  if (path.remoteIds.active === undefined) noteBlocked(table, path)
}

/** Client: the path moves by our own wish. The peer takes another ID for where it has not been yet. */
export const moveLocal = (table: Table, path: Path, local: Address, now: number): void => {
  path.movedAt = now
  const known = path.remoteIds.isKept(local, path.remote)
  if (!known && path.localIds.onMove(table.idCount)) table.frames.idsIssued()
  moveRemoteId(table, path, local, path.remote)
  path.local = local
}

/** Client: nothing is heard since the path moved. The peer may have no ID to answer under. */
export const replaceLocalIds = (table: Table, path: Path, now: number): void => {
  path.replacedAt = now
  if (path.localIds.replaceAll(table.idCount)) table.frames.idsIssued()
}

/** The path's addresses are proven: the IDs of others are given back, and it has one that no others had. */
export const leaveRemoteId = (table: Table, path: Path): void => {
  if (path.remoteIds.isAway) releaseRemoteIds(table, path)
  else table.rotateRemoteId(path)
}

/** The IDs of other addresses are given back, if there are any. */
export const releaseRemoteIds = (table: Table, path: Path): void => {
  path.remoteIds.release()
  noteRetired(table, path)
}

/** The path returns to the addresses before. Before its addresses change. */
export const restoreRemoteId = (table: Table, path: Path, local: Address, remote: Address): void => {
  path.remoteIds.restore(path, local, remote)
  noteRetired(table, path)
}
