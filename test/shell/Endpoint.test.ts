import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { Dns } from "effect/net"
import { TestClock } from "effect/testing"
import { Endpoint, PathScheduler } from "../../src/index.ts"
import * as SimulatedNetwork from "../../src/testing/SimulatedNetwork.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"
import { connectTo, drive, makeWorld, reasonOf, scenario, serverAddress, serverHost } from "./support.ts"
import type { World } from "./support.ts"

/** How connecting with these options fails. */
const failing = (world: World, options: Partial<Endpoint.ConnectOptions>) =>
  Effect.map(Effect.exit(connectTo(world.client, options)), reasonOf)

const failure = (exit: Exit.Exit<unknown, unknown>) => `${reasonOf(exit)} ${String(exit)}`

/** Tries to build an endpoint on a host with two addresses. */
const build = (options: Endpoint.Options, tls: Layer.Layer<never> = TestCertificates.layer) =>
  Effect.gen(function* () {
    const network = yield* SimulatedNetwork.make()
    const host = network.host("host", ["10.0.0.1", "10.0.0.2"])
    return yield* Effect.exit(
      Effect.provide(
        Effect.map(Effect.service(Endpoint.Endpoint), (endpoint) => endpoint.addresses.map(String)),
        Endpoint.layer(options).pipe(Layer.provide(host.udpSocket), Layer.provide(tls))
      )
    )
  }).pipe(drive)

/** A server with this handler, and a client. */
const served = <E>(
  handler: Parameters<typeof Endpoint.serve<unknown, E, never>>[0],
  body: (connect: ReturnType<typeof connectTo>) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  drive(
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const scope = yield* Effect.scope
      yield* Layer.buildWithScope(
        Endpoint.serve(handler).pipe(Layer.provide(Layer.succeed(Endpoint.Endpoint, world.server))),
        scope
      )
      return yield* body(connectTo(world.client))
    })
  )

