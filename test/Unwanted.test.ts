import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { cubic } from "../src/internal/congestion/Cubic.ts"
import { makePolicies } from "../src/internal/connection/Policies.ts"
import { lowLatency } from "../src/internal/paths/schedulers/LowLatency.ts"
import { effectOf } from "../src/internal/runtime/Arguments.ts"

/** What an `async` function that fails gives. The type is the caller's mistake. */
const rejected = (): never => Promise.reject(new Error("nobody looks at this")) as never

/** Rejections that nobody handles, told after the turn. */
const unhandledOf = async (act: () => void): Promise<ReadonlyArray<unknown>> => {
  const seen: Array<unknown> = []
  const listener = (cause: unknown): void => void seen.push(cause)
  const others = process.rawListeners("unhandledRejection")
  process.removeAllListeners("unhandledRejection")
  process.on("unhandledRejection", listener)
  try {
    act()
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off("unhandledRejection", listener)
    for (const other of others) process.on("unhandledRejection", other as (cause: unknown) => void)
  }
  return seen
}

describe("X4: a Promise that rejects, where a callback should have given something else", () => {
  it("is refused by name, and does not end the process", async () => {
    assert.lengthOf(await unhandledOf(rejected), 1, "the listener sees what is not handled")
    const unhandled = await unhandledOf(() => {
      assert.isTrue(Exit.isFailure(Effect.runSyncExit(effectOf("handler", rejected()))))
      assert.throws(() => makePolicies({ scheduler: rejected, congestion: cubic }), /path scheduler/)
      assert.throws(() => makePolicies({ scheduler: lowLatency, congestion: rejected }), /congestion control/)
    })
    assert.deepStrictEqual(unhandled, [])
  })
})
