/**
 * `mpquic get --stats`: what each path does, as a table that is drawn again, or as a line where there is no terminal.
 *
 * Window, bytes in flight, packets sent and lost are of what this side sends. Of a download that is requests and
 * acknowledgements: what the data meets on its way only its sender knows. The table says so.
 */
import { allLines, condition, fixed, progressLine, within } from "./Progress.ts"
import type { PathFigures, PathView, Style, View } from "./Progress.ts"
import { formatBytes } from "./Result.ts"

export const OF_WHAT =
  "window, in flight, sent and lost are of what this side sends: of a download, requests and acknowledgements"

const HEAD = "path  state          RTT ms  Mbit/s  share    window  in flight    sent   lost"
/** Columns in which addresses have room behind the figures. */
const WIDE = 132

/** Words for people, as in the progress. */
const stateOf = (path: PathView): string => condition(path).trim() || path.state

const cells = (path: PathView, figures: PathFigures | undefined): string =>
  [
    String(path.id).padStart(4),
    stateOf(path).padEnd(12),
    (figures === undefined ? "-" : figures.rttMs.toFixed(1)).padStart(8),
    fixed(path.rate, 6, 1),
    `${fixed(100 * path.share, 3, 0)} %`,
    (figures === undefined ? "-" : formatBytes(figures.window)).padStart(8),
    (figures === undefined ? "-" : formatBytes(figures.inFlight)).padStart(9),
    (figures === undefined ? "-" : String(figures.sent)).padStart(6),
    (figures === undefined ? "-" : String(figures.lost)).padStart(5)
  ].join("  ")

const of = (figures: ReadonlyArray<PathFigures>, path: PathView): PathFigures | undefined =>
  figures.find(({ id }) => id === path.id)

/** Bold heads, and paths that do not work in yellow (NO_COLOR: https://no-color.org). */
const paint = (line: string, code: number, color: boolean): string => (color ? `\u001b[${code}m${line}\u001b[0m` : line)

/** Lines for a terminal of so many columns and rows: none is longer, and together with that of the cursor they are no more. */
export const statsBlock = (view: View, columns: number, rows: number, color: boolean): ReadonlyArray<string> => {
  const cut = (line: string): string => line.slice(0, Math.max(1, columns - 1))
  const wide = columns >= WIDE
  const table = view.paths.flatMap((path) => {
    const way = `${path.local} -> ${path.remote}`
    const row = cells(path, of(view.figures ?? [], path))
    const lines = wide ? [`${row}   ${way}`] : [row, `      ${way}`]
    return lines.map((line) => (condition(path) === "" ? cut(line) : paint(cut(line), 33, color)))
  })
  const head = allLines({ ...view, paths: [] }, columns)
  // Not under a table that has no room for these columns.
  const note = columns > HEAD.indexOf("in flight") ? OF_WHAT.split(/(?<=:) /).map(cut) : []
  return within([...head, paint(cut(HEAD), 1, color), ...table, ...note], rows, "lines")
}

/** One line, for logs. */
export const statsLine = (view: View): string => {
  const paths = view.paths.map((path) => {
    const figures = of(view.figures ?? [], path)
    const rest =
      figures === undefined
        ? ""
        : `  RTT ${figures.rttMs.toFixed(1)} ms  window ${formatBytes(figures.window)}  in flight ${formatBytes(figures.inFlight)}  sent ${figures.sent}  lost ${figures.lost}`
    return `path ${path.id} ${path.local} -> ${path.remote} ${stateOf(path)} ${fixed(path.rate, 5, 1)} Mbit/s ${fixed(100 * path.share, 3, 0)} %${rest}`
  })
  return [progressLine({ ...view, paths: [] }), ...paths].join(" | ")
}

/** The look of `--stats`. */
export const statsStyle: Style = {
  block: (view, terminal) => statsBlock(view, terminal.columns(), terminal.rows(), terminal.color),
  line: statsLine
}
