/** Clients that come while a part which the user gave does not work. */
import { assert, describe, it } from "@effect/vitest"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { cubic, lowLatency, Pair } from "../support/Machines.ts"
import type { NodeOptions } from "../support/Machines.ts"
import { exchange } from "../support/Scenario.ts"

const broken = new Error("does not work")

/** A server whose factory throws the first time, or from the moment that it makes a controller. */
const servers: ReadonlyArray<readonly [string, (bad: () => boolean) => NodeOptions]> = [
  [
    "a scheduler's factory",
    (bad) => ({
      scheduler: () => {
        if (bad()) throw broken
        return lowLatency()
      }
    })
  ],
  [
    "a congestion controller's factory",
    (bad) => ({
      congestion: () => {
        if (bad()) throw broken
        return cubic()
      }
    })
  ],
  [
    "the maker of a path's controller",
    (bad) => ({
      congestion: () => ({
        make: (path) => {
          if (bad()) throw broken
          return cubic().make(path)
        }
      })
    })
  ]
]

describe("B7: a part of the user's that throws while a client is accepted", () => {
  it.each(servers)("B7: %s: that client is refused, every other one of the burst is served", (_, options) => {
    let made = 0
    // The second client of the burst meets the fault.
    const pair = new Pair({ server: options(() => ++made === 2) })
    const others = [1, 2, 3].map(() => pair.client.connect(pair.server))
    pair.run(1000)
    const { endpoint } = pair.server
    assert.isTrue(pair.connection.confirmed)
    assert.deepStrictEqual(
      others.map((one) => one.confirmed),
      [false, true, true]
    )
    assert.deepStrictEqual(pair.server.refusals, [broken])
    assert.deepInclude(endpoint.stats(), { connections: 3, refused: 1 })
    assert.strictEqual(pair.client.closes.length, 1)
    assert.deepInclude(pair.client.closes[0], { kind: "transport", code: TransportError.connectionRefused })
    for (const accepted of pair.server.accepted) accepted.close(0, "", pair.simulator.now)
    for (const accepted of pair.server.accepted) accepted.wake()
    pair.run(pair.simulator.now + 5000)
    assert.deepInclude(endpoint.stats(), { connections: 0, routes: 0 })
  })

  it.each(servers)("B7: %s that always throws: nothing stays behind for any number of clients", (_, options) => {
    let bad = false
    const pair = new Pair({ server: options(() => bad) })
    pair.run(500)
    bad = true
    const before = pair.server.endpoint.stats().routes
    for (let i = 0; i < 30; i++) pair.client.connect(pair.server)
    pair.run(pair.simulator.now + 500)
    assert.strictEqual(pair.server.endpoint.stats().routes, before)
    assert.strictEqual(pair.server.refusals.length, 30)
    exchange(pair, 10_000, 1000, "the one before")
  })

  it("B7: a controller that throws when it is closed spoils neither the burst nor the endpoint", () => {
    const pair = new Pair({
      server: {
        congestion: () => ({
          make: (path) =>
            Object.assign(cubic().make(path), {
              close: () => {
                throw broken
              }
            })
        })
      }
    })
    const other = pair.client.connect(pair.server)
    pair.run(500)
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 5000)
    assert.strictEqual(pair.server.endpoint.stats().connections, 1)
    other.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 5000)
    assert.deepInclude(pair.server.endpoint.stats(), { connections: 0, routes: 0 })
  })
})
