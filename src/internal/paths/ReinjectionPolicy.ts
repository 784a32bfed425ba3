/** The shape of a reinjection policy: what is sent again on another path than the one that it is late on. */
import type { PathView } from "./Scheduler.ts"

/**
 * When data goes to another path. `onLoss`: it was lost, or is taken for lost after a probe timeout. `onDelay`: it is not
 * acknowledged for so long. `onIdle`: nothing new waits, and another path would bring it sooner.
 *
 * @category models
 * @since 0.2.0
 */
export type Mode = "onLoss" | "onDelay" | "onIdle"

/**
 * What is to be sent again.
 *
 * @category models
 * @since 0.2.0
 */
export interface Packet {
  readonly kind: "stream" | "crypto" | "control"
  /** Bytes of stream or crypto data; 0 of a control frame. */
  readonly bytes: number
  /** How often it was sent again on other paths before. */
  readonly reinjections: number
}

/**
 * What a target is chosen from.
 *
 * @category models
 * @since 0.2.0
 */
export interface TargetContext {
  /** ms, on the same clock as `PathView.nextSendTime`. */
  readonly now: number
  /** The path that the packet is late on. */
  readonly original: PathView
  /** Paths that work, have room in their queue, do not carry the same already, and are not too slow to help; never empty. */
  readonly candidates: ReadonlyArray<PathView>
  readonly packet: Packet
}

/**
 * When and where data that is late on one path is sent again. Plain synchronous functions, called by the protocol.
 *
 * @category models
 * @since 0.2.0
 */
export interface Policy {
  /** For logs and reports. */
  readonly name: string
  /** Default: all three. None: nothing is reinjected. */
  readonly modes?: ReadonlyArray<Mode> | undefined
  /**
   * Of `onDelay`: ms after which what a path has not acknowledged is late. Default: its RTT and four deviations, as long as an
   * acknowledgement may take.
   */
  readonly delay?: ((path: PathView) => number) | undefined
  /** How often the same goes to a further path before it waits for the ordinary repair: 1 to 8. Default 2. */
  readonly maxReinjections?: number | undefined
  /** Frames that may wait for a path, 1 to 4096. Default 64. */
  readonly maxQueuePerPath?: number | undefined
  /** ms between two packets of reinjected data on a path. Default 0. */
  readonly minInterval?: number | undefined
  /** Where it goes if one of these can take it, the first one first: path IDs. Default: all alike. */
  readonly preferredPaths?: ReadonlyArray<number> | undefined
  /** Whether CRYPTO frames of 1-RTT packets are reinjected, and credit, limits and resets. Default true. */
  readonly crypto?: boolean | undefined
  readonly control?: boolean | undefined
  /** Bytes of `onDelay` and `onIdle` at most for each stream byte sent; 64 KiB are free. Default 0.25. */
  readonly budget?: number | undefined
  /** The path to use, one of the candidates. Default: a preferred one, else the lowest RTT. */
  readonly selectTarget?: ((context: TargetContext) => PathView | undefined) | undefined
}

/**
 * Called once per connection.
 *
 * @category models
 * @since 0.2.0
 */
export type Factory = () => Policy
