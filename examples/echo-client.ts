/**
 * Talks to `echo-server.ts`. The third argument is the authority to trust, if it is not one of the system's.
 *
 *     node examples/echo-client.ts localhost 4433 cert.pem
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { Endpoint, PathScheduler, Tls, UdpSocket } from "../src/index.ts"

const [host = "localhost", port = "4433", authority] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const connection = yield* Endpoint.connect({ host, port: Number(port), alpn: "echo" })
  const stream = yield* connection.openStream()
  yield* stream.end("hello multipath")
  return yield* stream.text
}).pipe(Effect.scoped)

program.pipe(
  Effect.flatMap(Console.log),
  // What can go wrong has a name.
  Effect.catchReason("QuicError", "HandshakeTimeout", (reason) =>
    Effect.tap(Console.error(reason.message), () => Effect.sync(() => (process.exitCode = 1)))
  ),
  Effect.provide(Endpoint.layer({ multipath: { maxPaths: 3 } })),
  Effect.provide(PathScheduler.layerRoundRobin),
  Effect.provide(authority === undefined ? Tls.layerTrustSystem : Tls.layerTrustRoots(authority)),
  Effect.provide(UdpSocket.layer),
  NodeRuntime.runMain
)
