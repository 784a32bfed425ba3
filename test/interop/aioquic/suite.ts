/** aioquic: Retry, ChaCha20, key updates, version 2 and migration. */
import { Effect } from "effect"
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import type { Credentials } from "../support/credentials.ts"
import * as Ours from "../support/ours.ts"
import { run, start } from "../support/peer.ts"
import { linkCases } from "../support/links.ts"
import { expect, same } from "../support/runner.ts"
import type { Case, Suite } from "../support/runner.ts"
import {
  clientCases,
  keyCases,
  listening,
  refusalCases,
  resumesOurs,
  resumesTheirs,
  retryCases,
  serverCases,
  streamCases
} from "../support/standard.ts"
import type { Program } from "../support/standard.ts"

const PACKAGE = "aioquic==1.7.2"

const MB = 1024 * 1024

const VERSION_2 = 0x6b3343cf

const CHACHA = "TLS_CHACHA20_POLY1305_SHA256"

export const suite = (cache: string, credentials: Credentials): Suite => {
  const folder = join(cache, "venv")
  const python = join(folder, "bin/python")
  const script = join(import.meta.dirname, "peer.py")
  const client = (port: number, verb: string, args: ReadonlyArray<string | number>, env: Record<string, string> = {}) =>
    start(python, [script, "client", credentials.authority, `${port}`, verb, ...args.map(String)], env)
  const server = (
    options: { readonly idle?: number; readonly retry?: boolean } = {},
    env: Record<string, string> = {}
  ) =>
    start(python, [script, "server", credentials.certificate, credentials.privateKey, `${options.idle ?? 30_000}`], {
      RETRY: options.retry === true ? "1" : "0",
      ...env
    })
  const program: Program = { client: (port, verb, ...args) => client(port, verb, args), server }

  const inVersion = (name: string, env: string, allowed: ReadonlyArray<number>): Case => ({
    name: `client, ${name}`,
    run: Effect.gen(function* () {
      const ours = yield* Ours.serve({ credentials })
      const peer = yield* client(ours.port, "get", [MB], { VERSION: env })
      const version = Number((yield* peer.event("session"))["version"])
      yield* expect(allowed.includes(version), `version ${version.toString(16)}`)
      yield* same((yield* peer.event("done"))["ok"], true, "transfer")
      return `in version ${version === VERSION_2 ? 2 : version}`
    })
  })

  return {
    name: "aioquic",
    prepare: Effect.suspend(() => {
      if (existsSync(join(folder, "installed"))) return Effect.void
      mkdirSync(cache, { recursive: true })
      return run("python3", ["-m", "venv", folder]).pipe(
        Effect.andThen(run(python, ["-m", "pip", "install", "--quiet", PACKAGE])),
        Effect.andThen(run(python, ["-c", `open(${JSON.stringify(join(folder, "installed"))}, "w")`]))
      )
    }),
    cases: [
      ...clientCases(program, credentials),
      ...serverCases(program, credentials),
      ...retryCases(program, credentials),
      resumesOurs(program, credentials),
      resumesTheirs(program, credentials),
      ...keyCases(program, credentials),
      ...refusalCases(program, credentials),
      ...streamCases(program, credentials),
      ...linkCases(program, credentials, { moves: 2 }),
      {
        name: "client, ChaCha20-Poly1305",
        run: Effect.gen(function* () {
          const ours = yield* Ours.serve({ credentials })
          const peer = yield* client(ours.port, "put", [MB], { SUITE: "chacha20" })
          const connection = yield* ours.next
          yield* same((yield* peer.event("done"))["ok"], true, "transfer")
          yield* same(connection.handshake.cipherSuite, CHACHA, "cipher suite")
        })
      },
      {
        name: "server, ChaCha20-Poly1305",
        run: Effect.gen(function* () {
          const { port } = yield* listening(server({}, { SUITE: "chacha20" }))
          const connection = yield* Ours.connect({ credentials, port })
          yield* Ours.put(connection, MB)
          yield* Ours.get(connection, MB)
          yield* same(connection.handshake.cipherSuite, CHACHA, "cipher suite")
        })
      },
      {
        name: "client, it migrates to another port while it receives",
        run: Effect.gen(function* () {
          const ours = yield* Ours.serve({ credentials })
          const peer = yield* client(ours.port, "migrate", [10 * MB])
          const connection = yield* ours.next
          const before = connection.remote.port
          yield* same((yield* peer.event("done"))["ok"], true, "transfers before, during and after")
          yield* expect(connection.remote.port !== before, `still sending to port ${before}`)
        })
      },
      inVersion("it begins in version 2", "2only", [VERSION_2]),
      // A server need not take up the offer.
      inVersion("it begins in version 1 and prefers version 2 (RFC 9368)", "2", [1, VERSION_2])
    ]
  }
}
