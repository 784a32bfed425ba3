import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Endpoint, LocalAddresses, PathManager, UdpSocket } from "../../src/index.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"

describe("real UDP", () => {
  it.live("says hello", () =>
    Effect.gen(function* () {
      const endpoint = yield* Endpoint.Endpoint
      const address = endpoint.addresses[0]!
      const connection = yield* Endpoint.connect({ address, alpn: "echo", serverName: "localhost" })
      const stream = yield* connection.openStream()
      yield* stream.end("hello multipath")
      assert.strictEqual(yield* stream.text, "hello multipath")
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
          Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: ["echo"], multipath: { maxPaths: 3 } })),
          Layer.provide(TestCertificates.layer),
          Layer.provide(UdpSocket.layer)
        )
      ),
      Effect.provide(TestCertificates.layer)
    )
  )

  it.live("paths open by themselves, with one socket for each address", () =>
    Effect.gen(function* () {
      const server = yield* Endpoint.Endpoint
      const client = yield* Endpoint.make({ multipath: { maxPaths: 3 } })
      const addresses = yield* LocalAddresses.Controlled
      const connection = yield* client.connect({ address: server.addresses[0]!, alpn: "echo", serverName: "localhost" })
      const next = (tag: "Validated" | "Abandoned") =>
        connection.events.pipe(
          Stream.filter((event) => event._tag === tag),
          Stream.take(1),
          Stream.runDrain
        )
      const hosts = () =>
        connection.paths.filter(({ state }) => state === "active").map(({ local }) => String(local.address))
      yield* Effect.all([next("Validated"), addresses.add("127.0.0.2")], { concurrency: 2 })
      assert.strictEqual(hosts().length, 2)
      assert.strictEqual(client.addresses.length, 2)
      yield* Effect.all([next("Abandoned"), addresses.remove("127.0.0.1")], { concurrency: 2 })
      assert.strictEqual(hosts().length, 1)
      const stream = yield* connection.openStream()
      yield* stream.end("from the other address")
      assert.strictEqual(yield* stream.text, "from the other address")
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.mergeAll(
          Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
            Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: ["echo"], multipath: { maxPaths: 3 } })),
            Layer.provide(TestCertificates.layer)
          ),
          PathManager.layerAuto({ includeLoopback: true }),
          LocalAddresses.layerControlled(["127.0.0.1"])
        ).pipe(Layer.provideMerge(UdpSocket.layerNode))
      ),
      Effect.provide(TestCertificates.layer)
    )
  )
})
