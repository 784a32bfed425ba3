/**
 * Brings the packet path to its full speed before the first connection needs it.
 *
 * V8 interprets code before it compiles it, and compiles it well only when it has seen it run for a while: the first 30 MB
 * of a process take about as long as the next 150. Servers, and whoever measures, can have that behind them when the first
 * client comes.
 *
 * **Example** (Serve when warm)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Endpoint, Tls, UdpSocket, WarmUp } from "effect-mpquic"
 *
 * const ServerLive = Endpoint.layer({ listen: "0.0.0.0:4433", alpn: "echo" }).pipe(
 *   Layer.provide(WarmUp.layer()),
 *   Layer.provide(Tls.layerSelfSigned()),
 *   Layer.provide(UdpSocket.layer)
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Effect, Layer, References, Stream } from "effect"
import * as Endpoint from "./Endpoint.ts"
import * as Arguments from "./internal/runtime/Arguments.ts"
import type * as QuicConfig from "./QuicConfig.ts"
import { QuicError } from "./QuicError.ts"
import * as Tls from "./Tls.ts"
import type { UdpSocket } from "./UdpSocket.ts"

/**
 * How warm.
 *
 * @category configuration
 * @since 0.1.0
 */
export interface Options {
  /** Bytes to send in each direction of one connection, in MB: 0 to 1,000, 15 unless set. */
  readonly megabytes?: number | undefined
  /** Connections to make: 1 to 10,000, 50 unless set. */
  readonly handshakes?: number | undefined
  /** The lane to warm up (`QuicConfig.lane`). */
  readonly lane?: QuicConfig.Input["lane"]
}

const ALPN = "warm-up"
const CHUNK = 65_536

const readOptions = (options: Options | undefined) => {
  const { handshakes = 50, lane, megabytes = 15 } = Arguments.copyOf("WarmUp", options, "WarmUp ")
  return {
    megabytes: Arguments.wholeNumber("WarmUp megabytes", megabytes, 0, 1000),
    handshakes: Arguments.wholeNumber("WarmUp handshakes", handshakes, 1, 10_000),
    lane
  }
}

/**
 * Connects to itself over loopback, with a certificate and sockets of its own that are gone afterwards, and sends
 * bytes both ways. Takes some 0.5 s of one core. Needs a real network: it does not work with simulated sockets.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (options?: Options): Effect.Effect<void, QuicError, UdpSocket> =>
  Effect.gen(function* () {
    const given = Arguments.attempt("WarmUp", () => readOptions(options))
    if (given instanceof QuicError) return yield* given
    const { handshakes, lane, megabytes } = given
    const server = yield* Endpoint.make({ listen: "127.0.0.1:0", alpn: ALPN, lane })
    yield* Stream.runForEach(server.connections, (connection) =>
      Effect.forkChild(connection.serve((stream) => Stream.run(stream.readable, stream.sink)))
    ).pipe(Effect.forkScoped)
    const client = yield* Endpoint.make({ lane })
    const connect = client.connect({ address: server.addresses[0]!, alpn: ALPN, serverName: "localhost" })
    for (let made = 1; made < handshakes; made++) yield* Effect.scoped(connect)
    const stream = yield* Effect.flatMap(connect, (connection) => connection.openStream())
    const send = Effect.gen(function* () {
      const chunk = new Uint8Array(CHUNK)
      for (let left = megabytes * 1e6; left > 0; left -= CHUNK) yield* stream.write(chunk)
      yield* stream.end()
    })
    const receive = stream.consume(() => Effect.void)
    yield* Effect.all([send, receive], { concurrency: 2, discard: true })
  }).pipe(
    Effect.scoped,
    Effect.provide([Tls.layerSelfSigned({ names: ["localhost"] }), Tls.layerTrustInsecure]),
    // Nobody is served with this certificate.
    Effect.provideService(References.MinimumLogLevel, "None")
  )

/**
 * Warms up when the Layer is built: provide it to what should wait for that.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never, QuicError, UdpSocket> => Layer.effectDiscard(run(options))
