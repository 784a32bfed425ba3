/** `scaledStart`: a path of long round trip that is opened beside a working one begins with a larger window. */
import { assert, describe, it } from "@effect/vitest"
import type { PathInfo } from "../../src/CongestionControl.ts"
import { cubic } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, connected, multipathSettings, openPath, transfer } from "../support/Multipath.ts"

const slow = { mbps: 1, delay: 25, queue: 100 }
const satellite = { mbps: 10, delay: 300, queue: 500 }

/** With the paths' views of the server. */
const opened = (scaledStart: boolean, ...links: ReadonlyArray<typeof slow>): { pair: Pair; infos: Array<PathInfo> } => {
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
  const settings = { ...multipathSettings, scaledStart }
  return { pair: connected({ links, settings, server: { congestion } }), infos }
}

/** Seconds from the first packet of the handshake until 10 MB are there; the satellite's path is opened at once. */
const download = (scaledStart: boolean): number => {
  const { pair } = opened(scaledStart, slow, satellite)
  const handshake = pair.simulator.now
  openPath(pair, 1)
  return (handshake + transfer(pair, { bytes: 10_000_000 }).time) / 1000
}

describe("scaledStart: 10 MB over 1 Mbit/s and a satellite of 10 Mbit/s, 600 ms", () => {
  it("11.3 s without it, 9.2 s with it", () => {
    assert.approximately(download(false), 11.3, 0.3)
    assert.approximately(download(true), 9.2, 0.3)
  })

  it("what it starts with is paced: no more than 60 packets within 50 ms", () => {
    const { pair } = opened(true, slow, satellite)
    awaitPath(pair, openPath(pair, 1))
    const times: Array<number> = []
    pair.server.tap = (datagram, _from, to, now) => {
      if (to.host === "10.0.1.1" && datagram.length > 1000) times.push(now)
      return true
    }
    const start = pair.simulator.now
    transfer(pair, { bytes: 3_000_000 })
    const first = times.filter((time) => time < start + 550)
    assert.isAbove(first.length, 200, "a window of 24 times the usual size")
    for (const [i, time] of first.entries()) {
      const within = first.slice(i).filter((other) => other < time + 50).length
      assert.isAtMost(within, 60)
    }
  })
})

describe("scaledStart: which windows it scales", () => {
  const usual = (path: PathInfo): number => Math.min(10 * path.maxDatagramSize, 14_720)

  it("that of a path beside a working one, by its round trip over 25 ms; not that of the first path, and not without the setting", () => {
    for (const scaledStart of [true, false]) {
      const { pair, infos } = opened(scaledStart, satellite, satellite, { ...slow, delay: 5 })
      awaitPath(pair, openPath(pair, 1))
      awaitPath(pair, openPath(pair, 2))
      assert.strictEqual(infos[0]!.initialWindow, usual(infos[0]!))
      assert.approximately(infos[1]!.initialWindow / usual(infos[1]!), scaledStart ? 24 : 1, 0.2)
      assert.isAtMost(infos[2]!.initialWindow, 1.7 * usual(infos[2]!), "25 to 41 ms with what an acknowledgement waits")
    }
  })

  it("at most 40 times, whatever the round trip", () => {
    const { pair, infos } = opened(true, slow, { ...satellite, delay: 1500 })
    awaitPath(pair, openPath(pair, 1), 20_000)
    assert.strictEqual(infos[1]!.initialWindow, 40 * usual(infos[1]!))
  })

  it("not that of a path that has moved to another address", () => {
    const { pair, infos } = opened(true, slow, satellite, satellite)
    awaitPath(pair, openPath(pair, 1))
    assert.isUndefined(pair.connection.migratePath(1, pair.client.addresses[2]!, false, pair.simulator.now))
    pair.connection.wake()
    pair.run(pair.simulator.now + 3000)
    assert.strictEqual(`${infos[1]!.remote}`, "10.0.2.1:5000")
    assert.isTrue(infos[1]!.rtt.hasSample)
    assert.strictEqual(infos[1]!.initialWindow, usual(infos[1]!))
  })
})
