/**
 * `mpquic serve`: gives out the files of a directory.
 */
import { Context, Effect, Fiber, FileSystem, Layer, Option, References } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Connection } from "../Connection.ts"
import * as Endpoint from "../Endpoint.ts"
import type { QuicError } from "../QuicError.ts"
import * as Tls from "../Tls.ts"
import { exitCodeHelp, fail, fromError, printFailure } from "./Failure.ts"
import type { CliFailure } from "./Failure.ts"
import { readable } from "./Files.ts"
import * as FileServer from "./FileServer.ts"
import { ALPN, ResetCode } from "./Http09.ts"
import { congestion, DEFAULT_PORT, idleTimeout, layerPolicies, numberFlag, parseAddress, scheduler } from "./Options.ts"
import { asJson, forPeople } from "./ServeEvents.ts"
import type { ServeEvents } from "./ServeEvents.ts"

const flags = {
  dir: Argument.String("dir").pipe(Argument.withDescription("The directory whose files are given out")),
  listen: Flag.String("listen").pipe(
    Flag.filterMap(
      (text) => {
        const address = parseAddress(text, DEFAULT_PORT)
        if (address === undefined) return Option.none()
        return Option.some(
          address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
        )
      },
      (text) =>
        text.includes("%")
          ? "an IP address and a port, with the name of an interface that is up: [fe80::1%eth0]:4433"
          : "an IP address of this host and a port from 0 to 65535: 192.0.2.1:4433, [::]:4433; 0 lets the system choose"
    ),
    Flag.withMetavar("ADDRESS"),
    Flag.withDescription(
      `Where to listen; several times for several. Default: 0.0.0.0:${DEFAULT_PORT}, all IPv4 addresses`
    ),
    Flag.between(0, 64)
  ),
  cert: Flag.String("cert").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Certificate chain, PEM, leaf first. Without it: a self-signed one, new at every start"),
    Flag.optional
  ),
  key: Flag.String("key").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Private key of the certificate, PEM"),
    Flag.optional
  ),
  grace: numberFlag("grace", 0, 3600, "seconds").pipe(
    Flag.withDefault(10),
    Flag.withDescription("Seconds that answers may still take after an interrupt or SIGTERM. Default: 10")
  ),
  retry: Flag.Literals("retry", ["busy", "always", "never"]).pipe(
    Flag.withDefault("busy"),
    Flag.withDescription(
      "When clients prove their address first, with a Retry. Default: busy, while many handshakes go on"
    )
  ),
  idleTimeout,
  scheduler,
  congestion,
  json: Flag.Boolean("json").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Print a line of JSON for each event, and nothing else")
  )
}

type Input = Command.Command.Config.Infer<typeof flags>

/** A self-signed identity, without the warning of the Layer: the command tells by itself what clients need. */
export const layerSelfSigned: Layer.Layer<Tls.SelfSigned, QuicError> = Tls.layerSelfSigned().pipe(
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error"))
)

const layerIdentity = (
  input: Input
): Effect.Effect<Layer.Layer<never, QuicError>, CliFailure, FileSystem.FileSystem> => {
  if (Option.isSome(input.cert) && Option.isSome(input.key)) {
    const [certificate, privateKey] = [input.cert.value, input.key.value]
    return Effect.as(
      Effect.forEach([certificate, privateKey], readable, { discard: true }),
      Tls.layerIdentity({ certificate, privateKey })
    )
  }
  return Option.isSome(input.cert) || Option.isSome(input.key)
    ? Effect.fail(fail("usage", "--cert and --key go together"))
    : Effect.succeed(layerSelfSigned)
}

const run = Effect.fnUntraced(
  function* (input: Input, events: ServeEvents) {
    const files = yield* FileSystem.FileSystem
    const root = yield* files.realPath(input.dir)
    const info = yield* files.stat(root)
    if (info.type !== "Directory") return yield* fail("usage", `${input.dir} is not a directory`)
    const identity = yield* layerIdentity(input)
    const listen = input.listen.length === 0 ? [`0.0.0.0:${DEFAULT_PORT}`] : input.listen
    // They outlive the server, to tell how each connection ended.
    const watching = new Set<Fiber.Fiber<void>>()
    const watch = Effect.fnUntraced(function* (connection: Connection) {
      yield* events.accepted(connection)
      const end = Effect.flatMap(connection.closed, (reason) => events.closed(connection, reason))
      const fiber = yield* Effect.forkDetach(end, { startImmediately: true })
      watching.add(fiber)
      fiber.addObserver(() => watching.delete(fiber))
    })
    let endpoint: Endpoint.Endpoint["Service"] | undefined
    const serving = Effect.gen(function* () {
      const context = yield* Layer.build(
        FileServer.layer({
          root,
          listen,
          onConnection: watch,
          onAnswer: events.answered,
          shutdownTimeout: input.grace * 1000,
          idleTimeout: input.idleTimeout * 1000,
          retry: input.retry
        }).pipe(Layer.provideMerge(identity), Layer.provide(layerPolicies(input)))
      )
      endpoint = Context.get(context, Endpoint.Endpoint)
      const selfSigned = Context.getOption(context, Tls.SelfSigned)
      yield* events.ready({
        root,
        listening: FileServer.addressesOf(endpoint),
        pin: Option.isSome(selfSigned) ? selfSigned.value.fingerprint : undefined
      })
      return yield* Effect.never
    })
    return yield* Effect.onExit(Effect.scoped(serving), () =>
      Effect.suspend(() =>
        endpoint === undefined
          ? Effect.void
          : Effect.andThen(Fiber.awaitAll(Array.from(watching)), events.stopped(endpoint.stats))
      )
    )
  },
  (effect, input) => Effect.mapError(effect, fromError(input.dir)),
  (effect, _input, events) =>
    Effect.tapError(effect, (failure: CliFailure) =>
      Effect.andThen(printFailure(failure.message), events.failed(failure.message))
    )
)

export const serve = Command.make("serve", flags, (input) => run(input, input.json ? asJson : forPeople)).pipe(
  Command.withShortDescription("Give out the files of a directory"),
  Command.withDescription(
    `Give out the files of a directory over HTTP/0.9 on QUIC (ALPN ${ALPN}), over as many paths as clients open. Runs until it is interrupted (or gets a SIGTERM): then it takes no more requests, and ends when those that it has are answered.

A request that cannot be answered ends with a reset of its stream: code ${ResetCode.notFound} not found, ${ResetCode.badRequest} bad request, ${ResetCode.failed} the file could not be read.

With --json each event is a line: "ready" (root, listening, pin), "accepted" (connection, local, remote, multipath), "stream" for each request that was answered (connection, stream, path, status: 200 or the code of the reset, bytes, paths), "closed" (connection, reason, code, initiator, message), and at the end "stopped" with the counters of the endpoint, or "failed" (error).

${exitCodeHelp}`
  ),
  Command.withExamples([
    {
      command: "mpquic serve ./files --listen 192.0.2.1:4433 --listen 198.51.100.1:4433",
      description: "On two addresses, so that clients can open a path to each"
    }
  ])
)
