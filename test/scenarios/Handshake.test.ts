/** Handshakes over links that lose, corrupt, duplicate, reorder and delay (RFC 9000 section 7, RFC 9002 section 6.2). */
import { assert, describe, it } from "@effect/vitest"
import { seeds, establish, established, exchange } from "../support/Scenario.ts"
import { Pair } from "../support/Machines.ts"
import type { PairOptions } from "../support/Machines.ts"
import { Level } from "../../src/internal/wire/Protocol.ts"
import type { LinkOptions } from "../../src/testing/internal/SimulatorCore.ts"

const FLIGHT = 6

/** Loses the numbered datagrams of each side (0 is the first). */
const losing = (client: ReadonlyArray<number>, server: ReadonlyArray<number>, options: PairOptions = {}): Pair => {
  const pair = new Pair(options)
  let fromClient = 0
  let fromServer = 0
  pair.client.tap = () => !client.includes(fromClient++)
  pair.server.tap = () => !server.includes(fromServer++)
  return pair
}

const links = (options: LinkOptions): PairOptions => ({ links: [{ mbps: 40, delay: 10, queue: 100, ...options }] })

describe("Handshake over bad links", () => {
  it("takes one round trip to be complete and another to be confirmed (RFC 9001 section 4.1.2)", () => {
    const pair = new Pair()
    const done = pair.until(() => pair.connection.state === "established", 1000)
    assert.isAtMost(done, 23)
    assert.isAtMost(establish(pair), 45)
    assert.strictEqual(pair.connection.core.handshake.initial, undefined)
    assert.strictEqual(pair.connection.core.handshake.handshake, undefined)
    assert.strictEqual(pair.accepted.core.handshake.initial, undefined)
    assert.strictEqual(pair.accepted.core.handshake.handshake, undefined)
    // RFC 9001 4.9: what was said at these levels is not kept either.
    for (const { core } of [pair.connection, pair.accepted]) {
      for (const level of [Level.initial, Level.handshake]) {
        assert.isTrue(core.handshake.stream(level).isAcknowledged)
        assert.isFalse(core.handshake.stream(level).hasData)
      }
    }
  })

  it("RFC 9002 6.2: survives the loss of any one datagram and of any two", () => {
    const all = Array.from({ length: 2 * FLIGHT }, (_, i) => i)
    for (const first of all) {
      for (const second of all.filter((n) => n >= first)) {
        const lost = [first, second]
        const client = lost.filter((n) => n < FLIGHT)
        const server = lost.filter((n) => n >= FLIGHT).map((n) => n - FLIGHT)
        const pair = losing(client, server)
        const name = `lost ${client.join()} of the client, ${server.join()} of the server`
        assert.isAbove(establish(pair), 0, name)
        exchange(pair, 3000, 10_000, name)
        assert.strictEqual(pair.server.accepted.length, 1, name)
      }
    }
  })

  it("RFC 9002 6.2: completes with 30 % loss both ways", () => {
    for (const seed of seeds(200)) {
      const pair = new Pair({
        seed,
        ...links({ loss: 0.3 }),
        client: { settings: { handshakeTimeout: 60_000 } },
        server: { settings: { handshakeTimeout: 60_000 } }
      })
      assert.isAbove(establish(pair, 60_000), 0, `seed ${seed}`)
    }
  })

  it.each<[string, LinkOptions]>([
    ["30 % corruption", { corrupt: 0.3 }],
    ["30 % duplication", { duplicate: 0.3 }],
    ["half of the packets held back for 40 ms", { reorder: 0.5, reorderDelay: 40 }],
    ["all at once", { loss: 0.1, corrupt: 0.1, duplicate: 0.1, reorder: 0.2, reorderDelay: 50, jitter: 10 }]
  ])("RFC 9000 12.2, 14: completes with %s", (_, options) => {
    for (const seed of seeds(50)) {
      const pair = new Pair({
        seed,
        ...links(options),
        client: { settings: { handshakeTimeout: 60_000 } },
        server: { settings: { handshakeTimeout: 60_000 } }
      })
      assert.isAbove(establish(pair, 60_000), 0, `seed ${seed}`)
      exchange(pair, 5000, 60_000, `seed ${seed}`)
    }
  })

  it("completes over a round trip of 1500 ms although the first probes leave before any answer can come", () => {
    const pair = established(links({ delay: 750 }))
    assert.isBelow(pair.simulator.now, 3100)
    exchange(pair, 50_000, 30_000, "1500 ms")
    assert.isBelow(Math.abs(pair.connection.paths[0]!.smoothedRtt - 1510), 60)
  })

  it("RFC 9002 6.2.4: a probe of the handshake is one of 1-RTT data under way, too: a server may have no other keys left", () => {
    const pair = new Pair({ links: [{ mbps: 40, delay: 10 }] })
    pair.client.tap = () => true
    assert.isAbove(
      pair.until(() => pair.connection.state === "established", 5000),
      0
    )
    const stream = pair.connection.streams.open(true)!
    stream.write(new Uint8Array(100))
    stream.finish()
    pair.connection.wake()
    // Nothing of what the server says from now on arrives, HANDSHAKE_DONE for one.
    pair.links[0]!.set({ backward: { up: false } })
    let short = 0
    pair.client.tap = (datagram) => {
      if ((datagram[0]! & 0x80) === 0) short++
      return true
    }
    pair.run(pair.simulator.now + 2500)
    assert.isFalse(pair.connection.confirmed)
    assert.isAbove(short, 4)
    pair.links[0]!.restore()
    assert.isAbove(
      pair.until(() => pair.connection.confirmed, pair.simulator.now + 3000),
      0
    )
  })
})
