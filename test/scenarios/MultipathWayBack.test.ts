import { assert, describe, it } from "@effect/vitest"
import type { Acknowledger } from "../../src/internal/connection/Acknowledger.ts"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { Path } from "../../src/internal/paths/Path.ts"
import { PathError } from "../../src/internal/wire/Protocol.ts"
import { lowLatency } from "../support/Machines.ts"
import { closePath, eventsOf, transfer, withPaths } from "../support/Multipath.ts"

/** Makes a connection acknowledge as noq does (ACK-4 allows it): all paths on the lowest one that is open. */
const acknowledgeOnLowest = (connection: Connection): void => {
  const acknowledger = Reflect.get(Reflect.get(connection, "sender") as object, "acknowledger") as Acknowledger
  const isLowest = (path: Path): boolean => path === connection.core.paths.all.find(({ open }) => open)
  const write = acknowledger.write.bind(acknowledger)
  acknowledger.write = (path) => {
    if (isLowest(path)) write(path)
  }
  Reflect.set(acknowledger, "mayCarry", isLowest)
  Reflect.set(acknowledger, "trusted", isLowest)
}

const links = [
  { mbps: 80, delay: 5, queue: 200 },
  { mbps: 40, delay: 10, queue: 200 }
]

describe("ACK-4: the path with all acknowledgements", () => {
  it("dies while data is sent: the sender finds out which path works, and abandons the other", () => {
    const pair = withPaths({ links, node: { scheduler: lowLatency } })
    acknowledgeOnLowest(pair.connection)
    const { stall } = transfer(pair, {
      bytes: 10_000_000,
      limit: 10_000,
      step: (elapsed) => {
        if (elapsed === 400) pair.links[0]!.set({ up: false })
      }
    })
    assert.isBelow(stall, 750)
    const abandoned = eventsOf(pair.server, "abandoned", 0)
    assert.deepStrictEqual(abandoned, [
      { kind: "abandoned", pathId: 0, initiator: "local", code: PathError.unstableOrPoor }
    ])
  })

  it("stays open when it is silent only once, for a moment", () => {
    const pair = withPaths({ links })
    acknowledgeOnLowest(pair.connection)
    transfer(pair, {
      bytes: 10_000_000,
      step: (elapsed) => {
        if (elapsed === 400) pair.links[0]!.set({ up: false })
        if (elapsed === 440) pair.links[0]!.set({ up: true })
      }
    })
    assert.deepStrictEqual(eventsOf(pair.server, "abandoned"), [])
  })

  it("is closed by the receiver when it died: full windows of the others do not delay the answer (RFC 9002 7.5)", () => {
    const pair = withPaths({ links })
    acknowledgeOnLowest(pair.connection)
    const { stall } = transfer(pair, {
      bytes: 10_000_000,
      step: (elapsed) => {
        if (elapsed === 400) pair.links[0]!.set({ up: false })
        // After the first probes of the sender, whose next ones are far away.
        if (elapsed === 540) closePath(pair, pair.connection, 0)
      }
    })
    assert.deepInclude(eventsOf(pair.server, "abandoned", 0)[0], { initiator: "peer" })
    assert.isBelow(stall, 230)
  })
})
