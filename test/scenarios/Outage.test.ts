/** Long outages of everything: what applications do meanwhile must not stand in the way afterwards. */
import { assert, describe, it } from "@effect/vitest"
import { PathError } from "../../src/internal/wire/Protocol.ts"
import { failureOf } from "../support/Liveness.ts"
import type { Pair } from "../support/Machines.ts"
import { pattern } from "../support/Machines.ts"
import { connected, eventsOf, openInTheEnd, openPath } from "../support/Multipath.ts"
import { exchange, Incoming, send } from "../support/Scenario.ts"

const PROMPT = 3000
const links = (count: number) => Array.from({ length: count }, () => ({ mbps: 20, delay: 10, queue: 100 }))

/** Twice a second a path is opened from each address that has none, as applications do. Gives what was refused. */
const reopening = (pair: Pair): Array<string> => {
  const refused: Array<string> = []
  const step = (): void => {
    for (const local of pair.client.addresses) {
      if (pair.connection.paths.some((path) => path.open && path.local === local)) continue
      const opened = pair.connection.openPath({ local }, pair.simulator.now)
      if (typeof opened === "string") refused.push(opened)
    }
    pair.connection.wake()
    pair.simulator.at(pair.simulator.now + 500, step)
  }
  step()
  return refused
}

describe("issue 7 outage: paths that are opened again and again", () => {
  for (const count of [2, 3]) {
    for (const outage of [8_000, 28_000]) {
      for (let back = 0; back < count; back++) {
        it(`issue 7 outage: ${count} addresses, ${outage / 1000} s, link ${back} returns: no path ID is spent, and data moves`, () => {
          const pair = connected({ links: links(count) })
          pair.run(pair.simulator.now + 500)
          for (const link of pair.links) link.cut()
          const up = new Incoming(pair.accepted)
          const down = new Incoming(pair.connection)
          for (const side of [pair.connection, pair.accepted]) {
            side.streams.open(false)!.write(pattern(0, 1000))
            side.wake()
          }
          const refused = reopening(pair)
          const start = pair.simulator.now
          pair.run(start + outage)
          assert.deepStrictEqual(refused, [])
          assert.strictEqual(eventsOf(pair.client, "abandoned").length, 0)
          // A challenge each second, and two probes each two seconds.
          assert.isBelow(pair.connection.stats().packetsSent, 40 + (2 * count * outage) / 1000)
          pair.links[back]!.restore()
          const moved = pair.until(
            () => up.drain?.received === 1000 && down.drain?.received === 1000,
            start + outage + PROMPT,
            10
          )
          assert.isAtLeast(moved, 0, "nothing moved")
          for (const link of pair.links) link.restore()
          pair.run(pair.simulator.now + 5000)
          assert.strictEqual(pair.accepted.paths.filter((path) => path.state === "active").length, count)
        })
      }
    }
  }

  it("issue 7 outage: a path that leads nowhere is given up once another works again", () => {
    const pair = connected({ links: links(3) })
    pair.run(pair.simulator.now + 500)
    for (const link of pair.links) link.cut()
    exchangeInVain(pair)
    const id = openPath(pair, 1)
    pair.run(pair.simulator.now + 15_000)
    assert.strictEqual(pair.connection.path(id)?.state, "validating")
    pair.links[0]!.restore()
    pair.run(pair.simulator.now + 6000)
    assert.deepStrictEqual(eventsOf(pair.client, "abandoned"), [
      { kind: "abandoned", pathId: id, initiator: "local", code: PathError.unstableOrPoor }
    ])
  })

  it("issue 7 outage: a path that is proven carries what is stuck on silent ones at once", () => {
    for (const role of ["client", "server"] as const) {
      const pair = connected({ links: links(2) })
      pair.run(pair.simulator.now + 500)
      pair.links[0]!.cut()
      const [from, to] = role === "client" ? [pair.connection, pair.accepted] : [pair.accepted, pair.connection]
      const incoming = new Incoming(to)
      from.streams.open(false)!.write(pattern(0, 1000))
      from.wake()
      pair.run(pair.simulator.now + 10_000)
      const id = openPath(pair, 1)
      const start = pair.until(() => from.path(id)?.validated === true, pair.simulator.now + 1000)
      assert.isAtLeast(start, 0)
      const moved = pair.until(() => incoming.drain?.received === 1000, start + 100)
      assert.isAtLeast(moved, 0, `the ${role}'s data waited`)
    }
  })

  // Each took longer for a reason of its own: data that left on a path just found dead, acknowledgements that were lost with
  // the path that carried them, a black hole of large packets.
  for (const seed of [233, 299, 881, 1305, 2558, 3278, 6021, 6282, 6634, 7627, 14540, 14735, 19650]) {
    it(`issue 7 outage: what once took more than 3 s, seed ${seed}`, () => {
      assert.isUndefined(failureOf(seed))
    })
  }

  it("issue 7 outage: what is under way to an address that came to nothing does not wait for the end of its validation", () => {
    const pair = connected({ links: links(2) })
    pair.run(pair.simulator.now + 500)
    const nat = pair.simulator.nat({ outside: "203.0.113.1", inside: [pair.client.addresses[0]!.host] })
    openPath(pair, 1)
    exchange(pair, 100_000, 5000, "before")
    nat.rebind("203.0.113.2")
    const down = send(pair.accepted, pair.connection, 300_000)
    const start = pair.simulator.now
    // One packet from there moves the path; nothing comes back.
    pair.links[0]!.set({ backward: { up: false } })
    pair.client.tap = (_datagram, from) => from !== pair.client.addresses[0] || pair.accepted.path(0)!.validated
    pair.connection.probePath(0, pair.simulator.now)
    pair.connection.wake()
    assert.isAtLeast(
      pair.until(() => down.finished, start + 10_000, 5),
      0
    )
    assert.isBelow(pair.simulator.now - start, 1500)
  })

  it("issue 7 outage: path IDs that the application itself used up come back after it", () => {
    const pair = connected({ links: links(3), settings: { maxPaths: 3 } })
    pair.run(pair.simulator.now + 500)
    for (const link of pair.links) link.cut()
    exchangeInVain(pair)
    for (const link of [1, 2]) {
      pair.connection.closePath(openPath(pair, link), 7, pair.simulator.now)
      pair.run(pair.simulator.now + 5000)
    }
    assert.isString(pair.connection.openPath({ local: pair.client.addresses[1]! }, pair.simulator.now))
    for (const link of pair.links) link.restore()
    const ids = [openInTheEnd(pair, 1, 15_000), openInTheEnd(pair, 2, 15_000)]
    assert.isAbove(Math.min(...ids), 2)
    exchange(pair, 100_000, 5000, "afterwards")
  })
})

/** Both sides have something to say, and nobody hears it. */
const exchangeInVain = (pair: Pair): void => {
  for (const side of [pair.connection, pair.accepted]) {
    side.streams.open(false)!.write(pattern(0, 100))
    side.wake()
  }
  const heard = [pair.connection, pair.accepted].map((side) => new Incoming(side))
  pair.run(pair.simulator.now + 500)
  for (const { drain } of heard) assert.isUndefined(drain)
}
