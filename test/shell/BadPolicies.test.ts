/**
 * Bad input to policies, as a program without types would give it: each setting of each constructor, each factory, addresses that
 * are not of this host, paths and streams that are not there. A typed error by name, or a fallback that is told; nothing is lost.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Layer, Stream } from "effect"
import {
  CongestionControl,
  DuplicationPolicy,
  FailureDetector,
  LocalAddresses,
  MultipathController,
  PathManager,
  PathScheduler,
  ReinjectionPolicy
} from "../../src/index.ts"
import type { Connection, QuicError, UdpSocket } from "../../src/index.ts"
import { faultsOf, notText, numbers, operation } from "../support/Refusals.ts"
import type { Row, Target } from "../support/Refusals.ts"
import { connectTo, reasonOf, scenario, takeOne } from "./support.ts"
import type { World } from "./support.ts"

type Made = Layer.Layer<never, QuicError.QuicError, UdpSocket.UdpSocket>

/** Numbers of `numbers` that are Durations: ms, and nanoseconds as a bigint; and a Schema's own reading of others. */
const wrongDurations = (...right: ReadonlyArray<string>) =>
  Object.fromEntries(
    Object.entries({ ...numbers, "2 days": "2 days", soon: "soon" }).filter(([kind]) => !right.includes(kind))
  )

interface Constructor {
  readonly name: string
  readonly make: (settings: never) => Made
  /** Of each field, what is wrong there. */
  readonly fields: Readonly<Record<string, Record<string, unknown>>>
  /** What it cannot do without. */
  readonly given?: object
}

const fraction = { ...numbers, "just below": -1e-9, "just above": 8.001 }
const flag = { ...numbers, yes: "yes" }
const constructors: ReadonlyArray<Constructor> = [
  {
    name: "PathScheduler.layerMinRtt",
    make: PathScheduler.layerMinRtt,
    fields: { bias: { ...numbers, "just below": -1e-9, "just above": 1 + 1e-9, undefined } }
  },
  {
    name: "PathScheduler.layerWeightedRoundRobin",
    make: PathScheduler.layerWeightedRoundRobin,
    fields: { weights: { number: 5, null: null, text: "3 to 1", undefined } }
  },
  {
    name: "PathScheduler.layerBackup",
    make: PathScheduler.layerBackup,
    fields: { primary: numbers, returnAfter: wrongDurations("1.5", "bigint") }
  },
  {
    name: "DuplicationPolicy.layer",
    make: DuplicationPolicy.layer,
    fields: {
      paths: { ...numbers, 1: 1, 9: 9 },
      streams: { ...notText, some: "some", text: ["0"] },
      budget: fraction,
      datagrams: flag,
      crypto: flag,
      resets: flag,
      control: flag
    }
  },
  {
    name: "ReinjectionPolicy.layer",
    make: ReinjectionPolicy.layer,
    fields: {
      modes: { ...notText, unknown: ["onSunday"], one: "onIdle" },
      delay: wrongDurations("1.5"),
      maxReinjections: { ...numbers, 0: 0, 9: 9 },
      maxQueuePerPath: { ...numbers, 0: 0, 4097: 4097 },
      minInterval: wrongDurations("1.5", "bigint"),
      preferredPaths: { ...notText, text: ["0"], one: 0 },
      budget: fraction,
      crypto: flag,
      control: flag
    }
  },
  {
    name: "FailureDetector.layer",
    make: FailureDetector.layer,
    fields: {
      probeTimeouts: { ...numbers, 0: 0, 11: 11 },
      minimumSilence: wrongDurations("1.5", "bigint"),
      silenceFactor: { ...numbers, 101: 101 }
    }
  },
  {
    name: "PathManager.layerAuto",
    make: PathManager.layerAuto,
    fields: {
      addresses: { ...notText, name: ["phone"], any: ["0.0.0.0"], multicast: ["224.0.0.1"], number: [5] },
      families: { ...notText, five: ["IPv5"], one: "IPv4" },
      includeLoopback: flag,
      maxPaths: { ...numbers, 0: 0, 257: 257 },
      status: { ...notText, unknown: "primary" },
      retryAfter: wrongDurations(),
      maxRetryAfter: wrongDurations("2 days")
    }
  },
  {
    name: "LocalAddresses.layerInterfaces",
    make: LocalAddresses.layerInterfaces,
    fields: { refresh: wrongDurations(), includeLoopback: flag, ipv4: flag, ipv6: flag }
  }
]

