/**
 * A server and a client in one program: say hello, read the answer.
 *
 *     node examples/hello.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { Endpoint, Tls, UdpSocket } from "../src/index.ts"

// A fiber and a scope for each stream: whatever comes in goes out again.
const EchoLive = Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "echo" })),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const hello = Effect.fn("hello")(function* (port: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, alpn: "echo" })
  const stream = yield* connection.openStream()
  yield* stream.end("hello multipath")
  return yield* stream.text
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  const answer = yield* hello(server.addresses[0]!.port).pipe(
    Effect.provide(Endpoint.layer()),
    // A client trusts the system's authorities; a certificate that was made a moment ago it must be told about.
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
  yield* Console.log(`the server answered: ${answer}`)
})

program.pipe(Effect.provide(EchoLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
