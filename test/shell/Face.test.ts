/**
 * Everything that crosses the public face: what is wrong is refused with a `QuicError` that names the field and what is
 * allowed, at once, and nothing else comes to harm.
 */
import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Option, Stream } from "effect"
import type { Scope } from "effect"
import { inspect } from "node:util"
import { Endpoint, QuicConfig, Tls, UdpSocket, WarmUp } from "../../src/index.ts"
import type { QuicError } from "../../src/index.ts"
import { faultsOf, nobody, notText, numbers, operation, verdict } from "../support/Refusals.ts"
import type { Needs, Row } from "../support/Refusals.ts"
import { scenario, serverHost } from "./support.ts"
import type { World } from "./support.ts"

const notBytes: Record<string, unknown> = {
  number: 5,
  null: null,
  array: [1, 2, 3],
  ArrayBuffer: new ArrayBuffer(3),
  DataView: new DataView(new ArrayBuffer(3)),
  Uint16Array: new Uint16Array(3),
  promise: Promise.resolve(new Uint8Array(1)),
  proxy: new Proxy(new Uint8Array(3), {}),
  thrower: {
    get length() {
      throw new Error("no such luck")
    }
  }
}

const settings = (field: string) => operation((value) => QuicConfig.make({ [field]: value }))
const connect = (field: string) =>
  operation((value, { world }) =>
    world.client.connect({ host: serverHost, port: 4433, alpn: "test", serverName: "server.test", [field]: value })
  )
const bind = (address: object, options: object = {}) =>
  Effect.flatMap(UdpSocket.UdpSocket, (udp) => udp.bind(address as never, options)).pipe(
    Effect.provide(UdpSocket.layerNode)
  )
const simulated = (address: object, { network }: World) =>
  Effect.flatMap(UdpSocket.UdpSocket, (udp) => udp.bind(address as never)).pipe(
    Effect.provide(network.host("another", ["10.7.0.1"]).udpSocket)
  )
const served = (world: World, layer: Layer.Layer<never, QuicError.QuicError, Endpoint.Endpoint>) =>
  Layer.build(Layer.provide(layer, Layer.succeed(Endpoint.Endpoint, world.server)))
const tls = <A>(layer: Layer.Layer<A, QuicError.QuicError>) => Layer.build(layer)

/** Settings that are Durations: half a millisecond is one, and so are nanoseconds. */
const durations = new Set(
  Object.entries(new QuicConfig.QuicConfig()).flatMap(([field, value]) => (Duration.isDuration(value) ? [field] : []))
)
const groups = { multipath: QuicConfig.MultipathConfig.fields, codes: QuicConfig.CloseCodes.fields }

const inGroup = (group: string, field: string): Row => [
  `QuicConfig.${group}.${field}`,
  `${group}.${field}`,
  numbers,
  operation((value) => QuicConfig.make({ [group]: { [field]: value } })),
  field === "advertise" ? ["array"] : []
]

