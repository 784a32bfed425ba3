/** What an endpoint says to datagrams that belong to no connection (RFC 9000 sections 5.2, 6.1, 10.3). */
import { assert, describe, it } from "@effect/vitest"
import { TokenBucket } from "../../src/internal/endpoint/TokenBucket.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { Simulator } from "../../src/testing/internal/SimulatorCore.ts"
import { make as seededBytes } from "../../src/testing/SeededRandom.ts"
import { capture, sendRaw } from "../support/Hostile.ts"
import { Node, Pair, pattern } from "../support/Machines.ts"
import { ending, establish, established, exchange, say } from "../support/Scenario.ts"

/** Short packets to IDs that nobody issued, from the other end's address: each looks like one of a lost connection. */
const spoof = (pair: Pair, count: number, length: number): void => {
  const bytes = seededBytes(pair.simulator.seed)(count * length).slice()
  for (let i = 0; i < count; i++) {
    const datagram = bytes.subarray(i * length, (i + 1) * length)
    datagram[0] = 0x40 | (datagram[0]! & 0x3f)
    sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, datagram)
  }
}

const resets = (pair: Pair): number => {
  const [client, server] = [pair.client.endpoint, pair.server.endpoint]
  return client.stats().statelessResetsSent + server.stats().statelessResetsSent
}

describe("RFC 9000 10.3: stateless resets are limited", () => {
  it("B8, 10.3.3: 1000 spoofed packets give few resets between two endpoints, and those soon end", () => {
    for (const length of [43, 100, 1200]) {
      const pair = established()
      // All at once, so that the answers' queue is no help: in bursts of 20.
      for (let i = 0; i < 50; i++) {
        spoof(pair, 20, length)
        pair.run(pair.simulator.now + 1)
      }
      pair.run(pair.simulator.now + 3000)
      // 21,000 with nothing but the rule that each is smaller than what caused it.
      assert.isAtMost(resets(pair), 500, `of ${length} bytes`)
      const before = resets(pair)
      pair.run(pair.simulator.now + 3000)
      assert.strictEqual(resets(pair), before, "they go on")
      exchange(pair, 10_000, 1000, "the connection that is there")
    }
  })

  it("B8: after a flood resets are given again", () => {
    const pair = established()
    for (let i = 0; i < 100; i++) {
      spoof(pair, 20, 100)
      pair.run(pair.simulator.now + 1)
    }
    pair.run(pair.simulator.now + 2000)
    const before = pair.server.endpoint.stats().statelessResetsSent
    spoof(pair, 1, 100)
    pair.run(pair.simulator.now + 100)
    assert.isAbove(pair.server.endpoint.stats().statelessResetsSent, before)
  })

  it("B8: a bucket gives its burst at once, its rate for ever, and nothing for the past", () => {
    const bucket = new TokenBucket(100, 10)
    const take = (now: number): number => {
      let taken = 0
      while (bucket.take(now)) taken++
      return taken
    }
    assert.strictEqual(take(5), 10)
    assert.strictEqual(take(5), 0)
    assert.strictEqual(take(15), 1)
    assert.strictEqual(take(45), 3)
    assert.strictEqual(take(40), 0)
    assert.strictEqual(take(1e9), 10)
  })

  it("B9, 17.3.1: what has a fixed bit of 0 is no packet, and gets no reset", () => {
    const pair = established()
    const bytes = new Uint8Array(100).fill(0x33)
    bytes[0] = 0x00
    sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(resets(pair), 0)
    assert.isAbove(pair.server.endpoint.stats().datagramsDropped, 0)
  })
})

describe("RFC 9000 10.3.2: a reset key that lives longer than the endpoint", () => {
  /** A client whose server is replaced by another one at the same address. */
  const restarted = (before: Uint8Array | undefined, after: Uint8Array | undefined): Pair => {
    const pair = established({ server: { resetKey: before } })
    exchange(pair, 10_000, 1000, "before")
    pair.run(pair.simulator.now + 200)
    const { host, port } = pair.server.addresses[0]!
    pair.server.vanish()
    const again = new Node(pair.simulator, [host], port, true, { resetKey: after })
    assert.strictEqual(again.endpoint.stats().connections, 0)
    say(pair.connection, pattern(0, 100))
    pair.run(pair.simulator.now + 100)
    return pair
  }

  it("B11, F11: a restarted server with the same key ends its old connections at the first packet", () => {
    const key = new Uint8Array(32).fill(5)
    assert.deepStrictEqual(ending(restarted(key, key.slice()).client), { kind: "statelessReset" })
  })

  it("B11: with another key, and with a random one, its resets say nothing", () => {
    const key = new Uint8Array(32).fill(5)
    assert.strictEqual(restarted(key, new Uint8Array(32).fill(6)).client.closes.length, 0)
    assert.strictEqual(restarted(key, undefined).client.closes.length, 0)
  })

  it("B11: the key decides the token, whatever else is random", () => {
    const tokens = [1, 2].map((seed) => {
      const simulator = new Simulator({ seed })
      const node = new Node(simulator, ["10.0.0.1"], 1, true, { resetKey: new Uint8Array(32).fill(9) })
      return (node.endpoint as unknown as { ids: { resetToken: (id: Uint8Array) => Uint8Array } }).ids.resetToken(
        new Uint8Array(8).fill(3)
      )
    })
    assert.deepStrictEqual(tokens[0], tokens[1])
  })
})

