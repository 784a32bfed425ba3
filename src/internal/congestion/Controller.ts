/**
 * The shape of congestion control: what recovery calls for every packet and every acknowledgement, and what it shows.
 */

import type { Address } from "../wire/Datagram.ts"

/**
 * Facts about the path's round trip that a controller may read at any time. The same object for the path's whole life.
 *
 * @category models
 * @since 0.1.0
 */
export interface PathRttView {
  /** ms; the initial RTT until there is a sample. */
  readonly smoothed: number
  /** Mean deviation of the samples (RFC 9002 section 5.3), in ms. */
  readonly variance: number
  /** The last sample in ms. */
  readonly latest: number
  /** ms; Infinity until there is a sample. */
  readonly min: number
  /** Whether there was a sample yet. */
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
  /**
   * Where the path leaves from now: it changes when the path moves.
   *
   * @since 0.2.0
   */
  readonly local: Address
  /**
   * Where it leads now.
   *
   * @since 0.2.0
   */
  readonly remote: Address
  /** Bytes of a full packet now: it changes with path MTU discovery. */
  readonly maxDatagramSize: number
  /**
   * Bytes that may be in flight while nothing is known of the path: ten full packets. With the setting `scaledStart`, of a path
   * that was opened beside a working one, so many times more as its round trip is longer than 25 ms, once it is measured.
   *
   * @since 0.2.0
   */
  readonly initialWindow: number
  /** Whether the path carries data now: validated, and not failing or closing. */
  readonly usable: boolean
  readonly rtt: PathRttView
}

/**
 * One path's controller: plain synchronous functions, called by the protocol. Bytes and ms throughout.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controller {
  /** For `stats`. */
  readonly name: string
  /** Bytes that may be in flight. */
  readonly congestionWindow: number
  /** Bytes per ms; 0 leaves it to the pacer's default (window over RTT). */
  readonly pacingRate: number
  /** Bytes; Infinity until the first congestion event. */
  readonly slowStartThreshold: number
  /** A packet left that counts as in flight. Times are ms here and below. */
  readonly onPacketSent: (now: number, bytes: number, bytesInFlight: number) => void
  /**
   * Bytes newly acknowledged by one ACK. `largestSentTime` is when the newest of them was sent; `appLimited` says the
   * window was not used to the full, and then it must not grow (RFC 9002 section 7.8).
   */
  readonly onAcked: (now: number, bytes: number, largestSentTime: number, appLimited: boolean) => void
  /**
   * Loss or an ECN mark. Called for each loss event with the time in ms at which the newest lost packet was sent; the
   * controller reacts once per round trip (RFC 9002 section 7.3.2).
   */
  readonly onCongestion: (now: number, sentTime: number, lostBytes: number, ecn: boolean) => void
  /** Nothing got through for as long as RFC 9002 section 7.6 says: down to the minimum window. `now` in ms. */
  readonly onPersistentCongestion: (now: number) => void
  /** All packets whose loss led to the last reduction were acknowledged after all: it may be undone. `now` in ms. */
  readonly onSpuriousLoss: (now: number) => void
  /** The path's address changed and was validated: start over (draft-21 section 5). `now` in ms. */
  readonly reset: (now: number) => void
  /** The path is gone. */
  readonly close: () => void
}

/**
 * The controllers of one connection: coupled ones share state here.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionControllers {
  /** Called once for each path. */
  readonly make: (path: PathInfo) => Controller
}

/**
 * Called once per connection.
 *
 * @category models
 * @since 0.1.0
 */
export type Factory = () => ConnectionControllers
