/**
 * Schedulers and controllers that users give: a wrong one is told by its name, and stops nobody but, at worst, itself.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, References } from "effect"
import type { Scope } from "effect"
import { CongestionControl, PathScheduler, Tls } from "../../src/index.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"
import { connectTo, drive, makeWorld, reasonOf, serverAddress, takeOne } from "./support.ts"
import type { World } from "./support.ts"

/** A test that sees the warnings and errors of the library. */
const policyTest = (
  name: string,
  body: (world: World, lines: ReadonlyArray<string>) => Effect.Effect<unknown, unknown, Scope.Scope>,
  options?: Parameters<typeof makeWorld>[0]
): void => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    if (logLevel === "Warn" || logLevel === "Error") lines.push(String(message))
  })
  it.effect(name, () =>
    drive(Effect.flatMap(makeWorld(options), (world) => body(world, lines))).pipe(
      Effect.provide(Logger.layer([logger]))
    )
  )
}

/** 50 kB over a connection with this policy: gives the client's figures when they have arrived. */
const transfer = (world: World, policy: Layer.Layer<never>) =>
  Effect.gen(function* () {
    const client = yield* Effect.provide(connectTo(world.client), policy)
    const server = yield* takeOne(world.server)
    const stream = yield* client.openStream()
    yield* stream.end(new Uint8Array(50_000))
    assert.strictEqual((yield* (yield* server.acceptStream).bytes).length, 50_000)
    return client.stats
  })

/** A controller with a fixed window, of which `wrong` changes something. */
const controllers = (wrong: object) =>
  CongestionControl.layer(() => ({
    make: () => ({
      name: "crooked",
      congestionWindow: 20_000,
      pacingRate: 0,
      slowStartThreshold: Infinity,
      onPacketSent: () => {},
      onAcked: () => {},
      onCongestion: () => {},
      onPersistentCongestion: () => {},
      onSpuriousLoss: () => {},
      reset: () => {},
      close: () => {},
      ...wrong
    })
  }))

const scheduler = (select: unknown) => PathScheduler.layer(() => ({ name: "crooked", select: select as never }))

const wrongChoices: Record<string, () => unknown> = {
  "a path that is none": () => ({ id: 77 }),
  "a Promise": () => Promise.resolve(undefined),
  "a number": () => 0,
  null: () => null
}

const wrongFigures: ReadonlyArray<object> = [
  { congestionWindow: NaN },
  { congestionWindow: 0 },
  { congestionWindow: -1 },
  { congestionWindow: Infinity },
  { congestionWindow: "20000" },
  { congestionWindow: undefined },
  { pacingRate: 1e-9 },
  { pacingRate: NaN },
  { pacingRate: -1 },
  { pacingRate: Infinity },
  { slowStartThreshold: NaN },
  { slowStartThreshold: -1 }
]

