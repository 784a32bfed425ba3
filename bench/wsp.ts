/**
 * How well paths add up, over many networks: the design of "Multipath QUIC: Design and Evaluation" (CoNEXT 2017) on the simulated
 * network. Each scenario is a download over path 0 alone, path 1 alone, and both, begun on either. Times count from the
 * connection's first packet to the last byte.
 *
 *     node bench/wsp.ts [--scenarios 12] [--seed 1] [--class low-bdp-no-loss] [--scheduler deliveryRate] [--congestion cubic] [--json]
 *
 * `--class` and `--scheduler` may be repeated; without them: all classes, the default scheduler. Further: `--size BYTES` (20000000),
 * `--reinjection MODE` (none, onLoss, onDelay, onIdle, all), `--repeats N` (medians; 3 where packets are lost, else 1), `--workers N`
 * (processes, 1), `--svg FILE`, `--runs` (a line for each run), `--open` (times count from the request, on a connection whose paths are
 * open). `--experiment` names another one: `equal` (both paths alike), `objects` (256 kB, open), `handover`, `pairs` (five pairs of
 * unlike paths, open; `--queue PACKETS`, 1000).
 */
import * as fs from "node:fs"
import { parseArgs } from "node:util"
import { benefitOf, quantile, shareOf, summaryOf } from "./wsp/benefit.ts"
import { classes, scenariosOf } from "./wsp/design.ts"
import type { PathParameters, Scenario, ScenarioClass } from "./wsp/design.ts"
import { handover } from "./wsp/handover.ts"
import type { Outcome, Task } from "./wsp/measure.ts"
import { controllerOfOnePath, controllers, defaultScheduler, reinjections, schedulers } from "./wsp/parts.ts"
import { LONG_QUEUE, measurePair, pairs } from "./wsp/pairs.ts"
import { picture } from "./wsp/picture.ts"
import { measureAll } from "./wsp/pool.ts"

const { values } = parseArgs({
  options: {
    scenarios: { type: "string", default: "12" },
    seed: { type: "string", default: "1" },
    class: { type: "string", multiple: true },
    scheduler: { type: "string", multiple: true, default: [defaultScheduler] },
    congestion: { type: "string", default: "cubic" },
    reinjection: { type: "string", default: "none" },
    size: { type: "string" },
    repeats: { type: "string" },
    queue: { type: "string", default: String(LONG_QUEUE) },
    workers: { type: "string", default: "1" },
    svg: { type: "string" },
    runs: { type: "boolean", default: false },
    open: { type: "boolean", default: false },
    experiment: { type: "string", default: "classes" },
    json: { type: "boolean", default: false }
  }
})

const fail = (message: string): never => {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}

const whole = (name: string, text: string, least: number): number => {
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= least
    ? value
    : fail(`--${name}: expected a whole number from ${least}, got ${text}`)
}

const oneOf = (name: string, text: string, known: ReadonlyArray<string>): string =>
  known.includes(text) ? text : fail(`--${name}: expected one of ${known.join(", ")}, got ${text}`)

const OBJECT = 256_000
const experiment = oneOf("experiment", values.experiment, ["classes", "equal", "objects", "handover", "pairs"])
const scenarios = whole("scenarios", values.scenarios, 1)
const seed = whole("seed", values.seed, 0)
const bytes = whole("size", values.size ?? String(experiment === "objects" ? OBJECT : 20_000_000), 1)
const workers = whole("workers", values.workers, 1)
const chosen = values.scheduler.map((name) => oneOf("scheduler", name, Object.keys(schedulers)))
const congestion = oneOf("congestion", values.congestion, Object.keys(controllers))
const reinjection = oneOf("reinjection", values.reinjection, Object.keys(reinjections))
const congestionAlone = controllerOfOnePath(congestion)
const names = classes.map(({ name }) => name)
const asked = (values.class ?? names).map((name) => classes.find((one) => one.name === oneOf("class", name, names))!)

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
const rate = (ms: number): number => (bytes * 8) / ms / 1000
const pathText = (path: PathParameters): string =>
  `${path.mbps.toFixed(2)} Mbit/s, RTT ${path.rtt.toFixed(1)} ms, queue ${path.queueing.toFixed(0)} ms, loss ${percent(path.loss)}`

