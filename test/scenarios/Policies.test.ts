import { assert, describe, it } from "@effect/vitest"
import type { PathView, Scheduler } from "../../src/PathScheduler.ts"
import { Drain, lowLatency, Pair, pump } from "../support/Machines.ts"

const stubborn = (): Scheduler => ({ name: "stubborn", select: ({ paths }) => paths[0] })

describe("policies that users give", () => {
  it("a scheduler that throws closes its connection with INTERNAL_ERROR and leaves the endpoint alone", () => {
    const cause = new Error("scheduler out of order")
    let throws = false
    const scheduler = (): Scheduler => ({
      name: "faulty",
      select: (context) => {
        if (throws) throw cause
        return lowLatency().select(context)
      }
    })
    const pair = new Pair({ client: { scheduler } })
    pair.client.defects = true
    assert.isAbove(
      pair.until(() => pair.connection.confirmed, 1000),
      0
    )
    throws = true
    pump(pair.connection, pair.connection.streams.open(true)!, 100_000)
    pair.run(pair.simulator.now + 100)
    assert.deepStrictEqual(pair.client.closes, [{ kind: "internal", cause }])
    assert.strictEqual(pair.server.closes.length, 1)
    const seen = pair.server.closes[0]!
    assert.isTrue(seen.kind === "transport" && seen.initiator === "peer" && seen.code === 1)
    throws = false
    const second = pair.client.endpoint.connect(
      {
        local: pair.client.addresses[0]!,
        remote: pair.server.addresses[0]!,
        serverName: "server.test",
        alpn: ["test"]
      },
      pair.simulator.now
    )
    assert.isAbove(
      pair.until(() => second.confirmed, pair.simulator.now + 1000),
      0
    )
  })

  it("a scheduler that returns a path that cannot send is counted, and the packet waits", () => {
    const pair = new Pair({ client: { scheduler: stubborn } })
    pair.until(() => pair.connection.confirmed, 1000)
    pump(pair.connection, pair.connection.streams.open(true)!, 500_000)
    let drain: Drain | undefined
    const done = pair.until(() => {
      const stream = drain === undefined ? pair.accepted.streams.accept(true) : undefined
      if (stream !== undefined) drain = new Drain(pair.accepted, stream)
      return drain?.finished === true
    }, 10_000)
    assert.isAbove(done, 0)
    assert.strictEqual(drain!.wrong, -1)
    assert.isAbove(pair.connection.stats().schedulerMistakes, 0)
  })

  /** Sends 2 MB and gives how often the scheduler was asked, and what went out. */
  const transfer = (steady: boolean) => {
    const asked = { times: 0 }
    const sent: Array<number> = []
    const scheduler = (): Scheduler => ({
      name: "counting",
      steady,
      select: (context) => {
        asked.times++
        return lowLatency().select(context)
      },
      onPacketSent: (_path, bytes) => void sent.push(bytes)
    })
    const pair = new Pair({ client: { scheduler } })
    pair.until(() => pair.connection.confirmed, 1000)
    pump(pair.connection, pair.connection.streams.open(true)!, 2_000_000)
    let drain: Drain | undefined
    pair.until(() => {
      const stream = drain === undefined ? pair.accepted.streams.accept(true) : undefined
      if (stream !== undefined) drain = new Drain(pair.accepted, stream)
      return drain?.finished === true
    }, 60_000)
    assert.strictEqual(drain?.wrong, -1)
    return { asked: asked.times, sent, time: pair.simulator.now }
  }

  it("a scheduler may do to its list of paths what it likes: that is counted, and nothing goes elsewhere", () => {
    const elsewhere = new Pair()
    elsewhere.until(() => elsewhere.connection.confirmed, 1000)
    const foreign = elsewhere.connection.paths[0]!
    const sent = foreign.packetsSent
    const spoilers: ReadonlyArray<Scheduler["select"]> = [
      ({ paths }) => void (paths as Array<PathView>).splice(0),
      ({ paths }) => {
        ;(paths as Array<PathView>).push(foreign)
        return foreign
      },
      ({ paths }) => {
        ;(paths as Array<PathView>)[0] = foreign
        return foreign
      },
      ({ paths }) => (paths as Array<PathView>).pop()
    ]
    for (const [index, select] of spoilers.entries()) {
      const pair = new Pair({ client: { scheduler: () => ({ name: "spoiler", select }) } })
      pair.client.defects = true
      pair.until(() => pair.connection.confirmed, 1000)
      pump(pair.connection, pair.connection.streams.open(true)!, 20_000)
      pair.run(10_000)
      assert.strictEqual(foreign.packetsSent, sent, `spoiler ${index}`)
      assert.isAbove(pair.connection.stats().schedulerMistakes, 0, `spoiler ${index}`)
      // One that gives no path is taken at its word until the idle timeout; the others lose nothing.
      if (index > 0) assert.strictEqual(pair.connection.streams.bytesSent, 20_000, `spoiler ${index}`)
    }
  })

  it("a steady scheduler is asked once for a run of full packets, and the packets are the same", () => {
    const each = transfer(false)
    const steady = transfer(true)
    assert.isAtLeast(each.asked, 2_000_000 / 1452)
    assert.isBelow(steady.asked, 0.75 * each.asked)
    assert.deepStrictEqual(steady.sent, each.sent)
    assert.strictEqual(steady.time, each.time)
  })
})
