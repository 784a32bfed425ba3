import { assert, describe, it } from "@effect/vitest"
import { skipped } from "./support.ts"
import { runWorker } from "./workers.ts"

describe("native sockets in workers", () => {
  it.skipIf(skipped)("receive there, and the process survives however a worker ends", { timeout: 60_000 }, async () => {
    for (const end of ["return", "terminate", "exit", "throw"] as const) {
      assert.isAbove(await runWorker(end), 0, end)
    }
  })
})
