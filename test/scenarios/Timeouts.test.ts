/** Idle, handshake and probe timeouts to the millisecond (RFC 9000 section 10.1, RFC 9002 section 6.2). */
import { assert, describe, it } from "@effect/vitest"
import type { ConnectionSettings } from "../../src/internal/Settings.ts"
import { capture } from "../support/Hostile.ts"
import { Pair, pattern } from "../support/Machines.ts"
import type { Node } from "../support/Machines.ts"
import { ending, established, exchange, say, seeds } from "../support/Scenario.ts"

const DELAY = 10
const pairOf = (client: Partial<ConnectionSettings>, server: Partial<ConnectionSettings>, seed = 1): Pair =>
  established({ seed, links: [{ delay: DELAY }], client: { settings: client }, server: { settings: server } })

/** Runs until the node's connection ended; gives the time, exact to the event. */
const endOf = (pair: Pair, node: Node, limit: number): number => {
  while (node.closes.length === 0 && pair.simulator.next() <= limit) pair.simulator.run(pair.simulator.next())
  return node.closes.length === 0 ? -1 : pair.simulator.now
}

const quiet = { mtuDiscovery: false } as const

describe("RFC 9000 10.1: idle timeout", () => {
  it.each([
    [5000, 30_000],
    [30_000, 5000],
    [5000, 0],
    [0, 5000],
    [5000, 5000]
  ])("client %d ms, server %d ms: the lower that is not 0 holds, on both sides, exactly", (client, server) => {
    const pair = pairOf({ ...quiet, idleTimeout: client }, { ...quiet, idleTimeout: server })
    exchange(pair, 1000, 1000, "before")
    // Long enough for delayed acknowledgements to have left.
    pair.run(pair.simulator.now + 500)
    const sent = [capture(pair.client), capture(pair.server)]
    const last = { client: pair.connection.core.idleSince, server: pair.accepted.core.idleSince }
    const [first, second] = last.client < last.server ? [pair.client, pair.server] : [pair.server, pair.client]
    endOf(pair, first, 100_000)
    assert.strictEqual(pair.simulator.now, Math.min(last.client, last.server) + 5000)
    assert.deepStrictEqual(ending(first), { kind: "idleTimeout", after: 5000 })
    endOf(pair, second, 100_000)
    assert.strictEqual(pair.simulator.now, Math.max(last.client, last.server) + 5000)
    assert.deepStrictEqual(ending(second), { kind: "idleTimeout", after: 5000 })
    // Neither says goodbye: the other side may not even be there.
    assert.deepStrictEqual(sent, [[], []])
    assert.strictEqual(pair.client.endpoint.stats().connections, 0)
    assert.strictEqual(pair.server.endpoint.stats().connections, 0)
    assert.strictEqual(pair.simulator.next(), Infinity)
  })

  it("0 on both sides: never", () => {
    const pair = pairOf({ ...quiet, idleTimeout: 0 }, { ...quiet, idleTimeout: 0 })
    pair.run(86_400_000)
    exchange(pair, 1000, 1000, "a day later")
  })

  it("the first ack-eliciting packet after an arrival starts it anew, its repetitions do not", () => {
    const pair = pairOf({ ...quiet, idleTimeout: 5000 }, { ...quiet, idleTimeout: 5000 })
    pair.run(2000)
    pair.client.tap = () => false
    say(pair.connection, pattern(0, 100))
    const end = endOf(pair, pair.client, 100_000)
    assert.strictEqual(end, 7000)
    assert.isAbove(pair.connection.paths[0]!.ptoCount, 3)
  })

  it("it is never shorter than three probe timeouts", () => {
    const pair = established({
      links: [{ delay: 500 }],
      client: { settings: { ...quiet, idleTimeout: 3500 } },
      server: { settings: { ...quiet, idleTimeout: 3500 } }
    })
    pair.run(5000)
    assert.strictEqual(pair.client.closes.length, 0)
    const pto = pair.connection.core.largestPto()
    assert.isAbove(3 * pto, 3500)
    const since = pair.connection.core.idleSince
    assert.closeTo(endOf(pair, pair.client, 100_000), since + 3 * pto, 1e-6)
  })

  it("keep-alive of either side holds both up, with a PING each interval and no more", () => {
    for (const keepAlive of ["client", "server"]) {
      const settings = { ...quiet, idleTimeout: 5000 }
      const alive = { ...settings, keepAlive: 2000 }
      const pair = pairOf(keepAlive === "client" ? alive : settings, keepAlive === "server" ? alive : settings)
      const sent = capture(keepAlive === "client" ? pair.client : pair.server)
      pair.run(100_000)
      assert.strictEqual(pair.connection.state, "established")
      assert.isAtLeast(sent.length, 48)
      assert.isAtMost(sent.length, 60)
      exchange(pair, 1000, 1000, keepAlive)
    }
  })

  it("keep-alive does not hold up a connection whose peer is gone", () => {
    const pair = pairOf({ ...quiet, idleTimeout: 5000, keepAlive: 2000 }, quiet)
    pair.run(1000)
    pair.server.tap = () => false
    pair.client.tap = () => false
    const end = endOf(pair, pair.client, 100_000)
    assert.isAbove(end, 5000)
    assert.isBelow(end, 8000)
    assert.strictEqual(ending(pair.client).kind, "idleTimeout")
  })

  it("a connection is kept by traffic of one direction alone", () => {
    const pair = pairOf({ ...quiet, idleTimeout: 2000 }, { ...quiet, idleTimeout: 2000 })
    const stream = say(pair.connection, pattern(0, 1))
    for (let i = 1; i < 20; i++) {
      pair.run(pair.simulator.now + 1500)
      stream.write(pattern(i, 1))
      pair.connection.wake()
    }
    pair.run(pair.simulator.now + 500)
    assert.strictEqual(pair.accepted.streams.bytesReceived, 20)
    assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0)
  })
})

