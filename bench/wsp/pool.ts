/** Many tasks by several processes. The results do not depend on how many there are. */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { measure } from "./measure.ts"
import type { Outcome, Task } from "./measure.ts"

const file = fileURLToPath(import.meta.url)

/** In the order of the tasks. `done` is called after each. */
export const measureAll = async (
  tasks: ReadonlyArray<Task>,
  workers: number,
  done: () => void
): Promise<ReadonlyArray<Outcome>> => {
  const outcomes: Array<Outcome> = []
  if (workers <= 1) {
    for (const task of tasks) {
      outcomes.push(measure(task))
      done()
    }
    return outcomes
  }
  let next = 0
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      // Infinity is no JSON.
      const worker = fork(file, { serialization: "advanced" })
      let index = -1
      const give = (): void => {
        if (next === tasks.length) {
          worker.disconnect()
          resolve()
          return
        }
        index = next++
        worker.send(tasks[index]!)
      }
      worker.on("message", (outcome) => {
        outcomes[index] = outcome as Outcome
        done()
        give()
      })
      worker.on("error", reject)
      worker.on("exit", (code) => {
        if (code !== 0) reject(new Error(`a worker ended with ${code}`))
      })
      give()
    })
  await Promise.all(Array.from({ length: Math.min(workers, tasks.length) }, work))
  return outcomes
}

if (process.argv[1] === file) process.on("message", (task) => void process.send?.(measure(task as Task)))
