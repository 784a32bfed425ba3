/**
 * The end of a command that transfers something: a summary, the line of JSON as the last one, and the exit code.
 */
import { Effect, Exit } from "effect"
import { fail, printFailure } from "./Failure.ts"
import type { CliFailure } from "./Failure.ts"
import { print } from "./Progress.ts"
import { failedReport, summaryLines, toJson } from "./Result.ts"
import type { TransferReport } from "./Result.ts"

/** What a transfer came to. `failure` says why `report.ok` is false. */
export interface Conclusion {
  readonly report: TransferReport
  readonly failure: CliFailure | undefined
}

/**
 * Runs a transfer and tells how it ended: summary and JSON on standard output, what went wrong on standard error and before
 * the JSON. Fails when something did, so that the process has the exit code.
 */
export const conclude = <R>(
  transfer: Effect.Effect<Conclusion, CliFailure, R>,
  options: {
    /** Nothing but the JSON on standard output. */
    readonly json: boolean
    /** What is told when the user interrupts it. */
    readonly interrupted: string
  }
): Effect.Effect<void, CliFailure, R> =>
  transfer.pipe(
    Effect.onExit((exit) =>
      Exit.hasInterrupts(exit)
        ? Effect.andThen(
            printFailure(`interrupted; ${options.interrupted}`),
            print(toJson(failedReport("interrupted")))
          )
        : Effect.void
    ),
    Effect.catch((failure) => Effect.succeed<Conclusion>({ report: failedReport(failure.message), failure })),
    Effect.flatMap(
      Effect.fnUntraced(function* ({ failure, report }) {
        if (!options.json && report.bytes > 0) yield* Effect.forEach(summaryLines(report), print, { discard: true })
        const reason = failure ?? (report.ok ? undefined : fail("failed", report.error ?? "the transfer failed"))
        if (reason !== undefined) yield* printFailure(reason.message)
        yield* print(toJson(report))
        if (reason !== undefined) return yield* reason
      })
    )
  )
