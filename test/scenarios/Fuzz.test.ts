/** Random and replayed bytes against both roles: what has no keys changes nothing, and what has them never throws. */
import { assert, describe, it } from "@effect/vitest"
import { capture, inject, sendRaw } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import { establish, established, exchange, intact, seeds, send } from "../support/Scenario.ts"

describe("Attackers without keys", () => {
  it("forged packets with valid headers are dropped, at every length", () => {
    const pair = established()
    const sample = capture(pair.client)
    exchange(pair, 50_000, 1000, "before")
    pair.run(pair.simulator.now + 200)
    const { random } = pair.simulator
    const { packetsReceived } = pair.accepted.stats()
    const id = sample.at(-1)!.bytes.subarray(1, 9)
    for (let length = 9; length < 200; length++) {
      const forged = Uint8Array.from({ length }, () => random.int(256))
      forged[0] = 0x40 | random.int(64)
      forged.set(id, 1)
      sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, forged)
    }
    pair.run(pair.simulator.now + 200)
    assert.strictEqual(pair.accepted.stats().packetsReceived, packetsReceived)
    exchange(pair, 50_000, 1000, "after")
  })

  it("21.4: a whole connection replayed, in order, backwards and at random, changes nothing", () => {
    for (const seed of seeds(3)) {
      const pair = new Pair({ seed })
      const both = [capture(pair.client), capture(pair.server)]
      establish(pair)
      exchange(pair, 200_000, 2000, "before")
      pair.run(pair.simulator.now + 200)
      const stats = pair.accepted.stats()
      const all = both.flat()
      pair.client.tap = pair.server.tap = undefined
      const order = [all.slice(), all.toReversed(), all.toSorted(() => pair.simulator.random.next() - 0.5)]
      for (const list of order) {
        for (const { bytes, from, to } of list) sendRaw(pair.simulator, from, to, bytes)
        pair.run(pair.simulator.now + 300)
      }
      assert.strictEqual(pair.accepted.stats().packetsReceived, stats.packetsReceived, `seed ${seed}`)
      assert.strictEqual(pair.accepted.streams.bytesReceived, 200_000)
      // The replayed first Initial reaches the connection that it opened.
      assert.strictEqual(pair.server.endpoint.stats().connections, 1)
      exchange(pair, 10_000, 1000, `seed ${seed}, after`)
    }
  })

  it("10.3.1, 12.2: datagrams cut, changed, joined and turned back, during handshake and transfer: no harm", () => {
    for (const seed of seeds(40)) {
      const pair = new Pair({ seed, links: [{ mbps: 20, delay: 8, queue: 100 }] })
      const { random } = pair.simulator
      let previous = new Uint8Array(1)
      const meddle = (datagram: Uint8Array): Uint8Array => {
        const copy = datagram.slice()
        const choice = random.int(7)
        if (choice === 0) return copy.subarray(0, random.int(copy.length + 1))
        if (choice === 1) {
          const both = new Uint8Array(copy.length + previous.length)
          both.set(copy)
          both.set(previous, copy.length)
          return both
        }
        if (choice === 2) return copy.fill(random.int(256), random.int(copy.length))
        // The header is worth more attention than the rest.
        for (let n = 1 + random.int(4); n > 0; n--) {
          const at = random.chance(0.5) ? random.int(Math.min(40, copy.length)) : random.int(copy.length)
          copy[at] = random.int(256)
        }
        return copy
      }
      for (const node of [pair.client, pair.server]) {
        node.tap = (datagram, from, to, now) => {
          if (random.chance(0.3)) {
            const bytes = meddle(datagram)
            const back = random.chance(0.2)
            pair.simulator.at(now + random.int(30), () =>
              sendRaw(pair.simulator, back ? to : from, back ? from : to, bytes)
            )
          }
          previous = datagram.slice()
          return true
        }
      }
      assert.isAbove(establish(pair), 0, `seed ${seed}`)
      exchange(pair, 60_000, 10_000, `seed ${seed}`)
      assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0, `seed ${seed}`)
      assert.strictEqual(pair.server.accepted.length, 1, `seed ${seed}`)
    }
  })

  it("random frames under real keys: the peer closes or goes on, and throws never", () => {
    for (const seed of seeds(150)) {
      const pair = established({ seed })
      const { random } = pair.simulator
      const down = send(pair.accepted, pair.connection, 20_000)
      for (let n = 0; n < 5; n++) {
        const payload = Uint8Array.from({ length: 1 + random.int(60) }, () => random.int(random.chance(0.5) ? 64 : 256))
        const from = random.chance(0.5) ? pair.connection : pair.accepted
        if (from.state === "established") inject(pair.simulator, from, payload)
        pair.run(pair.simulator.now + random.int(20))
      }
      pair.run(pair.simulator.now + 100_000)
      assert.strictEqual(pair.simulator.next(), Infinity, `seed ${seed}`)
      for (const node of [pair.client, pair.server]) {
        assert.strictEqual(node.closes.length, 1)
        assert.include(["transport", "application", "idleTimeout", "statelessReset"], node.closes[0]!.kind)
        assert.strictEqual(node.endpoint.stats().routes, 0)
      }
      if (pair.client.closes[0]!.kind === "idleTimeout" && pair.server.closes[0]!.kind === "idleTimeout") {
        if (down.drain?.finished === true && down.drain.wrong < 0) intact(down, 20_000, `seed ${seed}`)
      }
    }
  })
})
