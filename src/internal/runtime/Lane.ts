/**
 * Which code does packet I/O and encryption: native where it is permitted and proves itself, portable elsewhere, and either
 * of them always when somebody says so.
 */
import { Cause, Config, Effect, Option } from "effect"
import type { Scope } from "effect"
import type { PacketProtection } from "../crypto/Protection.ts"
import { BadConfig, QuicError } from "../../QuicError.ts"
import type { BindOptions, BoundSocket } from "./Sockets.ts"
import { isMainThread } from "node:worker_threads"
import { obstacle } from "./native/Availability.ts"

/** `auto`: native where it can be. */
export type LaneSetting = "auto" | "portable" | "native"

/** The native lane, loaded and tested. */
export interface NativeLane {
  readonly bind: (
    address: { readonly host: string; readonly port: number },
    options?: BindOptions
  ) => Effect.Effect<BoundSocket, QuicError, Scope.Scope>
  readonly protection: PacketProtection
}

/** A choice and its reason. `native` undefined stands for the portable lane. */
export interface LaneChoice {
  readonly native: NativeLane | undefined
  readonly why: string
}

/** Loads the native lane. It is loaded on demand, because node:ffi warns and may be forbidden. */
const load: Effect.Effect<LaneChoice> = Effect.gen(function* () {
  const inTheWay = obstacle()
  if (inTheWay !== undefined) return { native: undefined, why: inTheWay }
  const [udp, protection, test] = yield* Effect.promise(() =>
    Promise.all([
      import("./native/NativeUdp.ts"),
      import("./native/NativeProtection.ts"),
      import("./native/SelfTest.ts")
    ])
  )
  const wrong = yield* test.selfTest
  return wrong === undefined
    ? { native: { bind: udp.bindNativeUdp, protection: protection.nativeProtection }, why: "it works here" }
    : { native: undefined, why: `its test failed: ${wrong}` }
}).pipe(
  // A symbol that is missing, an OpenSSL without an algorithm, a permission.
  Effect.catchCause((cause) => {
    const problem = Cause.squash(cause)
    return Effect.succeed({
      native: undefined,
      why: `it cannot be loaded: ${problem instanceof Error ? problem.message : String(problem)}`
    })
  })
)

let attempt: Promise<LaneChoice> | undefined

/** The native lane, or why there is none: found out once in a process, by the real clock. */
export const nativeLane: Effect.Effect<LaneChoice> = Effect.promise(() => (attempt ??= Effect.runPromise(load)))

const variable = "MPQUIC_LANE"

const isSetting = (value: string): value is LaneSetting =>
  value === "auto" || value === "portable" || value === "native"

const badLane = (field: string, value: string, allowed: string, problem?: string): QuicError =>
  new QuicError({ reason: new BadConfig({ field, value, allowed, ...(problem === undefined ? {} : { problem }) }) })

/**
 * What `auto` stands for in a worker. When a worker ends, Node frees memory that V8's compiler threads may still read on behalf
 * of its native functions, and there is no way of its own to end without that (docs/native-lane.md).
 */
const inWorkers: LaneChoice = {
  native: undefined,
  why: "in a worker it could end the whole process; it takes lane or MPQUIC_LANE to be native there"
}

/** What the environment says; `auto` if it says nothing. */
const fromEnvironment: Effect.Effect<LaneSetting, QuicError> = Effect.gen(function* () {
  const value = Option.getOrElse(
    yield* Effect.orElseSucceed(Config.option(Config.String(variable)), () => Option.none<string>()),
    () => "auto"
  )
  return isSetting(value)
    ? value
    : yield* Effect.fail(badLane(variable, JSON.stringify(value), "auto, portable or native"))
})

/** The native lane, or the error of who insists on it. */
export const requireNative = (field: string): Effect.Effect<NativeLane, QuicError> =>
  Effect.flatMap(nativeLane, ({ native, why }) =>
    native === undefined
      ? Effect.fail(badLane(field, "native", "auto or portable", `native code is not available, because ${why}`))
      : Effect.succeed(native)
  )

/**
 * Chooses by a setting of the program, else (`auto`) by MPQUIC_LANE, else by what is possible and safe. Fails with `BadConfig` when
 * either insists on native code where it cannot be.
 */
export const chooseLane = (setting: LaneSetting): Effect.Effect<LaneChoice, QuicError> =>
  Effect.gen(function* () {
    const ofProgram = setting !== "auto"
    const wanted = ofProgram ? setting : yield* fromEnvironment
    if (wanted === "auto") return isMainThread ? yield* nativeLane : inWorkers
    const field = ofProgram ? "lane" : variable
    const why = `${field} is ${wanted}`
    return { native: wanted === "native" ? yield* requireNative(field) : undefined, why }
  })

/** The error of a setting that goes against the sockets that were provided. */
export const wrongSockets = (lane: LaneSetting, provided: string): QuicError =>
  badLane("lane", lane, "auto", `the sockets provided are those of the ${provided} lane; provide UdpSocket.layer`)
