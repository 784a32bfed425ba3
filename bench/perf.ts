/**
 * The benchmark's program over this library, through its public face: `node bench/perf.ts server|client ...`, as README.md
 * has it. One process a side.
 *
 * More than the contract: `--lane`, `--scheduler`, `--congestion`; with `--local` repeated a path from each address (which
 * goes to the `--via` at the same position, if there is one), and then a report of the paths.
 */
import { Duration, Effect, Fiber, Layer, Option, References } from "effect"
import type { Scope } from "effect"
import { NodeRuntime } from "@effect/platform-node"
import { CongestionControl, Endpoint, PathScheduler, Tls, WarmUp } from "../src/index.ts"
import type { Connection, QuicConfig, QuicError, QuicStream } from "../src/index.ts"
import {
  ALPN,
  chunk,
  CHUNK_BYTES,
  CONNECTION_WINDOW,
  fail,
  header,
  measureTransfer,
  readArguments,
  readCount,
  reportIdle,
  reportRate,
  reportStreams,
  seconds,
  stdinClosed,
  STREAM_BYTES,
  STREAM_WINDOW,
  writeCount
} from "./contract.ts"
import { laneLayer } from "./lanes.ts"

const options = readArguments()
const { bytes, count, host, lane, locals, mode, port, vias } = options
const IMPL = `effect-mpquic ${lane}`

const choose = <A>(name: string, choices: Readonly<Record<string, A>>, wanted: string | undefined): A | undefined =>
  wanted === undefined
    ? undefined
    : (choices[wanted] ?? fail(`--${name} is one of ${Object.keys(choices).join(", ")}.`))

const scheduler = choose(
  "scheduler",
  { roundRobin: PathScheduler.layerRoundRobin, lowLatency: PathScheduler.layerLowLatency },
  options.scheduler
)
const congestion = choose(
  "congestion",
  { cubic: CongestionControl.layerCubic, newReno: CongestionControl.layerNewReno },
  options.congestion
)

/** Of the contract; the rest are the defaults. */
const settings: QuicConfig.Input = {
  idleTimeout: options.idleTimeout,
  initialStreamWindow: STREAM_WINDOW,
  maxStreamWindow: STREAM_WINDOW,
  initialConnectionWindow: CONNECTION_WINDOW,
  maxConnectionWindow: CONNECTION_WINDOW,
  maxBidiStreams: 1_000_000,
  maxConnections: 20_000,
  lane
}

const environment = Layer.mergeAll(
  laneLayer(lane),
  Tls.layerCipherSuites("TLS_AES_128_GCM_SHA256"),
  Layer.succeed(References.MinimumLogLevel, "Error"),
  ...(scheduler === undefined ? [] : [scheduler]),
  ...(congestion === undefined ? [] : [congestion])
)

type Transfer<A> = Effect.Effect<A, QuicError.QuicError>

/** Writes `length` bytes, and ends the stream. */
const write = (stream: QuicStream.QuicStream, length: number): Transfer<void> =>
  Effect.gen(function* () {
    for (let left = length; left > CHUNK_BYTES; left -= CHUNK_BYTES) yield* stream.write(chunk)
    yield* stream.end(chunk.subarray(0, length % CHUNK_BYTES || CHUNK_BYTES))
  })

/** Counts what arrives until the end of the stream. */
const countAll = (stream: QuicStream.QuicStream): Transfer<number> =>
  Effect.gen(function* () {
    let total = 0
    yield* stream.consume((piece) => {
      total += piece.length
      return Effect.void
    })
    return total
  })

/** The first bytes of a stream: at least `length`, and what came with them. */
const readAtLeast = (stream: QuicStream.QuicStream, length: number): Transfer<Uint8Array> =>
  Effect.gen(function* () {
    let start: Uint8Array = new Uint8Array(0)
    while (start.length < length) {
      const next = yield* stream.read
      if (Option.isNone(next)) break
      start = start.length === 0 ? next.value : Buffer.concat([start, next.value])
    }
    return start
  })

const answer = (stream: QuicStream.QuicStream): Transfer<void> =>
  Effect.gen(function* () {
    const start = yield* readAtLeast(stream, 9)
    if (start.length < 9) return
    if (start[8] === 0) return yield* write(stream, readCount(start))
    yield* stream.end(writeCount(start.length - 9 + (yield* countAll(stream))))
  })

