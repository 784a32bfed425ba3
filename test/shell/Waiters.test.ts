/** Ten thousand fibers that wait: none is forgotten, and neither the stack nor the work grows with their number. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { WaitList } from "../../src/internal/runtime/WaitList.ts"
import type { Connection } from "../../src/index.ts"
import { Endpoint, UdpSocket } from "../../src/index.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"
import { connectTo, reasonOf, scenario, takeOne } from "./support.ts"

/** Two tests take `MANY`; all others enough to have failed once. */
const MANY = 10_000
const ENOUGH = 2000
const limits = { maxBidiStreams: MANY, maxUniStreams: MANY }
const options = { client: limits, server: limits }

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.all(
    Array.from({ length: count }, () => effect),
    { concurrency: "unbounded" }
  )

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Takes `count` streams of the peer, whoever is first. */
const acceptAll = (connection: Connection.Connection, count: number) =>
  Effect.forEach(Array.from({ length: count }), () => connection.acceptStream)

/** `asker` asks on so many streams at once; `answerer` answers when it has read all questions, in one moment. */
const burst = (asker: Connection.Connection, answerer: Connection.Connection, count: number) =>
  Effect.gen(function* () {
    const answers = yield* fork(
      times(
        count,
        Effect.scoped(
          Effect.gen(function* () {
            const stream = yield* asker.openStream()
            yield* stream.end("hello")
            return yield* stream.text
          })
        )
      )
    )
    const streams = yield* acceptAll(answerer, count)
    yield* Effect.forEach(streams, (stream) => stream.text, { discard: true })
    yield* Effect.forEach(streams, (stream) => stream.end("yes"), { discard: true })
    const all = yield* Fiber.join(answers)
    assert.isTrue(all.length === count && all.every((answer) => answer === "yes"))
  })

/** The peer's end of many streams, by `end`, comes to `count` fibers that read one each, all at once. */
const readers = (
  writer: Connection.Connection,
  reader: Connection.Connection,
  count: number,
  end: (stream: Effect.Success<Connection.Connection["acceptStream"]>) => Effect.Effect<void, unknown>
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const mine = yield* Effect.forEach(Array.from({ length: count }), () =>
      Effect.tap(Scope.provide(writer.openStream(), scope), (stream) => stream.write("x"))
    )
    const waiting = yield* fork(
      times(count, Effect.scoped(Effect.flatMap(reader.acceptStream, (stream) => Effect.exit(stream.text))))
    )
    yield* Effect.forEach(mine, end, { discard: true })
    const exits = yield* Fiber.join(waiting)
    yield* Scope.close(scope, Exit.void)
    return exits
  })

