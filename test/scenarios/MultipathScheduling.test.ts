/** Which path carries what: schedulers, affinity, status, packet sizes, and what RTTs mean (draft-21 sections 3.3, 5). */
import { assert, describe, it } from "@effect/vitest"
import type { PathView, Scheduler } from "../../src/PathScheduler.ts"
import { cubic, Drain, lowLatency, newReno, pump, roundRobin } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import {
  awaitPath,
  closePath,
  connected,
  equalLinks,
  eventsOf,
  openPath,
  transfer,
  unequalLinks,
  withPaths
} from "../support/Multipath.ts"
import { exchange, intact, send } from "../support/Scenario.ts"

const MB = 1_000_000

const streamBytes = (pair: Pair): ReadonlyArray<number> => pair.accepted.paths.map((path) => path.streamBytesSent)

const setStatus = (pair: Pair, side: "client" | "server", pathId: number, status: "available" | "backup"): void => {
  const connection = side === "client" ? pair.connection : pair.accepted
  assert.isTrue(connection.setPathStatus(pathId, status))
  connection.wake()
  pair.run(pair.simulator.now + 100)
}

describe("REC-1: no scheduler sends more than window and pacing of a path allow", () => {
  for (const scheduler of [lowLatency, roundRobin]) {
    for (const congestion of [cubic, newReno]) {
      it(`${scheduler().name}, ${congestion.name}`, () => {
        const pair = withPaths({ links: unequalLinks, node: { scheduler, congestion } })
        /** Bytes that left to each address in this millisecond. */
        const burst = new Map<string, number>()
        let largest = 0
        let rate = 0
        pair.server.tap = (datagram, _from, to) => {
          const bytes = (burst.get(to.key) ?? 0) + datagram.length
          burst.set(to.key, bytes)
          largest = Math.max(largest, bytes)
          return true
        }
        transfer(pair, {
          bytes: 5 * MB,
          step: () => {
            burst.clear()
            for (const path of pair.accepted.paths) {
              // A window that shrank after the packets left is the only excuse.
              rate = Math.max(rate, path.recovery.pacer.rate)
              if (path.recovery.packetsLost > 0) continue
              assert.isAtMost(path.bytesInFlight, path.congestionWindow + path.mtu)
            }
          }
        })
        // A burst of 10 packets or of 2 ms, and what comes after it in a millisecond.
        assert.isAtMost(largest, Math.max(14_520, 2 * rate) + rate)
        assert.strictEqual(pair.accepted.stats().schedulerMistakes, 0)
      })
    }
  }

  it("round robin gives equal paths equal shares", () => {
    const pair = withPaths({ links: equalLinks, node: { scheduler: roundRobin } })
    transfer(pair, { bytes: 5 * MB })
    const [first, second] = streamBytes(pair)
    assert.closeTo(first! / second!, 1, 0.05)
  })

  it("the lowest RTT keeps what fits in its window to itself", () => {
    const pair = withPaths({ links: unequalLinks })
    for (let i = 0; i < 20; i++) transfer(pair, { bytes: 5000 })
    const [first, second] = streamBytes(pair)
    assert.isAtLeast(first!, 100_000)
    assert.strictEqual(second, 0)
  })

  it("a scheduler that picks a path that is not offered is counted, and no unproven path carries data", () => {
    let unproven: PathView | undefined
    const pair = connected({
      node: {
        scheduler: (): Scheduler => ({ name: "wrong", select: ({ paths }) => unproven ?? paths[0] })
      }
    })
    pair.links[1]!.cut()
    unproven = pair.connection.path(openPath(pair, 1))
    const incoming = send(pair.connection, pair.accepted, 50_000)
    pair.run(pair.simulator.now + 300)
    assert.isAbove(pair.connection.stats().schedulerMistakes, 0)
    assert.strictEqual(pair.connection.path(1)!.streamBytesSent, 0)
    unproven = undefined
    pair.until(() => incoming.finished, pair.simulator.now + 20_000)
    intact(incoming, 50_000, "in the end")
  })
})

