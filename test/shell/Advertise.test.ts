/** Addresses that a server advertises, and those at which each side sees the other, as an application meets them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { NetAddress } from "effect/net"
import { QuicError } from "../../src/index.ts"
import { reasonOf, scenario } from "./support.ts"

const on = { maxPaths: 3 }
const listed = ["203.0.113.7:4433", "198.51.100.7"]
const text = (list: ReadonlyArray<NetAddress.InetAddress>): string => list.map(NetAddress.formatInet).join(" ")

describe("advertised addresses", () => {
  scenario(
    "2.F: by default a server advertises nothing; what it names later arrives, goes, and is told as a Stream",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        assert.strictEqual(text(client.remoteAddresses.current), "")
        const seen = yield* Effect.forkChild(
          client.remoteAddresses.changes.pipe(
            Stream.map(text),
            Stream.takeUntil((list) => list === "10.9.0.2:4433"),
            Stream.runCollect
          )
        )
        yield* Effect.sleep("100 millis")
        // A private address: listed in so many words.
        yield* server.advertise("10.9.0.3:4433")
        yield* Effect.sleep("100 millis")
        yield* server.advertise("10.9.0.2")
        yield* Effect.sleep("100 millis")
        yield* server.withdraw("10.9.0.3:4433")
        assert.deepStrictEqual(yield* Fiber.join(seen), [
          "",
          "10.9.0.3:4433",
          "10.9.0.3:4433 10.9.0.2:4433",
          "10.9.0.2:4433"
        ])
        assert.strictEqual(client.paths.length, 1)
        yield* server.withdraw("192.0.2.1:1")
      }),
    { client: { multipath: on }, server: { multipath: on } }
  )

  scenario(
    "2.H: the setting lists them, and each goes with the port that is listed, or that of the connection",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        yield* Effect.sleep("100 millis")
        assert.strictEqual(text(client.remoteAddresses.current), "203.0.113.7:4433 198.51.100.7:4433")
        assert.strictEqual(text(server.remoteAddresses.current), "")
        const changes = yield* Effect.forkChild(Stream.runCollect(client.remoteAddresses.changes))
        yield* Effect.sleep("10 millis")
        yield* client.close()
        assert.strictEqual((yield* Fiber.join(changes)).length, 1)
        yield* server.closed
        assert.strictEqual(reasonOf(yield* Effect.exit(server.advertise("203.0.113.8"))), "ApplicationClosed")
      }),
    { client: { multipath: on }, server: { multipath: { ...on, advertise: listed } } }
  )

  scenario(
    "an address that cannot be advertised is refused, with what is allowed",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        yield* Effect.sleep("100 millis")
        for (const address of ["server.test", "0.0.0.0:4433", "[::]:1", "224.0.0.1:4433", "ff02::1", "", 7]) {
          const exit = yield* Effect.exit(server.advertise(address as string))
          assert.strictEqual(reasonOf(exit), "BadConfig", String(address))
        }
        const why = (exit: Exit.Exit<void, QuicError.QuicError>) =>
          Exit.isFailure(exit) ? exit.cause.reasons.map((each) => "error" in each && each.error.message).join() : ""
        assert.match(why(yield* Effect.exit(client.advertise("203.0.113.7:1"))), /only servers advertise/)
        yield* server.advertise("203.0.113.1:1")
        yield* server.advertise("203.0.113.1:1")
        assert.match(why(yield* Effect.exit(server.advertise("203.0.113.2:1"))), /the peer keeps no more/)
      }),
    { client: { multipath: { ...on, maxAdvertised: 1 } }, server: { multipath: on } }
  )

  scenario(
    "without multipath it is not negotiated",
    (world) =>
      Effect.gen(function* () {
        const { server } = yield* world.pair()
        const error = yield* Effect.flip(server.advertise("203.0.113.7:4433"))
        assert.deepStrictEqual(error.reason, new QuicError.AdvertiseUnavailable({ why: "notNegotiated" }))
        assert.isFalse(error.isRetryable)
      }),
    { client: { multipath: { maxPaths: 0 } }, server: { multipath: on } }
  )
})

describe("observed addresses", () => {
  scenario(
    "a path knows where the peer sees it, and says when that changes",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const seen: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(client.events, (event) =>
            Effect.sync(() => {
              if (event._tag === "ObservedAddress") seen.push(NetAddress.formatInet(event.address))
            })
          )
        )
        yield* Effect.sleep("100 millis")
        const path = client.path(0)!
        const before = NetAddress.formatInet(path.local)
        assert.strictEqual(String(path.observedAddress), String(path.local))
        assert.strictEqual(server.path(0)!.observedAddress, undefined)
        yield* path.migrate()
        assert.strictEqual(path.observedAddress, undefined)
        yield* Effect.sleep("1 second")
        const after = NetAddress.formatInet(path.local)
        assert.notStrictEqual(after, before)
        assert.strictEqual(NetAddress.formatInet(path.observedAddress!), after)
        assert.deepStrictEqual(seen, [before, after])
        yield* client.close()
        yield* Effect.sleep("1 second")
        assert.strictEqual(NetAddress.formatInet(path.observedAddress!), after)
      }),
    { client: { addressDiscovery: "receive" }, server: { addressDiscovery: "both" } }
  )

  scenario("2.A: off by default", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      yield* Effect.sleep("100 millis")
      assert.strictEqual(client.path(0)!.observedAddress, undefined)
    })
  )
})

it("AdvertiseUnavailable says what to do", () => {
  for (const why of ["client", "notNegotiated", "limit"] as const)
    assert.match(new QuicError.AdvertiseUnavailable({ why }).message, /cannot be advertised: .{20}/)
})