describe("Endpoint.connect", () => {
  scenario("agrees on a protocol and tells about the handshake", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair({ alpn: ["other", "test"] })
      assert.strictEqual(client.alpn, "test")
      assert.strictEqual(server.alpn, "test")
      assert.strictEqual(client.role, "client")
      assert.strictEqual(server.role, "server")
      assert.strictEqual(client.id, server.id)
      assert.strictEqual(server.handshake.serverName, "server.test")
      assert.strictEqual(client.handshake.peerCertificates.length, 1)
      assert.match(client.handshake.cipherSuite, /^TLS_/)
      assert.isTrue(client.multipath)
      assert.strictEqual(String(client.remote.port), "4433")
      assert.strictEqual(world.client.addresses.length, 1)
      assert.strictEqual(world.client.stats.connections, 1)
    })
  )

  scenario("fails with HandshakeFailed and the alert when no protocol is shared (RFC 7301 section 3.2)", (world) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(connectTo(world.client, { alpn: "nothing" }))
      assert.strictEqual(reasonOf(exit), "HandshakeFailed")
      assert.include(String(exit), "120")
    })
  )

  scenario("fails with CertificateRefused: an authority that is not trusted, a name that is not in it", (world) =>
    Effect.gen(function* () {
      const address = `${serverHost}:4433`
      const unknown = yield* Effect.exit(world.client.connect({ address, alpn: "test", serverName: "server.test" }))
      assert.strictEqual(reasonOf(unknown), "CertificateRefused")
      assert.include(String(unknown), "Tls.layerTrustRoots")
      const wrong = yield* Effect.exit(connectTo(world.client, { serverName: "another.test" }))
      assert.strictEqual(reasonOf(wrong), "CertificateRefused")
      assert.include(String(wrong), "not another.test")
    })
  )

  scenario(
    "fails with HandshakeTimeout when nobody answers, and leaves no connection behind",
    (world) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(connectTo(world.client, { address: "10.9.0.99:4433" }))
        assert.strictEqual(reasonOf(exit), "HandshakeTimeout")
        yield* Effect.sleep("10 seconds")
        assert.strictEqual(world.client.stats.connections, 0)
      }),
    { client: { handshakeTimeout: "2 seconds" } }
  )

  scenario("an interrupted connect closes what it began", (world) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(connectTo(world.client), { startImmediately: true })
      yield* Effect.sleep(5)
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep("10 seconds")
      assert.strictEqual(world.client.stats.connections, 0)
      assert.strictEqual(world.server.stats.connections, 0)
    })
  )

  scenario("says what is wrong with its arguments", (world) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* failing(world, { address: "no port" }), "BadConfig")
      assert.strictEqual(yield* failing(world, { address: "10.9.0.1:0" }), "BadConfig")
      assert.strictEqual(yield* failing(world, { alpn: [] }), "BadConfig")
      assert.strictEqual(yield* failing(world, { alpn: "x".repeat(256) }), "BadConfig")
      assert.strictEqual(yield* failing(world, { local: "nonsense" }), "BadConfig")
      assert.strictEqual(yield* failing(world, { local: "10.77.0.1" }), "AddressUnavailable")
      assert.strictEqual(yield* failing(world, { local: "::1" }), "AddressUnreachable")
    })
  )

  const zone = Dns.layerStatic({ hosts: { "two.test": ["10.9.0.99", serverHost] } })

  scenario("resolves names and tries the next address when one does not answer (RFC 8305)", (world) =>
    Effect.gen(function* () {
      const start = yield* now
      const connection = yield* connectTo(world.client, { address: "two.test:4433" })
      assert.strictEqual(yield* connection.path(0)!.validated, undefined)
      assert.isBelow((yield* now) - start, 1000)
      // The attempt that lost the race is given up.
      yield* Effect.sleep("10 seconds")
      assert.strictEqual(world.client.stats.connections, 1)
      const missing = yield* Effect.exit(connectTo(world.client, { address: "missing.test:4433" }))
      assert.strictEqual(reasonOf(missing), "ResolveFailed")
    }).pipe(Effect.provide(zone))
  )

  scenario("issue 7: an address of nobody is refused at once, and passed over among those of a name", (world) =>
    Effect.gen(function* () {
      const start = yield* now
      const message = String(yield* Effect.flip(connectTo(world.client, { address: "0.0.0.0:4433" })))
      assert.match(message, /address is "0\.0\.0\.0"; allowed: .*127\.0\.0\.1/)
      assert.strictEqual(
        reasonOf(yield* Effect.exit(connectTo(world.client, { address: "none.test:1" }))),
        "ResolveFailed"
      )
      const connection = yield* connectTo(world.client, { address: "some.test:4433" })
      assert.isBelow((yield* now) - start, 200)
      assert.strictEqual(connection.remote.toString(), serverAddress)
    }).pipe(
      Effect.provide(
        Dns.layerStatic({ hosts: { "none.test": ["0.0.0.0", "::"], "some.test": ["0.0.0.0", serverHost] } })
      )
    )
  )

  for (const how of ["scope", "close", "shutdown"] as const) {
    it.effect(`issue 7: nothing is left of the connections of an endpoint that has ended (${how})`, () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const world = yield* makeWorld({ serverScope: scope })
        const { client, server } = yield* world.pair()
        const path = server.path(0)!
        // One more is in the middle of its handshake.
        yield* Effect.forkChild(Effect.exit(connectTo(world.client)), { startImmediately: true })
        yield* Effect.sleep(15)
        if (how === "close") yield* world.server.close({ code: 7 })
        if (how === "shutdown") yield* world.server.shutdown({ within: 0 })
        yield* Scope.close(scope, Exit.void)
        const { connections, routes } = world.server.stats
        assert.deepStrictEqual({ connections, routes }, { connections: 0, routes: 0 })
        assert.lengthOf(world.server.addresses, 0)
        // Who was told keeps what it knows.
        assert.strictEqual((yield* server.closed)._tag, "ApplicationClosed")
        assert.strictEqual((yield* client.closed)._tag, "ApplicationClosed")
        assert.isAbove(path.stats.packetsSent, 0)
        assert.strictEqual(path.state, "closed")
      }).pipe(drive)
    )
  }

  scenario("takes policies from the caller's context: two connections with two schedulers", (world) =>
    Effect.gen(function* () {
      const used: Array<string> = []
      const spy = (name: string) =>
        PathScheduler.layer(() => ({
          name,
          select: ({ paths }) => {
            used.push(name)
            return paths.find((path) => path.canSend)
          }
        }))
      for (const name of ["a", "b"]) {
        const connection = yield* connectTo(world.client).pipe(Effect.provide(spy(name)))
        used.length = 0
        const stream = yield* connection.openStream()
        yield* stream.write(name)
        yield* stream.flushed
        assert.deepStrictEqual(new Set(used), new Set([name]))
      }
    })
  )
})

const now = Effect.clockWith((clock) => Effect.sync(() => clock.currentTimeMillisUnsafe()))

