import { assert, describe, it } from "@effect/vitest"
import { CycleMax, RoundMax } from "../../src/internal/congestion/WindowedMax.ts"
import { seeded } from "../recovery/support.ts"

describe("WindowedMax", () => {
  it("a maximum of cycles lasts for the next one, and one without a value is none", () => {
    const max = new CycleMax()
    assert.strictEqual(max.value, 0)
    max.add(5)
    max.add(3)
    max.advance()
    max.advance()
    assert.strictEqual(max.value, 5)
    max.add(2)
    assert.strictEqual(max.value, 5)
    max.advance()
    assert.strictEqual(max.value, 2)
    max.reset()
    assert.strictEqual(max.value, 0)
  })

  it("a maximum of rounds is that of the last ones (property)", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seeded(seed)
      const length = 1 + Math.floor(random() * 10)
      const max = new RoundMax(length)
      const rounds: Array<Array<number>> = [[]]
      for (let i = 0; i < 200; i++) {
        if (random() < 0.3) {
          max.advance()
          rounds.push([])
        } else {
          const value = random() * 100
          max.add(value)
          rounds.at(-1)!.push(value)
        }
        assert.strictEqual(max.value, Math.max(0, ...rounds.slice(-length).flat()), `seed ${seed}, step ${i}`)
      }
    }
  })
})
