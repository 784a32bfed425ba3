import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Socket } from "node:dgram"
import { readdirSync } from "node:fs"
import { AddressBook } from "../src/internal/wire/Datagram.ts"
import type { Transmit } from "../src/internal/wire/Datagram.ts"
import { AddressInUse, AddressUnavailable, SocketFailed } from "../src/QuicError.ts"
import type { QuicError } from "../src/QuicError.ts"
import * as UdpSocket from "../src/UdpSocket.ts"

const loopback = { host: "127.0.0.1", port: 0 }

const bind = Effect.fnUntraced(function* (address = loopback, options?: UdpSocket.BindOptions) {
  return yield* (yield* UdpSocket.UdpSocket).bind(address, options)
})

const transmit = (from: UdpSocket.BoundSocket, remote: UdpSocket.Address, bytes: Uint8Array, segmentSize = 1200) =>
  ({ local: from.local, remote, ecn: 0, segmentSize, bytes }) satisfies Transmit

/** Datagrams of a burst, copied. */
const contents = (burst: UdpSocket.DatagramBurst): Array<Uint8Array> =>
  Array.from({ length: burst.count }, (_, i) => burst.slab.slice(burst.offset[i], burst.offset[i]! + burst.length[i]!))

const receive = Effect.fnUntraced(function* (socket: UdpSocket.BoundSocket, count: number) {
  const datagrams: Array<Uint8Array> = []
  while (datagrams.length < count) datagrams.push(...contents(yield* socket.pull))
  return datagrams
})

const reason = (error: QuicError) => error.reason

const run = <A, E>(effect: Effect.Effect<A, E, UdpSocket.UdpSocket | Scope.Scope>) =>
  Effect.provide(effect, UdpSocket.layerNode)

