/**
 * A server tells its client of a second address, the client opens a path there, and each path says where the server sees it.
 *
 *     node examples/advertise.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Option, Stream } from "effect"
import { Endpoint, Tls, UdpSocket } from "../src/index.ts"

const multipath = { maxPaths: 2 }

// A server with two networks would list the second one: `multipath: { maxPaths: 2, advertise: ["203.0.113.7:4433"] }`. Here
// the second address is another port, which is only known once it is bound.
const ServerLive = Endpoint.serve((connection) =>
  Effect.gen(function* () {
    const { addresses } = yield* Endpoint.Endpoint
    const further = addresses.find(({ port }) => port !== connection.local.port)!
    yield* connection.advertise(further)
    yield* connection.serve((stream) => Effect.andThen(stream.text, stream.end("thank you")))
  })
).pipe(
  Layer.provideMerge(
    Endpoint.layer({ listen: ["127.0.0.1:0", "127.0.0.1:0"], alpn: "demo", multipath, addressDiscovery: "send" })
  ),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const client = Effect.fn("client")(function* (port: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, serverName: "localhost", alpn: "demo" })
  // `PathManager.layerAuto` would do the rest by itself.
  const advertised = yield* connection.remoteAddresses.changes.pipe(
    Stream.filter((addresses) => addresses.length > 0),
    Stream.runHead
  )
  const [remote] = Option.getOrThrow(advertised)
  // Until something has answered there, only challenges are sent to it.
  const path = yield* connection.openPath({ remote })
  yield* path.validated
  yield* Console.log(`path ${path.id} is ${path.state}, and leads to port ${path.remote.port === port ? "one" : "two"}`)

  const stream = yield* connection.openStream()
  yield* stream.end("hello")
  yield* Console.log(`the server says: ${yield* stream.text}`)
  for (const { id, local, observedAddress } of connection.paths) {
    // Behind a NAT they differ.
    const seen = String(observedAddress) === String(local)
    yield* Console.log(`path ${id} is seen ${seen ? "at the address that it has here" : `at ${observedAddress}`}`)
  }
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  yield* client(server.addresses[0]!.port).pipe(
    Effect.provide(Endpoint.layer({ multipath, addressDiscovery: "receive" })),
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
})

program.pipe(Effect.provide(ServerLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
