/**
 * Random use over a random network: whatever applications and links do, what arrives is right, nothing is thrown, no timer
 * stands still (the harness sees to both), and in the end everything is idle and forgotten.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import type { Prng } from "../../src/testing/internal/SimulatorCore.ts"
import { byteAt, newReno, Pair, pattern } from "../support/Machines.ts"
import type { Node } from "../support/Machines.ts"
import { seeds } from "../support/Scenario.ts"

/** One side that opens, writes, reads, resets and stops at random. */
class Actor {
  readonly connection: Connection
  readonly node: Node
  private readonly random: Prng
  private readonly streams: Array<{ readonly stream: Stream; written: number; read: number }> = []
  bytesRead = 0
  datagramsRead = 0

  constructor(node: Node, connection: Connection, random: Prng) {
    this.node = node
    this.connection = connection
    this.random = random
  }

  act(now: number): void {
    const { connection, random } = this
    for (const bidirectional of [true, false]) {
      const stream = connection.streams.accept(bidirectional)
      if (stream !== undefined) this.streams.push({ stream, written: 0, read: 0 })
    }
    const entry = this.streams.length === 0 ? undefined : this.streams[random.int(this.streams.length)]
    const choice = random.int(100)
    if (choice < 10) this.open()
    else if (choice < 45) this.write(entry)
    else if (choice < 80) for (const one of this.streams) this.read(one)
    else if (choice < 84) entry?.stream.finish()
    else if (choice < 86) entry?.stream.reset(random.int(100))
    else if (choice < 88) entry?.stream.stopSending(random.int(100))
    else if (choice < 90) entry?.stream.setPriority(random.int(8), random.chance(0.5))
    else if (choice < 95) connection.datagrams.push(pattern(0, random.int(Math.max(1, connection.maxDatagramSize()))))
    else if (choice < 97) connection.updateKeys(now)
    else if (choice < 98) connection.probePath(0, now)
    for (let bytes = connection.datagrams.read(); bytes !== undefined; bytes = connection.datagrams.read()) {
      bytes.forEach((byte, i) => assert.strictEqual(byte, byteAt(i)))
      this.datagramsRead++
    }
    connection.wake()
  }

  private open(): void {
    const stream = this.connection.streams.open(this.random.chance(0.5))
    if (stream !== undefined) this.streams.push({ stream, written: 0, read: 0 })
  }

  private write(entry: { readonly stream: Stream; written: number } | undefined): void {
    if (entry === undefined) return
    const length = Math.min(entry.stream.writableBytes, this.random.int(this.random.chance(0.1) ? 200_000 : 3000))
    if (length > 0 && entry.stream.write(pattern(entry.written, length))) entry.written += length
  }

  private read(entry: { readonly stream: Stream; read: number }): void {
    const most = this.random.chance(0.2) ? 1 + this.random.int(1000) : undefined
    const bytes = entry.stream.read(most)
    if (bytes === undefined) return
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] !== byteAt(entry.read + i)) assert.fail(`stream ${entry.stream.id}: wrong byte at ${entry.read + i}`)
    }
    entry.read += bytes.length
    this.bytesRead += bytes.length
  }
}

const shake = (pair: Pair, random: Prng, nat: { rebind: () => void } | undefined): void => {
  const link = pair.links[0]!
  const choice = random.int(9)
  if (choice === 0) link.cut()
  else if (choice <= 2) link.restore()
  else if (choice === 3) link.set({ loss: random.next() * 0.3 })
  else if (choice === 4) link.set({ reorder: random.next() * 0.3, reorderDelay: random.int(80) })
  else if (choice === 5) link.set({ mbps: 1 + random.int(50), queue: 5 + random.int(100) })
  else if (choice === 6) link.set({ delay: 1 + random.int(100), jitter: random.int(20) })
  else if (choice === 7)
    link.set({ corrupt: random.next() * 0.05, duplicate: random.next() * 0.1, ecnMark: random.int(40) })
  else if (random.chance(0.5)) nat?.rebind()
  else link.set({ mtu: 1200 + random.int(300) })
}

describe("Random use of a random network", () => {
  it("what arrives is right, and everything comes to rest", () => {
    let bytes = 0
    let datagrams = 0
    for (const seed of seeds(40)) {
      const windows = { initialStreamWindow: 20_000, initialConnectionWindow: 50_000, maxConnectionWindow: 200_000 }
      const settings = {
        idleTimeout: 5000 + 1000 * (seed % 3),
        ...(seed % 2 === 0 ? windows : {}),
        ...(seed % 5 === 0 ? { maxBidiStreams: 2, maxUniStreams: 1 } : {}),
        ...(seed % 7 === 0 ? { streamSendBuffer: 5000 } : {})
      }
      const congestion = seed % 3 === 0 ? newReno : undefined
      const pair = new Pair({ seed, client: { settings, congestion }, server: { settings } })
      const { simulator } = pair
      const { random } = simulator
      const nat = seed % 2 === 0 ? simulator.nat({ outside: "203.0.113.1", inside: ["10.0.0.*"] }) : undefined
      const client = new Actor(pair.client, pair.connection, random)
      let server: Actor | undefined
      const steps = 50 + random.int(400)
      for (let step = 0; step < steps; step++) {
        pair.run(simulator.now + random.int(random.chance(0.05) ? 500 : 12))
        if (server === undefined && pair.server.accepted.length > 0) {
          server = new Actor(pair.server, pair.accepted, random)
        }
        if (random.chance(0.6)) client.act(simulator.now)
        if (random.chance(0.6)) server?.act(simulator.now)
        if (random.chance(0.04)) shake(pair, random, nat)
      }
      if (random.chance(0.5)) (random.chance(0.5) ? client : (server ?? client)).connection.close(1, "", simulator.now)
      if (random.chance(0.7)) pair.links[0]!.set({ up: true, loss: 0 })
      pair.run(simulator.now + 60_000)
      // Whoever waits for credit keeps the connection up, as RFC 9000 section 4.1 has it: somebody has to end it.
      pair.connection.close(2, "", simulator.now)
      pair.run(simulator.now + 60_000)
      assert.strictEqual(simulator.next(), Infinity, `seed ${seed}: events that are left`)
      for (const node of [pair.client, pair.server]) {
        assert.strictEqual(node.endpoint.stats().routes, 0, `seed ${seed}`)
        for (const info of node.closes) {
          // Section 10.2.3: a close during the handshake comes without its code.
          const early =
            info.kind === "transport" && info.initiator === "peer" && info.code === TransportError.application
          const kinds = ["application", "idleTimeout", "handshakeTimeout", "statelessReset"]
          assert.isTrue(early || kinds.includes(info.kind), `seed ${seed}: ${JSON.stringify(info)}`)
        }
      }
      assert.strictEqual(pair.client.closes.length, 1, `seed ${seed}`)
      bytes += client.bytesRead + (server?.bytesRead ?? 0)
      datagrams += client.datagramsRead + (server?.datagramsRead ?? 0)
    }
    assert.isAbove(bytes, 300_000)
    assert.isAbove(datagrams, 150)
  })
})
