#!/usr/bin/env node
/**
 * Runs the program `mpquic` in this process.
 */
import { Effect, Layer, Logger, References } from "effect"
import { CliConfig, Command, GlobalFlag } from "effect/cli"
import { readFileSync } from "node:fs"
import { layerUsage, mpquic, teardown } from "./Program.ts"

/** Only the program needs it: who uses the library alone does not have to install it. */
const [NodeRuntime, NodeServices] = await Promise.all([
  import("@effect/platform-node/NodeRuntime"),
  import("@effect/platform-node/NodeServices")
]).catch((cause: NodeJS.ErrnoException) => {
  if (cause.code !== "ERR_MODULE_NOT_FOUND") throw cause
  process.stderr.write("mpquic needs @effect/platform-node: npm install @effect/platform-node\n")
  process.exit(1)
})

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

// A reader that went away (`mpquic demo | head -1`) must not end the program before it has cleaned up.
process.stdout.on("error", () => {})

// Node calls the interface behind the native lane experimental: nothing that who runs a program can act on.
const warn = process.listeners("warning")
process.removeAllListeners("warning")
process.on("warning", (warning) => {
  if (warning.name !== "ExperimentalWarning") for (const listener of warn) listener(warning)
})

mpquic.pipe(
  Command.run({ version }),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
      layerUsage(process.argv.includes("--json")),
      // Standard output is for results.
      Layer.succeed(Logger.LogToStderr, true),
      Layer.succeed(References.MinimumLogLevel, "Warn")
    )
  ),
  NodeRuntime.runMain({ teardown })
)
