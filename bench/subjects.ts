/**
 * What is measured: this library and its ceiling in both lanes, and the other stacks.
 */
import { peers } from "./peers/peers.ts"
import { nodeProgram } from "./processes.ts"
import type { Program } from "./processes.ts"

export interface Subject extends Program {
  /** For tables. */
  readonly title: string
  readonly installed: boolean
  /** Added to every command line. */
  readonly args?: ReadonlyArray<string>
  /** Bytes of a transfer, if less than those of the figure. */
  readonly bytes?: number
  /** Whose packets the ceiling imitates. */
  readonly imitates?: string
}

const ours = (lane: "native" | "portable"): ReadonlyArray<Subject> => [
  {
    ...nodeProgram(lane, "bench/perf.ts", "--expose-gc"),
    title: `**effect-mpquic, ${lane} lane**`,
    installed: true,
    args: ["--lane", lane]
  },
  {
    ...nodeProgram(`ceiling-${lane}`, "bench/ceiling.ts"),
    title: `ceiling of the ${lane} lane`,
    installed: true,
    args: ["--lane", lane],
    imitates: lane
  }
]

/** The native lane after `WarmUp.run` on both sides. */
const warm: Subject = {
  ...nodeProgram("warm", "bench/perf.ts", "--expose-gc"),
  title: "**effect-mpquic, native lane, warmed up**",
  installed: true,
  args: ["--lane", "native", "--warm-up"]
}

export const subjects: ReadonlyMap<string, Subject> = new Map(
  [...ours("native"), warm, ...ours("portable"), ...peers].map((subject) => [subject.name, subject])
)
