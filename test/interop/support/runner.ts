/** Runs cases one after the other, each with a time limit, and says how each went. */
import { Cause, Effect, Exit } from "effect"
import type { Duration, Scope } from "effect"

export interface Case {
  readonly name: string
  /** Default: 30 seconds. */
  readonly limit?: Duration.Input | undefined
  /** What it returns is printed behind its name. */
  readonly run: Effect.Effect<string | void, unknown, Scope.Scope>
}

/** The cases with one peer. */
export interface Suite {
  readonly name: string
  /** Gets the peer. When it fails all the cases are skipped, and the reason is printed. */
  readonly prepare: Effect.Effect<void, Error>
  readonly cases: ReadonlyArray<Case>
}

export interface Summary {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** Fails the case with a message that says what was expected. */
export const expect = (condition: boolean, message: string): Effect.Effect<void, Error> =>
  condition ? Effect.void : Effect.fail(new Error(message))

/** Fails the case unless both are the same JSON. */
export const same = (actual: unknown, expected: unknown, what: string): Effect.Effect<void, Error> =>
  expect(
    JSON.stringify(actual) === JSON.stringify(expected),
    `${what}: got ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`
  )

const describeFailure = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

const runCase = (suite: Suite, test: Case): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const start = performance.now()
    const exit = yield* test.run.pipe(
      Effect.scoped,
      Effect.timeoutOrElse({
        duration: test.limit ?? "30 seconds",
        orElse: () => Effect.fail(new Error(`not done after ${String(test.limit ?? "30 seconds")}`))
      }),
      Effect.exit
    )
    const took = `${Math.round(performance.now() - start)} ms`
    const passed = Exit.isSuccess(exit)
    const said = passed ? (exit.value ?? "") : describeFailure(exit.cause)
    console.log(`${passed ? "pass" : "FAIL"}  ${suite.name}: ${test.name} (${took})${said === "" ? "" : ` ${said}`}`)
    return passed
  })

/** `only` keeps the cases whose "suite: name" contains it. */
export const runSuites = (suites: ReadonlyArray<Suite>, only: string): Effect.Effect<Summary> =>
  Effect.gen(function* () {
    let [passed, failed, skipped] = [0, 0, 0]
    for (const suite of suites) {
      const cases = suite.cases.filter((test) => `${suite.name}: ${test.name}`.includes(only))
      if (cases.length === 0) continue
      const prepared = yield* Effect.exit(suite.prepare)
      if (Exit.isFailure(prepared)) {
        console.log(`skip  ${suite.name}: ${cases.length} cases, because ${describeFailure(prepared.cause)}`)
        skipped += cases.length
        continue
      }
      for (const test of cases) {
        if (yield* runCase(suite, test)) passed++
        else failed++
      }
    }
    return { passed, failed, skipped }
  })
