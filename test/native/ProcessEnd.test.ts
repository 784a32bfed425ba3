import { assert, describe, it } from "@effect/vitest"
import { run } from "./run.ts"
import { skipped } from "./support.ts"

/** Node prints this flag's line where a process ends by `process.exit`: without freeing what it knows of its threads. */
const flag = "--trace-exit"
const line = "WARNING: Exited the environment"

/** Code, and what the listeners say, as without native code. */
const ends: Record<string, readonly [code: number, said: ReadonlyArray<string>, printed?: string]> = {
  "by itself": [0, ["first 0"]],
  "by itself with process.exitCode": [7, ["first 7"]],
  "by itself with process.exitCode as text": [4, ["first 4"]],
  "with a listener that sets process.exitCode": [9, ["first 0"]],
  "with listeners from before, in and after beforeExit": [
    0,
    ["prepended", "first 0", "once", "from beforeExit 0", "from the turns after it 0"]
  ],
  "with a listener that the last beforeExit adds": [0, ["first 0", "added last 0"]],
  "with all listeners removed": [0, ["only 0"]],
  "with the listeners of everybody removed": [0, ["only 0"]],
  "by process.exit": [5, ["first 5"]],
  "by an error": [1, ["first 1"], "an error of mine"],
  "by a rejection": [1, ["first 1"], "an error of mine"],
  "by itself after a handled error": [0, ["handled an error of mine", "first 0", "after it 0"]],
  "by an error of a listener": [1, ["first 0"], "an error of mine"],
  "by itself with much to say": [0, [`${"x".repeat(2_000_000)}first 0`], "y".repeat(1_000_000)]
}

describe.concurrent(
  "A1: a process that has called native code ends without its memory being freed under the compiler",
  () => {
    for (const [how, [code, said, printed]] of Object.entries(ends)) {
      it.skipIf(skipped)(how, { timeout: 60_000 }, async () => {
        const ended = await run("endings.ts", [how], [flag])
        assert.deepStrictEqual([ended.code, ended.signal], [code, null], ended.stderr.slice(0, 2000))
        assert.isTrue(ended.stdout === said.map((word) => `${word}\n`).join(""), ended.stdout.slice(-1000))
        if (printed !== undefined) assert.include(ended.stderr, printed)
        assert.include(ended.stderr, line)
      })
    }
  }
)
