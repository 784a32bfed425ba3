/**
 * Every way to end a scope, with everything that may be under way then. What is promised is delivered: a scope that succeeds
 * delivers all that was written. What is not delivered is said: the peer never takes a part for the whole, and a connection
 * that drops something never ends with the code of a clean end.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { Endpoint } from "../../src/index.ts"
import type { Connection, QuicStream } from "../../src/index.ts"
import type { CloseReason } from "../../src/QuicError.ts"
import { connectTo, drive, makeWorld, reasonOf, serving, takeOne } from "./support.ts"
import type { World } from "./support.ts"

const exits = ["success", "failure", "defect", "interruption", "timeout"] as const
type Ending = (typeof exits)[number]

/** What is under way when the scope ends, and how it got there. */
const states = {
  /** Written in the same moment. */
  unsent: (stream: QuicStream.SendStream, end: boolean) => give(stream, end, 20_000),
  /** On its way. */
  unacknowledged: (stream: QuicStream.SendStream, end: boolean) =>
    Effect.andThen(give(stream, end, 20_000), Effect.sleep(5)),
  /** More than windows and the network take at once. */
  much: (stream: QuicStream.SendStream, end: boolean) => Effect.andThen(give(stream, end, 700_000), Effect.sleep(30)),
  /** Everything is there. */
  acknowledged: (stream: QuicStream.SendStream, end: boolean) =>
    Effect.andThen(give(stream, end, 20_000), Effect.andThen(stream.flushed, Effect.sleep(100)))
} as const
type State = keyof typeof states

const give = (stream: QuicStream.SendStream, end: boolean, bytes: number) =>
  end ? stream.end(new Uint8Array(bytes)) : stream.write(new Uint8Array(bytes))

interface Case {
  readonly exit: Ending
  readonly state: State
  readonly ended: boolean
}

const cases: ReadonlyArray<Case> = exits.flatMap((exit) =>
  (Object.keys(states) as Array<State>).flatMap((state) => [true, false].map((ended) => ({ exit, state, ended })))
)

const sizeOf = (state: State): number => (state === "much" ? 700_000 : 20_000)

/** Runs a scope in which something is under way when it ends in the way of the case. */
const within = <R>(
  { exit }: Case,
  body: Effect.Effect<unknown, unknown, R>
): Effect.Effect<unknown, unknown, Exclude<R, Scope.Scope>> =>
  Effect.gen(function* () {
    const late = yield* Deferred.make<void>()
    const end: Record<Ending, Effect.Effect<unknown, unknown>> = {
      success: Effect.void,
      failure: Effect.fail("no"),
      defect: Effect.die("boom"),
      interruption: Effect.interrupt,
      timeout: Effect.andThen(Deferred.succeed(late, undefined), Effect.never)
    }
    return yield* Effect.raceFirst(Effect.scoped(Effect.andThen(body, end[exit])), Deferred.await(late))
  })

/** What the peer of a case saw. */
interface Seen {
  readonly bytes: Exit.Exit<number, unknown>
  readonly closed: CloseReason
}

const watch = (connection: Connection.Connection, stream: QuicStream.ReceiveStream): Effect.Effect<Seen> =>
  Effect.gen(function* () {
    const bytes = yield* Effect.exit(Effect.map(stream.bytes, (all) => all.length))
    const closed = yield* connection.closed
    return { bytes, closed }
  })

const codeOf = (closed: CloseReason): number => (closed._tag === "ApplicationClosed" ? closed.code : -1)

/** `level`: whether the scope is that of the stream alone, or of what carries it. */
const judge = (name: string, { ended, exit, state }: Case, level: "stream" | "connection", { bytes, closed }: Seen) => {
  const label = `${name}, ${exit}, ${state}${ended ? ", ended" : ""}`
  const whole = Exit.isSuccess(bytes)
  if (whole) assert.strictEqual(bytes.value, sizeOf(state), `${label}: never a part`)
  const clean = codeOf(closed) === 0
  const gone = state === "acknowledged"
  if (exit === "success" || (ended && (level === "stream" || gone))) assert.isTrue(whole, `${label}: is delivered`)
  else if (!ended) assert.isFalse(whole, `${label}: half a message is no message`)
  // The scope of the connection failed, or drops something.
  const failed = exit === "failure" || exit === "defect"
  if (level === "connection" && failed) assert.strictEqual(codeOf(closed), 1, `${label}: says that it failed`)
  if (clean) assert.isTrue(whole || level === "stream", `${label}: looks clean, and is not`)
  if (exit === "success") assert.isTrue(clean, `${label}: ends well, not with ${codeOf(closed)}`)
  if (!whole && level === "stream") assert.strictEqual(reasonOf(bytes), "StreamReset", label)
}

