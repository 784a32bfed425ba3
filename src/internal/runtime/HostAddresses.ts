/**
 * Follows the addresses of this host as they come and go. The system is asked now and then, and soon after it refused to
 * send something; it lists addresses of interfaces that are up and have a carrier.
 */
import { Effect, Latch } from "effect"

/** ms between two looks: in quiet times, while an address that something leaves from is missing, and at least. */
const CALM = 1000
const ALERT = 50
const SOON = 20

/** What a refused send says when the address that it should leave from, or the way from there, may be gone. */
const suspicious = new Set(["EADDRNOTAVAIL", "EINVAL", "ENETDOWN", "ENETUNREACH", "EHOSTUNREACH", "ENODEV", "ENXIO"])

/** One look at the addresses. */
export interface HostChange {
  readonly here: ReadonlySet<string>
  /** Those that were here before and are missing now, whenever they went. */
  readonly missing: ReadonlySet<string>
  /** Those that are here and were not at the last look. */
  readonly returned: ReadonlySet<string>
  /** Whether anything differs from the last look. */
  readonly changed: boolean
}

export class HostAddresses {
  private readonly hosts: () => ReadonlyArray<string>
  private readonly inUse: (host: string) => boolean
  private here: ReadonlySet<string>
  private missing: ReadonlySet<string> = new Set()
  private readonly nudged = Latch.makeUnsafe(false)

  /** `inUse`: whether something leaves from an address. Only such ones are missed. */
  constructor(hosts: () => ReadonlyArray<string>, inUse: (host: string) => boolean) {
    this.hosts = hosts
    this.inUse = inUse
    this.here = new Set(hosts())
  }

  /** The system refused to send. */
  readonly onSendError = (code: string): void => {
    if (suspicious.has(code)) this.nudged.openUnsafe()
  }

  /** Looks once. */
  look(): HostChange {
    const hosts = this.hosts()
    // None at all: the system does not tell.
    const here = hosts.length === 0 ? this.here : new Set(hosts)
    const missing = new Set<string>()
    for (const known of [this.here, this.missing]) {
      for (const host of known) if (!here.has(host) && this.inUse(host)) missing.add(host)
    }
    const returned = new Set<string>()
    for (const host of here) if (!this.here.has(host)) returned.add(host)
    const changed = returned.size > 0 || here.size !== this.here.size
    this.here = here
    this.missing = missing
    return { here, missing, returned, changed }
  }

  /** Looks for ever. `onLook` hears of every look at which something changed or is missing. */
  watch(onLook: (change: HostChange) => Effect.Effect<void>): Effect.Effect<never> {
    const round = Effect.suspend(() => {
      const pause = this.missing.size > 0 ? ALERT : CALM
      return Effect.sleep(SOON).pipe(
        Effect.andThen(Effect.raceFirst(this.nudged.await, Effect.sleep(pause - SOON))),
        // A nudge comes from inside a send, and thus of the machine.
        Effect.andThen(Effect.yieldNow),
        Effect.andThen(
          Effect.suspend(() => {
            this.nudged.closeUnsafe()
            const change = this.look()
            return change.changed || change.missing.size > 0 ? onLook(change) : Effect.void
          })
        )
      )
    })
    return Effect.forever(round)
  }
}
