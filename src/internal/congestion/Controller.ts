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
  /**
   * 0 up to 1, for decisions that flows must not all take at once.
   *
   * @since 0.2.0
   */
  readonly random: () => number
}

/**
 * What an ACK, or a loss, says about the rate at which the path delivers: about the flight that ends with one packet P, the
 * newest one acknowledged or the one lost (draft-ietf-ccwg-bbr section 4.1). Of a lost one only `sentTime`,
 * `inFlightAtSend`, `lostSince` and `appLimited` are told. The same object for the path's whole life.
 *
 * @category models
 * @since 0.2.0
 */
export interface DeliverySample {
  /** Bytes delivered on the path so far. */
  readonly delivered: number
  /** Bytes that this ACK acknowledged. */
  readonly newlyAcked: number
  /** When P left, in ms. */
  readonly sentTime: number
  /** From when P left until now, in ms; -1 if the ACK came on a way that says nothing about it. */
  readonly rtt: number
  /** `delivered` when P left, in bytes. */
  readonly priorDelivered: number
  /** Bytes delivered since P left. */
  readonly deliveredSince: number
  /** Bytes per ms; 0 if the ACK gives no reliable sample. */
  readonly rate: number
  /** Bytes in flight when P left, with P. */
  readonly inFlightAtSend: number
  /** Bytes lost since P left. */
  readonly lostSince: number
  /** The application was the limit when P left: the path may be faster than `rate`. */
  readonly appLimited: boolean
  /** The application is the limit now. */
  readonly limitedNow: boolean
  /** Bytes in flight now. */
  readonly bytesInFlight: number
  /** Samples of what is in flight now are not to count as the path's limit. */
  readonly markAppLimited: () => void
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
  /**
   * For controllers that model the path: called after `onAcked` for each ACK. Only where it is there are samples taken, at
   * the cost of some numbers for each packet. `now` in ms.
   *
   * @since 0.2.0
   */
  readonly onDelivered?: ((now: number, sample: DeliverySample) => void) | undefined
  /**
   * With `onDelivered`: each lost packet, in the order in which they left, with the sample that tells about it. Before
   * `onCongestion`, and before the `onDelivered` of the ACK that showed the loss. `now` in ms.
   *
   * @since 0.2.0
   */
  readonly onPacketLost?:
    ((now: number, packetNumber: number, bytes: number, sample: DeliverySample) => void) | undefined
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
