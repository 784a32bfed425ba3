/**
 * Unreliable datagrams (RFC 9221): ten questions, each answered by a datagram of its own.
 *
 *     node examples/datagrams.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { Endpoint, Tls, UdpSocket } from "../src/index.ts"

const decoder = new TextDecoder()

const PongLive = Endpoint.serve((connection) =>
  connection.datagrams.pipe(
    Stream.runForEach((bytes) => connection.sendDatagram(decoder.decode(bytes).replace("ping", "pong")))
  )
).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "ping" })),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const client = Effect.fn("client")(function* (port: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, serverName: "localhost", alpn: "ping" })
  yield* Console.log(`datagrams of up to ${connection.maxDatagramSize > 1000 ? "a packet" : "little"}`)
  for (let i = 0; i < 10; i++) yield* connection.sendDatagram(`ping ${i}`)
  yield* connection.datagrams.pipe(
    Stream.map((bytes) => decoder.decode(bytes)),
    Stream.take(10),
    // What is lost stays lost: wait for the rest no longer than this.
    Stream.interruptWhen(Effect.sleep("2 seconds")),
    Stream.runForEach(Console.log)
  )
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  yield* client(server.addresses[0]!.port).pipe(
    Effect.provide(Endpoint.layer()),
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
})

program.pipe(Effect.provide(PongLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
