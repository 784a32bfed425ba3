/** Five pairs of paths that lowest RTT fills badly: alike, unlike in rate, unlike in round trip, and one with hardly anything. */
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { benefitOf } from "./benefit.ts"
import { download } from "./transfer.ts"
import type { Download, Parts } from "./transfer.ts"

export interface PathPair {
  readonly name: string
  /** Mbit/s and ms one way of each path. */
  readonly paths: readonly [readonly [number, number], readonly [number, number]]
  /** Aggregation benefit of 20 MB to reach on paths that are open. */
  readonly least: number
}

// prettier-ignore
export const pairs: ReadonlyArray<PathPair> = [
  { name: "50/15 + 40/30", paths: [[50, 15], [40, 30]], least: 0.88 },
  { name: "10/10 + 1/300", paths: [[10, 10], [1, 300]], least: 0.8 },
  { name: "100/5 + 20/50", paths: [[100, 5], [20, 50]], least: 0.5 },
  { name: "20/20 + 20/200", paths: [[20, 20], [20, 200]], least: 0.62 },
  { name: "50/20 + 1/20", paths: [[50, 20], [1, 20]], least: 0 }
]

/** Packets that a link's queue holds unless another number is asked for: more than ever wait, so nothing is lost. */
export const LONG_QUEUE = 1000

export interface PairOutcome {
  /** Mbit/s of each path alone. */
  readonly alone: readonly [number, number]
  /** Mbit/s and benefit, begun on the first path and on the second. */
  readonly together: ReadonlyArray<{ readonly goodput: number; readonly benefit: number }>
}

export interface PairOptions extends Pick<Download, "bytes" | "open"> {
  readonly queue?: number | undefined
  /** For one path alone. */
  readonly alone: Parts["congestion"]
}

export const measurePair = (pair: PathPair, parts: Parts, options: PairOptions): PairOutcome => {
  const { alone: congestionAlone, bytes, open, queue = LONG_QUEUE } = options
  const [first, second]: ReadonlyArray<DuplexOptions> = pair.paths.map(([mbps, delay]) => ({ mbps, delay, queue }))
  const goodput = (links: ReadonlyArray<DuplexOptions>, congestion = parts.congestion): number =>
    (bytes * 8) / download({ ...parts, congestion, links, bytes, open }) / 1000
  const alone = [goodput([first!], congestionAlone), goodput([second!], congestionAlone)] as const
  const together = [
    [first!, second!],
    [second!, first!]
  ].map((links) => {
    const rate = goodput(links)
    return { goodput: rate, benefit: benefitOf(rate, alone) }
  })
  return { alone, together }
}
