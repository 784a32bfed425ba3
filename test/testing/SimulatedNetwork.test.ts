import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Ecn } from "../../src/internal/wire/Datagram.ts"
import * as Endpoint from "../../src/Endpoint.ts"
import { AddressInUse, AddressUnavailable, SocketFailed } from "../../src/QuicError.ts"
import * as SimulatedNetwork from "../../src/testing/SimulatedNetwork.ts"
import * as UdpSocket from "../../src/UdpSocket.ts"

const bind = (host: string, port = 0) => Effect.flatMap(UdpSocket.UdpSocket, (service) => service.bind({ host, port }))

const send = (
  from: UdpSocket.BoundSocket,
  to: UdpSocket.BoundSocket,
  length: number,
  options: { segmentSize?: number; ecn?: number } = {}
) =>
  from.send({
    local: from.local,
    remote: to.local,
    ecn: options.ecn ?? Ecn.notEct,
    segmentSize: options.segmentSize ?? 1200,
    bytes: new Uint8Array(length).fill(9)
  })

/** Two hosts with one socket each. */
const pair = Effect.fnUntraced(function* (
  link: SimulatedNetwork.DuplexOptions = {},
  options: SimulatedNetwork.Options = {}
) {
  const net = yield* SimulatedNetwork.make(options)
  const client = net.host("client", ["10.0.0.1", "10.0.1.1"])
  const server = net.host("server", ["10.9.0.1", "2001:db8::9"])
  const wire = net.link("10.0.0.1", "10.9.0.1", link)
  const a = yield* Effect.provide(bind("10.0.0.1"), client.udpSocket)
  const b = yield* Effect.provide(bind("10.9.0.1", 443), server.udpSocket)
  return { net, client, server, wire, a, b }
})

const clockMs = Effect.clockWith((clock) => Effect.sync(() => Number(clock.monotonicTimeNanosUnsafe()) / 1e6))

/** Reads forever; gives what was read as [ms, datagrams]. */
const record = Effect.fnUntraced(function* (socket: UdpSocket.BoundSocket) {
  const bursts: Array<[number, number]> = []
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.gen(function* () {
        const burst = yield* socket.pull
        bursts.push([yield* clockMs, burst.count])
      })
    )
  )
  return bursts
})

/** A random network's trace. */
const traceOf = (seed: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { net, a, b } = yield* pair({ mbps: 10, jitter: 5, loss: 0.1, reorder: 0.1 }, { seed, trace: true })
      yield* record(b)
      for (let i = 0; i < 100; i++) {
        send(a, b, 500)
        yield* TestClock.adjust(0.3)
      }
      yield* TestClock.adjust(1000)
      return net.trace.join("\n")
    })
  )