const server = Endpoint.serveStreams(answer).pipe(
  Layer.provide(Endpoint.layer({ ...settings, listen: `${host}:${port}`, alpn: ALPN, multipath: { maxPaths: 8 } })),
  Layer.provide(Tls.layerSelfSigned())
)

const transfer = (
  connection: Connection.Connection,
  length: number,
  upload: boolean
): Effect.Effect<void, QuicError.QuicError> =>
  Effect.gen(function* () {
    const stream = yield* connection.openStream()
    if (upload) {
      yield* stream.write(header(length, true))
      yield* write(stream, length)
    } else yield* stream.end(header(length, false))
    const counted = upload ? readCount(yield* stream.bytes) : yield* countAll(stream)
    if (counted !== length) return yield* Effect.die(new Error(`${counted} bytes, not ${length}`))
  }).pipe(Effect.scoped)

const connect: Effect.Effect<Connection.Connection, QuicError.QuicError, Endpoint.Endpoint | Scope.Scope> =
  Endpoint.connect({ address: vias[0] ?? `${host}:${port}`, alpn: ALPN, serverName: "localhost", local: locals[0] })

/** Opens a path from each further local address and waits until all of them carry data. */
const openPaths = (connection: Connection.Connection): Transfer<unknown> =>
  Effect.forEach(locals.slice(1), (local, index) =>
    Effect.flatMap(connection.openPath({ local, remote: vias[index + 1] }), (path) => path.validated)
  )

const pathReport = ({ stats }: Connection.Connection): Record<string, unknown> => {
  const total = stats.paths.reduce((sum, path) => sum + path.streamBytesSent + path.streamBytesReceived, 0)
  return {
    packets: {
      sent: stats.paths.reduce((sum, path) => sum + path.packetsSent, 0),
      received: stats.paths.reduce((sum, path) => sum + path.packetsReceived, 0)
    },
    paths: stats.paths.map((path) => ({
      id: path.pathId,
      local: String(path.local),
      bytesSent: path.bytesSent,
      bytesReceived: path.bytesReceived,
      packetsLost: path.packetsLost,
      smoothedRttMs: Duration.toMillis(path.smoothedRtt),
      share: total === 0 ? 0 : (path.streamBytesSent + path.streamBytesReceived) / total
    }))
  }
}

const times = (body: Effect.Effect<unknown, QuicError.QuicError, Endpoint.Endpoint>) =>
  Effect.gen(function* () {
    const start = seconds()
    for (let done = 0; done < count; done++) yield* body
    reportRate(IMPL, mode, count, seconds() - start)
  })

const onConnection = Effect.gen(function* () {
  const connection = yield* connect
  yield* openPaths(connection)
  if (mode === "rr") return yield* times(transfer(connection, 64, false))
  if (mode === "streams") {
    const start = seconds()
    const fibers: Array<Fiber.Fiber<void, QuicError.QuicError>> = []
    for (let begun = 0; begun < count; begun++) {
      fibers.push(yield* Effect.forkChild(transfer(connection, STREAM_BYTES, false)))
    }
    yield* Fiber.joinAll(fibers)
    return reportStreams(IMPL, count, seconds() - start)
  }
  if (options.warm > 0) yield* transfer(connection, options.warm, mode === "upload")
  const end = measureTransfer(IMPL, mode, bytes)
  yield* transfer(connection, bytes, mode === "upload")
  end(pathReport(connection))
})

const client = Effect.suspend(() => {
  if (mode === "handshakes") return times(Effect.scoped(connect))
  if (mode !== "idle") return Effect.scoped(onConnection)
  return Effect.gen(function* () {
    for (let done = 0; done < count; done++) yield* connect
    reportIdle(IMPL, count)
    yield* Effect.promise(stdinClosed)
  }).pipe(Effect.scoped)
}).pipe(
  Effect.provide(Endpoint.layer({ ...settings, multipath: { maxPaths: locals.length > 1 ? locals.length : 0 } })),
  Effect.provide(Tls.layerTrustInsecure)
)

const serve = Effect.scoped(
  Effect.gen(function* () {
    yield* Layer.build(server)
    // With --expose-gc: for who wants to know what is really held.
    process.on("SIGUSR2", () => globalThis.gc?.())
    console.log("ready")
    yield* Effect.promise(stdinClosed)
  })
)

const program = options.role === "server" ? serve : client

NodeRuntime.runMain(
  (options.warmUp ? Effect.andThen(WarmUp.run({ lane }), program) : program).pipe(Effect.provide(environment))
)
