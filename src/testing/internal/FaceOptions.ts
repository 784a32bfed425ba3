/**
 * Options of links and translators as people write them, with Durations, and as the simulator reckons with them, in ms.
 */
import { Duration } from "effect"
import { literalAddress } from "../../internal/runtime/Addresses.ts"
import { badArgument, copyOf, durationOf, flag, wholeNumber } from "../../internal/runtime/Arguments.ts"
import { AddressBook } from "../../internal/wire/Datagram.ts"
import { checkLinkOptions } from "./Link.ts"
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

const DURATION = 'a duration of 0 or more, such as "10 millis"'

/** In ms. */
const toMs = (field: string, input: unknown): number => {
  const duration = durationOf(input)
  if (duration === undefined) throw badArgument(field, input, DURATION)
  return Duration.toMillis(duration)
}

/** In ms, of something that ends. */
export const finiteMs = (field: string, input: unknown, above = -1): number => {
  const ms = toMs(field, input)
  if (ms > above && ms !== Infinity) return ms
  throw badArgument(
    field,
    input,
    above === 0 ? 'a duration above 0 that ends, such as "10 minutes"' : `${DURATION}, that ends`
  )
}

const times = ["delay", "jitter", "scatter", "reorderDelay"] as const

/** What is not given must not be there: `undefined` would go before a default. */
export const toLinkOptions = (given: LinkOptions, parent = "", name = "options"): Link.LinkOptions => {
  const copy = copyOf<LinkOptions>(name, given, parent)
  const options: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(copy)) if (value !== undefined) options[key] = value
  for (const time of times) if (options[time] !== undefined) options[time] = finiteMs(parent + time, options[time])
  checkLinkOptions(options, parent)
  // A copy: what the caller changes later was not looked at.
  if (typeof options["burstLoss"] === "object") options["burstLoss"] = { ...options["burstLoss"] }
  return options
}

export const toDuplexOptions = (given: DuplexOptions | undefined): Core.DuplexOptions => {
  const { backward, forward, ...both } = copyOf<DuplexOptions>("options", given)
  return {
    ...toLinkOptions(both),
    ...(forward === undefined ? undefined : { forward: toLinkOptions(forward, "forward.", "forward") }),
    ...(backward === undefined ? undefined : { backward: toLinkOptions(backward, "backward.", "backward") })
  }
}

export const toNatOptions = (given: NatOptions): Nat.NatOptions => {
  const { idle, inside, open, outside } = copyOf<NatOptions>("options", given)
  return {
    outside: ipOf("outside", outside),
    inside: hostsOf("inside", inside),
    open: flag("open", open, false),
    ...(idle === undefined ? undefined : { idle: toMs("idle", idle) })
  }
}

/** Any whole number: everything random follows from it. */
export const seedOf = (value: unknown): number =>
  value === undefined ? 1 : wholeNumber("seed", value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)

const book = new AddressBook()

/** An IP address, as datagrams name it. */
export const ipOf = (field: string, value: unknown): string => {
  const address = typeof value === "string" ? literalAddress(book, value, 0) : undefined
  if (address === undefined) throw badArgument(field, value, 'an IP address, such as "10.0.0.1"')
  return address.host
}

/** IP addresses, or prefixes of such that end in `*`: one, or several in an array. */
export const hostsOf = (field: string, value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.map((host, index) => patternOf(`${field}[${index}]`, host)) : [patternOf(field, value)]

const patternOf = (field: string, value: unknown): string => {
  if (typeof value === "string" && value.endsWith("*")) return value
  const address = typeof value === "string" ? literalAddress(book, value, 0) : undefined
  if (address !== undefined) return address.host
  throw badArgument(field, value, 'an IP address such as "10.0.0.1", a prefix such as "10.0.*", or several in an array')
}
