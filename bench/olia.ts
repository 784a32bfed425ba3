/**
 * Coupled congestion control in scenarios A, B and C of the OLIA draft, beside what it publishes (see `olia/scenarios.ts`).
 *
 *     node bench/olia.ts [--scenario A] [--congestion olia] [--seconds 60] [--seed 1] [--json]
 *
 * `--scenario` and `--congestion` may be repeated; without them: all three, with LIA, OLIA and BALIA. Rates are Mbit/s for each user,
 * of what was acknowledged; C1 = C2 = 1 Mbit/s.
 */
import { parseArgs } from "node:util"
import { run } from "./olia/scenarios.ts"
import type { Rates, Run } from "./olia/scenarios.ts"

const { values } = parseArgs({
  options: {
    scenario: { type: "string", multiple: true, default: ["A", "B", "C"] },
    congestion: { type: "string", multiple: true, default: ["lia", "olia", "balia"] },
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false }
  }
})

interface Row {
  readonly what: string
  readonly run: Pick<Run, "scenario" | "n1" | "n2" | "upgraded">
  /** Of the first and second kind of users, by congestion control; undefined: not given there. */
  readonly published: Readonly<Record<string, readonly [first: number | undefined, second: number | undefined]>>
}

const rows: ReadonlyArray<Row> = [
  ...[10, 30].flatMap((n1): ReadonlyArray<Row> => [
    {
      what: `A, N1 = ${n1}, N2 = 10, type 1 with one path`,
      run: { scenario: "A", n1, n2: 10, upgraded: false },
      published: { lia: [undefined, 0.98], olia: [undefined, 0.98] }
    },
    {
      what: `A, N1 = ${n1}, N2 = 10`,
      run: { scenario: "A", n1, n2: 10, upgraded: true },
      published:
        n1 === 10
          ? { lia: [undefined, 0.7], olia: [undefined, 0.86] }
          : { lia: [undefined, 0.44], olia: [undefined, 0.75] }
    }
  ]),
  {
    what: "B, red with one path",
    run: { scenario: "B", n1: 15, n2: 15, upgraded: false },
    published: { lia: [2.5, 1.5], olia: [2.2, 1.8] }
  },
  {
    what: "B, red upgraded",
    run: { scenario: "B", n1: 15, n2: 15, upgraded: true },
    published: { lia: [2, 1.4], olia: [2.2, 1.7] }
  },
  {
    what: "C, N1 = 10, N2 = 10",
    run: { scenario: "C", n1: 10, n2: 10, upgraded: true },
    published: { lia: [1.3, 0.68], olia: [1.11, 0.88] }
  },
  {
    what: "C, N1 = 30, N2 = 10",
    run: { scenario: "C", n1: 30, n2: 10, upgraded: true },
    published: { lia: [1.19, 0.38], olia: [1.1, 0.72] }
  }
]

const pair = (first: number | undefined, second: number | undefined): string =>
  [first, second].map((value) => (value === undefined ? "-" : value.toFixed(2))).join(" / ")

const WARM_UP = 20

const results: Array<{ what: string; congestion: string; rates: Rates }> = []
if (!values.json) {
  console.log("| scenario | congestion | measured: first / second kind of user | published |")
  console.log("|---|---|---|---|")
}
for (const row of rows) {
  if (!values.scenario.includes(row.run.scenario)) continue
  for (const congestion of values.congestion) {
    // Where nobody has two paths there is nothing to couple.
    const coupled = row.run.scenario !== "A" || row.run.upgraded
    if (!coupled && congestion !== values.congestion[0]) continue
    const rates = run({
      ...row.run,
      congestion,
      warmUp: WARM_UP,
      seconds: Number(values.seconds),
      seed: Number(values.seed)
    })
    results.push({ what: row.what, congestion, rates })
    const published = row.published[congestion] ?? [undefined, undefined]
    if (!values.json)
      console.log(
        `| ${row.what} | ${coupled ? congestion : "newReno"} | ${pair(rates.first, rates.second)} | ${pair(...published)} |`
      )
  }
}
if (values.json) console.log(JSON.stringify(results))
