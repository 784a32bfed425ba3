/**
 * A whole transfer in simulated time: two links, one of which dies. It takes a moment of real time, and it is the same to
 * the byte in every run: change the seed, and it is another one. A test does the same: `SimulatedNetwork.run` brings network,
 * certificates, randomness and clock, and lets time pass.
 *
 *     node examples/simulated-network.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Layer, Stream } from "effect"
import { Endpoint } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"

const SIZE = 3_000_000
const multipath = { maxPaths: 2 }

const program = Effect.gen(function* () {
  const network = yield* SimulatedNetwork.SimulatedNetwork
  const phone = network.host("phone", ["192.168.1.10", "10.20.30.40"])
  const server = network.host("server", ["203.0.113.1"])
  const wifi = network.link("192.168.1.10", "203.0.113.1", { mbps: 40, delay: 10, queue: 100 })
  network.link("10.20.30.40", "203.0.113.1", { mbps: 20, delay: 30, queue: 100 })

  const ServerLive = Endpoint.serveStreams((stream) => stream.end(new Uint8Array(SIZE))).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "download", multipath })),
    Layer.provide(server.udpSocket)
  )
  const ClientLive = Endpoint.layer({ multipath }).pipe(Layer.provide(phone.udpSocket))

  yield* Effect.gen(function* () {
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
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(ServerLive, ClientLive)))
})

SimulatedNetwork.run(program, { seed: 7 }).pipe(NodeRuntime.runMain)
