/**
 * The client's side of a download: further paths, and files that are fetched over all of them.
 */
import { Effect, Stream } from "effect"
import type { FileSystem, Path } from "effect"
import { lookup } from "node:dns/promises"
import type { Connection } from "../Connection.ts"
import { addressText } from "../internal/runtime/Addresses.ts"
import type { Event as PathEvent } from "../Path.ts"
import { fail, fromQuic } from "./Failure.ts"
import type { CliFailure } from "./Failure.ts"
import { HashMismatch, writeWhole } from "./Files.ts"
import * as Http09 from "./Http09.ts"
import type { HostPort, Target } from "./Options.ts"
import type { FileReport } from "./Result.ts"
import type { Meter } from "./Transfer.ts"

/** Files that are fetched, and open, at the same time. */
const CONCURRENCY = 16

/** ms that the server has to answer on a new path. */
const VALIDATION_TIMEOUT = 5000

/** A path to open besides the first one. What is left out is as on the first path. */
export interface FurtherPath {
  readonly local?: string | undefined
  readonly remote?: HostPort | undefined
}

const hostPortText = ({ host, port }: HostPort): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

const describe = (path: FurtherPath): string =>
  [
    path.local === undefined ? "" : ` from ${path.local}`,
    path.remote === undefined ? "" : ` to ${hostPortText(path.remote)}`
  ].join("")

const numericHost = (host: string): Effect.Effect<string, CliFailure> =>
  Effect.tryPromise({
    try: () => lookup(host),
    catch: () =>
      fail("unreachable", `${host} could not be resolved to an address; check the name, or give an IP address`)
  }).pipe(Effect.map((found) => found.address))

const openPath = Effect.fnUntraced(function* (
  connection: Connection,
  path: FurtherPath
): Effect.fn.Return<void, CliFailure> {
  const remote = path.remote === undefined ? undefined : yield* numericHost(path.remote.host)
  const address = remote?.includes(":") === true ? `[${remote}]` : remote
  const opened = yield* connection
    .openPath({
      local: path.local,
      remote: path.remote === undefined ? undefined : `${address}:${path.remote.port}`
    })
    .pipe(Effect.mapError(fromQuic))
  yield* opened.validated.pipe(
    Effect.mapError(fromQuic),
    Effect.timeoutOrElse({
      duration: VALIDATION_TIMEOUT,
      orElse: () =>
        Effect.andThen(
          Effect.ignore(opened.close()),
          Effect.fail(fail("unreachable", `no answer from there within ${VALIDATION_TIMEOUT / 1000} s`))
        )
    })
  )
})

/** Opens paths and waits until the server answered on them. One that does not come about is told to `onTrouble`. */
export const openPaths = (
  connection: Connection,
  paths: ReadonlyArray<FurtherPath>,
  onTrouble: (message: string) => Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.forEach(
    paths,
    (path) =>
      Effect.catch(openPath(connection, path), (error) =>
        onTrouble(`no further path${describe(path)}: ${error.message}`)
      ),
    { concurrency: "unbounded", discard: true }
  )

/** What the user should know of an event of a path; undefined: nothing. */
export const pathNews = (event: PathEvent): string | undefined => {
  switch (event._tag) {
    case "Abandoned":
      return event.initiator === "peer"
        ? `the server gave path ${event.pathId} up; it does not come back`
        : `path ${event.pathId} is given up, for want of answers; it does not come back`
    case "Migrated":
      return `path ${event.pathId} leaves from ${addressText(event.local)} now`
    default:
      return undefined
  }
}

/** Tells what becomes of the paths, for as long as the connection lives. */
export const tellPaths = (
  connection: Connection,
  tell: (message: string) => Effect.Effect<void>
): Effect.Effect<void> =>
  Stream.runForEach(connection.events, (event) => {
    const news = pathNews(event)
    return news === undefined ? Effect.void : tell(news)
  })

/** A file to fetch, and where it goes. */
export interface Wanted {
  readonly target: Target
  readonly file: string
  /** What its SHA-256 must be, if that matters. */
  readonly sha256: string | undefined
}

/** What came of one file. */
export interface Outcome {
  readonly report: FileReport
  readonly failure: CliFailure | undefined
}

/** Fetches files, several at a time. One that fails does not stop the others. */
export const fetchAll = (
  connection: Connection,
  wanted: ReadonlyArray<Wanted>,
  meter: Meter
): Effect.Effect<ReadonlyArray<Outcome>, never, FileSystem.FileSystem | Path.Path> =>
  Effect.forEach(
    wanted,
    ({ file, sha256: expected, target }) =>
      writeWhole(file, Http09.request(connection, target.path), meter.add, expected).pipe(
        Effect.map(({ bytes, sha256 }): Outcome => ({
          report: { url: target.url, file, bytes, sha256 },
          failure: undefined
        })),
        Effect.catch((failure) => {
          const came = failure instanceof HashMismatch ? failure.written : { bytes: 0, sha256: null }
          return Effect.succeed<Outcome>({
            report: { url: target.url, file, ...came, error: failure.message },
            failure
          })
        })
      ),
    { concurrency: CONCURRENCY }
  )