describe("A2: many waiters on the simulated network", () => {
  for (const [who, count] of [
    ["client", ENOUGH],
    ["server", MANY]
  ] as const) {
    scenario(
      `the answers of ${count} streams of the ${who} come in one moment`,
      (world) =>
        Effect.gen(function* () {
          const { client, server } = yield* world.pair()
          yield* who === "client" ? burst(client, server, count) : burst(server, client, count)
        }),
      options
    )
  }

  scenario(
    `${ENOUGH} ends, then as many resets, come at once to who reads accepted streams`,
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const ended = yield* readers(client, server, ENOUGH, (stream) => stream.end())
        assert.isTrue(ended.every((exit) => Exit.isSuccess(exit) && exit.value === "x"))
        const reset = yield* readers(server, client, ENOUGH, (stream) => stream.reset({ code: 7 }))
        assert.isTrue(reset.every((exit) => reasonOf(exit) === "StreamReset"))
      }),
    options
  )

  scenario(
    `${ENOUGH} wait to open and ${ENOUGH} to accept, with 100 streams at a time`,
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const served = yield* fork(
          times(
            ENOUGH,
            Effect.scoped(Effect.flatMap(server.acceptStream, (stream) => Effect.andThen(stream.text, stream.end())))
          )
        )
        const asked = yield* times(
          ENOUGH,
          Effect.scoped(
            Effect.flatMap(client.openStream(), (stream) =>
              Effect.andThen(stream.end("x"), Effect.as(stream.text, stream.id))
            )
          )
        )
        yield* Fiber.join(served)
        assert.strictEqual(new Set(asked).size, ENOUGH)
      }),
    { client: limits }
  )

  scenario(`${ENOUGH} read one stream, wait for its delivery, send and take datagrams`, (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.write("begin")
      const theirs = yield* server.acceptStream
      yield* theirs.read
      const reads = yield* fork(times(ENOUGH, theirs.read))
      // In order: each piece is for the one who has waited longest.
      for (let i = 0; i < 100; i++) yield* mine.write("x")
      const flushed = yield* fork(times(ENOUGH, mine.flushed))
      yield* Fiber.join(flushed)
      yield* mine.end()
      const all = yield* Fiber.join(reads)
      const got = all.map(Option.isSome)
      assert.isAtLeast(got.filter(Boolean).length, 1)
      assert.strictEqual(got.lastIndexOf(true), got.filter(Boolean).length - 1)
      const sent = yield* fork(times(ENOUGH, client.sendDatagram("datagram")))
      yield* Fiber.join(sent)
    })
  )

  scenario(
    `the end of the connection wakes ${ENOUGH} of each`,
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const mine = yield* client.openStream()
        const waits = yield* Effect.forEach(
          [client.acceptStream, client.acceptUniStream, client.openUniStream(), mine.read, client.closed],
          (wait) => fork(times(ENOUGH, Effect.exit(wait as Effect.Effect<unknown, unknown, Scope.Scope>)))
        )
        yield* Effect.sleep(100)
        yield* server.close({ code: 5 })
        for (const [at, fiber] of waits.entries()) {
          const reasons = new Set((yield* Fiber.join(fiber)).map(reasonOf))
          assert.deepStrictEqual([...reasons], [at === 4 ? "success" : "ApplicationClosed"])
        }
      }),
    { server: { maxUniStreams: 0 } }
  )

  scenario(`${ENOUGH} waits are interrupted at a cost that does not grow with those that stay`, (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const fibers = yield* Effect.forEach(Array.from({ length: ENOUGH }), () => fork(Effect.exit(client.acceptStream)))
      const last = fibers.pop()!
      yield* Effect.forEach(fibers.toReversed(), (fiber) => Fiber.interrupt(fiber), { discard: true })
      const stream = yield* server.openStream()
      yield* stream.end("x")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(last)))
    })
  )

  scenario(
    "a writer that waits when another fiber ends the stream fails, and does not wait for ever",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const mine = yield* client.openStream()
        yield* mine.write(new Uint8Array(40_000))
        const waiting = yield* fork(Effect.exit(mine.write("more")))
        yield* Effect.sleep(100)
        assert.isUndefined(waiting.pollUnsafe())
        yield* mine.end()
        assert.strictEqual(reasonOf(yield* Fiber.join(waiting)), "ConnectionClosed")
        const theirs = yield* server.acceptStream
        assert.strictEqual((yield* theirs.bytes).length, 40_000)
      }),
    { client: { streamSendBuffer: 20_000 }, server: { initialStreamWindow: 10_000, maxStreamWindow: 10_000 } }
  )
})

/** Things to take, one for each; who finds none waits, and may have to yield between the look and the wait. */
const shelf = (between: Effect.Effect<void> = Effect.void) => {
  let slot: (() => void) | undefined
  let things = 0
  let looks = 0
  const list = new WaitList(
    () => things > 0,
    (wake) => {
      slot = wake
    }
  )
  const take: Effect.Effect<void> = Effect.suspend(() => {
    looks++
    if (things > 0) {
      things--
      return Effect.void
    }
    return Effect.andThen(
      between,
      Effect.flatMap(list.wait, () => take)
    )
  })
  const put = (count: number): void => {
    things += count
    const waiter = slot
    slot = undefined
    waiter?.()
  }
  return { take, put, looks: () => looks, left: () => things }
}