const rows: ReadonlyArray<Row> = [
  // Settings: each of them, whatever comes to them later.
  ...Object.keys(QuicConfig.QuicConfig.fields)
    .filter((field) => !(field in groups))
    .map((field): Row => [
      `QuicConfig.${field}`,
      field,
      numbers,
      settings(field),
      durations.has(field) ? ["1.5", "bigint"] : []
    ]),
  ...Object.keys(groups).map((group): Row => [
    `QuicConfig.${group}`,
    group,
    numbers,
    settings(group),
    ["object", "Date", "promise", "thrower"]
  ]),
  ...Object.entries(groups).flatMap(([group, fields]) => Object.keys(fields).map((field) => inGroup(group, field))),
  ["Endpoint.layer", "options", notText, operation((value) => Endpoint.make(value)), ["object", "thrower"]],
  ["Endpoint.layer alpn", "alpn", notText, operation((alpn) => Endpoint.make({ alpn })), ["array"]],
  ["Endpoint.layer listen", "listen", numbers, operation((listen) => Endpoint.make({ listen, alpn: "x" })), ["array"]],
  ["connect port", "port", numbers, connect("port")],
  ["connect host", "host", notText, connect("host")],
  ["issue 7: connect host of nobody", "host", nobody, connect("host")],
  [
    "issue 7: connect address of nobody",
    "address",
    nobody,
    operation((host, { world }) =>
      world.client.connect({ address: host.includes(":") ? `[${host}]:4433` : `${host}:4433`, alpn: "test" })
    )
  ],
  [
    "issue 7: openPath remote of nobody",
    "remote",
    nobody,
    operation((remote, { connection }) => connection.openPath({ remote }))
  ],
  ["connect serverName", "serverName", notText, connect("serverName")],
  ["connect alpn", "alpn", notText, connect("alpn")],
  ["connect local", "local", numbers, connect("local")],
  ["connect address", "address", numbers, connect("address")],
  ["connect codes", "codes", numbers, connect("codes"), ["object", "Date", "promise", "thrower"]],
  ["endpoint.close code", "code", numbers, operation((code, { world }) => world.client.close({ code }))],
  ["endpoint.close reason", "reason", notText, operation((reason, { world }) => world.client.close({ reason }))],
  [
    "endpoint.shutdown within",
    "within",
    { ...numbers, text: "soon", "1.5": -0.5, bigint: "", Infinity: "for ever" },
    operation((within, { world }) => world.client.shutdown({ within })),
    ["2^53", "2^62"]
  ],
  [
    "connection.serve concurrency",
    "concurrency",
    { ...numbers, zero: 0 },
    operation((concurrency, { connection }) => connection.serve(() => Effect.void, { concurrency })),
    ["2^53", "2^62", "Infinity"]
  ],
  // Callbacks.
  ["Endpoint.serve", "handler", notText, operation((handler, { world }) => served(world, Endpoint.serve(handler)))],
  [
    "Endpoint.serve codes",
    "codes",
    notText,
    operation((codes, { world }) =>
      served(
        world,
        Endpoint.serve(() => Effect.void, { codes })
      )
    ),
    ["object", "thrower"]
  ],
  [
    "Endpoint.serve options",
    "options",
    notText,
    operation((options, { world }) =>
      served(
        world,
        Endpoint.serve(() => Effect.void, options)
      )
    ),
    ["object", "thrower"]
  ],
  [
    "Endpoint.serveStreams",
    "handler",
    notText,
    operation((handler, { world }) => served(world, Endpoint.serveStreams(handler)))
  ],
  ["connection.serve", "handler", notText, operation((handler, { connection }) => connection.serve(handler))],
  [
    "connection.serveUniStreams",
    "handler",
    notText,
    operation((handler, { connection }) => connection.serveUniStreams(handler))
  ],
  ["stream.consume", "use", notText, operation((use, { stream }) => stream.consume(use))],
  // Connections.
  ["connection.close code", "code", numbers, operation((code, { connection }) => connection.close({ code }))],
  ["connection.close reason", "reason", notText, operation((reason, { connection }) => connection.close({ reason }))],
  [
    "connection.close",
    "options",
    notText,
    operation((value, { connection }) => connection.close(value)),
    ["object", "thrower"]
  ],
  ["sendDatagram", "data", notBytes, operation((data, { connection }) => connection.sendDatagram(data))],
  [
    "sendDatagram pathId",
    "pathId",
    numbers,
    operation((pathId, { connection }) => connection.sendDatagram("x", { pathId }))
  ],
  ["openPath local", "local", numbers, operation((local, { connection }) => connection.openPath({ local }))],
  ["openPath remote", "remote", numbers, operation((remote, { connection }) => connection.openPath({ remote }))],
  ["openPath status", "status", notText, operation((status, { connection }) => connection.openPath({ status }))],
  ["openStream wait", "wait", numbers, operation((wait, { connection }) => connection.openStream({ wait }))],
  ["openUniStream wait", "wait", numbers, operation((wait, { connection }) => connection.openUniStream({ wait }))],
  // Streams.
  ["write", "data", notBytes, operation((data, { stream }) => stream.write(data))],
  ["end", "data", notBytes, operation((data, { stream }) => stream.end(data))],
  ["sink", "data", notBytes, operation((data, { stream }) => Stream.run(Stream.succeed(data), stream.sink))],
  ["reset", "code", numbers, operation((code, { stream }) => stream.reset({ code }))],
  ["stop", "code", numbers, operation((code, { stream }) => stream.stop({ code }))],
  [
    "reset options",
    "options",
    numbers,
    operation((value, { stream }) => stream.reset(value)),
    ["object", "Date", "promise", "thrower"]
  ],
  ["setPriority", "priority", numbers, operation((value, { stream }) => stream.setPriority(value))],
  [
    "setPriority incremental",
    "incremental",
    numbers,
    operation((incremental, { stream }) => stream.setPriority(1, { incremental }))
  ],
  ["setPaths", "paths", numbers, operation((value, { stream }) => stream.setPaths(value)), ["array"]],
  ["setPaths [id]", "paths[0]", numbers, operation((value, { stream }) => stream.setPaths([value]))],
  // Paths.
  ["path.close", "code", numbers, operation((code, { path }) => path.close({ code }))],
  ["path.migrate local", "local", numbers, operation((local, { path }) => path.migrate({ local }))],
  ["path.setStatus", "status", { ...notText, undefined }, operation((value, { path }) => path.setStatus(value))],
  // Sockets, certificates, tools.
  ["bind port", "port", numbers, operation((port) => bind({ host: "127.0.0.1", port }))],
  ["bind host", "host", notText, operation((host) => bind({ host, port: 0 }))],
  ["bind address", "address", notText, operation((value) => bind(value)), ["object", "thrower"]],
  [
    "bind socketSendBuffer",
    "socketSendBuffer",
    numbers,
    operation((socketSendBuffer) => bind({ host: "127.0.0.1", port: 0 }, { socketSendBuffer }))
  ],
  [
    "bind socketReceiveBuffer",
    "socketReceiveBuffer",
    numbers,
    operation((socketReceiveBuffer) => bind({ host: "127.0.0.1", port: 0 }, { socketReceiveBuffer }))
  ],
  ["bind lane", "lane", notText, operation((lane) => bind({ host: "127.0.0.1", port: 0 }, { lane }))],
  [
    "simulated bind port",
    "port",
    numbers,
    operation((port, { world }) => simulated({ host: "10.7.0.1", port }, world))
  ],
  [
    "layerIdentity certificate",
    "certificate",
    notText,
    operation((certificate) => tls(Tls.layerIdentity({ certificate, privateKey: "x" })))
  ],
  [
    "layerIdentity privateKey",
    "privateKey",
    notText,
    operation((privateKey) => tls(Tls.layerIdentity({ certificate: "x", privateKey })))
  ],
  ["layerSelfSigned names", "names", notText, operation((names) => tls(Tls.layerSelfSigned({ names })))],
  ["layerSelfSigned validity", "validity", numbers, operation((validity) => tls(Tls.layerSelfSigned({ validity })))],
  ["layerTrustRoots", "layerTrustRoots", notBytes, operation((root) => tls(Tls.layerTrustRoots(root)))],
  ["layerTrustPinned", "layerTrustPinned", notText, operation((pin) => tls(Tls.layerTrustPinned(pin)))],
  [
    "WarmUp megabytes",
    "megabytes",
    numbers,
    operation((megabytes) => Effect.provide(WarmUp.run({ megabytes }), UdpSocket.layerNode))
  ],
  [
    "WarmUp handshakes",
    "handshakes",
    numbers,
    operation((handshakes) => Effect.provide(WarmUp.run({ handshakes }), UdpSocket.layerNode))
  ]
]

