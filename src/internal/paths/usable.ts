/**
 * Which paths may carry data (draft-21 section 3.3, RFC 9000 section 9.3): the one place that says it. A backup path, one
 * that the application does not rely on, one whose new address is not proven, or one that seems to have failed carries data only while there is no better one. It is
 * existence that counts, not a free window: when every better path is full the packet waits, otherwise a backup would carry
 * whatever the others cannot.
 */
import type { Path } from "./Path.ts"

/** Classes of paths, the best first. */
export const PathClass = {
  available: 0,
  backup: 1,
  /** Not to be relied on, as the application says, and yet it answers. */
  distrusted: 2,
  /** The handshake's path before its address is validated, or one whose peer has moved: data within the 3x limit. */
  unproven: 3,
  failingAvailable: 4,
  failingBackup: 5,
  /** Carries no data. */
  none: 6
} as const

export const pathClass = (path: Path): number => {
  if (!path.open || path.remoteIds.active === undefined) return PathClass.none
  if (!path.validated) return path.id === 0 || path.previous !== undefined ? PathClass.unproven : PathClass.none
  const backup = path.status === "backup" || path.remoteStatus === "backup"
  if (path.distrusted && path.ptoCount === 0) return PathClass.distrusted
  if (path.state === "potentiallyFailed") return backup ? PathClass.failingBackup : PathClass.failingAvailable
  return backup ? PathClass.backup : PathClass.available
}

/** Leaves in `usable` the paths of the best class that there is. */
export const collectUsable = (paths: ReadonlyArray<Path>, usable: Array<Path>): void => {
  usable.length = 0
  let best: number = PathClass.none
  for (const path of paths) {
    const rank = pathClass(path)
    if (rank < best) {
      best = rank
      usable.length = 0
    }
    if (rank === best && rank < PathClass.none) usable.push(path)
  }
}
