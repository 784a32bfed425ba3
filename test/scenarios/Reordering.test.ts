/**
 * Networks that change the order of packets without losing any (RFC 9002 sections 6.1.1, 6.1.2; RFC 8985): they must cost
 * neither window nor copies. Times are simulated, so the figures repeat.
 */
import { assert, describe, it } from "@effect/vitest"
import { cubic, newReno } from "../support/Machines.ts"
import { transfer, withPaths } from "../support/Multipath.ts"
import { established, intact, send } from "../support/Scenario.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"

const MB = 1_000_000

interface Outcome {
  /** Mbit/s of stream data. */
  readonly rate: number
  readonly packets: number
  readonly spurious: number
}

/** Sends `total` bytes to the server. */
const run = (link: DuplexOptions, total: number, congestion: typeof cubic): Outcome => {
  const settings = { streamSendBuffer: 16 * MB, initialStreamWindow: 16 * MB, initialConnectionWindow: 24 * MB }
  const node = { congestion, settings }
  const pair = established({ links: [link], client: node, server: node })
  const start = pair.simulator.now
  const up = send(pair.connection, pair.accepted, total)
  const end = pair.until(() => up.finished, start + 60_000, 5)
  intact(up, total, "reordered")
  const { packetsSent, spuriousLosses } = pair.connection.stats().paths[0]!
  return { rate: (total * 8) / (end - start) / 1000, packets: packetsSent, spurious: spuriousLosses }
}

/** Share of the packets that are late, and by how many ms. */
const cases = [
  [0.05, 1],
  [0.05, 20],
  [0.25, 20]
] as const

const controllers = [
  ["CUBIC", cubic],
  ["NewReno", newReno]
] as const

describe("C2: reordering beyond three packets", () => {
  for (const [name, congestion] of controllers) {
    const links = [
      { title: "50 Mbit/s, 40 ms", link: { mbps: 50, delay: 20, queue: 200 }, total: 4 * MB, delays: cases },
      {
        title: "200 Mbit/s, 100 ms",
        link: { mbps: 200, delay: 50, queue: 2000 },
        total: 12 * MB,
        delays: cases.slice(2)
      }
    ]
    for (const { title, link, total, delays } of congestion === cubic ? links : links.slice(0, 1)) {
      it(`${title}: at least 0.8 of the rate without it, with ${name}`, () => {
        const { rate } = run(link, total, congestion)
        for (const [reorder, reorderDelay] of delays) {
          const reordered = run({ ...link, reorder, reorderDelay }, total, congestion)
          assert.isAtLeast(reordered.rate / rate, 0.8, `${100 * reorder} % by ${reorderDelay} ms`)
        }
      })
    }
  }
})

describe("F1: jitter that reorders", () => {
  const link = { mbps: 20, delay: 10, queue: 1000 }
  for (const [name, congestion] of controllers) {
    it(`20 Mbit/s, 10 ms and 0 to 30 ms: at least 11.1 Mbit/s, and hardly a packet more, with ${name}`, () => {
      const clean = run(link, 2 * MB, congestion)
      const scattered = run({ ...link, scatter: 30 }, 2 * MB, congestion)
      assert.isAtLeast(scattered.rate, 11.1)
      assert.isAtMost(scattered.spurious, 0.02 * scattered.packets)
      assert.isAtMost(scattered.packets, 1.06 * clean.packets, "with the acknowledgements that reordering calls for")
    })

    it(`5 % of the packets 10 ms early: at least 17.9 Mbit/s, with ${name}`, () => {
      const early = run({ ...link, delay: 0, reorder: 0.95, reorderDelay: 10 }, 2 * MB, congestion)
      assert.isAtLeast(early.rate, 17.9)
      assert.isAtMost(early.spurious, 0.025 * early.packets)
    })
  }

  it("two such paths together carry more than one can", () => {
    const pair = withPaths({
      links: [
        { ...link, scatter: 30 },
        { ...link, delay: 50, scatter: 100 }
      ]
    })
    const { goodput, stats } = transfer(pair, { bytes: 5 * MB })
    assert.isAtLeast(goodput, 20)
    for (const { packetsSent, spuriousLosses } of stats.paths) assert.isAtMost(spuriousLosses, 0.03 * packetsSent)
  })
})
