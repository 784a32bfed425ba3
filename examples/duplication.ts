/**
 * Duplication: the data of every stream on two paths at once, and the first copy counts. Over UDP on this machine.
 *
 *     node examples/duplication.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { DuplicationPolicy, Endpoint, Tls, UdpSocket } from "../src/index.ts"

const EchoLive = Endpoint.serveStreams((stream) => Effect.flatMap(stream.bytes, (bytes) => stream.end(bytes))).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "echo", multipath: { maxPaths: 2 } })),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const client = Effect.fn("client")(function* (port: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, serverName: "localhost", alpn: "echo" }).pipe(
    Effect.provide(DuplicationPolicy.layer({ streams: "all" }))
  )
  yield* (yield* connection.openPath()).validated
  const stream = yield* connection.openStream()
  yield* stream.end(new Uint8Array(10_000))
  const answer = yield* stream.bytes
  for (const path of connection.stats.paths) {
    yield* Console.log(`path ${path.pathId} carried ${path.streamBytesSent} bytes`)
  }
  yield* Console.log(`the answer has ${answer.length}`)

  // One stream can say for itself: this one takes one path only.
  const plain = yield* connection.openStream()
  yield* plain.setDuplication(1)
  yield* plain.end("once")
  yield* Console.log(yield* plain.text)
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  yield* client(server.addresses[0]!.port).pipe(
    Effect.provide(Endpoint.layer({ multipath: { maxPaths: 2 } })),
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
})

program.pipe(Effect.provide(EchoLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
