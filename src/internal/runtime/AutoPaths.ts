/**
 * Paths by themselves: a client opens one from each further local address, follows the addresses as they come and go, and gives
 * up those that cannot be. It knows of its connection what any manager does.
 */
import { Clock, Effect, Latch, Result, Stream } from "effect"
import type { Scope } from "effect"
import { NetAddress } from "effect/net"
import type { Event, Path, PathStatus } from "../../Path.ts"
import type { QuicError } from "../../QuicError.ts"
import { PathError } from "../wire/Protocol.ts"
import { hostOf } from "./Addresses.ts"
import type { Factory, View } from "./ManagedPaths.ts"
import { PathPlan } from "./PathPlan.ts"
import type { Pair, PlanOptions } from "./PathPlan.ts"

export interface AutoSettings extends PlanOptions {
  /** The only local addresses that paths are opened from; undefined: all. */
  readonly addresses: ReadonlyArray<NetAddress.InetAddress> | undefined
  readonly families: ReadonlySet<"IPv4" | "IPv6">
  readonly includeLoopback: boolean
  readonly status: PathStatus
}

const familyOf = (address: NetAddress.InetAddress): "IPv4" | "IPv6" =>
  NetAddress.isInetAddressV6(address) ? "IPv6" : "IPv4"

const scopeOf = (address: NetAddress.InetAddress): number => (NetAddress.isInetAddressV6(address) ? address.scopeId : 0)

/** Whether packets that leave from `local` can get to `remote` at all, as far as the kinds of the addresses tell. */
export const fits = (local: NetAddress.InetAddress, remote: NetAddress.InetAddress): boolean => {
  if (familyOf(local) !== familyOf(remote)) return false
  const [from, to] = [local.address, remote.address]
  if (NetAddress.isUnspecified(from) || NetAddress.isMulticast(from)) return false
  if (NetAddress.isLoopback(from) !== NetAddress.isLoopback(to)) return false
  return (
    NetAddress.isLinkLocal(from) === NetAddress.isLinkLocal(to) &&
    (!NetAddress.isLinkLocal(from) || scopeOf(local) === scopeOf(remote))
  )
}

const isPrivate = ({ address }: NetAddress.InetAddress): boolean =>
  NetAddress.isIpv4Address(address) ? NetAddress.isPrivate(address) : NetAddress.isUniqueLocal(address)

/**
 * Whether a peer may send us to an address: not into this host, this link or this private network if it is not there itself.
 * Who would connect to it from outside has no business there.
 */
export const mayLeadTo = (advertised: NetAddress.InetAddress, peer: NetAddress.InetAddress): boolean => {
  const [to, from] = [advertised.address, peer.address]
  if (advertised.port === 0 || NetAddress.isUnspecified(to) || NetAddress.isMulticast(to)) return false
  if (NetAddress.isLoopback(from)) return true
  if (NetAddress.isLoopback(to) || NetAddress.isLinkLocal(to))
    return NetAddress.isLinkLocal(to) && NetAddress.isLinkLocal(from)
  return !isPrivate(advertised) || isPrivate(peer) || NetAddress.isLinkLocal(from)
}

const isOpen = (path: Path): boolean => path.state !== "closing" && path.state !== "closed"
const pairOf = (path: Path): Pair => ({ local: hostOf(path.local), remote: NetAddress.formatInet(path.remote) })

class AutoPaths {
  private readonly view: View
  private readonly settings: AutoSettings
  private readonly clock: Clock.Clock
  private readonly plan: PathPlan
  private readonly changed = Latch.makeUnsafe(true)
  /** Where the connection was made to. */
  private readonly peer: NetAddress.InetAddress
  /** Hosts of open paths that were on the list at some time: others are where somebody else wanted them. */
  private readonly listed = new Set<string>()
  /** Pairs of the paths that are open. */
  private readonly pairs = new Map<number, Pair>()
  private readonly closedHere = new Set<number>()
  /** No path is possible, whatever its pair, before something changes. */
  private full = false
  /** When a lost path that could not move may try again. */
  private moveAt = -Infinity
  private readonly told = new Set<string>()

  constructor(view: View, settings: AutoSettings, clock: Clock.Clock) {
    this.view = view
    this.settings = settings
    this.clock = clock
    this.plan = new PathPlan(settings)
    this.peer = view.paths[0]!.remote
  }

  get run(): Effect.Effect<never, never, Scope.Scope> {
    const { view } = this
    const wake = (room: boolean) =>
      Effect.sync(() => {
        if (room) this.full = false
        this.changed.openUnsafe()
      })
    return Effect.gen({ self: this }, function* () {
      yield* Effect.forkScoped(Stream.runForEach(view.localAddresses.changes, () => wake(false)))
      yield* Effect.forkScoped(Stream.runForEach(view.remoteAddresses.changes, () => wake(false)))
      yield* Effect.forkScoped(Stream.runForEach(view.room, () => wake(true)))
      yield* Effect.forkScoped(
        Stream.runForEach(view.events, (event) => Effect.andThen(this.onEvent(event), wake(event._tag === "Closed")))
      )
      return yield* Effect.forever(this.round)
    })
  }

