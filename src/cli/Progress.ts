/**
 * Progress of a transfer: on a terminal a few lines that are drawn again, elsewhere a line every half second.
 */
import { Clock, Console, Effect } from "effect"
import type { Scope } from "effect"
import { failureText, printFailure } from "./Failure.ts"
import { formatBytes, mbps } from "./Result.ts"
import type { PathReport } from "./Result.ts"

/** Where a transfer stands. */
export interface Sample {
  /** ms of any one clock. */
  readonly time: number
  /** Bytes of files. */
  readonly bytes: number
  readonly paths: ReadonlyArray<PathReport>
  /** Of the paths that are open, for `--stats`. */
  readonly figures?: ReadonlyArray<PathFigures> | undefined
}

/** What `--stats` shows of a path beside its rate. */
export interface PathFigures {
  readonly id: number
  readonly rttMs: number
  /** Bytes. */
  readonly window: number
  readonly inFlight: number
  /** Packets. */
  readonly sent: number
  readonly lost: number
}

/** What is shown. Rates are Mbit/s of late. */
export interface View {
  readonly seconds: number
  readonly bytes: number
  /** Undefined: HTTP/0.9 does not tell how much there is. */
  readonly total: number | undefined
  readonly rate: number
  readonly paths: ReadonlyArray<PathView>
  readonly figures?: ReadonlyArray<PathFigures> | undefined
}

export interface PathView {
  readonly id: number
  readonly local: string
  readonly remote: string
  readonly state: string
  readonly rate: number
  /** Of the bytes that came of late, 0 to 1. */
  readonly share: number
}

/** ms over which rates are taken. */
const WINDOW = 1000

/** Makes views of samples: rates over the last second. */
export class Rates {
  private readonly total: number | undefined
  private samples: Array<Sample> = []
  private first: Sample | undefined = undefined

  constructor(total: number | undefined) {
    this.total = total
  }

  add(sample: Sample): View {
    this.first ??= sample
    this.samples.push(sample)
    while (this.samples.length > 2 && this.samples[1]!.time <= sample.time - WINDOW) this.samples.shift()
    const old = this.samples[0]!
    const seconds = (sample.time - old.time) / 1000
    const gained = sample.paths.map((path) => {
      const before = old.paths.find((other) => other.id === path.id)
      return path.bytesReceived - (before?.bytesReceived ?? 0)
    })
    const all = gained.reduce((sum, bytes) => sum + bytes, 0)
    return {
      seconds: (sample.time - this.first.time) / 1000,
      bytes: sample.bytes,
      total: this.total,
      rate: mbps(sample.bytes - old.bytes, seconds),
      paths: sample.paths.map((path, index) => ({
        id: path.id,
        local: path.local,
        remote: path.remote,
        state: path.state,
        rate: mbps(gained[index]!, seconds),
        share: all === 0 ? 0 : gained[index]! / all
      })),
      figures: sample.figures
    }
  }
}

export const fixed = (value: number, width: number, digits: number): string => value.toFixed(digits).padStart(width)

/** `[=====>    ]`; without a total, a mark that wanders. */
export const bar = (view: View, width: number): string => {
  if (view.total === undefined) {
    const at = Math.floor(view.seconds * 10) % Math.max(1, width - 2)
    return `[${" ".repeat(at)}<=>${" ".repeat(Math.max(0, width - 3 - at))}]`.slice(0, width + 1) + "]"
  }
  const part = view.total === 0 ? 1 : Math.min(1, view.bytes / view.total)
  const full = Math.floor(part * width)
  const head = full < width ? ">" : ""
  return `[${"=".repeat(full)}${head}${" ".repeat(Math.max(0, width - full - head.length))}]`
}

const amount = (view: View): string =>
  view.total === undefined
    ? formatBytes(view.bytes)
    : `${fixed((100 * view.bytes) / Math.max(1, view.total), 3, 0)} %  ${formatBytes(view.bytes)} of ${formatBytes(view.total)}`

const healthy = new Set(["active", "validating"])

const conditions: Readonly<Record<string, string>> = { potentiallyFailed: "no answer" }

/** What is wrong with a path; empty: nothing. */
export const condition = (path: PathView): string =>
  healthy.has(path.state) ? "" : `  ${conditions[path.state] ?? path.state}`

/** One line, for logs. */
export const progressLine = (view: View): string =>
  [
    `${fixed(view.seconds, 5, 1)} s  ${amount(view)}  ${fixed(view.rate, 5, 1)} Mbit/s`,
    ...view.paths.map(
      (path) => `path ${path.id} ${fixed(path.rate, 5, 1)} Mbit/s ${fixed(100 * path.share, 3, 0)} %${condition(path)}`
    )
  ].join(" | ")

/**
 * Several lines for a terminal of so many columns and rows: none is longer, and together with the line of the cursor they are
 * no more, for what has scrolled away cannot be drawn over.
 */
export const progressBlock = (view: View, columns: number, rows: number): ReadonlyArray<string> => {
  return within(allLines(view, columns), rows, "paths")
}

/** As many lines as a terminal of so many rows shows. */
export const within = (lines: ReadonlyArray<string>, rows: number, what: string): ReadonlyArray<string> => {
  const room = Math.max(1, rows - 1)
  if (lines.length <= room) return lines
  const shown = Math.max(1, room - 1)
  return room === 1 ? lines.slice(0, 1) : [...lines.slice(0, shown), `  and ${lines.length - shown} more ${what}`]
}