describe("C12: what callers hand in", () => {
  scenario("C12: every number, code, duration, byte input and name is checked, over the whole face", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const path = yield* client.openPath({ local: "10.0.1.1" })
      yield* path.validated
      const stream = yield* client.openStream()
      yield* stream.write("begun")
      const faults = yield* faultsOf(rows, { world, connection: client, stream, path })
      assert.deepStrictEqual(faults, [])
      assert.isAbove(rows.length, 60)
      // Nothing came to harm: stream, path, connection and endpoint work as before.
      yield* stream.end(", and ended")
      assert.strictEqual(yield* (yield* server.acceptStream).text, "begun, and ended")
      assert.strictEqual(path.state, "active")
      assert.isFalse(client.isClosed)
    })
  )

  scenario("C12: options whose getter throws are refused by the name of the field", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const stream = yield* client.openStream()
      const trap = (field: string): never =>
        Object.defineProperty({}, field, {
          enumerable: true,
          get() {
            throw new Error("no such luck")
          }
        }) as never
      for (const [field, run] of [
        ["code", stream.reset(trap("code"))],
        ["code", stream.stop(trap("code"))],
        ["incremental", stream.setPriority(1, trap("incremental"))],
        ["code", client.close(trap("code"))],
        ["pathId", client.sendDatagram("x", trap("pathId"))],
        ["status", client.openPath(trap("status"))],
        ["wait", client.openStream(trap("wait"))],
        ["code", client.path(0)!.close(trap("code"))],
        ["idleTimeout", QuicConfig.make(trap("idleTimeout"))],
        ["alpn", Endpoint.make(trap("alpn"))],
        ["port", world.client.connect(trap("port"))],
        ["code", world.client.close(trap("code"))],
        ["megabytes", WarmUp.run(trap("megabytes"))]
      ] as const) {
        const exit = yield* Effect.exit(
          Effect.provide(
            Effect.scoped(run as Effect.Effect<unknown, unknown, Needs>),
            world.network.host("n", []).udpSocket
          )
        )
        const said = verdict(Exit.map(exit, Option.some))
        assert.match(said, /^BadConfig/, field)
        assert.include(said, field)
        assert.include(said, "no such luck")
      }
      assert.isFalse(client.isClosed)
    })
  )

  scenario("C12: codes up to 2^53 - 1 arrive as they are", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const code = Number.MAX_SAFE_INTEGER
      const stream = yield* client.openStream()
      yield* stream.write("x")
      const theirs = yield* server.acceptStream
      yield* stream.reset({ code })
      assert.include(verdict(yield* Effect.exit(Effect.asSome(theirs.text))), `code ${code}`)
      const another = yield* client.openStream()
      yield* another.write("x")
      yield* (yield* server.acceptStream).stop({ code })
      yield* Effect.sleep("100 millis")
      assert.include(verdict(yield* Effect.exit(Effect.asSome(another.write("y")))), `code ${code}`)
      yield* client.close({ code, reason: "x".repeat(5000) })
      const end = yield* server.closed
      assert.deepInclude(end, { _tag: "ApplicationClosed", code })
    })
  )

  scenario("C12: a callback that gives no Effect is refused", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const stream = yield* client.openStream()
      yield* stream.end("x")
      const theirs = yield* server.acceptStream
      const exit = yield* Effect.exit(
        Effect.asSome(theirs.consume((() => Promise.resolve()) as unknown as () => Effect.Effect<void>))
      )
      assert.match(verdict(exit), /^BadConfig.*use.*returns an Effect/)
      // A handler of streams: its stream is reset, and the next one comes.
      const promise = (() => Promise.resolve()) as unknown as () => Effect.Effect<void>
      yield* Effect.forkScoped(server.serve(promise))
      for (let i = 0; i < 2; i++) {
        const asked = yield* client.openStream()
        yield* asked.end("x")
        assert.match(verdict(yield* Effect.exit(Effect.asSome(asked.text))), /^StreamReset/)
      }
    })
  )
})

