/**
 * Reinjection: the end of a transfer does not wait for the slow path. The same transfers with and without it, in simulated time,
 * and one with a target of one's own choice.
 *
 *     node examples/reinjection.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Layer } from "effect"
import { Endpoint, PathScheduler, ReinjectionPolicy } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"

const SIZE = 1_000_000
const multipath = { maxPaths: 2 }

/** Of the paths that could take what is late, the one that has lost least. */
const leastLoss = ReinjectionPolicy.layerCustom(() => ({
  name: "least loss",
  selectTarget: ({ candidates }) => candidates.reduce((best, path) => (path.lossRate < best.lossRate ? path : best))
}))

const policies = {
  "no reinjection": Layer.empty,
  "when idle": ReinjectionPolicy.layer({ modes: ["onIdle"] }),
  "where least is lost": leastLoss
}

const program = Effect.gen(function* () {
  const network = yield* SimulatedNetwork.SimulatedNetwork
  const phone = network.host("phone", ["192.168.1.10", "10.20.30.40"])
  const server = network.host("server", ["203.0.113.1"])
  network.link("192.168.1.10", "203.0.113.1", { mbps: 20, delay: 20, queue: 100 })
  network.link("10.20.30.40", "203.0.113.1", { mbps: 5, delay: 200, queue: 100 })

  const ServerLive = Endpoint.serveStreams((stream) => Effect.andThen(stream.bytes, stream.end("thanks"))).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "upload", multipath })),
    Layer.provide(server.udpSocket)
  )
  const ClientLive = Endpoint.layer({ multipath }).pipe(Layer.provide(phone.udpSocket))

  const upload = Effect.gen(function* () {
    const to = { host: "203.0.113.1", port: 4433, serverName: "server.test", alpn: "upload", local: "192.168.1.10" }
    const connection = yield* Endpoint.connect(to)
    yield* (yield* connection.openPath({ local: "10.20.30.40" })).validated
    const stream = yield* connection.openStream()
    const from = yield* Clock.currentTimeMillis
    yield* stream.end(new Uint8Array(SIZE))
    yield* stream.text
    return (yield* Clock.currentTimeMillis) - from
  }).pipe(Effect.scoped)

  yield* Effect.gen(function* () {
    for (const [name, policy] of Object.entries(policies)) {
      const took = yield* upload.pipe(Effect.provide(policy), Effect.provide(PathScheduler.layerRoundRobin))
      yield* Console.log(`${name}: ${took.toFixed(0)} ms`)
    }
  }).pipe(Effect.provide(Layer.mergeAll(ServerLive, ClientLive)))
})

SimulatedNetwork.run(program, { seed: 7 }).pipe(NodeRuntime.runMain)
