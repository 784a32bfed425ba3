/**
 * What an endpoint tells its operator: one line for each event, with annotations. A line below the minimum level costs a
 * comparison. What strangers can cause at will is limited in rate, so that nobody fills a log from outside.
 */
import { Effect, LogLevel } from "effect"
import type { Cause } from "effect"

/** Lines that may come at once, and how many more each second brings. */
const BURST = 20
const PER_SECOND = 5

export type Annotations = Readonly<Record<string, string | number | boolean>>

type Level = "Debug" | "Info" | "Warn" | "Error"

const writers = {
  Debug: Effect.logDebug,
  Info: Effect.logInfo,
  Warn: Effect.logWarning,
  Error: Effect.logError
} as const

/** Allows `BURST` things at once and `PER_SECOND` a second after that. */
export class RateLimit {
  /** Refused since the last one that was allowed. */
  suppressed = 0
  private tokens = BURST
  private last = 0

  /** `now` in ms. */
  allows(now: number): boolean {
    this.tokens = Math.min(BURST, this.tokens + ((now - this.last) / 1000) * PER_SECOND)
    this.last = now
    if (this.tokens < 1) {
      this.suppressed++
      return false
    }
    this.tokens--
    return true
  }
}

export class EndpointLog {
  private readonly minimum: LogLevel.LogLevel
  private readonly run: (effect: Effect.Effect<void>) => void
  private readonly now: () => number
  private readonly limits = new Map<string, RateLimit>()

  constructor(minimum: LogLevel.LogLevel, run: (effect: Effect.Effect<void>) => void, now: () => number) {
    this.minimum = minimum
    this.run = run
    this.now = now
  }

  /** Whether lines of this level are written at all: what they say need not be gathered otherwise. */
  enabled(level: Level): boolean {
    return !LogLevel.isGreaterThan(this.minimum, level)
  }

  write(level: Level, message: string, annotations: Annotations, cause?: Cause.Cause<unknown>): void {
    if (this.enabled(level)) this.run(line(level, message, annotations, cause))
  }

  /** As `write`, for what a stranger can cause: each kind of message has a limit, and the next line says how many it ate. */
  limited(level: Level, message: string, annotations: Annotations, cause?: Cause.Cause<unknown>): void {
    if (!this.enabled(level)) return
    const allowed = this.admit(message)
    if (allowed !== undefined) this.run(line(level, message, { ...annotations, ...allowed }, cause))
  }

  /** For lines that are written elsewhere: annotations of what was left out since the last one, or undefined for not now. */
  admit(message: string): Annotations | undefined {
    let limit = this.limits.get(message)
    if (limit === undefined) this.limits.set(message, (limit = new RateLimit()))
    if (!limit.allows(this.now())) return undefined
    const { suppressed } = limit
    limit.suppressed = 0
    return suppressed === 0 ? {} : { suppressed }
  }
}

/** One line as an Effect, for the context in which it runs. */
export const line = (
  level: Level,
  message: string,
  annotations: Annotations,
  cause?: Cause.Cause<unknown>
): Effect.Effect<void> =>
  Effect.annotateLogs(cause === undefined ? writers[level](message) : writers[level](message, cause), {
    module: "effect-mpquic",
    ...annotations
  })
