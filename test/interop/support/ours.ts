/**
 * This library's side, through its public face: a server that does what the first line of a stream says, and a client that
 * says it. Every peer program speaks the same.
 *
 * A bidirectional stream of the client begins with a line: `GET n` is answered with n bytes of the pattern, `PUT` (bytes up
 * to FIN) with their SHA-256 in hex, `ECHO` (bytes up to FIN) with the same bytes; `CLOSE code reason` makes the server
 * close, and `KEYS` update its keys; `RESET code` and `STOP code` do so to the stream, and `UNI n`, on a unidirectional
 * stream, is answered with n bytes on another one. `PATHS` is answered with what the server sees of its paths, as JSON. Datagrams are sent
 * back.
 */
import { Effect, Fiber, Layer, Option, Queue, Schedule, Stream } from "effect"
import type { Scope } from "effect"
import { createHash } from "node:crypto"
import { Endpoint, Tls, UdpSocket } from "../../../src/index.ts"
import type { Connection } from "../../../src/Connection.ts"
import type { QuicError } from "../../../src/QuicError.ts"
import type { QuicStream, ReceiveStream, SendStream } from "../../../src/QuicStream.ts"
import type { Credentials } from "./credentials.ts"
import { patternHash, pieces } from "./pattern.ts"
import { expect, same } from "./runner.ts"

export const ALPN = "interop"

const decoder = new TextDecoder("latin1")

const sendPattern = (stream: SendStream, length: number): Effect.Effect<void, QuicError> =>
  Effect.andThen(
    Effect.forEach(pieces(length), (piece) => stream.write(piece), { discard: true }),
    stream.end()
  )

const hashOf = (stream: ReceiveStream, first: Uint8Array): Effect.Effect<string, QuicError> =>
  Effect.suspend(() => {
    const hash = createHash("sha256").update(first)
    return Effect.as(
      Stream.runForEach(stream.readable, (bytes) => Effect.sync(() => hash.update(bytes))),
      hash
    )
  }).pipe(Effect.map((hash) => hash.digest("hex")))

/** The first line, and what came after it. */
const firstLine = (stream: ReceiveStream): Effect.Effect<readonly [string, Uint8Array], QuicError> =>
  Effect.gen(function* () {
    let head = new Uint8Array(0)
    for (;;) {
      const end = head.indexOf(10)
      if (end >= 0) return [decoder.decode(head.subarray(0, end)), head.subarray(end + 1)] as const
      const next = yield* stream.read
      if (Option.isNone(next)) return [decoder.decode(head), new Uint8Array(0)] as const
      head = Uint8Array.from([...head, ...next.value])
    }
  })

const answer = (connection: Connection, stream: QuicStream): Effect.Effect<void, QuicError> =>
  Effect.gen(function* () {
    const [line, rest] = yield* firstLine(stream)
    const [command = "", first = "", ...words] = line.split(" ")
    switch (command) {
      case "GET":
        return yield* sendPattern(stream, Number(first))
      case "PUT":
        return yield* stream.end(yield* hashOf(stream, rest))
      case "ECHO":
        yield* stream.write(rest)
        return yield* Stream.run(stream.readable, stream.sink)
      case "CLOSE":
        return yield* connection.close({ code: Number(first), reason: words.join(" ") })
      case "KEYS":
        return yield* stream.end(String(yield* connection.updateKeys))
      case "RESET":
        return yield* stream.reset({ code: Number(first) })
      case "STOP":
        yield* stream.stop({ code: Number(first) })
        return yield* stream.end()
      case "PATHS":
        return yield* stream.end(JSON.stringify(connection.stats.paths.map(pathFigures)))
      default:
        return yield* stream.reset({ code: 1 })
    }
  })

const answerUni = (connection: Connection, stream: ReceiveStream): Effect.Effect<void, QuicError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const [line] = yield* firstLine(stream)
      const back = yield* connection.openUniStream()
      yield* sendPattern(back, Number(line.slice("UNI ".length)))
      yield* back.flushed
    })
  )

/** What a side says of a path: data frames do not count, packets do. */
const pathFigures = (path: Connection["stats"]["paths"][number]) => ({
  id: path.pathId,
  sent: path.bytesSent,
  received: path.bytesReceived
})

export interface ServerOptions extends Omit<Endpoint.Options, "listen"> {
  readonly credentials: Credentials
  readonly suites?: ReadonlyArray<Tls.CipherSuite["name"]> | undefined
}

export interface Server {
  readonly port: number
  /** Connections, as they are accepted. */
  readonly next: Effect.Effect<Connection>
  readonly stats: () => Endpoint.Stats
}

const suitesLayer = (suites: ServerOptions["suites"]): Layer.Layer<never> =>
  suites === undefined ? Layer.empty : Tls.layerCipherSuites(...suites)

/** Serves until the scope ends. */
export const serve = (options: ServerOptions): Effect.Effect<Server, QuicError, Scope.Scope> =>
  Effect.gen(function* () {
    const { credentials, suites, ...settings } = options
    const accepted = yield* Queue.unbounded<Connection>()
    const scope = yield* Effect.scope
    const handler = (connection: Connection) =>
      Effect.gen(function* () {
        yield* Queue.offer(accepted, connection)
        yield* Effect.forkChild(
          Effect.ignore(Stream.runForEach(connection.datagrams, (bytes) => connection.sendDatagram(bytes)))
        )
        yield* Effect.forkChild(
          Effect.ignore(
            Stream.runForEach(connection.uniStreams, (stream) =>
              Effect.forkChild(Effect.ignore(answerUni(connection, stream)))
            )
          )
        )
        yield* Stream.runForEach(connection.streams, (stream) =>
          Effect.forkChild(Effect.ignore(answer(connection, stream)))
        )
      })
    const context = yield* Layer.buildWithScope(
      Endpoint.serve(handler).pipe(
        Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: [ALPN], ...settings })),
        Layer.provide(suitesLayer(suites)),
        Layer.provide(Tls.layerIdentity(credentials)),
        Layer.provide(UdpSocket.layer)
      ),
      scope
    )
    const endpoint = yield* Effect.provide(Effect.service(Endpoint.Endpoint), context)
    return { port: endpoint.addresses[0]!.port, next: Queue.take(accepted), stats: () => endpoint.stats }
  })