const every = (body: (each: Case) => Effect.Effect<void, unknown, Scope.Scope>) =>
  Effect.forEach(cases, (each) => Effect.scoped(body(each)), { concurrency: "unbounded", discard: true })

const limited = { server: { maxBidiStreams: 200, initialStreamWindow: 100_000, maxStreamWindow: 100_000 } }

describe("the end of a scope", () => {
  it.effect("of a stream that was opened", () =>
    drive(
      Effect.gen(function* () {
        const world = yield* makeWorld(limited)
        yield* every((each) =>
          Effect.gen(function* () {
            const { client, server } = yield* world.pair()
            yield* Effect.forkScoped(
              Effect.exit(
                within(
                  each,
                  Effect.flatMap(client.openStream(), (stream) => states[each.state](stream, each.ended))
                )
              )
            )
            const stream = yield* server.acceptStream
            const bytes = yield* Effect.exit(Effect.map(stream.bytes, (all) => all.length))
            yield* client.close({ code: 0 })
            judge("opened stream", each, "stream", { bytes, closed: yield* server.closed })
          })
        )
      })
    )
  )

  it.effect("of a stream that is served", () =>
    drive(
      Effect.gen(function* () {
        const world = yield* makeWorld()
        yield* serving(
          world.server,
          Endpoint.serveStreams((stream) =>
            Effect.flatMap(stream.text, (text) => {
              const each = JSON.parse(text) as Case
              return within(each, Effect.asVoid(states[each.state](stream, each.ended))).pipe(
                // The scope of the case is within that of the stream: its end is the stream's.
                Effect.andThen(each.exit === "timeout" ? Effect.interrupt : Effect.void)
              )
            })
          )
        )
        yield* every((each) =>
          Effect.gen(function* () {
            const client = yield* connectTo(world.client)
            const stream = yield* client.openStream()
            yield* stream.end(JSON.stringify(each))
            const bytes = yield* Effect.exit(Effect.map(stream.bytes, (all) => all.length))
            yield* client.close({ code: 0 })
            judge("served stream", each, "stream", { bytes, closed: yield* client.closed })
          })
        )
      })
    )
  )

  it.effect.each([false, true])("of a connection that was made; of a whole program: %s", (program) =>
    drive(
      Effect.gen(function* () {
        const world = yield* makeWorld(limited)
        const seen = new Map<string, Deferred.Deferred<Seen>>()
        yield* serving(
          world.server,
          Endpoint.serve((connection) =>
            Effect.gen(function* () {
              const stream = yield* connection.acceptStream
              const name = Option.getOrThrow(yield* stream.read)
              const text = Buffer.from(name.subarray(0, name.indexOf(10))).toString()
              const rest = name.length - text.length - 1
              const { bytes, closed } = yield* watch(connection, stream)
              yield* Deferred.succeed(seen.get(text)!, {
                bytes: Exit.map(bytes, (length) => length + rest),
                closed
              })
            })
          )
        )
        yield* every((each) =>
          Effect.gen(function* () {
            const name = JSON.stringify(each)
            const result = yield* Deferred.make<Seen>()
            seen.set(name, result)
            yield* Effect.exit(
              within(
                each,
                Effect.gen(function* () {
                  const endpoint = program ? yield* world.another : world.client
                  const connection = yield* connectTo(endpoint)
                  const stream = yield* connection.openStream()
                  yield* stream.write(`${name}\n`)
                  yield* stream.flushed
                  yield* states[each.state](stream, each.ended)
                })
              )
            )
            judge(program ? "program" : "connection", each, "connection", yield* Deferred.await(result))
          })
        )
      })
    )
  )

  it.effect("of the handler of a connection", () =>
    drive(
      Effect.gen(function* () {
        const world = yield* makeWorld({ client: limited.server })
        yield* serving(
          world.server,
          Endpoint.serve((connection) =>
            Effect.gen(function* () {
              // Owned by the connection, so that it is the end of the connection that counts.
              const stream = Option.getOrThrow(yield* Stream.runHead(connection.streams))
              const each = JSON.parse(yield* stream.text) as Case
              yield* within(each, states[each.state](stream, each.ended))
              if (each.exit === "success" && !each.ended) yield* stream.end()
              if (each.exit === "timeout") yield* Effect.interrupt
            })
          )
        )
        yield* every((each) =>
          Effect.gen(function* () {
            const client = yield* connectTo(world.client)
            const stream = yield* client.openStream()
            yield* stream.end(JSON.stringify(each))
            judge("handler", each, "connection", yield* watch(client, stream))
          })
        )
      })
    )
  )

  it.effect(
    "of a stream with bytes that nobody read: the peer learns that they were not wanted, or of the failure",
    () =>
      drive(
        Effect.gen(function* () {
          const world = yield* makeWorld()
          const { client, server } = yield* world.pair()
          for (const exit of exits) {
            yield* Effect.forkChild(
              Effect.exit(
                within(
                  { exit, state: "unsent", ended: true },
                  Effect.gen(function* () {
                    const stream = yield* client.openStream()
                    yield* stream.end("hello")
                    yield* Effect.sleep(100)
                    assert.isAbove(stream.stats.bytesReadable, 0)
                  })
                )
              )
            )
            const stream = yield* server.acceptStream
            yield* stream.write(new Uint8Array(20_000))
            yield* Effect.sleep(300)
            const write = yield* Effect.exit(stream.write("more"))
            assert.strictEqual(reasonOf(write), "StreamStopped", exit)
            assert.include(String(write), `code ${exit === "success" ? 0 : 1}`, exit)
          }
        })
      )
  )

  it.effect("of a connection with datagrams that have not left: they leave first", () =>
    drive(
      Effect.gen(function* () {
        const world = yield* makeWorld()
        const received = yield* Effect.forkChild(
          Effect.flatMap(takeOne(world.server), (connection) => Stream.runCount(connection.datagrams))
        )
        yield* Effect.scoped(
          Effect.flatMap(connectTo(world.client), (connection) =>
            Effect.forEach(Array.from({ length: 50 }), () => connection.sendDatagram(new Uint8Array(1000)))
          )
        )
        assert.strictEqual(yield* Fiber.join(received), 50)
      })
    )
  )

  const programs: ReadonlyArray<Case> = cases.filter(({ exit }) => exit !== "timeout" && exit !== "defect")

  /** A server of its own for each case, since it is what ends. */
  const ending = (
    name: string,
    each: Case,
    how: (world: World, scope: Scope.Closeable) => Effect.Effect<unknown, unknown>
  ) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const world = yield* makeWorld({ serverScope: scope })
      const accepted = yield* Effect.forkChild(takeOne(world.server))
      const client = yield* connectTo(world.client)
      const request = yield* client.openStream()
      yield* request.end("please")
      const connection = yield* Fiber.join(accepted)
      const stream = Option.getOrThrow(yield* Stream.runHead(connection.streams))
      yield* stream.text
      yield* states[each.state](stream, each.ended)
      yield* Effect.forkScoped(how(world, scope))
      const seen = yield* watch(client, request)
      // An endpoint has no say in how its streams end: what was begun and not ended is cut, and said.
      const graceful = { ...each, exit: each.ended ? "success" : "failure" } as const
      judge(name, graceful, "connection", seen)
    })

  it.effect("of an endpoint, and its shutdown", () =>
    Effect.forEach(
      programs,
      (each) =>
        Effect.all(
          [
            drive(
              ending("endpoint", each, (_, scope) =>
                Scope.close(scope, each.exit === "success" ? Exit.void : Exit.fail("no"))
              )
            ),
            drive(ending("shutdown", each, (world) => world.server.shutdown({ within: "1 second" })))
          ],
          { discard: true }
        ),
      { discard: true }
    )
  )
})
