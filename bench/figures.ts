/**
 * The figures: what is measured for each, for whom, and how often.
 */
import { beside, idle, rate, relayed, streams, transfer } from "./measure.ts"
import type { Values } from "./measure.ts"

export interface Figure {
  readonly id: string
  readonly title: string
  /** The value of `Values` that its table shows, and how. */
  readonly value: string
  readonly unit: string
  readonly digits: number
  readonly lowerIsBetter?: boolean
  /** Names of subjects, in the order of a round; ours come first because their ceiling imitates them. */
  readonly subjects: ReadonlyArray<string>
  readonly rounds: number
  readonly measure: (subject: string) => Promise<Values>
}

const MB = 1_000_000

const all = [
  "native",
  "warm",
  "ceiling-native",
  "quinn",
  "noq",
  "quic-go",
  "quiche",
  "tls",
  "portable",
  "ceiling-portable"
]
const stacks = ["native", "warm", "portable", "quinn", "noq", "quic-go", "quiche", "tls"]
const lanes = ["native", "portable"]
const ours = ["native", "warm", "portable"]

const oneStream = (
  mode: "download" | "upload",
  bytes: number,
  subjects: ReadonlyArray<string>,
  rounds: number
): Figure => ({
  id: mode,
  title: `One stream, ${mode}`,
  value: "gbps",
  unit: "Gbit/s",
  digits: 2,
  subjects,
  rounds,
  measure: (subject) => transfer(subject, mode, bytes)
})

const inSequence = (
  mode: "rr" | "handshakes",
  count: number,
  subjects: ReadonlyArray<string>,
  rounds: number
): Figure => ({
  id: mode,
  title: mode === "rr" ? "Requests of 64 bytes in sequence" : "Full handshakes in sequence",
  value: "per_s",
  unit: "a second",
  digits: 0,
  subjects,
  rounds,
  measure: (subject) => rate(subject, mode, count)
})

const idleMemory = (count: number, subjects: ReadonlyArray<string>, rounds: number): Figure => ({
  id: "idle",
  title: `Server memory for each of ${count} idle connections`,
  value: "bytes",
  unit: "kB",
  digits: 1,
  lowerIsBetter: true,
  subjects,
  rounds,
  measure: (subject) => idle(subject, count)
})

const concurrent = (count: number, subjects: ReadonlyArray<string>, rounds: number): Figure => ({
  id: "streams",
  title: `${count} concurrent streams of 100 kB`,
  value: "gbps",
  unit: "Gbit/s",
  digits: 2,
  subjects,
  rounds,
  measure: (subject) => streams(subject, count)
})

const twoPaths = (bytes: number, rounds: number): Figure => ({
  id: "paths",
  title: "One stream, download, over two paths of loopback",
  value: "gbps",
  unit: "Gbit/s",
  digits: 2,
  subjects: ours,
  rounds,
  measure: (subject) => transfer(subject, "download", bytes, ["--local", "127.0.0.1", "--local", "127.0.0.2"])
})

const twoRelays = (rounds: number): Figure => ({
  id: "relays",
  title: "One stream, download, over two paths, each limited by a relay to 200 Mbit/s",
  value: "gbps",
  unit: "Gbit/s",
  digits: 3,
  subjects: ours,
  rounds,
  measure: (subject) => relayed(subject, 200, 100 * MB)
})

/** All that RESULTS.md holds. */
export const full: ReadonlyArray<Figure> = [
  oneStream("download", 200 * MB, [...all, "aioquic"], 5),
  oneStream("upload", 200 * MB, [...all, "aioquic"], 5),
  inSequence("rr", 2000, stacks, 5),
  inSequence("handshakes", 500, stacks, 5),
  idleMemory(
    1000,
    stacks.filter((name) => name !== "warm"),
    3
  ),
  concurrent(1000, stacks, 5),
  twoPaths(200 * MB, 5),
  twoRelays(3)
]

/** The main rows in under two minutes. */
export const quick: ReadonlyArray<Figure> = [
  oneStream(
    "download",
    100 * MB,
    all.filter((name) => name !== "tls"),
    3
  ),
  oneStream("upload", 100 * MB, ["native", "warm", "quinn", "quiche"], 2),
  inSequence("rr", 1000, ["native", "portable", "quiche"], 2),
  inSequence("handshakes", 200, ["native", "warm", "quic-go", "quiche"], 2),
  idleMemory(500, ["native"], 1),
  concurrent(500, ["native"], 2),
  twoPaths(100 * MB, 2)
]

const growth = (
  title: string,
  id: string,
  steps: ReadonlyArray<readonly [string, Figure["measure"]]>
): ReadonlyArray<Figure> =>
  steps.map(([step, measure], index) => ({
    id: `${id}-${index}`,
    title: `${title}: ${step}`,
    value: "gbps",
    unit: "Gbit/s",
    digits: 2,
    subjects: lanes,
    rounds: 3,
    measure
  }))

/** How cost grows, and many idle connections: minutes each. */
export const slow: ReadonlyArray<Figure> = [
  ...growth(
    "One stream on a warm connection",
    "bytes",
    [1, 10, 100, 1000, 2000].map((size) => [
      `${size} MB`,
      (subject) => transfer(subject, "download", size * MB, ["--warm", String(50 * MB)])
    ])
  ),
  ...growth(
    "One stream beside idle connections",
    "connections",
    [0, 100, 1000, 10_000].map((count) => [String(count), (subject) => beside(subject, count)])
  ),
  {
    id: "idle-10000",
    title: "CPU of the server with 10,000 idle connections",
    value: "cpuPercent",
    unit: "% of one core",
    digits: 2,
    lowerIsBetter: true,
    subjects: lanes,
    rounds: 1,
    measure: (subject) => idle(subject, 10_000, 15_000)
  }
]
