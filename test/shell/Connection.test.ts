import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import type { Path } from "../../src/index.ts"
import { connectTo, reasonOf, scenario } from "./support.ts"

describe("the scope of a connection", () => {
  scenario("closes with code 0 after everything that was written has arrived", (world) =>
    Effect.gen(function* () {
      const received = yield* Effect.forkChild(
        Effect.flatMap(Stream.runHead(world.server.connections), (head) => {
          const connection = Option.getOrThrow(head)
          return Effect.scoped(Effect.flatMap(connection.acceptStream, (stream) => stream.bytes)).pipe(
            Effect.flatMap((bytes) => Effect.map(connection.closed, (info) => [bytes.length, info] as const))
          )
        })
      )
      yield* Effect.gen(function* () {
        const connection = yield* connectTo(world.client)
        const stream = yield* connection.openStream()
        yield* stream.write(new Uint8Array(500_000))
      }).pipe(Effect.scoped)
      const [length, info] = yield* Fiber.join(received)
      assert.strictEqual(length, 500_000)
      assert.deepInclude(info, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
    })
  )

  scenario("waits for a peer that is gone only as long as the setting says, and not at all when it failed", (world) =>
    Effect.gen(function* () {
      const clock = yield* Effect.clockWith(Effect.succeed)
      for (const [exit, wait] of [
        [Exit.void, 10_000],
        [Exit.fail("x"), 0]
      ] as const) {
        const scope = yield* Scope.make()
        const connection = yield* Effect.provideService(connectTo(world.client), Scope.Scope, scope)
        const stream = yield* Effect.provideService(connection.openStream(), Scope.Scope, scope)
        const link = world.network.link("10.0.0.1", "10.9.0.1")
        link.cut()
        yield* stream.write("into the void")
        const start = clock.currentTimeMillisUnsafe()
        yield* Scope.close(scope, exit)
        assert.strictEqual(clock.currentTimeMillisUnsafe() - start, wait)
        assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "local", code: 1 })
        link.restore()
      }
    })
  )

  scenario("operations after the end fail with its reason; closed tells it and never fails", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const stream = yield* client.openStream()
      yield* stream.write("last words")
      const theirs = yield* server.acceptStream
      yield* Effect.sleep("100 millis")
      yield* client.close({ code: 42, reason: "enough" })
      assert.deepInclude(yield* client.closed, {
        _tag: "ApplicationClosed",
        initiator: "local",
        code: 42,
        reason: "enough"
      })
      assert.deepInclude(yield* server.closed, {
        _tag: "ApplicationClosed",
        initiator: "peer",
        code: 42,
        reason: "enough"
      })
      // What had arrived can still be read.
      assert.strictEqual(Buffer.from(Option.getOrThrow(yield* theirs.read)).toString(), "last words")
      for (const operation of [
        theirs.read,
        theirs.write("x"),
        Effect.scoped(server.openStream()),
        Effect.scoped(server.acceptStream),
        server.sendDatagram("x"),
        Stream.runDrain(server.streams),
        Stream.runDrain(server.datagrams),
        client.openPath({ local: "10.0.1.1" })
      ]) {
        const exit = yield* Effect.exit(operation as Effect.Effect<unknown, unknown>)
        assert.strictEqual(reasonOf(exit), "ApplicationClosed")
      }
    })
  )

  scenario("waiting fibers are woken by the end, with its reason", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const stream = yield* client.openStream()
      yield* stream.write("x")
      const theirs = yield* server.acceptStream
      yield* theirs.read
      const waiting = yield* Effect.forEach(
        [
          theirs.read,
          Stream.runDrain(server.streams),
          Stream.runDrain(server.uniStreams),
          Stream.runDrain(server.datagrams)
        ] as ReadonlyArray<Effect.Effect<unknown, unknown>>,
        (operation) => Effect.forkChild(Effect.exit(operation), { startImmediately: true })
      )
      const events = yield* Effect.forkChild(Stream.runDrain(server.events), { startImmediately: true })
      yield* client.close({ code: 3 })
      for (const fiber of waiting) assert.strictEqual(reasonOf(yield* Fiber.join(fiber)), "ApplicationClosed")
      yield* Fiber.join(events)
    })
  )

  scenario(
    "an idle connection ends with IdleTimeout (RFC 9000 section 10.1)",
    (world) =>
      Effect.gen(function* () {
        const { client } = yield* world.pair()
        assert.strictEqual((yield* client.closed)._tag, "IdleTimeout")
        assert.strictEqual(reasonOf(yield* Effect.exit(client.openStream())), "IdleTimeout")
      }),
    { client: { idleTimeout: "5 seconds" } }
  )
})