const figuresOf = (path: PathView): string =>
  `  path ${path.id}  ${fixed(path.rate, 5, 1)} Mbit/s  ${fixed(100 * path.share, 3, 0)} %  `

const wayOf = (path: PathView): string => `  ${path.local} -> ${path.remote}`

/** All of them, none too long. */
export const allLines = (view: View, columns: number): ReadonlyArray<string> => {
  const head = `${fixed(view.seconds, 5, 1)} s  ${amount(view)}  ${fixed(view.rate, 5, 1)} Mbit/s  `
  const room = Math.max(10, Math.min(40, columns - head.length - 3))
  // Bars make room for addresses; what is wrong comes before them, so that it is seen in a narrow terminal, too.
  const longest = Math.max(0, ...view.paths.map((path) => figuresOf(path).length + wayOf(path).length))
  const width = Math.max(10, Math.min(20, columns - 1 - longest))
  return [
    head + bar(view, room),
    ...view.paths.map((path) => {
      const share = "#".repeat(Math.round(path.share * width))
      return `${figuresOf(path)}${share.padEnd(width)}${condition(path)}${wayOf(path)}`
    })
  ].map((line) => line.slice(0, Math.max(1, columns - 1)))
}

/** Where progress is shown. */
export interface Terminal {
  /** Redraws are possible. */
  readonly isTTY: boolean
  /** Colours are possible, and wanted. */
  readonly color: boolean
  readonly columns: () => number
  readonly rows: () => number
  readonly write: (text: string) => void
}

const terminalOf = (stream: NodeJS.WriteStream): Terminal => ({
  get isTTY() {
    return stream.isTTY && process.env["TERM"] !== "dumb"
  },
  // https://no-color.org
  get color() {
    return this.isTTY && !process.env["NO_COLOR"]
  },
  // Some terminals say 0.
  columns: () => stream.columns || 80,
  rows: () => stream.rows || 24,
  write: (text) => void stream.write(text)
})

export const standardOutput: Terminal = terminalOf(process.stdout)
export const standardError: Terminal = terminalOf(process.stderr)

/** How a view looks: on a terminal, and as a line where there is none. */
export interface Style {
  readonly block: (view: View, terminal: Terminal) => ReadonlyArray<string>
  readonly line: (view: View) => string
}

const plain: Style = {
  block: (view, terminal) => progressBlock(view, terminal.columns(), terminal.rows()),
  line: progressLine
}

/** A running display. */
export interface Display {
  /** Prints a line that stays, above the progress. */
  readonly note: (text: string) => Effect.Effect<void>
  /** Tells what went wrong meanwhile, where the progress does not erase it: else on standard error. */
  readonly trouble: (message: string) => Effect.Effect<void>
  /** Draws the last state and leaves it there. */
  readonly finish: Effect.Effect<void>
}

/** Shows nothing. */
export const silent: Display = { note: () => Effect.void, trouble: printFailure, finish: Effect.void }

/** ms between samples, which are redraws on a terminal. */
const SAMPLE = 100

/** Samples from one line to the next where there is no terminal. */
const LINE_EVERY = 5

/** Shows progress from now until `finish` or the end of the scope. `read` is asked for samples; undefined: not yet. */
export const show = Effect.fnUntraced(function* (options: {
  readonly total: number | undefined
  readonly read: () => Omit<Sample, "time"> | undefined
  readonly terminal?: Terminal | undefined
  readonly style?: Style | undefined
}): Effect.fn.Return<Display, never, Scope.Scope> {
  const terminal = options.terminal ?? standardOutput
  const style = options.style ?? plain
  const rates = new Rates(options.total)
  const clock = yield* Clock.Clock
  let view: View | undefined
  let samples = 0
  let drawn = 0
  let finished = false

  const update = (): void => {
    const sample = options.read()
    if (sample === undefined) return
    view = rates.add({ ...sample, time: Number(clock.monotonicTimeNanosUnsafe()) / 1e6 })
    samples++
  }
  const erase = (): string => (drawn === 0 ? "" : `\u001b[${drawn}A\u001b[J`)
  const draw = (before = ""): void => {
    const lines = view === undefined ? [] : style.block(view, terminal)
    terminal.write(erase() + before + lines.map((line) => `${line}\n`).join(""))
    drawn = lines.length
  }
  const tick = (last: boolean): void => {
    if (finished) return
    update()
    if (view === undefined) return
    if (terminal.isTTY) draw()
    else if (last || samples % LINE_EVERY === 0) terminal.write(`${style.line(view)}\n`)
  }

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(
        Effect.sync(() => tick(false)),
        Effect.sleep(SAMPLE)
      )
    )
  )
  const finish = Effect.sync(() => {
    tick(true)
    finished = true
  })
  const note = (text: string): Effect.Effect<void> =>
    Effect.sync(() => (terminal.isTTY && !finished ? draw(`${text}\n`) : terminal.write(`${text}\n`)))
  return {
    note,
    trouble: (message) =>
      Effect.suspend(() => (terminal.isTTY && !finished ? note(failureText(message)) : printFailure(message))),
    finish
  }
})

/** A line on standard output. */
export const print = (line: string): Effect.Effect<void> => Console.log(line)
