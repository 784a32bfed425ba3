/**
 * Two endpoints with three links and whatever may happen to them (SCN-19): data arrives whole, nobody breaks the protocol,
 * and at the end there is silence.
 */
import { assert, describe, it } from "@effect/vitest"
import { Prng } from "../../src/testing/internal/SimulatorCore.ts"
import type { Nat } from "../../src/testing/internal/SimulatorCore.ts"
import { lowLatency, Pair, roundRobin } from "../support/Machines.ts"
import { pairOptions } from "../support/Multipath.ts"
import { establish, intact, send } from "../support/Scenario.ts"

const RUNS = 40
const OPERATIONS = 60
const BYTES = 1_500_000

const links = [
  { mbps: 20, delay: 10, queue: 60 },
  { mbps: 8, delay: 40, queue: 40 },
  { mbps: 30, delay: 3, queue: 30 }
]

/** A server learns where a path behind a translator leads by what comes over it. */
const probeAll = (pair: Pair): void => {
  for (const { id, open } of pair.connection.paths) if (open) pair.connection.probePath(id, pair.simulator.now)
  pair.connection.wake()
}

/** One run. What it did is in the message of whatever fails. */
const run = (seed: number): void => {
  const random = new Prng(seed, "operations")
  const settings = { maxPaths: 2 + random.int(3), idleTimeout: 60_000, keepAlive: random.int(2) * 500 }
  const scheduler = random.int(2) === 0 ? lowLatency : roundRobin
  const pair = new Pair(pairOptions({ seed, links, settings, node: { scheduler } }))
  const nats: ReadonlyArray<Nat> = pair.client.addresses.map((address, i) =>
    pair.simulator.nat({ outside: `203.0.113.${i + 1}`, inside: [address.host] })
  )
  assert.isAbove(establish(pair), 0)
  const up = send(pair.connection, pair.accepted, BYTES)
  const down = send(pair.accepted, pair.connection, BYTES)
  const done: Array<string> = []
  const either = () => (random.int(2) === 0 ? pair.connection : pair.accepted)
  const anyLink = () => random.int(links.length)
  const anyPath = () => {
    const { paths } = either()
    return paths[random.int(paths.length)]!.id
  }
  const operations: ReadonlyArray<() => string> = [
    () => {
      const link = anyLink()
      const status = random.int(3) === 0 ? "backup" : "available"
      const answer = pair.connection.openPath({ local: pair.client.addresses[link]!, status }, pair.simulator.now)
      return `open over ${link} as ${status}: ${answer}`
    },
    () => {
      // Only one side: two that each close what the other keeps end the connection, and rightly so (ABN-8).
      const [connection, path] = [seed % 2 === 0 ? pair.connection : pair.accepted, anyPath()]
      return `${connection.role} closes ${path}: ${connection.closePath(path, random.int(100), pair.simulator.now)}`
    },
    () => {
      const link = anyLink()
      pair.links[link]!.cut()
      pair.simulator.at(pair.simulator.now + random.int(1500), () => pair.links[link]!.restore())
      return `cut ${link}`
    },
    () => {
      const link = anyLink()
      const back = random.int(2) === 0
      pair.links[link]!.set(back ? { backward: { up: false } } : { forward: { up: false } })
      pair.simulator.at(pair.simulator.now + random.int(1500), () => pair.links[link]!.restore())
      return `cut one way ${link}`
    },
    () => {
      const link = anyLink()
      pair.links[link]!.set({ loss: random.next() * 0.2, reorder: random.next() * 0.2, duplicate: random.next() * 0.1 })
      return `worsen ${link}`
    },
    () => {
      const link = anyLink()
      pair.links[link]!.set({ mtu: 1200 + random.int(300) })
      return `shrink ${link}`
    },
    () => {
      nats[anyLink()]!.rebind()
      return "rebind"
    },
    () => {
      const [connection, path, status] = [either(), anyPath(), random.int(2) === 0 ? "backup" : "available"] as const
      return `${connection.role} sets ${path} ${status}: ${connection.setPathStatus(path, status)}`
    },
    () => `key update: ${either().updateKeys(pair.simulator.now)}`,
    () => `probe: ${either().probePath(anyPath(), pair.simulator.now)}`
  ]
  try {
    for (let i = 0; i < OPERATIONS; i++) {
      done.push(`${pair.simulator.now.toFixed(0)} ${operations[random.int(operations.length)]!()}`)
      pair.connection.wake()
      pair.accepted.wake()
      pair.run(pair.simulator.now + random.int(120))
    }
    for (const link of pair.links) link.set({ up: true, loss: 0, reorder: 0, duplicate: 0, mtu: 1500 })
    probeAll(pair)
    pair.until(() => up.finished && down.finished, pair.simulator.now + 40_000, 20)
    assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [])
    intact(up, BYTES, "to the server")
    intact(down, BYTES, "to the client")
    probeAll(pair)
    // Everything is settled: validation, discards, MTU probes, repeats. Then only keep-alives may be heard.
    pair.run(pair.simulator.now + 40_000)
    let sent = 0
    const count = (): boolean => {
      sent++
      return true
    }
    pair.client.tap = pair.server.tap = count
    pair.run(pair.simulator.now + 10_000)
    // For each path, from each side: a PING each half second, and its answer.
    const open = pair.connection.paths.filter(({ state }) => state === "active").length
    assert.isAtMost(sent, settings.keepAlive === 0 ? 0 : 80 * Math.max(open, 2), "packets in ten quiet seconds")
    for (const { paths } of [pair.connection, pair.accepted]) {
      for (const path of paths) assert.isAtMost(path.bytesInFlight, settings.keepAlive === 0 ? 0 : 100)
      assert.isTrue(paths.some(({ validated }) => validated))
    }
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 20_000)
    assert.strictEqual(pair.connection.state, "closed")
    assert.strictEqual(pair.accepted.state, "closed")
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`seed ${seed}: ${message}\n${done.join("\n")}`, { cause })
  }
}

describe("SCN-19: random interaction over three links", () => {
  it(`${RUNS} runs of ${OPERATIONS} operations`, () => {
    for (let seed = 1; seed <= RUNS; seed++) run(seed)
  }, 60_000)
})
