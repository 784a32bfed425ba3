/**
 * What an endpoint does when addresses of its host come and go: paths are suspected or asked at once, a client's path whose
 * address is gone moves to where the routes lead now, and listening sockets follow a wildcard.
 */
import { Effect } from "effect"
import type { QuicError } from "../../QuicError.ts"
import type { ConnectionMachine } from "../connection/Machine.ts"
import type { HostChange } from "./HostAddresses.ts"

/** ms that a socket of a wildcard outlives its address. */
const KEEP = 60_000

export interface MovableConnection {
  readonly machine: ConnectionMachine
  /** Moves a path away from an address that is gone. */
  readonly moveAway: (pathId: number) => Effect.Effect<void, QuicError>
}

/** Suspects the paths whose address is missing, asks those whose address has returned, and moves a client's away. */
export const followPaths = (
  connections: Iterable<MovableConnection>,
  { changed, missing, returned }: HostChange
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const moves: Array<Effect.Effect<void>> = []
    for (const { machine, moveAway } of connections) {
      let touched = false
      for (const path of machine.paths) {
        if (missing.has(path.local.host)) {
          machine.localAddressLost(path.id)
          if (machine.role === "client" && machine.confirmed) {
            moves.push(
              Effect.catch(moveAway(path.id), (error) =>
                // It is tried again and again.
                changed ? Effect.logDebug(`Path ${path.id} stays where it is: ${error.message}`) : Effect.void
              )
            )
          }
        } else if (returned.has(path.local.host)) machine.localAddressBack(path.id)
        else continue
        touched = true
      }
      if (touched) machine.wake()
    }
    return Effect.forEach(moves, (move) => move, { concurrency: "unbounded", discard: true })
  })

/** A wildcard that sockets of single addresses stand for. */
export interface FollowedWildcard {
  /** The addresses among `here` that it stands for. */
  readonly covers: (here: ReadonlyArray<string>) => ReadonlyArray<string>
  /** Whether a socket is bound there. */
  readonly isBound: (host: string) => boolean
  /** Binds one, and gives what takes it away again. */
  readonly bind: (host: string) => Effect.Effect<Effect.Effect<void>, QuicError>
}

/** Binds what a wildcard has come to stand for, and gives up what it stands for no longer. */
export class WildcardFollower {
  private readonly wildcard: FollowedWildcard
  private readonly now: () => number
  private readonly bound = new Map<string, { readonly close: Effect.Effect<void>; goneSince: number }>()

  constructor(wildcard: FollowedWildcard, now: () => number) {
    this.wildcard = wildcard
    this.now = now
  }

  follow({ here }: Pick<HostChange, "here">): Effect.Effect<void> {
    return Effect.suspend(() => {
      const covered = new Set(this.wildcard.covers(Array.from(here)))
      const time = this.now()
      const steps: Array<Effect.Effect<void>> = []
      for (const [host, entry] of this.bound) {
        if (covered.has(host)) entry.goneSince = Infinity
        else if (entry.goneSince === Infinity) entry.goneSince = time
        else if (time - entry.goneSince > KEEP) {
          this.bound.delete(host)
          steps.push(entry.close)
        }
      }
      for (const host of covered) if (!this.wildcard.isBound(host)) steps.push(this.add(host))
      return Effect.forEach(steps, (step) => step, { discard: true })
    })
  }

  private add(host: string): Effect.Effect<void> {
    return this.wildcard.bind(host).pipe(
      Effect.flatMap((close) => {
        this.bound.set(host, { close, goneSince: Infinity })
        return Effect.logDebug(`Listening on ${host} as well, which this host has now`)
      }),
      // An IPv6 address is not to be had before duplicate address detection is over: the next look tries again.
      Effect.catch((error) => Effect.logDebug(`${host} cannot be listened on yet: ${error.message}`))
    )
  }
}
