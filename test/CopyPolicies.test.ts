import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Layer } from "effect"
import { DuplicationPolicy, ReinjectionPolicy } from "../src/index.ts"
import type { QuicError } from "../src/QuicError.ts"

type Made = Layer.Layer<never, QuicError>
const wrong = (settings: unknown): never => settings as never

const refusals: ReadonlyArray<readonly [Made, field: string, value: unknown, allowed: RegExp]> = [
  [DuplicationPolicy.layer({ paths: 1 }), "paths", 1, /from 2 to 8/],
  [DuplicationPolicy.layer({ paths: 2.5 }), "paths", 2.5, /from 2 to 8/],
  [DuplicationPolicy.layer({ budget: Number.NaN }), "budget", Number.NaN, /from 0 to 8/],
  [DuplicationPolicy.layer({ budget: -1 }), "budget", -1, /from 0 to 8/],
  [DuplicationPolicy.layer(wrong({ streams: "some" })), "streams", "some", /"all".*"none".*array of stream IDs/],
  [DuplicationPolicy.layer({ streams: [0, -1] }), "streams[1]", -1, /stream ID/],
  [DuplicationPolicy.layer(wrong({ crypto: "yes" })), "crypto", "yes", /true or false/],
  [DuplicationPolicy.layer(wrong({ stream: "all" })), "stream", "all", /only the settings/],
  [ReinjectionPolicy.layer({ delay: -1 }), "delay", -1, /from 1 ms to 1 minute/],
  [ReinjectionPolicy.layer({ delay: "2 minutes" }), "delay", "2 minutes", /from 1 ms to 1 minute/],
  [ReinjectionPolicy.layer({ minInterval: "2 minutes" }), "minInterval", "2 minutes", /from 0 to 1 minute/],
  [ReinjectionPolicy.layer({ delay: "50 ms" as never }), "delay", "50 ms", /such as "50 millis"/],
  [ReinjectionPolicy.layer(wrong({ preferredPaths: "1" })), "preferredPaths", "1", /array of path IDs/],
  [ReinjectionPolicy.layer({ preferredPaths: [0.5] }), "preferredPaths[0]", 0.5, /array of path IDs/],
  [ReinjectionPolicy.layer(wrong({ modes: ["idle"] })), "modes[0]", "idle", /"onLoss", "onDelay" and "onIdle"/],
  [ReinjectionPolicy.layer({ maxReinjections: 0 }), "maxReinjections", 0, /from 1 to 8/],
  [ReinjectionPolicy.layer({ maxQueuePerPath: 5000 }), "maxQueuePerPath", 5000, /from 1 to 4096/],
  [ReinjectionPolicy.layer(wrong({ mode: "onIdle" })), "mode", "onIdle", /only the settings/]
]

describe("settings of duplication and reinjection", () => {
  for (const [layer, field, value, allowed] of refusals) {
    it.effect(`refuse ${field} ${String(value)}`, () =>
      Effect.gen(function* () {
        const { reason } = yield* Effect.flip(Effect.provide(Effect.void, layer))
        assert.strictEqual(reason._tag, "BadConfig")
        if (reason._tag !== "BadConfig") return
        assert.strictEqual(reason.field, field)
        assert.strictEqual(reason.value, typeof value === "string" ? JSON.stringify(value) : String(value))
        assert.match(reason.allowed, allowed)
      })
    )
  }

  it.effect("without a Layer there is none; with one, every connection gets a policy of its own", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* DuplicationPolicy.DuplicationPolicy)
      assert.isUndefined(yield* ReinjectionPolicy.ReinjectionPolicy)
      const made = yield* Effect.provide(
        DuplicationPolicy.DuplicationPolicy,
        DuplicationPolicy.layer({ streams: [0, 8], paths: 3 })
      )
      const [one, other] = [made!(), made!()]
      assert.notStrictEqual(one, other)
      assert.deepStrictEqual([one.stream?.(0), one.stream?.(4), one.paths], [true, false, 3])
      const late = yield* Effect.provide(
        ReinjectionPolicy.ReinjectionPolicy,
        ReinjectionPolicy.layer({ modes: ["onDelay"], delay: "50 millis", minInterval: "20 millis" })
      )
      const policy = late!()
      assert.deepStrictEqual([policy.modes, policy.delay?.({} as never), policy.minInterval], [["onDelay"], 50, 20])
    })
  )
})
