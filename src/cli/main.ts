#!/usr/bin/env node
/**
 * The program `mpquic`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit, Layer, Logger, References, Runtime } from "effect"
import { CliConfig, CliError, Command, GlobalFlag } from "effect/cli"
import { readFileSync } from "node:fs"
import { demo } from "./Demo.ts"
import { demoPeer } from "./DemoPeer.ts"
import { exitCodeHelp, ExitCode } from "./Failure.ts"
import { get } from "./Get.ts"
import { serve } from "./Serve.ts"

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

const mpquic = Command.make("mpquic").pipe(
  Command.withDescription(
    `Files over several network paths at once, with multipath QUIC.

${exitCodeHelp}`
  ),
  Command.withSubcommands([demo, serve, get, demoPeer])
)

/** Wrong arguments have a code of their own; Effect's is 1. */
const teardown: Runtime.Teardown = (exit, onExit) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  if (error instanceof CliError.ShowHelp && error.errors.length > 0) onExit(ExitCode.usage)
  else Runtime.defaultTeardown(exit, onExit)
}

// A reader that went away (`mpquic demo | head -1`) must not end the program before it has cleaned up.
process.stdout.on("error", () => {})

mpquic.pipe(
  Command.run({ version }),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
      // Standard output is for results.
      Layer.succeed(Logger.LogToStderr, true),
      Layer.succeed(References.MinimumLogLevel, "Warn")
    )
  ),
  NodeRuntime.runMain({ teardown })
)
