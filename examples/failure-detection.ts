/**
 * Failure detection: a path that dies in the middle of an upload, and comes back. By default one probe timeout is enough; a
 * patient detector waits half a second, and goes on using a path that is silent for a moment. In simulated time.
 *
 *     node examples/failure-detection.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Layer, Stream } from "effect"
import { Endpoint, FailureDetector } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"

const SIZE = 4_000_000
const WIFI = "192.168.1.10"
const MOBILE = "10.20.30.40"
const multipath = { maxPaths: 2 }

const detectors = {
  "at the first probe timeout": Layer.empty,
  "after half a second of silence": FailureDetector.layer({ minimumSilence: "500 millis" })
}

const program = Effect.gen(function* () {
  const network = yield* SimulatedNetwork.SimulatedNetwork
  const phone = network.host("phone", [WIFI, MOBILE])
  const server = network.host("server", ["203.0.113.1"])
  const wifi = network.link(WIFI, "203.0.113.1", { mbps: 20, delay: 10, queue: 50 })
  network.link(MOBILE, "203.0.113.1", { mbps: 10, delay: 40, queue: 50 })

  const ServerLive = Endpoint.serveStreams((stream) => Effect.andThen(stream.bytes, stream.end("thanks"))).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "upload", multipath })),
    Layer.provide(server.udpSocket)
  )
  const ClientLive = Endpoint.layer({ multipath }).pipe(Layer.provide(phone.udpSocket))

  /** The wifi is gone for as long, half a second after the upload began. */
  const upload = Effect.fn("upload")(function* (outage: number) {
    const to = { host: "203.0.113.1", port: 4433, serverName: "server.test", alpn: "upload", local: WIFI }
    const connection = yield* Endpoint.connect(to)
    yield* (yield* connection.openPath({ local: MOBILE })).validated
    const from = yield* Clock.currentTimeMillis
    const after = Effect.map(Clock.currentTimeMillis, (now) => `${(now - from).toFixed(0)} ms`)
    yield* connection.path(0)!.changes.pipe(
      Stream.runForEach((event) => Effect.flatMap(after, (time) => Console.log(`  ${time}: ${event._tag}`))),
      Effect.forkScoped
    )
    const stream = yield* connection.openStream()
    yield* Effect.forkScoped(stream.end(new Uint8Array(SIZE)))
    yield* Effect.sleep("500 millis")
    wifi.cut()
    yield* Effect.sleep(outage)
    wifi.restore()
    yield* Console.log(`  ${yield* stream.text}, after ${yield* after}`)
  }, Effect.scoped)

  yield* Effect.gen(function* () {
    for (const [name, detector] of Object.entries(detectors)) {
      for (const outage of [300, 1500]) {
        yield* Console.log(`suspected ${name}, gone for ${outage} ms`)
        yield* Effect.provide(upload(outage), detector)
      }
    }
  }).pipe(Effect.provide(Layer.mergeAll(ServerLive, ClientLive)))
})

SimulatedNetwork.run(program, { seed: 7 }).pipe(NodeRuntime.runMain)
