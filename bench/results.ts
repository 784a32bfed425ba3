/**
 * What a run has found, and the numbers that are made of it.
 */
import { arch, availableParallelism, cpus, totalmem, type } from "node:os"
import type { Figure } from "./figures.ts"
import type { Values } from "./measure.ts"

/** The values of each round; undefined where it failed. */
export type Rounds = ReadonlyArray<Values | undefined>

export interface Measured {
  readonly id: string
  readonly title: string
  readonly value: string
  readonly unit: string
  readonly digits: number
  readonly lowerIsBetter: boolean
  readonly rounds: Readonly<Record<string, Rounds>>
  /** Why a subject has no values, by its name. */
  readonly problems: Readonly<Record<string, string>>
}

export interface Results {
  readonly machine: string
  readonly figures: ReadonlyArray<Measured>
}

/** In general terms. */
export const machine = (): string => {
  const model = cpus()[0]?.model.trim() ?? "unknown processor"
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${availableParallelism()} cores of ${model} (${arch()}), ${memory} GB of memory, ${type()}, Node ${process.versions.node}`
}

export const median = (values: ReadonlyArray<number>): number | undefined => {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b)
  if (sorted.length === 0) return undefined
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The values of one kind that a subject has in a figure. */
export const valuesOf = (figure: Measured, subject: string, value = figure.value): ReadonlyArray<number> =>
  (figure.rounds[subject] ?? []).flatMap((values) => values?.[value] ?? [])

/** The median over rounds of a subject's value by another's in the same round. */
export const ratioOf = (
  figure: Measured | undefined,
  subject: string,
  to: string,
  value = figure?.value ?? ""
): number | undefined => {
  const ratios = (figure?.rounds[subject] ?? []).flatMap((values, round) => {
    const [mine, theirs] = [values?.[value], figure?.rounds[to]?.[round]?.[value]]
    return mine === undefined || theirs === undefined || theirs === 0 ? [] : mine / theirs
  })
  return median(ratios)
}

/** Rounds of all subjects in turn: A B C A B C. */
export const measureFigure = async (
  figure: Figure,
  limits: { readonly rounds: number | undefined; readonly subjects: ReadonlyArray<string> | undefined },
  onValue: (line: string) => void
): Promise<Measured> => {
  const count = limits.rounds ?? figure.rounds
  const rounds: Record<string, Array<Values | undefined>> = {}
  const problems: Record<string, string> = {}
  for (let round = 0; round < count; round++) {
    for (const subject of figure.subjects) {
      if (limits.subjects?.includes(subject) === false) continue
      const mine = (rounds[subject] ??= [])
      // What failed from the start is not tried again.
      if (problems[subject] !== undefined && mine.every((values) => values === undefined)) continue
      try {
        const values = await figure.measure(subject)
        mine.push(values)
        const all = Object.entries(values).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
        onValue(`${figure.id} ${round + 1}/${count} ${subject}: ${all.join(", ")}`)
      } catch (error) {
        mine.push(undefined)
        problems[subject] = error instanceof Error ? error.message : String(error)
        onValue(`${figure.id} ${round + 1}/${count} ${subject}: ${problems[subject]}`)
      }
    }
  }
  const { digits, id, title, unit, value } = figure
  return { id, title, value, unit, digits, lowerIsBetter: figure.lowerIsBetter ?? false, rounds, problems }
}
