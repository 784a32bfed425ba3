import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { NetAddress } from "effect/net"
import { TestClock } from "effect/testing"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"
import { AddressInUse } from "../../src/QuicError.ts"
import * as SimulatedNetwork from "../../src/testing/SimulatedNetwork.ts"
import { makeRelayCore } from "../../src/testing/internal/RelayCore.ts"
import * as UdpRelay from "../../src/testing/UdpRelay.ts"
import * as UdpSocket from "../../src/UdpSocket.ts"

const bind = (host: string, port = 0) => Effect.flatMap(UdpSocket.UdpSocket, (service) => service.bind({ host, port }))

const send = (
  from: UdpSocket.BoundSocket,
  to: UdpSocket.Address | NetAddress.InetAddress,
  bytes: Uint8Array,
  segmentSize = 1250
) => {
  const remote = from.addresses.intern(NetAddress.isInetAddress(to) ? NetAddress.formatHost(to) : to.host, to.port)
  return from.send({ local: from.local, remote, ecn: 0, segmentSize, bytes })
}

const receive = Effect.fnUntraced(function* (socket: UdpSocket.BoundSocket, count: number) {
  const datagrams: Array<{ first: number; length: number; remote: UdpSocket.Address }> = []
  while (datagrams.length < count) {
    const burst = yield* socket.pull
    for (let i = 0; i < burst.count; i++) {
      datagrams.push({ first: burst.slab[burst.offset[i]!]!, length: burst.length[i]!, remote: burst.remote[i]! })
    }
  }
  return datagrams
})

/** A target that answers every datagram with its own bytes. */
const echo = (target: UdpSocket.BoundSocket) =>
  Effect.forkScoped(
    Effect.forever(
      Effect.map(target.pull, (burst) => {
        for (let i = 0; i < burst.count; i++) {
          const at = burst.offset[i]!
          send(target, burst.remote[i]!, burst.slab.slice(at, at + burst.length[i]!))
        }
      })
    )
  )

const loopback = { host: "127.0.0.1", port: 0 }

