/**
 * Options of links and translators as people write them, with Durations, and as the simulator reckons with them, in ms.
 */
import { Duration } from "effect"
import { durationOf } from "../../internal/runtime/Arguments.ts"
import type * as Link from "./Link.ts"
import type * as Nat from "./Nat.ts"
import type * as Core from "./SimulatorCore.ts"

/**
 * One direction of a link. What is left out keeps its value (at first: the default).
 *
 * @category models
 * @since 0.1.0
 */
export interface LinkOptions extends Omit<Link.LinkOptions, "delay" | "jitter" | "scatter" | "reorderDelay"> {
  /** Propagation delay, one way. Default 0. */
  readonly delay?: Duration.Input | undefined
  /** More delay, uniform between 0 and this. Keeps the order of packets. Default 0. */
  readonly jitter?: Duration.Input | undefined
  /** The same, but drawn for each packet by itself: later packets overtake earlier ones. Default 0. */
  readonly scatter?: Duration.Input | undefined
  /** How long a reordered packet is held back. Default 5 ms. */
  readonly reorderDelay?: Duration.Input | undefined
}

/**
 * Options of a link: the same in both directions, except where a direction has its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface DuplexOptions extends LinkOptions {
  /** From the first host to the second. */
  readonly forward?: LinkOptions | undefined
  /** From the second host to the first. */
  readonly backward?: LinkOptions | undefined
}

/**
 * Settings of a translator.
 *
 * @category models
 * @since 0.1.0
 */
export interface NatOptions extends Omit<Nat.NatOptions, "idle"> {
  /** Without an outgoing datagram for this long a mapping is forgotten. Default: never. */
  readonly idle?: Duration.Input | undefined
}

/** NaN for what is no Duration: out of every range. */
export const toMs = (input: Duration.Input): number => {
  if (typeof input === "number") return input
  const duration = durationOf(input)
  return duration === undefined ? NaN : Duration.toMillis(duration)
}

/** What is not given must not be there: `undefined` would go before a default. */
const timesOf = (inputs: Record<string, Duration.Input | undefined>): Record<string, number> => {
  const times: Record<string, number> = {}
  for (const [name, input] of Object.entries(inputs)) if (input !== undefined) times[name] = toMs(input)
  return times
}

export const toLinkOptions = ({ delay, jitter, scatter, reorderDelay, ...same }: LinkOptions): Link.LinkOptions => ({
  ...same,
  ...timesOf({ delay, jitter, scatter, reorderDelay })
})

export const toDuplexOptions = ({ backward, forward, ...both }: DuplexOptions): Core.DuplexOptions => ({
  ...toLinkOptions(both),
  ...(forward === undefined ? undefined : { forward: toLinkOptions(forward) }),
  ...(backward === undefined ? undefined : { backward: toLinkOptions(backward) })
})

export const toNatOptions = ({ idle, ...same }: NatOptions): Nat.NatOptions => ({ ...same, ...timesOf({ idle }) })
