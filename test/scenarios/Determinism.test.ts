/** The same seed gives the same run, byte for byte: what makes every other scenario worth its name. */
import { assert, describe, it } from "@effect/vitest"
import { Pair } from "../support/Machines.ts"
import { establish, send } from "../support/Scenario.ts"

/** A run over two bad links, with everything that draws random numbers: one line a datagram. */
const run = (seed: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const settings = { maxPaths: 4 }
  const pair = new Pair({
    seed,
    links: [
      { mbps: 20, delay: 10, queue: 40, loss: 0.02, reorder: 0.02, duplicate: 0.01, corrupt: 0.005, jitter: 2 },
      { mbps: 10, delay: 30, queue: 30, loss: 0.03 }
    ],
    client: { settings },
    server: { settings },
    onTrace: (line) => lines.push(line)
  })
  establish(pair)
  pair.run(pair.simulator.now + 200)
  pair.connection.openPath({ local: pair.client.addresses[1]! }, pair.simulator.now)
  const up = send(pair.connection, pair.accepted, 200_000)
  const down = send(pair.accepted, pair.connection, 300_000)
  pair.connection.datagrams.push(new Uint8Array(100))
  pair.connection.wake()
  pair.simulator.at(pair.simulator.now + 300, () => pair.connection.updateKeys(pair.simulator.now))
  pair.simulator.at(pair.simulator.now + 500, () => pair.links[0]!.cut())
  pair.until(() => up.finished && down.finished, 60_000, 5)
  pair.connection.close(1, "done", pair.simulator.now)
  pair.run(pair.simulator.now + 60_000)
  assert.isTrue(up.finished && down.finished)
  return lines
}

describe("Determinism", () => {
  it("two runs with one seed have the same trace, with every byte of every datagram hashed in it", () => {
    const [first, again] = [run(7), run(7)]
    assert.isAbove(first.length, 500)
    assert.strictEqual(first.length, again.length)
    assert.strictEqual(
      first.findIndex((line, i) => line !== again[i]),
      -1
    )
    assert.isTrue(first.some((line) => line.includes("10.0.1.1")))
  })

  it("another seed gives another run, and another content from the first datagram on", () => {
    const [first, other] = [run(7), run(8)]
    assert.notDeepEqual(first, other)
    assert.notStrictEqual(first[0], other[0])
  })
})
