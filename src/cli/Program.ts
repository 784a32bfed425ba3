/**
 * The program `mpquic`: its commands, and the exit code that a run ends with.
 */
import { Cause, Exit, Runtime } from "effect"
import { CliError, Command } from "effect/cli"
import { demo } from "./Demo.ts"
import { demoPeer } from "./DemoPeer.ts"
import { exitCodeHelp, ExitCode } from "./Failure.ts"
import { get } from "./Get.ts"
import { serve } from "./Serve.ts"

export const mpquic = Command.make("mpquic").pipe(
  Command.withDescription(
    `Files over several network paths at once, with multipath QUIC.

${exitCodeHelp}`
  ),
  Command.withSubcommands([demo, serve, get, demoPeer])
)

/** As Effect's own, but wrong arguments have a code of their own. */
export const teardown: Runtime.Teardown = (exit, onExit) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  if (error instanceof CliError.ShowHelp && error.errors.length > 0) onExit(ExitCode.usage)
  else Runtime.defaultTeardown(exit, onExit)
}
