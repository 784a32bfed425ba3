/**
 * Earliest completion first: Lim, Nahum, Towsley, Gibbens, "ECF: An MPTCP Path Scheduler to Manage Heterogeneous Paths", CoNEXT
 * 2017, algorithm 1. While the fastest path is full, a slower one is used only if the fastest could not deliver all that
 * waits before the slower one's round trip is over.
 */
import type { Scheduler } from "../Scheduler.ts"
import { besideFastest } from "./LowLatency.ts"

/** Hysteresis of the paper: who waits goes on waiting while it is a quarter worse. */
const BETA = 0.25

export const ecf = (): Scheduler => {
  let waiting = 0
  return besideFastest("ecf", (context, slow, fast) => {
    const queued = context.kind === "data" ? context.queuedBytes : 0
    const margin = fast.rttVariance > slow.rttVariance ? fast.rttVariance : slow.rttVariance
    const onFast = (1 + queued / fast.congestionWindow) * fast.smoothedRtt
    if (onFast >= (1 + waiting * BETA) * (slow.smoothedRtt + margin)) {
      waiting = 0
      return true
    }
    const onSlow = (queued / slow.congestionWindow) * slow.smoothedRtt
    if (queued > 0 && onSlow < 2 * fast.smoothedRtt + margin) return true
    waiting = 1
    return false
  })
}