  private get round(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.now()
      const next = Math.min(this.plan.nextRetry(now), this.moveAt > now ? this.moveAt : Infinity)
      const pause = next === Infinity ? Effect.never : Effect.sleep(Math.max(1, next - now))
      return Effect.andThen(
        Effect.raceFirst(this.changed.await, pause),
        Effect.suspend(() => {
          this.changed.closeUnsafe()
          return Effect.andThen(this.leaveLost(), this.openAll())
        })
      )
    })
  }

  private now(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  private onEvent(event: Event): Effect.Effect<void> {
    return Effect.sync(() => {
      const pair = this.pairs.get(event.pathId)
      if (pair === undefined) return
      if (event._tag === "Validated") this.plan.onProven(pair, this.now())
      if (event._tag !== "Abandoned") return
      this.pairs.delete(event.pathId)
      if (this.closedHere.delete(event.pathId)) return
      // What the application closed it does not want back.
      if (event.initiator === "local" && event.code !== PathError.unstableOrPoor) this.plan.onUnwanted(pair)
      else this.plan.onFailed(pair, this.now())
    })
  }

  /** Local addresses that are here, of which paths may be opened. */
  private get locals(): ReadonlyArray<NetAddress.InetAddress> {
    const { addresses, families, includeLoopback } = this.settings
    const usable: Array<NetAddress.InetAddress> = []
    for (const address of this.view.localAddresses.current) {
      if (!families.has(familyOf(address))) continue
      const named = addresses?.find((each) => hostOf(each) === hostOf(address))
      if (addresses === undefined ? includeLoopback || !NetAddress.isLoopback(address.address) : named !== undefined)
        usable.push(named !== undefined && named.port > 0 ? named : address)
    }
    return usable
  }

  private get remotes(): ReadonlyArray<NetAddress.InetAddress> {
    const known = this.view.remoteAddresses.current.filter(
      (address) => mayLeadTo(address, this.peer) && NetAddress.formatInet(address) !== NetAddress.formatInet(this.peer)
    )
    return [this.peer, ...known]
  }

  /** Takes paths off addresses that are gone: closes them where another works, and moves the last one. */
  private leaveLost(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const here = new Set(this.view.localAddresses.current.map(hostOf))
      const stays = (path: Path): boolean => {
        const host = hostOf(path.local)
        return here.has(host) || !this.listed.has(host)
      }
      for (const path of this.view.paths) if (here.has(hostOf(path.local))) this.listed.add(hostOf(path.local))
      for (const path of this.view.paths) {
        if (!isOpen(path) || stays(path)) continue
        const others = this.view.paths.filter((other) => other.id !== path.id && isOpen(other) && stays(other))
        if (others.some((other) => other.state !== "validating")) {
          this.closedHere.add(path.id)
          yield* Effect.catch(this.view.closePath(path.id, { code: PathError.unstableOrPoor }), () =>
            Effect.sync(() => this.closedHere.delete(path.id))
          )
        } else if (others.length === 0 && this.now() >= this.moveAt) {
          yield* this.move(path)
        }
        // One that is being proven decides: its event comes.
      }
      if (this.listed.size > this.view.paths.length) {
        const used = new Set(this.view.paths.filter(isOpen).map((path) => hostOf(path.local)))
        for (const host of this.listed) if (!used.has(host)) this.listed.delete(host)
      }
    })
  }

  private move(path: Path): Effect.Effect<void> {
    return Effect.suspend(() => {
      const to = this.locals.filter((local) => fits(local, path.remote))
      if (to.length === 0) return Effect.void
      this.moveAt = -Infinity
      return Effect.catch(this.view.movePath(path.id, { to }), (error) =>
        Effect.suspend(() => {
          this.moveAt = this.now() + this.settings.firstRetry
          return Effect.logDebug(`Path ${path.id} stays where it is: ${error.message}`)
        })
      )
    })
  }

  private openAll(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const open = this.view.paths.filter(isOpen)
      const pairs = open.map(pairOf)
      for (const [index, path] of open.entries()) this.pairs.set(path.id, pairs[index]!)
      const locals = new Map(this.locals.map((address) => [hostOf(address), address]))
      const remotes = new Map(this.remotes.map((address) => [NetAddress.formatInet(address), address]))
      this.plan.retain(new Set(locals.keys()), new Set(remotes.keys()))
      if (this.full) return Effect.void
      const pair = this.plan.next(
        Array.from(locals.keys()),
        Array.from(remotes.keys()),
        pairs,
        (local, remote) => fits(locals.get(local)!, remotes.get(remote)!),
        this.now()
      )
      if (pair === undefined) return Effect.void
      return Effect.flatMap(
        Effect.result(
          this.view.openPath({
            local: locals.get(pair.local),
            remote: remotes.get(pair.remote),
            status: this.settings.status
          })
        ),
        (opened) => {
          if (Result.isSuccess(opened)) {
            this.listed.add(pair.local)
            this.pairs.set(opened.success.id, pair)
            // Addresses may have changed meanwhile, and there may be more.
            this.changed.openUnsafe()
            return Effect.void
          }
          return this.onRefused(pair, opened.failure)
        }
      )
    })
  }

  private onRefused(pair: Pair, error: QuicError): Effect.Effect<void> {
    const { reason } = error
    if (reason._tag === "PathUnavailable" && reason.why !== "duplicate" && reason.why !== "migrationDisabled") {
      this.full = true
      return Effect.void
    }
    if (reason._tag === "PathUnavailable") this.plan.onUnwanted(pair)
    else this.plan.onFailed(pair, this.now())
    this.changed.openUnsafe()
    const key = `${pair.local} ${reason.name}`
    const message = `No path leaves from ${pair.local}: ${error.message}`
    if (this.told.has(key)) return Effect.logDebug(message)
    if (this.told.size < MAX_TOLD) this.told.add(key)
    return Effect.logInfo(message)
  }
}

/** Refusals that are told apart: the rest is debug. */
const MAX_TOLD = 100

export const autoPaths =
  (settings: AutoSettings): Factory =>
  (view) =>
    view.role === "server" || !view.multipath
      ? Effect.void
      : Effect.gen(function* () {
          yield* view.confirmed
          yield* view.handleLostPaths
          return yield* new AutoPaths(view, settings, yield* Clock.Clock).run
        })
