/**
 * `mpquic get`: fetches files over several paths at once.
 */
import { Effect, Layer, Option, Path, Result } from "effect"
import { Argument, CliError, Command, Flag } from "effect/cli"
import * as Endpoint from "../Endpoint.ts"
import { firstOf } from "../internal/runtime/HappyEyeballs.ts"
import * as PathManager from "../PathManager.ts"
import type { QuicError } from "../QuicError.ts"
import { parseFingerprint } from "../internal/tls/certificates/Trust.ts"
import * as Tls from "../Tls.ts"
import * as UdpSocket from "../UdpSocket.ts"
import { conclude } from "./Conclude.ts"
import type { Conclusion } from "./Conclude.ts"
import { fetchAll, openPaths, tellPaths } from "./Download.ts"
import type { FurtherPath, Wanted } from "./Download.ts"
import { CliFailure, exitCodeHelp, fail, fromQuic } from "./Failure.ts"
import { makeDirectory, readable } from "./Files.ts"
import { ALPN } from "./Http09.ts"
import {
  congestion,
  idleTimeout,
  json,
  layerPolicies,
  numberFlag,
  parseAddress,
  parseUrl,
  parseVia,
  scheduler
} from "./Options.ts"
import type { Target } from "./Options.ts"
import { show, silent, standardError } from "./Progress.ts"
import { mbps } from "./Result.ts"
import { OF_WHAT, statsStyle } from "./StatsTable.ts"
import { keepLedger, makeMeter } from "./Transfer.ts"
import type { PathLedger } from "./Transfer.ts"

/** Paths of one connection, at most. */
const MAX_PATHS = 16

const flags = {
  urls: Argument.String("url").pipe(
    Argument.withDescription("https://HOST:PORT/FILE, or HOST:PORT/FILE; all of one server"),
    Argument.mapEffect((text) =>
      Result.match(parseUrl(text), {
        onFailure: (expected) =>
          Effect.fail(new CliError.InvalidValue({ option: "url", value: text, expected, kind: "argument" })),
        onSuccess: (target) => Effect.succeed(target)
      })
    ),
    Argument.atLeast(1)
  ),
  local: Flag.String("local").pipe(
    Flag.filter(
      (text) => parseAddress(text, 0) !== undefined,
      (text) =>
        text.includes("%")
          ? "an IP address of this host, with the name of an interface that is up: fe80::1%eth0, [fe80::1%eth0]:5000"
          : "an IP address of this host, with a port or without: 192.0.2.1, 192.0.2.1:5000, [2001:db8::1]:5000"
    ),
    Flag.withMetavar("ADDRESS"),
    Flag.withDescription(
      "Local address; each further one opens a path from there, and stands in for one that does not work"
    ),
    Flag.between(0, MAX_PATHS)
  ),
  via: Flag.String("via").pipe(
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(parseVia(text)),
      () => "HOST:PORT, or HOST:PORT@LOCAL; ports are 1 to 65535"
    ),
    Flag.withMetavar("HOST:PORT[@LOCAL]"),
    Flag.withDescription("Opens a path to this further address of the same server, from LOCAL if it is given"),
    Flag.between(0, MAX_PATHS)
  ),
  autoPaths: Flag.Boolean("auto-paths").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Opens a path from each address of this host, and follows those that come and go")
  ),
  out: Flag.String("out").pipe(
    Flag.withDefault("."),
    Flag.withMetavar("DIR"),
    Flag.withDescription("Where files go; made if it is not there. Default: here")
  ),
  sha256: Flag.String("sha256").pipe(
    Flag.filterMap(
      (text) => (/^[0-9a-f]{64}$/i.test(text) ? Option.some(text.toLowerCase()) : Option.none()),
      () => "64 hex digits"
    ),
    Flag.withMetavar("HASH"),
    Flag.withDescription("Keep the file (there is one URL) only if it has this SHA-256"),
    Flag.optional
  ),
  pin: Flag.String("pin").pipe(
    Flag.filter(
      (text) => parseFingerprint(text) !== undefined,
      () => "a SHA-256 in hex (colons may be in it) or base64"
    ),
    Flag.withMetavar("HASH"),
    Flag.withDescription("Trust the server by the SHA-256 of its certificate or key, hex or base64"),
    Flag.between(0, 16)
  ),
  ca: Flag.String("ca").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Trust the certificates in this PEM file, instead of the system's"),
    Flag.between(0, 16)
  ),
  insecure: Flag.Boolean("insecure").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Take any certificate: encrypted, but anyone could be the server")
  ),
  timeout: numberFlag("timeout", 0.1, 600, "seconds").pipe(
    Flag.withDefault(10),
    Flag.withDescription("Seconds for the handshake. Default: 10")
  ),
  idleTimeout,
  stats: Flag.Boolean("stats").pipe(
    Flag.withDefault(false),
    Flag.withDescription(
      `A live table of the paths on standard error, and none on standard output, with --json too. In it ${OF_WHAT}`
    )
  ),
  scheduler,
  congestion,
  json
}

