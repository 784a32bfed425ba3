/**
 * Paths take turns, packet by packet, or by as many packets as their quota (deficit round robin: Shreedhar, Varghese, "Efficient
 * Fair Queuing using Deficit Round Robin", SIGCOMM 1995, with packets for bytes). A path that cannot send is passed over and
 * does not save up turns; a new one has its turn like the others. What was lost goes the fastest way: everything behind it
 * waits for it.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"
import { fastest } from "./LowLatency.ts"

/** Paths whose fractions of packets are kept from turn to turn. */
const REMEMBERED = 32

/** `quota`: packets of a turn, 1 at least. */
const rounds = (name: string, quota: (path: PathView) => number): Scheduler => {
  /** ID of the path that had the last turn. IDs only rise (draft-21 section 3.1), so the order survives paths coming and going. */
  let last = -1
  /** Packets that are left of its turn. */
  let left = 0
  const fractions = new Float64Array(REMEMBERED)

  /** The next one that can send. */
  const begin = (path: PathView): PathView => {
    const slot = path.id % REMEMBERED
    const packets = quota(path) + fractions[slot]!
    left = Math.floor(packets)
    fractions[slot] = packets - left
    last = path.id
    left--
    return path
  }

  const scheduler = {
    name,
    /** There was only one path to choose. */
    steady: false,
    select: (context: SelectContext): PathView | undefined => {
      if (context.kind === "retransmission") return fastest(context)
      const { paths } = context
      let next: PathView | undefined
      let first: PathView | undefined
      let current: PathView | undefined
      let count = 0
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (!path.canSend) continue
        count++
        if (path.id === last) current = path
        if (first === undefined || path.id < first.id) first = path
        if (path.id > last && (next === undefined || path.id < next.id)) next = path
      }
      scheduler.steady = count === 1
      if (current !== undefined && left > 0) {
        left--
        return current
      }
      const chosen = next ?? first
      return chosen === undefined ? undefined : begin(chosen)
    }
  }
  return scheduler
}

export const roundRobin = (): Scheduler => rounds("roundRobin", () => 1)

/** Weights by local host; those of other hosts are 1. */
export const weightedRoundRobin = (weights: ReadonlyMap<string, number>) => {
  let least = 1
  for (const weight of weights.values()) least = Math.min(least, weight)
  return (): Scheduler => rounds("weightedRoundRobin", (path) => (weights.get(path.local.host) ?? 1) / least)
}
