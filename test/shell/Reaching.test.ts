/** Which way leads to somebody: attempts in turn, routes, and what the network says when there is none. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Result } from "effect"
import { NetAddress } from "effect/net"
import { TestClock } from "effect/testing"
import { addressText, toInetAddress } from "../../src/internal/runtime/Addresses.ts"
import { firstOf } from "../../src/internal/runtime/HappyEyeballs.ts"
import { NetworkAnswers } from "../../src/internal/runtime/NetworkAnswers.ts"
import { sourceHost } from "../../src/internal/runtime/Resolve.ts"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"
import { HandshakeTimeout, QuicError } from "../../src/QuicError.ts"
import { scenario } from "./support.ts"

const book = new AddressBook()

/** Runs with time passing by itself, and tells what came of it and after how many ms. */
const timed = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(
      Effect.flatMap(Effect.exit(effect), (exit) =>
        Effect.map(Clock.currentTimeMillis, (at) => ({ exit, at: Number(at) }))
      )
    )
    for (let time = 0; time < 5000; time += 50) yield* TestClock.adjust(50)
    return yield* Fiber.join(fiber)
  })

describe("attempts in turn (RFC 8305)", () => {
  const cases: ReadonlyArray<{
    readonly name: string
    readonly attempts: ReadonlyArray<Effect.Effect<string, string>>
    readonly result: string
    readonly at: number
  }> = [
    { name: "the first one answers", attempts: [Effect.succeed("a"), Effect.succeed("b")], result: "a", at: 0 },
    { name: "the first is silent", attempts: [Effect.never, Effect.succeed("b")], result: "b", at: 250 },
    {
      name: "the first fails at once, and the next need not wait",
      attempts: [Effect.fail("no"), Effect.succeed("b")],
      result: "b",
      at: 0
    },
    {
      name: "the first answers while the second is under way",
      attempts: [Effect.delay(Effect.succeed("a"), 300), Effect.delay(Effect.succeed("b"), 300)],
      result: "a",
      at: 300
    },
    {
      name: "all fail: what held out longest is told",
      attempts: [Effect.delay(Effect.fail("late"), 1000), Effect.fail("early")],
      result: "late",
      at: 1000
    },
    { name: "one alone", attempts: [Effect.delay(Effect.fail("no"), 700)], result: "no", at: 700 }
  ]
  for (const { at, attempts, name, result } of cases) {
    it.effect(`F8: ${name}`, () =>
      Effect.gen(function* () {
        const { at: done, exit } = yield* timed(firstOf(attempts))
        const got = Exit.isSuccess(exit) ? exit.value : Result.getOrThrow(Exit.findError(exit))
        assert.deepStrictEqual([got, done], [result, at])
      })
    )
  }
})

describe("what the network says", () => {
  const remote = book.intern("192.0.2.1", 4433)
  const local = book.intern("192.0.2.9", 1)
  const timeout = Effect.fail(new QuicError({ reason: new HandshakeTimeout({ after: Duration.seconds(10) }) }))

  it.effect("F6: is told with the timeout, and only then", () =>
    Effect.gen(function* () {
      const answers = new NetworkAnswers(false)
      const refused = (code: string, from = remote) => Effect.sync(() => answers.record(from, code))
      const told = (handshake: Effect.Effect<unknown, QuicError>) =>
        Effect.map(Effect.flip(answers.explain(local, remote, handshake)), (error) => error.message)

      yield* refused("EPERM")
      const other = refused("EHOSTUNREACH", book.intern("192.0.2.2", 4433))
      const said = yield* told(
        Effect.andThen(Effect.all([refused("ECONNREFUSED"), refused("ECONNREFUSED"), other]), timeout)
      )
      assert.match(
        said,
        /no handshake within 10s, and the network answered: nobody listens on that port \(ECONNREFUSED\);/
      )
      assert.match(yield* told(timeout), /no handshake within 10s; check/)
      yield* answers.explain(local, remote, Effect.asVoid(refused("ECONNREFUSED")))
    })
  )

  it.live("F5: no address of the other family, and no route, are errors and not 0.0.0.0", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* sourceHost(book.intern("127.0.0.1", 4433)), "127.0.0.1")
      const gone = yield* Effect.flip(sourceHost(book.intern("127.0.0.1", 4433), book.intern("192.0.2.77", 0)))
      assert.strictEqual(gone.reason.name, "AddressUnavailable")
      const nowhere = yield* Effect.flip(sourceHost(book.intern("fe80::1", 4433)))
      assert.strictEqual(nowhere.reason.name, "AddressUnreachable")
      assert.include(nowhere.message, "fe80::1%eth0")
    })
  )

  scenario("D7: a path of a family that path 0 has not fails at once", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      yield* Effect.sleep("1 second")
      const before = yield* Clock.currentTimeMillis
      for (const options of [{ remote: "[::1]:4433" }, { local: "::1" }, { local: "10.0.1.1", remote: "[::1]:4433" }]) {
        const error = yield* Effect.flip(client.openPath(options))
        assert.strictEqual(error.reason.name, "AddressUnreachable", JSON.stringify(options))
      }
      assert.strictEqual(yield* Clock.currentTimeMillis, before)
      assert.lengthOf(client.paths, 1)
    })
  )
})

describe("link-local addresses", () => {
  it("F12: can be looked at after their interface is gone", () => {
    assert.strictEqual(NetAddress.formatInet(toInetAddress(book.intern("fe80::1%no-such-interface", 9))), "[fe80::1]:9")
    assert.strictEqual(addressText(toInetAddress(book.intern("fe80::1%7777", 9))), "[fe80::1%7777]:9")
    assert.strictEqual(addressText(NetAddress.inetAddressFromIpStringUnsafe("192.0.2.1", 9)), "192.0.2.1:9")
  })
})