describe("affinity of streams", () => {
  it("a stream goes over the paths that it was given and no other, whatever the scheduler prefers", () => {
    for (const scheduler of [lowLatency, roundRobin]) {
      const pair = withPaths({ links: unequalLinks, node: { scheduler } })
      const { time } = transfer(pair, { bytes: 2 * MB, paths: [1] })
      assert.deepStrictEqual(streamBytes(pair)[0], 0)
      assert.isAtLeast(streamBytes(pair)[1]!, 2 * MB)
      // 20 Mbit/s are used to the full.
      assert.isAtMost(time, 1300)
    }
  })

  it("streams of different paths run side by side at the rate of both", () => {
    const pair = withPaths({ links: unequalLinks })
    const start = pair.simulator.now
    for (const path of [0, 1]) {
      const stream = pair.accepted.streams.open(false)!
      stream.setPaths([path])
      pump(pair.accepted, stream, path === 0 ? 4 * MB : 2 * MB)
    }
    const drains: Array<Drain> = []
    const done = pair.until(() => {
      const stream = pair.connection.streams.accept(false)
      if (stream !== undefined) drains.push(new Drain(pair.connection, stream))
      return drains.length === 2 && drains.every(({ finished }) => finished)
    }, start + 10_000)
    assert.isAtMost(done - start, 1300)
    for (const { wrong } of drains) assert.strictEqual(wrong, -1)
    assert.isAtLeast(streamBytes(pair)[0]!, 4 * MB)
    assert.isAtLeast(streamBytes(pair)[1]!, 2 * MB)
  })

  it("what is bound to a path that dies waits for it, and arrives when it is back", () => {
    const pair = withPaths({ links: unequalLinks })
    let cut = false
    const result = transfer(pair, {
      bytes: 2 * MB,
      paths: [0],
      step: (elapsed) => {
        if (cut || elapsed < 200) return
        cut = true
        pair.links[0]!.cut()
        pair.simulator.at(pair.simulator.now + 1500, () => pair.links[0]!.restore())
      }
    })
    assert.isAbove(result.stall, 1400)
    assert.strictEqual(streamBytes(pair)[1], 0)
  })

  it("and takes any path once its own is closed", () => {
    const pair = withPaths({ links: unequalLinks })
    let closed = false
    transfer(pair, {
      bytes: 2 * MB,
      paths: [1],
      step: (elapsed) => {
        if (closed || elapsed < 200) return
        closed = true
        closePath(pair, pair.accepted, 1)
      }
    })
    assert.isAbove(streamBytes(pair)[0]!, MB)
  })
})

describe("STA-1: status", () => {
  it("SCN-11: a backup path carries no data while another is available, whoever said so", () => {
    for (const side of ["client", "server"] as const) {
      const pair = withPaths()
      setStatus(pair, side, 0, "backup")
      const before = streamBytes(pair)[0]!
      transfer(pair, { bytes: 2 * MB })
      assert.strictEqual(streamBytes(pair)[0], before, side)
      transfer(pair, { bytes: MB, upload: true })
      assert.strictEqual(pair.connection.path(0)!.streamBytesSent, 0)
    }
  })

  it("opened as backup, both ends keep it free from the start", () => {
    const pair = connected()
    awaitPath(pair, openPath(pair, 1, "backup"))
    pair.run(pair.simulator.now + 50)
    assert.strictEqual(pair.accepted.path(1)!.remoteStatus, "backup")
    transfer(pair, { bytes: MB })
    transfer(pair, { bytes: MB, upload: true })
    assert.strictEqual(pair.accepted.path(1)!.streamBytesSent, 0)
    assert.strictEqual(pair.connection.path(1)!.streamBytesSent, 0)
  })

  it("the backup takes over when the other path dies, and gives back when that returns", () => {
    const pair = withPaths()
    setStatus(pair, "client", 1, "backup")
    let step = 0
    let atRestore = 0
    const result = transfer(pair, {
      bytes: 5 * MB,
      step: (elapsed) => {
        if (step === 0 && elapsed > 300) {
          step = 1
          assert.strictEqual(streamBytes(pair)[1], 0)
          pair.links[0]!.cut()
        } else if (step === 1 && elapsed > 1000) {
          step = 2
          assert.isAbove(streamBytes(pair)[1]!, 500_000)
          pair.links[0]!.restore()
        } else if (step === 2 && pair.accepted.path(0)!.remoteStatus === "available") {
          // The client told the server of the failure, and tells it of the return (STA-8).
          assert.isAbove(eventsOf(pair.server, "recovered").length, 0)
          step = 3
          atRestore = streamBytes(pair)[1]!
        }
      }
    })
    assert.strictEqual(step, 3)
    assert.isAtMost(result.stall, 250)
    assert.strictEqual(streamBytes(pair)[1], atRestore)
  })

  it("SCN-23: a change of status moves the traffic within a round trip", () => {
    const pair = withPaths()
    setStatus(pair, "client", 1, "backup")
    const incoming = send(pair.accepted, pair.connection, 6 * MB)
    pair.run(pair.simulator.now + 500)
    assert.strictEqual(streamBytes(pair)[1], 0)
    setStatus(pair, "client", 1, "available")
    setStatus(pair, "client", 0, "backup")
    const moved = streamBytes(pair)
    pair.run(pair.simulator.now + 300)
    assert.strictEqual(streamBytes(pair)[0], moved[0])
    assert.isAbove(streamBytes(pair)[1]!, moved[1]! + 300_000)
    setStatus(pair, "client", 0, "available")
    pair.until(() => incoming.finished, pair.simulator.now + 10_000)
    intact(incoming, 6 * MB, "in the end")
  })

  it("STA-2: if all paths are backup, all are used", () => {
    const pair = withPaths()
    setStatus(pair, "client", 0, "backup")
    setStatus(pair, "client", 1, "backup")
    transfer(pair, { bytes: 3 * MB })
    for (const bytes of streamBytes(pair)) assert.isAbove(bytes, MB)
  })
})