describe("datagrams (RFC 9221)", () => {
  scenario("go both ways, and say when they cannot", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      assert.isAbove(client.maxDatagramSize, 1000)
      yield* client.sendDatagram("ping")
      const got = Option.getOrThrow(yield* Stream.runHead(server.datagrams))
      assert.strictEqual(Buffer.from(got).toString(), "ping")
      yield* server.sendDatagram(new Uint8Array([1, 2, 3]), { pathId: 0 })
      assert.deepStrictEqual(Option.getOrThrow(yield* Stream.runHead(client.datagrams)), new Uint8Array([1, 2, 3]))
      const large = yield* Effect.exit(client.sendDatagram(new Uint8Array(client.maxDatagramSize + 1)))
      assert.strictEqual(reasonOf(large), "DatagramTooLarge")
      assert.strictEqual(reasonOf(yield* Effect.exit(client.sendDatagram("x", { pathId: 9 }))), "PathFailed")
      const size = client.maxDatagramSize
      yield* client.sendDatagram(new Uint8Array(size))
      assert.strictEqual(Option.getOrThrow(yield* Stream.runHead(server.datagrams)).length, size)
    })
  )

  scenario(
    "fail with DatagramsUnavailable when the peer takes none",
    (world) =>
      Effect.gen(function* () {
        const { client } = yield* world.pair()
        assert.strictEqual(client.maxDatagramSize, 0)
        assert.strictEqual(reasonOf(yield* Effect.exit(client.sendDatagram("x"))), "DatagramsUnavailable")
      }),
    { server: { maxDatagramFrameSize: 0 } }
  )

  scenario(
    "a sender that is faster than the network waits",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const sending = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 500 }), (_, i) => client.sendDatagram(new Uint8Array(1000).fill(i)), {
            discard: true
          }),
          { startImmediately: true }
        )
        assert.isUndefined(sending.pollUnsafe())
        const received = yield* server.datagrams.pipe(Stream.take(500), Stream.runCollect)
        yield* Fiber.join(sending)
        assert.strictEqual(received.length, 500)
        assert.strictEqual(received[499]![0], 499 & 0xff)
      }),
    { client: { datagramQueue: 8 } }
  )
})

