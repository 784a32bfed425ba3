/**
 * The program `mpquic`: its commands, and the exit code that a run ends with.
 */
import { Cause, Console, Effect, Exit, Runtime } from "effect"
import type { Layer } from "effect"
import { CliError, CliOutput, Command } from "effect/cli"
import { demo } from "./Demo.ts"
import { demoPeer } from "./DemoPeer.ts"
import { exitCodeHelp, ExitCode, printFailure } from "./Failure.ts"
import { get } from "./Get.ts"
import { failedReport, toJson } from "./Result.ts"
import { serve } from "./Serve.ts"

export const mpquic = Command.make("mpquic").pipe(
  Command.withDescription(
    `Files over several network paths at once, with multipath QUIC.

${exitCodeHelp}`
  ),
  Command.withSubcommands([demo, serve, get, demoPeer])
)

/**
 * Says what is wrong with the arguments, and where to read more: all of the help would hide it. `json` stands for `--json`,
 * whose line comes whatever happens.
 */
export const layerUsage = (json: boolean): Layer.Layer<never> =>
  CliOutput.layerPresenter({
    present: (event) => {
      if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
      const message = event.errors.map((error) => error.message).join("\n")
      const help = `usage: ${event.helpDoc.usage}\nmore:  ${event.commandPath.join(" ")} --help`
      const told = Effect.andThen(printFailure(message), Console.error(help))
      return json ? Effect.andThen(told, Console.log(toJson(failedReport(message)))) : told
    }
  })

/** As Effect's own, but wrong arguments have a code of their own. */
export const teardown: Runtime.Teardown = (exit, onExit) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  if (error instanceof CliError.ShowHelp && error.errors.length > 0) onExit(ExitCode.usage)
  else Runtime.defaultTeardown(exit, onExit)
}
