import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Endpoint, UdpSocket } from "../../src/index.ts"
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
})
