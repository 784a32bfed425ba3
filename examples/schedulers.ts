/**
 * Each scheduler over the same two networks: which path carries small messages, and how long a large upload takes, which fills
 * both under any scheduler that lets it. In simulated time.
 *
 *     node examples/schedulers.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Duration, Effect, Layer } from "effect"
import { Endpoint, PathScheduler } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"

const SIZE = 2_000_000
const WIFI = "192.168.1.10"
const MOBILE = "10.20.30.40"
const multipath = { maxPaths: 2 }

const schedulers = {
  "delivery rate (the default)": PathScheduler.layerDeliveryRate,
  "round robin": PathScheduler.layerRoundRobin,
  "weighted, 3 to 1": PathScheduler.layerWeightedRoundRobin({ weights: { [WIFI]: 3 } }),
  "low latency": PathScheduler.layerLowLatency,
  "minRTT, 70 % RTT": PathScheduler.layerMinRtt({ bias: 0.7 }),
  BLEST: PathScheduler.layerBlest,
  ECF: PathScheduler.layerEcf,
  redundant: PathScheduler.layerRedundant,
  backup: PathScheduler.layerBackup({ primary: 0 })
}

const measure = Effect.gen(function* () {
  const connection = yield* Endpoint.connect({
    host: "203.0.113.1",
    port: 4433,
    serverName: "server.test",
    alpn: "upload",
    local: WIFI
  })
  yield* (yield* connection.openPath({ local: MOBILE })).validated
  const send = Effect.fn("send")(function* (size: number) {
    const stream = yield* connection.openStream()
    yield* stream.end(new Uint8Array(size))
    yield* stream.text
  }, Effect.scoped)
  for (let i = 0; i < 30; i++) yield* send(10_000)
  const shares = connection.paths.map((path) => `${(100 * path.stats.schedulerShare).toFixed(0)} %`)
  const [took] = yield* Effect.timed(send(SIZE))
  return `messages ${shares.join(" and ")}, upload ${Duration.toMillis(took).toFixed(0)} ms`
}).pipe(Effect.scoped)

const program = Effect.gen(function* () {
  const network = yield* SimulatedNetwork.SimulatedNetwork
  const phone = network.host("phone", [WIFI, MOBILE])
  const server = network.host("server", ["203.0.113.1"])
  network.link(WIFI, "203.0.113.1", { mbps: 20, delay: 10, queue: 100 })
  network.link(MOBILE, "203.0.113.1", { mbps: 10, delay: 40, queue: 100 })

  const ServerLive = Endpoint.serveStreams((stream) => Effect.andThen(stream.bytes, stream.end("thanks"))).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "upload", multipath })),
    Layer.provide(server.udpSocket)
  )
  const ClientLive = Endpoint.layer({ multipath }).pipe(Layer.provide(phone.udpSocket))

  yield* Effect.gen(function* () {
    // Who sends decides: the scheduler is read where `connect` is called.
    for (const [name, scheduler] of Object.entries(schedulers)) {
      yield* Console.log(`${name}: ${yield* Effect.provide(measure, scheduler)}`)
    }
  }).pipe(Effect.provide(Layer.mergeAll(ServerLive, ClientLive)))
})

SimulatedNetwork.run(program, { seed: 7 }).pipe(NodeRuntime.runMain)
