import { assert, describe, it } from "@effect/vitest"
import { pattern } from "../support/Machines.ts"
import { awaitPath, connected, eventsOf, openPath, transfer, withPaths } from "../support/Multipath.ts"
import { Incoming } from "../support/Scenario.ts"

describe("A8: what is bound to a path", () => {
  it("leaves on a backup path: status is advice, and nothing else may carry it", () => {
    const pair = connected()
    awaitPath(pair, openPath(pair, 1, "backup"))
    const sent = pair.accepted.path(1)!.streamBytesSent
    transfer(pair, { bytes: 300_000, paths: [1], limit: 5_000 })
    assert.isAtLeast(pair.accepted.path(1)!.streamBytesSent - sent, 300_000)
    assert.strictEqual(pair.accepted.path(0)!.streamBytesSent, 0)
  })

  it("leaves on a path that seems to have failed, as soon as that works again", () => {
    const pair = withPaths()
    pair.links[1]!.cut()
    const stream = pair.accepted.streams.open(false)!
    stream.setPaths([1])
    const incoming = new Incoming(pair.connection)
    stream.write(pattern(0, 50_000))
    stream.finish()
    pair.accepted.wake()
    pair.run(pair.simulator.now + 4_000)
    assert.strictEqual(pair.accepted.path(1)!.state, "potentiallyFailed")
    pair.links[1]!.restore()
    assert.isAtLeast(
      pair.until(() => incoming.finished, pair.simulator.now + 4_000),
      0
    )
    assert.strictEqual(pair.accepted.path(0)!.streamBytesSent, 0)
  })

  it("does not end the connection when its path dies without a word and another one is there", () => {
    const pair = withPaths()
    const stream = pair.accepted.streams.open(false)!
    stream.setPaths([1])
    const incoming = new Incoming(pair.connection)
    pair.links[1]!.cut()
    stream.write(pattern(0, 50_000))
    stream.finish()
    pair.accepted.wake()
    // The path is given up after the idle timeout; then the stream is free.
    assert.isAtLeast(
      pair.until(() => incoming.finished, pair.simulator.now + 60_000, 20),
      0
    )
    assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [])
    assert.isAtLeast(eventsOf(pair.server, "abandoned", 1).length, 1)
  })

  it("datagrams: they leave on a backup path, and those of a silent path hold up nothing else", () => {
    const pair = connected()
    awaitPath(pair, openPath(pair, 1, "backup"))
    const take = (): number => {
      let count = 0
      while (pair.connection.datagrams.read() !== undefined) count++
      return count
    }
    for (let i = 0; i < 5; i++) pair.accepted.datagrams.push(new Uint8Array(100), 1)
    pair.accepted.wake()
    pair.run(pair.simulator.now + 200)
    assert.strictEqual(take(), 5)
    pair.links[1]!.cut()
    for (let i = 0; i < 60; i++) pair.accepted.datagrams.push(new Uint8Array(1000), 1)
    for (let i = 0; i < 5; i++) pair.accepted.datagrams.push(new Uint8Array(100))
    const { goodput } = transfer(pair, { bytes: 2_000_000 })
    assert.strictEqual(take(), 5)
    // The other path at its full rate, 20 Mbit/s: packets are still built in trains.
    assert.isAbove(goodput, 15)
  })
})