describe("UdpSocket.layerNode", () => {
  it.live("sends a transmit as datagrams of its segment size, and receives them as one burst", () =>
    run(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        assert.isAbove(a.local.port, 0)
        const bytes = Uint8Array.from({ length: 2500 }, (_, i) => i)
        assert.isTrue(a.send(transmit(a, b.local, bytes)))
        assert.isFalse(a.retained)
        // The bytes have left: what happens to them now does not reach the other side.
        bytes.fill(0)
        const burst = yield* b.pull
        assert.deepStrictEqual(
          contents(burst).map((datagram) => [datagram.length, datagram[0], datagram[1]]),
          [
            [1200, 0, 1],
            [1200, 1200 & 255, 1201 & 255],
            [100, 2400 & 255, 2401 & 255]
          ]
        )
        assert.strictEqual(burst.remote[0]!.key, a.local.key)
        assert.strictEqual(burst.local[0], b.local)
        assert.strictEqual(burst.ecn[0], 0)
        assert.deepStrictEqual(a.stats, {
          datagramsReceived: 0,
          bytesReceived: 0,
          datagramsSent: 3,
          bytesSent: 2500,
          datagramsDropped: 0,
          sendErrors: {}
        })
        assert.strictEqual(b.stats.datagramsReceived, 3)
        assert.strictEqual(b.stats.bytesReceived, 2500)
      })
    )
  )

  it.live("wakes a waiting reader once for what arrives together", () =>
    run(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        const reader = yield* Effect.forkChild(b.pull)
        yield* Effect.yieldNow
        for (let i = 0; i < 10; i++) a.send(transmit(a, b.local, Uint8Array.of(i)))
        const burst = yield* Fiber.join(reader)
        assert.strictEqual(burst.count, 10)
      })
    )
  )

  it.live("leaves a burst alone until the next pull", () =>
    run(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        a.send(transmit(a, b.local, Uint8Array.of(1, 1, 1)))
        const first = yield* b.pull
        a.send(transmit(a, b.local, Uint8Array.of(2, 2, 2)))
        yield* Effect.sleep(20)
        assert.deepStrictEqual(contents(first), [Uint8Array.of(1, 1, 1)])
        assert.deepStrictEqual(contents(yield* b.pull), [Uint8Array.of(2, 2, 2)])
      })
    )
  )

  it.live("gives bursts as a Stream, and takes transmits as an Effect", () =>
    run(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        yield* a.transmit(Array.from({ length: 100 }, (_, i) => transmit(a, b.local, Uint8Array.of(i), 1)))
        const lengths = yield* b.incoming.pipe(
          Stream.mapAccum(
            () => 0,
            (seen, burst) => [seen + burst.count, [seen + burst.count]] as const
          ),
          Stream.takeUntil((seen) => seen === 100),
          Stream.runCollect
        )
        assert.strictEqual(lengths.at(-1), 100)
      })
    )
  )

  it.live("drops and counts what a slow reader has no room for", () =>
    run(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        for (let i = 0; i < 20; i++) {
          yield* a.transmit(Array.from({ length: 30 }, () => transmit(a, b.local, new Uint8Array(20))))
          yield* Effect.sleep(2)
        }
        const { datagramsReceived: received, datagramsDropped: dropped } = b.stats
        assert.strictEqual(received, 256)
        assert.strictEqual(received + dropped, 600)
        assert.strictEqual((yield* b.pull).count, 256)
        a.send(transmit(a, b.local, new Uint8Array(9)))
        assert.lengthOf(yield* receive(b, 1), 1)
      })
    )
  )

  it.live("G4: segment sizes that are none, or no whole number, lose nothing", () =>
    run(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        const bytes = Uint8Array.from({ length: 450 }, (_, i) => i)
        for (const [size, count] of [
          [0, 1],
          [-5, 1],
          [NaN, 1],
          [Infinity, 1],
          [0.5, 1],
          [100.7, 5]
        ] as const) {
          a.send(transmit(a, b.local, bytes, size))
          const arrived = yield* receive(b, count)
          assert.lengthOf(arrived, count, String(size))
          assert.deepStrictEqual(new Uint8Array(Buffer.concat(arrived)), bytes)
        }
        for (const port of [0, -1, NaN, 1.5, 65_536]) a.send(transmit(a, a.addresses.intern("127.0.0.1", port), bytes))
        assert.deepStrictEqual(a.stats.sendErrors, { EADDRNOTAVAIL: 5 })
      })
    )
  )

  it.live("G8: a socket that cannot be set up leaves no descriptor behind", () =>
    run(
      Effect.gen(function* () {
        const addresses = new AddressBook()
        const before = readdirSync("/proc/self/fd").length
        addresses.intern = () => {
          throw new Error("no address")
        }
        for (let i = 0; i < 5; i++)
          assert.instanceOf((yield* Effect.flip(bind(loopback, { addresses }))).reason, SocketFailed)
        yield* Effect.sleep(1)
        assert.strictEqual(readdirSync("/proc/self/fd").length, before)
      })
    )
  )

  it.live("speaks IPv6", () =>
    run(
      Effect.gen(function* () {
        const [a, b] = [yield* bind({ host: "::1", port: 0 }), yield* bind({ host: "::1", port: 0 })]
        a.send(transmit(a, b.local, Uint8Array.of(6)))
        const burst = yield* b.pull
        assert.strictEqual(burst.remote[0]!.family, 6)
        assert.strictEqual(burst.remote[0]!.key, a.local.key)
      })
    )
  )

  it.live("shares the address book that it is given", () =>
    run(
      Effect.gen(function* () {
        const addresses = new AddressBook()
        const [a, b] = [yield* bind(loopback, { addresses }), yield* bind(loopback, { addresses })]
        a.send(transmit(a, b.local, Uint8Array.of(1)))
        assert.strictEqual((yield* b.pull).remote[0], a.local)
      })
    )
  )

  it.live("fails with AddressInUse, AddressUnavailable or SocketFailed", () =>
    run(
      Effect.gen(function* () {
        const a = yield* bind()
        const taken = reason(yield* Effect.flip(bind({ host: "127.0.0.1", port: a.local.port })))
        assert.instanceOf(taken, AddressInUse)
        assert.include(taken.message, `127.0.0.1:${a.local.port}`)
        const absent = reason(yield* Effect.flip(bind({ host: "198.51.100.1", port: 0 })))
        assert.instanceOf(absent, AddressUnavailable)
        const bad = reason(yield* Effect.flip(bind({ host: "not an address", port: 0 })))
        assert.instanceOf(bad, SocketFailed)
        assert.include(bad.message, "not an address")
      })
    )
  )

  it.live("counts datagrams that the system refuses, tells the caller, and carries on", () =>
    run(
      Effect.gen(function* () {
        const errors: Array<UdpSocket.SendError> = []
        const a = yield* bind(loopback, { onSendError: (error) => errors.push(error) })
        const b = yield* bind()
        assert.isTrue(a.send(transmit(a, b.local, new Uint8Array(65_530), 65_530)))
        yield* Effect.sleep(5)
        assert.deepStrictEqual(a.stats.sendErrors, { EMSGSIZE: 1 })
        assert.strictEqual(errors[0]!.code, "EMSGSIZE")
        assert.strictEqual(errors[0]!.remote, a.addresses.intern(b.local.host, b.local.port))
        // Another family, and a port that does not exist.
        a.send(transmit(a, a.addresses.intern("2001:db8::1", 9), new Uint8Array(20)))
        a.send(transmit(a, a.addresses.intern("127.0.0.1", 0), new Uint8Array(20)))
        yield* Effect.sleep(5)
        assert.strictEqual(errors.length, 3)
        a.send(transmit(a, b.local, Uint8Array.of(1)))
        assert.lengthOf(yield* receive(b, 1), 1)
      })
    )
  )

  it.live("is closed by its scope: the port is free, a waiting reader fails, sends are counted and refused", () =>
    run(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const socket = yield* Scope.provide(bind(), scope)
        const b = yield* bind()
        const reader = yield* Effect.forkChild(Effect.flip(socket.pull))
        yield* Effect.yieldNow
        socket.send(transmit(socket, b.local, Uint8Array.of(5)))
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* receive(b, 1), [Uint8Array.of(5)])
        const error = yield* Fiber.join(reader)
        assert.instanceOf(reason(error), SocketFailed)
        assert.isTrue(socket.send(transmit(socket, b.local, Uint8Array.of(1))))
        assert.deepStrictEqual(socket.stats.sendErrors, { ERR_SOCKET_DGRAM_NOT_RUNNING: 1 })
        assert.isFalse(socket.retained)
        const refused = yield* Effect.flip(socket.transmit([transmit(socket, b.local, Uint8Array.of(1))]))
        assert.instanceOf(reason(refused), SocketFailed)
        yield* bind({ host: "127.0.0.1", port: socket.local.port })
      })
    )
  )

  it.effect("G9: what the kernel does not take within the grace of the end is counted and told, each datagram", () =>
    run(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const codes: Array<string> = []
        const socket = yield* Scope.provide(bind(loopback, { onSendError: ({ code }) => codes.push(code) }), scope)
        const { getSendQueueCount } = Socket.prototype
        let waiting = 3
        Socket.prototype.getSendQueueCount = () => waiting
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => void (Socket.prototype.getSendQueueCount = getSendQueueCount))
        )
        assert.isFalse(socket.send(transmit(socket, socket.local, Uint8Array.of(1))))
        assert.isTrue(socket.retained)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        // One of them leaves in time.
        yield* TestClock.adjust(900)
        waiting = 2
        assert.deepStrictEqual(socket.stats.sendErrors, {})
        yield* TestClock.adjust(200)
        yield* Fiber.join(closing)
        assert.deepStrictEqual(socket.stats.sendErrors, { EAGAIN: 2 })
        assert.deepStrictEqual(codes, ["EAGAIN", "EAGAIN"])
        assert.isFalse(socket.retained)
      })
    )
  )
})

