/**
 * The path with the lowest smoothed RTT that can send: a packet goes to the next one only while the window of the faster
 * ones is full. What MPTCP calls the default scheduler.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"

/** What a reader waits for takes the fastest way, whatever else a scheduler does. */
export const fastest = (context: SelectContext): PathView | undefined => {
  const paths = context.paths
  let chosen: PathView | undefined
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i]!
    if (!path.canSend) continue
    // On equal terms the earlier path stays: the lowest ID comes first.
    if (chosen === undefined || path.smoothedRtt < chosen.smoothedRtt) chosen = path
  }
  return chosen
}

/** Stateless, but still one object per connection, as the factory's contract says. */
export const lowLatency = (): Scheduler => ({ name: "lowLatency", steady: true, select: fastest })
