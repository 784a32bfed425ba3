/** Which paths of a whole connection coupled controllers look at (RFC 6356 section 3): those that carry data, and no others. */
import { assert, describe, it } from "@effect/vitest"
import { balia, lia, olia } from "../../src/CongestionControl.ts"
import type { Controller, Factory, PathInfo } from "../../src/CongestionControl.ts"
import { pump } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, closePath, connected, openPath } from "../support/Multipath.ts"
import { Incoming } from "../support/Scenario.ts"

const RTT = 100
const link = { mbps: 60, delay: RTT / 2, queue: 2000 }

interface Upload {
  readonly pair: Pair
  readonly controllers: ReadonlyArray<Controller>
  readonly infos: ReadonlyArray<PathInfo>
}

const prepare = (congestion: Factory): Upload => {
  const controllers: Array<Controller> = []
  const infos: Array<PathInfo> = []
  const watched = () => {
    const made = congestion()
    return {
      make: (path: PathInfo) => {
        infos[path.pathId] = path
        return (controllers[path.pathId] = made.make(path))
      }
    }
  }
  return { pair: connected({ links: [link, link], client: { congestion: watched } }), controllers, infos }
}

/** Sends without end. One packet of each path that carries data is lost early: slow start ends while there is room for more. */
const upload = ({ pair }: Upload): void => {
  const lost = new Set<string>()
  pair.client.tap = (datagram, from) => {
    if (datagram.length < 1000 || lost.has(from.host)) return true
    lost.add(from.host)
    return false
  }
  const incoming = new Incoming(pair.accepted)
  pump(pair.connection, pair.connection.streams.open(false)!, 1e9)
  pair.run(pair.simulator.now + 10 * RTT)
  assert.isAbove(incoming.drain!.received, 50_000)
}

/** Packets by which the window of path 0 grows in a round trip, over 15 of them. */
const growth = ({ pair, controllers, infos }: Upload): number => {
  const before = controllers[0]!.congestionWindow
  assert.isAtLeast(before, controllers[0]!.slowStartThreshold, "congestion avoidance")
  pair.run(pair.simulator.now + 15 * RTT)
  return (controllers[0]!.congestionWindow - before) / infos[0]!.maxDatagramSize / 15
}

describe("coupled control looks at the paths that carry data, and at no others", () => {
  for (const congestion of [lia, olia, balia]) {
    /** With path 1 as `change` leaves it once both carry data, and a second after that. */
    const after = (change: (run: Upload) => void): number => {
      const run = prepare(congestion)
      awaitPath(run.pair, openPath(run.pair, 1))
      upload(run)
      change(run)
      run.pair.run(run.pair.simulator.now + 1500)
      return growth(run)
    }

    it(`${congestion.name}: two paths in use grow by a quarter of a packet each`, () => {
      assert.approximately(
        after(() => {}),
        0.25,
        0.06
      )
    })

    it(`${congestion.name}: with the other path closed by Reno's packet`, () => {
      const grown = after(({ pair }) => assert.isTrue(closePath(pair, pair.connection, 1)))
      assert.approximately(grown, 1, 0.12)
    })

    it(`${congestion.name}: with the other path failing by Reno's packet`, () => {
      const grown = after(({ pair, infos }) => {
        pair.links[1]!.cut()
        assert.isAtLeast(
          pair.until(() => !infos[1]!.usable, pair.simulator.now + 5000),
          0
        )
        assert.strictEqual(pair.connection.path(1)!.state, "potentiallyFailed")
      })
      assert.approximately(grown, 1, 0.12)
    })

    it(`${congestion.name}: with the other path as backup by Reno's packet`, () => {
      const grown = after(({ pair }) => {
        pair.connection.setPathStatus(1, "backup")
        pair.connection.wake()
      })
      assert.approximately(grown, 1, 0.12)
    })

    it(`${congestion.name}: with the other path never validated by Reno's packet`, () => {
      const run = prepare(congestion)
      run.pair.links[1]!.cut()
      openPath(run.pair, 1)
      upload(run)
      run.pair.run(run.pair.simulator.now + 1500)
      assert.isFalse(run.infos[1]!.usable)
      assert.approximately(growth(run), 1, 0.12)
    })
  }
})
