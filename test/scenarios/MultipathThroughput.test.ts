/**
 * What several paths are for: more bytes a second, and none lost when one of them dies (draft-21 sections 5.1 to 5.6;
 * REC-1, REC-4, REC-5). Times are simulated; the bounds leave little beyond what the links allow.
 */
import { assert, describe, it } from "@effect/vitest"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { QuicConfig } from "../../src/QuicConfig.ts"
import { cubic, lowLatency, newReno, roundRobin } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { closePath, equalLinks, eventsOf, transfer, unequalLinks, withPaths } from "../support/Multipath.ts"
import type { TransferResult } from "../support/Multipath.ts"
import { exchange } from "../support/Scenario.ts"

const MB = 1_000_000
const { maxConnectionWindow, maxStreamWindow, streamSendBuffer } = new QuicConfig({})
/** The windows and the buffer that users get. */
const defaults = { maxConnectionWindow, maxStreamWindow, streamSendBuffer }
const schedulers = [lowLatency, roundRobin]
const controllers = [cubic, newReno]

/** 30 MB over the unequal links; `cut` happens when `after` bytes came over path `watched`. */
const cutShort = (options: {
  readonly cut: (pair: Pair) => void
  readonly watched?: number
  readonly after?: number
  readonly upload?: boolean
}): { readonly pair: Pair; readonly result: TransferResult } => {
  const pair = withPaths({ links: unequalLinks })
  const { watched = 0, after = 10 * MB, upload = false } = options
  const receiver = upload ? pair.accepted : pair.connection
  let done = false
  const result = transfer(pair, {
    bytes: 30 * MB,
    upload,
    step: () => {
      if (done || receiver.path(watched)!.streamBytesReceived < after) return
      done = true
      options.cut(pair)
    }
  })
  return { pair, result }
}

describe("REC-1: aggregation", () => {
  for (const scheduler of schedulers) {
    for (const congestion of controllers) {
      const node = { scheduler, congestion }
      const name = `${scheduler().name}, ${congestion.name}`

      it(`two equal paths carry at least 1.9 times one: ${name}`, () => {
        const one = transfer(withPaths({ links: equalLinks.slice(0, 1), node }), { bytes: 10 * MB })
        const two = transfer(withPaths({ links: equalLinks, node }), { bytes: 10 * MB })
        assert.isAtLeast(two.goodput / one.goodput, 1.9)
        assert.isAbove(one.goodput, 18.5)
      })

      it(`30 MB over 40 Mbit/s 10 ms and 20 Mbit/s 30 ms take at most 4.4 s: ${name}`, () => {
        const result = transfer(withPaths({ links: unequalLinks, node }), { bytes: 30 * MB })
        assert.isAtMost(result.time, 4400)
        const [first, second] = result.stats.paths
        assert.isAbove(first!.streamBytesSent, 18 * MB)
        assert.isAbove(second!.streamBytesSent, 9 * MB)
      })
    }
  }

  it("the same from the client to the server", () => {
    assert.isAtMost(transfer(withPaths({ links: unequalLinks }), { bytes: 30 * MB, upload: true }).time, 4400)
  })

  it("a slow path beside a fast one costs it no more than the last of what went the slow way (head-of-line blocking)", () => {
    const fast = { mbps: 40, delay: 10, queue: 100 }
    const slow = { mbps: 1, delay: 150, queue: 20 }
    for (const scheduler of schedulers) {
      const node = { scheduler }
      const alone = transfer(withPaths({ links: [fast], node }), { bytes: 10 * MB })
      const both = transfer(withPaths({ links: [fast, slow], node }), { bytes: 10 * MB })
      assert.isAtMost(both.time, alone.time + 1500, scheduler().name)
    }
  })

  it("windows grow with what waits out of order: a path with a long queue does not fill them", () => {
    const slow = { mbps: 1.2, delay: 40, queue: 58 }
    const fast = { mbps: 16.7, delay: 32, queue: 199 }
    for (const scheduler of schedulers) {
      const result = transfer(withPaths({ links: [slow, fast], node: { scheduler } }), { bytes: 13 * MB })
      assert.isAbove(result.goodput, 14, scheduler().name)
    }
  })

  it("windows grow before what waits out of order fills them: no sender in slow start ever waits for a slow path", () => {
    const fast = { mbps: 92, delay: 75, queue: 14_000 }
    const slow = { mbps: 0.7, delay: 3, queue: 116 }
    const alone = transfer(withPaths({ links: [fast], settings: defaults }), { bytes: 20 * MB })
    const pair = withPaths({ links: [fast, slow], settings: defaults, node: { scheduler: deliveryRate } })
    const both = transfer(pair, { bytes: 20 * MB })
    assert.isBelow(both.time, alone.time)
    assert.strictEqual(pair.connection.streams.timesPeerBlocked, 0)
  })

  it("both directions at once", () => {
    const pair = withPaths({ links: unequalLinks })
    assert.isAtMost(exchange(pair, 10 * MB, 10_000, "10 MB each way"), 2200)
  })
})

