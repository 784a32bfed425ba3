/**
 * `mpquic serve`: gives out the files of a directory.
 */
import { Context, Effect, FileSystem, Layer, Option, References } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Endpoint from "../Endpoint.ts"
import { addressText } from "../internal/runtime/Addresses.ts"
import type { QuicError } from "../QuicError.ts"
import * as Tls from "../Tls.ts"
import { exitCodeHelp, fail, fromError, printFailure } from "./Failure.ts"
import type { CliFailure } from "./Failure.ts"
import { readable } from "./Files.ts"
import * as FileServer from "./FileServer.ts"
import { ALPN, ResetCode } from "./Http09.ts"
import type { Answer } from "./Http09.ts"
import { congestion, DEFAULT_PORT, idleTimeout, layerPolicies, numberFlag, parseAddress, scheduler } from "./Options.ts"
import { print } from "./Progress.ts"
import { formatBytes } from "./Result.ts"

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
      () => "an IP address of this host and a port from 0 to 65535: 192.0.2.1:4433, [::]:4433; 0 lets the system choose"
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
  idleTimeout,
  scheduler,
  congestion
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

const statusText = (status: number): string => {
  if (status === ResetCode.notFound) return "not found"
  return status === 200 ? "sent" : `refused (${status})`
}

const onAnswer: NonNullable<FileServer.Options["onAnswer"]> = (answer: Answer, connection) =>
  print(
    `${addressText(connection.remote)}  ${answer.path === "" ? "(no request)" : answer.path}  ${statusText(answer.status)}  ${formatBytes(answer.bytes)}  ${connection.paths.length} ${connection.paths.length === 1 ? "path" : "paths"}`
  )

const run = Effect.fnUntraced(
  function* (input: Input) {
    const files = yield* FileSystem.FileSystem
    const root = yield* files.realPath(input.dir)
    const info = yield* files.stat(root)
    if (info.type !== "Directory") return yield* fail("usage", `${input.dir} is not a directory`)
    const identity = yield* layerIdentity(input)
    const listen = input.listen.length === 0 ? [`0.0.0.0:${DEFAULT_PORT}`] : input.listen
    const context = yield* Layer.build(
      FileServer.layer({
        root,
        listen,
        onAnswer,
        shutdownTimeout: input.grace * 1000,
        idleTimeout: input.idleTimeout * 1000
      }).pipe(Layer.provideMerge(identity), Layer.provide(layerPolicies(input)))
    )
    const selfSigned = Context.getOption(context, Tls.SelfSigned)
    yield* print(`serving ${root}`)
    for (const address of FileServer.addressesOf(Context.get(context, Endpoint.Endpoint)))
      yield* print(`listening on ${address}`)
    if (Option.isSome(selfSigned)) {
      yield* print("the certificate is self-signed and new; clients trust it with")
      yield* print(`--pin ${selfSigned.value.fingerprint}`)
    }
    return yield* Effect.never
  },
  Effect.scoped,
  (effect, input) => Effect.mapError(effect, fromError(input.dir)),
  Effect.tapError((failure: CliFailure) => printFailure(failure.message))
)

export const serve = Command.make("serve", flags, run).pipe(
  Command.withShortDescription("Give out the files of a directory"),
  Command.withDescription(
    `Give out the files of a directory over HTTP/0.9 on QUIC (ALPN ${ALPN}), over as many paths as clients open. Runs until it is interrupted (or gets a SIGTERM): then it takes no more requests, and ends when those that it has are answered.

A request that cannot be answered ends with a reset of its stream: code ${ResetCode.notFound} not found, ${ResetCode.badRequest} bad request, ${ResetCode.failed} the file could not be read.

${exitCodeHelp}`
  ),
  Command.withExamples([
    {
      command: "mpquic serve ./files --listen 192.0.2.1:4433 --listen 198.51.100.1:4433",
      description: "On two addresses, so that clients can open a path to each"
    }
  ])
)