describe("D6: parts that users give", () => {
  for (const [what, select] of Object.entries(wrongChoices)) {
    policyTest(
      `D6: a scheduler that chooses ${what} is counted, told once by name, and stops nothing`,
      (world, lines) =>
        Effect.gen(function* () {
          const stats = yield* transfer(world, scheduler(select))
          assert.isAbove(stats.schedulerMistakes, 0)
          assert.strictEqual(stats.scheduler, "crooked")
          assert.lengthOf(lines, 1)
          assert.match(lines[0]!, /scheduler "crooked" is wrong: what it chooses is none of the paths/)
        })
    )
  }

  policyTest(
    "D6: a scheduler that never gives a path is told by name, and the end does not blame the network",
    (world, lines) =>
      Effect.gen(function* () {
        let asked = 0
        let given = true
        const mute = PathScheduler.layer(() => ({
          name: "mute",
          select: ({ paths }) => {
            asked++
            return given ? paths.find((path) => path.canSend) : undefined
          }
        }))
        const client = yield* Effect.provide(connectTo(world.client), mute)
        yield* Effect.sleep("1 second")
        given = false
        asked = 0
        const stream = yield* client.openStream()
        yield* stream.end("never leaves")
        const end = yield* client.closed
        assert.strictEqual(end._tag, "Internal")
        assert.match(end.message, /the path scheduler "mute" gave no path for \d+ ms/)
        assert.isAbove(client.stats.schedulerMistakes, 0)
        assert.isBelow(asked, 500, "it is not asked in circles")
        assert.lengthOf(
          lines.filter(
            (line) => line.includes('scheduler "mute" is wrong: it gives no path') && line.includes("obeyed")
          ),
          1
        )
      }),
    { client: { idleTimeout: "5 seconds" } }
  )

  policyTest("D6: a scheduler may wait while something is under way", (world, lines) =>
    Effect.gen(function* () {
      const patient = PathScheduler.layer(() => ({
        name: "patient",
        select: ({ paths }) => paths.find((path) => path.canSend && path.bytesInFlight === 0)
      }))
      const stats = yield* transfer(world, patient)
      assert.strictEqual(stats.schedulerMistakes, 0)
      assert.deepStrictEqual(lines, [])
    })
  )

  for (const wrong of wrongFigures) {
    const [[field, value]] = Object.entries(wrong) as [[string, unknown]]
    policyTest(
      `D6: a controller whose ${field} is ${String(value)} (${typeof value}) is told once by name, and replaced`,
      (world, lines) =>
        Effect.gen(function* () {
          const start = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
          const stats = yield* transfer(world, controllers(wrong))
          const took = (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - start
          assert.isBelow(took, 2000)
          assert.isAbove(stats.controllerMistakes, 0)
          assert.strictEqual(stats.schedulerMistakes, 0)
          assert.lengthOf(lines, 1)
          assert.include(lines[0], `congestion controller "crooked" is wrong: its ${field} is ${String(value)}`)
        })
    )
  }

  policyTest("D6: a right one is left alone, and names stand in the figures", (world, lines) =>
    Effect.gen(function* () {
      const stats = yield* transfer(world, controllers({ name: "fixed", pacingRate: 2000 }))
      assert.strictEqual(stats.controllerMistakes + stats.schedulerMistakes, 0)
      assert.strictEqual(stats.scheduler, "deliveryRate")
      assert.strictEqual(stats.paths[0]!.controller, "fixed")
      assert.deepStrictEqual(lines, [])
    })
  )

  const boom = (): never => {
    throw new Error("out of order")
  }
  const wrongControl: Record<string, readonly [choose: () => unknown, told: RegExp]> = {
    "a chooser that throws": [
      boom,
      /"perPath" is wrong: its choice for a path is an error, Error: out of order\. CUBIC/
    ],
    "a chooser that gives nothing": [() => undefined, /its choice for a path is undefined\. CUBIC is used instead/],
    "a chooser that gives a Promise": [() => Promise.reject(new Error("late")), /its choice for a path is object/],
    "a chooser that gives a name": [() => "bbr", /its choice for a path is string/],
    "a chosen factory that throws": [() => boom, /factory of the chosen controller is an error, Error: out of order/],
    "a chosen factory that gives nothing": [() => () => undefined, /must give an object with a function `make`/],
    "chosen controllers that throw": [() => () => ({ make: boom }), /is an error, Error: out of order/],
    "a chosen controller that is none": [
      () => () => ({ make: () => ({ name: "x" }) }),
      /"x" has no function onPacketSent/
    ]
  }
  for (const [what, [choose, told]] of Object.entries(wrongControl)) {
    policyTest(`perPath: ${what}: CUBIC, counted, told once, and nothing is lost`, (world, lines) =>
      Effect.gen(function* () {
        const stats = yield* transfer(world, CongestionControl.layerPerPath(choose as never))
        assert.strictEqual(stats.controllerMistakes, 1)
        assert.strictEqual(stats.paths[0]!.controller, "cubic")
        assert.lengthOf(lines, 1)
        assert.match(lines[0]!, told)
      })
    )
  }

  policyTest(
    "perPath: a path that is opened later has CUBIC if the chooser throws then, and carries data",
    (world, lines) =>
      Effect.gen(function* () {
        const policy = CongestionControl.layerPerPath((path) => (path.pathId === 0 ? CongestionControl.olia : boom()))
        const client = yield* Effect.provide(connectTo(world.client), policy)
        const path = yield* client.openPath()
        yield* path.validated
        assert.deepStrictEqual(
          client.stats.paths.map(({ controller }) => controller),
          ["olia", "cubic"]
        )
        const server = yield* takeOne(world.server)
        const stream = yield* client.openStream()
        yield* stream.end(new Uint8Array(200_000))
        assert.strictEqual((yield* (yield* server.acceptStream).bytes).length, 200_000)
        assert.isAbove(client.stats.paths[1]!.streamBytesSent, 0)
        assert.strictEqual(client.stats.controllerMistakes, 1)
        assert.lengthOf(lines, 1)
      }),
    { client: { multipath: { maxPaths: 2 } }, server: { multipath: { maxPaths: 2 } } }
  )

  const broken: Record<string, Layer.Layer<never>> = {
    "a scheduler's factory that throws": PathScheduler.layer(boom),
    "a factory that gives no scheduler": PathScheduler.layer((() => ({ name: "x" })) as never),
    "no factory of a scheduler": PathScheduler.layer(5 as never),
    "no factory of congestion control": CongestionControl.layer({} as never),
    "a factory of congestion control that throws": CongestionControl.layer(boom),
    "a factory that gives no controllers": CongestionControl.layer((() => undefined) as never),
    "controllers that throw": CongestionControl.layer(() => ({ make: boom })),
    "a controller without its functions": CongestionControl.layer(() => ({ make: () => ({ name: "x" }) as never }))
  }
  for (const [what, policy] of Object.entries(broken)) {
    policyTest(`D6: ${what}: the client gets a QuicError, and the endpoint goes on`, (world) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.provide(connectTo(world.client), policy))
        assert.strictEqual(reasonOf(exit), "Internal")
        assert.strictEqual(world.client.stats.connections, 0)
        yield* transfer(world, Layer.empty)
      })
    )
  }

  policyTest("a wrong policy is told with what is wrong in it, and where to look", (world) =>
    Effect.gen(function* () {
      const messageFor = (policy: Layer.Layer<never>) =>
        Effect.map(Effect.flip(Effect.provide(connectTo(world.client), policy)), (error) => error.message)
      const where = "the mistake is in effect-mpquic, or in a policy given to it: the stack of `cause` tells where"
      assert.strictEqual(yield* messageFor(PathScheduler.layer(boom)), `internal error: out of order; ${where}`)
      assert.strictEqual(
        yield* messageFor(PathScheduler.layer(5 as never)),
        `internal error: the factory of the path scheduler must be a function that makes one for each connection; ${where}`
      )
    })
  )

  const faults: Record<string, (throws: () => boolean) => Layer.Layer<never>> = {
    scheduler: (throws) =>
      PathScheduler.layer(() => ({
        name: "faulty",
        select: ({ paths }) => (throws() ? boom() : paths.find((path) => path.canSend))
      })),
    controller: (throws) => controllers({ name: "faulty", onPacketSent: () => (throws() ? boom() : undefined) })
  }
  for (const [part, policy] of Object.entries(faults)) {
    policyTest(`D6: a ${part} that throws closes its connection only, with INTERNAL_ERROR and the cause`, (world) =>
      Effect.gen(function* () {
        let throws = false
        const healthy = yield* connectTo(world.client)
        const healthyServer = yield* takeOne(world.server)
        const client = yield* Effect.provide(
          connectTo(world.client),
          policy(() => throws)
        )
        const server = yield* takeOne(world.server)
        yield* Effect.sleep("1 second")
        throws = true
        const stream = yield* client.openStream()
        yield* stream.write("x")
        const end = yield* client.closed
        assert.strictEqual(end._tag, "Internal")
        assert.include(end.message, "out of order")
        assert.deepInclude(yield* server.closed, { _tag: "TransportClosed", code: 1, initiator: "peer" })
        const other = yield* healthy.openStream()
        yield* other.end("still here")
        assert.strictEqual(yield* (yield* healthyServer.acceptStream).text, "still here")
      })
    )
  }
})

