/**
 * Tables of what callers may hand in wrongly: each row is one field of one operation, with the values that must be refused by
 * its name, at once.
 */
import { Effect, Exit, Option } from "effect"
import type { Scope } from "effect"
import type { Connection, Path, QuicError, QuicStream, UdpSocket } from "../../src/index.ts"
import type { World } from "../shell/support.ts"

export interface Target {
  readonly world: World
  readonly connection: Connection.Connection
  readonly stream: QuicStream.QuicStream
  readonly path: Path.Path
}

export type Needs = Scope.Scope | UdpSocket.UdpSocket

export type Operation = (value: never, target: Target) => Effect.Effect<unknown, unknown, Needs>

/** Takes any value where the types want a certain one, as a program without types would give it. */
export const operation = (run: (value: any, target: Target) => Effect.Effect<unknown, unknown, Needs>): Operation => run

export const thrower = Object.defineProperty({}, "valueOf", {
  get() {
    throw new Error("no such luck")
  }
})

/** What nobody can mean. Each operation says which of them it takes after all. */
export const numbers: Record<string, unknown> = {
  NaN: Number.NaN,
  "-1": -1,
  "1.5": 1.5,
  "2^53": 2 ** 53,
  "2^62": 2 ** 62,
  Infinity,
  "-Infinity": -Infinity,
  text: "1",
  null: null,
  bigint: 1n,
  object: {},
  array: [],
  Date: new Date(0),
  promise: Promise.resolve(1),
  symbol: Symbol("1"),
  function: () => 1,
  thrower
}

/** Addresses that nobody can be reached at and answer from. */
export const nobody: Record<string, unknown> = {
  any: "0.0.0.0",
  any6: "::",
  mapped: "::ffff:0.0.0.0",
  multicast: "224.0.0.251",
  multicast6: "ff02::fb",
  broadcast: "255.255.255.255"
}

export const notText: Record<string, unknown> = {
  number: 5,
  null: null,
  object: {},
  array: [],
  symbol: Symbol("a"),
  thrower
}

export type Row = readonly [
  name: string,
  field: string,
  wrong: Record<string, unknown>,
  run: Operation,
  right?: ReadonlyArray<string>
]

/** Rows of which a value was not refused, or not as it should be. */
export const faultsOf = (rows: ReadonlyArray<Row>, target: Target): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const faults: Array<string> = []
    for (const [name, field, wrong, run, right = []] of rows) {
      for (const [kind, value] of Object.entries(wrong)) {
        if (right.includes(kind)) continue
        // At once: no time passes here unless somebody waits for it.
        const exit = yield* Effect.scoped(Effect.suspend(() => run(value as never, target))).pipe(
          Effect.provide(target.world.network.host("nobody", []).udpSocket),
          Effect.timeoutOption(1),
          Effect.exit
        )
        const said = verdict(exit)
        const ok = said.startsWith("BadConfig") && said.includes(field) && /; allowed: \S/.test(said)
        if (!ok) faults.push(`${name} of ${kind}: ${said}`)
      }
    }
    return faults
  })

export const verdict = (exit: Exit.Exit<Option.Option<unknown>, unknown>): string => {
  if (Exit.isSuccess(exit)) return Option.isNone(exit.value) ? "none: it waits" : "success"
  const [reason] = exit.cause.reasons
  if (reason?._tag !== "Fail") return `no failure: ${String(exit.cause).slice(0, 200)}`
  const error = reason.error as QuicError.QuicError
  return `${error.reason?._tag}: ${error.message}`
}
