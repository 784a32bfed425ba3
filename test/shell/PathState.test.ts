/** `MultipathController.setPathState`: by applications, and by what they give the library to call. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import { Endpoint, MultipathController, PathScheduler, UdpSocket } from "../../src/index.ts"
import type { Connection, Path } from "../../src/index.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"
import { connectTo, reasonOf, scenario, takeOne } from "./support.ts"
import type { World } from "./support.ts"

type Word = "active" | "potentiallyFailed"

/** A connection of two paths that work. */
const twoPaths = (world: World, layer: Layer.Layer<never> = Layer.empty) =>
  Effect.gen(function* () {
    const accepted = yield* Effect.forkChild(takeOne(world.server))
    const client = yield* Effect.provide(connectTo(world.client), layer)
    const server = yield* Fiber.join(accepted)
    const second = yield* client.openPath({ local: "10.0.1.1" })
    yield* second.validated
    return { client, server, first: client.path(0)!, second }
  })

/** Sends bytes of which each tells its place, and gives whether they came as they were. */
const intact = (from: Connection.Connection, to: Connection.Connection, length: number) =>
  Effect.gen(function* () {
    const bytes = Uint8Array.from({ length }, (_, i) => i % 251)
    const stream = yield* from.openUniStream()
    const writing = yield* Effect.forkChild(stream.end(bytes))
    const came = yield* Effect.flatMap(to.acceptUniStream, (incoming) => incoming.bytes)
    yield* Fiber.join(writing)
    assert.deepStrictEqual(came, bytes)
  }).pipe(Effect.scoped)

const nextOf = (path: Path.Path, tag: Path.Event["_tag"]) =>
  Effect.forkChild(
    path.changes.pipe(
      Stream.filter((event) => event._tag === tag),
      Stream.take(1),
      Stream.runCollect
    ),
    { startImmediately: true }
  )

const refused = (word: Effect.Effect<void, unknown>) => Effect.map(Effect.exit(word), reasonOf)

