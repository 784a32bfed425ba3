/**
 * Paths take turns, packet by packet. A path that cannot send is passed over and does not save up turns for later. What was
 * lost goes the fastest way: everything behind it waits for it.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"
import { fastest } from "./LowLatency.ts"

export const roundRobin = (): Scheduler => {
  /** ID of the path that had the last turn. IDs only rise (draft-21 section 3.1), so the order survives paths coming and going. */
  let last = -1
  const scheduler = {
    name: "roundRobin",
    /** There was only one path to choose. */
    steady: false,
    select: (context: SelectContext): PathView | undefined => {
      if (context.kind === "retransmission") return fastest(context)
      const paths = context.paths
      let next: PathView | undefined
      let first: PathView | undefined
      let count = 0
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (!path.canSend) continue
        count++
        if (first === undefined || path.id < first.id) first = path
        if (path.id > last && (next === undefined || path.id < next.id)) next = path
      }
      const chosen = next ?? first
      scheduler.steady = count === 1
      if (chosen !== undefined) last = chosen.id
      return chosen
    }
  }
  return scheduler
}
