/** What clients keep of servers: tokens (RFC 9000 section 8.1.3) and tickets (RFC 8446 section 2.2). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option } from "effect"
import { QuicError, SessionStore, Tls } from "../../src/index.ts"
import { connectTo, scenario, serverAddress as SERVER_ADDRESS } from "./support.ts"

const SERVER = "server.test:4433"

/** A connection that lives until its token has come. */
const visit = (connect: ReturnType<typeof connectTo>) =>
  Effect.scoped(Effect.flatMap(connect, () => Effect.sleep("100 millis")))

const recording = () => {
  const calls: Array<string> = []
  const tokens: Array<Uint8Array> = []
  const store: SessionStore.Service = {
    take: (kind, server) =>
      Effect.sync(() => {
        calls.push(`take ${kind} ${server}`)
        return kind === "ticket" ? Option.none() : Option.fromNullishOr(tokens.pop())
      }),
    put: (kind, server, token) =>
      Effect.sync(() => {
        calls.push(`put ${kind} ${server}`)
        if (kind === "token") tokens.push(token)
      })
  }
  return { calls, store, tokens }
}

describe("8.1.3: a client that comes back", () => {
  scenario(
    "without a Layer: its endpoint remembers, and no Retry is needed from the second time on",
    (world) =>
      Effect.gen(function* () {
        for (let i = 0; i < 4; i++) yield* visit(connectTo(world.client))
        assert.deepInclude(world.server.stats, { retriesSent: 1, tokensAccepted: 4, tokensRejected: 0 })
        // Another endpoint has a memory of its own.
        yield* visit(connectTo(yield* world.another))
        assert.deepInclude(world.server.stats, { retriesSent: 2, tokensAccepted: 5 })
      }),
    { server: { retry: "always" } }
  )

  scenario(
    "a store of one's own is asked before each connection, by name and port, and gets each token",
    (world) =>
      Effect.gen(function* () {
        const { calls, store, tokens } = recording()
        const here = Effect.provide(SessionStore.layer(store))
        yield* visit(connectTo(world.client).pipe(here))
        yield* visit(connectTo(world.client).pipe(here))
        const visitCalls = ["take ticket", "take token", "put ticket", "put token"].map((call) => `${call} ${SERVER}`)
        assert.deepStrictEqual(calls, [...visitCalls, ...visitCalls])
        assert.lengthOf(tokens, 1)
        assert.deepInclude(world.server.stats, { retriesSent: 1, tokensAccepted: 2 })
      }),
    { server: { retry: "always" } }
  )

  scenario(
    "layerNone: each time a Retry",
    (world) =>
      Effect.gen(function* () {
        for (let i = 0; i < 2; i++) yield* visit(connectTo(world.client).pipe(Effect.provide(SessionStore.layerNone)))
        assert.deepInclude(world.server.stats, { retriesSent: 2, tokensAccepted: 2 })
      }),
    { server: { retry: "always" } }
  )

  scenario("a store that breaks, or gives what is no token of this server, costs no connection", (world) =>
    Effect.gen(function* () {
      const broken = () => Effect.die(new Error("out of order"))
      const detached = new Uint8Array(8)
      structuredClone(detached, { transfer: [detached.buffer] })
      const stores: ReadonlyArray<SessionStore.Service> = [
        { take: broken, put: broken },
        { take: () => Effect.succeedSome(new Uint8Array(60).fill(7)), put: () => Effect.void },
        { take: () => Effect.succeedSome(new Uint8Array(5000)), put: () => Effect.void },
        { take: () => Effect.succeedSome(new Uint8Array(0)), put: () => Effect.void },
        { take: () => Effect.succeedSome("no bytes" as never), put: () => Effect.void },
        { take: () => Effect.succeed(undefined as never), put: () => Effect.void },
        { take: () => 5 as never, put: () => 5 as never },
        { take: () => Promise.reject(new Error("no")) as never, put: () => Promise.reject(new Error("no")) as never },
        { take: () => Effect.succeedSome(detached), put: () => Effect.void },
        {} as never
      ]
      for (const store of stores) yield* visit(connectTo(world.client).pipe(Effect.provide(SessionStore.layer(store))))
      assert.strictEqual(world.server.stats.handshakesCompleted, stores.length)
    })
  )
})