describe("UdpRelay on real sockets", () => {
  it.live("carries datagrams of several clients there and back, each from a socket of its own", () =>
    Effect.gen(function* () {
      const target = yield* bind("127.0.0.1")
      yield* echo(target)
      const relay = yield* UdpRelay.make({ listen: loopback, target: target.local, delay: 2 })
      const clients = [yield* bind("127.0.0.1"), yield* bind("127.0.0.1")]
      for (const [i, client] of clients.entries()) send(client, relay.address, Uint8Array.of(i, 2, 3))
      for (const [i, client] of clients.entries()) {
        const [answer] = yield* receive(client, 1)
        assert.deepInclude(answer, { first: i, length: 3 })
        assert.strictEqual(String(answer!.remote), String(relay.address))
      }
      assert.deepStrictEqual(
        relay.clients.map(String),
        clients.map(({ local }) => String(local))
      )
      const { forward, backward } = relay.stats
      assert.deepInclude(forward, { delivered: 2, deliveredBytes: 6 })
      assert.deepInclude(backward, { delivered: 2, deliveredBytes: 6 })
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )

  it.live("holds its rate", () =>
    Effect.gen(function* () {
      const target = yield* bind("127.0.0.1")
      const relay = yield* UdpRelay.make({ listen: loopback, target: target.local, mbps: 40, queue: 1000 })
      const client = yield* bind("127.0.0.1")
      const clock = yield* Effect.clockWith(Effect.succeed)
      const start = clock.monotonicTimeNanosUnsafe()
      // 200 packets of 1250 bytes: 50 ms at 40 Mbit/s.
      for (let i = 0; i < 200; i += 20) {
        send(client, relay.address, new Uint8Array(25_000))
        yield* Effect.sleep(1)
      }
      yield* receive(target, 200)
      const took = Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6
      assert.isAtLeast(took, 49.5)
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )

  it.live("is silent while cut, and carries again when restored", () =>
    Effect.gen(function* () {
      const target = yield* bind("127.0.0.1")
      const relay = yield* UdpRelay.make({ listen: loopback, target: target.local })
      const client = yield* bind("127.0.0.1")
      send(client, relay.address, Uint8Array.of(1))
      yield* receive(target, 1)
      relay.cut()
      send(client, relay.address, Uint8Array.of(2))
      yield* Effect.sleep(20)
      relay.restore()
      send(client, relay.address, Uint8Array.of(3))
      assert.strictEqual((yield* receive(target, 1))[0]!.first, 3)
      assert.strictEqual(relay.stats.forward.down, 1)
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )

  it.live("RFC 9000 section 9.3: moves its sessions to other ports on rebind", () =>
    Effect.gen(function* () {
      const target = yield* bind("127.0.0.1")
      const relay = yield* UdpRelay.make({ listen: loopback, target: target.local })
      const client = yield* bind("127.0.0.1")
      send(client, relay.address, Uint8Array.of(1))
      const [before] = yield* receive(target, 1)
      yield* relay.rebind
      send(client, relay.address, Uint8Array.of(2))
      const [after] = yield* receive(target, 1)
      assert.notStrictEqual(after!.remote.port, before!.remote.port)
      // The old way is closed, the new one leads to the client.
      send(target, before!.remote, Uint8Array.of(3))
      send(target, after!.remote, Uint8Array.of(4))
      assert.strictEqual((yield* receive(client, 1))[0]!.first, 4)
      assert.lengthOf(relay.clients, 1)
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )

  it.live("fails with the reason when it cannot listen", () =>
    Effect.gen(function* () {
      const target = yield* bind("127.0.0.1")
      const error = yield* Effect.flip(UdpRelay.make({ listen: target.local, target: target.local }))
      assert.instanceOf(error.reason, AddressInUse)
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )
})

describe("UdpRelay under TestClock", () => {
  const hosts = Effect.fnUntraced(function* () {
    const net = yield* SimulatedNetwork.make({ link: { delay: 1 } })
    const [client, middle, server] = ["10.0.0.1", "10.5.0.1", "10.9.0.1"].map((host) => net.host(host, [host]))
    return { client: client!, middle: middle!, server: server! }
  })

  it.effect("shapes each direction on its own, exactly", () =>
    Effect.gen(function* () {
      const { client, middle, server } = yield* hosts()
      const target = yield* Effect.provide(bind("10.9.0.1", 443), server.udpSocket)
      yield* echo(target)
      const relay = yield* UdpRelay.make({
        listen: { host: "10.5.0.1", port: 443 },
        target: target.local,
        delay: 10,
        forward: { mbps: 10, queue: 50 },
        backward: { mbps: 1, queue: 5 }
      }).pipe(Effect.provide(middle.udpSocket))
      const a = yield* Effect.provide(bind("10.0.0.1"), client.udpSocket)
      // 100 packets of 1250 bytes at once: one on the wire, 50 wait. 1 ms each forward, 10 ms each backward.
      for (let i = 0; i < 10; i++) send(a, relay.address, new Uint8Array(12_500))
      yield* TestClock.adjust(2000)
      const { forward, backward } = relay.stats
      assert.deepInclude(forward, { offered: 100, delivered: 51, queueFull: 49, longestQueue: 50 })
      // Answers come every ms for 51 ms; 10 ms each: 5 go out meanwhile, 6 are left inside at the end.
      assert.strictEqual(backward.offered, 51)
      assert.strictEqual(backward.delivered + backward.queueFull, 51)
      assert.strictEqual(backward.delivered, 11)
      assert.strictEqual((yield* receive(a, 11)).length, 11)
    })
  )

  it.effect("keeps the number of clients: a new one replaces the oldest", () =>
    Effect.gen(function* () {
      const { client, middle, server } = yield* hosts()
      const target = yield* Effect.provide(bind("10.9.0.1", 443), server.udpSocket)
      const relay = yield* UdpRelay.make({
        listen: { host: "10.5.0.1", port: 443 },
        target: target.local,
        maxClients: 2
      }).pipe(Effect.provide(middle.udpSocket))
      for (let i = 0; i < 3; i++) {
        send(yield* Effect.provide(bind("10.0.0.1", 100 + i), client.udpSocket), relay.address, Uint8Array.of(i))
        yield* TestClock.adjust(10)
      }
      assert.deepStrictEqual(
        relay.clients.map(({ port }) => port),
        [101, 102]
      )
      const received = yield* receive(target, 3)
      assert.strictEqual(new Set(received.map(({ remote }) => remote.key)).size, 3)
    })
  )
})

describe("makeRelayCore", () => {
  const client = new AddressBook().intern("10.0.0.1", 1)

  for (const mbps of [40, 200]) {
    it(`keeps ${mbps} Mbit/s within 2 %, however late it is called`, () => {
      let sent = 0
      const core = makeRelayCore({ mbps, queue: 400 }, { send: (_, __, bytes) => ((sent += bytes.length), false) })
      const bytes = new Uint8Array(1452)
      let now = 0
      // Ticks of 1 to 4 ms in turn; offered: 1.2 times the rate.
      for (let i = 0; now < 2000; i++) {
        const step = 1 + (i % 4)
        now += step
        const packets = Math.ceil((mbps * 125 * step * 1.2) / bytes.length)
        for (let j = 0; j < packets; j++) core.offer("forward", { client }, bytes, 0, bytes.length, 0, now)
        core.advance(now)
      }
      assert.approximately((sent * 8) / 1000 / now, mbps, mbps * 0.02)
      assert.isAbove(core.stats().forward.queueFull, 0)
    })
  }

  it("refuses options out of range", () => {
    assert.throws(() => makeRelayCore({ loss: 2 }, { send: () => {} }), "loss is 2")
  })
})