describe("D12: streams and connections", () => {
  scenario(
    "D12: an openStream that does not wait fails with StreamLimit; isClosed tells an end at once",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        const now = { wait: false }
        const open = (run: Effect.Effect<unknown, unknown, Scope.Scope>) =>
          Effect.map(Effect.exit(Effect.asSome(run)), verdict)
        const first = yield* client.openStream(now)
        yield* first.end("x")
        assert.match(yield* open(client.openStream(now)), /^StreamLimit/)
        assert.match(yield* open(client.openUniStream(now)), /^StreamLimit/)
        // With a place it is there at once.
        const theirs = yield* server.acceptStream
        yield* theirs.end(yield* theirs.text)
        yield* first.bytes
        yield* Effect.sleep("200 millis")
        assert.strictEqual(yield* open(client.openStream(now)), "success")
        assert.isFalse(client.isClosed)
        yield* client.close({ code: 3 })
        assert.isTrue(client.isClosed)
        assert.match(yield* open(client.openStream(now)), /^ApplicationClosed/)
      }),
    { server: { maxBidiStreams: 1, maxUniStreams: 0 } }
  )
})

describe("D10: values in logs", () => {
  scenario("D10: each has one line, a form for JSON and pipe, and none shows what it is made of", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const stream = yield* client.openStream()
      yield* stream.write("hello")
      const path = client.path(0)!
      for (const [name, value] of Object.entries({
        Endpoint: world.client,
        Connection: client,
        QuicStream: stream,
        Path: path
      })) {
        for (const text of [
          String(value),
          inspect(value, { depth: Infinity }),
          inspect({ value }, { depth: Infinity, showHidden: true, breakLength: Infinity })
        ]) {
          assert.include(text, `${name}(`)
          assert.notMatch(text.replace(/^\{ value: | \}$/g, ""), /\n|[kK]ey|secret|machine/)
        }
        const json = JSON.parse(JSON.stringify(value)) as Record<string, unknown>
        assert.strictEqual(json["_id"], name)
        assert.isBelow(JSON.stringify(value).length, 1500)
        assert.strictEqual(
          value.pipe((self: unknown) => self === value),
          true
        )
      }
      assert.include(String(client), "established, 1 path")
      yield* client.close({ code: 7, reason: "done" })
      assert.include(String(client), "application code 7: done")
    })
  )
})
