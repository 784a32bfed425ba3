/**
 * Two paths of one connection through one bottleneck, beside a connection with one path (draft-21 section 5.3, RFC 6356
 * goal 2), and paths of which one is worse. Rates are low, so that minutes take little.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Factory } from "../../src/CongestionControl.ts"
import { balia, lia, olia } from "../../src/CongestionControl.ts"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { Simulator } from "../../src/testing/internal/SimulatorCore.ts"
import { cubic, Drain, lowLatency, newReno, Node, pump } from "../support/Machines.ts"
import { multipathSettings, withPaths } from "../support/Multipath.ts"

const node = (congestion: Factory) => ({ congestion, scheduler: lowLatency, settings: multipathSettings })

/** Reads all that a server's connections get. */
const drainAll = (server: Node, seen: Set<object>): void => {
  for (const connection of server.accepted) {
    const stream = connection.streams.accept(false)
    if (stream !== undefined) seen.add(new Drain(connection, stream))
  }
}

/** Bytes that arrive of each connection in the time measured, the first with two paths, the other with one. */
const share = (congestion: Factory, single: Factory, seed: number, seconds = 60): number => {
  const simulator = new Simulator({ seed })
  // Without jitter, flows and a queue with tail drop fall into a lockstep in which the seed decides who loses.
  const bottleneck = { mbps: 6, delay: 20, jitter: 2, queue: 30 }
  simulator.link(["10.0.0.1", "10.0.1.1", "10.0.2.1"], "10.9.0.1", bottleneck)
  const server = new Node(simulator, ["10.9.0.1"], 4433, true, { settings: multipathSettings })
  const two = new Node(simulator, ["10.0.0.1", "10.0.1.1"], 5000, false, node(congestion))
  const one = new Node(simulator, ["10.0.2.1"], 5000, false, { ...node(single), seed: seed + 100 })
  const connect = (from: Node): Connection => {
    const connection = from.endpoint.connect(
      { local: from.addresses[0]!, remote: server.addresses[0]!, serverName: "server.test", alpn: ["test"] },
      simulator.now
    )
    from.listen(connection)
    return connection
  }
  const first = connect(two)
  simulator.run(300)
  assert.isNumber(first.openPath({ local: two.addresses[1]! }, simulator.now))
  first.wake()
  const second = connect(one)
  simulator.run(1000)
  const drains = new Set<object>()
  for (const connection of [first, second]) pump(connection, connection.streams.open(false)!, 1e9)
  const received = (): ReadonlyArray<number> =>
    server.accepted.map((connection) =>
      connection.stats().paths.reduce((sum, path) => sum + path.streamBytesReceived, 0)
    )
  let before: ReadonlyArray<number> = []
  for (let now = 1000; now < 1000 + seconds * 1000; now += 100) {
    drainAll(server, drains)
    if (now === 11_000) before = received()
    simulator.run(now + 100)
  }
  const [a, b] = received().map((bytes, i) => bytes - before[i]!)
  assert.isAbove(first.stats().paths[1]!.streamBytesSent, 1_000_000, "the second path carries data")
  return a! / b!
}

/** The mean over seeds: one run sees too few losses to say much. */
const meanShare = (congestion: Factory, single: Factory): number =>
  (share(congestion, single, 1) + share(congestion, single, 2)) / 2

describe("REC-3: two paths through one bottleneck beside a connection with one", () => {
  for (const factory of [olia, balia]) {
    it(`${factory.name} takes at most 1.2 times its share`, () => {
      assert.isAtMost(meanShare(factory, newReno), 1.2)
    })
  }

  // Section 3 of RFC 6356 makes alpha of the windows of the moment. Its maximum is 1/2 only while both are equal: a sawtooth
  // of each gives 0.62 on average, and 1.21 times the share over four seeds. With alpha held at 1/2 it is 0.95.
  it("lia takes at most 1.3 times its share", () => {
    assert.isAtMost(meanShare(lia, newReno), 1.3)
  })

  it("not coupled they take about twice as much: NewReno, CUBIC", () => {
    for (const factory of [newReno, cubic]) {
      const ratio = share(factory, factory, 1, 30)
      assert.isAbove(ratio, 1.5)
    }
  })
})

describe("paths of which one is worse", () => {
  /** The share of what the sender sent on path 1, which loses packets. */
  const onWorse = (congestion: Factory): number => {
    const links = [
      { mbps: 8, delay: 20, queue: 60, loss: 0.002 },
      { mbps: 8, delay: 20, queue: 60, loss: 0.02 }
    ]
    const pair = withPaths({ links, client: { congestion } })
    const drains = new Set<object>()
    pump(pair.connection, pair.connection.streams.open(false)!, 1e9)
    const until = pair.simulator.now + 20_000
    while (pair.simulator.now < until) {
      drainAll(pair.server, drains)
      pair.run(pair.simulator.now + 100)
    }
    const [better, worse] = pair.connection.stats().paths.map((path) => path.streamBytesSent)
    return worse! / (better! + worse!)
  }

  it("OLIA moves traffic off it, more than NewReno on each", () => {
    const [coupled, uncoupled] = [onWorse(olia), onWorse(newReno)]
    assert.isBelow(coupled, 0.6 * uncoupled)
  })
})
