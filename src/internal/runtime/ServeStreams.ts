/**
 * Streams of the peer, each with a fiber and a scope for its handler. What goes wrong in one stays in its stream.
 *
 * One loop for all of them: a stream costs its fiber and its scope, and no queue, race or supervisor stands between.
 */
import { Effect, Fiber } from "effect"
import type { Exit, Scope } from "effect"
import { WaitList } from "./WaitList.ts"

/** Where streams come from, and where they go when their handler is done. */
export interface StreamSource<S> {
  /** The next stream, undefined while there is none and when no more are handed out. */
  readonly take: () => S | undefined
  /** No more will come. */
  readonly ended: () => boolean
  /** The connection is over: handlers may still work on what had arrived, for `grace` ms. */
  readonly over: () => boolean
  readonly grace: number
  /** Woken when `take` or `ended` may say something else. */
  readonly arrivals: WaitList
  /** The handler of the stream is done, and its scope is closed. */
  readonly settle: (stream: S, exit: Exit.Exit<unknown, unknown>) => void
}

/**
 * Runs the handler for every stream, at most `limit` at a time, until no more come and all handlers are done, or have had
 * their time. Its interruption interrupts them.
 */
export const serveStreams = <S, A, E, R>(
  source: StreamSource<S>,
  handler: (stream: S) => Effect.Effect<A, E, R>,
  limit: number
): Effect.Effect<void, never, Exclude<R, Scope.Scope>> =>
  Effect.contextWith((context) => {
    const fork = Effect.runForkWith(context)
    const running = new Set<Fiber.Fiber<A, E>>()
    /** Handlers that ended, and how many of them the loop has seen: it waits for a place, and at the end for the last one. */
    let done = 0
    let seen = 0
    const places = new WaitList(() => done !== seen)

    const start = (stream: S): void => {
      const fiber = fork(
        Effect.scoped(Effect.suspend(() => handler(stream))) as Effect.Effect<A, E, Exclude<R, Scope.Scope>>
      )
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) {
        source.settle(stream, exit)
        return
      }
      running.add(fiber)
      fiber.addObserver((end) => {
        running.delete(fiber)
        source.settle(stream, end)
        done++
        places.wake()
      })
    }

    let last = false
    const loop: Effect.Effect<void> = Effect.suspend(() => {
      seen = done
      while (running.size < limit) {
        const stream = source.take()
        if (stream === undefined) break
        start(stream)
      }
      if (source.ended() && running.size === 0) return Effect.void
      if (source.over() && !last) {
        last = true
        return Effect.asVoid(Effect.timeoutOption(loop, source.grace))
      }
      const list = source.ended() || running.size >= limit ? places : source.arrivals
      return Effect.flatMap(list.wait, () => loop)
    })
    return Effect.onExit(loop, () => Effect.suspend(() => Fiber.interruptAll(running)))
  })