describe("the store in memory", () => {
  it.effect(
    "gives the newest first, each once, and forgets the oldest of each server and the servers used longest ago",
    () =>
      Effect.gen(function* () {
        const store = yield* SessionStore.makeMemory({ servers: 2, perServer: 3 })
        const token = (n: number) => Uint8Array.of(n)
        const taken = (server: string) =>
          Effect.map(store.take("token", server), (found) => Option.getOrUndefined(found)?.[0])
        for (const n of [1, 2, 3, 4]) yield* store.put("token", "a:1", token(n))
        assert.deepStrictEqual(yield* Effect.all([1, 2, 3, 4].map(() => taken("a:1"))), [4, 3, 2, undefined])
        yield* store.put("token", "a:1", token(1))
        yield* store.put("token", "b:1", token(2))
        yield* store.put("token", "a:1", token(3))
        yield* store.put("token", "c:1", token(4))
        assert.isUndefined(yield* taken("b:1"))
        assert.strictEqual(yield* taken("a:1"), 3)
        assert.strictEqual(yield* taken("c:1"), 4)
      })
  )

  it.effect("refuses what is no number of servers or tokens, and settings that do not exist", () =>
    Effect.gen(function* () {
      for (const config of [{ servers: 0 }, { perServer: 1.5 }, { perServer: Infinity }, { server: 3 }]) {
        const exit = yield* Effect.exit(SessionStore.makeMemory(config as never))
        assert.isTrue(Exit.isFailure(exit))
        const error = yield* Effect.flip(SessionStore.makeMemory(config as never))
        assert.isTrue(QuicError.isQuicError(error))
        assert.strictEqual(error.reason._tag, "BadConfig")
        assert.include(String(error.message), Object.keys(config)[0])
      }
    })
  )
})

describe("8446 2.2: sessions are resumed", () => {
  scenario("from the second time on, by the endpoint's own memory; each time with a new ticket", (world) =>
    Effect.gen(function* () {
      const seen: Array<readonly [boolean, boolean, number]> = []
      for (let i = 0; i < 4; i++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { client, server } = yield* world.pair()
            seen.push([client.handshake.resumed, server.handshake.resumed, client.handshake.peerCertificates.length])
            yield* Effect.sleep("100 millis")
          })
        )
      }
      assert.deepStrictEqual(seen, [
        [false, false, 1],
        [true, true, 1],
        [true, true, 1],
        [true, true, 1]
      ])
    })
  )

  scenario(
    "not where the server gives no tickets",
    (world) =>
      Effect.gen(function* () {
        for (let i = 0; i < 2; i++) {
          const resumed = yield* Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* connectTo(world.client)
              yield* Effect.sleep("100 millis")
              return connection.handshake.resumed
            })
          )
          assert.isFalse(resumed)
        }
      }),
    { server: { sessionTickets: false } }
  )

  scenario("not by who trusts otherwise: a ticket that was got without trust opens nothing", (world) =>
    Effect.gen(function* () {
      const store = yield* SessionStore.makeMemory()
      const options = { address: SERVER_ADDRESS, alpn: "test", serverName: "server.test" }
      const connect = (trust: Layer.Layer<never, QuicError.QuicError>) =>
        world.client.connect(options).pipe(
          Effect.tap(() => Effect.sleep("100 millis")),
          Effect.map((connection) => connection.handshake.resumed),
          Effect.scoped,
          Effect.provide(Layer.merge(trust, SessionStore.layer(store)))
        )
      assert.isFalse(yield* connect(Tls.layerTrustInsecure))
      assert.isTrue(yield* connect(Tls.layerTrustInsecure))
      const refused = yield* Effect.flip(connect(Tls.layerTrustPinned("00".repeat(32))))
      assert.strictEqual(refused.reason._tag, "CertificateRefused")
    })
  )
})
