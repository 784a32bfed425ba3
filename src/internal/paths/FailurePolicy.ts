/** The shape of a failure detector: when a path that has gone silent is no longer relied on. */
import type { PathView } from "./Scheduler.ts"

/**
 * What is known of a silent path.
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
   * Called at each probe timeout of a path with data outstanding that others could replace, so never for being idle, and when
   * another one answers after none did. The last path is judged from the second probe timeout in a row on: it is all there is,
   * and goes on to be used. A plain synchronous function.
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
