/**
 * Coupled congestion control: OLIA over both paths of a connection, and another one for each path by where it leaves from.
 *
 *     node examples/olia.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { CongestionControl, Endpoint, Tls, UdpSocket } from "../src/index.ts"

// Both paths grow together as fast as one connection would on the better one. Nothing is shared between connections.
const coupled = CongestionControl.layerOlia

// The function is asked once for each path, when it is opened. Paths that get the same factory are coupled with each other.
const mixed = CongestionControl.layerPerPath((path) =>
  path.local.host === "127.0.0.2" ? CongestionControl.newReno : CongestionControl.olia
)

const SinkLive = Endpoint.serve((connection) =>
  connection.serveUniStreams((stream) => Stream.runDrain(stream.readable))
).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "0.0.0.0:0", alpn: "upload", multipath: { maxPaths: 3 } })),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const upload = Effect.fn("upload")(function* (port: number, congestion: Layer.Layer<never>) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, serverName: "localhost", alpn: "upload" }).pipe(
    Effect.provide(congestion)
  )
  // Another loopback address stands for another network.
  const second = yield* connection.openPath({ local: "127.0.0.2" })
  yield* second.validated
  const stream = yield* connection.openUniStream()
  yield* stream.end(new Uint8Array(5_000_000))
  yield* stream.flushed
  yield* Console.log(
    connection.stats.paths.map(({ controller, pathId }) => `path ${pathId}: ${controller}`).join(", ") +
      "; 5 MB arrived"
  )
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  for (const congestion of [coupled, mixed]) {
    yield* upload(server.addresses[0]!.port, congestion).pipe(
      Effect.provide(Endpoint.layer({ multipath: { maxPaths: 3 } })),
      Effect.provide(Tls.layerTrustPinned(fingerprint))
    )
  }
})

program.pipe(Effect.provide(SinkLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
