/** A handler that ends what serves it: the endpoint, the scope of its own Layer, or both. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Scope } from "effect"
import type { Layer } from "effect"
import { Endpoint } from "../../src/index.ts"
import type { QuicStream } from "../../src/index.ts"
import { connectTo, drive, makeWorld, serving } from "./support.ts"
import type { World } from "./support.ts"

interface Ways {
  readonly world: World
  /** Of the serving Layer, and of the endpoint. */
  readonly layer: Scope.Closeable
  readonly endpoint: Scope.Closeable
}

const ends: Record<string, (ways: Ways) => Effect.Effect<void, unknown>> = {
  "endpoint.shutdown": ({ world }) => world.server.shutdown({ within: "1 hour" }),
  "the scope of the Layer": ({ layer }) => Scope.close(layer, Exit.void),
  "first the one, then the other": (ways) =>
    Effect.andThen(ways.world.server.shutdown(), Scope.close(ways.layer, Exit.void))
}

const places: Record<
  string,
  (
    run: (stream: QuicStream.QuicStream) => Effect.Effect<void, unknown>
  ) => Layer.Layer<never, unknown, Endpoint.Endpoint>
> = {
  "a handler of connections": (run) =>
    Endpoint.serve((connection) =>
      Effect.flatMap(Effect.scoped(Effect.flatMap(connection.acceptStream, run)), () => Effect.void)
    ),
  "a handler of streams": (run) => Endpoint.serveStreams(run),
  "a fiber of a handler": (run) =>
    Endpoint.serveStreams((stream) => Effect.flatMap(Effect.forkChild(run(stream)), Fiber.join))
}

const question = (connection: Effect.Success<ReturnType<typeof connectTo>>, text: string) =>
  Effect.gen(function* () {
    const stream = yield* connection.openStream()
    yield* stream.end(text)
    return yield* stream.text
  }).pipe(Effect.scoped)

/** Serves until a client says "stop"; another one is in the middle of a request that takes three seconds. */
const stopped = (layerOf: (typeof places)[string], end: (ways: Ways) => Effect.Effect<void, unknown>, grace: string) =>
  Effect.gen(function* () {
    const [layer, endpoint] = [yield* Scope.make(), yield* Scope.make()]
    const world = yield* makeWorld({ serverScope: endpoint, server: { shutdownTimeout: grace as "1 hour" } })
    const waited = yield* Deferred.make<number>()
    yield* serving(
      world.server,
      layerOf((stream) =>
        Effect.gen(function* () {
          const text = yield* stream.text
          yield* stream.write("begun, ")
          if (text !== "stop") yield* Effect.sleep("3 seconds")
          else {
            const before = yield* Clock.currentTimeMillis
            yield* end({ world, layer, endpoint })
            yield* Deferred.succeed(waited, Number((yield* Clock.currentTimeMillis) - before))
          }
          yield* stream.end(`done: ${text}`)
        })
      )
    ).pipe(Effect.provideService(Scope.Scope, layer))
    const [other, own] = [yield* connectTo(world.client), yield* connectTo(world.client)]
    const slow = yield* Effect.forkChild(Effect.exit(question(other, "slow")), { startImmediately: true })
    yield* Effect.sleep("1 second")
    const stop = yield* Effect.forkChild(Effect.exit(question(own, "stop")), { startImmediately: true })
    return {
      waited: yield* Deferred.await(waited),
      slow: yield* Fiber.join(slow),
      stop: yield* Fiber.join(stop),
      ends: [yield* other.closed, yield* own.closed],
      live: world.server.stats.connections
    }
  }).pipe(drive)

describe("issue 7: a handler ends what serves it", () => {
  for (const [place, layerOf] of Object.entries(places)) {
    for (const [what, end] of Object.entries(ends)) {
      it.effect(`issue 7: ${what}, from ${place}: waits for the others, not for itself`, () =>
        Effect.gen(function* () {
          const { ends: closed, slow, stop, waited } = yield* stopped(layerOf, end, "1 hour")
          // What was left of three seconds, and the way of the answer.
          assert.isAbove(waited, 1800)
          assert.isBelow(waited, 2500)
          assert.deepStrictEqual([slow, stop], [Exit.succeed("begun, done: slow"), Exit.succeed("begun, done: stop")])
          for (const reason of closed)
            assert.deepInclude(reason, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
        })
      )
    }

    it.effect(`issue 7: the scope of the endpoint as well, from ${place}: what it drops does not look clean`, () =>
      Effect.gen(function* () {
        const all = (ways: Ways) =>
          Effect.andThen(Scope.close(ways.layer, Exit.void), Scope.close(ways.endpoint, Exit.void))
        const { ends: closed, live, slow, stop, waited } = yield* stopped(layerOf, all, "1 second")
        assert.isBelow(waited, 2500)
        assert.isTrue(Exit.isFailure(slow))
        assert.isTrue(Exit.isFailure(stop))
        for (const reason of closed)
          assert.deepInclude(reason, { _tag: "ApplicationClosed", initiator: "peer", code: 1 })
        assert.strictEqual(live, 0)
      })
    )
  }
})
