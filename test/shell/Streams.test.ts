import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { reasonOf, scenario } from "./support.ts"

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
const pattern = (length: number) => new Uint8Array(length).map((_, i) => (i * 31) & 0xff)

describe("streams over a simulated network", () => {
  scenario("carries bytes both ways and ends (RFC 9000 section 2)", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.write("ab")
      yield* mine.end(new Uint8Array([99]))
      const theirs = yield* server.acceptStream
      assert.strictEqual(theirs.id, mine.id)
      assert.strictEqual(yield* theirs.text, "abc")
      assert.deepStrictEqual(yield* theirs.read, Option.none())
      yield* theirs.end("answer")
      assert.strictEqual(yield* mine.text, "answer")
      yield* mine.flushed
      assert.deepInclude(mine.stats, { bytesWritten: 3, bytesAcknowledged: 3, bytesRead: 6, bytesReadable: 0 })
    })
  )

  scenario("carries unidirectional streams as the part that they have", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const out = yield* server.openUniStream()
      yield* out.end("push")
      const received = yield* Stream.runHead(client.uniStreams)
      assert.strictEqual(yield* Option.getOrThrow(received).text, "push")
    })
  )

  scenario(
    "a sink writes all and ends; readable gives all (1 MB through small windows)",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const data = pattern(1 << 20)
        const chunks = Array.from({ length: 64 }, (_, i) => data.subarray(i << 14, (i + 1) << 14))
        const mine = yield* client.openStream()
        const echo = yield* Effect.forkChild(
          Effect.flatMap(server.acceptStream, (stream) => Stream.run(stream.readable, stream.sink))
        )
        const sender = yield* Effect.forkChild(Stream.run(Stream.fromIterable(chunks), mine.sink))
        const bytes = yield* mine.bytes
        assert.strictEqual(Buffer.compare(bytes, data), 0)
        yield* Fiber.join(sender)
        yield* Fiber.join(echo)
      }),
    {
      server: { initialStreamWindow: 20_000, maxStreamWindow: 40_000, streamSendBuffer: 30_000 },
      client: { streamSendBuffer: 30_000 }
    }
  )

  scenario(
    "consume hands over all bytes, one piece after the other (1 MB through small windows)",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const data = pattern(1 << 20)
        const mine = yield* client.openStream()
        const sender = yield* Effect.forkChild(mine.end(data))
        const theirs = yield* server.acceptStream
        const first = Option.getOrThrow(yield* theirs.read)
        const whole = Buffer.alloc(data.length)
        whole.set(first)
        let at = first.length
        let busy = 0
        yield* theirs.consume((bytes) =>
          Effect.gen(function* () {
            assert.strictEqual(++busy, 1)
            yield* Effect.sleep("1 millis")
            // What arrived meanwhile must not have changed what is lent.
            whole.set(bytes, at)
            at += bytes.length
            busy--
          })
        )
        assert.strictEqual(at, data.length)
        assert.strictEqual(Buffer.compare(whole, data), 0)
        yield* Fiber.join(sender)
        // The end again, and nothing more.
        yield* theirs.consume(() => Effect.die("no bytes are left"))
      }),
    { server: { initialStreamWindow: 200_000, maxStreamWindow: 200_000 } }
  )

  scenario("consume fails as its use does, and with the peer's reset", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.write("abc")
      const theirs = yield* server.acceptStream
      assert.strictEqual(yield* Effect.flip(theirs.consume(() => Effect.fail("enough" as const))), "enough")
      yield* mine.reset({ code: 7 })
      assert.strictEqual(reasonOf(yield* Effect.exit(theirs.consume(() => Effect.void))), "StreamReset")
    })
  )

  scenario(
    "a write waits while the buffer is full, and an interrupted one sends nothing",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const mine = yield* client.openStream()
        yield* mine.write(pattern(14_000))
        const second = yield* Effect.forkChild(mine.write("second"), { startImmediately: true })
        yield* Effect.sleep("1 second")
        assert.isUndefined(second.pollUnsafe())
        yield* Fiber.interrupt(second)
        const third = yield* Effect.forkChild(mine.end("third"), { startImmediately: true })
        const theirs = yield* server.acceptStream
        const all = yield* theirs.bytes
        assert.strictEqual(all.length, 14_005)
        assert.strictEqual(text(all.subarray(14_000)), "third")
        yield* Fiber.join(third)
      }),
    {
      client: { streamSendBuffer: 10_000 },
      server: { initialStreamWindow: 5_000, maxStreamWindow: 5_000 }
    }
  )

  scenario("an interrupted read loses nothing, nor does one of all bytes", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.write("one ")
      const theirs = yield* server.acceptStream
      const all = yield* Effect.forkChild(theirs.bytes, { startImmediately: true })
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(all)
      const reader = yield* Effect.forkChild(
        Effect.flatMap(theirs.read, () => theirs.read),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(reader)
      yield* mine.end("two")
      assert.strictEqual(yield* theirs.text, "two")
    })
  )

  scenario("reset fails the peer's reads, stop fails its writes, with the code (RFC 9000 sections 3.4, 3.5)", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.write("x")
      const theirs = yield* server.acceptStream
      yield* mine.reset({ code: 7 })
      const read = yield* Effect.exit(Effect.andThen(theirs.read, theirs.read))
      assert.strictEqual(reasonOf(read), "StreamReset")
      yield* mine.stop({ code: 9 })
      yield* Effect.sleep("100 millis")
      const write = yield* Effect.exit(theirs.write("y"))
      assert.strictEqual(reasonOf(write), "StreamStopped")
      assert.include(String(write), "9")
    })
  )

  scenario(
    "a waiting write fails when the peer stops reading",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const mine = yield* client.openStream()
        yield* mine.write(pattern(5_000))
        const theirs = yield* server.acceptStream
        const waiting = yield* Effect.forkChild(Effect.exit(mine.write("more")), { startImmediately: true })
        const flushed = yield* Effect.forkChild(Effect.exit(mine.flushed), { startImmediately: true })
        yield* theirs.stop({ code: 3 })
        assert.strictEqual(reasonOf(yield* Fiber.join(waiting)), "StreamStopped")
        assert.strictEqual(reasonOf(yield* Fiber.join(flushed)), "StreamStopped")
      }),
    {
      client: { streamSendBuffer: 2_000 },
      server: { initialStreamWindow: 2_000, maxStreamWindow: 2_000 }
    }
  )

  scenario("writing after the end fails, ending twice does not", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.end("a")
      yield* mine.end()
      assert.strictEqual(reasonOf(yield* Effect.exit(mine.write("b"))), "ConnectionClosed")
      assert.strictEqual(reasonOf(yield* Effect.exit(mine.end("b"))), "ConnectionClosed")
    })
  )

  scenario("the scope of a stream ends it, or resets it if the scope failed", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      yield* Effect.scoped(Effect.flatMap(client.openStream(), (stream) => stream.write("whole")))
      const whole = yield* server.acceptStream
      assert.strictEqual(yield* whole.text, "whole")
      const scope = yield* Scope.make()
      const half = yield* Effect.provideService(client.openStream(), Scope.Scope, scope)
      yield* half.write("half")
      const theirs = yield* server.acceptStream
      assert.strictEqual(text(Option.getOrThrow(yield* theirs.read)), "half")
      yield* Scope.close(scope, Exit.fail("broken"))
      assert.strictEqual(reasonOf(yield* Effect.exit(theirs.read)), "StreamReset")
      // What was not read is refused.
      yield* Effect.sleep("100 millis")
      assert.strictEqual(reasonOf(yield* Effect.exit(theirs.write("x"))), "StreamStopped")
    })
  )

  scenario(
    "opening waits for the peer's limit, and an interrupted wait leaves no stream behind (section 4.6)",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const first = yield* client.openStream()
        yield* client.openStream()
        const never = yield* Effect.forkChild(Effect.scoped(client.openStream()), { startImmediately: true })
        const third = yield* Effect.forkChild(client.openStream(), { startImmediately: true })
        yield* Effect.sleep("1 second")
        assert.isUndefined(third.pollUnsafe())
        yield* Fiber.interrupt(never)
        yield* first.end("done")
        const theirs = yield* server.acceptStream
        yield* theirs.bytes
        yield* theirs.end()
        yield* first.bytes
        assert.strictEqual((yield* Fiber.join(third)).id, 8)
      }),
    { server: { maxBidiStreams: 2 } }
  )

  scenario("takes priorities and paths", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.setPriority(0, { incremental: false })
      assert.strictEqual(mine.priority, 0)
      yield* mine.setPaths([0])
      yield* mine.write("bound to the only path")
      yield* mine.setPaths("any")
      const theirs = yield* server.acceptStream
      assert.strictEqual(text(Option.getOrThrow(yield* theirs.read)), "bound to the only path")
    })
  )

  scenario(
    "A8: binding a stream or a datagram to a path that is unknown or closed fails, and changes nothing",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const mine = yield* client.openStream()
        assert.strictEqual(reasonOf(yield* Effect.exit(mine.setPaths([1]))), "PathFailed")
        assert.strictEqual(reasonOf(yield* Effect.exit(client.sendDatagram("x", { pathId: 1 }))), "PathFailed")
        const path = yield* client.openPath({ local: "10.0.1.1" })
        yield* path.validated
        yield* mine.setPaths([1])
        yield* path.close()
        assert.strictEqual(reasonOf(yield* Effect.exit(mine.setPaths([0, 1]))), "PathFailed")
        assert.strictEqual(reasonOf(yield* Effect.exit(client.sendDatagram("x", { pathId: 1 }))), "PathFailed")
        yield* mine.write("its path is gone, so any will do")
        const theirs = yield* server.acceptStream
        assert.strictEqual(text(Option.getOrThrow(yield* theirs.read)).length, 32)
        yield* client.close()
        // In the same turn, before anything of the close has left: what is written then would be lost in silence.
        assert.strictEqual(reasonOf(yield* Effect.exit(mine.setPaths([0]))), "ApplicationClosed")
        assert.strictEqual(reasonOf(yield* Effect.exit(mine.write("x"))), "ApplicationClosed")
        assert.strictEqual(reasonOf(yield* Effect.exit(mine.end())), "ApplicationClosed")
      })
  )

  scenario("X2: a reader that stops after a chunk leaves the rest to the next one", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      const data = pattern(300_000)
      yield* mine.end(data)
      const theirs = yield* server.acceptStream
      yield* Effect.sleep("2 seconds")
      assert.isAbove(theirs.stats.bytesReadable, 200_000)
      const got: Array<Uint8Array> = []
      for (;;) {
        const head = yield* Stream.runHead(theirs.readable)
        if (Option.isNone(head)) break
        got.push(head.value)
      }
      assert.isAbove(got.length, 1)
      assert.deepStrictEqual(Buffer.concat(got), Buffer.from(data))
    })
  )

  scenario("X2: who takes one datagram leaves the others to the next one", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      for (let i = 0; i < 10; i++) yield* client.sendDatagram(`${i}`)
      yield* Effect.sleep("1 second")
      const got: Array<string> = []
      for (let i = 0; i < 10; i++) got.push(text(Option.getOrThrow(yield* Stream.runHead(server.datagrams))))
      assert.deepStrictEqual(got, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"])
    })
  )

  scenario("X6: what an interrupted reading of all bytes has is dropped by stop as well", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const mine = yield* client.openStream()
      yield* mine.write("half a message")
      const theirs = yield* server.acceptStream
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(theirs.bytes, "1 second")))
      yield* theirs.stop()
      assert.strictEqual(reasonOf(yield* Effect.exit(theirs.read)), "ConnectionClosed")
    })
  )
})
