/**
 * HTTP/0.9 over QUIC streams, ALPN `hq-interop`: the client sends `GET /path` and a line end on a bidirectional stream
 * and ends it; the server answers with the bytes of the file and the end of the stream. There is no status: a server that
 * cannot answer resets the stream with one of the codes below.
 */
import { Effect, FileSystem, Option, Path, Stream } from "effect"
import type { PlatformError } from "effect/PlatformError"
import type { Connection } from "../Connection.ts"
import { isQuicError, StreamReset } from "../QuicError.ts"
import type { QuicError } from "../QuicError.ts"
import type { QuicStream } from "../QuicStream.ts"
import { fail, fromQuic } from "./Failure.ts"
import type { CliFailure } from "./Failure.ts"
import { decoded } from "./Options.ts"

/** The application protocol. */
export const ALPN = "hq-interop"

/** Codes of RESET_STREAM: HTTP's status codes, for want of any in HTTP/0.9. */
export const ResetCode = {
  /** Not a request of HTTP/0.9. */
  badRequest: 400,
  /** There is no such file, or it is not to be given out. */
  notFound: 404,
  /** The file cannot be read, or not to its end. */
  failed: 500
} as const

/** Longest request taken, in bytes. */
const REQUEST_LIMIT = 8192

/** How long a client may take to send one. */
const REQUEST_TIMEOUT = "30 seconds"

/** Bytes read from the disk at a time. */
const READ_SIZE = 64 * 1024

/** `path` is absolute and percent-encoded. */
export const formatRequest = (path: string): string => `GET ${path}\r\n`

/** The path that a request asks for, percent-encoded, or undefined when it is no request. */
export const parseRequest = (request: string): string | undefined => /^GET (\/[!-~]*)\r?\n?$/.exec(request)?.[1]

/**
 * The parts of the file name that a request's path stands for, or undefined for a path that must not be followed. Dots that
 * would lead out of the directory are refused, not resolved.
 */
export const pathSegments = (path: string): ReadonlyArray<string> | undefined => {
  const query = path.indexOf("?")
  const segments: Array<string> = []
  for (const encoded of (query < 0 ? path : path.slice(0, query)).split("/")) {
    const segment = decoded(encoded)
    // eslint-disable-next-line no-control-regex
    if (segment === undefined || segment === ".." || /[\u0000/\\]/.test(segment)) return undefined
    if (segment !== "" && segment !== ".") segments.push(segment)
  }
  return segments
}

/** A file that may be given out. */
interface Served {
  readonly file: string
  readonly size: number
}

/**
 * The regular file inside `root` that a request's path names; nothing when there is none. Symbolic links are followed only
 * as long as they stay inside. `root` is a real path.
 */
export const findFile = Effect.fnUntraced(function* (
  root: string,
  path: string
): Effect.fn.Return<Option.Option<Served>, PlatformError, FileSystem.FileSystem | Path.Path> {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const segments = pathSegments(path)
  if (segments === undefined) return Option.none()
  const file = yield* files.realPath(paths.join(root, ...segments))
  const inside = paths.relative(root, file)
  if (inside === "" || inside.startsWith("..") || paths.isAbsolute(inside)) return Option.none()
  // Before it is opened: opening a pipe would wait for its writer.
  const info = yield* files.stat(file)
  return info.type === "File" ? Option.some({ file, size: Number(info.size) }) : Option.none()
})

/** What was answered to one request. */
export interface Answer {
  readonly path: string
  /** Bytes of the file that were handed to the connection. */
  readonly bytes: number
  /** 200, or the code of the reset. */
  readonly status: number
}

/** Reads up to the end of the line or of the stream; undefined when it is too long. */
const readRequest = Effect.fnUntraced(function* (stream: QuicStream): Effect.fn.Return<string | undefined, QuicError> {
  let request = ""
  while (request.length <= REQUEST_LIMIT) {
    const chunk = yield* stream.read
    if (Option.isNone(chunk)) return request
    request += Buffer.from(chunk.value).toString("latin1")
    const end = request.indexOf("\n")
    if (end >= 0) return end <= REQUEST_LIMIT ? request.slice(0, end + 1) : undefined
  }
  return undefined
})

/**
 * Answers one request with a file inside `root` (a real path). Never fails because of the request or the file: those are
 * answered with a reset. Fails when the client went away.
 */
export const answer = Effect.fnUntraced(function* (
  stream: QuicStream,
  root: string
): Effect.fn.Return<Answer, QuicError, FileSystem.FileSystem | Path.Path> {
  const files = yield* FileSystem.FileSystem
  const refuse = (path: string, status: number, bytes = 0) =>
    Effect.as(Effect.andThen(stream.stop({ code: status }), stream.reset({ code: status })), { path, bytes, status })

  const request = yield* Effect.timeoutOption(readRequest(stream), REQUEST_TIMEOUT)
  const line = Option.getOrUndefined(request)
  const path = line === undefined ? undefined : parseRequest(line)
  if (path === undefined) return yield* refuse("", ResetCode.badRequest)
  // What follows the line means nothing.
  yield* stream.stop()
  const found = yield* Effect.orElseSucceed(findFile(root, path), () => Option.none<Served>())
  if (Option.isNone(found)) return yield* refuse(path, ResetCode.notFound)

  let bytes = 0
  return yield* files.stream(found.value.file, { chunkSize: READ_SIZE }).pipe(
    Stream.runForEach((chunk) => {
      bytes += chunk.length
      return stream.write(chunk)
    }),
    Effect.andThen(stream.end()),
    Effect.map(() => ({ path, bytes, status: 200 })),
    Effect.catch((error) => (isQuicError(error) ? Effect.fail(error) : refuse(path, ResetCode.failed, bytes)))
  )
})

/** Why a stream with an answer ended before the answer did. */
const refused = (path: string, error: QuicError): CliFailure => {
  const { reason } = error
  if (!(reason instanceof StreamReset)) return fromQuic(error)
  switch (reason.code) {
    case ResetCode.notFound: {
      return fail("notFound", `${path}: not found on the server`)
    }
    case ResetCode.badRequest: {
      return fail("failed", `${path}: the server did not understand the request`)
    }
    case ResetCode.failed: {
      return fail("failed", `${path}: the server could not read the file to its end`)
    }
    default: {
      return fail("failed", `${path}: ${error.message}`)
    }
  }
}

/** Asks for a path (percent-encoded) and gives the bytes of the answer. All of them, or a failure: never a part. */
export const request = (connection: Connection, path: string): Stream.Stream<Uint8Array, CliFailure> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const stream = yield* connection.openStream()
      yield* stream.end(formatRequest(path))
      return Stream.mapError(stream.readable, (error) => refused(path, error))
    }).pipe(Effect.mapError((error) => refused(path, error)))
  )
