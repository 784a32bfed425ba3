/**
 * The path with the lowest smoothed RTT that can send: a packet goes to the next one only while the window of the faster
 * ones is full. What MPTCP calls the default scheduler. A path whose RTT nobody knows yet is asked by a bounded share of the
 * packets: without a sample it would never be chosen, and so never have one.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"

/** One packet in so many asks a path without a sample, and so many bytes of it may be under way, in full packets. */
const SHARE = 16
const MAX_UNANSWERED = 4

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

/** Neither an acknowledgement nor time will let it send: a full socket, or the 3x limit. Nobody waits for such a path. */
export const stuck = (path: PathView): boolean =>
  path.bytesInFlight === 0 && !path.canSend && path.nextSendTime === Infinity

/** The same, full or not. */
const fastestOfAll = (context: SelectContext): PathView | undefined => {
  const paths = context.paths
  let chosen: PathView | undefined
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i]!
    if (stuck(path)) continue
    if (chosen === undefined || path.smoothedRtt < chosen.smoothedRtt) chosen = path
  }
  return chosen
}

/**
 * The lowest RTT, and while the fastest path is full, the fastest of the others if it `mayCarry` the packet. Otherwise the packet
 * waits.
 */
export const besideFastest = (
  name: string,
  mayCarry: (context: SelectContext, slow: PathView, fast: PathView) => boolean
): Scheduler => {
  const scheduler = {
    name,
    steady: false,
    select: (context: SelectContext): PathView | undefined => {
      const slow = fastest(context)
      const fast = fastestOfAll(context)
      scheduler.steady = slow === fast
      if (slow === undefined || fast === undefined || slow === fast) return slow
      return mayCarry(context, slow, fast) ? slow : undefined
    }
  }
  return scheduler
}

/** The path without a sample that has sent least, as far as it may be asked. */
const unknown = (context: SelectContext): PathView | undefined => {
  const paths = context.paths
  let chosen: PathView | undefined
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i]!
    if (path.hasRtt || !path.canSend || path.bytesInFlight >= MAX_UNANSWERED * path.mtu) continue
    if (chosen === undefined || path.packetsSent < chosen.packetsSent) chosen = path
  }
  return chosen
}

export const lowLatency = (): Scheduler => {
  /** Packets since a path without a sample was last asked. */
  let known = 0
  const scheduler = {
    name: "lowLatency",
    steady: true,
    select: (context: SelectContext): PathView | undefined => {
      const chosen = fastest(context)
      const { paths } = context
      scheduler.steady = true
      if (paths.length === 1 || context.kind === "retransmission") return chosen
      let asking = false
      for (let i = 0; i < paths.length; i++) if (!paths[i]!.hasRtt) asking = true
      if (!asking) return chosen
      scheduler.steady = false
      if (++known < SHARE && chosen?.hasRtt === true) return chosen
      const asked = unknown(context)
      if (asked === undefined) return chosen
      known = 0
      return asked
    }
  }
  return scheduler
}
