/**
 * Loss recovery and congestion control over whole connections: outages, pauses, short queues and long fat links (RFC 9002
 * sections 6.2, 7.7, 7.8; RFC 9406). Times are simulated, so the figures repeat.
 */
import { assert, describe, it } from "@effect/vitest"
import type { PathInfo } from "../../src/CongestionControl.ts"
import { cubic, defaultSettings, newReno, Pair } from "../support/Machines.ts"
import type { PairOptions } from "../support/Machines.ts"
import { awaitPath, closePath, connected, openPath, withPaths } from "../support/Multipath.ts"
import { established, establish, exchange, intact, say, send } from "../support/Scenario.ts"

const MB = 1_000_000

const controllers = [
  ["CUBIC", cubic],
  ["NewReno", newReno]
] as const

/** ms from the end of an outage until the first new bytes come, in a download that goes on all the time. */
const resumedAfter = (outage: number): number => {
  const pair = established({ links: [{ mbps: 20, delay: 15, queue: 50 }] })
  const down = send(pair.accepted, pair.connection, 4 * MB)
  pair.run(pair.simulator.now + 1000)
  pair.links[0]!.cut()
  pair.run(pair.simulator.now + outage)
  pair.links[0]!.restore()
  const before = down.drain!.received
  const back = pair.simulator.now
  const resumed = pair.until(() => down.drain!.received > before, back + 10_000)
  pair.until(() => down.finished, back + 20_000, 10)
  intact(down, 4 * MB, `after an outage of ${outage} ms`)
  assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [])
  return resumed - back
}

/** Packets that the client sends in 25 s after a message that nobody answers. */
const sentIntoNothing = (pair: Pair): number => {
  const { connection, links, simulator } = pair
  for (const link of links) link.cut()
  say(connection, new Uint8Array(100))
  pair.run(simulator.now + 1)
  const { packetsSent } = connection.stats()
  pair.run(simulator.now + 25_000)
  assert.lengthOf(pair.client.closes, 0, "the idle timeout is longer")
  return connection.stats().packetsSent - packetsSent
}

describe("A12: outages shorter than the idle timeout", () => {
  it("of 10 and 25 s: the transfer goes on within maxPtoInterval of the end", () => {
    for (const outage of [10_000, 25_000]) assert.isAtMost(resumedAfter(outage), 2100, `${outage} ms`)
  })
})

describe("C9: the probe timeout backs off", () => {
  it("with one path, and the same when one is left of two", () => {
    const alone = established({})
    exchange(alone, 10_000, 5000, "alone")
    const single = sentIntoNothing(alone)
    // Two at 0.1, 0.3, 0.7, 1.5 s, and then every 2 s.
    assert.isAtMost(single, 34)
    const two = withPaths()
    exchange(two, 10_000, 5000, "two")
    // The path backs off as one of two, before it is the only one.
    two.links[0]!.cut()
    say(two.connection, new Uint8Array(100_000))
    two.run(two.simulator.now + 3000)
    two.links[0]!.restore()
    two.run(two.simulator.now + 3000)
    assert.isTrue(closePath(two, two.connection, 1))
    two.run(two.simulator.now + 10_000)
    assert.isAtMost(sentIntoNothing(two), single)
  })

  it("with two dead paths of 600 ms", () => {
    const pair = withPaths({ links: [{ delay: 300 }, { delay: 300 }] })
    exchange(pair, 10_000, 20_000, "before")
    assert.isAtMost(sentIntoNothing(pair), 50)
  })
})

describe("C11: a spurious probe timeout", () => {
  it("the original's acknowledgement counts, not only the copy's", () => {
    const pair = established({ links: [{ mbps: 50, delay: 20 }] })
    exchange(pair, 100_000, 5000, "to learn the RTT")
    const stream = say(pair.connection, new Uint8Array(100))
    pair.run(pair.simulator.now + 1000)
    // The way there takes 130 ms longer all of a sudden.
    pair.links[0]!.set({ forward: { delay: 150 } })
    const start = pair.simulator.now
    stream.write(new Uint8Array(1000))
    pair.connection.wake()
    const { buffer } = stream.send!
    const { recovery } = pair.connection.path(0)!
    const probed = pair.until(() => recovery.ptoCount > 0, start + 1000)
    assert.isAbove(probed, start)
    const acked = pair.until(() => buffer.allAcked && buffer.bufferedBytes === 0, start + 2000)
    // The RTT and max_ack_delay after the original left; the copy left later by the probe timeout.
    assert.isAtMost(acked - start, 170 + 25 + 2)
    assert.isAbove(probed - start, 50)
  })
})

describe("C4: a window that is not used", () => {
  for (const [name, congestion] of controllers) {
    it(`does not grow beyond what is in flight when the send buffer is the limit, with ${name}`, () => {
      const settings = { streamSendBuffer: 250_000, initialStreamWindow: 16 * MB, initialConnectionWindow: 24 * MB }
      const node = { congestion, settings }
      const pair = established({ links: [{ mbps: 200, delay: 50, queue: 1000 }], client: node, server: node })
      send(pair.connection, pair.accepted, 20 * MB)
      const path = pair.connection.path(0)!
      let inFlight = 0
      pair.until(
        () => {
          inFlight = Math.max(inFlight, path.bytesInFlight)
          return false
        },
        pair.simulator.now + 3000,
        10
      )
      assert.isAbove(inFlight, 100_000)
      assert.isAtMost(path.congestionWindow, 2.2 * inFlight)
    })
  }
})

/** Mbit/s of an upload. */
const upload = (options: PairOptions, total: number): number => {
  const pair = established(options)
  const start = pair.simulator.now
  const up = send(pair.connection, pair.accepted, total)
  const end = pair.until(() => up.finished, start + 60_000, 5)
  intact(up, total, "upload")
  return (8 * total) / (end - start) / 1000
}

