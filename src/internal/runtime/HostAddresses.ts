/**
 * Follows the addresses of this host as they come and go. The system is asked now and then, and soon after it refused to
 * send something; it lists addresses of interfaces that are up and have a carrier.
 */
import { Effect, Latch } from "effect"
import type { NetAddress } from "effect/net"
import { hostOf, inetAddresses } from "./Addresses.ts"
import { LiveValue } from "./LiveValue.ts"

/** ms between two looks: in quiet times, while an address that something leaves from is missing, and at least. */
const CALM = 1000
const ALERT = 50
const SOON = 20
/** Addresses that are remembered as lost. */
const MAX_LOST = 1000

/** What a refused send says when the address that it should leave from, or the way from there, may be gone. */
const suspicious = new Set(["EADDRNOTAVAIL", "EINVAL", "ENETDOWN", "ENETUNREACH", "EHOSTUNREACH", "ENODEV", "ENXIO"])

const all = (): boolean => true

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
  private readonly calm: number
  private readonly wanted: (host: string) => boolean
  /** Those that are here, without ports. */
  readonly list: LiveValue<ReadonlyArray<NetAddress.InetAddress>>
  /** Those that were here once and are not now, whether something leaves from them or not. */
  readonly lost = new Set<string>()

  /**
   * `inUse`: whether something leaves from an address. Only such ones are missed. `calm`: ms between two looks in quiet times.
   * Others than those `wanted` do not count.
   */
  constructor(
    hosts: () => ReadonlyArray<string>,
    inUse: (host: string) => boolean,
    calm = CALM,
    wanted: (host: string) => boolean = all
  ) {
    this.hosts = hosts
    this.inUse = inUse
    this.calm = calm
    this.wanted = wanted
    const here = hosts().filter(wanted)
    this.here = new Set(here)
    this.list = new LiveValue(inetAddresses(here))
  }

  /** The system refused to send. */
  readonly onSendError = (code: string): void => {
    if (suspicious.has(code)) this.nudged.openUnsafe()
  }

  /** Somebody knows of a change: looks soon. */
  nudge(): void {
    this.nudged.openUnsafe()
  }

  /** Whether the host had an address (`hostOf`) and has it no more. */
  isLost(host: string): boolean {
    for (const each of this.lost) if (hostOf(each) === host) return true
    return false
  }

  /** Looks once. */
  look(): HostChange {
    const hosts = this.hosts()
    // None at all: the system does not tell.
    const here = hosts.length === 0 ? this.here : new Set(hosts.filter(this.wanted))
    const missing = new Set<string>()
    for (const known of [this.here, this.missing]) {
      for (const host of known) if (!here.has(host) && this.inUse(host)) missing.add(host)
    }
    const returned = new Set<string>()
    for (const host of here) if (!this.here.has(host)) returned.add(host)
    const changed = returned.size > 0 || here.size !== this.here.size
    if (changed) {
      // Temporary addresses of IPv6 come and go for as long as the process lives.
      if (this.lost.size > MAX_LOST) this.lost.clear()
      for (const host of this.here) if (!here.has(host)) this.lost.add(host)
      for (const host of here) this.lost.delete(host)
    }
    this.here = here
    this.missing = missing
    if (changed) this.list.set(inetAddresses(Array.from(here)))
    return { here, missing, returned, changed }
  }

  /** Looks for ever. `onLook` hears of every look at which something changed or is missing. */
  watch(onLook: (change: HostChange) => Effect.Effect<void>): Effect.Effect<never> {
    const round = Effect.suspend(() => {
      const pause = this.missing.size > 0 ? ALERT : this.calm
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
