/**
 * Tests as an application writes them, with @effect/vitest: a network of one's own making, and time that passes only in the
 * simulation. Ten seconds of it take a moment, and each run is the same to the byte.
 *
 *     npx vitest run examples/test-clock.test.ts
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { Endpoint, PathScheduler } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"
import { threeToOne } from "./custom-scheduler.ts"

const WIFI = "192.168.1.10"
const MOBILE = "10.20.30.40"
const SERVER = "203.0.113.1"
const multipath = { maxPaths: 2 }

/** A phone with two networks, and a server that takes uploads: the connection, both paths open, and the link of the wifi. */
const connected = (scheduler: Layer.Layer<never>) =>
  Effect.gen(function* () {
    const network = yield* SimulatedNetwork.SimulatedNetwork
    const phone = network.host("phone", [WIFI, MOBILE])
    const wifi = network.link(WIFI, SERVER, { mbps: 40, delay: 10, queue: 200 })
    network.link(MOBILE, SERVER, { mbps: 40, delay: 20, queue: 200 })
    const live = Endpoint.serveStreams((stream) => Effect.andThen(stream.bytes, stream.end("thanks"))).pipe(
      Layer.provide(Endpoint.layer({ listen: `${SERVER}:4433`, alpn: "upload", multipath })),
      Layer.provide(network.host("server", [SERVER]).udpSocket),
      Layer.provideMerge(Endpoint.layer({ multipath }).pipe(Layer.provide(phone.udpSocket)))
    )
    const connection = yield* Endpoint.connect({
      host: SERVER,
      port: 4433,
      serverName: "server.test",
      alpn: "upload",
      local: WIFI
    }).pipe(Effect.provide(yield* Layer.build(live)), Effect.provide(scheduler))
    yield* (yield* connection.openPath({ local: MOBILE })).validated
    const upload = Effect.fn("upload")(function* (size: number) {
      const stream = yield* connection.openStream()
      yield* stream.end(new Uint8Array(size))
      return yield* stream.text
    }, Effect.scoped)
    return { connection, upload, wifi }
  })

describe("threeToOne", () => {
  it.effect("gives the first path three packets for each one of the second", () =>
    SimulatedNetwork.run(
      Effect.gen(function* () {
        const { connection, upload } = yield* connected(threeToOne)
        yield* upload(1_000_000)
        const [first, second] = connection.paths.map((path) => path.stats.schedulerShare)
        assert.approximately(first!, 0.75, 0.02)
        assert.approximately(second!, 0.25, 0.02)
        assert.strictEqual(connection.stats.schedulerMistakes, 0)
      })
    )
  )

  it.effect("goes on over the other path when one dies, and comes back to it", () =>
    SimulatedNetwork.run(
      Effect.gen(function* () {
        const { connection, upload, wifi } = yield* connected(threeToOne)
        yield* upload(200_000)
        wifi.cut()
        const [took, answer] = yield* Effect.timed(upload(500_000))
        assert.strictEqual(answer, "thanks")
        assert.isBelow(Duration.toSeconds(took), 1)
        wifi.restore()
        yield* Effect.sleep("10 seconds")
        const before = connection.path(0)!.stats.packetsSent
        yield* upload(500_000)
        assert.isAbove(connection.path(0)!.stats.packetsSent - before, 200)
      })
    )
  )

  it.effect("is the same in every run of one seed", () =>
    Effect.gen(function* () {
      const run = SimulatedNetwork.run(
        Effect.gen(function* () {
          const { connection, upload } = yield* connected(threeToOne)
          const [took] = yield* Effect.timed(upload(300_000))
          return { took: Duration.toMillis(took), sent: connection.paths.map((path) => path.stats.bytesSent) }
        }),
        { seed: 42 }
      )
      assert.deepStrictEqual(yield* run, yield* run)
    })
  )
})

/** How long a large upload takes, in a world of its own. */
const timeWith = (scheduler: Layer.Layer<never>) =>
  SimulatedNetwork.run(Effect.flatMap(connected(scheduler), ({ upload }) => Effect.timed(upload(3_000_000))))

describe("the default scheduler", () => {
  it.effect("takes less time for the same upload than three to one", () =>
    Effect.gen(function* () {
      const [own] = yield* timeWith(threeToOne)
      const [usual] = yield* timeWith(PathScheduler.layerDeliveryRate)
      assert.isTrue(Duration.isLessThan(usual, own))
    })
  )
})
