/**
 * An echo server that runs until it is stopped.
 *
 *     node examples/echo-server.ts 0.0.0.0:4433 cert.pem key.pem
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Stream } from "effect"
import { Endpoint, Tls, UdpSocket } from "../src/index.ts"

const [listen = "0.0.0.0:4433", certificate = "cert.pem", privateKey = "key.pem"] = process.argv.slice(2)

const EchoLive = Endpoint.serve((connection) =>
  connection.streams.pipe(
    // Streams side by side, 100 at a time: one that is slow holds nobody up.
    Stream.mapEffect((stream) => Stream.run(stream.readable, stream.sink), { concurrency: 100 }),
    Stream.runDrain
  )
)

const Announce = Layer.effectDiscard(
  Effect.flatMap(Endpoint.Endpoint, (endpoint) => Effect.log(`serving on ${endpoint.addresses.join(", ")}`))
)

Layer.mergeAll(EchoLive, Announce).pipe(
  Layer.provide(Endpoint.layer({ listen, alpn: ["echo"], multipath: { maxPaths: 3 } })),
  Layer.provide(Tls.layerIdentity({ certificate, privateKey })),
  Layer.provide(UdpSocket.layer),
  Layer.launch,
  NodeRuntime.runMain
)
