/** When a silent path is no longer relied on: by default, and as applications want it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { FailureDetector } from "../../src/index.ts"
import type { Policy, Silence } from "../../src/internal/paths/FailurePolicy.ts"
import { cubic } from "../../src/internal/congestion/Cubic.ts"
import { makePolicies } from "../../src/internal/connection/Policies.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import type { Pair } from "../support/Machines.ts"
import { awaitPath, connected, eventsOf, openPath } from "../support/Multipath.ts"
import { exchange, intact, send } from "../support/Scenario.ts"

const RTT = 30

const twoPaths = (failures?: Policy): Pair => {
  const pair = connected({ node: { failures: failures === undefined ? undefined : () => failures } })
  pair.run(pair.simulator.now + 500)
  awaitPath(pair, openPath(pair, 1))
  exchange(pair, 300_000, 5000, "before")
  pair.run(pair.simulator.now + 1000)
  return pair
}

/** Cuts a path in mid transfer. Gives the longest time without a byte, and what is allowed: a probe timeout and an RTT, in ms. */
const cutInTransfer = (pair: Pair): { readonly limit: number; readonly stall: number } => {
  const { connection, simulator } = pair
  const incoming = send(connection, pair.accepted, 6_000_000)
  pair.run(simulator.now + 500)
  pair.links[0]!.cut()
  const cut = simulator.now
  const path = connection.path(0)!
  // What was under way comes on the other path, behind its queue.
  const limit = connection.core.pto(path) + Math.max(...connection.paths.map(({ smoothedRtt }) => smoothedRtt))
  let [received, last, stall] = [incoming.drain!.received, cut, 0]
  const done = pair.until(
    () => {
      if (incoming.drain!.received > received) {
        stall = Math.max(stall, simulator.now - last)
        received = incoming.drain!.received
        last = simulator.now
      }
      return incoming.finished
    },
    cut + 30_000,
    1
  )
  assert.isAtLeast(done, 0)
  intact(incoming, 6_000_000, "cut in mid transfer")
  assert.strictEqual(eventsOf(pair.client, "potentiallyFailed").length, 1)
  return { limit, stall }
}

describe("failure detection", () => {
  it("a cut in mid transfer: the longest stall is at most a probe timeout and a round trip of the path", () => {
    const { limit, stall } = cutInTransfer(twoPaths())
    // Bytes are looked for once a ms.
    assert.isBelow(stall, limit + 4, `${stall} ms, limit ${limit} ms`)
  })

  it("no path is suspected for being idle", () => {
    const pair = twoPaths()
    pair.run(pair.simulator.now + 20_000)
    assert.strictEqual(eventsOf(pair.client, "potentiallyFailed").length, 0)
    assert.isTrue(pair.connection.paths.every((path) => path.state === "active"))
  })

  it("a detector with patience: a silence that is shorter changes nothing, a longer one does", () => {
    for (const [silence, suspected] of [
      [300, 0],
      [3000, 1]
    ] as const) {
      const pair = twoPaths({ name: "patient", isFailed: (known) => known.silence > 800 })
      const incoming = send(pair.connection, pair.accepted, 3_000_000)
      pair.run(pair.simulator.now + 200)
      pair.links[0]!.cut()
      pair.run(pair.simulator.now + silence)
      pair.links[0]!.restore()
      pair.until(() => incoming.finished, pair.simulator.now + 30_000)
      intact(incoming, 3_000_000, "patience")
      assert.strictEqual(eventsOf(pair.client, "potentiallyFailed").length, suspected)
    }
  })

  it("N8: a detector with patience is asked, too, when another path that was silent answers again", () => {
    for (const [silence, suspected] of [
      [150, false],
      [3000, true]
    ] as const) {
      const pair = twoPaths({ name: "patient", isFailed: (known) => known.silence > 800 })
      const incoming = send(pair.connection, pair.accepted, 3_000_000)
      pair.run(pair.simulator.now + 200)
      for (const link of pair.links) link.cut()
      pair.run(pair.simulator.now + silence)
      for (const link of pair.links) link.restore()
      pair.until(() => incoming.finished, pair.simulator.now + 30_000)
      intact(incoming, 3_000_000, "patience")
      assert.strictEqual(eventsOf(pair.client, "potentiallyFailed").length > 0, suspected, `${silence} ms`)
    }
  })

  it("cuts every second for a minute lose nothing, with and without patience", () => {
    for (const failures of [
      undefined,
      { name: "patient", isFailed: (known: Silence) => known.probeTimeouts > 1 }
    ] as const) {
      const pair = twoPaths(failures as Policy | undefined)
      const begin = pair.simulator.now
      for (let second = 0; second < 60; second++) {
        const link = pair.links[second % 2]!
        pair.simulator.at(begin + second * 1000, () => link.cut())
        pair.simulator.at(begin + second * 1000 + 600, () => link.restore())
      }
      const incoming = send(pair.connection, pair.accepted, 20_000_000)
      pair.until(() => incoming.finished, begin + 90_000, 5)
      intact(incoming, 20_000_000, "cuts every second")
    }
  })

  it("a detector that throws, or gives no boolean, suspects at once; it is told and counted", () => {
    const wrong: ReadonlyArray<Policy["isFailed"]> = [
      () => {
        throw new Error("no")
      },
      () => undefined as never,
      () => Promise.resolve(true) as never
    ]
    for (const isFailed of wrong) {
      const pair = twoPaths({ name: "wrong", isFailed })
      cutInTransfer(pair)
      assert.isAtLeast(pair.connection.core.mistakes.policy, 1)
    }
  })

  it("a factory that makes no object is refused", () => {
    for (const made of [undefined, 7, Promise.resolve()])
      assert.throws(
        () => makePolicies({ scheduler: lowLatency, congestion: cubic, failures: () => made as never }),
        /failure detector/
      )
  })

  it("the settings: probe timeouts, a minimum and a factor; what is out of range is refused by name", async () => {
    const made = await Effect.runPromise(
      Effect.provide(
        FailureDetector.FailureDetector,
        FailureDetector.layer({ probeTimeouts: 2, minimumSilence: "100 millis", silenceFactor: 3 })
      )
    )
    const judged = (probeTimeouts: number, silence: number): boolean =>
      made!().isFailed({ path: {} as never, probeTimeouts, silence, pto: RTT + 25, now: 0 })
    assert.deepStrictEqual(
      [judged(1, 1000), judged(2, 99), judged(2, 164), judged(2, 165)],
      [false, false, false, true]
    )
    for (const [field, settings] of [
      ["probeTimeouts", { probeTimeouts: 0 }],
      ["minimumSilence", { minimumSilence: "2 minutes" }],
      ["silenceFactor", { silenceFactor: -1 }],
      ["silence", { silence: 1 }]
    ] as const) {
      const { reason } = await Effect.runPromise(
        Effect.flip(Effect.provide(Effect.void, FailureDetector.layer(settings as never)))
      )
      assert.strictEqual(reason._tag === "BadConfig" && reason.field, field)
    }
  })
})
