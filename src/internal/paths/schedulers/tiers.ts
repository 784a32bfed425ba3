/**
 * Which paths may be chosen at all (draft-ietf-quic-multipath-21 section 3.3): a backup path, or one that seems to have
 * failed, carries data only while no better path exists. It is existence that counts, not a free window: when every
 * better path is full the packet waits, otherwise a backup would carry whatever the others cannot.
 */
import type { PathView } from "../Scheduler.ts"

/** Lower is better: 0 in use, 1 kept as backup, 2 seems to have failed, 3 not validated (the first path, in the handshake). */
export const tierOf = (path: PathView): number =>
  !path.validated
    ? 3
    : path.state === "potentiallyFailed"
      ? 2
      : path.status === "backup" || path.remoteStatus === "backup"
        ? 1
        : 0

/** The best tier in which a path exists; 4 when there is none. */
export const bestTier = (paths: ReadonlyArray<PathView>): number => {
  let best = 4
  for (let i = 0; i < paths.length; i++) {
    const tier = tierOf(paths[i]!)
    if (tier < best) best = tier
  }
  return best
}