describe("SimulatedNetwork", () => {
  it.effect("delivers when the test lets the time pass, to the microsecond, bursts as bursts", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair({ delay: 10.125 })
      const bursts = yield* record(b)
      yield* TestClock.adjust(3)
      send(a, b, 3000)
      yield* TestClock.adjust(1)
      send(a, b, 100)
      yield* TestClock.adjust(9.1)
      assert.deepStrictEqual(bursts, [])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(bursts, [
        [13.125, 3],
        [14.125, 1]
      ])
      assert.deepStrictEqual(b.stats.bytesReceived, 3100)
      assert.strictEqual(a.stats.datagramsSent, 4)
    })
  )

  it.effect("lets an echo go back and forth within one adjust", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair({ delay: 10, backward: { delay: 20 } })
      const replies = yield* record(a)
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.gen(function* () {
            const burst = yield* b.pull
            assert.strictEqual(burst.local[0], b.local)
            b.send({ local: b.local, remote: burst.remote[0]!, ecn: 0, segmentSize: 1200, bytes: new Uint8Array(20) })
          })
        )
      )
      for (let i = 0; i < 3; i++) {
        send(a, b, 50)
        yield* TestClock.adjust(100)
      }
      assert.deepStrictEqual(replies, [
        [30, 1],
        [130, 1],
        [230, 1]
      ])
    })
  )

  it.effect("delivers without delay once the sender has finished", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair({ delay: 0 })
      const reader = yield* Effect.forkChild(b.pull)
      yield* Effect.yieldNow
      send(a, b, 10)
      send(a, b, 10)
      assert.strictEqual(b.stats.datagramsReceived, 0)
      assert.strictEqual((yield* Fiber.join(reader)).count, 2)
    })
  )

  it.effect("carries 2000 packets at the rate of the link, and marks ECN", () =>
    Effect.gen(function* () {
      const { a, b, wire } = yield* pair({ mbps: 40, delay: 5, queue: 3000, ecnMark: 1000 })
      const bursts = yield* record(b)
      for (let i = 0; i < 20; i++) send(a, b, 125_000, { segmentSize: 1250, ecn: Ecn.ect0 })
      yield* TestClock.adjust(505)
      const [time] = bursts.at(-1)!
      assert.approximately(time, 505, 1e-5)
      assert.strictEqual(
        bursts.reduce((sum, [, count]) => sum + count, 0),
        2000
      )
      assert.strictEqual(wire.stats.forward.marked, 999)
    })
  )

  it.effect("cuts, restores and changes a link while the test runs", () =>
    Effect.gen(function* () {
      const { a, b, wire } = yield* pair({ delay: 10 })
      const bursts = yield* record(b)
      send(a, b, 10)
      yield* TestClock.adjust(5)
      wire.cut()
      yield* TestClock.adjust(20)
      send(a, b, 10)
      wire.restore()
      wire.set({ delay: 50 })
      send(a, b, 10)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(bursts, [[75, 1]])
      wire.outage(30)
      yield* TestClock.adjust(29)
      send(a, b, 10)
      yield* TestClock.adjust(1)
      send(a, b, 10)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(bursts, [
        [75, 1],
        [205, 1]
      ])
      assert.strictEqual(wire.stats.forward.down, 3)
    })
  )

  it.effect("gives the same trace for the same seed", () =>
    Effect.gen(function* () {
      const first = yield* traceOf(7)
      assert.strictEqual(first, yield* traceOf(7))
      assert.notStrictEqual(first, yield* traceOf(8))
      assert.match(first, /^0\.\d{6} 10\.0\.0\.1:49152 > 10\.9\.0\.1:443 500 ecn=0 (lost|delivered) sent=0\.000000 #/)
    })
  )

  it.effect("RFC 9000 section 9.3: a rebinding shows the server another port", () =>
    Effect.gen(function* () {
      const { net, a, b } = yield* pair({ delay: 10 })
      const nat = net.nat({ outside: "198.51.100.1", inside: ["10.0.*"] })
      const seen: Array<UdpSocket.Address> = []
      yield* Effect.forkScoped(
        Effect.forever(Effect.map(b.pull, (burst) => seen.push(...burst.remote.slice(0, burst.count))))
      )
      send(a, b, 10)
      yield* TestClock.adjust(10)
      nat.rebind()
      send(a, b, 10)
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(
        seen.map(({ host }) => host),
        ["198.51.100.1", "198.51.100.1"]
      )
      assert.notStrictEqual(seen[0]!.port, seen[1]!.port)
      assert.strictEqual(String(nat.mappings[0]![1]), String(seen[1]))
    })
  )

  it.effect("binds as a real host does: ephemeral ports, typed errors, wildcards, a free port after close", () =>
    Effect.gen(function* () {
      const { client, server, a, b } = yield* pair()
      assert.strictEqual(a.local.port, 49_152)
      const taken = yield* Effect.flip(Effect.provide(bind("10.9.0.1", 443), server.udpSocket))
      assert.instanceOf(taken.reason, AddressInUse)
      const absent = yield* Effect.flip(Effect.provide(bind("10.9.0.1"), client.udpSocket))
      assert.instanceOf(absent.reason, AddressUnavailable)

      const any = yield* Effect.provide(bind("0.0.0.0", 9), client.udpSocket)
      const bursts = yield* record(b)
      send(any, b, 10)
      yield* TestClock.adjust(1)
      assert.lengthOf(bursts, 1)
      b.send({
        local: b.local,
        remote: b.addresses.intern("10.0.1.1", 9),
        ecn: 0,
        segmentSize: 9,
        bytes: new Uint8Array(9)
      })
      yield* TestClock.adjust(1)
      const burst = yield* any.pull
      assert.strictEqual(burst.local[0], any.local)

      const all = yield* Effect.provide(UdpSocket.bindAll({ host: "::", port: 0 }), server.udpSocket)
      assert.deepStrictEqual(
        all.map(({ local }) => local.host),
        ["10.9.0.1", "2001:db8::9"]
      )

      const scope = yield* Scope.make()
      const own = yield* Effect.provide(bind("10.0.1.1", 77), client.udpSocket).pipe(Scope.provide(scope))
      const reader = yield* Effect.forkChild(Effect.flip(own.pull))
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      assert.instanceOf((yield* Fiber.join(reader)).reason, SocketFailed)
      assert.isTrue(send(own, b, 10))
      assert.deepStrictEqual(own.stats.sendErrors, { ERR_SOCKET_DGRAM_NOT_RUNNING: 1 })
      yield* Effect.provide(bind("10.0.1.1", 77), client.udpSocket)
    })
  )

  it.effect("is a Layer too, with hosts on it", () =>
    Effect.gen(function* () {
      const net = yield* SimulatedNetwork.SimulatedNetwork
      const server = net.host("server", ["10.9.0.1"])
      const a = yield* bind("10.0.0.1")
      const b = yield* Effect.provide(bind("10.9.0.1"), server.udpSocket)
      const bursts = yield* record(b)
      yield* a.transmit([{ local: a.local, remote: b.local, ecn: 0, segmentSize: 5, bytes: new Uint8Array(10) }])
      send(a, a, 10)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(bursts, [[1, 2]])
      assert.strictEqual(net.unreachable, 0)
    }).pipe(
      Effect.provide(
        SimulatedNetwork.layerHost("client", ["10.0.0.1"]).pipe(Layer.provideMerge(SimulatedNetwork.layer({ seed: 3 })))
      )
    )
  )

  it.live("runs by a real clock too", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair({ mbps: 40, delay: 10 })
      const start = yield* clockMs
      send(a, b, 12_000)
      let received = 0
      while (received < 10) received += (yield* b.pull).count
      const took = (yield* clockMs) - start
      assert.isAtLeast(took, 12.3)
    })
  )
})

