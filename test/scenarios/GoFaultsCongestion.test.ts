/**
 * What goes wrong in mp-quic-go with congestion control, and does not here: section 2.E of the study of its code.
 *
 * | there | tests, where they are not below |
 * | --- | --- |
 * | controllers of paths are made and never asked: 40,960 bytes of window for all, no growth, no reaction, no pacing | also MultipathScheduling REC-1 |
 * | the only controller that is asked knows one packet size, and not the path's | |
 * | OLIA cannot be reached, never hears of an RTT, and overflows | congestion/ |
 * | window, flight and retransmissions are always 0 in statistics | scenarios/Statistics 2.E |
 */
import { assert, describe, it } from "@effect/vitest"
import type { Controller, Factory, PathInfo } from "../../src/internal/congestion/Controller.ts"
import type { Pair } from "../support/Machines.ts"
import { cubic, newReno, roundRobin } from "../support/Machines.ts"
import { transfer, withPaths } from "../support/Multipath.ts"
import { intact, send } from "../support/Scenario.ts"

interface Fixed {
  readonly congestionWindow: number
  readonly pacingRate?: number
}

/** A controller for each path that gives what it is told to, and keeps what it was told. */
const fixed = (paths: ReadonlyArray<Fixed>) => {
  const infos: Array<PathInfo> = []
  const seen = paths.map(() => ({ sent: 0, acked: 0, congestion: 0 }))
  const factory: Factory = () => ({
    make: (info) => {
      infos[info.pathId] = info
      const { congestionWindow, pacingRate = 0 } = paths[info.pathId]!
      const counts = seen[info.pathId]!
      const controller: Controller = {
        name: "fixed",
        congestionWindow,
        pacingRate,
        slowStartThreshold: 0,
        onPacketSent: () => void counts.sent++,
        onAcked: () => void counts.acked++,
        onCongestion: () => void counts.congestion++,
        onPersistentCongestion: () => {},
        onSpuriousLoss: () => {},
        reset: () => {},
        close: () => {}
      }
      return controller
    }
  })
  return { factory, infos, seen }
}

const fat = { mbps: 100, delay: 25, queue: 500 }

describe("2.E: each path's own controller", () => {
  it("2.E: its window is what may be in flight on its path, and no connection-wide one binds", () => {
    const windows = [60_000, 20_000]
    const { factory, seen } = fixed(windows.map((congestionWindow) => ({ congestionWindow })))
    const pair = withPaths({ links: [fat, fat], client: { congestion: factory, scheduler: roundRobin } })
    const most = [0, 0]
    const result = transfer(pair, {
      bytes: 3_000_000,
      upload: true,
      step: () => {
        for (const { bytesInFlight, id } of pair.connection.paths) most[id] = Math.max(most[id]!, bytesInFlight)
      }
    })
    for (const id of [0, 1]) {
      assert.isAtMost(most[id]!, windows[id]!)
      assert.isAtLeast(most[id]!, windows[id]! - 1500)
      assert.isAbove(seen[id]!.sent, 100)
      assert.isAbove(seen[id]!.acked, 50)
    }
    // A window on each path for each round trip of 50 ms: 80 000 bytes, twice what that fork lets out in all.
    assert.closeTo(result.goodput, (80_000 * 8) / 50 / 1000, 1.5)
    const [first, second] = pair.connection.paths.map(({ streamBytesSent }) => streamBytesSent)
    assert.closeTo(first! / second!, 3, 0.5)
  })

  it("2.E: its pacing rate holds on its path", () => {
    // 1 Mbit/s on the second path, whatever its window.
    const { factory } = fixed([{ congestionWindow: 200_000 }, { congestionWindow: 200_000, pacingRate: 125 }])
    const pair = withPaths({ links: [fat, fat], client: { congestion: factory, scheduler: roundRobin } })
    const before = pair.connection.path(1)!.recovery.bytesSent
    const { time } = transfer(pair, { bytes: 3_000_000, upload: true })
    const paced = pair.connection.path(1)!.recovery.bytesSent - before
    assert.isAtMost(paced, 125 * time + 20_000)
    assert.isAtLeast(paced, 100 * time)
  })

  it("2.E: packet size and RTT are those of its path, and loss there is told there alone", () => {
    const { factory, infos, seen } = fixed([{ congestionWindow: 60_000 }, { congestionWindow: 60_000 }])
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 10, queue: 200, mtu: 1300 },
        { mbps: 20, delay: 40, queue: 200, mtu: 1452, loss: 0.03 }
      ],
      client: { congestion: factory, scheduler: roundRobin }
    })
    transfer(pair, { bytes: 2_000_000, upload: true })
    const [first, second] = infos
    assert.isAtMost(first!.maxDatagramSize, 1300)
    assert.strictEqual(second!.maxDatagramSize, 1452)
    assert.closeTo(first!.rtt.min, 20, 2)
    assert.closeTo(second!.rtt.min, 80, 2)
    assert.isAbove(seen[1]!.congestion, 5)
    assert.strictEqual(seen[0]!.congestion, 0)
  })

  for (const congestion of [cubic, newReno]) {
    it(`2.E: windows grow beyond what that fork ever has, and shrink by the loss of their path: ${congestion.name}`, () => {
      const pair: Pair = withPaths({ links: [fat, fat], node: { congestion, scheduler: roundRobin } })
      const incoming = send(pair.connection, pair.accepted, 6_000_000)
      pair.until(
        () => pair.connection.paths.every((path) => path.congestionWindow > 200_000),
        pair.simulator.now + 2000
      )
      const before = pair.connection.paths.map((path) => path.congestionWindow)
      for (const window of before) assert.isAbove(window, 200_000)
      pair.links[1]!.set({ forward: { loss: 0.3 } })
      pair.run(pair.simulator.now + 15)
      pair.links[1]!.set({ forward: { loss: 0 } })
      pair.run(pair.simulator.now + 120)
      const after = pair.connection.paths.map((path) => path.congestionWindow)
      assert.isAtLeast(after[0]!, before[0]!)
      assert.isBelow(after[1]!, 0.75 * after[0]!)
      assert.isBelow(pair.connection.path(1)!.recovery.controller.slowStartThreshold, Infinity)
      pair.until(() => incoming.finished, pair.simulator.now + 20_000, 5)
      intact(incoming, 6_000_000, "in the end")
    })
  }
})
