/** The send buffer keeps the paths busy, with the settings that an application has if it says nothing. */
import { assert, describe, it } from "@effect/vitest"
import { QuicConfig } from "../../src/QuicConfig.ts"
import { transfer, withPaths } from "../support/Multipath.ts"
import type { MultipathOptions } from "../support/Multipath.ts"

const { maxConnectionWindow, maxStreamWindow, streamSendBuffer } = new QuicConfig({})
const settings = { maxConnectionWindow, maxPaths: 2, maxStreamWindow, streamSendBuffer }

/** ms of the transfer in which path 0 could have taken a packet and nothing was queued although more was to be written. */
const starved = (links: MultipathOptions["links"], bytes: number): { readonly idle: number; readonly time: number } => {
  const pair = withPaths({ links, client: { settings }, server: { settings } })
  const { accepted } = pair
  let idle = 0
  const { time } = transfer(pair, {
    bytes,
    step: () => {
      const path = accepted.path(0)!
      const writing = accepted.streams.get(3)?.isWritable === true
      const room = path.congestionWindow - path.recovery.bytesInFlight
      if (writing && accepted.streams.queuedBytes === 0 && room >= path.mtu) idle++
    }
  })
  return { idle, time }
}

describe("C3: no path is empty for lack of queued data", () => {
  it("of a long fat pipe", () => {
    const { idle, time } = starved([{ mbps: 250, delay: 130, queue: 6000 }], 16_000_000)
    assert.strictEqual(idle, 0)
    assert.isBelow(time, 3000)
  })

  it("of two paths of which the slower one holds up the faster one", () => {
    const links = [
      { mbps: 100, delay: 5, queue: 200 },
      { mbps: 20, delay: 200, queue: 800 }
    ]
    assert.strictEqual(starved(links, 12_000_000).idle, 0)
  })
})
