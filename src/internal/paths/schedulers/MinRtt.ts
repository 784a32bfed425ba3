/**
 * The minRTT scheduler with bias of mp-quic-go: the highest of
 *
 *     bias * (lowest RTT / RTT) + (1 - bias) * (1 - quota / highest quota)
 *
 * among the paths that can send; quotas are packets. Bias 1 is the lowest RTT, 0 the fewest packets. A path without an RTT has
 * its share alone for a score. Counts do not grow for ever: those of the past count half after each thousand packets. A path
 * that is new, was away or could not send takes the mean of the others, so that it never has all turns until it caught up.
 */
import type { Scheduler, SelectContext, PathView } from "../Scheduler.ts"
import { fastest } from "./LowLatency.ts"

/** Packets of one path after which all counts are halved. */
const MEMORY = 1000
/** Paths remembered: those that come back after more others start at the mean. */
const REMEMBERED = 32

export const minRtt = (bias: number) => (): Scheduler => {
  const ids = new Float64Array(REMEMBERED).fill(-1)
  const quotas = new Float64Array(REMEMBERED)
  /** Whether the path could send at the last choice. */
  const ready = new Uint8Array(REMEMBERED)
  const slotOf = (id: number): number => id % REMEMBERED

  /** Packets per path, of those that took part in the last choice. */
  const mean = (paths: ReadonlyArray<PathView>): number => {
    let sum = 0
    let count = 0
    for (let i = 0; i < paths.length; i++) {
      const slot = slotOf(paths[i]!.id)
      if (ids[slot] !== paths[i]!.id || ready[slot] === 0) continue
      sum += quotas[slot]!
      count++
    }
    return count === 0 ? 0 : sum / count
  }

  /** Who joins starts at the mean at least, once. Who is absent will join. */
  const join = (paths: ReadonlyArray<PathView>): void => {
    const start = mean(paths)
    let present = 0
    for (let i = 0; i < paths.length; i++) {
      const path = paths[i]!
      const slot = slotOf(path.id)
      if (ids[slot] !== path.id) {
        ids[slot] = path.id
        quotas[slot] = start
      } else if (path.canSend && ready[slot] === 0 && quotas[slot]! < start) quotas[slot] = start
      ready[slot] = path.canSend ? 2 : 0
      if (path.canSend) present++
    }
    if (present > 0) for (let slot = 0; slot < REMEMBERED; slot++) if (ready[slot]! > 0) ready[slot]!--
  }

  return {
    name: "minRtt",
    select: (context: SelectContext): PathView | undefined => {
      const { paths } = context
      if (paths.length === 1 || context.kind === "retransmission") return fastest(context)
      join(paths)
      let lowest = Infinity
      let most = 0
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (!path.canSend) continue
        if (path.hasRtt && path.smoothedRtt < lowest) lowest = path.smoothedRtt
        const quota = quotas[slotOf(path.id)]!
        if (quota > most) most = quota
      }
      let chosen: PathView | undefined
      let best = -1
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i]!
        if (!path.canSend) continue
        const share = most === 0 ? 1 : 1 - quotas[slotOf(path.id)]! / most
        // Simulated networks have round trips of 0.
        const nearness = path.smoothedRtt > lowest ? lowest / path.smoothedRtt : 1
        const score = path.hasRtt ? bias * nearness + (1 - bias) * share : share
        if (score > best) {
          best = score
          chosen = path
        }
      }
      if (chosen === undefined) return undefined
      const slot = slotOf(chosen.id)
      if (++quotas[slot]! >= MEMORY) for (let i = 0; i < REMEMBERED; i++) quotas[i]! /= 2
      return chosen
    }
  }
}
