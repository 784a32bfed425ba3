import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import type { Scope } from "effect"
import { Endpoint } from "../../src/index.ts"
import type { QuicStream } from "../../src/index.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"
import { connectTo, drive, logged, makeWorld, reasonOf, scenario, serving } from "./support.ts"
import type { LoggedLine } from "./support.ts"

const echo = (stream: QuicStream.QuicStream) => Stream.run(stream.readable, stream.sink)

const ask = (connection: { readonly openStream: () => Effect.Effect<QuicStream.QuicStream, unknown, Scope.Scope> }) =>
  Effect.gen(function* () {
    const stream = yield* connection.openStream()
    yield* stream.end("question")
    return yield* stream.text
  }).pipe(Effect.scoped)

describe("streams that are served", () => {
  it.effect("D1: a client that gives up one request harms that request alone, and fills no log", () => {
    const lines: Array<LoggedLine> = []
    return logged(
      lines,
      drive(
        Effect.gen(function* () {
          const world = yield* makeWorld()
          yield* serving(world.server, Endpoint.serveStreams(echo))
          const connection = yield* connectTo(world.client)
          for (let i = 0; i < 3; i++) {
            yield* Effect.scoped(
              Effect.gen(function* () {
                const stream = yield* connection.openStream()
                yield* stream.write("x")
                return yield* Effect.never
              })
            ).pipe(Effect.timeoutOption("100 millis"))
          }
          yield* Effect.sleep("100 millis")
          assert.strictEqual(yield* ask(connection), "question")
          assert.isFalse(connection.isClosed)
          const failed = lines.filter((line) => line.message === "The handler of a stream failed")
          assert.deepStrictEqual(
            failed.map(({ annotations, level }) => [level, annotations["stream"], annotations["connection"]]),
            [0, 4, 8].map((id) => ["Debug", id, connection.id])
          )
        })
      )
    ).pipe(
      Effect.map(() =>
        assert.deepStrictEqual(
          lines.filter((line) => line.level !== "Debug"),
          []
        )
      )
    )
  })

  it.effect(
    "a defect of a handler is an error line, limited in rate; a failure is not; both harm their stream alone",
    () => {
      const lines: Array<LoggedLine> = []
      return logged(
        lines,
        drive(
          Effect.gen(function* () {
            const world = yield* makeWorld()
            const handler = (stream: QuicStream.QuicStream) =>
              Effect.gen(function* () {
                const text = yield* stream.text
                if (text === "fail") return yield* Effect.fail("a failure")
                if (text === "die") throw new TypeError("a defect")
                yield* stream.end(text)
              })
            yield* serving(world.server, Endpoint.serveStreams(handler))
            const connection = yield* connectTo(world.client)
            const say = (text: string) =>
              Effect.gen(function* () {
                const stream = yield* connection.openStream()
                yield* stream.end(text)
                return yield* stream.text
              }).pipe(Effect.scoped)
            for (const text of ["fail", ...Array<string>(50).fill("die")]) {
              assert.strictEqual(reasonOf(yield* Effect.exit(say(text))), "StreamReset")
            }
            assert.strictEqual(yield* say("fine"), "fine")
            const told = lines.filter((line) => line.message === "The handler of a stream failed")
            assert.lengthOf(told, 51)
            assert.strictEqual(told[0]!.level, "Debug")
            const errors = told.filter((line) => line.level === "Error").length
            assert.isAtLeast(errors, 20)
            assert.isBelow(errors, 50)
          })
        )
      )
    }
  )

  scenario("D2: a stream that stays open does not hold up the next ones", (world) =>
    Effect.gen(function* () {
      yield* serving(world.server, Endpoint.serveStreams(echo))
      const connection = yield* connectTo(world.client)
      const slow = yield* connection.openStream()
      yield* slow.write("a")
      for (let i = 0; i < 5; i++) assert.strictEqual(yield* ask(connection), "question")
      yield* slow.end("b")
      assert.strictEqual(yield* slow.text, "ab")
    })
  )

  scenario("D2: many at a time by default, and as many as asked for otherwise", (world) =>
    Effect.gen(function* () {
      for (const concurrency of [undefined, "unbounded", 3, 1] as const) {
        let running = 0
        let most = 0
        yield* Effect.scoped(
          Effect.gen(function* () {
            const server = yield* Effect.forkScoped(
              Effect.flatMap(Stream.runHead(world.server.connections), (head) =>
                Option.getOrThrow(head).serve(
                  (stream) =>
                    Effect.gen(function* () {
                      most = Math.max(most, ++running)
                      yield* stream.bytes
                      yield* Effect.sleep("50 millis")
                      yield* stream.end("done")
                      running--
                    }),
                  { concurrency }
                )
              ),
              { startImmediately: true }
            )
            const connection = yield* connectTo(world.client)
            const answers = yield* Effect.forEach(Array.from({ length: 20 }), () => ask(connection), {
              concurrency: "unbounded"
            })
            assert.deepStrictEqual(new Set(answers), new Set(["done"]))
            yield* connection.close()
            yield* Fiber.join(server)
          })
        )
        assert.strictEqual(most, typeof concurrency === "number" ? concurrency : 20)
      }
    })
  )

  scenario("D1: a handler that fails, dies or throws resets its stream with the code of the settings", (world) =>
    Effect.gen(function* () {
      const codes = { streamAbort: 0x10c }
      yield* serving(
        world.server,
        Endpoint.serveStreams(
          (stream) => {
            if (stream.id === 8) throw new Error("no effect")
            return Effect.flatMap(stream.write("half"), () =>
              stream.id === 0 ? Effect.fail("no") : Effect.die("boom")
            )
          },
          { codes }
        )
      )
      const connection = yield* connectTo(world.client)
      for (let i = 0; i < 3; i++) {
        const exit = yield* Effect.exit(ask(connection))
        assert.strictEqual(reasonOf(exit), "StreamReset")
        assert.include(String(exit), String(0x10c))
      }
      assert.isFalse(connection.isClosed)
    })
  )

  scenario("a wrong concurrency is named", (world) =>
    Effect.gen(function* () {
      const { server } = yield* world.pair()
      for (const concurrency of [0, -1, 1.5, Number.NaN])
        assert.strictEqual(reasonOf(yield* Effect.exit(server.serve(echo, { concurrency }))), "BadConfig")
      const layer = Effect.exit(serving(world.server, Endpoint.serveStreams(echo, { concurrency: -1 })))
      assert.strictEqual(reasonOf(yield* layer), "BadConfig")
    })
  )

  scenario("unidirectional streams are served alike; the interruption of serve interrupts its handlers", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const texts: Array<string> = []
      const ends: Array<string> = []
      const serve = yield* Effect.forkChild(
        server.serveUniStreams((stream) =>
          Effect.flatMap(stream.text, (text) => Effect.sync(() => texts.push(text))).pipe(
            Effect.onExit((exit) => Effect.sync(() => ends.push(exit._tag)))
          )
        ),
        { startImmediately: true }
      )
      yield* Effect.scoped(Effect.flatMap(client.openUniStream(), (stream) => stream.end("one")))
      const open = yield* client.openUniStream()
      yield* open.write("two")
      yield* Effect.sleep("100 millis")
      assert.deepStrictEqual(texts, ["one"])
      yield* Fiber.interrupt(serve)
      assert.deepStrictEqual(ends, ["Success", "Failure"])
      yield* Effect.sleep("100 millis")
      assert.strictEqual(reasonOf(yield* Effect.exit(open.write("more"))), "StreamStopped")
    })
  )

  scenario("one slow handler holds up no other, also when the connection has ended and few may run", (world) =>
    Effect.gen(function* () {
      const done: Array<string> = []
      yield* serving(
        world.server,
        Endpoint.serveStreams(
          (stream) =>
            Effect.gen(function* () {
              const text = yield* stream.text
              yield* Effect.sleep(text === "slow" ? "5 seconds" : "100 millis")
              done.push(text)
            }),
          { concurrency: 2 }
        )
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* connectTo(world.client)
          for (const text of ["slow", "a", "b", "c", "d"]) yield* (yield* connection.openStream()).end(text)
        })
      )
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(done, ["a", "b", "c", "d"])
      yield* Effect.sleep("5 seconds")
      assert.strictEqual(done.at(-1), "slow")
    })
  )

  scenario(
    "A2: thousands of streams that end in one moment are served without a deep stack",
    (world) =>
      Effect.gen(function* () {
        yield* serving(world.server, Endpoint.serveStreams(echo))
        const connection = yield* connectTo(world.client)
        const answers = yield* Effect.forEach(Array.from({ length: 3000 }), () => ask(connection), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(new Set(answers), new Set(["question"]))
      }),
    { server: { maxBidiStreams: 10_000 } }
  )

  for (const seed of [1, 2, 3, 4])
    scenario(`every stream is served once, whatever handlers do and when they do it (seed ${seed})`, (world) =>
      Effect.gen(function* () {
        const random = new Prng(seed)
        const limit = 1 + random.int(8)
        const served = new Map<number, number>()
        let running = 0
        yield* serving(
          world.server,
          Endpoint.serveStreams(
            (stream) =>
              Effect.gen(function* () {
                served.set(stream.id, (served.get(stream.id) ?? 0) + 1)
                assert.isAtMost(++running, limit)
                for (let steps = random.int(4); steps > 0; steps--) {
                  if (random.int(2) === 0) yield* Effect.sleep(random.int(40))
                  else if (random.int(3) === 0) yield* Effect.yieldNow
                  else yield* Effect.ignore(stream.write("step"))
                }
                if (random.int(5) === 0) return yield* Effect.fail("no")
                if (random.int(5) === 0) return yield* Effect.interrupt
                if (random.int(2) === 0) yield* stream.text
              }).pipe(Effect.ensuring(Effect.sync(() => running--))),
            { concurrency: limit }
          )
        )
        const connection = yield* connectTo(world.client)
        yield* Effect.forEach(
          Array.from({ length: 150 }),
          () => Effect.andThen(Effect.sleep(random.int(300)), Effect.exit(ask(connection))),
          { concurrency: "unbounded" }
        )
        yield* Effect.sleep("1 second")
        assert.strictEqual(served.size, 150)
        assert.deepStrictEqual(new Set(served.values()), new Set([1]))
        assert.strictEqual(running, 0)
        assert.isFalse(connection.isClosed)
        assert.strictEqual(connection.stats.paths.length, 1)
      })
    )

  scenario("what arrived before the end of the connection is served to the end", (world) =>
    Effect.gen(function* () {
      const got: Array<string> = []
      yield* serving(
        world.server,
        Endpoint.serveStreams((stream) =>
          Effect.gen(function* () {
            yield* Effect.sleep("1 second")
            got.push(yield* stream.text)
          })
        )
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* connectTo(world.client)
          for (const text of ["a", "b", "c"]) yield* (yield* connection.openStream()).end(text)
        })
      )
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(got, ["a", "b", "c"])
    })
  )
})