type Input = Command.Command.Config.Infer<typeof flags>

/** Who is trusted. At most one way of it, so that none is weakened by another without notice. */
const layerTrust = (input: Input): Effect.Effect<Layer.Layer<never, QuicError>, CliFailure> => {
  const ways = [input.insecure, input.pin.length > 0, input.ca.length > 0].filter(Boolean).length
  if (ways > 1) return Effect.fail(fail("usage", "--insecure, --pin and --ca: give one of them"))
  if (input.insecure) return Effect.succeed(Tls.layerTrustInsecure)
  if (input.pin.length > 0) return Effect.succeed(Tls.layerTrustPinned(...input.pin))
  return Effect.succeed(input.ca.length > 0 ? Tls.layerTrustRoots(...input.ca) : Tls.layerTrustSystem)
}

/** All of one server, each into a file of its own. */
const checkTargets = (targets: ReadonlyArray<Target>): Effect.Effect<Target, CliFailure> => {
  const [first] = targets
  const other = targets.find((target) => target.host !== first!.host || target.port !== first!.port)
  if (other !== undefined)
    return Effect.fail(fail("usage", `${other.url}: files of one server at a time, and the first is ${first!.url}`))
  const names = new Set<string>()
  for (const target of targets) {
    if (names.has(target.name)) return Effect.fail(fail("usage", `two files would be saved as ${target.name}`))
    names.add(target.name)
  }
  return Effect.succeed(first!)
}

/** Those of `--local` that path 0 does not have, and those of `--via`. */
const furtherPaths = (input: Input, used: string | undefined): ReadonlyArray<FurtherPath> => [
  ...input.local.filter((local) => local !== used).map((local): FurtherPath => ({ local })),
  ...input.via.map(({ local, remote }): FurtherPath => ({ local, remote }))
]

/** Connects from the first `--local` that works, and tells which it was. */
const connect = (input: Input, target: Target) => {
  const from = (local: string | undefined) =>
    Effect.map(Endpoint.connect({ ...target, alpn: ALPN, local }), (connection) => ({ connection, local }))
  return firstOf(input.local.length === 0 ? [from(undefined)] : input.local.map(from)).pipe(Effect.mapError(fromQuic))
}

