/**
 * Interoperability: other implementations of QUIC, as clients of our server and as servers of our client, over real UDP on
 * this machine. They are installed into `.cache/interop`. An argument keeps the cases whose name contains it. What our side does
 * packet I/O with is `MPQUIC_LANE`, which here is `portable` unless it is set.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Logger } from "effect"
import { join } from "node:path"
import { suite as quiche } from "./quiche/suite.ts"
import { suite as aioquic } from "./aioquic/suite.ts"
import { suite as noq } from "./noq/suite.ts"
import { makeCredentials } from "./support/credentials.ts"
import { runSuites } from "./support/runner.ts"

process.env["MPQUIC_LANE"] ??= "portable"

const cache = join(import.meta.dirname, "../../.cache/interop")

const program = Effect.gen(function* () {
  const credentials = makeCredentials(join(cache, "credentials"))
  const summary = yield* runSuites(
    [quiche(cache, credentials), noq(cache, credentials), aioquic(cache, credentials)],
    process.argv[2] ?? ""
  )
  console.log(`${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} skipped`)
  process.exitCode = summary.failed === 0 ? 0 : 1
})

NodeRuntime.runMain(program.pipe(Effect.provide(Logger.layer([]))), { disableErrorReporting: false })