describe("RFC 9000 10.3.1: which tokens count", () => {
  /** A datagram that ends in the token of one of the IDs that the server issued. */
  const resetWith = (pair: Pair, sequence: number): Uint8Array => {
    const bytes = new Uint8Array(43).fill(0x41)
    bytes.set(pair.accepted.paths[0]!.localIds.bySequence(sequence)!.resetToken, bytes.length - 16)
    return bytes
  }
  const deliver = (pair: Pair, bytes: Uint8Array, from = pair.server.addresses[0]!): void => {
    sendRaw(pair.simulator, from, pair.client.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 50)
  }

  it("B9: the one of the ID in use ends the connection; one of an ID that was never used does not", () => {
    const pair = established()
    pair.run(pair.simulator.now + 200)
    const used = pair.connection.paths[0]!.remoteIds.active!.sequence
    const spare = pair.accepted.paths[0]!.localIds.ids.map(({ sequence }) => sequence).find((one) => one !== used)!
    deliver(pair, resetWith(pair, spare))
    assert.strictEqual(pair.client.closes.length, 0)
    // After it was used it counts, and the one before, which is retired, does not any more.
    const old = resetWith(pair, used)
    const fresh = resetWith(pair, spare)
    pair.connection.core.paths.rotateRemoteId(pair.connection.core.paths.primary)
    pair.connection.wake()
    deliver(pair, old)
    assert.strictEqual(pair.client.closes.length, 0)
    deliver(pair, fresh)
    assert.deepStrictEqual(ending(pair.client), { kind: "statelessReset" })
  })

  it("B9: from another address than the peer's it says nothing", () => {
    const pair = established()
    pair.run(pair.simulator.now + 200)
    const bytes = resetWith(pair, pair.connection.paths[0]!.remoteIds.active!.sequence)
    deliver(pair, bytes, pair.simulator.addresses.intern("192.0.2.7", 7))
    assert.strictEqual(pair.client.closes.length, 0)
    deliver(pair, bytes)
    assert.deepStrictEqual(ending(pair.client), { kind: "statelessReset" })
  })
})

describe("RFC 9000 5.2.2: clients that come too late", () => {
  it("C14: an endpoint that was closed refuses them with CONNECTION_REFUSED, at once and in few bytes", () => {
    const pair = established()
    const answers = capture(pair.server)
    pair.server.endpoint.closeAll(0, "", pair.simulator.now)
    const late = pair.client.connect(pair.server)
    const before = pair.client.closes.length
    const asked = pair.simulator.now
    pair.until(() => pair.client.closes.length >= before + 2, asked + 500)
    assert.isBelow(pair.simulator.now - asked, 30)
    assert.deepInclude(pair.client.closes[pair.client.closes.length - 1], {
      kind: "transport",
      initiator: "peer",
      code: TransportError.connectionRefused
    })
    assert.isAtMost(Math.max(...answers.map(({ bytes }) => bytes.length)), 100)
    assert.strictEqual(pair.server.endpoint.stats().refused, 1)
    assert.strictEqual(pair.server.accepted.length, 1)
    assert.isFalse(late.confirmed)
    pair.run(pair.simulator.now + 5000)
    assert.deepInclude(pair.server.endpoint.stats(), { connections: 0, routes: 0 })
  })

  it("C14: those that are there go on where only new ones are refused", () => {
    const pair = established()
    pair.server.endpoint.refuseAll()
    pair.client.connect(pair.server)
    exchange(pair, 100_000, 1000, "after")
    assert.strictEqual(pair.client.closes.length, 1)
    assert.strictEqual(pair.server.endpoint.stats().connections, 1)
  })

  it("C14: a flood is refused up to a bound, and answered with less than it sent", () => {
    const pair = new Pair()
    establish(pair)
    pair.server.endpoint.refuseAll()
    const sent = capture(pair.client)
    const answers = capture(pair.server)
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 50; i++) pair.client.connect(pair.server)
      pair.run(pair.simulator.now + 20)
    }
    const bytes = (all: typeof sent): number => all.reduce((sum, one) => sum + one.bytes.length, 0)
    const refusals = answers.filter((one) => one.bytes[0]! >= 0x80)
    assert.isAbove(refusals.length, 60)
    assert.isAtMost(refusals.length, 130)
    assert.isBelow(bytes(refusals), bytes(sent) / 10)
  })
})