describe("MTU-1: each path has its own packet size", () => {
  it("SCN-9: two paths find what each of them carries", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 10, mtu: 1300 },
        { mbps: 20, delay: 10, mtu: 1452 }
      ]
    })
    exchange(pair, 3 * MB, 10_000, "probing meanwhile")
    for (const connection of [pair.connection, pair.accepted]) {
      assert.isAtMost(connection.path(0)!.mtu, 1300)
      assert.isAtLeast(connection.path(0)!.mtu, 1280)
      assert.strictEqual(connection.path(1)!.mtu, 1452)
    }
    assert.isAtMost(pair.connection.maxDatagramSize(), 1300 - 30)
  })

  it("REC-5: what was lost in large packets goes out again in small ones", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 10, mtu: 1452 },
        { mbps: 20, delay: 10, mtu: 1210 }
      ]
    })
    exchange(pair, MB, 10_000, "before")
    assert.strictEqual(pair.accepted.path(0)!.mtu, 1452)
    let cut = false
    transfer(pair, {
      bytes: 3 * MB,
      step: (elapsed) => {
        if (cut || elapsed < 200) return
        cut = true
        assert.isAbove(pair.accepted.path(0)!.bytesInFlight, 20_000)
        pair.links[0]!.cut()
      }
    })
    assert.isAtMost(pair.accepted.path(1)!.mtu, 1210)
  })

  it("a path that shrinks under a transfer falls back and goes on", () => {
    const pair = withPaths()
    exchange(pair, MB, 10_000, "before")
    for (const link of pair.links) link.set({ mtu: 1250 })
    transfer(pair, { bytes: MB, limit: 20_000 })
    for (const path of pair.accepted.paths) assert.isAtMost(path.mtu, 1250)
  })
})

describe("RTT: samples and the way back", () => {
  it("RTT-1, RTT-3: each path measures its own round trip, with one-way delays of 50 and 300 ms", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 50 },
        { mbps: 20, delay: 300 }
      ]
    })
    exchange(pair, MB, 20_000, "to measure")
    assert.closeTo(pair.accepted.path(0)!.minRtt, 100, 5)
    assert.closeTo(pair.accepted.path(1)!.minRtt, 600, 5)
    assert.closeTo(pair.connection.path(0)!.minRtt, 100, 5)
    assert.closeTo(pair.connection.path(1)!.minRtt, 600, 5)
  })

  it("RTT-2: when acknowledgements come back another way, the minimum starts anew", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 50 },
        { mbps: 20, delay: 150 }
      ],
      node: { scheduler: lowLatency }
    })
    exchange(pair, MB, 20_000, "before")
    assert.closeTo(pair.accepted.path(0)!.minRtt, 100, 5)
    pair.links[0]!.set({ forward: { up: false } })
    transfer(pair, { bytes: 5 * MB })
    // 50 ms there, 150 ms back.
    assert.isAbove(pair.accepted.path(0)!.minRtt, 190)
    assert.isBelow(pair.accepted.path(0)!.minRtt, 260)
    pair.links[0]!.set({ forward: { up: true } })
    pair.run(pair.simulator.now + 2000)
    transfer(pair, { bytes: 2 * MB })
    assert.isBelow(pair.accepted.path(0)!.minRtt, 130)
  })

  it("RTT-1: a single acknowledgement that comes another way gives no sample", () => {
    const pair = withPaths()
    exchange(pair, 100_000, 5000, "before")
    const path = pair.accepted.path(0)!
    const { now } = pair.simulator
    assert.isTrue(path.samplesFrom(0, now))
    assert.isFalse(path.samplesFrom(1, now + 1))
    const min = path.minRtt
    assert.isTrue(path.samplesFrom(0, now + 2))
    assert.strictEqual(path.minRtt, min)
    // Silence proves nothing where there was nothing to acknowledge.
    const later = now + 10_000
    assert.isFalse(path.samplesFrom(1, later))
    assert.strictEqual(path.minRtt, min)
    assert.isTrue(path.samplesFrom(1, later + 0.1 + path.recovery.pto))
    path.recovery.rtt.update(min + 70, 0, later + 0.1, true, 25)
    assert.strictEqual(path.minRtt, min + 70)
    assert.isTrue(path.samplesFrom(1, later + 1 + path.recovery.pto))
    assert.isTrue(path.samplesFrom(0, later + 2 + path.recovery.pto))
  })

  it("RTT-1: after a rest the first acknowledgements come on the faster path, and do not end the slow start of the slower", () => {
    const pair = withPaths({
      links: [
        { mbps: 200, delay: 5, queue: 200 },
        { mbps: 200, delay: 15, queue: 200 }
      ]
    })
    pair.run(pair.simulator.now + 2500)
    const { minRtt } = pair.accepted.path(1)!
    const { goodput } = transfer(pair, {
      bytes: 25 * MB,
      step: () => assert.isAtLeast(pair.accepted.path(1)!.recovery.rtt.latest, minRtt - 1)
    })
    assert.isAbove(goodput, 300)
  })
})