const transfer = Effect.fnUntraced(function* (input: Input, first: Target) {
  const paths = yield* Path.Path
  const out = paths.resolve(input.out)
  yield* makeDirectory(out)
  const expected = Option.getOrUndefined(input.sha256)
  const wanted = input.urls.map((target): Wanted => ({ target, file: paths.join(out, target.name), sha256: expected }))

  const meter = yield* makeMeter
  let ledger: PathLedger | undefined
  const read = () => (ledger === undefined ? undefined : { bytes: meter.bytes, paths: ledger.read() })
  const readAll = () => (ledger === undefined ? undefined : { ...read()!, figures: ledger.figures() })
  const display = input.stats
    ? yield* show({ total: undefined, read: readAll, terminal: standardError, style: statsStyle })
    : input.json
      ? silent
      : yield* show({ total: undefined, read })
  // A terminal has it under the table.
  if (input.stats && !standardError.isTTY) yield* display.note(OF_WHAT)
  const { connection, local } = yield* connect(input, first)
  const kept = yield* keepLedger(connection)
  ledger = kept
  yield* Effect.forkScoped(tellPaths(connection, display.trouble))
  yield* Effect.forkScoped(openPaths(connection, furtherPaths(input, local), display.trouble))
  const outcomes = yield* fetchAll(connection, wanted, meter)
  yield* display.finish

  const reports = outcomes.map((outcome) => outcome.report)
  const came = reports[0]!.sha256
  const sha256Match = expected === undefined || came === null ? null : came === expected
  const all = outcomes.flatMap(({ failure }) => (failure === undefined ? [] : [failure]))
  const bytes = reports.reduce((sum, report) => sum + report.bytes, 0)
  return {
    report: {
      ok: all.length === 0,
      sha256Match,
      bytes,
      seconds: meter.seconds,
      goodputMbps: mbps(bytes, meter.seconds),
      stallMs: meter.longestGap,
      lossOf: "acknowledgements",
      paths: kept.read(),
      files: reports
    },
    failure:
      all.length === 0
        ? undefined
        : new CliFailure({ code: all[0]!.code, message: all.map(({ message }) => message).join("\n") })
  } satisfies Conclusion
})

const run = Effect.fnUntraced(function* (input: Input) {
  const first = yield* checkTargets(input.urls)
  if (Option.isSome(input.sha256) && input.urls.length > 1) return yield* fail("usage", "--sha256 goes with one URL")
  yield* Effect.forEach(input.ca, readable, { discard: true })
  const further = Math.max(0, input.local.length - 1) + input.via.length
  if (1 + further > MAX_PATHS)
    return yield* fail("usage", `--local and --via: ${1 + further} paths; allowed: 1 to ${MAX_PATHS}`)
  const trust = yield* layerTrust(input)
  const layer = Layer.mergeAll(
    Endpoint.layer({
      multipath: { maxPaths: input.autoPaths ? MAX_PATHS : further === 0 ? 0 : Math.max(2, 1 + further) },
      handshakeTimeout: input.timeout * 1000,
      idleTimeout: input.idleTimeout * 1000
    }),
    trust,
    input.autoPaths ? PathManager.layerAuto() : PathManager.layerManual,
    layerPolicies(input)
  ).pipe(Layer.provide(UdpSocket.layer))
  return yield* transfer(input, first).pipe(
    Effect.scoped,
    Effect.provide(layer),
    Effect.catchTag("QuicError", (error) => Effect.fail(fromQuic(error)))
  )
})

export const get = Command.make("get", flags, (input) =>
  conclude(run(input), { json: input.json, interrupted: "what was not whole yet is removed" })
).pipe(
  Command.withShortDescription("Fetch files over several paths at once"),
  Command.withDescription(
    `Fetch files from \`mpquic serve\`, or any server that speaks HTTP/0.9 over QUIC (ALPN ${ALPN}), over several paths at once.

A file is written under a temporary name and renamed when it is whole. The last line is JSON.

${exitCodeHelp}`
  ),
  Command.withExamples([
    {
      command: "mpquic get https://192.0.2.1:4433/big.iso --pin HASH --local 192.0.2.77 --local 198.51.100.77",
      description: "From two addresses of this host"
    },
    {
      command: "mpquic get https://192.0.2.1:4433/big.iso --pin HASH --via 198.51.100.1:4433@198.51.100.77",
      description: "To a second address of the server, from a second address of this host"
    }
  ])
)
