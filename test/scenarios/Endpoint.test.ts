/** An endpoint with many connections, and what strangers can make it do and keep (RFC 9000 sections 8.1, 10.3, 21). */
import { assert, describe, it } from "@effect/vitest"
import { Simulator } from "../../src/testing/internal/SimulatorCore.ts"
import { capture, sendRaw } from "../support/Hostile.ts"
import { Node, Pair, pattern } from "../support/Machines.ts"
import { Incoming, establish, established, exchange, intact, send } from "../support/Scenario.ts"

const nothing = (node: Node): void => {
  const { connections, routes } = node.endpoint.stats()
  assert.deepStrictEqual({ connections, routes }, { connections: 0, routes: 0 })
  assert.strictEqual(node.endpoint.nextTimeout(), Infinity)
}

describe("An endpoint with many connections", () => {
  it("1000 connections, opened, used and closed by either side, leave nothing", () => {
    const pair = established()
    pair.connection.close(0, "", pair.simulator.now)
    for (let round = 0; round < 10; round++) {
      const start = pair.simulator.now
      const before = pair.server.accepted.length
      const connections = Array.from({ length: 100 }, () => pair.client.connect(pair.server))
      pair.until(() => connections.every((one) => one.confirmed), start + 5000, 5)
      const accepted = pair.server.accepted.slice(before)
      assert.strictEqual(accepted.length, 100)
      for (const connection of connections) {
        const stream = connection.streams.open(false)!
        stream.write(pattern(0, 500))
        stream.finish()
        connection.wake()
      }
      const incoming = accepted.map((one) => new Incoming(one))
      pair.until(() => incoming.every((one) => one.finished), start + 5000, 5)
      incoming.forEach((one) => intact(one, 500, `round ${round}`))
      connections.forEach((connection, i) => {
        if (i % 2 === 0) connection.close(1, "", pair.simulator.now)
        else accepted[i]!.close(2, "", pair.simulator.now)
      })
      pair.run(pair.simulator.now + 50)
      assert.isAbove(pair.client.endpoint.stats().connections, 0)
    }
    pair.run(pair.simulator.now + 5000)
    assert.strictEqual(pair.client.closes.length, 1001)
    assert.strictEqual(pair.server.closes.length, 1001)
    nothing(pair.client)
    nothing(pair.server)
    assert.strictEqual(pair.simulator.next(), Infinity)
  })

  it("connections that end by timeouts leave nothing either", () => {
    const settings = { idleTimeout: 3000, handshakeTimeout: 2000 }
    const pair = new Pair({ client: { settings }, server: { settings } })
    for (let i = 0; i < 50; i++) pair.client.connect(pair.server)
    let n = 0
    // Some never get an answer, some are left alone by their peers at some point.
    pair.server.tap = () => n++ % 7 !== 0 && n < 400
    pair.client.tap = () => n++ % 5 !== 0 && n < 400
    pair.run(20_000)
    assert.strictEqual(pair.client.closes.length, 51)
    nothing(pair.client)
    nothing(pair.server)
  })

  it("a deadline that moved back costs nothing until it comes up, and one of an ended connection is gone", () => {
    const pair = established()
    for (let i = 0; i < 20; i++) exchange(pair, 5000, 1000, `${i}`)
    // One connection ID in use and one spare, the ID that the client chose, the peer's tokens, and one deadline.
    assert.isAtMost(pair.server.endpoint.stats().routes, 8)
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 1000)
    nothing(pair.server)
    nothing(pair.client)
  })

  it("many connections share an endpoint without sharing anything else", () => {
    const pair = established({ links: [{ mbps: 100, delay: 5, queue: 200, loss: 0.005 }] })
    const connections = Array.from({ length: 20 }, () => pair.client.connect(pair.server))
    pair.until(() => connections.every((one) => one.confirmed) && pair.server.accepted.length === 21, 5000, 5)
    const byId = new Map(pair.server.accepted.map((one) => [one.id, one]))
    const flows = connections.map((one, i) => send(one, byId.get(one.id)!, 20_000 + 1000 * i))
    pair.until(() => flows.every((flow) => flow.finished), 30_000, 5)
    flows.forEach((flow, i) => intact(flow, 20_000 + 1000 * i, `connection ${i}`))
  })

  it("one endpoint is client and server at once", () => {
    const simulator = new Simulator({ seed: 5 })
    const one = new Node(simulator, ["10.0.0.1"], 1000, true, {})
    const other = new Node(simulator, ["10.0.0.2"], 1000, true, {})
    const there = one.connect(other)
    const back = other.connect(one)
    simulator.run(500)
    assert.isTrue(there.confirmed && back.confirmed)
    assert.strictEqual(one.accepted.length, 1)
    assert.strictEqual(other.accepted.length, 1)
  })
})