describe("REC-4: a path dies", () => {
  it("the faster one, both ways, after 10 MB: the rest comes over the other, hardly interrupted", () => {
    const { pair, result } = cutShort({ cut: ({ links }) => links[0]!.cut() })
    assert.isAtMost(result.time, 8600)
    assert.isAtMost(result.stall, 200)
    assert.strictEqual(eventsOf(pair.server, "potentiallyFailed", 0).length, 1)
    assert.strictEqual(pair.accepted.path(0)!.state, "potentiallyFailed")
    assert.strictEqual(pair.accepted.path(1)!.state, "active")
  })

  it("the faster one while the client sends", () => {
    const { result } = cutShort({ cut: ({ links }) => links[0]!.cut(), upload: true })
    assert.isAtMost(result.time, 8600)
    assert.isAtMost(result.stall, 200)
  })

  it("the slower one", () => {
    const { result } = cutShort({ cut: ({ links }) => links[1]!.cut(), watched: 1, after: 5 * MB })
    assert.isAtMost(result.time, 5400)
    assert.isAtMost(result.stall, 250)
  })

  it("only the direction of the data", () => {
    const { result } = cutShort({ cut: ({ links }) => links[0]!.set({ backward: { up: false } }) })
    assert.isAtMost(result.time, 8600)
    assert.isAtMost(result.stall, 200)
  })

  it("only the direction of the acknowledgements: they take the other path, and the data stays", () => {
    const { result } = cutShort({ cut: ({ links }) => links[0]!.set({ forward: { up: false } }) })
    assert.isAtMost(result.time, 4700)
    assert.isAtMost(result.stall, 200)
  })

  it("and comes back after 2 s: it is used again, and both sides hear of it", () => {
    const { pair, result } = cutShort({
      cut: ({ links, simulator }) => {
        links[0]!.cut()
        simulator.at(simulator.now + 2000, () => links[0]!.restore())
      }
    })
    assert.isAtMost(result.time, 6200)
    assert.strictEqual(eventsOf(pair.server, "recovered", 0).length, 1)
    assert.isAbove(result.stats.paths[0]!.streamBytesSent, 15 * MB)
    assert.strictEqual(pair.accepted.path(0)!.state, "active")
  })

  it("both for 1 s: the transfer goes on at most half a second after they are back", () => {
    const { result } = cutShort({
      cut: ({ links, simulator }) => {
        for (const link of links) link.cut()
        simulator.at(simulator.now + 1000, () => {
          for (const link of links) link.restore()
        })
      }
    })
    assert.isAtMost(result.stall, 1500)
    assert.isAtMost(result.time, 6200)
  })

  it("ABN-2: closed by the application during a transfer, its data moves at once", () => {
    for (const side of ["client", "server"] as const) {
      const pair = withPaths({ links: unequalLinks })
      let closed = false
      const result = transfer(pair, {
        bytes: 10 * MB,
        step: (elapsed) => {
          if (closed || elapsed < 500) return
          closed = true
          assert.isTrue(closePath(pair, side === "client" ? pair.connection : pair.accepted, 0, 42))
        }
      })
      assert.isAtMost(result.stall, 200, side)
      assert.isAtMost(result.time, 4000, side)
      const peer = side === "client" ? pair.server : pair.client
      assert.deepStrictEqual(eventsOf(peer, "abandoned", 0), [
        { kind: "abandoned", pathId: 0, initiator: "peer", code: 42 }
      ])
    }
  })

  it("REC-5: 5 % loss on both paths, in both directions", () => {
    const lossy = unequalLinks.map((link) => ({ ...link, loss: 0.05 }))
    transfer(withPaths({ links: lossy }), { bytes: 3 * MB })
    transfer(withPaths({ links: lossy, seed: 2 }), { bytes: 3 * MB, upload: true })
  })

  it("memory of the receiver stays within the windows that it gave", () => {
    const pair = withPaths({
      links: unequalLinks,
      settings: { maxStreamWindow: 512 * 1024, maxConnectionWindow: 768 * 1024 }
    })
    const result = transfer(pair, { bytes: 10 * MB })
    assert.isAtMost(result.time, 4000)
  })
})