describe("Endpoint.layer", () => {
  it.effect("a wildcard is one socket for each address, all with the same port", () =>
    Effect.gen(function* () {
      const exit = yield* build({ listen: "0.0.0.0:4433", alpn: "test" })
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(Option.getOrThrow(Exit.getSuccess(exit)).length, 2)
      const both = yield* build({ listen: ["10.0.0.1:1", "10.0.0.2:2"], alpn: "test" })
      assert.strictEqual(Option.getOrThrow(Exit.getSuccess(both)).length, 2)
    })
  )

  it.effect("a wrong setting fails the Layer with the field, the value and what is allowed", () =>
    Effect.gen(function* () {
      assert.match(failure(yield* build({ multipath: { maxPaths: 1000 } })), /^BadConfig.*multipath.maxPaths/s)
      assert.match(failure(yield* build({ listen: "nowhere", alpn: "test" })), /^BadConfig.*listen/s)
      assert.match(failure(yield* build({ listen: "10.0.0.1:1" })), /^BadConfig.*alpn/s)
      assert.match(failure(yield* build({ listen: "10.0.0.1:1", alpn: [""] })), /^BadConfig.*alpn/s)
      const bare = yield* build({ listen: "10.0.0.1:1", alpn: "test" }, Layer.empty)
      assert.match(failure(bare), /^BadConfig.*Tls.layerIdentity/s)
    })
  )

  it.effect("reads the environment", () =>
    Effect.gen(function* () {
      const network = yield* SimulatedNetwork.make()
      const host = network.host("host", ["10.0.0.1"])
      const addresses = yield* Effect.provide(
        Effect.map(Effect.service(Endpoint.Endpoint), (endpoint) => endpoint.addresses),
        Endpoint.layerConfig().pipe(
          Layer.provide(host.udpSocket),
          Layer.provide(TestCertificates.layer),
          Layer.provide(
            ConfigProvider.layer(
              ConfigProvider.fromUnknown({ MPQUIC: { LISTEN: "10.0.0.1:99", ALPN: "a, b", maxBidiStreams: 7 } })
            )
          )
        )
      )
      assert.strictEqual(addresses[0]?.port, 99)
    }).pipe(drive)
  )

  it.effect("D4: layerConfig works with the default provider, and takes any option from code first", () =>
    Effect.gen(function* () {
      const network = yield* SimulatedNetwork.make()
      const host = network.host("host", ["10.0.0.1"])
      const portWith = (env: Record<string, string>, options?: Endpoint.Options) =>
        Effect.map(Effect.service(Endpoint.Endpoint), (endpoint) => endpoint.addresses[0]?.port).pipe(
          Effect.provide(
            Endpoint.layerConfig(options).pipe(
              Layer.provide(host.udpSocket),
              Layer.provide(TestCertificates.layer),
              Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
            )
          ),
          Effect.exit
        )
      const env = { MPQUIC_LISTEN: "10.0.0.1:99", MPQUIC_ALPN: "a,b", MPQUIC_MAX_MTU: "1300" }
      assert.deepStrictEqual(yield* portWith(env), Exit.succeed(99))
      assert.deepStrictEqual(yield* portWith(env, { listen: "10.0.0.1:98" }), Exit.succeed(98))
      assert.include(failure(yield* portWith({ ...env, MPQUIC_IDLE_TIMEOUT: "bogus" })), "MPQUIC_IDLE_TIMEOUT")
      // What code and environment say is judged together: neither alone is wrong.
      assert.include(failure(yield* portWith(env, { initialMtu: 1400 })), "initialMtu, which is 1400")
      const raised = yield* portWith({ ...env, MPQUIC_INITIAL_MTU: "1400" }, { maxMtu: 1500 })
      assert.deepStrictEqual(raised, Exit.succeed(99))
    }).pipe(drive)
  )
})

