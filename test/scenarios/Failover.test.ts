import { assert, describe, it } from "@effect/vitest"
import { blest } from "../../src/internal/paths/schedulers/Blest.ts"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { ecf } from "../../src/internal/paths/schedulers/Ecf.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import { minRtt } from "../../src/internal/paths/schedulers/MinRtt.ts"
import { roundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, connected, eventsOf, openPath, transfer, withPaths } from "../support/Multipath.ts"
import type { TransferResult } from "../support/Multipath.ts"
import { established, exchange, send } from "../support/Scenario.ts"

const MB = 1_000_000
const twoLinks = [
  { mbps: 10, delay: 10, queue: 100 },
  { mbps: 10, delay: 10, queue: 100 }
]

/** What happens at which ms of a transfer. */
type Script = ReadonlyArray<readonly [number, (pair: Pair) => void]>

const scripted = (script: Script, options: { readonly upload: boolean; readonly bytes?: number }): TransferResult => {
  const pair = withPaths({ links: twoLinks })
  let next = 0
  const result = transfer(pair, {
    bytes: options.bytes ?? 8 * MB,
    upload: options.upload,
    limit: 40_000,
    step: (elapsed) => {
      while (next < script.length && elapsed >= script[next]![0]) script[next++]![1](pair)
    }
  })
  assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [])
  return result
}

const both = ["download", "upload"] as const

describe("A3: two paths fail one after the other", () => {
  for (const way of both) {
    it(`and any of them that comes back carries the connection on: ${way}`, () => {
      for (const first of [0, 1]) {
        for (const back of [0, 1]) {
          for (const gap of [100, 500, 2000]) {
            const second = 1 - first
            const { stall } = scripted(
              [
                [1000, ({ links }) => links[first]!.cut()],
                [1000 + gap, ({ links }) => links[second]!.cut()],
                [1500 + gap, ({ links }) => links[back]!.restore()]
              ],
              { upload: way === "upload", bytes: 5 * MB }
            )
            assert.isBelow(stall, 3000, `${first} fails, ${gap} ms later ${second}, and ${back} comes back`)
          }
        }
      }
    })

    it(`and one way works on each: ${way}`, () => {
      for (const forward of [0, 1]) {
        const { stall } = scripted(
          [
            [1000, ({ links }) => links[forward]!.set({ backward: { up: false } })],
            [1000, ({ links }) => links[1 - forward]!.set({ forward: { up: false } })]
          ],
          { upload: way === "upload", bytes: 5 * MB }
        )
        assert.isBelow(stall, 3000, `path ${forward} leads to the server alone`)
      }
    })
  }
})

describe("F2: links that flap", () => {
  it("in turn, 0.25 s each: both paths stay, and both carry data to the end", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const pair = withPaths({ links: twoLinks, seed })
      const flaps: Array<readonly [number, (one: Pair) => void]> = []
      for (let i = 0; i < 8; i++) {
        flaps.push([1500 + 500 * i, ({ links }) => links[i % 2]!.cut()])
        flaps.push([1750 + 500 * i, ({ links }) => links[i % 2]!.restore()])
      }
      let next = 0
      transfer(pair, {
        bytes: 12 * MB,
        limit: 40_000,
        step: (elapsed) => {
          while (next < flaps.length && elapsed >= flaps[next]![0]) flaps[next++]![1](pair)
        }
      })
      for (const node of [pair.client, pair.server]) {
        assert.deepStrictEqual(eventsOf(node, "abandoned"), [], `seed ${seed}`)
      }
      const before = pair.accepted.paths.map(({ streamBytesSent }) => streamBytesSent)
      transfer(pair, { bytes: 4 * MB })
      for (const [i, path] of pair.accepted.paths.entries()) {
        assert.isAbove(path.streamBytesSent - before[i]!, MB, `seed ${seed}, path ${i}`)
      }
    }
  })
})

