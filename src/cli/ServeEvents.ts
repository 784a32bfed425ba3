/**
 * What a server tells while it runs: lines for people, or a line of JSON for each event.
 */
import { Effect } from "effect"
import type { CloseReason, Connection } from "../Connection.ts"
import type { Stats } from "../Endpoint.ts"
import { addressText } from "../internal/runtime/Addresses.ts"
import { ResetCode } from "./Http09.ts"
import type { Answer } from "./Http09.ts"
import { print } from "./Progress.ts"
import { formatBytes } from "./Result.ts"

/** Where a server listens and what it gives out. */
export interface Ready {
  readonly root: string
  readonly listening: ReadonlyArray<string>
  /** SHA-256 of a self-signed certificate. */
  readonly pin: string | undefined
}

export interface ServeEvents {
  readonly ready: (ready: Ready) => Effect.Effect<void>
  readonly accepted: (connection: Connection) => Effect.Effect<void>
  /** A request was answered, on this stream. */
  readonly answered: (answer: Answer, streamId: number, connection: Connection) => Effect.Effect<void>
  readonly closed: (connection: Connection, reason: CloseReason) => Effect.Effect<void>
  readonly stopped: (stats: Stats) => Effect.Effect<void>
  readonly failed: (message: string) => Effect.Effect<void>
}

const statusText = (status: number): string => {
  if (status === ResetCode.notFound) return "not found"
  return status === 200 ? "sent" : `refused (${status})`
}

/** For people: what is asked for. */
export const forPeople: ServeEvents = {
  ready: ({ listening, pin, root }) =>
    Effect.forEach(
      [
        `serving ${root}`,
        ...listening.map((address) => `listening on ${address}`),
        ...(pin === undefined ? [] : ["the certificate is self-signed and new; clients trust it with", `--pin ${pin}`])
      ],
      print,
      { discard: true }
    ),
  answered: (answer, _streamId, connection) =>
    print(
      `${addressText(connection.remote)}  ${answer.path === "" ? "(no request)" : answer.path}  ${statusText(answer.status)}  ${formatBytes(answer.bytes)}  ${connection.paths.length} ${connection.paths.length === 1 ? "path" : "paths"}`
    ),
  accepted: () => Effect.void,
  closed: () => Effect.void,
  stopped: () => Effect.void,
  failed: () => Effect.void
}

const line = (event: string, fields: object): Effect.Effect<void> =>
  Effect.suspend(() => print(JSON.stringify({ event, ...fields })))

/** For programs: each event is one line. */
export const asJson: ServeEvents = {
  ready: (ready) => line("ready", ready),
  accepted: (connection) =>
    line("accepted", {
      connection: connection.id,
      local: addressText(connection.local),
      remote: addressText(connection.remote),
      multipath: connection.multipath
    }),
  answered: ({ bytes, path, status }, streamId, connection) =>
    line("stream", {
      connection: connection.id,
      stream: streamId,
      path,
      status,
      bytes,
      paths: connection.paths.map(({ id }) => id)
    }),
  closed: (connection, reason) =>
    line("closed", {
      connection: connection.id,
      reason: reason._tag,
      code: "code" in reason ? reason.code : undefined,
      initiator: "initiator" in reason ? reason.initiator : undefined,
      message: reason.message
    }),
  stopped: (stats) => line("stopped", { stats }),
  failed: (error) => line("failed", { ok: false, error })
}
