/**
 * Measures everything and writes RESULTS.md and results.svg.
 *
 *     npm run bench                  all figures (an hour); writes the files
 *     npm run bench -- --quick       the main rows in under two minutes; prints only
 *     npm run bench -- --slow        all figures and how cost grows
 *     npm run bench -- --only a,b    these figures, or --subjects a,b for these stacks only; prints only
 *     npm run bench -- --rounds N    that many rounds of each
 *     npm run bench -- --again       writes the files once more from the last full run
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { full, quick, slow } from "./figures.ts"
import type { Figure } from "./figures.ts"
import { picture } from "./picture.ts"
import { inProject } from "./processes.ts"
import { markdown, text } from "./report.ts"
import { machine, measureFigure } from "./results.ts"
import type { Measured, Results } from "./results.ts"

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    slow: { type: "boolean", default: false },
    again: { type: "boolean", default: false },
    only: { type: "string" },
    subjects: { type: "string" },
    rounds: { type: "string" }
  }
})

const kept = inProject(".cache/bench/results.json")

/** What follows it in RESULTS.md was measured by `bench/wsp.ts`, and stays. */
const AGGREGATION = "\n## How well paths add up\n"

const write = (results: Results): void => {
  const file = inProject("bench/RESULTS.md")
  const before = readFileSync(file, "utf8")
  const from = before.indexOf(AGGREGATION)
  writeFileSync(file, markdown(results) + (from < 0 ? "" : before.slice(from)))
  const download = results.figures.find(({ id }) => id === "download")
  if (download !== undefined) writeFileSync(inProject("bench/results.svg"), picture(download, results.machine))
}

const chosen = (): ReadonlyArray<Figure> => {
  const only = values.only?.split(",")
  if (only !== undefined) return [...full, ...slow].filter(({ id }) => only.includes(id))
  return values.quick ? quick : values.slow ? [...full, ...slow] : full
}

/** How often, and for whom, when it is not as the figure says. */
const limits = {
  rounds: values.rounds === undefined ? undefined : Number(values.rounds),
  subjects: values.subjects?.split(",")
}

if (values.again) write(JSON.parse(readFileSync(kept, "utf8")) as Results)
else {
  const figures: Array<Measured> = []
  for (const figure of chosen()) figures.push(await measureFigure(figure, limits, (line) => console.log(line)))
  const results: Results = { machine: machine(), figures }
  console.log(`\n${results.machine}\n${text(results)}`)
  if (!values.quick && values.only === undefined && values.subjects === undefined) {
    mkdirSync(inProject(".cache/bench"), { recursive: true })
    writeFileSync(kept, JSON.stringify(results))
    write(results)
  }
}
