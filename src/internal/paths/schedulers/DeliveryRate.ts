/**
 * Weighted by measured delivery rate: each packet takes the path on which it arrives first, by what is under way there and how
 * fast that drains. Where much waits, all paths are full, each at its own rate. Where all that waits would arrive sooner on
 * the faster paths, slower ones get nothing more, so that nobody waits for the last of what they carry: the rule of ECF (Lim,
 * Nahum, Towsley, Gibbens, "ECF: An MPTCP Path Scheduler to Manage Heterogeneous Paths", CoNEXT 2017) for any number of paths,
 * with rates in place of windows, which say little where queues are long.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"
import { stuck } from "./LowLatency.ts"

/**
 * While a writer waits for room, the end is not in sight, and a slower path may have so many of its shortest round trips under
 * way: a queue that never runs empty, and that is gone before what the faster ones have left.
 */
const ROUNDS = 2
/**
 * Twice as many while its last sample is no longer than so many of the shortest: there is no queue, the window may be doubling,
 * and what measurements say is a round old.
 */
const UNQUEUED = 1.5

/** Bytes per ms, never 0. Before anything was measured, what the window would give. */
const rateOf = (path: PathView): number => {
  const { deliveryRate, latestRtt, smoothedRtt } = path
  // A queue that has just begun is in the last sample, and hardly in their mean.
  const rtt = deliveryRate === 0 && latestRtt > smoothedRtt ? latestRtt : smoothedRtt
  const expected = path.congestionWindow / rtt
  return deliveryRate > 0 && deliveryRate < expected ? deliveryRate : expected
}

/** The same of a path that packets wait for: a window that doubles is worth more than what the last rounds had. */
const comingRateOf = (path: PathView): number => {
  const expected = path.congestionWindow / path.smoothedRtt
  const { deliveryRate } = path
  return deliveryRate > expected ? deliveryRate : expected
}

/** ms: the round trip without queues. */
const baseOf = (path: PathView): number => (path.hasRtt ? path.minRtt : path.smoothedRtt)

/** ms until a packet that leaves now arrives: half of the base round trip, longer behind what fills a queue. */
const arrivalOn = (path: PathView): number => {
  const base = baseOf(path)
  // Nothing under way means no queue, whatever the round trips were before: so a path that was away gets its turn again.
  const drained =
    path.bytesInFlight === 0 ? path.mtu / comingRateOf(path) : (path.bytesInFlight + path.mtu) / rateOf(path)
  return (drained > base ? drained : base) - base / 2
}

/** ms until arrival that are worth it while a writer waits. */
const patienceWith = (path: PathView): number => {
  const base = baseOf(path)
  return path.latestRtt <= UNQUEUED * base ? 2 * ROUNDS * base : ROUNDS * base
}

export const deliveryRate = (): Scheduler => {
  const scheduler = {
    name: "deliveryRate",
    /** Nothing is faster, so what is sent meanwhile changes nothing. */
    steady: true,
    select: (context: SelectContext): PathView | undefined => {
      const { paths } = context
      scheduler.steady = true
      let chosen: PathView | undefined
      let arrival = Infinity
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (!path.canSend) continue
        const at = arrivalOn(path)
        if (at < arrival) {
          arrival = at
          chosen = path
        }
      }
      if (chosen === undefined || paths.length === 1) return chosen
      // What the faster paths, which are full, would do together.
      let rate = 0
      let first = Infinity
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (stuck(path)) continue
        const at = arrivalOn(path)
        if (at >= arrival) continue
        rate += comingRateOf(path)
        if (at < first) first = at
      }
      if (rate === 0) return chosen
      scheduler.steady = false
      // A lost byte is what the reader waits for: it is the whole queue.
      const bulk = context.kind === "data"
      if (first + (bulk ? context.queuedBytes / rate : 0) >= arrival) return chosen
      return bulk && context.moreToCome && arrival <= patienceWith(chosen) ? chosen : undefined
    }
  }
  return scheduler
}