export interface ClientOptions extends Omit<Endpoint.Options, "listen" | "alpn"> {
  readonly credentials: Credentials
  readonly port: number
  readonly alpn?: string | undefined
  /** Default: trusts the authority of the credentials. */
  readonly trust?: Layer.Layer<never, QuicError> | undefined
  readonly suites?: ReadonlyArray<Tls.CipherSuite["name"]> | undefined
}

/** Connects to a server on this machine. */
export const connect = (options: ClientOptions): Effect.Effect<Connection, QuicError, Scope.Scope> =>
  Effect.gen(function* () {
    const { credentials, port, alpn, trust, suites, ...settings } = options
    const scope = yield* Effect.scope
    const context = yield* Layer.buildWithScope(
      Layer.mergeAll(
        Endpoint.layer(settings),
        trust ?? Tls.layerTrustRoots(credentials.authority),
        suitesLayer(suites)
      ).pipe(Layer.provide(UdpSocket.layer)),
      scope
    )
    return yield* Endpoint.connect({
      address: `127.0.0.1:${port}`,
      serverName: "localhost",
      alpn: alpn ?? ALPN
    }).pipe(Effect.provide(context))
  })

/** Asks for `length` bytes and checks them. */
export const get = (connection: Connection, length: number): Effect.Effect<void, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stream = yield* connection.openStream()
      yield* stream.end(`GET ${length}\n`)
      yield* same(yield* hashOf(stream, new Uint8Array(0)), patternHash(length), "hash of what the peer sent")
    })
  )

/** Sends `length` bytes and checks what the server says of them. */
export const put = (connection: Connection, length: number): Effect.Effect<void, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stream = yield* connection.openStream()
      yield* stream.write("PUT\n")
      yield* sendPattern(stream, length)
      yield* same(yield* stream.text, patternHash(length), "hash of what the peer received")
    })
  )

/** Sends `length` bytes and checks that they come back. */
export const echo = (connection: Connection, length: number): Effect.Effect<void, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stream = yield* connection.openStream()
      yield* stream.write("ECHO\n")
      const back = yield* Effect.forkChild(hashOf(stream, new Uint8Array(0)))
      yield* sendPattern(stream, length)
      yield* same(yield* Fiber.join(back), patternHash(length), "hash of the echo")
    })
  )

/** The same with a unidirectional stream each way. */
export const uni = (connection: Connection, length: number): Effect.Effect<void, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stream = yield* connection.openUniStream()
      yield* stream.end(`UNI ${length}\n`)
      const back = yield* connection.acceptUniStream
      yield* same(yield* hashOf(back, new Uint8Array(0)), patternHash(length), "hash of what the peer sent")
    })
  )

/** The code that an operation fails with. */
const codeOf = (tag: "StreamReset" | "StreamStopped", effect: Effect.Effect<unknown, QuicError>) =>
  Effect.flatMap(effect, () => Effect.fail(new Error(`no ${tag}`))).pipe(
    Effect.catchReason("QuicError", tag, (reason) => Effect.succeed(reason.code))
  )

/** Has the server reset a stream, and gives the code that arrives. */
export const wasReset = (connection: Connection, code: number): Effect.Effect<number, QuicError | Error> =>
  codeOf("StreamReset", ask(connection, `RESET ${code}`))

/** Has the server refuse what we send, and gives the code that arrives. */
export const wasStopped = (connection: Connection, code: number): Effect.Effect<number, QuicError | Error> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stream = yield* connection.openStream()
      yield* stream.write(`STOP ${code}\n`)
      return yield* codeOf("StreamStopped", Effect.forever(Effect.andThen(stream.write("more"), Effect.sleep(1))))
    })
  )

/** Sends a line and gives the answer. */
export const ask = (connection: Connection, line: string): Effect.Effect<string, QuicError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stream = yield* connection.openStream()
      yield* stream.end(`${line}\n`)
      return yield* stream.text
    })
  )

/** Sends datagrams one after the other and waits for each to come back; loss of a few is allowed. */
export const datagrams = (connection: Connection, count: number, size: number): Effect.Effect<string, unknown> =>
  Effect.gen(function* () {
    yield* expect(connection.maxDatagramSize >= size, `datagrams of ${connection.maxDatagramSize} bytes at most`)
    const returned = yield* Queue.unbounded<Uint8Array>()
    yield* Effect.forkChild(Stream.runForEach(connection.datagrams, (bytes) => Queue.offer(returned, bytes)))
    let received = 0
    for (let i = 0; i < count; i++) {
      yield* connection.sendDatagram(new Uint8Array(size).fill(i))
      const back = yield* Effect.timeoutOption(Queue.take(returned), "1 second")
      if (Option.isSome(back) && back.value.length === size && back.value[0] === (i & 0xff)) received++
    }
    yield* expect(received >= count * 0.95, `${received} of ${count} datagrams came back`)
    return `${received} of ${count} came back`
  })

/** An update may have to wait until the one before is settled (RFC 9001 section 6.5). */
export const updateKeys = (connection: Connection): Effect.Effect<void, Error> =>
  Effect.flatMap(connection.updateKeys, (updated) => expect(updated, "a key update is not allowed yet")).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 50 })
  )