const rightHere = new Map([
  ["budget", ["1.5"]],
  ["silenceFactor", ["1.5"]],
  ["streams", ["array"]],
  ["modes", ["array"]],
  ["preferredPaths", ["array"]],
  ["addresses", ["array"]],
  ["families", ["array"]]
])

const built = (layer: Made) => Effect.provide(Effect.void, layer)

const rows: ReadonlyArray<Row> = [
  ...constructors.flatMap(({ fields, make, name }) =>
    Object.entries(fields).map(([field, wrong]): Row => [
      `${name} ${field}`,
      field,
      wrong,
      operation((value) => built(make({ [field]: value } as never))),
      rightHere.get(field) ?? []
    ])
  ),
  ...constructors.flatMap(({ make, name }): ReadonlyArray<Row> => [
    [
      name,
      "settings",
      { null: null, number: 5, text: "x", array: [1], function: () => 1 },
      operation((value) => built(make(value as never)))
    ],
    [name, "nosuch", { 1: 1, undefined }, operation((nosuch) => built(make({ nosuch } as never)))]
  ]),
  ...["scheduler", "congestion", "duplication", "reinjection", "failures", "paths", "addresses"].map((part): Row => [
    `MultipathController.layer ${part}`,
    part,
    numbers,
    operation((value) => built(MultipathController.layer({ [part]: value })))
  ]),
  [
    "MultipathController.layer observers",
    "observers",
    { ...numbers, names: ["observer"], numbers: [5] },
    operation((observers) => built(MultipathController.layer({ observers }))),
    ["array"]
  ],
  [
    "MultipathController.layer",
    "parts",
    { null: null, number: 5, text: "x", array: [1], function: () => 1 },
    operation((value) => built(MultipathController.layer(value)))
  ],
  [
    "MultipathController.layer",
    "nosuch",
    { 1: 1, undefined },
    operation((nosuch) => built(MultipathController.layer({ nosuch } as never)))
  ],
  [
    "layerWeightedRoundRobin of a weight",
    'weights["10.0.0.1"]',
    { ...numbers, 0: 0, 101: 101 },
    operation((weight) => built(PathScheduler.layerWeightedRoundRobin({ weights: { "10.0.0.1": weight } }))),
    ["1.5"]
  ],
  [
    "LocalAddresses.layerFixed",
    "addresses",
    { ...notText, text: "10.0.0.1", name: ["phone"], number: [5] },
    operation((value) => built(LocalAddresses.layerFixed(value))),
    ["array"]
  ],
  [
    "LocalAddresses.layerControlled",
    "addresses",
    { ...notText, name: ["phone"], number: [5] },
    operation((value) => Effect.scoped(Layer.build(LocalAddresses.layerControlled(value)))),
    ["array"]
  ],
  [
    "stream.setDuplication",
    "paths",
    { ...numbers, 0: 0, 9: 9, all: "all" },
    operation((value, { stream }) => stream.setDuplication(value))
  ],
  [
    "path.setStatus",
    "status",
    { ...notText, unknown: "primary" },
    operation((value, { path }) => path.setStatus(value))
  ],
  ["path.setState", "state", { ...notText, unknown: "closed" }, operation((value, { path }) => path.setState(value))]
]

