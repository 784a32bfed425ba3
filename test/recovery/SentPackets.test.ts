import { assert, describe, it } from "@effect/vitest"
import { SentFrame } from "../../src/internal/recovery/SentFrames.ts"
import { PacketFlag, SentPackets } from "../../src/internal/recovery/SentPackets.ts"
import { seeded } from "./support.ts"

describe("SentPackets", () => {
  it("numbers packets from 0 without skips when no randomness is given", () => {
    const sent = new SentPackets()
    for (let n = 0; n < 2000; n++) {
      assert.strictEqual(sent.nextPacketNumber(), n)
      sent.add(n, n, 100, 0, undefined)
      sent.base = sent.next
    }
    assert.strictEqual(sent.lastSkipped, -1)
  })

  it("skips numbers at random, ever more rarely (RFC 9000 section 21.4)", () => {
    const sent = new SentPackets(seeded(3))
    const skips: Array<number> = []
    let expected = 0
    for (let i = 0; i < 100_000; i++) {
      const n = sent.nextPacketNumber()
      assert.strictEqual(sent.nextPacketNumber(), n, "asking changes nothing")
      if (n !== expected) {
        assert.strictEqual(n, expected + 1)
        assert.strictEqual(sent.lastSkipped, expected)
        skips.push(expected)
      }
      expected = n + 1
      sent.add(n, i, 100, 0, undefined)
      sent.flags[n & sent.mask] = 0
      sent.base = sent.next
    }
    assert.isAtLeast(skips.length, 5)
    assert.isAtMost(skips[0]!, 3 + 512)
    const gaps = skips.slice(1).map((n, i) => n - skips[i]!)
    assert.isAbove(gaps.at(-1)!, gaps[0]!)
    const other = new SentPackets(seeded(4))
    for (let i = 0; other.lastSkipped < 0; i++) {
      const n = other.nextPacketNumber()
      other.add(n, i, 100, 0, undefined)
      other.base = other.next
    }
    assert.notStrictEqual(other.lastSkipped, skips[0])
  })

  it("finds skipped numbers in acknowledgements", () => {
    const sent = new SentPackets(() => 0)
    for (let i = 0; i < 3; i++) sent.add(sent.nextPacketNumber(), 0, 100, 0, undefined)
    sent.add(sent.nextPacketNumber(), 0, 100, 0, undefined)
    const skipped = sent.lastSkipped
    assert.strictEqual(skipped, 3)
    assert.isFalse(sent.acknowledgesSkipped(Float64Array.of(skipped + 1, skipped + 1, 0, skipped - 1), 2))
    assert.isTrue(sent.acknowledgesSkipped(Float64Array.of(skipped, skipped + 1), 1))
    assert.isTrue(sent.acknowledgesSkipped(Float64Array.of(4, 4, 1, 3), 2))
    assert.isFalse(sent.acknowledgesSkipped(Float64Array.of(4, 4, 1, 3), 1), "only what is in use")
  })

  it("keeps every column through growth, also when the ring has wrapped", () => {
    const sent = new SentPackets()
    while (sent.capacity < 64) sent.grow()
    for (let n = 0; n < 100; n++) {
      if (n >= 50) {
        sent.flags[sent.base & sent.mask] = 0
        sent.base++
      }
      const frame = new SentFrame()
      frame.value = n
      sent.add(n, n / 2, 1000 + n, PacketFlag.inFlight, frame)
    }
    assert.strictEqual(sent.capacity, 64)
    assert.strictEqual(sent.base, 50)
    assert.isTrue(sent.grow())
    assert.strictEqual(sent.capacity, 128)
    for (let n = 50; n < 100; n++) {
      const slot = n & sent.mask
      assert.strictEqual(sent.timeSent[slot], n / 2)
      assert.strictEqual(sent.size[slot], 1000 + n)
      assert.strictEqual(sent.flags[slot], PacketFlag.outstanding | PacketFlag.inFlight)
      assert.strictEqual(sent.frames[slot]?.value, n)
    }
    assert.strictEqual(sent.flags[100 & sent.mask], 0)
  })

  it("stops growing at 131072 packets and says before that it is full", () => {
    const sent = new SentPackets()
    while (sent.grow());
    assert.strictEqual(sent.capacity, 2 ** 17)
    assert.isFalse(sent.isFull)
    for (let n = 0; !sent.isFull; n++) sent.add(n, 0, 1, 0, undefined)
    assert.isBelow(sent.span, sent.capacity)
    assert.isAtLeast(sent.span, 2 ** 17 - 1024)
  })
})
