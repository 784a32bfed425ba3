/** What is measured of one scenario: each path alone, and both together, begun on the first and on the second. */
import { quantile } from "./benefit.ts"
import { linkOf } from "./design.ts"
import type { Scenario } from "./design.ts"
import { controllers, reinjections, schedulers } from "./parts.ts"
import { download } from "./transfer.ts"

export interface Task {
  readonly scenario: Scenario
  readonly bytes: number
  readonly seed: number
  /** Each of the times is the median of so many, where chance plays a part. */
  readonly repeats: number
  readonly open: boolean
  readonly schedulers: ReadonlyArray<string>
  readonly congestion: string
  readonly congestionAlone: string
  readonly reinjection: string
}

export interface Outcome {
  /** ms of each path alone; Infinity if it failed. */
  readonly alone: readonly [number, number]
  /** ms by scheduler: begun on the first path, begun on the second. */
  readonly together: Readonly<Record<string, readonly [number, number]>>
}

export const measure = (task: Task): Outcome => {
  const [first, second] = task.scenario.paths.map(linkOf)
  const time = (links: ReadonlyArray<NonNullable<typeof first>>, scheduler: string, congestion: string): number =>
    quantile(
      Array.from({ length: task.repeats }, (_, repeat) =>
        download({
          links,
          bytes: task.bytes,
          seed: task.seed * 100 + repeat,
          open: task.open,
          scheduler: schedulers[scheduler]!,
          congestion: controllers[congestion]!,
          reinjection: reinjections[task.reinjection]
        })
      ),
      0.5
    )
  const alone = (link: NonNullable<typeof first>): number => time([link], task.schedulers[0]!, task.congestionAlone)
  const together = (scheduler: string): readonly [number, number] => [
    time([first!, second!], scheduler, task.congestion),
    time([second!, first!], scheduler, task.congestion)
  ]
  return {
    alone: [alone(first!), alone(second!)],
    together: Object.fromEntries(task.schedulers.map((name) => [name, together(name)]))
  }
}
