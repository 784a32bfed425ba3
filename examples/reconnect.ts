/**
 * A pool of connections that come back: one for each server, shared while it is in use, and made anew when it has ended. The
 * server here ends each connection after one request, so that every request but the first meets one that is gone.
 *
 *     node examples/reconnect.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, RcMap, Schedule } from "effect"
import { Endpoint, Tls, UdpSocket } from "../src/index.ts"

const ServerLive = Endpoint.serve((connection) =>
  Effect.gen(function* () {
    const stream = yield* connection.acceptStream
    yield* stream.end(`you said ${yield* stream.text}`)
    yield* stream.flushed
  })
).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "echo" })),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  yield* Effect.gen(function* () {
    let made = 0
    const pool = yield* RcMap.make({
      lookup: (address: string) =>
        Effect.tap(Endpoint.connect({ address, alpn: "echo" }), () => Effect.sync(() => made++)),
      idleTimeToLive: "10 seconds"
    })

    /** A connection that works, as far as anybody knows. */
    const connectionTo = Effect.fn("connectionTo")(function* (address: string) {
      const connection = yield* RcMap.get(pool, address)
      if (!connection.isClosed) return connection
      yield* RcMap.invalidate(pool, address)
      return yield* RcMap.get(pool, address)
    })

    /** Asks, and asks again when the connection ended meanwhile. What is wrong in itself fails at once. */
    const ask = (text: string) =>
      Effect.gen(function* () {
        const connection = yield* connectionTo(String(server.addresses[0]))
        const stream = yield* connection.openStream()
        yield* stream.end(text)
        return yield* stream.text
      }).pipe(
        Effect.scoped,
        Effect.retry({
          while: (error) => error.isRetryable,
          schedule: Schedule.exponential("10 millis"),
          times: 5
        })
      )

    for (const word of ["one", "two", "three"]) yield* Console.log(yield* ask(word))
    yield* Console.log(`${made} connections`)
  }).pipe(Effect.scoped, Effect.provide(Endpoint.layer()), Effect.provide(Tls.layerTrustPinned(fingerprint)))
})

program.pipe(Effect.provide(ServerLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
