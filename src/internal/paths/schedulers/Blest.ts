/**
 * Blocking estimation: Ferlin, Alay, Mehani, Boreli, "BLEST: Blocking Estimation-based MPTCP Scheduler for Heterogeneous
 * Networks", IFIP Networking 2016. While the fastest path is full, a slower one is used only if what it has under way will not
 * fill the peer's window before the fastest path can use it: otherwise the fast path would stand still.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"
import { besideFastest } from "./LowLatency.ts"

/** The correction factor: more after the window was full all the same, less while it was not. */
const STEP = 0.01
const LEAST = 0.5
const MOST = 4

export const blest = (): Scheduler => {
  let lambda = 1
  /** Whether the peer's window held the fast path up since lambda last moved, and when that was. */
  let blocked = false
  let movedAt = -Infinity
  const adjust = (context: SelectContext, fast: PathView, slow: PathView): void => {
    if (context.sendWindow < fast.mtu) blocked = true
    if (context.now - movedAt < slow.smoothedRtt) return
    lambda = blocked ? Math.min(MOST, lambda + STEP) : Math.max(LEAST, lambda - STEP)
    blocked = false
    movedAt = context.now
  }
  return besideFastest("blest", (context, slow, fast) => {
    adjust(context, fast, slow)
    // Bytes that the fast path sends, its window growing by a packet per round trip, until a packet on the slow one arrives.
    const rounds = slow.smoothedRtt / fast.smoothedRtt
    const onFast = (fast.congestionWindow + (fast.mtu * (rounds - 1)) / 2) * rounds
    let window = context.sendWindow
    for (let i = 0; i < context.paths.length; i++) window += context.paths[i]!.bytesInFlight
    return lambda * onFast <= window - slow.bytesInFlight - slow.mtu
  })
}