describe("paths (draft-ietf-quic-multipath-21)", () => {
  scenario("opens, validates and uses another path from another address", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const seen: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(server.events, (event) => Effect.sync(() => seen.push(`${event._tag} ${event.pathId}`))),
        { startImmediately: true }
      )
      const path = yield* client.openPath({ local: "10.0.1.1" })
      assert.strictEqual(path.id, 1)
      assert.strictEqual(String(path.local), String(client.path(1)!.local))
      assert.strictEqual(path.state, "validating")
      yield* path.validated
      assert.strictEqual(path.state, "active")
      assert.deepStrictEqual(
        client.paths.map((each) => each.id),
        [0, 1]
      )
      const stream = yield* client.openStream()
      yield* stream.setPaths([1])
      yield* stream.end(new Uint8Array(100_000))
      yield* (yield* server.acceptStream).bytes
      assert.isAbove(path.stats.streamBytesSent, 99_999)
      assert.isAbove(client.stats.paths[1]!.bytesSent, 100_000)
      assert.include(seen, "Opened 1")
      assert.include(seen, "Validated 1")
      const again = yield* Effect.exit(client.openPath({ local: path.local }))
      assert.strictEqual(reasonOf(again), "PathUnavailable")
    })
  )

  scenario("a path whose addresses do not answer fails its validation", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      world.network.link("10.0.1.1", "10.9.0.1").cut()
      const path = yield* client.openPath({ local: "10.0.1.1" })
      const exit = yield* Effect.exit(path.validated)
      assert.strictEqual(reasonOf(exit), "PathFailed")
      assert.strictEqual(client.isClosed, false)
      const stream = yield* client.openStream()
      yield* stream.end("the connection lives on")
      yield* stream.flushed
    })
  )

  scenario("status and close reach the peer; changes tells and ends", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const path = yield* client.openPath({ local: "10.0.1.1", status: "backup" })
      yield* path.validated
      yield* Effect.sleep("100 millis")
      const theirs = server.path(1)!
      assert.strictEqual(theirs.remoteStatus, "backup")
      yield* path.setStatus("available")
      yield* Effect.sleep("100 millis")
      assert.strictEqual(theirs.remoteStatus, "available")
      yield* path.probe
      const changes = yield* Effect.forkChild(Stream.runCollect(theirs.changes), { startImmediately: true })
      yield* path.close()
      yield* path.close()
      const kinds = (yield* Fiber.join(changes)).map((event) => event._tag)
      assert.include(kinds, "Abandoned")
      assert.strictEqual(kinds.at(-1), "Closed")
      assert.strictEqual(theirs.state, "closed")
      assert.strictEqual(reasonOf(yield* Effect.exit(theirs.setStatus("backup"))), "PathFailed")
      assert.isAbove(theirs.stats.packetsReceived, 0)
      assert.deepStrictEqual(yield* Stream.runCollect(theirs.changes), [])
      yield* Effect.sleep("1 second")
      assert.strictEqual(client.paths.length, 1)
    })
  )

  scenario("the last path cannot be closed", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      assert.strictEqual(reasonOf(yield* Effect.exit(client.path(0)!.close())), "PathFailed")
      assert.strictEqual(client.path(0)!.state, "active")
      assert.isUndefined(client.path(7))
    })
  )

  scenario("servers open no paths", (world) =>
    Effect.gen(function* () {
      const { server } = yield* world.pair()
      const exit = yield* Effect.exit(server.openPath({ local: "10.9.0.1" }))
      assert.strictEqual(reasonOf(exit), "PathUnavailable")
    })
  )

  scenario(
    "without multipath there is path 0 and no other",
    (world) =>
      Effect.gen(function* () {
        const { client } = yield* world.pair()
        assert.isFalse(client.multipath)
        assert.strictEqual(reasonOf(yield* Effect.exit(client.openPath({ local: "10.0.1.1" }))), "PathUnavailable")
      }),
    { server: { multipath: { maxPaths: 0 } } }
  )
})

describe("keys", () => {
  scenario("are updated on demand, but not twice in a row (RFC 9001 section 6.1)", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      yield* Effect.sleep("1 second")
      assert.isTrue(yield* client.updateKeys)
      assert.isFalse(yield* client.updateKeys)
      const stream = yield* client.openStream()
      yield* stream.end("with new keys")
      assert.strictEqual(yield* (yield* server.acceptStream).text, "with new keys")
      assert.strictEqual(client.stats.keyUpdates, 1)
      assert.strictEqual(server.stats.keyUpdates, 1)
    })
  )
})

describe("why a path failed", () => {
  const whyOf = (exit: Exit.Exit<unknown, unknown>) => /closed|validated/.exec(String(exit))?.[0]

  scenario("X3: one that was closed here is closed, validated before or not", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const first = yield* client.openPath({ local: "10.0.1.1" })
      yield* first.validated
      yield* first.close()
      assert.strictEqual(whyOf(yield* Effect.exit(first.validated)), "closed")
      yield* Effect.sleep("1 second")
      assert.strictEqual(whyOf(yield* Effect.exit(first.validated)), "closed")
      world.network.link("10.0.1.1", "10.9.0.1").cut()
      const second = yield* client.openPath({ local: "10.0.1.1" })
      const waiting = yield* Effect.forkChild(Effect.exit(second.validated), { startImmediately: true })
      yield* second.close()
      assert.strictEqual(whyOf(yield* Fiber.join(waiting)), "closed")
    })
  )

  scenario("X3: one from where nothing comes back was not validated", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      world.network.link("10.0.1.1", "10.9.0.1").cut()
      const path = yield* client.openPath({ local: "10.0.1.1" })
      assert.strictEqual(whyOf(yield* Effect.exit(path.validated)), "validated")
    })
  )
})