describe("D12: policies with dependencies", () => {
  class Favourite extends Context.Service<Favourite, string>()("test/Favourite") {}

  policyTest("D12: a factory may come out of an Effect that needs services", (world) =>
    Effect.gen(function* () {
      const named = PathScheduler.layer(
        Effect.map(Favourite, (name) => () => ({ name, select: ({ paths }) => paths.find((path) => path.canSend) }))
      ).pipe(Layer.provide(Layer.succeed(Favourite, "mine")))
      assert.strictEqual((yield* transfer(world, named)).scheduler, "mine")
      const failing = PathScheduler.layer(Effect.fail("no such scheduler"))
      const exit = yield* Effect.exit(Effect.provide(connectTo(world.client), failing))
      assert.isTrue(Exit.isFailure(exit))
      const stats = yield* transfer(world, CongestionControl.layer(Effect.succeed(() => ({ make: boomless }))))
      assert.strictEqual(stats.paths[0]!.controller, "from an Effect")
    })
  )

  const boomless = () => ({
    name: "from an Effect",
    congestionWindow: 50_000,
    pacingRate: 0,
    slowStartThreshold: 0,
    onPacketSent: () => {},
    onAcked: () => {},
    onCongestion: () => {},
    onPersistentCongestion: () => {},
    onSpuriousLoss: () => {},
    reset: () => {},
    close: () => {}
  })
})

