import { assert, describe, it } from "@effect/vitest"
import { RangeSet } from "../../src/internal/streams/RangeSet.ts"
import { Random } from "../wire/random.ts"

const ranges = (set: RangeSet): Array<[number, number]> =>
  Array.from({ length: set.count }, (_, index) => [set.startAt(index), set.endAt(index)])

describe("RangeSet", () => {
  it("joins what touches and splits what is cut", () => {
    const set = new RangeSet()
    set.add(10, 20)
    set.add(30, 40)
    set.add(20, 30)
    assert.deepStrictEqual(ranges(set), [[10, 40]])
    set.remove(15, 35)
    assert.deepStrictEqual(ranges(set), [
      [10, 15],
      [35, 40]
    ])
    set.shorten(5)
    set.shorten(2)
    assert.deepStrictEqual(ranges(set), [[37, 40]])
    assert.strictEqual(set.total, 3)
    set.add(50, 50)
    set.remove(38, 38)
    assert.deepStrictEqual(ranges(set), [[37, 40]])
  })

  for (const seed of [1, 2, 3, 4]) {
    it(`does what a set of offsets does (seed ${seed})`, () => {
      const random = new Random(seed)
      const set = new RangeSet()
      const size = 400
      const model = new Uint8Array(size)
      for (let step = 0; step < 4000; step++) {
        const start = random.between(0, size - 1)
        const end = Math.min(size, start + random.between(0, 12))
        const adds = random.between(0, 99) < 55
        if (adds) set.add(start, end)
        else set.remove(start, end)
        model.fill(adds ? 1 : 0, start, end)
        if (random.between(0, 20) === 0 && set.count > 0) {
          model.fill(0, set.startAt(0), set.endAt(0))
          set.removeFirst()
        }
        const expected: Array<[number, number]> = []
        for (let at = 0; at < size; at++) {
          if (model[at] === 0) continue
          const last = expected.at(-1)
          if (last !== undefined && last[1] === at) last[1]++
          else expected.push([at, at + 1])
        }
        assert.deepStrictEqual(ranges(set), expected)
        assert.strictEqual(
          set.total,
          model.reduce((sum, bit) => sum + bit, 0)
        )
        const offset = random.between(0, size)
        const index = expected.findIndex((range) => range[1] >= offset)
        assert.strictEqual(set.lower(offset), index < 0 ? expected.length : index)
      }
    })
  }

  it("costs a few steps an operation when one run adds at the end and one closes gaps at the front", () => {
    const set = new RangeSet()
    const frames = 20_000
    const lag = 500
    for (let at = 0; at < frames; at += 2) {
      set.add(at, at + 1)
      if (at >= lag) set.add(at - lag + 1, at - lag + 2)
      if (set.startAt(0) < at - 2 * lag) set.shorten(1)
    }
    assert.isBelow(set.steps, 16 * frames)
  })
})
