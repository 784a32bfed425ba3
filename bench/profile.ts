/**
 * The ten most expensive functions of one side of a transfer, by their own time.
 *
 *     node bench/profile.ts [--side sender|receiver] [--lane portable|native] [--bytes N] [--top N] [--lines FUNCTION]
 *
 * `--lines` shows where in a function the time goes, by line. What counts is the time from the first to the last sample
 * inside a connection, so that the start of the program does not; percentages are of what of it the process was busy.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { complete, freePort, inProject, nodeProgram, run } from "./processes.ts"

interface CallFrame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: CallFrame
  readonly positionTicks?: ReadonlyArray<{ readonly line: number; readonly ticks: number }>
}

interface Profile {
  readonly nodes: ReadonlyArray<ProfileNode>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

const { values } = parseArgs({
  options: {
    side: { type: "string" },
    lane: { type: "string", default: "portable" },
    bytes: { type: "string", default: "100000000" },
    top: { type: "string", default: "10" },
    lines: { type: "string" }
  }
})

const placeOf = ({ lineNumber, url }: CallFrame): string => {
  if (url === "") return ""
  const path = url.startsWith("file:") ? fileURLToPath(url) : url
  const short = path.startsWith(inProject("")) ? path.slice(inProject("").length) : path
  return `${short.replace(/^.*node_modules\//, "")}:${lineNumber + 1}`
}

/** Runs a download with one side profiled: the server sends. */
const profile = async (side: string): Promise<Profile> => {
  const folder = inProject(`.cache/bench/profiles/${values.lane}-${side}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const flags = ["--cpu-prof", `--cpu-prof-dir=${folder}`, "--cpu-prof-interval=200"]
  const program = (profiled: boolean) => nodeProgram("perf", "bench/perf.ts", ...(profiled ? flags : []))
  const addr = ["--addr", `127.0.0.1:${await freePort()}`, "--lane", values.lane]
  const server = await run(program(side === "sender"), ["server", ...addr])
  const result = await complete(
    program(side === "receiver"),
    ["client", ...addr, "--mode", "download", "--bytes", values.bytes],
    120_000
  )
  await server.stop()
  console.log(
    `${side}, lane ${values.lane}: ${values.bytes} bytes at ${Number(result["gbps"]).toFixed(2)} Gbit/s (profiled)`
  )
  const file = readdirSync(folder).find((name) => name.endsWith(".cpuprofile"))
  if (file === undefined) throw new Error("there is no profile")
  return JSON.parse(readFileSync(join(folder, file), "utf8")) as Profile
}

const print = ({ nodes, samples, timeDeltas }: Profile): void => {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const self = new Map<string, number>()
  let total = 0
  // Modules themselves, when they are loaded, have no name.
  const inConnection = (id: number): boolean => {
    const { functionName, url } = byId.get(id)!.callFrame
    return functionName !== "" && url.includes("/src/internal/connection/")
  }
  const from = samples.findIndex(inConnection)
  const to = samples.findLastIndex(inConnection)
  samples.forEach((id, index) => {
    if (index < from || index > to) return
    const { callFrame } = byId.get(id)!
    // A sample stands for the time until the next one.
    const ms = (timeDeltas[index + 1] ?? 0) / 1000
    if (callFrame.functionName === "(idle)" || ms <= 0) return
    const name = `${callFrame.functionName || "(anonymous)"}  ${placeOf(callFrame)}`
    self.set(name, (self.get(name) ?? 0) + ms)
    total += ms
  })
  const sorted = Array.from(self).toSorted(([, a], [, b]) => b - a)
  console.log(`${total.toFixed(0)} ms busy`)
  for (const [name, ms] of sorted.slice(0, Number(values.top))) {
    console.log(`${ms.toFixed(0).padStart(6)} ms ${((100 * ms) / total).toFixed(1).padStart(5)} %  ${name}`)
  }
  if (values.lines !== undefined) printLines(nodes, values.lines)
  console.log()
}

const printLines = (nodes: ReadonlyArray<ProfileNode>, name: string): void => {
  const ticks = new Map<string, number>()
  for (const { callFrame, positionTicks } of nodes) {
    if (callFrame.functionName !== name) continue
    for (const { line, ticks: count } of positionTicks ?? []) {
      const place = placeOf({ ...callFrame, lineNumber: line - 1 })
      ticks.set(place, (ticks.get(place) ?? 0) + count)
    }
  }
  console.log(`Lines of ${name}, in samples:`)
  for (const [place, count] of Array.from(ticks)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 15)) {
    console.log(`${String(count).padStart(6)}  ${place}`)
  }
}

for (const side of values.side === undefined ? ["sender", "receiver"] : [values.side]) print(await profile(side))
