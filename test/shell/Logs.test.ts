import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { Endpoint, QuicError, UdpSocket } from "../../src/index.ts"
import { EndpointLog } from "../../src/internal/runtime/EndpointLog.ts"
import { connectTo, drive, logged, makeWorld, scenario, serving } from "./support.ts"
import type { LoggedLine } from "./support.ts"

/** Lines of the server, in order, with what matters of them. */
const told = (lines: ReadonlyArray<LoggedLine>, id: string, ...keys: ReadonlyArray<string>) =>
  lines
    .filter((line) => line.annotations["connection"] === id)
    .map((line) => [line.level, line.message].concat(keys.map((key) => line.annotations[key] as string)))

describe("D8: what an endpoint tells", () => {
  it.effect("a line each for accepting, paths and the end, with connection, remote and path", () => {
    const lines: Array<LoggedLine> = []
    let id = ""
    return drive(
      Effect.gen(function* () {
        const world = yield* makeWorld({ around: (endpoint) => logged(lines, endpoint) })
        const { client } = yield* world.pair()
        id = client.id
        const path = yield* client.openPath({ local: "10.0.1.1" })
        yield* path.validated
        yield* Effect.sleep(100)
        const link = world.network.link("10.0.1.1", "10.9.0.1", { delay: 10 })
        link.cut()
        const stream = yield* client.openStream()
        yield* stream.setPaths([1])
        yield* stream.write("x")
        yield* Effect.sleep("2 seconds")
        link.restore()
        yield* Effect.sleep("5 seconds")
        yield* path.close()
        yield* Effect.sleep("8 seconds")
        yield* client.close({ code: 7, reason: "enough\nforged line" })
        yield* Effect.sleep(100)
      })
    ).pipe(
      Effect.map(() => {
        const of = told(lines, id, "path", "code", "by")
        assert.deepStrictEqual(of[0]!.slice(0, 2), ["Debug", "Accepted a connection"])
        const messages = of.map(([, message, path]) => (path === undefined ? message : `${message} ${path}`))
        for (const message of ["Path opened 1", "Path validated 1", "Path abandoned 1", "Path closed 1"])
          assert.include(messages, message)
        assert.deepStrictEqual(of.at(-1)!.map(String), ["Debug", "Connection closed", "undefined", "7", "peer"])
        const last = lines.findLast((line) => line.annotations["connection"] === id)!
        assert.strictEqual(last.annotations["reason"], "enough?forged line")
        assert.match(String(last.annotations["remote"]), /^10\.0\.0\.1:\d+$/)
      })
    )
  })

  it.effect("handshakes that fail, at info, with the alert; and never more than so many from strangers", () => {
    const lines: Array<LoggedLine> = []
    return drive(
      Effect.gen(function* () {
        const world = yield* makeWorld({ around: (endpoint) => logged(lines, endpoint, "Info") })
        for (let i = 0; i < 60; i++) yield* Effect.exit(connectTo(world.client, { alpn: "nothing" }))
        yield* connectTo(world.client)
        yield* Effect.sleep(100)
        const failed = lines.filter((line) => line.message === "Handshake failed")
        assert.deepInclude(failed[0], { level: "Info" })
        assert.deepInclude(failed[0]!.annotations, {
          by: "local",
          alert: "no_application_protocol",
          module: "effect-mpquic"
        })
        assert.isAtLeast(failed.length, 20)
        assert.isAtMost(failed.length, 32)
        assert.strictEqual(lines.length, failed.length)
        const { handshakesAccepted, handshakesCompleted, handshakesFailed } = world.server.stats
        assert.deepStrictEqual([handshakesAccepted, handshakesCompleted], [61, 1])
        assert.deepStrictEqual(handshakesFailed, { no_application_protocol: 60 })
        assert.deepInclude(world.client.stats, { handshakesStarted: 61, handshakesCompleted: 1 })
        assert.deepStrictEqual(world.client.stats.handshakesFailed, { no_application_protocol: 60 })
      })
    )
  })

  it.effect("a handshake that the end of the endpoint cuts short says so", () => {
    const lines: Array<LoggedLine> = []
    return drive(
      Effect.gen(function* () {
        const serverScope = yield* Scope.make()
        const world = yield* makeWorld({ around: (endpoint) => logged(lines, endpoint, "Info"), serverScope })
        const connecting = yield* Effect.forkChild(connectTo(world.client))
        // The first flight is there after 10 ms, and the handshake is done after 30 ms.
        yield* Effect.sleep(15)
        yield* Scope.close(serverScope, Exit.void)
        // The client had all it needed, and learns then that nobody is there; another server may be.
        const reason = yield* (yield* Fiber.join(connecting)).closed
        assert.include(reason.message, "APPLICATION_ERROR")
        assert.isTrue(QuicError.isRetryable(reason))
        assert.deepStrictEqual(
          lines.map(({ annotations, message }) => [message, annotations["by"], annotations["reason"]]),
          [["Handshake failed", "local", "this side closed before the handshake was done"]]
        )
      })
    )
  })

  it.effect("a limited line says how many were left out before it", () =>
    Effect.gen(function* () {
      const lines: Array<LoggedLine> = []
      let now = 0
      yield* logged(
        lines,
        Effect.gen(function* () {
          const run = Effect.runForkWith(yield* Effect.context<never>())
          const log = new EndpointLog("Info", run, () => now)
          for (let i = 0; i < 100; i++) log.limited("Info", "a", {})
          now = 1000
          log.limited("Info", "a", {})
          log.limited("Info", "b", {})
          log.limited("Debug", "a", {})
        })
      )
      assert.strictEqual(lines.length, 22)
      assert.strictEqual(lines[20]!.annotations["suppressed"], 80)
      assert.isUndefined(lines[21]!.annotations["suppressed"])
    })
  )

  scenario("counters: datagrams and bytes both ways, and drops by reason", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const stream = yield* client.openStream()
      yield* stream.end(new Uint8Array(50_000))
      yield* stream.flushed
      const stranger = world.network.host("stranger", ["10.5.0.1"])
      const udp = yield* Effect.provide(Effect.service(UdpSocket.UdpSocket), stranger.udpSocket)
      const socket = yield* udp.bind({ host: "10.5.0.1", port: 0 })
      const remote = socket.addresses.intern("10.9.0.1", 4433)
      const send = (bytes: Uint8Array) =>
        socket.transmit([{ local: socket.local, remote, ecn: 0, segmentSize: bytes.length, bytes }])
      const before = world.server.stats
      yield* send(new Uint8Array(10).fill(0xff))
      yield* send(new Uint8Array(60).fill(0x40))
      // A client's first packet of 100 bytes, and one for a connection that is not there.
      yield* send(new Uint8Array([0xc0, 0, 0, 0, 1, 8, ...new Uint8Array(94)]))
      yield* send(new Uint8Array([0xe0, 0, 0, 0, 1, 8, ...new Uint8Array(9), 0x40, 80, ...new Uint8Array(83)]))
      yield* Effect.sleep(100)
      const { bytesReceived, bytesSent, datagramsDropped, datagramsReceived, datagramsSent, drops } = world.server.stats
      assert.strictEqual(datagramsDropped - before.datagramsDropped, 4)
      assert.deepInclude(drops, { malformed: 2, unknownConnection: 2, queueFull: 0, unroutable: 0 })
      assert.isAbove(bytesReceived, 50_000)
      assert.isAbove(datagramsReceived, 30)
      assert.isAbove(datagramsSent, 5)
      assert.isAbove(bytesSent, datagramsSent * 20)
      assert.strictEqual(before.bytesReceived + 270, bytesReceived)
    })
  )

  it.effect("a handler that fails is an error line, and no more of them than so many", () => {
    const lines: Array<LoggedLine> = []
    return drive(
      Effect.gen(function* () {
        const world = yield* makeWorld()
        yield* logged(
          lines,
          serving(
            world.server,
            Endpoint.serve(() => Effect.fail("no"))
          )
        )
        for (let i = 0; i < 40; i++) {
          const scope = yield* Scope.make()
          const connection = yield* connectTo(world.client).pipe(Effect.provideService(Scope.Scope, scope))
          yield* connection.closed
          yield* Scope.close(scope, Exit.void)
        }
        const failed = lines.filter((line) => line.message === "The handler of a connection failed")
        assert.deepInclude(failed[0], { level: "Error" })
        assert.isAtLeast(failed.length, 20)
        assert.isAtMost(failed.length, 35)
      })
    )
  })
})
