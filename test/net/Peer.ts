/**
 * One side of a transfer, in a process of its own inside a network namespace. Started with one argument, the JSON of
 * `PeerOptions`; tells what happens as lines of JSON (`PeerLine`) on standard output, and ends when its standard input does.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Duration, Effect, Layer, Logger, Schedule, Stream } from "effect"
import { NetAddress } from "effect/net"
import type { Connection } from "../../src/Connection.ts"
import * as Endpoint from "../../src/Endpoint.ts"
import * as PathManager from "../../src/PathManager.ts"
import * as Tls from "../../src/Tls.ts"
import * as UdpSocket from "../../src/UdpSocket.ts"
import { PATTERN, patternAt } from "./pattern.ts"
import { SAMPLE } from "./protocol.ts"
import type { ClientOptions, PathLine, PeerLine, PeerOptions, ServerOptions } from "./protocol.ts"

/** ms of one clock for all processes. */
const time = (): number => performance.timeOrigin + performance.now()

const say = (line: PeerLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

/** ms of arrivals that are told together. */
const BIN = 4

/** RFC 9002 section 6.2.1, with the default of max_ack_delay. */
const ptoOf = (smoothedRtt: Duration.Duration, rttVariance: Duration.Duration): number =>
  Duration.toMillis(smoothedRtt) + Math.max(4 * Duration.toMillis(rttVariance), 1) + 25

const pathLines = (connection: Connection): ReadonlyArray<PathLine> =>
  connection.stats.paths.map((path) => ({
    id: path.pathId,
    local: NetAddress.formatInet(path.local),
    remote: NetAddress.formatInet(path.remote),
    state: connection.path(path.pathId)?.state ?? "closed",
    rtt: Duration.toMillis(path.smoothedRtt),
    pto: ptoOf(path.smoothedRtt, path.rttVariance),
    sent: path.bytesSent,
    received: path.bytesReceived,
    mtu: path.mtu
  }))

const sayPaths = (connection: Connection): void => {
  const { system, user } = process.cpuUsage()
  say({ kind: "paths", at: time(), cpu: system + user, paths: pathLines(connection) })
}

const watch = (connection: Connection) =>
  Effect.gen(function* () {
    yield* Effect.forkScoped(
      Stream.runForEach(connection.events, (event) =>
        Effect.sync(() => {
          const code = event._tag === "Abandoned" ? { code: event.code, initiator: event.initiator } : {}
          say({ kind: "event", at: time(), event: event._tag, pathId: event.pathId, ...code })
        })
      )
    )
    yield* Effect.forkScoped(
      Effect.repeat(
        Effect.sync(() => sayPaths(connection)),
        Schedule.spaced(SAMPLE)
      )
    )
  })

/** Counts what arrives, and compares it with what should. */
const makeArrivals = (expected: number) => {
  let bytes = 0
  let binStart = 0
  let inBin = 0
  const flush = (): void => {
    if (inBin > 0) say({ kind: "bytes", at: binStart, bytes: inBin })
    inBin = 0
  }
  return {
    add: (chunk: Uint8Array): void => {
      const now = time()
      if (now - binStart > BIN) {
        flush()
        binStart = now
      }
      for (let at = 0; at < chunk.length;) {
        const from = (bytes + at) % PATTERN.length
        const length = Math.min(chunk.length - at, PATTERN.length - from)
        if (PATTERN.compare(chunk, at, at + length, from, from + length) !== 0)
          throw new Error(`wrong bytes near offset ${bytes + at}`)
        at += length
      }
      inBin += chunk.length
      bytes += chunk.length
    },
    end: (): void => {
      flush()
      say({ kind: "received", at: time(), bytes, whole: bytes === expected })
    }
  }
}

const patternStream = (bytes: number): Stream.Stream<Uint8Array> =>
  Stream.unfold(0, (at) =>
    Effect.succeed(at >= bytes ? undefined : ([patternAt(at, Math.min(32_768, bytes - at)), at + 32_768] as const))
  )

const serve = (options: ServerOptions) =>
  Effect.gen(function* () {
    const endpoint = yield* Endpoint.make({
      listen: options.listen,
      alpn: "net",
      multipath: { maxPaths: 4 },
      idleTimeout: options.idleTimeout ?? "30 seconds",
      ...options.settings
    })
    say({ kind: "ready", addresses: endpoint.addresses.map(NetAddress.formatInet) })
    yield* Stream.runForEach(endpoint.connections, (connection) =>
      Effect.gen(function* () {
        yield* watch(connection)
        const stream = yield* connection.acceptStream
        let request = ""
        while (!request.includes("\n")) {
          const chunk = yield* stream.read
          if (chunk._tag === "None") break
          request += Buffer.from(chunk.value).toString("latin1")
        }
        const [verb, count] = request.trimEnd().split(" ")
        const bytes = Number(count)
        if (verb === "GET") {
          yield* Stream.runForEach(patternStream(bytes), stream.write)
          yield* stream.end()
          yield* stream.flushed
        } else {
          yield* stream.write("go")
          const arrivals = makeArrivals(bytes)
          yield* Stream.runForEach(stream.readable, (chunk) => Effect.sync(() => arrivals.add(chunk)))
          arrivals.end()
          yield* stream.end("done")
        }
        yield* connection.closed
      }).pipe(
        Effect.scoped,
        Effect.catch((error) => Effect.sync(() => say({ kind: "failed", at: time(), message: String(error) }))),
        Effect.forkScoped
      )
    )
  })

const openPaths = (connection: Connection, options: ClientOptions) =>
  Effect.forEach(
    options.paths ?? [],
    (path) =>
      connection.openPath(path).pipe(
        Effect.tap((opened) => opened.validated),
        Effect.catch((error) =>
          Effect.sync(() => say({ kind: "failed", at: time(), message: error.message, reason: error.reason.name }))
        )
      ),
    { discard: true }
  )

const fetch = (options: ClientOptions) =>
  Effect.gen(function* () {
    const connection = yield* Endpoint.connect({ address: options.remote, alpn: "net", local: options.local })
    say({ kind: "connected", at: time() })
    yield* watch(connection)
    yield* openPaths(connection, options)
    say({ kind: "opened", at: time() })
    const { migrate } = options
    if (migrate !== undefined)
      yield* Effect.forkScoped(
        connection
          .path(0)!
          .migrate({ local: migrate.local })
          .pipe(
            Effect.delay(migrate.after),
            Effect.catch((error) => Effect.sync(() => say({ kind: "failed", at: time(), message: error.message })))
          )
      )
    const stream = yield* connection.openStream()
    if (options.direction === "up") {
      yield* stream.write(`PUT ${options.bytes}\n`)
      yield* stream.read
      yield* Stream.runForEach(patternStream(options.bytes), stream.write)
      yield* stream.end()
      yield* stream.text
    } else {
      yield* stream.end(`GET ${options.bytes}\n`)
      const arrivals = makeArrivals(options.bytes)
      yield* Stream.runForEach(stream.readable, (chunk) => Effect.sync(() => arrivals.add(chunk)))
      arrivals.end()
    }
    sayPaths(connection)
    say({ kind: "done", at: time() })
  }).pipe(
    Effect.scoped,
    Effect.catch((error) =>
      Effect.sync(() => {
        say({ kind: "failed", at: time(), message: error.message, reason: error.reason.name })
      })
    )
  )

const options = JSON.parse(process.argv[2]!) as PeerOptions
process.stdin.on("end", () => process.exit(0)).resume()

const program =
  options.role === "server"
    ? serve(options).pipe(Effect.scoped, Effect.provide(Tls.layerSelfSigned()))
    : fetch(options).pipe(
        Effect.provide(
          Endpoint.layer({
            multipath: { maxPaths: 4 },
            idleTimeout: options.idleTimeout ?? "30 seconds",
            ...options.settings
          })
        ),
        Effect.provide(options.auto === true ? PathManager.layerAuto() : PathManager.layerManual),
        Effect.provide(Tls.layerTrustInsecure),
        Effect.andThen(Effect.sync(() => process.stdin.pause().destroy()))
      )

NodeRuntime.runMain(
  program.pipe(
    Effect.provide(UdpSocket.layer),
    Effect.provide(Layer.succeed(Logger.LogToStderr, true))
  ) as Effect.Effect<void, unknown>
)