describe("SimulatedNetwork.run", () => {
  const EchoLive = Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
    Layer.provide(Endpoint.layer({ listen: "10.9.0.1:4433", alpn: "echo" })),
    Layer.provide(SimulatedNetwork.layerHost("server", ["10.9.0.1"]))
  )
  const ClientLive = Endpoint.layer({ idleTimeout: "20 seconds" }).pipe(
    Layer.provide(SimulatedNetwork.layerHost("client", ["10.0.0.1"]))
  )
  const ask = Effect.gen(function* () {
    const connection = yield* Endpoint.connect({ address: "10.9.0.1:4433", alpn: "echo", serverName: "server.test" })
    const stream = yield* connection.openStream()
    yield* stream.end("hello")
    return [yield* stream.text, connection.id, yield* clockMs] as const
  }).pipe(Effect.provide(Layer.merge(EchoLive, ClientLive)))

  it.effect("D12: an ordinary test needs no loop: time passes until it is done", () =>
    Effect.gen(function* () {
      const [text, id, took] = yield* SimulatedNetwork.run(ask, { link: { delay: "30 millis" } })
      assert.strictEqual(text, "hello")
      assert.approximately(took, 120, 20)
      // One seed decides everything.
      assert.strictEqual((yield* SimulatedNetwork.run(ask, { seed: 1 }))[1], id)
      assert.notStrictEqual((yield* SimulatedNetwork.run(ask, { seed: 2 }))[1], id)
    })
  )

  it.live("D12: it brings its own clock", () =>
    Effect.gen(function* () {
      const start = performance.now()
      yield* SimulatedNetwork.run(Effect.sleep("1 minute"))
      assert.isBelow(performance.now() - start, 10_000)
    })
  )

  it.effect("D12: failures come through, and a test that never ends is ended", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flip(SimulatedNetwork.run(Effect.fail("no"))), "no")
      const exit = yield* Effect.exit(SimulatedNetwork.run(Effect.never, { limit: "10 seconds" }))
      assert.include(String(exit), "not done after 10000 ms of simulated time")
      const network = SimulatedNetwork.SimulatedNetwork
      assert.strictEqual(
        yield* SimulatedNetwork.run(
          Effect.map(network, ({ seed }) => seed),
          { seed: 5 }
        ),
        5
      )
    })
  )

  it.live("X1: a test that is not done in time is ended though its scope takes time to close", () =>
    Effect.gen(function* () {
      const closed: Array<number> = []
      const test = Effect.gen(function* () {
        yield* Effect.addFinalizer(() =>
          Effect.andThen(
            Effect.sleep("3 seconds"),
            Effect.map(Clock.currentTimeMillis, (time) => closed.push(time))
          )
        )
        yield* Effect.never
      })
      const exit = yield* Effect.exit(SimulatedNetwork.run(test, { limit: "10 seconds" }))
      assert.include(String(exit), "not done after 10000 ms of simulated time")
      assert.deepStrictEqual(closed, [13_000])
    })
  )

  it.live("X1: a run that is interrupted closes the scope of its test", () =>
    Effect.gen(function* () {
      const closed: Array<string> = []
      const begun = yield* Deferred.make<void>()
      const test = Effect.gen(function* () {
        yield* Effect.addFinalizer(() =>
          Effect.andThen(
            Effect.sleep("3 seconds"),
            Effect.sync(() => closed.push("closed"))
          )
        )
        yield* Deferred.succeed(begun, undefined)
        yield* Effect.never
      })
      const fiber = yield* Effect.forkChild(SimulatedNetwork.run(test, { limit: "10 hours" }))
      yield* Deferred.await(begun)
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(closed, ["closed"])
    })
  )
})
