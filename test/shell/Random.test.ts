import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeSecureRandom, RandomBytes, randomNumber } from "../../src/internal/runtime/Random.ts"
import * as SeededRandom from "../../src/testing/SeededRandom.ts"

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

describe("RandomBytes", () => {
  it("gives every caller bytes of its own, across pools and beyond their size", () => {
    const random = makeSecureRandom()
    const seen = new Set<string>()
    for (let i = 0; i < 2000; i++) {
      const bytes = random(8)
      assert.strictEqual(bytes.length, 8)
      seen.add(hex(bytes))
    }
    assert.strictEqual(seen.size, 2000)
    for (const length of [0, 1, 1024, 1025, 10_000]) assert.strictEqual(random(length).length, length)
    const big = random(10_000)
    assert.isAbove(new Set(big).size, 200)
  })

  it("numbers are in [0, 1) and use all of it", () => {
    assert.strictEqual(
      randomNumber(() => new Uint8Array(4)),
      0
    )
    const top = randomNumber(() => new Uint8Array([255, 255, 255, 255]))
    assert.isBelow(top, 1)
    assert.isAbove(top, 0.999999)
  })

  it.effect("is secure unless replaced, and then repeats with its seed", () =>
    Effect.gen(function* () {
      const draw = Effect.map(Effect.service(RandomBytes), (random) => hex(random(32)))
      const first = yield* Effect.provide(draw, SeededRandom.layer(7))
      assert.strictEqual(yield* Effect.provide(draw, SeededRandom.layer(7)), first)
      assert.notStrictEqual(yield* Effect.provide(draw, SeededRandom.layer(8)), first)
      assert.notStrictEqual(yield* draw, yield* draw)
    })
  )
})
