import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { Endpoint } from "../../src/index.ts"
import type { QuicStream } from "../../src/index.ts"
import { connectTo, drive, logged, makeWorld, reasonOf, scenario, serving } from "./support.ts"
import type { LoggedLine } from "./support.ts"

const ask = (connection: { readonly openStream: () => Effect.Effect<QuicStream.QuicStream, unknown, Scope.Scope> }) =>
  Effect.gen(function* () {
    const stream = yield* connection.openStream()
    yield* stream.end("question")
    return yield* stream.text
  }).pipe(Effect.scoped)

describe("the end of what serves", () => {
  const size = 1_200_000

  scenario("A7: a scope's end delivers what takes longer than any fixed time, while acknowledgements come", (world) =>
    Effect.gen(function* () {
      world.network.link("10.0.0.1", "10.9.0.1", { mbps: 1, delay: 10, queue: 100 })
      yield* serving(
        world.server,
        Endpoint.serve((connection) =>
          Effect.gen(function* () {
            const stream = yield* connection.acceptStream
            yield* stream.text
            yield* stream.end(new Uint8Array(size))
          })
        )
      )
      const connection = yield* connectTo(world.client)
      const stream = yield* connection.openStream()
      yield* stream.end("please")
      assert.strictEqual((yield* stream.bytes).length, size)
      assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
    })
  )

  scenario(
    "A7: the same on a client with a slow reader",
    (world) =>
      Effect.gen(function* () {
        const received = yield* Effect.forkChild(
          Effect.scoped(
            Effect.gen(function* () {
              const connection = Option.getOrThrow(yield* Stream.runHead(world.server.connections))
              const stream = yield* connection.acceptStream
              let bytes = 0
              yield* stream.consume((chunk) => {
                bytes += chunk.length
                return Effect.sleep(`${chunk.length / 100} millis`)
              })
              return [bytes, yield* connection.closed] as const
            })
          )
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* connectTo(world.client)
            const stream = yield* connection.openStream()
            yield* stream.write(new Uint8Array(size))
          })
        )
        const [bytes, end] = yield* Fiber.join(received)
        assert.strictEqual(bytes, size)
        assert.deepInclude(end, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
      }),
    { server: { initialStreamWindow: 200_000, maxStreamWindow: 200_000 } }
  )

  it.effect("A7: what is dropped at last is logged, and the peer gets a code that is not that of a clean end", () => {
    const lines: Array<LoggedLine> = []
    return logged(
      lines,
      drive(
        Effect.gen(function* () {
          const world = yield* makeWorld({ server: { lingerTimeout: "2 seconds" } })
          const { client, server } = yield* world.pair()
          const scope = yield* Scope.make()
          const stream = yield* server.openStream().pipe(Effect.provideService(Scope.Scope, scope))
          yield* stream.end(new Uint8Array(10_000_000))
          const theirs = yield* client.acceptStream
          yield* theirs.read
          // Nobody reads on: the window closes, and no acknowledgement comes any more.
          const closing = yield* Effect.forkChild(
            (server as unknown as { release: (exit: Exit.Exit<void>) => Effect.Effect<void> }).release(Exit.void)
          )
          yield* Fiber.join(closing)
          const end = yield* client.closed
          assert.deepInclude(end, { _tag: "ApplicationClosed", initiator: "peer", code: 1 })
          assert.include(end.message, "before everything was delivered")
          const line = lines.find((each) => each.message === "Connection closed before everything was delivered")
          assert.deepInclude(line, { level: "Info" })
          assert.deepInclude(line!.annotations, { connection: server.id, streams: 1, code: 1 })
          assert.isAbove(Number(line!.annotations["bytes"]), 5_000_000)
        })
      )
    )
  })

  scenario("D3: shutdown lets handlers finish, hands out no more streams, and ends with code 0", (world) =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      yield* serving(
        world.server,
        Endpoint.serveStreams((stream) =>
          Effect.gen(function* () {
            yield* Deferred.succeed(begun, undefined)
            yield* Deferred.await(go)
            yield* stream.end("finished")
          })
        )
      )
      const connection = yield* connectTo(world.client)
      const request = yield* Effect.forkChild(ask(connection), { startImmediately: true })
      yield* Deferred.await(begun)
      const stopping = yield* Effect.forkChild(world.server.shutdown({ within: "20 seconds" }), {
        startImmediately: true
      })
      yield* Effect.sleep("100 millis")
      const late = yield* Effect.exit(ask(connection))
      assert.strictEqual(reasonOf(late), "StreamReset")
      assert.strictEqual(reasonOf(yield* Effect.exit(connectTo(world.client))), "ConnectionRefused")
      assert.isUndefined(stopping.pollUnsafe())
      yield* Deferred.succeed(go, undefined)
      assert.strictEqual(yield* Fiber.join(request), "finished")
      assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
      yield* Fiber.join(stopping)
    })
  )

  scenario("D3: what is not done in time is cut, and never with the code of a clean end", (world) =>
    Effect.gen(function* () {
      let ended = ""
      yield* serving(
        world.server,
        Endpoint.serveStreams((stream) =>
          Effect.gen(function* () {
            yield* stream.write("begin")
            return yield* Effect.never
          }).pipe(Effect.onExit((exit) => Effect.sync(() => (ended = exit._tag))))
        )
      )
      const connection = yield* connectTo(world.client)
      const request = yield* Effect.forkChild(Effect.exit(ask(connection)), { startImmediately: true })
      yield* Effect.sleep("100 millis")
      const before = (yield* Effect.clockWith(Effect.succeed)).currentTimeMillisUnsafe()
      yield* world.server.shutdown({ within: "3 seconds" })
      const after = (yield* Effect.clockWith(Effect.succeed)).currentTimeMillisUnsafe()
      assert.approximately(after - before, 3000, 50)
      assert.strictEqual(ended, "Failure")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(request)))
      assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 1 })
      const refused = yield* Effect.exit(world.server.connect({ address: "10.0.0.1:1", alpn: "test" }))
      assert.strictEqual(reasonOf(refused), "ConnectionClosed")
    })
  )

  scenario(
    "D3: the time that a shutdown is given is kept, also when a handler is done and its data is under way",
    (world) =>
      Effect.gen(function* () {
        world.network.link("10.0.0.1", "10.9.0.1", { mbps: 1, delay: 10, queue: 100 })
        yield* serving(
          world.server,
          Endpoint.serve((connection) =>
            Effect.flatMap(connection.acceptStream, (stream) => stream.end(new Uint8Array(size)))
          )
        )
        const connection = yield* connectTo(world.client)
        const stream = yield* connection.openStream()
        yield* stream.end("please")
        const bytes = yield* Effect.forkChild(Effect.exit(stream.bytes), { startImmediately: true })
        yield* Effect.sleep("1 second")
        const clock = yield* Effect.clockWith(Effect.succeed)
        const before = clock.currentTimeMillisUnsafe()
        yield* world.server.shutdown({ within: "2 seconds" })
        assert.approximately(clock.currentTimeMillisUnsafe() - before, 2000, 50)
        assert.strictEqual(reasonOf(yield* Fiber.join(bytes)), "ApplicationClosed")
        assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 1 })
      })
  )

  scenario("D3: Endpoint.close in the middle of a download is not the code of a clean end", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const stream = yield* server.openUniStream()
      yield* stream.end(new Uint8Array(size))
      const idle = yield* connectTo(world.client)
      yield* Effect.sleep(30)
      yield* world.server.close()
      assert.deepInclude(yield* client.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 1 })
      assert.deepInclude(yield* idle.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
      assert.strictEqual(reasonOf(yield* Effect.exit(connectTo(world.client))), "ConnectionRefused")
    })
  )

  scenario("codes of ends: of the settings, of a connect and of a serve", (world) =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      yield* serving(
        world.server,
        Endpoint.serve(
          (connection) =>
            Effect.gen(function* () {
              const stream = yield* connection.acceptStream
              const text = yield* stream.text
              if (text === "wait") {
                const end = yield* connection.closed
                seen.push(end._tag === "ApplicationClosed" ? end.code : end._tag)
              } else if (text === "fail") return yield* Effect.fail("no")
            }),
          { codes: { connectionEnd: 0x100, connectionAbort: 0x102 } }
        )
      )
      const send = (text: string, codes?: { readonly connectionEnd?: number; readonly connectionAbort?: number }) =>
        Effect.gen(function* () {
          const connection = yield* connectTo(world.client, { codes })
          yield* (yield* connection.openStream()).end(text)
          return connection
        })
      assert.deepInclude(yield* (yield* send("end")).closed, { code: 0x100 })
      assert.deepInclude(yield* (yield* send("fail")).closed, { code: 0x102 })
      yield* Effect.scoped(send("wait", { connectionEnd: 5 }))
      yield* Effect.exit(
        Effect.scoped(
          Effect.andThen(send("wait", { connectionAbort: 6 }), Effect.sleep(100)).pipe(Effect.andThen(Effect.fail("x")))
        )
      )
      yield* Effect.sleep(100)
      assert.deepStrictEqual(seen, [5, 6])
      for (const codes of [{ connectionEnd: -1 }, { connectionAbort: 2 ** 60 }, { connectionEnd: Number.NaN }])
        assert.strictEqual(reasonOf(yield* Effect.exit(send("x", codes))), "BadConfig")
    })
  )

  scenario("D3: the end of the Layer does the same", (world) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const begun = yield* Deferred.make<void>()
      yield* serving(
        world.server,
        Endpoint.serveStreams((stream) =>
          Effect.gen(function* () {
            yield* Deferred.succeed(begun, undefined)
            yield* Effect.sleep("2 seconds")
            yield* stream.end("finished")
          })
        )
      ).pipe(Effect.provideService(Scope.Scope, scope))
      const connection = yield* connectTo(world.client)
      const request = yield* Effect.forkChild(ask(connection), { startImmediately: true })
      yield* Deferred.await(begun)
      yield* Scope.close(scope, Exit.interrupt())
      assert.strictEqual(yield* Fiber.join(request), "finished")
      assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
    })
  )

  it.effect("handlers of streams that do not notice the end of their connection do not gather", () =>
    drive(
      Effect.gen(function* () {
        const world = yield* makeWorld({ server: { shutdownTimeout: "3 seconds" } })
        let running = 0
        const deaf = Effect.andThen(
          Effect.sync(() => running++),
          Effect.never
        ).pipe(Effect.ensuring(Effect.sync(() => running--)))
        yield* serving(
          world.server,
          Endpoint.serve((connection) => connection.serve(() => deaf))
        )
        for (let i = 0; i < 5; i++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* connectTo(world.client)
              yield* (yield* connection.openStream()).end("x")
            })
          )
          yield* Effect.sleep("1 second")
        }
        assert.isAtMost(running, 4)
        yield* Effect.sleep("4 seconds")
        assert.strictEqual(running, 0)
      })
    )
  )

  scenario("a handler of a connection that does not notice its end is interrupted", (world) =>
    Effect.gen(function* () {
      let running = 0
      yield* serving(
        world.server,
        Endpoint.serve(() =>
          Effect.andThen(
            Effect.sync(() => running++),
            Effect.never
          ).pipe(Effect.ensuring(Effect.sync(() => running--)))
        )
      )
      for (let i = 0; i < 3; i++) {
        yield* Effect.scoped(connectTo(world.client))
        yield* Effect.sleep("3 seconds")
      }
      assert.strictEqual(running, 3)
      yield* Effect.sleep("5 seconds")
      assert.strictEqual(running, 1)
      yield* Effect.sleep("5 seconds")
      assert.strictEqual(running, 0)
    })
  )

  scenario("D3: a connection that nobody serves finishes its streams too", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const stream = yield* client.openStream()
      yield* stream.end("please")
      const theirs = yield* server.acceptStream
      yield* theirs.text
      const stopping = yield* Effect.forkChild(world.server.shutdown({ within: "20 seconds" }), {
        startImmediately: true
      })
      yield* Effect.sleep("2 seconds")
      assert.isUndefined(stopping.pollUnsafe())
      yield* theirs.end("here")
      assert.strictEqual(yield* stream.text, "here")
      assert.deepInclude(yield* client.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
      yield* Fiber.join(stopping)
    })
  )
})
