/**
 * RESULTS.md, and the table of targets for the terminal.
 */
import { median, ratioOf, valuesOf } from "./results.ts"
import type { Measured, Results } from "./results.ts"
import { subjects } from "./subjects.ts"
import { reached, targets } from "./targets.ts"
import type { Check } from "./targets.ts"

const titleOf = (name: string): string => subjects.get(name)?.title ?? name

/** A value as its figure shows it. */
const shown = ({ digits, unit }: Measured, value: number): string =>
  (unit === "kB" ? value / 1000 : value).toFixed(digits)

const ratioText = (ratio: number | undefined): string => (ratio === undefined ? "" : ratio.toFixed(2))

const figureTable = (figure: Measured): string => {
  const { problems, rounds, unit } = figure
  const reference = Object.keys(rounds)[0]!
  const measured = Object.keys(rounds)
    .map((name) => ({ name, values: valuesOf(figure, name), cpu: median(valuesOf(figure, name, "cpuPerGb")) }))
    .filter(({ values }) => values.length > 0)
    .toSorted((a, b) => (median(b.values)! - median(a.values)!) * (figure.lowerIsBetter ? -1 : 1))
  const withCpu = measured.some(({ cpu }) => cpu !== undefined)
  const lines = [
    `### ${figure.title}`,
    "",
    `| stack | median, ${unit} | lowest to highest | by ${reference}, in the same round |${withCpu ? " CPU s per GB, both ends |" : ""}`,
    `|---|---|---|---|${withCpu ? "---|" : ""}`
  ]
  for (const { cpu, name, values } of measured) {
    const range = `${shown(figure, Math.min(...values))} to ${shown(figure, Math.max(...values))}`
    const cells = [titleOf(name), shown(figure, median(values)!), range, ratioText(ratioOf(figure, name, reference))]
    if (withCpu) cells.push(cpu === undefined ? "" : cpu.toFixed(2))
    lines.push(`| ${cells.join(" | ")} |`)
  }
  for (const [name, why] of Object.entries(problems)) {
    const rest = valuesOf(figure, name).length > 0 ? "not every round measured" : "not measured"
    lines.push("", `${titleOf(name)}: ${rest} (${why}).`)
  }
  return lines.join("\n")
}

const bound = ({ atLeast, atMost, unit }: Check): string =>
  atLeast === undefined ? `at most ${atMost}${unit}` : `at least ${atLeast}${unit}`

/** Rows of figure, what is to reach, what was measured, and whether it is enough. */
export const targetRows = (results: Results): ReadonlyArray<readonly [string, string, string, string]> =>
  targets(results).flatMap(({ checks, figure }) =>
    checks.map((check) => {
      const { label, measured, unit } = check
      const value = measured === undefined ? "not measured" : `${measured.toFixed(measured >= 100 ? 0 : 2)}${unit}`
      const yes = reached(check)
      return [`${figure}: ${label}`, bound(check), value, yes === undefined ? "" : yes ? "yes" : "**no**"] as const
    })
  )

export const markdown = (results: Results): string =>
  [
    "# Results",
    "",
    `Made by \`npm run bench\` on ${results.machine}.`,
    'Server and client are two processes on loopback, new ones for each measurement, and start cold; "warm" is the native lane',
    "after `WarmUp.run` on both sides. The stacks take turns, round by round; numbers are medians, ratios are medians of the ratios within a",
    "round. How each stack is set up, and how to get the figures again: [README.md](README.md).",
    "",
    "![Goodput of one stream](results.svg)",
    "",
    "## To reach",
    "",
    "| figure | to reach | measured | reached |",
    "|---|---|---|---|",
    ...targetRows(results).map((cells) => `| ${cells.join(" | ")} |`),
    "",
    "## Figures",
    "",
    ...results.figures.flatMap((figure) => [figureTable(figure), ""])
  ].join("\n")

/** The same for a terminal. */
export const text = (results: Results): string => {
  const rows = targetRows(results).filter(([, , measured]) => measured !== "not measured")
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column as 0 | 1 | 2].length), 0))
  return rows
    .map((row) => row.map((cell, column) => cell.replaceAll("*", "").padEnd(widths[column] ?? 0)).join("  "))
    .join("\n")
}