const tasksOf = (of: ScenarioClass, list: ReadonlyArray<Scenario>): ReadonlyArray<Task> =>
  list.map((scenario, index) => ({
    scenario,
    bytes,
    seed: seed * 1000 + index + 1,
    repeats: values.repeats === undefined ? (of.loss[1] > 0 ? 3 : 1) : whole("repeats", values.repeats, 1),
    open: values.open || experiment === "objects",
    schedulers: chosen,
    congestion,
    congestionAlone,
    reinjection
  }))

/** Each class in turn, with the progress on standard error. */
const eachClass = async (
  change: (scenario: Scenario) => Scenario,
  use: (of: ScenarioClass, list: ReadonlyArray<Scenario>, outcomes: ReadonlyArray<Outcome>) => void
): Promise<void> => {
  for (const of of asked) {
    const list = scenariosOf(of, scenarios, seed).map(change)
    let done = 0
    const outcomes = await measureAll(tasksOf(of, list), workers, () => {
      done++
      if (process.stderr.isTTY) process.stderr.write(`\r${of.name} ${done}/${list.length} `)
    })
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K")
    use(of, list, outcomes)
  }
}

const table = (heads: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [heads, heads.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const conclude = (text: string, json: object): void => {
  console.log(text)
  if (values.json) console.log(JSON.stringify(json))
}

const aggregate = async (): Promise<void> => {
  const results: Array<{ of: ScenarioClass; lines: ReadonlyArray<{ name: string; benefits: ReadonlyArray<number> }> }> =
    []
  await eachClass(
    (scenario) => scenario,
    (of, list, outcomes) => {
      const lines = chosen.map((name) => ({
        name,
        benefits: outcomes.flatMap(({ alone, together }) =>
          together[name]!.map((ms) => benefitOf(rate(ms), alone.map(rate)))
        )
      }))
      results.push({ of, lines })
      if (!values.runs) return
      for (const [index, { alone, together }] of outcomes.entries()) {
        console.log(`${of.name} ${index}: ${list[index]!.paths.map(pathText).join(" + ")}`)
        console.log(`  alone ${alone.map((ms) => rate(ms).toFixed(2)).join(", ")} Mbit/s`)
        for (const { benefits, name } of lines) {
          const rates = together[name]!.map(
            (ms, first) => `${rate(ms).toFixed(2)} (${benefits[2 * index + first]!.toFixed(3)})`
          )
          console.log(`  ${name} ${rates.join(", ")}`)
        }
      }
    }
  )
  const entries = results.flatMap(({ lines, of }) =>
    lines.map(({ benefits, name }) => ({ class: of.name, ...summaryOf(benefits), scheduler: name, congestion }))
  )
  if (values.svg !== undefined) {
    const title = `Aggregation benefit: 0 is the best path alone, 1 the sum of both (${congestion})`
    const note = `Share of runs that gain no more. ${scenarios} scenarios a class, begun on either path, ${bytes / 1e6} MB, simulated; seed ${seed}.`
    const panels = results.map(({ lines, of }) => ({ title: of.name, lines }))
    fs.writeFileSync(values.svg, picture(title, note, panels))
  }
  const rows = entries.map((entry) => [
    entry.class,
    entry.scheduler,
    entry.congestion,
    String(entry.runs),
    percent(entry.shareAboveZero),
    entry.median.toFixed(3),
    entry.p10.toFixed(3),
    percent(entry.shareBelowMinusTenth)
  ])
  conclude(
    table(["class", "scheduler", "congestion", "runs", "above 0", "median", "10th percentile", "below -0.1"], rows),
    { classes: entries }
  )
}

/** Both paths are the first: the share of the sum that they reach. */
const equal = async (): Promise<void> => {
  const entries: Array<{ class: string; scheduler: string; runs: number; median: number; least: number }> = []
  await eachClass(
    ({ paths }) => ({ paths: [paths[0], paths[0]] }),
    (of, list, outcomes) => {
      for (const name of chosen) {
        const shares = outcomes.map(
          ({ alone, together }) => rate(together[name]![0]) / (rate(alone[0]) + rate(alone[1]))
        )
        if (values.runs) {
          for (const [i, share] of shares.entries()) {
            console.log(`${name} twice ${pathText(list[i]!.paths[0])}: ${share.toFixed(3)}`)
          }
        }
        entries.push({
          class: of.name,
          scheduler: name,
          runs: shares.length,
          median: quantile(shares, 0.5),
          least: Math.min(...shares)
        })
      }
    }
  )
  const rows = entries.map((entry) => [
    entry.class,
    entry.scheduler,
    congestion,
    String(entry.runs),
    percent(entry.median),
    percent(entry.least)
  ])
  conclude(table(["class", "scheduler", "congestion", "pairs", "median of the sum", "least"], rows), { equal: entries })
}

/** The time of an object by that over the best path alone. */
const objects = async (): Promise<void> => {
  const entries: Array<object> = []
  const rows: Array<ReadonlyArray<string>> = []
  await eachClass(
    (scenario) => scenario,
    (of, list, outcomes) => {
      for (const name of chosen) {
        const ratios = outcomes.flatMap(({ alone, together }) => together[name]!.map((ms) => ms / Math.min(...alone)))
        if (values.runs) {
          for (const [i, { alone, together }] of outcomes.entries()) {
            console.log(`${of.name} ${i}: ${list[i]!.paths.map(pathText).join(" + ")}`)
            const times = together[name]!.map((ms, at) => `${ms.toFixed(2)} (${ratios[2 * i + at]!.toFixed(3)})`)
            console.log(`  alone ${alone.map((ms) => ms.toFixed(2)).join(", ")} ms; ${name} ${times.join(", ")}`)
          }
        }
        const entry = {
          class: of.name,
          scheduler: name,
          runs: ratios.length,
          shareWithin: shareOf(ratios, (ratio) => ratio <= 1.05),
          median: quantile(ratios, 0.5),
          most: Math.max(...ratios)
        }
        entries.push(entry)
        rows.push([
          entry.class,
          name,
          congestion,
          String(entry.runs),
          percent(entry.shareWithin),
          entry.median.toFixed(3),
          entry.most.toFixed(3)
        ])
      }
    }
  )
  conclude(
    table(
      ["class", "scheduler", "congestion", "runs", "at most 5 % slower", "median", "slowest, by the best path"],
      rows
    ),
    { objects: entries }
  )
}

/** At 7 s, and at each ms of an exchange: a path may die before the request, or between it and its reply. */
const handovers = (): void => {
  const moments = [7000, ...Array.from({ length: 20 }, (_, ms) => 7200.5 + ms)]
  const entries = chosen.flatMap((name) => {
    const parts = {
      scheduler: schedulers[name]!,
      congestion: controllers[congestion]!,
      reinjection: reinjections[reinjection]
    }
    const all = moments.map((diesAt) => handover(parts, diesAt))
    const over = (one: (typeof all)[number]): number => one.affected - one.normal - one.pto - one.rtt
    const worst = all.reduce((a, b) => (over(b) > over(a) ? b : a))
    return [
      { scheduler: name, ...all[0]! },
      { scheduler: name, ...worst }
    ]
  })
  const rows = entries.map((entry) => [
    entry.scheduler,
    congestion,
    `${entry.diesAt} ms`,
    `${entry.normal.toFixed(1)} ms`,
    `${entry.affected.toFixed(1)} ms`,
    `${(entry.normal + entry.pto + entry.rtt).toFixed(1)} ms`,
    String(entry.slow)
  ])
  conclude(
    table(
      ["scheduler", "congestion", "path dies at", "normal", "slowest after", "normal + PTO + RTT", "slow requests"],
      rows
    ),
    { handover: entries }
  )
}

const unlike = (): void => {
  const queue = whole("queue", values.queue, 1)
  const entries = pairs.flatMap((pair) =>
    chosen.map((scheduler) => {
      const parts = {
        scheduler: schedulers[scheduler]!,
        congestion: controllers[congestion]!,
        reinjection: reinjections[reinjection]
      }
      const options = { bytes, open: true, queue, alone: controllers[congestionAlone]! }
      const { alone, together } = measurePair(pair, parts, options)
      return { pair: pair.name, scheduler, alone, together }
    })
  )
  const rows = entries.map(({ alone, pair, scheduler, together }) => [
    pair,
    scheduler,
    congestion,
    alone.map((one) => one.toFixed(1)).join(" + "),
    ...together.map(({ benefit, goodput }) => `${goodput.toFixed(1)} (${benefit.toFixed(3)})`)
  ])
  const heads = ["Mbit/s / ms", "scheduler", "congestion", "alone", "begun on the first", "begun on the second"]
  conclude(table(heads, rows), { pairs: entries })
}

if (experiment === "classes") await aggregate()
else if (experiment === "equal") await equal()
else if (experiment === "objects") await objects()
else if (experiment === "pairs") unlike()
else handovers()
