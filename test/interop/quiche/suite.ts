import { Effect } from "effect"
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import type { Credentials } from "../support/credentials.ts"
import { linkCases } from "../support/links.ts"
import { run, start } from "../support/peer.ts"
import type { Suite } from "../support/runner.ts"
import { clientCases, refusalCases, resumesOurs, retryCases, serverCases } from "../support/standard.ts"
import type { Program } from "../support/standard.ts"

const PACKAGE = "@currentspace/http3@0.9.0"

const WINDOW = 64 * 1024 * 1024

const peer = join(import.meta.dirname, "peer.ts")

export const suite = (cache: string, credentials: Credentials): Suite => {
  const folder = join(cache, "quiche")
  const program: Program = {
    // Its sender overruns MAX_DATA now and then, whoever receives: keep the limit out of its way.
    settings: { initialConnectionWindow: WINDOW, maxConnectionWindow: WINDOW },
    client: (port, verb, ...args) =>
      start(process.execPath, [peer, "client", folder, credentials.authority, `${port}`, verb, ...args.map(String)]),
    server: (options) =>
      start(
        process.execPath,
        [peer, "server", folder, credentials.certificate, credentials.privateKey, `${options?.idle ?? 30_000}`],
        { RETRY: options?.retry === true ? "1" : "0" }
      )
  }
  return {
    name: "quiche",
    prepare: Effect.suspend(() => {
      if (existsSync(join(folder, "node_modules/@currentspace/http3/package.json"))) return Effect.void
      mkdirSync(folder, { recursive: true })
      return run("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--prefix", folder, PACKAGE])
    }),
    cases: [
      ...clientCases(program, credentials),
      ...serverCases(program, credentials),
      ...retryCases(program, credentials),
      resumesOurs(program, credentials),
      ...refusalCases(program, credentials),
      // It does not retire the connection ID of before a move, and so has none of ours left for a second one.
      ...linkCases(program, credentials, { moves: 1 })
    ]
  }
}