const flood = (options: ConstructorParameters<typeof Pair>[0], count: number): Pair => {
  const pair = new Pair(options)
  establish(pair)
  const real = pair.client.tap
  const initials = capture(pair.client)
  const before = pair.client.tap!
  pair.client.tap = (...datagram) => before(...datagram) && false
  const connections = Array.from({ length: count }, () => pair.client.connect(pair.server))
  pair.run(pair.simulator.now + 1)
  const first = initials.slice()
  for (const connection of connections) connection.close(0, "", pair.simulator.now)
  pair.run(pair.simulator.now + 1)
  pair.client.tap = real
  assert.strictEqual(first.length, count)
  first.forEach(({ bytes }, i) => {
    const from = pair.simulator.addresses.intern(`172.16.${i >> 8}.${i & 255}`, 1000 + i)
    sendRaw(pair.simulator, from, pair.server.addresses[0]!, bytes)
  })
  return pair
}

describe("RFC 9000 8.1, 21: state for strangers is bounded", () => {
  it("first flights from spoofed addresses: no more handshakes than the limit, the others are counted as refused", () => {
    const pair = flood({ server: { maxHandshakes: 20, retry: "never", settings: { handshakeTimeout: 2000 } } }, 300)
    let bytes = 0
    pair.server.tap = (datagram) => {
      bytes += datagram.length
      return true
    }
    pair.run(pair.simulator.now + 100)
    const { connections, refused } = pair.server.endpoint.stats()
    // The one that was there before does not count any more: its client's address is validated.
    assert.strictEqual(connections, 21)
    assert.strictEqual(refused, 280)
    assert.isAtMost(bytes, 20 * 3600)
    exchange(pair, 10_000, 1000, "the client that was there")
    pair.run(pair.simulator.now + 2000)
    assert.strictEqual(pair.server.endpoint.stats().connections, 1)
    const late = pair.client.connect(pair.server)
    pair.run(pair.simulator.now + 500)
    assert.isTrue(late.confirmed)
  })

  it("a client that was refused gets in with its next probe, when there is room", () => {
    const pair = flood({ server: { maxHandshakes: 10, retry: "never", settings: { handshakeTimeout: 1500 } } }, 50)
    pair.run(pair.simulator.now + 10)
    const late = pair.client.connect(pair.server)
    pair.run(pair.simulator.now + 200)
    assert.isFalse(late.confirmed)
    pair.run(pair.simulator.now + 4000)
    assert.isTrue(late.confirmed)
  })

  it("no more connections than maxConnections", () => {
    const pair = established({ server: { maxConnections: 3 } })
    const more = Array.from({ length: 5 }, () => pair.client.connect(pair.server))
    pair.run(pair.simulator.now + 500)
    assert.strictEqual(pair.server.endpoint.stats().connections, 3)
    assert.strictEqual(more.filter((one) => one.confirmed).length, 2)
    assert.isAtLeast(pair.server.endpoint.stats().refused, 3)
  })

  it("random bytes of every length open nothing, whatever the first byte says", () => {
    const pair = established()
    const { random } = pair.simulator
    const { routes } = pair.server.endpoint.stats()
    for (const node of [pair.client, pair.server]) {
      const to = node.addresses[0]!
      const from = node === pair.client ? pair.server.addresses[0]! : pair.client.addresses[0]!
      for (let length = 0; length < 1500; length += 1 + (length >> 6)) {
        for (const first of [0x00, 0x40, 0x4f, 0x80, 0xc0, 0xd3, 0xe0, 0xff]) {
          const bytes = Uint8Array.from({ length }, () => random.int(256))
          if (length > 0) bytes[0] = first
          // Half of them of a version that is spoken, with lengths of IDs that make sense.
          if (length > 30 && random.chance(0.5)) bytes.set([0, 0, 0, 1, 8], 1)
          if (length > 30 && random.chance(0.2)) bytes.set([0x6b, 0x33, 0x43, 0xcf, 20], 1)
          sendRaw(pair.simulator, from, to, bytes)
        }
      }
    }
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0)
    assert.strictEqual(pair.server.accepted.length, 1)
    assert.strictEqual(pair.server.endpoint.stats().routes, routes)
    exchange(pair, 10_000, 1000, "after")
  })

  it("answers to strangers wait in a bounded queue", () => {
    const pair = established()
    const answers = capture(pair.server)
    const from = pair.simulator.addresses.intern("10.0.0.9", 9)
    for (let i = 0; i < 500; i++) {
      const bytes = new Uint8Array(100).fill(0x41)
      bytes[1] = i
      bytes[2] = i >> 8
      sendRaw(pair.simulator, from, pair.server.addresses[0]!, bytes)
    }
    pair.run(pair.simulator.now + 100)
    assert.isAtMost(answers.filter(({ to }) => to === from).length, 8 * 64)
    assert.isAbove(answers.filter(({ to }) => to === from).length, 63)
  })
})
