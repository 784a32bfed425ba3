/**
 * An echo server that runs until it is stopped (Ctrl-C, SIGTERM): then it accepts no more, and lets what it has begun finish.
 *
 *     node examples/echo-server.ts 0.0.0.0:4433 cert.pem key.pem
 *
 * A certificate for trying it out, which the client is given as its authority:
 *
 *     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout key.pem -out cert.pem \
 *       -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Stream } from "effect"
import { Endpoint, Tls, UdpSocket } from "../src/index.ts"

const [listen = "0.0.0.0:4433", certificate = "cert.pem", privateKey = "key.pem"] = process.argv.slice(2)

// Streams side by side: one that is slow holds nobody up, and one that fails harms no other.
const EchoLive = Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink))

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
