/**
 * Statistics: what became of each packet, by path and in all; and an observer that is told of each packet. In simulated time,
 * with a second path that loses one packet in twenty.
 *
 *     node examples/statistics.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Duration, Effect, Layer } from "effect"
import { Endpoint, MultipathController } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"

const SIZE = 2_000_000
const WIFI = "192.168.1.10"
const MOBILE = "10.20.30.40"
const multipath = { maxPaths: 2 }

const ms = (duration: Duration.Duration) => `${Duration.toMillis(duration).toFixed(0)} ms`

const program = Effect.gen(function* () {
  const network = yield* SimulatedNetwork.SimulatedNetwork
  const phone = network.host("phone", [WIFI, MOBILE])
  const server = network.host("server", ["203.0.113.1"])
  network.link(WIFI, "203.0.113.1", { mbps: 20, delay: 10, queue: 100 })
  network.link(MOBILE, "203.0.113.1", { mbps: 10, delay: 40, queue: 100, loss: 0.05 })

  const ServerLive = Endpoint.serveStreams((stream) => Effect.andThen(stream.bytes, stream.end("thanks"))).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "upload", multipath })),
    Layer.provide(server.udpSocket)
  )
  const ClientLive = Endpoint.layer({ multipath }).pipe(Layer.provide(phone.udpSocket))

  // Called for each packet: plain functions, that only count.
  let lost = 0
  const lossesCounted = MultipathController.observe(() => ({ name: "losses", onPacketLost: () => void lost++ }))

  yield* Effect.gen(function* () {
    const to = { host: "203.0.113.1", port: 4433, serverName: "server.test", alpn: "upload", local: WIFI }
    const connection = yield* Effect.provide(Endpoint.connect(to), lossesCounted)
    yield* (yield* connection.openPath({ local: MOBILE })).validated
    const stream = yield* connection.openStream()
    yield* Effect.forkScoped(stream.end(new Uint8Array(SIZE)))
    yield* Effect.sleep("400 millis")

    for (const { id, state, stats } of connection.paths) {
      yield* Console.log(
        `path ${id} ${state}: RTT ${ms(stats.smoothedRtt)} (at least ${ms(stats.minRtt)}), ` +
          `window ${stats.congestionWindow.toFixed(0)}, in flight ${stats.bytesInFlight}, share ${stats.schedulerShare.toFixed(2)}`
      )
    }
    yield* stream.text
    const { packetsLost, packetsSent, streamBytesSent, bytesRetransmitted } = connection.stats
    yield* Console.log(`${packetsSent} packets, ${packetsLost} lost, of which the observer heard of ${lost}`)
    yield* Console.log(`${streamBytesSent - bytesRetransmitted} bytes, of which ${bytesRetransmitted} were sent again`)
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(ServerLive, ClientLive)))
})

SimulatedNetwork.run(program, { seed: 7 }).pipe(NodeRuntime.runMain)
