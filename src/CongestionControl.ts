/**
 * Congestion control: how much may be in flight on a path, and how fast it leaves.
 *
 * A controller is a plain synchronous object that the protocol calls for every packet and every acknowledgement, so it must
 * not wait or throw. What is provided is a factory: every connection gets controllers of its own, one for each path, and
 * those of one connection may share state. It is read when a connection is made, from the context of `Endpoint.connect`
 * or, for accepted connections, from the one the endpoint was built in.
 *
 * @module
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { cubic } from "./internal/congestion/Cubic.ts"
import type { Factory } from "./internal/congestion/Controller.ts"
import { newReno } from "./internal/congestion/NewReno.ts"

export type {
  PathRttView,
  PathInfo,
  Controller,
  ConnectionControllers,
  Factory
} from "./internal/congestion/Controller.ts"

/**
 * The congestion control that new connections use. Without a Layer: CUBIC on each path.
 *
 * @category services
 * @since 0.1.0
 */
export const CongestionControl: Context.Reference<Factory> = Context.Reference<Factory>(
  "effect-mpquic/CongestionControl",
  { defaultValue: () => cubic }
)

/**
 * Uses congestion control of one's own. The factory is called once per connection, and what it returns once per
 * path. One that needs services comes out of an Effect.
 *
 * **Example** (A window that never moves)
 *
 * ```ts
 * import { CongestionControl } from "effect-mpquic"
 *
 * const fixed = CongestionControl.layer(() => ({
 *   make: (path) => ({
 *     name: "fixed",
 *     congestionWindow: 64 * path.maxDatagramSize,
 *     pacingRate: 0,
 *     slowStartThreshold: 0,
 *     onPacketSent: () => {},
 *     onAcked: () => {},
 *     onCongestion: () => {},
 *     onPersistentCongestion: () => {},
 *     onSpuriousLoss: () => {},
 *     reset: () => {},
 *     close: () => {}
 *   })
 * }))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(factory) ? Layer.effect(CongestionControl, factory) : Layer.succeed(CongestionControl, factory)

/**
 * NewReno on each path, as RFC 9002 describes it: halves the window on loss and adds one packet a round trip. Use it where
 * its simple, well-known behaviour matters more than throughput over long fat networks.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNewReno: Layer.Layer<never> = layer(newReno)

/**
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406) on each path. The default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerCubic: Layer.Layer<never> = layer(cubic)
