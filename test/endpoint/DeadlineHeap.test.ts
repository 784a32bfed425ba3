import { assert, describe, it } from "@effect/vitest"
import { DeadlineHeap } from "../../src/internal/endpoint/DeadlineHeap.ts"
import type { Timed } from "../../src/internal/endpoint/DeadlineHeap.ts"
import { Prng } from "../../src/testing/internal/SimulatorCore.ts"

class Item implements Timed {
  armed = Infinity
  place = 0
  deadline = Infinity
  nextTimeout = (): number => this.deadline
}

describe("DeadlineHeap", () => {
  it("gives what is due and nothing else, whatever moves, against a plain list", () => {
    const random = new Prng(5, "heap")
    const items = Array.from({ length: 60 }, () => new Item())
    const heap = new DeadlineHeap<Item>()
    let now = 0
    for (let round = 0; round < 20_000; round++) {
      const item = items[Math.floor(random.next() * items.length)]!
      const what = random.next()
      if (what < 0.6) {
        item.deadline = random.next() < 0.1 ? Infinity : now + random.next() * 100
        heap.arm(item)
      } else if (what < 0.7) {
        item.deadline = Infinity
        heap.remove(item)
      } else {
        now += random.next() * 10
        const due = new Set(items.filter((each) => each.deadline <= now))
        for (let next = heap.pop(now); next !== undefined; next = heap.pop(now)) {
          assert.isTrue(due.delete(next))
          next.deadline = Infinity
        }
        assert.strictEqual(due.size, 0)
      }
      const earliest = items.reduce((least, each) => Math.min(least, each.deadline), Infinity)
      assert.isAtMost(heap.next, earliest)
    }
  })

  it("holds nothing that was removed", () => {
    const heap = new DeadlineHeap<Item>()
    const items = Array.from({ length: 100 }, (_, i) => Object.assign(new Item(), { deadline: (i * 37) % 100 }))
    for (const item of items) heap.arm(item)
    for (const item of items.slice(0, 50)) heap.remove(item)
    assert.strictEqual(heap.size, 50)
    const rest: Array<number> = []
    for (let next = heap.pop(1000); next !== undefined; next = heap.pop(1000)) rest.push(next.deadline)
    assert.deepStrictEqual(
      rest,
      items
        .slice(50)
        .map((item) => item.deadline)
        .toSorted((a, b) => a - b)
    )
    assert.strictEqual(heap.size, 0)
  })
})