describe("Bad input: settings of policies", () => {
  scenario("each field of each constructor is refused by its name and range, whatever it is", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const path = yield* client.openPath({ local: "10.0.1.1" })
      yield* path.validated
      const stream = yield* client.openStream()
      const target: Target = { world, connection: client, stream, path }
      assert.deepStrictEqual(yield* faultsOf(rows, target), [])
      yield* stream.end("all the same")
      assert.strictEqual(yield* (yield* server.acceptStream).text, "all the same")
    })
  )
})

/** 100 kB over two paths, under a policy. */
const transfer = (
  world: World,
  policy: Layer.Layer<never>,
  use: (client: Connection.Connection) => Effect.Effect<unknown, unknown> = () => Effect.void
) =>
  Effect.gen(function* () {
    const client = yield* Effect.provide(connectTo(world.client), policy)
    const server = yield* takeOne(world.server)
    yield* (yield* client.openPath({ local: "10.0.1.1" })).validated
    yield* use(client)
    const stream = yield* client.openStream()
    yield* stream.end(new Uint8Array(100_000))
    assert.strictEqual((yield* (yield* server.acceptStream).bytes).length, 100_000)
    return client
  })

const boom = (): never => {
  throw new Error("out of order")
}

/** Each part of which users give a factory. */
const parts: Readonly<Record<string, (factory: never) => Layer.Layer<never>>> = {
  "PathScheduler.layer": PathScheduler.layer,
  "CongestionControl.layer": CongestionControl.layer,
  "DuplicationPolicy.layerCustom": DuplicationPolicy.layerCustom,
  "ReinjectionPolicy.layerCustom": ReinjectionPolicy.layerCustom,
  "FailureDetector.layerCustom": FailureDetector.layerCustom,
  "MultipathController.observe": MultipathController.observe
}

const factories: Readonly<Record<string, unknown>> = {
  "a factory that throws": boom,
  "a factory that makes nothing": () => undefined,
  "a factory that makes a number": () => 7,
  "a factory that makes a Promise": () => Promise.resolve({}),
  "no factory": {},
  "a number": 5
}

describe("Bad input: factories of policies", () => {
  for (const [part, layerOf] of Object.entries(parts)) {
    scenario(`${part}: a wrong factory is a QuicError of connect, and of no other connection`, (world) =>
      Effect.gen(function* () {
        for (const [what, factory] of Object.entries(factories)) {
          const exit = yield* Effect.exit(Effect.provide(connectTo(world.client), layerOf(factory as never)))
          assert.strictEqual(reasonOf(exit), "Internal", what)
          assert.strictEqual(world.client.stats.connections, 0, what)
        }
        yield* transfer(world, Layer.empty)
      })
    )
  }

  scenario("LocalAddresses: what is no service of addresses opens no path; the connection lives", (world) =>
    Effect.gen(function* () {
      const wrong = [{}, { current: [], changes: 5 }, { current: 5, changes: Stream.never }, { changes: Stream.never }]
      for (const service of wrong) {
        const addresses = Layer.succeed(LocalAddresses.LocalAddresses, service as never)
        const here = Effect.provide(Layer.merge(PathManager.layerAuto(), addresses))
        const { client, server } = yield* world.pair().pipe(here)
        const stream = yield* client.openStream()
        yield* stream.end("all the same")
        assert.strictEqual(yield* (yield* server.acceptStream).text, "all the same")
        assert.lengthOf(client.paths, 1)
      }
    })
  )

  scenario("PathManager.layer: a wrong manager opens no path; the connection lives", (world) =>
    Effect.gen(function* () {
      const managers: Readonly<Record<string, unknown>> = {
        throws: boom,
        dies: () => Effect.die(new Error("out of order")),
        fails: () => Effect.fail("no"),
        nothing: () => undefined,
        number: () => 7
      }
      for (const [what, manager] of Object.entries(managers)) {
        const exit = yield* Effect.exit(Effect.provide(connectTo(world.client), PathManager.layer(manager as never)))
        if (Exit.isFailure(exit)) {
          assert.strictEqual(reasonOf(exit), "Internal", what)
          continue
        }
        const server = yield* takeOne(world.server)
        const stream = yield* exit.value.openStream()
        yield* stream.end("alive")
        assert.strictEqual(yield* (yield* server.acceptStream).text, "alive", what)
        assert.lengthOf(exit.value.paths, 1, what)
      }
    })
  )
})