describe("PathInfo.usable", () => {
  it("tells the controller whether its path carries data: not before validation, not while it fails", () => {
    const infos: Array<PathInfo> = []
    const congestion = () => {
      const made = cubic()
      return {
        make: (path: PathInfo) => {
          infos[path.pathId] = path
          return made.make(path)
        }
      }
    }
    const pair = connected({ client: { congestion, settings: { ...defaultSettings, maxPaths: 3 } } })
    const id = openPath(pair, 1)
    assert.deepStrictEqual([infos[0]!.usable, infos[id]!.usable], [true, false])
    awaitPath(pair, id)
    assert.isTrue(infos[id]!.usable)
    pair.links[1]!.cut()
    say(pair.connection, new Uint8Array(200_000))
    pair.until(() => !infos[id]!.usable, pair.simulator.now + 3000)
    assert.deepStrictEqual([infos[0]!.usable, infos[id]!.usable], [true, false])
    pair.links[1]!.restore()
    pair.until(() => infos[id]!.usable, pair.simulator.now + 3000)
    assert.isTrue(infos[id]!.usable)
    closePath(pair, pair.connection, id)
    assert.isFalse(infos[id]!.usable)
  })
})

describe("PathInfo.local and remote", () => {
  it("tell the controller where its path leads, also after a move of either side", () => {
    const watched = (infos: Array<PathInfo>) => () => {
      const made = cubic()
      return {
        make: (path: PathInfo) => {
          infos[path.pathId] = path
          return made.make(path)
        }
      }
    }
    const [client, server]: [Array<PathInfo>, Array<PathInfo>] = [[], []]
    const link = { mbps: 20, delay: 15, queue: 100 }
    const pair = connected({
      links: [link, link, link],
      client: { congestion: watched(client) },
      server: { congestion: watched(server) }
    })
    const ways = (infos: Array<PathInfo>) => infos.map(({ local, remote }) => `${local} to ${remote}`)
    awaitPath(pair, openPath(pair, 1))
    assert.deepStrictEqual(ways(client), ["10.0.0.1:5000 to 10.9.0.1:4433", "10.0.1.1:5000 to 10.9.0.1:4433"])
    assert.deepStrictEqual(ways(server), ["10.9.0.1:4433 to 10.0.0.1:5000", "10.9.0.1:4433 to 10.0.1.1:5000"])
    assert.isUndefined(pair.connection.migratePath(1, pair.client.addresses[2]!, false, pair.simulator.now))
    pair.connection.wake()
    pair.run(pair.simulator.now + 500)
    assert.strictEqual(ways(client)[1], "10.0.2.1:5000 to 10.9.0.1:4433")
    assert.strictEqual(ways(server)[1], "10.9.0.1:4433 to 10.0.2.1:5000")
  })
})

describe("C5: small windows are paced", () => {
  for (const [name, congestion, least] of [
    ["CUBIC", cubic, 0.95],
    ["NewReno", newReno, 0.85]
  ] as const) {
    it(`1.05 Mbit/s, 20 ms, a queue of 2 packets: at least ${least} Mbit/s with ${name}`, () => {
      const rate = upload({ links: [{ mbps: 1.05, delay: 10, queue: 2 }], client: { congestion } }, MB)
      assert.isAtLeast(rate, least)
    })
  }
})

describe("C6: slow start fills the pipe, and overflows no queue of a bandwidth-delay product", () => {
  const settings = { streamSendBuffer: 64 * MB, initialStreamWindow: 64 * MB, initialConnectionWindow: 96 * MB }
  const node = { settings: { ...settings, maxStreamWindow: 64 * MB, maxConnectionWindow: 96 * MB } }
  for (const [mbps, rtt, total] of [
    [500, 100, 40],
    [100, 50, 5],
    [50, 40, 3],
    [20, 200, 3]
  ] as const) {
    it(`${mbps} Mbit/s, ${rtt} ms`, () => {
      const queue = Math.round((mbps * rtt * 125) / 1452)
      const pair = established({ links: [{ mbps, delay: rtt / 2, queue }], client: node, server: node })
      const up = send(pair.connection, pair.accepted, total * MB)
      const path = pair.connection.path(0)!
      let inFlight = 0
      pair.until(
        () => {
          inFlight = Math.max(inFlight, path.bytesInFlight)
          return up.finished
        },
        pair.simulator.now + 20_000,
        5
      )
      intact(up, total * MB, "upload")
      assert.strictEqual(pair.links[0]!.stats.forward.queueFull, 0)
      assert.isAtLeast(inFlight, mbps * rtt * 125)
    })
  }
})

describe("C16: a way that eats ECT(0)", () => {
  it("costs a quiet connection one probe timeout, and then nothing", () => {
    const pair = new Pair({ links: [{ mbps: 50, delay: 20 }] })
    for (const node of [pair.client, pair.server]) node.tap = (_datagram, _from, _to, _now, ecn) => ecn === 0
    assert.isAtMost(establish(pair), 250)
    const taken: Array<number> = []
    for (let i = 0; i < 6; i++) {
      pair.run(pair.simulator.now + 3000)
      const start = pair.simulator.now
      const message = send(pair.connection, pair.accepted, 100)
      pair.until(() => message.finished, start + 10_000)
      taken.push(pair.simulator.now - start)
    }
    assert.isAtMost(Math.max(...taken), 150, `${taken.join(", ")} ms`)
    assert.isAtMost(Math.max(...taken.slice(2)), 25, `${taken.join(", ")} ms`)
    assert.strictEqual(pair.connection.path(0)!.recovery.ecn.state, "failed")
  })
})
