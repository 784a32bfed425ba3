/**
 * A scheduler of one's own: three packets on the first path for each one on the second. `test-clock.test.ts` tests it.
 *
 *     node examples/custom-scheduler.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { Endpoint, PathScheduler, Tls, UdpSocket } from "../src/index.ts"

// The factory runs once per connection, so `turn` belongs to one connection. `select` is called for every packet: no
// allocation, no waiting, only a choice.
export const threeToOne = PathScheduler.layer(() => {
  let turn = 0
  return {
    name: "threeToOne",
    select: ({ paths }) => {
      const wanted = paths[turn % 4 === 3 ? paths.length - 1 : 0]
      if (wanted === undefined) return undefined
      // A path that seems to have failed is not waited for.
      if (wanted.state === "potentiallyFailed") return paths.find((path) => path.canSend)
      // Otherwise the packet waits until its path has room.
      if (!wanted.canSend) return undefined
      turn++
      return wanted
    }
  }
})

const SinkLive = Endpoint.serve((connection) =>
  connection.serveUniStreams((stream) => Stream.runDrain(stream.readable))
).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "upload", multipath: { maxPaths: 2 } })),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const client = Effect.fn("client")(function* (port: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, serverName: "localhost", alpn: "upload" }).pipe(
    // The policy of this connection; others keep the default.
    Effect.provide(threeToOne)
  )
  const second = yield* connection.openPath()
  yield* second.validated
  const stream = yield* connection.openUniStream()
  yield* stream.end(new Uint8Array(5_000_000))
  yield* stream.flushed
  for (const path of connection.stats.paths) {
    yield* Console.log(`path ${path.pathId} carried ${Math.round((100 * path.streamBytesSent) / 5_000_000)} %`)
  }
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  yield* client(server.addresses[0]!.port).pipe(
    Effect.provide(Endpoint.layer({ multipath: { maxPaths: 2 } })),
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
})

if (import.meta.main) program.pipe(Effect.provide(SinkLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