describe("a path that was away carries its share again", () => {
  const all = { deliveryRate, ecf, blest, lowLatency, minRtt: minRtt(0.5), roundRobin }
  for (const [name, scheduler] of Object.entries(all)) {
    it.each([0, 1])(`soon after it is back: ${name}, path %i`, (index) => {
      const pair = withPaths({ links: twoLinks, node: { scheduler } })
      const incoming = send(pair.accepted, pair.connection, 40 * MB)
      pair.run(pair.simulator.now + 1000)
      pair.links[index]!.set({ up: false })
      pair.run(pair.simulator.now + 1000)
      pair.links[index]!.set({ up: true })
      pair.run(pair.simulator.now + 2000)
      const before = pair.accepted.paths[index]!.streamBytesSent
      pair.run(pair.simulator.now + 2000)
      // Of 2.5 MB that the link takes in that time.
      assert.isAbove(pair.accepted.paths[index]!.streamBytesSent - before, MB)
      assert.isFalse(incoming.finished)
    })
  }
})

describe("F9: a hand-over", () => {
  it("stalls no longer than a probe timeout and a round trip", () => {
    const pair = withPaths({ links: twoLinks })
    pair.links[1]!.cut()
    let up = false
    const { stall } = transfer(pair, {
      bytes: 6 * MB,
      limit: 30_000,
      step: (elapsed) => {
        if (elapsed < 2000 || up) return
        up = true
        // One comes up as the other goes down.
        pair.links[1]!.restore()
        pair.links[0]!.cut()
      }
    })
    // The probe timeout of a path of 10 Mbit/s with 100 packets of queue, and its round trip.
    const pto = 3 * 140 + 25
    assert.isBelow(stall, 2 * pto)
  })
})

describe("A13: one side is suspended", () => {
  for (const seconds of [2, 20]) {
    it(`for ${seconds} s: the connection goes on`, () => {
      const pair = withPaths({ links: twoLinks })
      for (const link of pair.links) link.cut()
      pair.run(pair.simulator.now + seconds * 1000)
      for (const link of pair.links) link.restore()
      exchange(pair, 300_000, 10_000, `after ${seconds} s`)
    })
  }

  it("for 40 s, longer than the idle timeout: both ends know, and nothing is left", () => {
    const pair = withPaths({ links: twoLinks })
    exchange(pair, 100_000, 10_000, "before")
    for (const link of pair.links) link.cut()
    pair.run(pair.simulator.now + 45_000)
    assert.strictEqual(pair.client.closes[0]?.kind, "idleTimeout")
    assert.strictEqual(pair.server.closes[0]?.kind, "idleTimeout")
    assert.strictEqual(pair.server.endpoint.stats().connections, 0)
    assert.strictEqual(pair.server.endpoint.stats().routes, 0)
  })
})

describe("C7: signs of life", () => {
  it("leave on each path: a translator on a quiet one does not forget it while another is busy", () => {
    const pair = connected({ links: twoLinks, settings: { keepAlive: 10_000 } })
    pair.simulator.nat({
      outside: "203.0.113.1",
      inside: [pair.client.addresses[1]!.host],
      idle: 25_000
    })
    awaitPath(pair, openPath(pair, 1, "backup"))
    const sent = pair.connection.path(1)!.packetsSent
    for (let i = 0; i < 12; i++) {
      transfer(pair, { bytes: 200_000 })
      pair.run(pair.simulator.now + 10_000)
    }
    assert.isAtLeast(pair.connection.path(1)!.packetsSent - sent, 10)
    pair.links[0]!.cut()
    const { stall } = transfer(pair, { bytes: 500_000, limit: 10_000 })
    assert.isBelow(stall, 1500)
  })

  it("leave twice in the idle timeout that both sides agreed on", () => {
    const pair = established({
      links: [twoLinks[0]!],
      client: { settings: { keepAlive: 20_000, idleTimeout: 30_000 } },
      server: { settings: { idleTimeout: 10_000 } }
    })
    pair.run(pair.simulator.now + 60_000)
    assert.strictEqual(pair.connection.state, "established")
    const own = established({ client: { settings: { keepAlive: 40_000, idleTimeout: 30_000 } } })
    own.run(own.simulator.now + 100_000)
    assert.strictEqual(own.connection.state, "established")
  })
})
