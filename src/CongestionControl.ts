/**
 * Congestion control: how much may be in flight on a path, and how fast it leaves. Each side controls what it sends: for a
 * download, that is the server.
 *
 * A controller is a plain synchronous object that the protocol calls for every packet and every acknowledgement, so it must
 * not wait or throw: what it throws ends the connection (INTERNAL_ERROR) and is in the log. What is provided is a factory:
 * every connection gets controllers of its own, one for each path, and those of one connection may share state. It is read
 * when a connection is made, from the context of `Endpoint.connect` or, for accepted connections, from the one the endpoint
 * was built in.
 *
 * @module
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { balia as baliaFactory } from "./internal/congestion/Balia.ts"
import { bbr as bbrFactory } from "./internal/congestion/Bbr.ts"
import { cubic as cubicFactory } from "./internal/congestion/Cubic.ts"
import type { Factory, PathInfo } from "./internal/congestion/Controller.ts"
import { lia as liaFactory } from "./internal/congestion/Lia.ts"
import { newReno as newRenoFactory } from "./internal/congestion/NewReno.ts"
import { olia as oliaFactory } from "./internal/congestion/Olia.ts"
import { perPath as perPathFactory } from "./internal/congestion/PerPath.ts"

export type {
  PathRttView,
  PathInfo,
  DeliverySample,
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
  { defaultValue: () => cubicFactory }
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
export const layerNewReno: Layer.Layer<never> = layer(newRenoFactory)

/**
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406) on each path. The default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerCubic: Layer.Layer<never> = layer(cubicFactory)

/**
 * LIA (RFC 6356) over all paths of a connection: together they take what one connection would get on the best of them, so
 * that paths which share a bottleneck are about fair to others there: two take 1.2 times the share of one connection, since
 * LIA grows faster while their windows differ. OLIA and BALIA come closer. Slow start is that of each path. Close to NewReno
 * in its rate: over long fat networks slower than CUBIC.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerLia: Layer.Layer<never> = layer(liaFactory)

/**
 * OLIA (draft-khalili-mptcp-congestion-control) over all paths of a connection: fairer than LIA, and moves traffic away
 * from congested paths to the best ones.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerOlia: Layer.Layer<never> = layer(oliaFactory)

/**
 * BALIA (draft-walid-mptcp-congestion-control) over all paths of a connection: fairer than LIA, and reacts faster than
 * OLIA when paths change.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerBalia: Layer.Layer<never> = layer(baliaFactory)

/**
 * BBR version 3 (draft-ietf-ccwg-bbr) on each path: sends at the rate in bytes per ms that the path was seen to deliver, and
 * keeps about that rate times the shortest round trip (ms) in flight. Losses below 2 % a round trip do not stop it, so it
 * suits links that lose packets by chance, and long ones; queues stay short. It probes for more every two to three seconds,
 * or as seldom as CUBIC needs to recover from that, and every five seconds sends less for 200 ms to see the round trip without a
 * queue. ECN marks count as congestion. Beside CUBIC it takes about its share of a queue (`docs/limits.md`). The draft may change.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerBbr: Layer.Layer<never> = layer(bbrFactory)

/**
 * Another congestion control for each path: `layer(perPath(choose))`.
 *
 * **Example** (CUBIC over the mobile network, the others coupled with each other)
 *
 * ```ts
 * import { CongestionControl } from "effect-mpquic"
 *
 * const mixed = CongestionControl.layerPerPath((path) =>
 *   path.local.host.startsWith("10.64.") ? CongestionControl.cubic : CongestionControl.olia
 * )
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerPerPath = (choose: (path: PathInfo) => Factory): Layer.Layer<never> => layer(perPathFactory(choose))

/**
 * The factory of `layerNewReno`, for `perPath`.
 *
 * @category factories
 * @since 0.2.0
 */
export const newReno: Factory = newRenoFactory

/**
 * The factory of `layerCubic`, for `perPath`.
 *
 * @category factories
 * @since 0.2.0
 */
export const cubic: Factory = cubicFactory

/**
 * The factory of `layerLia`, for `perPath`.
 *
 * @category factories
 * @since 0.2.0
 */
export const lia: Factory = liaFactory

/**
 * The factory of `layerOlia`, for `perPath`.
 *
 * @category factories
 * @since 0.2.0
 */
export const olia: Factory = oliaFactory

/**
 * The factory of `layerBalia`, for `perPath`.
 *
 * @category factories
 * @since 0.2.0
 */
export const balia: Factory = baliaFactory

/**
 * The factory of `layerBbr`, for `perPath`.
 *
 * @category factories
 * @since 0.2.0
 */
export const bbr: Factory = bbrFactory

/**
 * Another congestion control for each path: `choose` is called once per path, when the path is made, and gives a factory.
 * Paths that get the same factory share its state: two with `olia` are coupled, a third with `cubic` is not.
 *
 * A choice that throws or is no factory, and a factory that makes no controller, are logged once and counted in
 * `controllerMistakes`; the path has CUBIC then.
 *
 * **Example** (The first path as CUBIC, those opened later coupled with each other)
 *
 * ```ts
 * import { CongestionControl } from "effect-mpquic"
 *
 * const mixed = CongestionControl.layer(
 *   CongestionControl.perPath((path) => (path.pathId === 0 ? CongestionControl.cubic : CongestionControl.olia))
 * )
 * ```
 *
 * @category factories
 * @since 0.2.0
 */
export const perPath: (choose: (path: PathInfo) => Factory) => Factory = perPathFactory
