/** The shape of a failure detector: when a path that has gone silent is no longer relied on. */
import type { PathView } from "./Scheduler.ts"

/**
 * What is known of a silent path: the same object for every call.
 *
 * @category models
 * @since 0.2.0
 */
export interface Silence {
  readonly path: PathView
  /** How many probe timeouts there were in a row, this one included. */
  readonly probeTimeouts: number
  /** ms since which nothing that was sent has been acknowledged, although something waits to be. */
  readonly silence: number
  /** ms: a probe timeout of the path, without backoff. */
  readonly pto: number
  /** ms, on the same clock as `PathView.nextSendTime`. */
  readonly now: number
}

/**
 * Says when a path is taken for failed: then its state is `potentiallyFailed`, what it had under way moves to the others at
 * once, schedulers do not see it, and it is asked until it answers.
 *
 * @category models
 * @since 0.2.0
 */
export interface Policy {
  /** For logs and reports. */
  readonly name: string
  /**
   * Called at each probe timeout of a path with data outstanding that others could replace, so never for being idle. A plain
   * synchronous function. The last path is not judged: it is all there is.
   */
  readonly isFailed: (silence: Silence) => boolean
}

/**
 * Called once per connection.
 *
 * @category models
 * @since 0.2.0
 */
export type Factory = () => Policy