describe("Handshake timeout", () => {
  it("ends a client that nobody answers, exactly, without a word", () => {
    const pair = new Pair({ links: [{ delay: DELAY }], client: { settings: { handshakeTimeout: 3456 } } })
    const sent = capture(pair.client)
    pair.server.tap = () => false
    assert.strictEqual(endOf(pair, pair.client, 100_000), 3456)
    assert.deepStrictEqual(ending(pair.client), { kind: "handshakeTimeout", after: 3456 })
    assert.strictEqual(pair.client.endpoint.stats().connections, 0)
    assert.isTrue(sent.every(({ at }) => at < 3456))
  })

  it("ends a server whose client went away, exactly", () => {
    const pair = new Pair({ links: [{ delay: DELAY }], server: { settings: { handshakeTimeout: 3456 } } })
    let packets = 0
    pair.client.tap = () => packets++ === 0
    assert.strictEqual(endOf(pair, pair.server, 100_000), DELAY + 3456)
    assert.deepStrictEqual(ending(pair.server), { kind: "handshakeTimeout", after: 3456 })
    assert.strictEqual(pair.server.endpoint.stats().connections, 0)
  })

  it("is over when the handshake is complete: no end for slow connections", () => {
    const pair = pairOf({ handshakeTimeout: 100 }, { handshakeTimeout: 100 })
    pair.run(5000)
    exchange(pair, 1000, 1000, "later")
  })
})

describe("RFC 9002 6.2: probe timeouts", () => {
  it("the first flight goes out again after 3 x 333 ms, then after twice as long, up to 2 s (A12)", () => {
    const pair = new Pair({ client: { settings: { handshakeTimeout: 40_000, idleTimeout: 40_000 } } })
    const sent = capture(pair.client)
    const before = pair.client.tap!
    pair.client.tap = (...datagram) => before(...datagram) && false
    pair.run(32_000)
    assert.deepStrictEqual(
      [...new Set(sent.map(({ at }) => at))],
      [0, 999, ...Array.from({ length: 15 }, (_, i) => 2997 + 2000 * i)]
    )
    // One datagram first, then two probes each time, all of them with the ClientHello.
    assert.strictEqual(sent.length, 33)
  })

  it("1-RTT probes: smoothed RTT, four variances and max_ack_delay, doubling; data at each; reset by an answer", () => {
    for (const seed of seeds(5)) {
      const pair = pairOf({ ...quiet, idleTimeout: 60_000 }, { ...quiet, idleTimeout: 60_000 }, seed)
      exchange(pair, 100_000, 2000, "to have an RTT")
      pair.run(pair.simulator.now + 100)
      const { recovery } = pair.connection.paths[0]!
      const { smoothed, variance } = recovery.rtt
      const pto = smoothed + Math.max(4 * variance, 1) + 25
      const start = pair.simulator.now
      const sent = capture(pair.client)
      const before = pair.client.tap!
      pair.client.tap = (...datagram) => before(...datagram) && false
      say(pair.connection, pattern(0, 100))
      pair.run(start + 40 * pto)
      const times = [...new Set(sent.map(({ at }) => at))].map((at) => at - start)
      const expected = [0, 1, 3, 7, 15, 31].map((n) => n * pto)
      assert.strictEqual(times.length, expected.length, `seed ${seed}`)
      times.forEach((time, i) => assert.closeTo(time, expected[i]!, 1e-6, `seed ${seed}`))
      assert.strictEqual(recovery.ptoCount, 5)
      pair.client.tap = undefined
      pair.run(start + 64 * pto)
      assert.strictEqual(recovery.ptoCount, 0)
      assert.strictEqual(pair.accepted.streams.get(0)?.receive?.buffer.highestOffset, 100)
    }
  })
})
