import { Worker } from "node:worker_threads"

/** Runs a thread with native sockets until it has ended; terminates it when it is not to end by itself. */
export const runWorker = (end: "exit" | "throw" | "return" | "terminate"): Promise<number> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("fixtures/worker.ts", import.meta.url), { workerData: end, execArgv: [] })
    let received = -1
    worker.on("message", (count: number) => {
      received = count
      if (end === "terminate") void worker.terminate()
    })
    worker.on("error", (error) => {
      if (end !== "throw") reject(error)
    })
    worker.on("exit", () => resolve(received))
  })
