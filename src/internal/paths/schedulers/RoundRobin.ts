/**
 * Paths take turns, packet by packet. A path that cannot send is passed over and does not save up turns for later.
 */
import type { Scheduler, SelectContext, PathView } from "../../../PathScheduler.ts"
import { bestTier, tierOf } from "./tiers.ts"

export const roundRobin = (): Scheduler => {
  /** ID of the path that had the last turn. IDs only rise (draft-21 section 3.1), so the order survives paths coming and going. */
  let last = -1
  return {
    name: "roundRobin",
    select: (context: SelectContext): PathView | undefined => {
      const paths = context.paths
      const tier = bestTier(paths)
      let next: PathView | undefined
      let first: PathView | undefined
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (!path.canSend || tierOf(path) !== tier) continue
        if (first === undefined || path.id < first.id) first = path
        if (path.id > last && (next === undefined || path.id < next.id)) next = path
      }
      const chosen = next ?? first
      if (chosen !== undefined) last = chosen.id
      return chosen
    }
  }
}