const FOREIGN = "192.0.2.77"

describe("Bad input: addresses, paths and streams that are not there", () => {
  scenario(
    "an address that is not of this host: a typed error that names it, and nothing is bound, opened or moved",
    (world) =>
      Effect.gen(function* () {
        const { client } = yield* world.pair()
        const second = yield* client.openPath({ local: "10.0.1.1" })
        yield* second.validated
        const before = world.client.addresses.length
        const wrong = {
          openPath: client.openPath({ local: FOREIGN }),
          migrate: second.migrate({ local: FOREIGN }),
          connect: connectTo(world.client, { local: FOREIGN })
        }
        for (const [what, effect] of Object.entries(wrong)) {
          const error = yield* Effect.flip(effect as Effect.Effect<unknown, QuicError.QuicError>)
          assert.include(error.message, FOREIGN, what)
        }
        assert.lengthOf(client.paths, 2)
        assert.strictEqual(second.state, "active")
        assert.strictEqual(world.client.addresses.length, before)
      })
  )

  for (const [what, policy] of Object.entries({
    "PathManager.layerAuto": PathManager.layerAuto({ addresses: [FOREIGN] }),
    "LocalAddresses.layerFixed": Layer.merge(PathManager.layerAuto(), LocalAddresses.layerFixed([FOREIGN]))
  })) {
    scenario(`${what} with such an address: no path from there, and nothing is lost`, (world) =>
      Effect.gen(function* () {
        const client = yield* Effect.provide(connectTo(world.client), policy)
        const server = yield* takeOne(world.server)
        yield* Effect.sleep("3 seconds")
        const stream = yield* client.openStream()
        yield* stream.end(new Uint8Array(50_000))
        assert.strictEqual((yield* (yield* server.acceptStream).bytes).length, 50_000)
        assert.lengthOf(
          client.paths.filter(({ state }) => state === "active"),
          1
        )
      })
    )
  }

  scenario("unknown paths and streams: what is bound to them goes anyway, or is refused by name", (world) =>
    Effect.gen(function* () {
      // Streams that will never be, and paths that are not there.
      const policies = Layer.mergeAll(
        DuplicationPolicy.layer({ streams: [999_999] }),
        ReinjectionPolicy.layer({ preferredPaths: [77] }),
        PathScheduler.layerBackup({ primary: 77 })
      )
      const client = yield* transfer(world, policies as Layer.Layer<never>)
      const exit = yield* Effect.exit(client.sendDatagram("x", { pathId: 77 }))
      assert.isTrue(Exit.isFailure(exit))
      assert.match(reasonOf(exit), /PathFailed|PathUnavailable|BadConfig|DatagramUnavailable/)
      const bound = yield* client.openStream()
      const refused = yield* Effect.exit(bound.setPaths([77]))
      // Either it is said at once, or the stream goes over the paths that are there.
      if (Exit.isSuccess(refused)) {
        yield* bound.end("no such path")
        yield* bound.flushed.pipe(Effect.timeout("2 seconds"))
      }
      assert.isUndefined(client.path(77))
    })
  )

  scenario("no path at all: the last one cannot be closed, and says so; it works as before", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const error = yield* Effect.flip(client.paths[0]!.close())
      assert.match(error.message, /last|only/)
      assert.lengthOf(client.paths, 1)
      assert.strictEqual(client.paths[0]!.state, "active")
      const stream = yield* client.openStream()
      yield* stream.end("alive")
      assert.strictEqual(yield* (yield* server.acceptStream).text, "alive")
    })
  )
})
