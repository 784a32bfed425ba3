/**
 * A whole transfer in simulated time: two links, one of which dies. It takes a moment of real time, and it is the same to
 * the byte in every run: change the seed, and it is another one. In a test, `it.effect` of @effect/vitest brings the clock.
 *
 *     node examples/simulated-network.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Endpoint } from "../src/index.ts"
import { SeededRandom, SimulatedNetwork, TestCertificates } from "../src/testing/index.ts"

const SIZE = 3_000_000
const multipath = { maxPaths: 2 }

const program = Effect.gen(function* () {
  const network = yield* SimulatedNetwork.make({ seed: 7 })
  const phone = network.host("phone", ["192.168.1.10", "10.20.30.40"])
  const server = network.host("server", ["203.0.113.1"])
  const wifi = network.link("192.168.1.10", "203.0.113.1", { mbps: 40, delay: 10, queue: 100 })
  network.link("10.20.30.40", "203.0.113.1", { mbps: 20, delay: 30, queue: 100 })

  const ServerLive = Endpoint.serveStreams((stream) => stream.end(new Uint8Array(SIZE))).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "download", multipath })),
    Layer.provide(Layer.mergeAll(server.udpSocket, TestCertificates.layer, SeededRandom.layer(1)))
  )
  const ClientLive = Endpoint.layer({ multipath }).pipe(
    Layer.provide(Layer.mergeAll(phone.udpSocket, SeededRandom.layer(2)))
  )

  const download = Effect.gen(function* () {
    const connection = yield* Endpoint.connect({
      host: "203.0.113.1",
      port: 4433,
      serverName: "server.test",
      alpn: "download",
      local: "192.168.1.10"
    })
    const mobile = yield* connection.openPath({ local: "10.20.30.40" })
    yield* mobile.validated
    const stream = yield* connection.openStream()
    yield* stream.end("please")
    const from = yield* Clock.currentTimeMillis
    let received = 0
    yield* Stream.runForEach(stream.readable, (bytes) =>
      Effect.sync(() => {
        if (received < SIZE / 2 && received + bytes.length >= SIZE / 2) wifi.cut()
        received += bytes.length
      })
    )
    const took = (yield* Clock.currentTimeMillis) - from
    yield* Console.log(`${received} bytes in ${took.toFixed(1)} ms of simulated time, though the wifi died half-way`)
    for (const path of connection.paths)
      yield* Console.log(`path ${path.id} (${path.state}): ${path.stats.bytesReceived}`)
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(ServerLive, ClientLive, TestCertificates.layer)))

  const fiber = yield* Effect.forkChild(download)
  while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("50 millis")
  yield* Fiber.join(fiber)
})

program.pipe(Effect.scoped, Effect.provide(TestClock.layer()), NodeRuntime.runMain)
