/**
 * Primary and standby: everything on one path while it works, as in MPTCP's backup mode (RFC 8684 section 2.5). When it fails
 * or is gone, the next one is promoted at once; when it is back, and has stayed for a while, it carries everything again.
 * A full window is no failure: the packet waits. A full socket is none either, and as nobody knows for how long it is full,
 * the packet goes elsewhere.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"
import { fastest, stuck } from "./LowLatency.ts"

/** The lowest is the best. */
const rank = (path: PathView, primary: number | undefined): number => (path.id === primary ? -1 : path.id)

/** `primary`: path ID, or else the lowest one there is. `returnAfter`: ms that a primary that is back is watched before it is used. */
export const backup = (primary: number | undefined, returnAfter: number) => (): Scheduler => {
  /** ID of the path in use. */
  let current = -1
  /** ms: since when a better path than that is back; Infinity if none is. */
  let betterSince = Infinity
  return {
    name: "backup",
    steady: true,
    select: (context: SelectContext): PathView | undefined => {
      const { paths, now } = context
      let best: PathView | undefined
      let used: PathView | undefined
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (best === undefined || rank(path, primary) < rank(best, primary)) best = path
        if (path.id === current) used = path
      }
      if (best === undefined) return undefined
      if (best === used) betterSince = Infinity
      else if (betterSince === Infinity) betterSince = now
      if (used === undefined || now - betterSince >= returnAfter) {
        used = best
        current = best.id
        betterSince = Infinity
      }
      if (used.canSend) return used
      return stuck(used) ? fastest(context) : undefined
    }
  }
}