scenario("X5: events of other paths push none out of the changes of a path", (world) =>
  Effect.gen(function* () {
    const { client } = yield* world.pair()
    const path = yield* client.openPath({ local: "10.0.1.1" })
    yield* path.validated
    const seen: Array<string> = []
    const changes = yield* Effect.forkChild(
      Stream.runForEach(path.changes, (event) =>
        Effect.andThen(
          Effect.sleep(seen.length === 0 ? "20 seconds" : "1 second"),
          Effect.sync(() => seen.push(event._tag))
        )
      ),
      { startImmediately: true }
    )
    yield* path.probe
    yield* Effect.sleep("50 millis")
    yield* path.close()
    yield* Effect.sleep("500 millis")
    // More than anybody may fall behind.
    for (let i = 0; i < 300; i++) {
      yield* client.paths[0]!.probe
      yield* Effect.sleep("45 millis")
    }
    yield* Effect.sleep("20 seconds")
    assert.isFalse(client.isClosed)
    assert.isDefined(changes.pollUnsafe())
    assert.deepStrictEqual(seen, ["Probed", "Abandoned", "Closed"])
  })
)

describe("issue 7: subscribers of path events", () => {
  const tagsInto = (seen: Array<string>, events: Stream.Stream<Path.Event>) =>
    Effect.forkScoped(
      Stream.runForEach(events, (event) => Effect.sync(() => seen.push(`${event._tag} ${event.pathId}`))),
      { startImmediately: true }
    )

  scenario("issue 7: who subscribes when a path is validated hears only what happens after that", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const early: Array<string> = []
      yield* tagsInto(early, client.events)
      const path = yield* client.openPath({ local: "10.0.1.1" })
      const [opened, changes, events]: ReadonlyArray<Array<string>> = [[], [], []]
      yield* tagsInto(opened, path.changes)
      yield* path.validated
      yield* tagsInto(changes, path.changes)
      yield* tagsInto(events, client.events)
      yield* path.probe
      yield* Effect.sleep("100 millis")
      yield* path.close()
      const closing: Array<string> = []
      yield* tagsInto(closing, path.changes)
      yield* Effect.sleep("5 seconds")
      const rest = ["Probed 1", "Abandoned 1", "Closed 1"]
      assert.deepStrictEqual(early, ["Opened 1", "Validated 1", ...rest])
      assert.deepStrictEqual(opened, ["Validated 1", ...rest])
      assert.deepStrictEqual(changes, rest)
      assert.deepStrictEqual(events, rest)
      assert.deepStrictEqual(closing, ["Closed 1"])
    })
  )

  scenario("issue 7: who is woken by an event and subscribes does not hear what happened together with it", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      yield* Effect.sleep("1 second")
      world.network.link("10.0.1.1", "10.9.0.1").cut()
      const early: Array<string> = []
      yield* tagsInto(early, client.events)
      // Both are given up at the same moment.
      const first = yield* client.openPath({ local: "10.0.1.1:8" })
      yield* client.openPath({ local: "10.0.1.1:9" })
      assert.strictEqual(reasonOf(yield* Effect.exit(first.validated)), "PathFailed")
      const late: Array<string> = []
      yield* tagsInto(late, client.events)
      yield* Effect.sleep("10 seconds")
      assert.includeMembers(early, ["Abandoned 1", "Abandoned 2", "Closed 1", "Closed 2"])
      assert.sameMembers(late, ["Closed 1", "Closed 2"])
    })
  )
})
