import { assert, describe, it } from "@effect/vitest"
import { run } from "./run.ts"
import { skipped } from "./support.ts"

/** Forced into a worker, native code may end the process while it is being compiled; what is tested here is the rest. */
const flags = ["--no-turbofan"]

describe("native sockets forced into workers", () => {
  it.skipIf(skipped)("receive there, and the process survives however a worker ends", { timeout: 60_000 }, async () => {
    const { code, signal, stdout, stderr } = await run("workers.ts", ["1"], flags)
    assert.deepStrictEqual([code, signal], [0, null], stderr)
    const { received } = JSON.parse(stdout) as { readonly received: ReadonlyArray<number> }
    assert.lengthOf(received, 4)
    for (const count of received) assert.isAbove(count, 0)
  })

  it.skipIf(skipped)(
    "G3: terminated while datagrams arrive, they do not end the process",
    { timeout: 60_000 },
    async () => {
      const { code, signal, stdout, stderr } = await run("flooded.ts", ["8"], flags)
      assert.deepStrictEqual([code, signal, stdout], [0, null, "alive\n"], stderr)
    }
  )
})
