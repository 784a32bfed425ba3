/**
 * Which pair of addresses a path is opened for next: none twice, none that failed a moment ago, and of several the one that
 * shares least with the paths that are there. Plain bookkeeping, by the clock of its caller.
 */

/** A pair of addresses by name: local ones without a port, remote ones with theirs. */
export interface Pair {
  readonly local: string
  readonly remote: string
}

export interface PlanOptions {
  /** Paths of the connection, at most. */
  readonly maxPaths: number
  /** ms until a pair that failed is tried again: twice as long each time, at most `longestRetry`. */
  readonly firstRetry: number
  readonly longestRetry: number
}

interface Record {
  readonly pair: Pair
  failures: number
  /** Infinity: not while both addresses stay. */
  retryAt: number
  /** When a path between them was proven; Infinity while none is. */
  provenAt: number
}

const keyOf = ({ local, remote }: Pair): string => `${local} ${remote}`

export class PathPlan {
  private readonly options: PlanOptions
  private readonly records = new Map<string, Record>()

  constructor(options: PlanOptions) {
    this.options = options
  }

  /** `fits`: whether one leads to the other at all. `open`: pairs of the paths that are open. */
  next(
    locals: ReadonlyArray<string>,
    remotes: ReadonlyArray<string>,
    open: ReadonlyArray<Pair>,
    fits: (local: string, remote: string) => boolean,
    now: number
  ): Pair | undefined {
    if (open.length >= this.options.maxPaths) return undefined
    let best: Pair | undefined
    let least = Infinity
    let fewest = Infinity
    for (const remote of remotes) {
      for (const local of locals) {
        if (!fits(local, remote)) continue
        const record = this.records.get(keyOf({ local, remote }))
        if (record !== undefined && record.retryAt > now) continue
        let shared = 0
        let there = false
        for (const path of open) {
          if (path.local === local) shared++
          if (path.remote === remote) shared++
          there ||= path.local === local && path.remote === remote
        }
        // What failed waits for what was not tried, or nobody would get to it behind a few that fail slowly.
        const failures = record?.failures ?? 0
        if (there || shared > least || (shared === least && failures >= fewest)) continue
        least = shared
        fewest = failures
        best = { local, remote }
      }
    }
    return best
  }

  /** A path of the pair was proven. */
  onProven(pair: Pair, now: number): void {
    this.record(pair).provenAt = now
  }

  /** No path came of it, or one that was there is gone. One that lasted was worth its while. */
  onFailed(pair: Pair, now: number): void {
    const record = this.record(pair)
    if (now - record.provenAt >= this.options.longestRetry) record.failures = 0
    record.provenAt = Infinity
    const delay = Math.min(this.options.firstRetry * 2 ** Math.min(record.failures, 30), this.options.longestRetry)
    record.failures++
    record.retryAt = now + delay
  }

  /** Somebody does not want a path of this pair. */
  onUnwanted(pair: Pair): void {
    this.record(pair).retryAt = Infinity
  }

  /** Forgets pairs of addresses that are gone: when they are back, they begin anew. */
  retain(locals: ReadonlySet<string>, remotes: ReadonlySet<string>): void {
    for (const [key, { pair }] of this.records)
      if (!locals.has(pair.local) || !remotes.has(pair.remote)) this.records.delete(key)
  }

  /** When a pair may be tried again that may not be now; Infinity if there is none. */
  nextRetry(now: number): number {
    let earliest = Infinity
    for (const { retryAt } of this.records.values()) if (retryAt > now && retryAt < earliest) earliest = retryAt
    return earliest
  }

  private record(pair: Pair): Record {
    const key = keyOf(pair)
    let record = this.records.get(key)
    if (record === undefined)
      this.records.set(key, (record = { pair, failures: 0, retryAt: -Infinity, provenAt: Infinity }))
    return record
  }
}
