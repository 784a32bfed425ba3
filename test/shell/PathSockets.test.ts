import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { connectTo, reasonOf, scenario } from "./support.ts"

/** Long enough for what is left of a path or a connection to go. */
const later = Effect.sleep("8 seconds")

describe("sockets of paths", () => {
  scenario("C1: a path that is refused binds nothing", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const own = world.client.addresses.length
      const listening = world.server.addresses.length
      yield* client.openPath({ local: "10.0.1.1" })
      yield* client.openPath()
      const bound = world.client.addresses.length
      assert.strictEqual(bound, own + 2)
      for (let i = 0; i < 20; i++) {
        assert.strictEqual(reasonOf(yield* Effect.exit(client.openPath())), "PathUnavailable")
        assert.strictEqual(reasonOf(yield* Effect.exit(server.openPath())), "PathUnavailable")
      }
      assert.strictEqual(world.client.addresses.length, bound)
      assert.strictEqual(world.server.addresses.length, listening)
    })
  )

  scenario("C1: a path that turns out to be there already leaves no socket behind", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const path = yield* client.openPath({ local: "10.0.1.1" })
      const bound = world.client.addresses.length
      const again = yield* Effect.exit(client.openPath({ local: path.local }))
      assert.strictEqual(reasonOf(again), "PathUnavailable")
      assert.strictEqual(world.client.addresses.length, bound)
    })
  )

  scenario("C1: a socket is closed with its last path", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const own = world.client.addresses.length
      for (let round = 0; round < 3; round++) {
        const paths = [yield* client.openPath(), yield* client.openPath({ local: "10.0.1.1" })]
        for (const path of paths) yield* path.validated
        for (const path of paths) yield* path.close()
        yield* later
        assert.strictEqual(world.client.addresses.length, own)
      }
      // The connection carries on from where it began.
      const stream = yield* client.openStream()
      yield* stream.end("still here")
      yield* stream.flushed
    })
  )

  scenario("C1: a socket that another connection uses as well stays until that has gone, too", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const path = yield* client.openPath({ local: "10.0.1.1" })
      yield* path.validated
      const scope = yield* Scope.make()
      const other = yield* connectTo(world.client, { local: "10.0.1.1" }).pipe(
        Effect.provideService(Scope.Scope, scope)
      )
      assert.strictEqual(String(other.local), String(path.local))
      const bound = world.client.addresses.length
      yield* path.close()
      yield* later
      const stream = yield* other.openStream()
      yield* stream.end("x")
      yield* stream.flushed
      assert.strictEqual(world.client.addresses.length, bound)
      yield* Scope.close(scope, Exit.void)
      yield* later
      assert.strictEqual(world.client.addresses.length, bound - 1)
    })
  )

  scenario("C1: sockets of connections from ports of one's own choice go with them", (world) =>
    Effect.gen(function* () {
      for (let port = 7000; port < 7004; port++) {
        yield* Effect.scoped(connectTo(world.client, { local: `10.0.1.1:${port}` }))
        yield* later
      }
      assert.strictEqual(world.client.addresses.length, 0)
    })
  )
})
