/**
 * A server that answers HTTP/0.9 requests with the files of a directory.
 */
import { Effect, Layer } from "effect"
import type { Duration, FileSystem, Path } from "effect"
import type { Connection } from "../Connection.ts"
import { addressText } from "../internal/runtime/Addresses.ts"
import * as Endpoint from "../Endpoint.ts"
import type { QuicError } from "../QuicError.ts"
import * as UdpSocket from "../UdpSocket.ts"
import { ALPN, answer } from "./Http09.ts"
import type { Answer } from "./Http09.ts"

/** Requests of one connection that are answered at the same time; further ones wait. */
const CONCURRENCY = 64

/** Paths of one connection, at most. */
const MAX_PATHS = 16

export interface Options {
  /** A real path. */
  readonly root: string
  readonly listen: ReadonlyArray<string>
  readonly idleTimeout?: Duration.Input | undefined
  readonly retry?: Endpoint.Options["retry"]
  /** How long answers may still take when the scope closes. */
  readonly shutdownTimeout?: Duration.Input | undefined
  /** Runs beside each connection, and is interrupted at its end. */
  readonly onConnection?: ((connection: Connection) => Effect.Effect<void>) | undefined
  /** Called after each answer, on this stream. */
  readonly onAnswer?: ((answer: Answer, streamId: number, connection: Connection) => Effect.Effect<void>) | undefined
}

const serveConnection = (options: Options) =>
  Effect.fnUntraced(function* (connection: Connection) {
    if (options.onConnection !== undefined) yield* Effect.forkScoped(options.onConnection(connection))
    yield* connection.serve(
      (stream) =>
        Effect.flatMap(
          answer(stream, options.root),
          (done) => options.onAnswer?.(done, stream.id, connection) ?? Effect.void
        ),
      { concurrency: CONCURRENCY }
    )
  })

/**
 * Serves until its scope closes; the identity is that of the context. The endpoint tells where it listens.
 */
export const layer = (options: Options): Layer.Layer<Endpoint.Endpoint, QuicError, FileSystem.FileSystem | Path.Path> =>
  Endpoint.serve(serveConnection(options)).pipe(
    Layer.provideMerge(
      Endpoint.layer({
        listen: options.listen,
        alpn: ALPN,
        multipath: { maxPaths: MAX_PATHS },
        shutdownTimeout: options.shutdownTimeout,
        idleTimeout: options.idleTimeout,
        retry: options.retry
      })
    ),
    Layer.provide(UdpSocket.layer)
  )

/** Where an endpoint listens, as text. */
export const addressesOf = (endpoint: Endpoint.Endpoint["Service"]): ReadonlyArray<string> =>
  endpoint.addresses.map(addressText)
