/**
 * Paths by themselves: the client opens one from each of its addresses, and nobody calls `openPath`.
 *
 *     node examples/auto-paths.ts
 *
 * On a host with several networks `PathManager.layerAuto()` is all there is to it. This example has the loopback network alone,
 * and so names two addresses of it (Linux has all of 127.0.0.0/8).
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { Endpoint, LocalAddresses, PathManager, PathScheduler, Tls, UdpSocket } from "../src/index.ts"

const SIZE = 4_000_000

const DownloadsLive = Endpoint.serveStreams((stream) => stream.end(new Uint8Array(SIZE))).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "download", multipath: { maxPaths: 4 } })),
  Layer.provideMerge(Tls.layerSelfSigned()),
  Layer.provide(PathScheduler.layerRoundRobin)
)

const client = Effect.fn("client")(function* (port: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, serverName: "localhost", alpn: "download" })
  // Only to have something to show: data flows over what there is, from the first moment on.
  const second = connection.events.pipe(
    Stream.filter((event) => event._tag === "Validated"),
    Stream.take(1)
  )
  yield* Effect.when(
    Stream.runDrain(second),
    Effect.sync(() => connection.paths.length === 1)
  )
  const stream = yield* connection.openStream()
  yield* stream.end("please")
  yield* Console.log(`${(yield* stream.bytes).length} bytes over ${connection.paths.length} paths`)
  for (const path of connection.paths)
    yield* Console.log(
      `from ${path.local.toString()}: ${path.stats.bytesReceived > SIZE / 10 ? "its share" : "little"}`
    )
}, Effect.scoped)

const PathsLive = Layer.merge(
  PathManager.layerAuto({ includeLoopback: true }),
  LocalAddresses.layerFixed(["127.0.0.1", "127.0.0.2"])
)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  yield* client(server.addresses[0]!.port).pipe(
    Effect.provide(Endpoint.layer({ multipath: { maxPaths: 4 } })),
    Effect.provide(PathsLive),
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
})

program.pipe(Effect.provide(DownloadsLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
