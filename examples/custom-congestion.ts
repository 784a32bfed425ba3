/**
 * A congestion controller of one's own: a packet more for each round trip, as NewReno has it, and an eighth less after a loss
 * instead of half. It is tried out on a simulated network with random loss, with the same result in every run. (On a network of
 * one's own, that is: beside others it takes more than its share.)
 *
 *     node examples/custom-congestion.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Layer } from "effect"
import { CongestionControl, Endpoint } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"

const SIZE = 5_000_000

/** Of one path. Called for every packet and acknowledgement: a few sums, no waiting. Bytes and ms. */
class Stubborn implements CongestionControl.Controller {
  readonly name = "stubborn"
  congestionWindow: number
  slowStartThreshold = Infinity
  /** 0: the window over the round trip. */
  readonly pacingRate = 0
  private recoveryStart = -Infinity
  private readonly path: CongestionControl.PathInfo

  constructor(path: CongestionControl.PathInfo) {
    this.path = path
    this.congestionWindow = path.initialWindow
  }

  onPacketSent = (): void => {}

  onAcked = (_now: number, bytes: number, _sentTime: number, appLimited: boolean): void => {
    if (appLimited) return
    const slowStart = this.congestionWindow < this.slowStartThreshold
    this.congestionWindow += slowStart ? bytes : (bytes * this.path.maxDatagramSize) / this.congestionWindow
  }

  onCongestion = (now: number, sentTime: number): void => {
    // All losses of one round trip are one event.
    if (sentTime <= this.recoveryStart) return
    this.recoveryStart = now
    this.congestionWindow = Math.max((this.congestionWindow * 7) / 8, 2 * this.path.maxDatagramSize)
    this.slowStartThreshold = this.congestionWindow
  }

  onPersistentCongestion = (): void => {
    this.congestionWindow = 2 * this.path.maxDatagramSize
  }

  onSpuriousLoss = (): void => {}

  reset = (): void => {
    this.congestionWindow = this.path.initialWindow
    this.slowStartThreshold = Infinity
    this.recoveryStart = -Infinity
  }

  close = (): void => {}
}

// Called once for each connection, and `make` once for each of its paths: coupled controllers would share something here.
const layerStubborn = CongestionControl.layer(() => ({ make: (path) => new Stubborn(path) }))

const download = Effect.fn("download")(function* (congestion: Layer.Layer<never>) {
  const network = yield* SimulatedNetwork.SimulatedNetwork
  const client = network.host("client", ["192.0.2.10"])
  const server = network.host("server", ["203.0.113.1"])
  network.link("192.0.2.10", "203.0.113.1", { mbps: 20, delay: 20, loss: 0.005 })

  const ServerLive = Endpoint.serveStreams((stream) => stream.end(new Uint8Array(SIZE))).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "download" })),
    Layer.provide(congestion),
    Layer.provide(server.udpSocket)
  )
  const ClientLive = Endpoint.layer().pipe(Layer.provide(client.udpSocket))

  yield* Effect.gen(function* () {
    const connection = yield* Endpoint.connect({
      host: "203.0.113.1",
      port: 4433,
      serverName: "server.test",
      alpn: "download"
    })
    const from = yield* Clock.currentTimeMillis
    const stream = yield* connection.openStream()
    yield* stream.end("please")
    const { length } = yield* stream.bytes
    const took = (yield* Clock.currentTimeMillis) - from
    yield* Console.log(`${length} bytes, ${((8 * SIZE) / took / 1000).toFixed(1)} Mbit/s`)
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(ServerLive, ClientLive)))
})

const main = Effect.gen(function* () {
  for (const [name, congestion] of [
    ["newReno", CongestionControl.layerNewReno],
    ["stubborn", layerStubborn]
  ] as const) {
    yield* Console.log(name)
    // Each on a network of its own, with the same losses.
    yield* SimulatedNetwork.run(download(congestion), { seed: 3 })
  }
})

main.pipe(NodeRuntime.runMain)
