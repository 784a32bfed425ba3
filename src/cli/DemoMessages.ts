/**
 * The processes of the demonstration and what they tell each other, over the IPC channel that Node gives a forked process.
 */
import { Cause, Effect, Queue, Schema } from "effect"
import type { Scope } from "effect"
import { fork } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { extname } from "node:path"
import { fileURLToPath } from "node:url"
import { fail } from "./Failure.ts"
import type { CliFailure } from "./Failure.ts"
import { congestionNames, schedulerNames } from "./Options.ts"
import { PathReport } from "./Result.ts"

const policies = {
  scheduler: Schema.Literals(schedulerNames),
  congestion: Schema.Literals(congestionNames)
}

const tagged = <const Type extends string, const Fields extends Schema.Struct.Fields>(type: Type, fields: Fields) =>
  Schema.Struct({ type: Schema.Literal(type), ...fields })

const Address = Schema.Struct({ host: Schema.String, port: Schema.Number })

/** From the demonstration to a peer: what to be, and later what happened. */
export const Order = Schema.Union([
  tagged("Serve", { root: Schema.String, ...policies }),
  tagged("Get", {
    /** Path of the request. */
    path: Schema.String,
    /** Where the file goes. */
    file: Schema.String,
    /** One per path: where it leaves from (nothing: another port of the first one's), and the relay it goes to. */
    paths: Schema.Array(Schema.Struct({ local: Schema.optional(Schema.String), remote: Address })),
    pin: Schema.String,
    ...policies
  }),
  /** A path was cut now: gaps count from here. */
  tagged("Cut", {}),
  /** Tell the figures of the paths. */
  tagged("Report", {})
])
export type Order = typeof Order.Type

/** From a peer to the demonstration. */
export const Message = Schema.Union([
  /** The process is up. */
  tagged("Ready", {}),
  tagged("Listening", { port: Schema.Number, pin: Schema.String }),
  tagged("Progress", { bytes: Schema.Number, paths: Schema.Array(PathReport) }),
  tagged("Trouble", { message: Schema.String }),
  tagged("Done", {
    bytes: Schema.Number,
    sha256: Schema.String,
    seconds: Schema.Number,
    stallMs: Schema.Number,
    paths: Schema.Array(PathReport)
  }),
  tagged("Report", { paths: Schema.Array(PathReport) }),
  tagged("Failed", { message: Schema.String })
])
export type Message = typeof Message.Type

/** After its way through JSON. */
export const isOrder = Schema.is(Order)
const isMessage = Schema.is(Message)

/** A forked peer, as the demonstration sees it. */
export interface Peer {
  readonly tell: (order: Order) => Effect.Effect<void>
  /** The next message. Fails when the process failed or is gone. */
  readonly next: Effect.Effect<Message, CliFailure>
}

/** The command that a peer runs; not shown in the help. */
export const PEER_COMMAND = "demo-peer"

/** `main.ts` beside this file, or `main.js` in a build. */
const entry = (): string => {
  const own = import.meta.url
  return fileURLToPath(new URL(`./main${extname(new URL(own).pathname)}`, own))
}

const start = (name: string): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => fork(entry(), [PEER_COMMAND], { stdio: ["ignore", "ignore", "inherit", "ipc"] })),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        // It ends by itself when the channel does; a process that hangs is not waited for.
        if (child.connected) child.disconnect()
      }).pipe(Effect.timeoutOption(2000), Effect.andThen(Effect.sync(() => child.kill("SIGKILL"))))
  ).pipe(Effect.withSpan(`demo.${name}`))

/** Starts a peer in a process of its own, which ends with the scope. */
export const spawn = Effect.fnUntraced(function* (name: string): Effect.fn.Return<Peer, never, Scope.Scope> {
  const child = yield* start(name)
  const messages = yield* Queue.unbounded<Message, CliFailure>()
  const over = (why: string): void => {
    Queue.failCauseUnsafe(messages, Cause.fail(fail("failed", `the ${name}'s process ${why}`)))
  }
  child.on("message", (message) => {
    if (isMessage(message)) Queue.offerUnsafe(messages, message)
    else over("says what is not understood: is it of another version?")
  })
  child.on("error", (error) => over(`could not be started: ${error.message}`))
  child.on("exit", (code, signal) => over(`ended early (${signal ?? `exit code ${code}`})`))
  return {
    tell: (order) =>
      Effect.sync(() => {
        // A process that is gone is told by `next`.
        if (child.connected) child.send(order, () => {})
      }),
    next: Effect.flatMap(Queue.take(messages), (message) =>
      message.type === "Failed" ? Effect.fail(fail("failed", `${name}: ${message.message}`)) : Effect.succeed(message)
    )
  }
})

/** The demonstration, as a peer sees it. */
export interface Boss {
  readonly tell: (message: Message) => Effect.Effect<void>
  /** The next order. Fails when the demonstration is gone. */
  readonly next: Effect.Effect<Order, CliFailure>
}

/** The channel of a forked process to the one that forked it; closed with the scope. */
export const boss: Effect.Effect<Boss, CliFailure, Scope.Scope> = Effect.gen(function* () {
  const orders = yield* Queue.unbounded<Order, CliFailure>()
  const send = process.send?.bind(process) as ((message: Message, sent: () => void) => boolean) | undefined
  if (send === undefined) return yield* fail("usage", `${PEER_COMMAND} is started by demo only`)
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      process.on("message", (order) => {
        if (isOrder(order)) Queue.offerUnsafe(orders, order)
        else Queue.failCauseUnsafe(orders, Cause.fail(fail("failed", "an order that is not understood")))
      })
      process.on("disconnect", () => {
        Queue.failCauseUnsafe(orders, Cause.fail(fail("interrupted", "the demonstration is over")))
      })
    }),
    () =>
      Effect.sync(() => {
        if (process.connected) process.disconnect?.()
      })
  )
  return {
    tell: (message) =>
      Effect.sync(() => {
        if (process.connected) send(message, () => {})
      }),
    next: Queue.take(orders)
  }
})