describe("verifiers of certificates", () => {
  const wrong = {
    throws: () => {
      throw new Error("no connection to db://user:secret@host")
    },
    promise: () => Promise.reject(new Error("late")),
    true: () => true,
    null: () => null
  }

  for (const [name, verify] of Object.entries(wrong)) {
    const given = verify as unknown as Tls.CertificateVerifier

    it.effect(`X4: a server's that is wrong (${name}) refuses, and its words stay here`, () => {
      const told: Array<string> = []
      const logger = Logger.make<unknown, void>((entry) => {
        told.push(JSON.stringify(entry.fiber.getRef(References.CurrentLogAnnotations)))
      })
      const around = Effect.provideService(Tls.ClientCertificates, { demand: "require", verify: given })
      return drive(
        Effect.gen(function* () {
          const world = yield* makeWorld({ around })
          const identity = yield* Effect.provide(Effect.service(Tls.Identity), TestCertificates.layer)
          const connection = yield* Effect.exit(
            connectTo(world.client).pipe(Effect.provideService(Tls.ClientIdentity, identity))
          )
          // A client is done before the server has seen its certificate.
          const reason = Exit.isSuccess(connection)
            ? JSON.stringify(yield* connection.value.closed)
            : String(connection)
          assert.match(reason, /internal_error|alert 80|"alert":80/)
          assert.notMatch(reason, /secret|TLS failed|verifier/)
          assert.match(told.join("\n"), name === "throws" ? /secret/ : /must return undefined or a TlsFailure, and not/)
        })
      ).pipe(Effect.provide(Logger.layer([logger])))
    })

    it.effect(`X4: a client's that is wrong (${name}) refuses, and says why here`, () =>
      drive(
        Effect.gen(function* () {
          const world = yield* makeWorld()
          const exit = yield* Effect.exit(
            world.client
              .connect({ address: serverAddress, alpn: "test", serverName: "server.test" })
              .pipe(Effect.provideService(Tls.Trust, given))
          )
          assert.strictEqual(reasonOf(exit), "HandshakeFailed")
          assert.match(String(exit), name === "throws" ? /secret/ : /must return undefined or a TlsFailure, and not/)
        })
      )
    )
  }
})