describe("UdpSocket.bindAll", () => {
  const hosts = ["127.0.0.1", "10.0.0.1", "::1", "2001:db8::1"]

  it("expands a wildcard to the addresses of its families", () => {
    assert.deepStrictEqual(UdpSocket.expandWildcard("0.0.0.0", hosts), ["127.0.0.1", "10.0.0.1"])
    assert.deepStrictEqual(UdpSocket.expandWildcard("::", hosts), hosts)
    assert.deepStrictEqual(UdpSocket.expandWildcard("192.0.2.7", hosts), ["192.0.2.7"])
  })

  it.live("RFC 9000 section 9.5: one socket per local address, all with the same port", () =>
    run(
      Effect.gen(function* () {
        const sockets = yield* UdpSocket.bindAll({ host: "0.0.0.0", port: 0 })
        const service = yield* UdpSocket.UdpSocket
        assert.sameMembers(
          sockets.map(({ local }) => local.host),
          service.hosts.filter((host) => !host.includes(":"))
        )
        assert.strictEqual(new Set(sockets.map(({ local }) => local.port)).size, 1)
        const taken = yield* Effect.flip(UdpSocket.bindAll({ host: "0.0.0.0", port: sockets[0]!.local.port }))
        assert.instanceOf(reason(taken), AddressInUse)
      })
    )
  )

  it.live("chooses another port when the first one is taken on another address, and closes what it had bound", () =>
    Effect.gen(function* () {
      const node = Layer.succeed(UdpSocket.UdpSocket, yield* service(["127.0.0.1", "127.0.0.2", "198.51.100.1"]))
      yield* Effect.gen(function* () {
        const sockets = yield* UdpSocket.bindAll({ host: "0.0.0.0", port: 0 })
        // 198.51.100.1 is not an address of this host: left out.
        assert.deepStrictEqual(
          sockets.map(({ local }) => local.host),
          ["127.0.0.1", "127.0.0.2"]
        )
        assert.deepStrictEqual(attempts.slice(0, 3), ["127.0.0.1", "127.0.0.2", "127.0.0.1"])
        assert.strictEqual(sockets[0]!.local.port, sockets[1]!.local.port)
        assert.notStrictEqual(sockets[0]!.local.port, blocked)
        yield* bind({ host: "127.0.0.1", port: blocked })
      }).pipe(Effect.provide(node))
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )

  const attempts: Array<string> = []
  let blocked = 0
  /** Takes the port on the second address right after it was bound on the first one. */
  const service = Effect.fnUntraced(function* (own: ReadonlyArray<string>) {
    const real = yield* UdpSocket.UdpSocket
    return UdpSocket.UdpSocket.of({
      ...real,
      hosts: own,
      bind: Effect.fnUntraced(function* (address, options) {
        attempts.push(address.host)
        if (address.host === "127.0.0.2" && blocked === 0) {
          blocked = address.port
          yield* Effect.scoped(Effect.andThen(real.bind(address), real.bind(address)))
        }
        return yield* real.bind(address, options)
      })
    })
  })

  it.live("fails when no address can be bound", () =>
    Effect.gen(function* () {
      const real = yield* UdpSocket.UdpSocket
      const error = yield* UdpSocket.bindAll({ host: "0.0.0.0", port: 0 }).pipe(
        Effect.provideService(UdpSocket.UdpSocket, { ...real, hosts: ["198.51.100.1", "198.51.100.2"] }),
        Effect.flip
      )
      assert.instanceOf(reason(error), AddressUnavailable)
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )
})
