/**
 * A server that answers HTTP/0.9 requests with the files of a directory.
 */
import { Effect, Layer, Stream } from "effect"
import type { FileSystem, Path } from "effect"
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
  readonly idleTimeout?: string | undefined
  /** Runs beside each connection, and is interrupted at its end. */
  readonly onConnection?: ((connection: Connection) => Effect.Effect<void>) | undefined
  /** Called after each answer. `ms` is the time it took to hand it to the connection. */
  readonly onAnswer?: ((answer: Answer, connection: Connection) => Effect.Effect<void>) | undefined
}

const serveConnection = (options: Options) =>
  Effect.fnUntraced(function* (connection: Connection) {
    if (options.onConnection !== undefined) yield* Effect.forkScoped(options.onConnection(connection))
    yield* connection.streams.pipe(
      Stream.mapEffect(
        (stream) =>
          answer(stream, options.root).pipe(
            Effect.flatMap((done) => options.onAnswer?.(done, connection) ?? Effect.void),
            // The client went away, or wants no more of this one.
            Effect.catch((error) => Effect.logDebug(`An answer was not wanted: ${error.message}`))
          ),
        { concurrency: CONCURRENCY, unordered: true }
      ),
      Stream.runDrain
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
        idleTimeout: options.idleTimeout as "10 seconds" | undefined
      })
    ),
    Layer.provide(UdpSocket.layer)
  )

/** Where an endpoint listens, as text. */
export const addressesOf = (endpoint: Endpoint.Endpoint["Service"]): ReadonlyArray<string> =>
  endpoint.addresses.map(addressText)
