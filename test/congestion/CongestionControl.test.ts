import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as CongestionControl from "../../src/CongestionControl.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"
import { MSS, TestPath } from "./support.ts"

const { balia, bbr, cubic, lia, newReno, olia } = CongestionControl

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

  for (const [name, factory] of Object.entries({ newReno, cubic, lia, olia, balia, bbr })) {
    it(`${name}: whatever comes first, and whatever follows, the window is a number of bytes`, () => {
      for (let seed = 1; seed <= 40; seed++) {
        const random = new Prng(seed, name)
        const controllers = factory()
        const paths = [new TestPath(), new TestPath(), new TestPath()]
        const members = paths.map((path) => controllers.make(path))
        for (let now = 0; now < 300; now += 10) {
          const at = random.int(members.length)
          const member = members[at]!
          const sent = now - random.int(200)
          paths[at]!.usable = random.int(4) > 0
          switch (random.int(8)) {
            case 0:
              member.onCongestion(now, sent, MSS, random.int(2) === 0)
              break
            case 1:
              member.onPersistentCongestion(now)
              break
            case 2:
              member.onSpuriousLoss(now)
              break
            case 3:
              member.reset(now)
              break
            default:
              member.onAcked(now, MSS, sent, random.int(2) === 0)
          }
          for (const each of members)
            assert.isTrue(each.congestionWindow >= 2 * MSS && each.congestionWindow < 1e9, `seed ${seed}, ${now} ms`)
        }
      }
    })
  }
})
