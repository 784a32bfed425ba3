/** How well paths add up: the aggregation benefit of a run, and what is worth knowing of many. */

/**
 * 0: as good as the best path alone; 1: as good as all together; -1: nothing arrived (Paasch, Khalili, Bonaventure, "On the
 * Benefits of Applying Experimental Design to Improve Multipath TCP", CoNEXT 2013). Goodputs in any unit.
 */
export const benefitOf = (goodput: number, alone: ReadonlyArray<number>): number => {
  const best = Math.max(...alone)
  if (goodput < best) return (goodput - best) / best
  const others = alone.reduce((sum, one) => sum + one, 0) - best
  return others > 0 ? (goodput - best) / others : 0
}

/** Between the values that are nearest in order. `share` from 0 to 1. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const at = share * (sorted.length - 1)
  const below = sorted[Math.floor(at)] ?? Number.NaN
  return below + (at - Math.floor(at)) * ((sorted[Math.ceil(at)] ?? Number.NaN) - below)
}

export const shareOf = (values: ReadonlyArray<number>, holds: (value: number) => boolean): number =>
  values.length === 0 ? Number.NaN : values.filter(holds).length / values.length

export interface Summary {
  readonly runs: number
  readonly shareAboveZero: number
  readonly median: number
  readonly p10: number
  readonly shareBelowMinusTenth: number
}

export const summaryOf = (benefits: ReadonlyArray<number>): Summary => ({
  runs: benefits.length,
  shareAboveZero: shareOf(benefits, (benefit) => benefit > 0),
  median: quantile(benefits, 0.5),
  p10: quantile(benefits, 0.1),
  shareBelowMinusTenth: shareOf(benefits, (benefit) => benefit < -0.1)
})
