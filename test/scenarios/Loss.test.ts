/** Transfers over links that lose, reorder, corrupt and go silent (RFC 9002), and what the sender may hold meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { Drain, newReno, pump } from "../support/Machines.ts"
import { transfer, withPaths } from "../support/Multipath.ts"
import { established, exchange, intact, seeds, send } from "../support/Scenario.ts"

const MB = 1_000_000

const link = (options: DuplexOptions): ReadonlyArray<DuplexOptions> => [{ mbps: 40, delay: 10, queue: 100, ...options }]

describe("Transfers over bad links", () => {
  it.each<[string, DuplexOptions, number]>([
    ["1 % loss", { loss: 0.01 }, 3000],
    ["5 % loss", { loss: 0.05 }, 10_000],
    ["10 % loss", { loss: 0.1 }, 20_000],
    ["20 % loss", { loss: 0.2 }, 60_000],
    ["30 % loss", { loss: 0.3 }, 300_000],
    ["a fifth held back for 30 ms", { reorder: 0.2, reorderDelay: 30 }, 10_000],
    ["jitter of 40 ms and half held back for 100 ms", { jitter: 40, reorder: 0.5, reorderDelay: 100 }, 60_000],
    ["2 % corruption", { corrupt: 0.02 }, 6000],
    ["10 % duplication", { duplicate: 0.1 }, 2000],
    ["bursts of loss", { burstLoss: { enter: 0.005, leave: 0.2 } }, 20_000],
    ["a packet size of 1250 at the most", { mtu: 1250 }, 2000],
    ["a queue of 5 packets", { mbps: 10, queue: 5 }, 10_000],
    ["all at once", { loss: 0.02, corrupt: 0.01, duplicate: 0.05, reorder: 0.1, jitter: 5, queue: 20 }, 30_000]
  ])("1 MB both ways arrives whole with %s", (name, options, limit) => {
    for (const seed of seeds(2)) {
      const pair = established({ seed, links: link(options) })
      exchange(pair, MB, limit, `${name}, seed ${seed}`)
    }
  })

  it("10 MB at 10 Mbit/s while the link is silent for 2 s out of each 5 s", () => {
    const pair = established({ links: link({ mbps: 10, delay: 15, queue: 50 }) })
    const { simulator } = pair
    const outages = (start: number): void => {
      simulator.at(start, () => pair.links[0]!.cut())
      simulator.at(start + 2000, () => pair.links[0]!.restore())
      simulator.at(start + 4000, () => outages(start + 5000))
    }
    outages(simulator.now + 500)
    const down = send(pair.accepted, pair.connection, 10 * MB)
    const time = pair.until(() => down.finished, 60_000, 50)
    intact(down, 10 * MB, "silence")
    // Of each 5 s less than 2 may be used: the probe that finds the link again comes when the backoff lets it, 3.4 s in.
    assert.isBelow(time, 25_000)
  })

  it.each(["CUBIC", "NewReno"])("one flow fills a link of 10 Mbit/s, 15 ms, queue 25, with %s", (name) => {
    const congestion = name === "NewReno" ? newReno : undefined
    const pair = established({ links: link({ mbps: 10, delay: 15, queue: 25 }), server: { congestion } })
    const total = 12 * MB
    const start = pair.simulator.now
    const down = send(pair.accepted, pair.connection, total)
    pair.until(() => down.finished, 30_000, 5)
    intact(down, total, name)
    const mbps = (total * 8) / 1000 / (pair.simulator.now - start)
    assert.isAbove(mbps, 9)
  })

  it("a link that only carries small packets is found out, and again when it shrinks (RFC 8899 4.3)", () => {
    const pair = established({ links: link({ mtu: 1400 }) })
    exchange(pair, MB, 5000, "1400")
    assert.isAbove(pair.accepted.paths[0]!.mtu, 1350)
    assert.isAtMost(pair.accepted.paths[0]!.mtu, 1400)
    pair.links[0]!.set({ mtu: 1250 })
    exchange(pair, MB, 20_000, "1250")
    assert.isAtMost(pair.accepted.paths[0]!.mtu, 1250)
  })

  it("ECN: a queue that marks instead of dropping slows the sender without loss (RFC 9000 13.4)", () => {
    const pair = established({ links: link({ mbps: 10, ecnMark: 10, queue: 1000 }) })
    const down = send(pair.accepted, pair.connection, 3 * MB)
    pair.until(() => down.finished, 10_000, 5)
    intact(down, 3 * MB, "marks")
    assert.isAbove(pair.links[0]!.stats.backward.marked, 0)
    assert.isBelow(pair.links[0]!.stats.backward.longestQueue, 100)
    assert.strictEqual(pair.accepted.stats().packetsLost, 0)
  })
})

describe("RFC 9000 4: backpressure", () => {
  it("a reader that does not read stops the sender at the stream window; one that goes on gets everything", () => {
    const settings = { initialStreamWindow: 64_000, maxStreamWindow: 64_000 }
    const pair = established({ client: { settings }, server: { settings } })
    pump(pair.accepted, pair.accepted.streams.open(false)!, 2 * MB)
    pair.run(pair.simulator.now + 5000)
    const stream = pair.connection.streams.accept(false)!
    assert.strictEqual(pair.connection.streams.bytesReceived, 64_000)
    assert.isAtMost(pair.accepted.streams.bufferedBytes, 1024 * 1024 + 65_536)
    const drain = new Drain(pair.connection, stream)
    pair.until(() => drain.finished, pair.simulator.now + 10_000, 5)
    assert.strictEqual(drain.received, 2 * MB)
    assert.strictEqual(drain.wrong, -1)
  })

  it("a slow reader is not outrun: 10 kB every 10 ms, and never more than the window waits for it", () => {
    const window = 100_000
    const settings = {
      initialStreamWindow: window,
      maxStreamWindow: window,
      initialConnectionWindow: window,
      maxConnectionWindow: window
    }
    const pair = established({ client: { settings } })
    const total = MB
    pump(pair.accepted, pair.accepted.streams.open(false)!, total)
    pair.until(() => pair.connection.streams.bytesReceived > 0, 1000)
    const stream = pair.connection.streams.accept(false)!
    let read = 0
    let longest = 0
    while (read < total && pair.simulator.now < 30_000) {
      const bytes = stream.read(10_000)
      if (bytes !== undefined) read += bytes.length
      pair.connection.wake()
      pair.run(pair.simulator.now + 10)
      longest = Math.max(longest, pair.connection.streams.bytesReceived - read)
    }
    assert.strictEqual(read, total)
    assert.isAtMost(longest, window)
    assert.isBelow(pair.simulator.now, 1400)
  })

  it("the connection window bounds many unread streams together", () => {
    const window = 200_000
    const settings = { initialConnectionWindow: window, maxConnectionWindow: window, initialStreamWindow: 100_000 }
    const pair = established({ client: { settings } })
    for (let i = 0; i < 20; i++) pump(pair.accepted, pair.accepted.streams.open(false)!, 100_000)
    pair.run(5000)
    assert.strictEqual(pair.connection.streams.bytesReceived, window)
    const drains: Array<Drain> = []
    const accept = (): void => {
      for (
        let next = pair.connection.streams.accept(false);
        next !== undefined;
        next = pair.connection.streams.accept(false)
      ) {
        drains.push(new Drain(pair.connection, next))
      }
      pair.connection.streams.setAcceptWaiter(false, accept)
    }
    accept()
    pair.until(() => drains.filter((drain) => drain.finished).length === 20, 30_000, 5)
    assert.deepStrictEqual(
      drains.map(({ received, wrong }) => [received, wrong]),
      Array.from({ length: 20 }, () => [100_000, -1])
    )
  })
})

describe("A socket that is full", () => {
  const host = "10.0.1.1"

  it("A4: for 5 s does not hold up the path of another one: all that this path can carry", () => {
    const pair = withPaths({ client: { socket: { transmits: 30, wait: 5000, host } } })
    const { time } = transfer(pair, { bytes: 10 * MB, upload: true })
    assert.isBelow(time, 4600)
    assert.isAbove(pair.connection.path(1)!.streamBytesSent, 0)
  })

  it("A4: nor what the peer sends on its path: acknowledgements take the other one", () => {
    const pair = withPaths({ client: { socket: { transmits: 30, wait: 5000, host } } })
    const { time } = transfer(pair, { bytes: 10 * MB })
    assert.isBelow(time, 2800)
  })

  it.each([
    [1, 5],
    [3, 40],
    [7, 300]
  ])("A4: after %d transmits, for %d ms, each by itself: everything arrives over both paths", (transmits, wait) => {
    for (const seed of seeds(2)) {
      const socket = { transmits, wait }
      const pair = withPaths({ seed, client: { socket }, server: { socket } })
      exchange(pair, MB / 4, 120_000, `seed ${seed}`)
      pair.connection.close(1, "", pair.simulator.now)
      pair.run(pair.simulator.now + 60_000)
      assert.strictEqual(pair.simulator.next(), Infinity)
      assert.strictEqual(pair.server.endpoint.stats().routes, 0)
    }
  })

  it.each([
    [1, 0.2],
    [1, 5],
    [3, 1],
    [7, 20]
  ])("after %d transmits, for %d ms: nothing is sent to it meanwhile, and everything arrives", (transmits, wait) => {
    for (const seed of seeds(2)) {
      const socket = { transmits, wait }
      const pair = established({ seed, links: link({ loss: 0.01 }), client: { socket }, server: { socket } })
      exchange(pair, MB / 4, 120_000, `seed ${seed}`)
      pair.connection.datagrams.push(new Uint8Array(10))
      pair.connection.close(1, "", pair.simulator.now)
      pair.run(pair.simulator.now + 60_000)
      assert.strictEqual(pair.simulator.next(), Infinity)
      assert.strictEqual(pair.server.endpoint.stats().routes, 0)
    }
  })
})
