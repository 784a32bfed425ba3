import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as CongestionControl from "../../src/CongestionControl.ts"
import { TestPath } from "./support.ts"

const nameOfProvided = Effect.map(CongestionControl.CongestionControl, (factory) => factory().make(new TestPath()).name)

describe("CongestionControl", () => {
  it.effect("is CUBIC without a Layer", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* nameOfProvided, "cubic")
    })
  )

  it.effect("is what the Layer says", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.provide(nameOfProvided, CongestionControl.layerNewReno), "newReno")
      assert.strictEqual(yield* Effect.provide(nameOfProvided, CongestionControl.layerCubic), "cubic")
    })
  )

  it.effect("takes controllers of one's own, one set per connection", () =>
    Effect.gen(function* () {
      let connections = 0
      const own = CongestionControl.layer(() => {
        connections++
        return {
          make: (path) => ({
            name: "fixed",
            congestionWindow: 64 * path.maxDatagramSize,
            pacingRate: 0,
            slowStartThreshold: 0,
            onPacketSent: () => {},
            onAcked: () => {},
            onCongestion: () => {},
            onPersistentCongestion: () => {},
            onSpuriousLoss: () => {},
            reset: () => {},
            close: () => {}
          })
        }
      })
      assert.strictEqual(yield* Effect.provide(nameOfProvided, own), "fixed")
      assert.strictEqual(yield* Effect.provide(nameOfProvided, own), "fixed")
      assert.strictEqual(connections, 2)
    })
  )
})