describe("WaitList", () => {
  it.effect("A2: what happens between the look and the wait is not lost", () =>
    Effect.gen(function* () {
      const { put, take } = shelf(Effect.yieldNow)
      const fibers = yield* Effect.forEach([1, 2], () => fork(take))
      put(2)
      for (const fiber of fibers) yield* Fiber.join(fiber)
    })
  )

  it.effect("A2: resumes as many as can go on, in the order in which they came", () =>
    Effect.gen(function* () {
      const { left, looks, put, take } = shelf()
      const order: Array<number> = []
      const fibers = yield* Effect.forEach(
        Array.from({ length: MANY }, (_, at) => at),
        (at) => fork(Effect.map(take, () => order.push(at)))
      )
      for (let count = 0; count < MANY / 2; count++) put(2)
      for (const fiber of fibers) yield* Fiber.join(fiber)
      assert.strictEqual(looks(), 2 * MANY)
      assert.isTrue(order.every((at, place) => at === place))
      assert.strictEqual(left(), 0)
    })
  )

  it.effect("A2: what an interrupted one was woken for is for the next", () =>
    Effect.gen(function* () {
      const { put, take } = shelf()
      const first: Fiber.Fiber<void> = yield* fork(take)
      const second = yield* fork(take)
      const third = yield* fork(take)
      yield* Fiber.interrupt(first)
      put(1)
      yield* Fiber.join(second)
      yield* Fiber.interrupt(third)
      put(1)
      yield* take
    })
  )

  it.effect("A2: a fiber that wakes its own list is not resumed inside of itself", () =>
    Effect.gen(function* () {
      const { put, take } = shelf()
      let depth = 0
      let deepest = 0
      const chain = Effect.flatMap(take, () =>
        Effect.sync(() => {
          depth++
          deepest = Math.max(deepest, depth)
          put(1)
          depth--
        })
      )
      const fibers = yield* Effect.forEach(Array.from({ length: MANY }), () => fork(chain))
      put(1)
      for (const fiber of fibers) yield* Fiber.join(fiber)
      assert.strictEqual(deepest, 1)
    })
  )
})

describe("A9: waiting for delivery", () => {
  scenario("flushed wakes although the scope of the connection ends meanwhile", (world) =>
    Effect.gen(function* () {
      const accepted = yield* fork(takeOne(world.server))
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(connectTo(world.client), scope)
      const server = yield* Fiber.join(accepted)
      const mine = yield* Scope.provide(client.openStream(), scope)
      yield* mine.write(new Uint8Array(100_000))
      const flushed = yield* fork(Effect.exit(mine.flushed))
      const closing = yield* fork(Scope.close(scope, Exit.void))
      const theirs = yield* server.acceptStream
      assert.strictEqual((yield* theirs.bytes).length, 100_000)
      assert.strictEqual(reasonOf(yield* Fiber.join(flushed)), "success")
      yield* Fiber.join(closing)
    })
  )
})

describe("A2: many waiters on real UDP", () => {
  it.live(`the answers of ${MANY} streams come in one moment, and ${ENOUGH} the other way`, () =>
    Effect.scoped(
      Effect.gen(function* () {
        const endpoint = yield* Endpoint.Endpoint
        const accepted = yield* fork(takeOne(endpoint))
        const client = yield* Endpoint.connect({
          address: endpoint.addresses[0]!,
          alpn: "test",
          serverName: "localhost"
        })
        const server = yield* Fiber.join(accepted)
        yield* burst(client, server, MANY)
        yield* burst(server, client, ENOUGH)
      })
    ).pipe(
      Effect.provide(Endpoint.layer({ listen: "127.0.0.1:0", alpn: ["test"], ...limits })),
      Effect.provide(TestCertificates.layer),
      Effect.provide(UdpSocket.layer)
    )
  )
})
