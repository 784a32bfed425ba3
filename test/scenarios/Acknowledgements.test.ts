import { assert, describe, it } from "@effect/vitest"
import { Space } from "../../src/internal/recovery/Space.ts"
import { pump, roundRobin } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, connected, openPath, withPaths } from "../support/Multipath.ts"
import { established } from "../support/Scenario.ts"

const unequal = (paths: number, step: number) =>
  Array.from({ length: paths }, (_, path) => ({ mbps: 20, delay: 10 + step * path, queue: 100 }))

/** Datagrams of both sides until `ms` from now. */
const datagramsFor = (pair: Pair, run: () => void): number => {
  let count = 0
  pair.client.tap = pair.server.tap = () => (count++, true)
  run()
  return count
}

describe("acknowledgements", () => {
  it("A5: a datagram of the full size leaves although an acknowledgement is owed", () => {
    for (const less of [0, 1, 3, 5, 20, 60]) {
      const pair = established({ seed: 1, links: [{ mbps: 20, delay: 10 }] })
      const server = pair.server.accepted[0]!
      pair.run(pair.simulator.now + 500)
      const answer = new Uint8Array(server.maxDatagramSize() - less)
      let asked = false
      server.datagrams.readWaiter = () => {
        server.datagrams.read()
        assert.isTrue(server.datagrams.push(answer))
        asked = true
        server.wake()
      }
      pair.connection.datagrams.push(new Uint8Array(10))
      pair.connection.wake()
      pair.run(pair.simulator.now + 200)
      assert.isTrue(asked)
      assert.strictEqual(pair.connection.datagrams.read()?.length, answer.length, `${less} bytes less`)
    }
  })

  it("one that fills the packet leaves room for what is said behind it: none is a byte too long", () => {
    const settings = { mtuDiscovery: false }
    const pair = established({ links: [{ mbps: 20, delay: 10 }], server: { settings } })
    pair.run(pair.simulator.now + 500)
    const path = pair.accepted.path(0)!
    const received = path.recovery.received(Space.application)
    const sizes: Array<number> = []
    pair.server.tap = (bytes) => {
      sizes.push(bytes.length)
      return false
    }
    // Gaps of four bytes each, and the first at every place of the packet's end.
    for (let i = 0; i < 300; i++) received.onReceived(100_000 * (i + 1) + i, true, pair.simulator.now, 0)
    for (let narrow = 0; narrow < 8; narrow++) {
      received.onReceived(40_000_000 + 40 * narrow, true, pair.simulator.now, 0)
      path.probes = 1
      pair.accepted.core.pingPending = pair.accepted.core.handshakeDonePending = true
      pair.accepted.wake()
      pair.run(pair.simulator.now + 30)
    }
    assert.isAbove(sizes.length, 8)
    assert.strictEqual(Math.max(...sizes), path.mtu)
  })

  it("A10: idle paths of any RTT fall silent, and the connection ends by its idle timeout", () => {
    for (const delay of [20, 100, 120, 200, 400, 700]) {
      const link = { mbps: 10, delay }
      const pair = connected({ links: [link, link] })
      awaitPath(pair, openPath(pair, 1), 20_000)
      pair.run(pair.simulator.now + 10_000)
      const before = pair.connection.stats().packetsSent
      pair.run(pair.simulator.now + 15_000)
      assert.strictEqual(pair.connection.stats().packetsSent, before, `${delay} ms`)
      pair.run(pair.simulator.now + 10_000)
      assert.strictEqual(pair.client.closes[0]?.kind, "idleTimeout", `${delay} ms`)
    }
  })

  it("ACK-4: keeping several idle paths alive costs each a question, an answer and the proof of the answer", () => {
    const keepAlive = 5000
    for (const [paths, step] of [
      [2, 17],
      [4, 17],
      [6, 17],
      [3, 400]
    ] as const) {
      const settings = { maxPaths: 8, keepAlive, activeConnectionIdLimit: 8 }
      const pair = withPaths({ links: unequal(paths, step), settings })
      pair.run(pair.simulator.now + 30_000)
      const intervals = 10
      const datagrams = datagramsFor(pair, () => pair.run(pair.simulator.now + intervals * keepAlive))
      assert.isAtMost(datagrams / intervals, 4 * paths, `${paths} paths`)
    }
  })

  it("ACK-4: messages far apart cost a packet, an acknowledgement and at most one more, whatever the number of paths", () => {
    for (const paths of [1, 2, 3]) {
      for (const gap of [100, 400, 1500]) {
        for (const node of [{}, { scheduler: roundRobin }]) {
          const pair = withPaths({ links: unequal(paths, 15), node })
          pair.run(pair.simulator.now + 3000)
          const messages = 40
          const datagrams = datagramsFor(pair, () => {
            for (let i = 0; i < messages; i++) {
              pump(pair.connection, pair.connection.streams.open(false)!, 300)
              pair.connection.wake()
              pair.run(pair.simulator.now + gap)
              while (pair.accepted.streams.accept(false) !== undefined);
            }
          })
          assert.isAtMost(datagrams / messages, 3.1, `${paths} paths, every ${gap} ms`)
        }
      }
    }
  })

  it("ACK-4: two quiet paths that each work one way carry on: the acknowledgement is told elsewhere after one probe timeout", () => {
    for (const quiet of [100, 900, 1500, 8000]) {
      const pair = withPaths({ links: unequal(3, 20) })
      pair.run(pair.simulator.now + quiet)
      // What the client sends gets through on one link only, what the server sends on another, and nothing on the third.
      pair.links[0]!.set({ backward: { up: false } })
      pair.links[1]!.set({ forward: { up: false } })
      pair.links[2]!.cut()
      const stream = pair.connection.streams.open(false)!
      pump(pair.connection, stream, 2000)
      pair.connection.wake()
      const done = pair.until(() => stream.send!.terminal, pair.simulator.now + 3000)
      assert.isAtLeast(done, 0, `after ${quiet} ms`)
    }
  })
})