describe("setPathState", () => {
  scenario("by path or by ID: events tell, data moves, and comes back", (world) =>
    Effect.gen(function* () {
      const { client, first, second, server } = yield* twoPaths(world)
      const failed = yield* nextOf(first, "PotentiallyFailed")
      yield* MultipathController.setPathState(client, first, "potentiallyFailed")
      assert.strictEqual(first.state, "potentiallyFailed")
      yield* Fiber.join(failed)
      const before = first.stats.streamBytesSent
      yield* intact(client, server, 500_000)
      assert.strictEqual(first.stats.streamBytesSent, before)
      assert.isAbove(second.stats.streamBytesSent, 499_999)
      const recovered = yield* nextOf(first, "Recovered")
      yield* MultipathController.setPathState(client, 0, "active")
      yield* Fiber.join(recovered)
      yield* intact(client, server, 500_000)
      assert.isAbove(first.stats.streamBytesSent, before)
    })
  )

  scenario("on a path that is closed, unknown, or of another connection; with a word that is none", (world) =>
    Effect.gen(function* () {
      const { client, second } = yield* twoPaths(world)
      const other = yield* connectTo(world.client)
      const say = (path: Path.Path | number, word: Word = "active") =>
        refused(MultipathController.setPathState(client, path, word))
      assert.strictEqual(yield* say(77), "PathFailed")
      assert.strictEqual(yield* say(-1), "BadConfig")
      assert.strictEqual(yield* say(0, "closed" as never), "BadConfig")
      assert.strictEqual(yield* say(other.path(0)!, "potentiallyFailed"), "BadConfig")
      assert.strictEqual(other.path(0)!.state, "active")
      assert.strictEqual(
        yield* refused(MultipathController.setPathState({} as never, 0, "potentiallyFailed")),
        "BadConfig"
      )
      yield* second.close()
      for (const word of ["active", "potentiallyFailed"] as const) {
        assert.strictEqual(yield* say(second, word), "PathFailed")
        assert.strictEqual(yield* say(second.id, word), "PathFailed")
        assert.strictEqual(yield* refused(second.setState(word)), "PathFailed")
      }
      const path = client.path(0)!
      yield* client.close()
      assert.strictEqual(yield* say(path), "PathFailed")
    })
  )

  // What an observer or a policy is told of is half done: the sender counts, the tables are looped over.
  const hooks = ["onPacketSent", "onPacketAcked", "onPathState", "select"] as const
  for (const hook of hooks) {
    scenario(
      `from inside ${hook}: done after the call, with whatever else is asked for there; nothing is lost`,
      (world) =>
        Effect.gen(function* () {
          let connection: Connection.Connection | undefined
          let calls = 0
          const asked: Array<Exit.Exit<void, unknown>> = []
          const act = (): void => {
            if (connection === undefined || calls >= 40) return
            const target = connection
            const before = target.paths.map(({ state }) => state)
            const word = calls++ % 2 === 0 ? "potentiallyFailed" : "active"
            asked.push(Effect.runSyncExit(MultipathController.setPathState(target, calls % 3 === 0 ? 1 : 0, word)))
            asked.push(Effect.runSyncExit(target.path(0)!.setStatus(calls % 2 === 0 ? "backup" : "available")))
            asked.push(Effect.runSyncExit(target.path(1)!.probe))
            assert.deepStrictEqual(
              target.paths.map(({ state }) => state),
              before
            )
          }
          const layer = Layer.mergeAll(
            MultipathController.observe(() => ({ name: "meddler", ...(hook === "select" ? {} : { [hook]: act }) })),
            PathScheduler.layer(() => ({
              name: "meddler",
              select: ({ paths }) => {
                if (hook === "select") act()
                return paths.find((path) => path.canSend)
              }
            }))
          )
          const { client, first, second, server } = yield* twoPaths(world, layer)
          connection = client
          // The first change is from outside, for those who are told of changes only.
          yield* second.setState("potentiallyFailed")
          yield* intact(client, server, 300_000)
          yield* intact(server, client, 300_000)
          assert.isAbove(calls, 1)
          assert.isTrue(asked.every(Exit.isSuccess))
          assert.deepStrictEqual(client.stats.mistakes, [])
          connection = undefined
          yield* Effect.forEach([first, second], (path) => path.setState("active"))
          yield* Effect.sleep("2 seconds")
          assert.deepStrictEqual([first.state, second.state], ["active", "active"])
        })
    )
  }

  scenario("an observer that closes the path it is told of, or the connection", (world) =>
    Effect.gen(function* () {
      let act = (): void => {}
      const layer = MultipathController.observe(() => ({ name: "closer", onPacketSent: () => act() }))
      const { client, second, server } = yield* twoPaths(world, layer)
      act = () => {
        act = () => {}
        Effect.runSync(second.close())
      }
      yield* intact(client, server, 300_000)
      assert.include(["closing", "closed"], second.state)
      act = () => Effect.runSync(client.close({ code: 7 }))
      const stream = yield* client.openStream()
      yield* Effect.exit(stream.write("last words"))
      assert.deepInclude(yield* server.closed, { _tag: "ApplicationClosed", code: 7, initiator: "peer" })
    })
  )

  it.live("over real UDP", () =>
    Effect.gen(function* () {
      const server = yield* Endpoint.Endpoint
      const client = yield* Endpoint.make({ multipath: { maxPaths: 2 } })
      const connection = yield* client.connect({ address: server.addresses[0]!, alpn: "echo", serverName: "localhost" })
      const second = yield* connection.openPath()
      yield* second.validated
      const first = connection.path(0)!
      const echo = Effect.gen(function* () {
        const stream = yield* connection.openStream()
        yield* stream.end(new Uint8Array(200_000))
        assert.lengthOf(yield* stream.bytes, 200_000)
      }).pipe(Effect.scoped)
      yield* echo
      yield* MultipathController.setPathState(connection, 0, "potentiallyFailed")
      const before = [first.stats.streamBytesSent, second.stats.streamBytesSent] as const
      yield* echo
      assert.strictEqual(first.stats.streamBytesSent, before[0])
      assert.isAtLeast(second.stats.streamBytesSent, before[1] + 200_000)
      const recovered = yield* nextOf(first, "Recovered")
      yield* MultipathController.setPathState(connection, first, "active")
      yield* Fiber.join(recovered)
      yield* MultipathController.setPathState(connection, second, "potentiallyFailed")
      yield* echo
      assert.isAbove(first.stats.streamBytesSent, before[0])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
          Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: ["echo"], multipath: { maxPaths: 2 } })),
          Layer.provide(TestCertificates.layer),
          Layer.provideMerge(UdpSocket.layer)
        )
      ),
      Effect.provide(TestCertificates.layer)
    )
  )
})
