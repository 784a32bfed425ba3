/**
 * Path scheduling: which path the next packet takes.
 *
 * A scheduler is a plain synchronous object that the protocol calls once per packet, so it must not allocate, wait or
 * throw. What is provided is a factory: every connection gets a scheduler of its own. It is read when a connection is
 * made, from the context of `Endpoint.connect` or, for accepted connections, from the one the endpoint was built in.
 *
 * @module
 * @since 0.1.0
 */
import { Context, Effect, Layer } from "effect"
import { lowLatency } from "./internal/paths/schedulers/LowLatency.ts"
import { roundRobin } from "./internal/paths/schedulers/RoundRobin.ts"
import type { Factory } from "./internal/paths/Scheduler.ts"

export type {
  PacketKind,
  PathState,
  PathStatus,
  PathView,
  SelectContext,
  Scheduler,
  Factory
} from "./internal/paths/Scheduler.ts"

/**
 * The scheduler that new connections use. Without a Layer: the lowest RTT first.
 *
 * @category services
 * @since 0.1.0
 */
export const PathScheduler: Context.Reference<Factory> = Context.Reference<Factory>("effect-mpquic/PathScheduler", {
  defaultValue: () => lowLatency
})

/**
 * Uses a scheduler of one's own. The factory is called once per connection. One that needs services comes out of an Effect.
 *
 * **Example** (Prefer one network)
 *
 * ```ts
 * import { PathScheduler } from "effect-mpquic"
 *
 * const preferWifi = PathScheduler.layer(() => ({
 *   name: "preferWifi",
 *   select: ({ paths }) =>
 *     paths.find((path) => path.canSend && path.local.host.startsWith("192.168.")) ?? paths.find((path) => path.canSend)
 * }))
 * ```
 *
 * **Example** (A scheduler with a dependency)
 *
 * ```ts
 * import { Context, Effect } from "effect"
 * import { PathScheduler } from "effect-mpquic"
 *
 * class Metered extends Context.Service<Metered, ReadonlySet<string>>()("app/Metered") {}
 *
 * const preferUnmetered = PathScheduler.layer(
 *   Effect.map(Metered, (metered) => () => ({
 *     name: "preferUnmetered",
 *     select: ({ paths }) =>
 *       paths.find((path) => path.canSend && !metered.has(path.local.host)) ?? paths.find((path) => path.canSend)
 *   }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(factory) ? Layer.effect(PathScheduler, factory) : Layer.succeed(PathScheduler, factory)

/**
 * Paths take turns, packet by packet; one whose window is full is passed over. Use it where paths are alike.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRoundRobin: Layer.Layer<never> = layer(roundRobin)

/**
 * The lowest smoothed RTT that can send. The default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLowLatency: Layer.Layer<never> = layer(lowLatency)
