import { it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Logger, References, Stream } from "effect"
import type { Scope } from "effect"
import { TestClock } from "effect/testing"
import { Endpoint } from "../../src/index.ts"
import type { Connection } from "../../src/index.ts"
import { isQuicError } from "../../src/QuicError.ts"
import * as SeededRandom from "../../src/testing/SeededRandom.ts"
import * as SimulatedNetwork from "../../src/testing/SimulatedNetwork.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"

/**
 * Lets time pass under TestClock until the effect and its scope are done: at most `limit` ms of it. Connections linger when
 * their scope ends, so time has to pass then too.
 */
export const drive = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  limit = 60_000
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.gen(function* () {
    // No child: the end of a parent waits for its children, and nobody lets time pass then.
    const fiber = yield* Effect.forkDetach(Effect.scoped(effect), { startImmediately: true })
    for (let time = 0; time < limit && fiber.pollUnsafe() === undefined; time += 20) yield* TestClock.adjust(20)
    if (fiber.pollUnsafe() === undefined) {
      fiber.interruptUnsafe()
      return yield* Effect.die(new Error(`not done after ${limit} ms`))
    }
    return yield* Fiber.join(fiber)
  })

/** A test in a world of its own, in which time passes by itself. */
export const scenario = (
  name: string,
  body: (world: World) => Effect.Effect<unknown, unknown, Scope.Scope>,
  options?: Parameters<typeof makeWorld>[0]
): void => it.effect(name, () => drive(Effect.flatMap(makeWorld(options), body)))

export const serverHost = "10.9.0.1"
export const serverAddress = `${serverHost}:4433`

export interface World {
  readonly network: SimulatedNetwork.SimulatedNetwork["Service"]
  /** The client's host. */
  readonly host: SimulatedNetwork.Host
  readonly client: Endpoint.Endpoint["Service"]
  readonly server: Endpoint.Endpoint["Service"]
  /** Another endpoint of the client's host. */
  readonly another: Effect.Effect<Endpoint.Endpoint["Service"], unknown, Scope.Scope>
  /** A connection, and its other end. */
  readonly pair: (
    options?: Partial<Endpoint.ConnectOptions>
  ) => Effect.Effect<
    { readonly client: Connection.Connection; readonly server: Connection.Connection },
    unknown,
    Scope.Scope
  >
}

/** A client with two addresses and a server, 10 ms apart; their endpoints live in the scope. */
export const makeWorld = (options?: {
  readonly client?: Endpoint.Options | undefined
  readonly server?: Endpoint.Options | undefined
  readonly seed?: number | undefined
  readonly trace?: boolean | undefined
  readonly delay?: number | undefined
  /** Of the server's endpoint, when it is to end before the rest. */
  readonly serverScope?: Scope.Scope | undefined
  /** What the server's endpoint is built in. */
  readonly around?: (<A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) | undefined
}) =>
  Effect.gen(function* () {
    const network = yield* SimulatedNetwork.make({
      seed: options?.seed ?? 1,
      link: { delay: options?.delay ?? 10 },
      trace: options?.trace
    })
    const clientHost = network.host("client", ["10.0.0.1", "10.0.1.1"])
    const host = network.host("server", [serverHost])
    const scope = yield* Effect.scope
    const build = (layer: Layer.Layer<Endpoint.Endpoint, unknown>, within: Scope.Scope = scope) =>
      Effect.map(Layer.buildWithScope(layer, within), (context) =>
        Effect.provide(Effect.service(Endpoint.Endpoint), context)
      )
    const around = options?.around ?? ((effect) => effect)
    const server = yield* yield* around(
      build(
        Endpoint.layer({ listen: serverAddress, alpn: ["test"], multipath: { maxPaths: 3 }, ...options?.server }).pipe(
          Layer.provide(host.udpSocket),
          Layer.provide(TestCertificates.layer),
          Layer.provide(SeededRandom.layer(2))
        ),
        options?.serverScope
      )
    )
    const client = yield* yield* build(
      Endpoint.layer({ multipath: { maxPaths: 3 }, ...options?.client }).pipe(
        Layer.provide(clientHost.udpSocket),
        Layer.provide(TestCertificates.layer),
        Layer.provide(SeededRandom.layer(3))
      )
    )
    const pair: World["pair"] = (connectOptions) =>
      Effect.gen(function* () {
        const accepted = yield* Effect.forkChild(takeOne(server))
        const connection = yield* connectTo(client, connectOptions)
        return { client: connection, server: yield* Fiber.join(accepted) }
      })
    let seed = 3
    const another = Effect.suspend(() =>
      Endpoint.make().pipe(Effect.provide(clientHost.udpSocket), Effect.provide(SeededRandom.layer(++seed)))
    )
    return { network, host: clientHost, client, server, pair, another } satisfies World
  })

export const connectTo = (client: Endpoint.Endpoint["Service"], options?: Partial<Endpoint.ConnectOptions>) =>
  client
    .connect({ address: serverAddress, alpn: "test", serverName: "server.test", ...options } as Endpoint.ConnectOptions)
    .pipe(Effect.provide(TestCertificates.layer))

/** The next accepted connection. */
export const takeOne = (server: Endpoint.Endpoint["Service"]) =>
  Effect.map(
    server.connections.pipe((stream) => Stream.take(stream, 1), Stream.runCollect),
    (all) => all[0]!
  )

export const reasonOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "success"
  for (const reason of exit.cause.reasons) {
    if (Cause.isFailReason(reason) && isQuicError(reason.error)) return reason.error.reason.name
  }
  return String(exit.cause)
}

/** What is logged while the effect runs: level, message and annotations of each line. */
export interface LoggedLine {
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

export const logged = <A, E, R>(
  lines: Array<LoggedLine>,
  effect: Effect.Effect<A, E, R>,
  minimum: "Debug" | "Info" = "Debug"
): Effect.Effect<A, E, R> =>
  effect.pipe(
    Effect.provide(
      Logger.layer([
        Logger.make((entry) => {
          const message = Array.isArray(entry.message) ? entry.message.join(" ") : String(entry.message)
          lines.push({
            level: entry.logLevel,
            message,
            annotations: { ...entry.fiber.getRef(References.CurrentLogAnnotations) }
          })
        })
      ])
    ),
    Effect.provideService(References.MinimumLogLevel, minimum)
  )

/** Serves at the endpoint for as long as the scope. */
export const serving = (
  endpoint: Endpoint.Endpoint["Service"],
  layer: Layer.Layer<never, unknown, Endpoint.Endpoint>
): Effect.Effect<void, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    yield* Layer.buildWithScope(layer.pipe(Layer.provide(Layer.succeed(Endpoint.Endpoint, endpoint))), scope)
  })
