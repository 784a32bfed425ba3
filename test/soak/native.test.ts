import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { skipped } from "../native/support.ts"
import { run } from "../native/run.ts"

const script = fileURLToPath(new URL("../native/fixtures/storm.ts", import.meta.url))

interface Outcome {
  /** MB after each of the four rounds. */
  readonly memory: ReadonlyArray<number>
  readonly descriptors: ReadonlyArray<number>
}

const storm = (what: "keys" | "sockets" | "connections", times: number): Outcome => {
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, ["--expose-gc", script, what, String(times)], {
    encoding: "utf8"
  })
  assert.strictEqual(status, 0, `${signal} ${stderr}`)
  console.log(what, stdout)
  // What is logged before comes on the same way.
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Outcome
}

const steady = ({ memory, descriptors }: Outcome): void => {
  // The first round pays for compiled code, and for what is kept for reuse.
  assert.isBelow(memory[3]! - memory[1]!, 15, memory.join(" "))
  assert.strictEqual(descriptors[3], descriptors[1])
}

describe("native code, long and under garbage collections: no crash, no leak", () => {
  it.skipIf(skipped)("packet keys that nobody closes, slabs that nobody keeps", () => steady(storm("keys", 10_000)))

  it.skipIf(skipped)("sockets that come and go", () => steady(storm("sockets", 2000)))

  it.skipIf(skipped)("10,000 connections", () => steady(storm("connections", 2500)))

  it.skipIf(skipped)("A1: 300 processes that end while native code is being compiled", async () => {
    let met = 0
    for (let i = 0; i < 300; i++) {
      const { code, signal, stderr } = await run("compiling.ts", [], ["--allow-natives-syntax"])
      assert.isNull(signal, stderr)
      // 3: the compiler was too fast for it.
      assert.include([0, 3], code)
      if (code === 0) met++
    }
    console.log("ended in the middle", met)
    assert.isAbove(met, 150)
  })

  it.skipIf(skipped)("workers that start and end", async () => {
    const { code, signal, stdout, stderr } = await run("workers.ts", ["20"], ["--no-turbofan"])
    assert.deepStrictEqual([code, signal], [0, null], stderr)
    const { received, grown } = JSON.parse(stdout) as {
      readonly received: ReadonlyArray<number>
      readonly grown: number
    }
    for (const count of received) assert.isAbove(count, 0)
    assert.isBelow(grown / 1024 / 1024, 200)
  })
})
