/**
 * Watching a download: how many bytes came when, and over which paths.
 */
import { Clock, Duration, Effect, Stream } from "effect"
import type { Connection } from "../Connection.ts"
import { addressText } from "../internal/runtime/Addresses.ts"
import type { Stats as PathStats } from "../Path.ts"
import type { PathFigures } from "./Progress.ts"
import type { PathReport } from "./Result.ts"

/** Counts bytes of files and the gaps between them. Times in ms of one clock. */
export class Meter {
  /** Bytes so far. */
  bytes = 0
  readonly start: number
  /** When the last ones came, or the start. */
  lastAt: number
  private longest = 0
  private readonly now: () => number

  constructor(now: () => number) {
    this.now = now
    this.start = now()
    this.lastAt = this.start
  }

  readonly add = (bytes: number): void => {
    const time = this.now()
    // What comes before the first byte is the handshake, not a stall.
    if (this.bytes > 0) this.longest = Math.max(this.longest, time - this.lastAt)
    this.bytes += bytes
    this.lastAt = time
  }

  /** Forgets the gaps so far, except the one that lasts. */
  readonly forgetGaps = (): void => {
    this.longest = 0
  }

  /** ms of the longest time without new bytes. */
  get longestGap(): number {
    return this.longest
  }

  /** Seconds from the start until the last bytes. */
  get seconds(): number {
    return (this.lastAt - this.start) / 1000
  }
}

/** A meter by the clock of the context. */
export const makeMeter: Effect.Effect<Meter> = Effect.map(
  Clock.Clock,
  (clock) => new Meter(() => Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
)

/** The paths of one connection, those that are gone included. */
export class PathLedger {
  private readonly connection: Connection
  private readonly rows = new Map<number, Omit<PathReport, "share">>()

  constructor(connection: Connection) {
    this.connection = connection
  }

  /** Keeps the last figures of paths that close. Runs as long as the connection. */
  get watch(): Effect.Effect<void> {
    return Stream.runForEach(this.connection.events, (event) =>
      Effect.sync(() => {
        if (event._tag === "Closed") this.record(event.stats, "closed")
      })
    )
  }

  /** Figures now, lowest ID first. */
  read(): ReadonlyArray<PathReport> {
    for (const path of this.connection.stats.paths) {
      this.record(path, this.connection.path(path.pathId)?.state ?? "closed")
    }
    let total = 0
    for (const row of this.rows.values()) total += row.bytesReceived
    return Array.from(this.rows.values(), (row) => ({
      ...row,
      share: total === 0 ? 0 : row.bytesReceived / total
    })).toSorted((a, b) => a.id - b.id)
  }

  /** Of the paths that are open, for `--stats`. */
  figures(): ReadonlyArray<PathFigures> {
    return this.connection.stats.paths.map((path) => ({
      id: path.pathId,
      rttMs: Duration.toMillis(path.smoothedRtt),
      window: path.congestionWindow,
      inFlight: path.bytesInFlight,
      sent: path.packetsSent,
      lost: path.packetsLost
    }))
  }

  private record(path: PathStats, state: string): void {
    this.rows.set(path.pathId, {
      id: path.pathId,
      local: addressText(path.local),
      remote: addressText(path.remote),
      bytesReceived: path.bytesReceived,
      bytesSent: path.bytesSent,
      packetsSent: path.packetsSent,
      packetsLost: path.packetsLost,
      smoothedRttMs: Duration.toMillis(path.smoothedRtt),
      state
    })
  }
}

/** How often the figures are taken, so that a path that ends without notice leaves late ones. */
const SAMPLE = 50

/** A ledger that is kept for as long as the scope. */
export const keepLedger = Effect.fnUntraced(function* (connection: Connection) {
  const ledger = new PathLedger(connection)
  yield* Effect.forkScoped(ledger.watch)
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(
        Effect.sync(() => ledger.read()),
        Effect.sleep(SAMPLE)
      )
    )
  )
  return ledger
})
