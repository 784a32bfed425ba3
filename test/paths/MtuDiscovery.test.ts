import { assert, describe, it } from "@effect/vitest"
import { MtuDiscovery } from "../../src/internal/paths/MtuDiscovery.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"

const BASE = 1200
const LARGE = 1452

const discovered = (): MtuDiscovery => {
  const discovery = new MtuDiscovery(BASE, LARGE, true)
  assert.strictEqual(discovery.nextProbe(), LARGE)
  discovery.onProbeSent()
  discovery.onProbeAcked(LARGE)
  assert.strictEqual(discovery.current, LARGE)
  return discovery
}

describe("path MTU discovery", () => {
  it("A6: where only large packets get lost, round after round, the size falls (RFC 8899 4.3)", () => {
    const discovery = discovered()
    let next = 0
    let rounds = 0
    while (discovery.current === LARGE && rounds < 10) {
      const large = next++
      for (let i = 0; i < 4; i++) discovery.onPacketAcked(next++, 60)
      discovery.onPacketLost(large, 1400, next)
      rounds++
    }
    assert.strictEqual(rounds, 3)
    assert.strictEqual(discovery.current, BASE)
  })

  it("A6: many losses at once are one round, and an acknowledged large packet ends the suspicion", () => {
    const discovery = discovered()
    for (let i = 0; i < 50; i++) assert.isFalse(discovery.onPacketLost(i, 1400, 50))
    discovery.onPacketAcked(51, 1400)
    for (let i = 52; i < 56; i++) assert.isFalse(discovery.onPacketLost(i, 1400, 60))
    assert.isFalse(discovery.onPacketLost(60, 1400, 70))
    discovery.onPacketAcked(71, 1400)
    assert.isFalse(discovery.onPacketLost(80, 1400, 90))
    assert.isFalse(discovery.onPacketLost(91, 1400, 100))
    assert.strictEqual(discovery.current, LARGE)
  })

  it("issue 7 outage: two rounds are enough where a window of large packets was lost and none came through", () => {
    for (const timeout of [false, true]) {
      const discovery = discovered()
      if (timeout) assert.isFalse(discovery.onTimeout(true))
      for (let i = 0; i < 5; i++) assert.isFalse(discovery.onPacketLost(i, 1400, 10))
      assert.strictEqual(discovery.onPacketLost(5, 1400, 10), timeout)
      if (!timeout) assert.isTrue(discovery.onPacketLost(10, 1400, 20))
      assert.strictEqual(discovery.current, BASE)
    }
  })

  it("issue 7 outage: smaller packets that come through do not end the suspicion of larger ones", () => {
    const discovery = discovered()
    for (let round = 0; round < 3; round++) {
      const from = 10 * round
      discovery.onPacketAcked(from + 1, 1300)
      assert.strictEqual(discovery.onPacketLost(from, 1400, from + 10), round === 2)
    }
    assert.strictEqual(discovery.current, BASE)
    const other = discovered()
    for (let round = 0; round < 5; round++) {
      other.onPacketAcked(10 * round + 1, 1400)
      assert.isFalse(other.onPacketLost(10 * round, 1300, 10 * round + 10))
    }
  })

  it("A6: random loss up to 15 % leaves the size alone", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new Prng(seed, "loss")
      const discovery = discovered()
      for (let round = 0; round < 500; round++) {
        const from = round * 10
        for (let i = 0; i < 10; i++) {
          const bytes = i === 9 ? 300 : LARGE
          if (random.next() >= 0.15) discovery.onPacketAcked(from + i, bytes)
          else discovery.onPacketLost(from + i, bytes, from + 10)
        }
      }
      assert.strictEqual(discovery.current, LARGE, `seed ${seed}`)
    }
  })

  it("A6: probe timeouts count while large packets are outstanding, not when PINGs alone get lost", () => {
    const discovery = discovered()
    for (let i = 0; i < 20; i++) assert.isFalse(discovery.onTimeout(false))
    assert.strictEqual(discovery.current, LARGE)
    assert.isFalse(discovery.onTimeout(true))
    assert.isFalse(discovery.onTimeout(true))
    assert.isTrue(discovery.onTimeout(true))
    assert.strictEqual(discovery.current, BASE)
  })

  it("A6: what a path carried is searched for again: the outage may be over", () => {
    const discovery = discovered()
    for (let i = 0; i < 3; i++) discovery.onTimeout(true)
    for (let limit of [1452, 1300, 1200]) {
      limit = Math.max(limit, BASE)
      for (let probes = 0; probes < 60; probes++) {
        const size = discovery.nextProbe()
        if (size === 0) break
        discovery.onProbeSent()
        if (size <= limit) discovery.onProbeAcked(size)
        else discovery.onProbeLost(size)
      }
      assert.isAtMost(discovery.current, limit)
      assert.isAbove(discovery.current, limit - 16)
      for (let i = 0; i < 3; i++) discovery.onTimeout(true)
    }
  })
})