describe("Endpoint.serve", () => {
  it.effect("runs a handler for each connection and closes with code 0 after all is delivered", () =>
    served(
      (connection) =>
        Effect.gen(function* () {
          const stream = yield* connection.openUniStream()
          yield* stream.end("x".repeat(300_000))
        }).pipe(Effect.scoped),
      (connect) =>
        Effect.gen(function* () {
          const connections = yield* Effect.all([connect, connect])
          for (const connection of connections) {
            const stream = Option.getOrThrow(yield* Stream.runHead(connection.uniStreams))
            assert.strictEqual((yield* stream.bytes).length, 300_000)
            assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
            assert.deepStrictEqual(yield* Stream.runCollect(connection.streams), [])
          }
        })
    )
  )

  it.effect("closes with code 1 when a handler fails, and goes on serving", () =>
    served(
      (connection) =>
        connection.acceptStream.pipe(
          Effect.flatMap((stream) => stream.text),
          Effect.flatMap((text) => (text === "die" ? Effect.die("boom") : Effect.fail("no"))),
          Effect.scoped
        ),
      (connect) =>
        Effect.gen(function* () {
          for (const word of ["die", "fail"]) {
            const connection = yield* connect
            const stream = yield* connection.openStream()
            yield* stream.end(word)
            assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 1 })
            const after = yield* Effect.exit(connection.openStream())
            assert.strictEqual(reasonOf(after), "ApplicationClosed")
          }
        })
    )
  )

  it.effect("the end of the Layer interrupts handlers and closes their connections with code 0", () =>
    drive(
      Effect.gen(function* () {
        const world = yield* makeWorld()
        let exit: Exit.Exit<unknown, unknown> | undefined
        const layer = Endpoint.serve(() =>
          Effect.onExit(Effect.never, (end) =>
            Effect.sync(() => {
              exit = end
            })
          )
        ).pipe(Layer.provide(Layer.succeed(Endpoint.Endpoint, world.server)))
        const connection = yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Layer.build(layer)
            const made = yield* connectTo(world.client)
            yield* Effect.sleep("100 millis")
            return made
          })
        ).pipe(Effect.forkChild, Effect.flatMap(Fiber.join))
        assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        assert.deepInclude(yield* connection.closed, { _tag: "ApplicationClosed", code: 0 })
      })
    )
  )
})

describe("the end of an endpoint", () => {
  it.effect("closes its connections with code 0, and the last packet gets out before the sockets close", () =>
    drive(
      Effect.gen(function* () {
        const network = yield* SimulatedNetwork.make({ link: { delay: 10 } })
        const a = network.host("a", ["10.0.0.1"])
        const b = network.host("b", ["10.0.0.2"])
        const server = Endpoint.layer({ listen: "10.0.0.2:4433", alpn: "test" }).pipe(
          Layer.provide(b.udpSocket),
          Layer.provide(TestCertificates.layer)
        )
        const client = Endpoint.layer().pipe(Layer.provide(a.udpSocket))
        const info = yield* Effect.gen(function* () {
          const endpoint = yield* Endpoint.Endpoint
          const serving = yield* Effect.forkChild(Effect.provide(Effect.sleep("200 millis"), server), {
            startImmediately: true
          })
          const connection = yield* endpoint
            .connect({ host: "10.0.0.2", port: 4433, alpn: "test", serverName: "server.test" })
            .pipe(Effect.provide(TestCertificates.layer))
          yield* Fiber.join(serving)
          return yield* connection.closed
        }).pipe(Effect.provide(client), Effect.scoped)
        assert.deepInclude(info, { _tag: "ApplicationClosed", initiator: "peer", code: 0 })
      })
    )
  )

  scenario("close closes all with a code, and accepts no more", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      yield* world.server.close({ code: 5, reason: "bye" })
      assert.deepInclude(yield* client.closed, { _tag: "ApplicationClosed", initiator: "peer", code: 5, reason: "bye" })
      assert.deepStrictEqual(yield* Stream.runCollect(world.server.connections), [])
    })
  )

  scenario("connections that end before anybody takes them are forgotten", (world) =>
    Effect.gen(function* () {
      for (let i = 0; i < 3; i++) yield* Effect.scoped(connectTo(world.client))
      yield* Effect.sleep("1 second")
      const last = yield* connectTo(world.client)
      const taken = Option.getOrThrow(yield* Stream.runHead(world.server.connections))
      assert.strictEqual(taken.id, last.id)
    })
  )
})

describe("determinism", () => {
  const run = Effect.gen(function* () {
    const world = yield* makeWorld({ trace: true })
    const { client, server } = yield* world.pair()
    const stream = yield* client.openStream()
    yield* stream.end("x".repeat(50_000))
    const theirs = yield* server.acceptStream
    yield* theirs.bytes
    yield* theirs.end("done")
    yield* stream.text
    return world.network.trace.slice()
  })

  it.effect("the same seed gives the same datagrams at the same times", () =>
    Effect.gen(function* () {
      const first = yield* drive(run)
      // The time of day is in the tokens that servers hand out.
      yield* TestClock.setTime(0)
      const second = yield* drive(run)
      assert.isAbove(first.length, 40)
      assert.deepStrictEqual(second, first)
    })
  )
})
