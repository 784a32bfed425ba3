/**
 * Congestion control: how much may be in flight on a path, and how fast it leaves.
 *
 * A controller is a plain synchronous object that the protocol calls for every packet and every acknowledgement, so it must
 * not wait or throw. What is provided is a factory: every connection gets controllers of its own, one for each path, and
 * those of one connection may share state. It is read when a connection is made, from the context of `Endpoint.connect`
 * or, for accepted connections, from the one the endpoint was built in.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { cubic } from "./internal/congestion/Cubic.ts"
import { newReno } from "./internal/congestion/NewReno.ts"

/**
 * Facts about the path's round trip that a controller may read at any time. The same object for the path's whole life.
 *
 * @category models
 * @since 0.1.0
 */
export interface PathRttView {
  /** ms; the initial RTT until there is a sample. */
  readonly smoothed: number
  readonly variance: number
  readonly latest: number
  /** ms; Infinity until there is a sample. */
  readonly min: number
  readonly hasSample: boolean
}

/**
 * The path that a controller is made for. The same object for the path's whole life.
 *
 * @category models
 * @since 0.1.0
 */
export interface PathInfo {
  readonly pathId: number
  /** Bytes of a full packet now. */
  readonly maxDatagramSize: number
  readonly rtt: PathRttView
}

/**
 * One path's controller: plain synchronous functions, called by the protocol. Bytes and ms throughout.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controller {
  readonly name: string
  /** Bytes that may be in flight. */
  readonly congestionWindow: number
  /** Bytes per ms; 0 leaves it to the pacer's default (window over RTT). */
  readonly pacingRate: number
  /** Bytes; Infinity until the first congestion event. */
  readonly slowStartThreshold: number
  readonly onPacketSent: (now: number, bytes: number, bytesInFlight: number) => void
  /**
   * Bytes newly acknowledged by one ACK. `largestSentTime` is when the newest of them was sent; `appLimited` says the
   * window was not used to the full, and then it must not grow (RFC 9002 section 7.8).
   */
  readonly onAcked: (now: number, bytes: number, largestSentTime: number, appLimited: boolean) => void
  /**
   * Loss or an ECN mark. Called for each loss event with the time the newest lost packet was sent; the controller reacts
   * once per round trip (RFC 9002 section 7.3.2).
   */
  readonly onCongestion: (now: number, sentTime: number, lostBytes: number, ecn: boolean) => void
  readonly onPersistentCongestion: (now: number) => void
  /**
   * What was declared lost of late has all been acknowledged after all: the reduction may be undone. `sentTime` is when the
   * newest of those packets was sent.
   */
  readonly onSpuriousLoss: (now: number, sentTime: number) => void
  readonly onMaxDatagramSize: (bytes: number) => void
  /** The path's address changed and was validated: start over (draft-21 section 5). */
  readonly reset: (now: number) => void
  readonly close: () => void
}

/**
 * The controllers of one connection: coupled ones share state here.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionControllers {
  readonly make: (path: PathInfo) => Controller
}

/**
 * Called once per connection.
 *
 * @category models
 * @since 0.1.0
 */
export type Factory = () => ConnectionControllers

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
 * Uses congestion control of one's own. The factory is called once per connection, and what it returns once per path.
 *
 * **Example** (A window that never moves)
 *
 * ```ts
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
 *     onMaxDatagramSize: () => {},
 *     reset: () => {},
 *     close: () => {}
 *   })
 * }))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (factory: Factory): Layer.Layer<never> => Layer.succeed(CongestionControl, factory)

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
