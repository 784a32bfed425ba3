/**
 * Several paths: open one, share the load, keep one as backup, give one up in the middle of a download.
 *
 *     node examples/multipath.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Option } from "effect"
import { Endpoint, PathScheduler, Tls, UdpSocket } from "../src/index.ts"
import type { Path } from "../src/index.ts"

const SIZE = 4_000_000

const DownloadsLive = Endpoint.serveStreams((stream) => stream.end(new Uint8Array(SIZE))).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "download", multipath: { maxPaths: 3 } })),
  Layer.provideMerge(Tls.layerSelfSigned()),
  // The server sends the data, so it is the server's scheduler that decides about paths.
  Layer.provide(PathScheduler.layerRoundRobin)
)

const shares = (paths: ReadonlyArray<Path.Path>, before: ReadonlyArray<number>) =>
  paths
    .map((path, i) => `path ${path.id} ${((path.stats.bytesReceived - (before[i] ?? 0)) / 1e6).toFixed(1)} MB`)
    .join(", ")

const client = Effect.fn("client")(function* (port: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, serverName: "localhost", alpn: "download" })
  yield* Console.log(`multipath: ${connection.multipath}`)

  // Without `local` the second path uses the same address and another port. On a host with two networks this would be
  // `openPath({ local: "192.168.1.10" })`.
  const second = yield* connection.openPath()
  yield* second.validated
  yield* Console.log(`path ${second.id} is ${second.state}`)

  const download = Effect.gen(function* () {
    const stream = yield* connection.openStream()
    yield* stream.end("please")
    return stream
  })
  const report = Effect.fn(function* (title: string, middle: Effect.Effect<unknown, unknown>) {
    const paths = connection.paths
    const before = paths.map((path) => path.stats.bytesReceived)
    const stream = yield* download
    let bytes = Option.getOrThrow(yield* stream.read).length
    yield* middle
    bytes += (yield* stream.bytes).length
    yield* Console.log(`${title}: ${bytes} bytes; ${shares(paths, before)}`)
  }, Effect.scoped)

  yield* report("both paths", Effect.void)
  // The client asks the server to use path 0 only when nothing else works.
  yield* connection.path(0)!.setStatus("backup")
  yield* Effect.sleep("50 millis")
  yield* report("path 0 as backup", Effect.void)
  yield* report("path 1 given up half-way", second.close())
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  yield* client(server.addresses[0]!.port).pipe(
    Effect.provide(Endpoint.layer({ multipath: { maxPaths: 3 } })),
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
})

program.pipe(Effect.provide(DownloadsLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
