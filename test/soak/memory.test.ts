/** What must not grow: memory over a long transfer, and over many connections. Real UDP on loopback. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Endpoint, UdpSocket } from "../../src/index.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"

const MB = 1_000_000

/** Bytes of the JS heap and of array buffers, after everything that nobody holds is gone. */
const memory = (): number => {
  globalThis.gc!()
  globalThis.gc!()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Answers each stream with as many bytes as it asks for. */
const ServerLive = Endpoint.serveStreams((stream) =>
  Effect.gen(function* () {
    const wanted = Number(yield* stream.text)
    const chunk = new Uint8Array(65_536).fill(7)
    for (let sent = 0; sent < wanted; sent += chunk.length) {
      yield* stream.write(wanted - sent < chunk.length ? chunk.subarray(0, wanted - sent) : chunk)
    }
    yield* stream.end()
  })
).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "soak", maxConnections: 5000 })),
  Layer.provide(UdpSocket.layerNode),
  Layer.provide(TestCertificates.layer)
)

const connect = Effect.gen(function* () {
  const endpoint = yield* Endpoint.Endpoint
  return yield* Endpoint.connect({ address: endpoint.addresses[0]!, alpn: "soak", serverName: "localhost" })
})

describe("memory", () => {
  it.live("1 GB through one connection leaves the heap flat", () =>
    Effect.gen(function* () {
      const connection = yield* connect
      const stream = yield* connection.openStream()
      yield* stream.end(String(1000 * MB))
      let received = 0
      let next = 100 * MB
      const samples: Array<number> = []
      yield* Stream.runForEach(stream.readable, (bytes) =>
        Effect.sync(() => {
          received += bytes.length
          if (received < next) return
          next += 100 * MB
          samples.push(memory())
        })
      )
      assert.strictEqual(received, 1000 * MB)
      // The first samples see windows and slabs grow; from then on nothing may.
      const early = Math.max(...samples.slice(0, 4))
      const late = Math.max(...samples.slice(-3))
      assert.isBelow(late, early + 12 * MB, samples.map((bytes) => (bytes / MB).toFixed(1)).join(" "))
    }).pipe(Effect.scoped, Effect.provide(ServerLive), Effect.provide(TestCertificates.layer))
  )

  it.live("6,000 connections opened and closed leave nothing", () =>
    Effect.gen(function* () {
      const endpoint = yield* Endpoint.Endpoint
      const once = Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* connect
          const stream = yield* connection.openStream()
          yield* stream.end("1000")
          assert.strictEqual((yield* stream.bytes).length, 1000)
        })
      )
      const round = Effect.forEach(Array.from({ length: 250 }), () => once, { concurrency: 10, discard: true })
      // Connections that closed linger for three probe timeouts.
      const settled = Effect.gen(function* () {
        while (endpoint.stats.connections > 0) yield* Effect.sleep("100 millis")
      }).pipe(Effect.timeout("60 seconds"))
      // Code, caches and pools reach their size first.
      for (let i = 0; i < 3; i++) yield* round
      const samples: Array<number> = []
      for (let i = 0; i < 24; i++) {
        yield* round
        yield* settled
        samples.push(memory())
      }
      // A pool that happens to be full adds up to 1 MB to a sample; what leaks stays in the smallest ones too.
      const grown = (Math.min(...samples.slice(-8)) - Math.min(...samples.slice(0, 8))) / (16 * 250)
      const trace = samples.map((bytes) => (bytes / MB).toFixed(2)).join(" ")
      assert.isBelow(grown, 1000, `${grown.toFixed(0)} bytes a connection; MB after each round: ${trace}`)
    }).pipe(Effect.scoped, Effect.provide(ServerLive), Effect.provide(TestCertificates.layer))
  )
})
