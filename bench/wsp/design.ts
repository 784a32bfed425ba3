/**
 * Which networks are tried: the experimental design of De Coninck and Bonaventure, "Multipath QUIC: Design and Evaluation",
 * CoNEXT 2017, section 4.1. Four classes, each with ranges for both paths, and points in them chosen by the WSP algorithm
 * (Santiago, Claeys-Bruno, Sergent, "Construction of space-filling designs using WSP algorithm for high dimensional spaces",
 * Chemometrics and Intelligent Laboratory Systems 113, 2012): no two networks are alike, and none is far from all that were tried.
 */
import { Prng } from "../../src/testing/internal/SimulatorCore.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"

/** One path: Mbit/s, ms of round trip without queues, ms that a full queue takes to drain, packets lost of 1. */
export interface PathParameters {
  readonly mbps: number
  readonly rtt: number
  readonly queueing: number
  readonly loss: number
}

/** Two paths; the connection begins on the first. */
export interface Scenario {
  readonly paths: readonly [PathParameters, PathParameters]
}

type Range = readonly [from: number, to: number]

export interface ScenarioClass {
  readonly name: string
  readonly mbps: Range
  readonly rtt: Range
  readonly queueing: Range
  readonly loss: Range
}

const none: Range = [0, 0]
const mbps: Range = [0.1, 100]
const low = { mbps, rtt: [0, 50], queueing: [0, 100] } as const
const high = { mbps, rtt: [0, 400], queueing: [0, 2000] } as const
const lossy: Range = [0, 0.025]

/** The four classes: table 1 of the paper. */
export const classes: ReadonlyArray<ScenarioClass> = [
  { name: "low-bdp-no-loss", ...low, loss: none },
  { name: "high-bdp-no-loss", ...high, loss: none },
  { name: "low-bdp-loss", ...low, loss: lossy },
  { name: "high-bdp-loss", ...high, loss: lossy }
]

/** Points of the unit cube, and the distance that any two of them have at least. */
export interface Design {
  readonly points: ReadonlyArray<ReadonlyArray<number>>
  readonly distance: number
}

const CANDIDATES_PER_POINT = 20
const LEAST_CANDIDATES = 2000
/** Halvings of the distance that is looked for: beyond these, candidates are never so close. */
const HALVINGS = 40

const distanceOf = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2
  return Math.sqrt(sum)
}

/** From one candidate to the nearest one left, each time without those that are closer than `distance`. */
const walk = (
  candidates: ReadonlyArray<ReadonlyArray<number>>,
  first: number,
  distance: number,
  most: number
): Array<ReadonlyArray<number>> => {
  const left = [...candidates.keys()]
  const chosen: Array<ReadonlyArray<number>> = []
  for (let at = first; at >= 0 && chosen.length <= most;) {
    const point = candidates[at]!
    chosen.push(point)
    let nearest = -1
    let least = Infinity
    let kept = 0
    for (const index of left) {
      const away = distanceOf(point, candidates[index]!)
      if (index === at || away < distance) continue
      left[kept++] = index
      if (away < least) {
        least = away
        nearest = index
      }
    }
    left.length = kept
    at = nearest
  }
  return chosen
}

/** Takes one of the two points that are closest away. */
const withoutClosest = (points: Array<ReadonlyArray<number>>): void => {
  let least = Infinity
  let closest = 0
  for (let i = 0; i < points.length; i++) {
    for (let j = 0; j < i; j++) {
      const away = distanceOf(points[i]!, points[j]!)
      if (away >= least) continue
      least = away
      closest = i
    }
  }
  points.splice(closest, 1)
}

/** `count` points that fill the unit cube of so many dimensions evenly. The same seed and name give the same points. */
export const spaceFilling = (count: number, dimensions: number, seed: number, name = ""): Design => {
  const random = new Prng(seed, `design ${name}`)
  const candidates = Array.from({ length: Math.max(LEAST_CANDIDATES, CANDIDATES_PER_POINT * count) }, () =>
    Array.from({ length: dimensions }, () => random.next())
  )
  const centre = Array.from({ length: dimensions }, () => 0.5)
  let first = 0
  for (let i = 1; i < candidates.length; i++) {
    if (distanceOf(candidates[i]!, centre) < distanceOf(candidates[first]!, centre)) first = i
  }
  // The larger the distance, the fewer points: as large as leaves enough.
  let distance = 0
  let tooFar = Math.sqrt(dimensions)
  let points = walk(candidates, first, distance, count)
  for (let i = 0; i < HALVINGS && points.length !== count; i++) {
    const middle = (distance + tooFar) / 2
    const found = walk(candidates, first, middle, Infinity)
    if (found.length < count) tooFar = middle
    else {
      distance = middle
      points = found
    }
  }
  while (points.length > count) withoutClosest(points)
  return { points, distance }
}

const within = ([from, to]: Range, share: number): number => from + share * (to - from)

/** Networks of a class: as many as asked for, any number, from any seed. */
export const scenariosOf = (of: ScenarioClass, count: number, seed: number): ReadonlyArray<Scenario> => {
  const factors = of.loss[1] > 0 ? 4 : 3
  return spaceFilling(count, 2 * factors, seed, of.name).points.map((point) => {
    const path = (from: number): PathParameters => ({
      mbps: within(of.mbps, point[from]!),
      rtt: within(of.rtt, point[from + 1]!),
      queueing: within(of.queueing, point[from + 2]!),
      loss: within(of.loss, point[from + 3] ?? 0)
    })
    return { paths: [path(0), path(factors)] }
  })
}

/** As the harness of the paper: a queue has at least ten packets. */
const SHORTEST_QUEUE = 10
const PACKET = 1500

/** The link of a path, the same in both directions. */
export const linkOf = ({ loss, mbps: rate, queueing, rtt }: PathParameters): DuplexOptions => ({
  mbps: rate,
  delay: rtt / 2,
  queue: Math.max(SHORTEST_QUEUE, Math.ceil((rate * 125 * queueing) / PACKET)),
  loss
})
