import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { closeSync, fstatSync, openSync } from "node:fs"
import * as Endpoint from "../../src/Endpoint.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"
import * as UdpSocket from "../../src/UdpSocket.ts"
import { SocketFailed } from "../../src/QuicError.ts"
import { bind, contents, loopback, native, pattern, receive, skipped, transmit } from "./support.ts"

const live = it.live.skipIf(skipped)

/** Small, so that it is soon full. */
const small = { socketReceiveBuffer: 4096 }

const portOfNobody = Effect.scoped(Effect.map(bind(), ({ local }) => local))

/** Fills the receive buffer of `to` to the last byte: then the kernel cannot queue ICMP errors for it. */
const fill = (from: UdpSocket.BoundSocket, to: UdpSocket.BoundSocket): void => {
  for (const length of [1200, 1]) {
    for (let i = 0; i < 100; i++) from.send(transmit(from, to.local, new Uint8Array(length).fill(7)))
  }
}

describe("native sockets: what strangers make of them", () => {
  live("G1: a full receive buffer and an ICMP error at once do not end the reader", () =>
    native(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind(loopback, small)]
        const nobody = yield* portOfNobody
        const lengths = new Set<number>()
        const until = yield* Effect.forkChild(
          Effect.repeat(
            Effect.map(b.pull, (burst) => {
              for (let i = 0; i < burst.count; i++) lengths.add(burst.length[i]!)
            }),
            { until: () => lengths.has(333) }
          )
        )
        for (let round = 0; round < 5; round++) {
          yield* Effect.sleep(2)
          fill(a, b)
          b.send(transmit(b, nobody, Uint8Array.of(1)))
        }
        // As often as it takes: the buffer may be full.
        const again = Effect.andThen(
          Effect.sync(() => a.send(transmit(a, b.local, new Uint8Array(333)))),
          Effect.sleep(2)
        )
        yield* Effect.raceFirst(Fiber.join(until), Effect.forever(again))
        assert.isTrue(lengths.has(1200))
      })
    )
  )

  live("G2: with a full receive buffer, ICMP errors of one peer cost the datagrams to others nothing", () =>
    native(
      Effect.gen(function* () {
        const told: Array<string> = []
        const options = { ...small, onSendError: ({ remote }: UdpSocket.SendError) => told.push(String(remote)) }
        const [a, b, good] = [yield* bind(), yield* bind(loopback, options), yield* bind()]
        const nobody = yield* portOfNobody
        for (let round = 0; round < 10; round++) {
          fill(a, b)
          b.send(transmit(b, nobody, Uint8Array.of(1)))
          b.send(transmit(b, good.local, pattern(6400), { segmentSize: 100 }))
          assert.lengthOf(yield* receive(good, 64), 64)
        }
        assert.isTrue(told.every((remote) => remote === String(nobody)))
      })
    )
  )

  live("G1: a descriptor that is none any more fails the reader, and the address is free at once", () =>
    native(
      Effect.gen(function* () {
        const socket = yield* bind()
        const libc = yield* Effect.promise(() => import("../../src/internal/runtime/native/Libc.ts"))
        const reader = yield* Effect.forkChild(Effect.flip(socket.pull))
        yield* Effect.sleep(2)
        const { fd } = socket as unknown as { fd: bigint }
        // What else in the process closes a descriptor that is not its own. The number goes to another file at once.
        libc.close(fd)
        assert.strictEqual(openSync("/dev/null", "r"), Number(fd))
        yield* Fiber.interrupt(reader)
        const { reason } = yield* Effect.flip(socket.pull)
        assert.instanceOf(reason, SocketFailed)
        assert.include(reason.message, "ENOTSOCK")
        const again = yield* bind({ host: "127.0.0.1", port: socket.local.port })
        again.send(transmit(again, again.local, Uint8Array.of(3)))
        assert.deepStrictEqual(contents(yield* again.pull)[0]!.bytes, Uint8Array.of(3))
        // The failed one uses nothing of it.
        assert.isTrue(socket.send(transmit(socket, again.local, Uint8Array.of(4))))
        assert.deepStrictEqual(socket.stats.sendErrors, { ERR_SOCKET_DGRAM_NOT_RUNNING: 1 })
        assert.isTrue(fstatSync(Number(fd)).isCharacterDevice())
        closeSync(Number(fd))
      })
    )
  )

  live("G1: an endpoint whose descriptor is gone has a new socket at the next packet, and its connections go on", () =>
    native(
      Effect.gen(function* () {
        const libc = yield* Effect.promise(() => import("../../src/internal/runtime/native/Libc.ts"))
        const sockets: Array<UdpSocket.BoundSocket> = []
        const own = yield* UdpSocket.UdpSocket
        const seen = Layer.succeed(UdpSocket.UdpSocket, {
          ...own,
          bind: (address, options) =>
            Effect.tap(own.bind(address, options), (socket) => Effect.sync(() => sockets.push(socket)))
        })
        const server = Endpoint.serve((connection) =>
          connection.streams.pipe(Stream.runForEach((stream) => Stream.run(stream.readable, stream.sink)))
        ).pipe(Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: ["echo"] })))
        yield* Effect.gen(function* () {
          const endpoint = yield* Endpoint.Endpoint
          const connection = yield* endpoint.connect({
            address: endpoint.addresses[0]!,
            alpn: "echo",
            serverName: "localhost"
          })
          for (let round = 0; round < 3; round++) {
            const stream = yield* connection.openStream()
            yield* stream.end("hello")
            assert.strictEqual(yield* stream.text, "hello")
            libc.close((sockets.at(-1) as unknown as { fd: bigint }).fd)
          }
          assert.isAtLeast(sockets.length, 3)
        }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(server, [seen, TestCertificates.layer])))
      })
    )
  )
})
