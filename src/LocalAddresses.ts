/**
 * The local addresses that paths may leave from, and how they change: what a path manager follows.
 *
 * Without a Layer they are those of the host that the endpoint's sockets are on, loopback among them, known within a second of
 * a change. It is read when a connection is made, from the context of `Endpoint.connect` or, for accepted connections, from
 * the one the endpoint was built in. A socket is bound for each address when the first path leaves from it, and closed with
 * the last one; what comes and goes on one address never disturbs the paths of another.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Duration, Effect, Layer, Result, Schedule, Schema, Stream } from "effect"
import { NetAddress } from "effect/net"
import {
  addressFromInput,
  inetAddresses,
  interfaceHosts,
  isNoDestination,
  toInetAddress
} from "./internal/runtime/Addresses.ts"
import type { AddressInput } from "./internal/runtime/Addresses.ts"
import { badArgument, withArguments } from "./internal/runtime/Arguments.ts"
import { HostAddresses } from "./internal/runtime/HostAddresses.ts"
import { LiveValue } from "./internal/runtime/LiveValue.ts"
import { policyConfig } from "./internal/runtime/PolicyConfig.ts"
import { AddressBook } from "./internal/wire/Datagram.ts"
import type { QuicError } from "./QuicError.ts"
import { UdpSocket } from "./UdpSocket.ts"

export type { AddressInput }

/**
 * Local addresses, and their changes.
 *
 * @category models
 * @since 0.2.0
 */
export interface Service {
  /** The addresses now. Port 0 stands for any port. */
  readonly current: ReadonlyArray<NetAddress.InetAddress>
  /** The addresses now, and again after each change. Who is slow misses those in between, and never the last. */
  readonly changes: Stream.Stream<ReadonlyArray<NetAddress.InetAddress>>
}

const sameList = (a: ReadonlyArray<NetAddress.InetAddress>, b: ReadonlyArray<NetAddress.InetAddress>): boolean =>
  a.map(NetAddress.formatInet).join() === b.map(NetAddress.formatInet).join()

/** An endpoint puts what it knows of its own host in place of it. @internal */
export const ofHost: Service = {
  get current() {
    return inetAddresses(interfaceHosts())
  },
  changes: Stream.fromEffectSchedule(
    Effect.sync(() => inetAddresses(interfaceHosts())),
    Schedule.spaced("1 second")
  ).pipe(Stream.changesWith(sameList))
}

/**
 * The local addresses of new connections. Without a Layer: all of the host.
 *
 * @category services
 * @since 0.2.0
 */
export const LocalAddresses: Context.Reference<Service> = Context.Reference<Service>("effect-mpquic/LocalAddresses", {
  defaultValue: () => ofHost
})

const refresh = 'Expected a duration from 100 ms to 1 hour, such as "500 millis"'
const flag = (fallback: boolean) =>
  Schema.Boolean.annotate({ message: "Expected true or false" }).pipe(
    Schema.withConstructorDefault(Effect.succeed(fallback))
  )

/**
 * Settings of `layerInterfaces`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class InterfacesConfig extends Schema.Class<InterfacesConfig>("effect-mpquic/InterfacesConfig")({
  /** How often the interfaces are looked at. Default 1 s. */
  refresh: Schema.Duration.annotate({ message: refresh })
    .check(
      Schema.makeFilter(
        (candidate: Duration.Duration) =>
          Duration.between(candidate, { minimum: Duration.millis(100), maximum: Duration.hours(1) }),
        { message: refresh }
      )
    )
    .pipe(Schema.withConstructorDefault(Effect.succeed(Duration.seconds(1)))),
  /** Whether 127.0.0.1 and ::1 are among them. Default false. */
  includeLoopback: flag(false),
  /** Whether IPv4 addresses are among them. Default true. */
  ipv4: flag(true),
  /** Whether IPv6 addresses are among them. Default true. */
  ipv6: flag(true)
}) {}

/**
 * The addresses of the interfaces that are up, looked at again and again: one look serves all connections. Fails with
 * `BadConfig` when `refresh` is not between 100 ms and an hour.
 *
 * **Example** (IPv4 only, four looks a second)
 *
 * ```ts
 * import { LocalAddresses } from "effect-mpquic"
 *
 * const layer = LocalAddresses.layerInterfaces({ refresh: "250 millis", ipv6: false })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerInterfaces = (
  config: {
    readonly refresh?: Duration.Input | undefined
    readonly includeLoopback?: boolean | undefined
    readonly ipv4?: boolean | undefined
    readonly ipv6?: boolean | undefined
  } = {}
): Layer.Layer<never, QuicError, UdpSocket> =>
  Layer.effect(
    LocalAddresses,
    Effect.gen(function* () {
      const checked = yield* policyConfig(InterfacesConfig, config, ["refresh"])
      const udp = yield* UdpSocket
      const wanted = (host: string): boolean => {
        const six = host.includes(":")
        return (six ? checked.ipv6 : checked.ipv4) && (checked.includeLoopback || !isLoopbackHost(host))
      }
      const hosts = new HostAddresses(
        () => udp.hosts,
        () => false,
        Duration.toMillis(checked.refresh),
        wanted
      )
      yield* Effect.forkScoped(hosts.watch(() => Effect.void))
      return hosts.list
    })
  )

const isLoopbackHost = (host: string): boolean => host === "::1" || host.startsWith("127.")

/** Addresses of one service, at most. */
const MAX_ADDRESSES = 256
const ADDRESS = 'an IP address of this host, with a port or without: "192.0.2.1", "[2001:db8::1]:5000"'

const parse = (field: string, input: unknown): NetAddress.InetAddress => {
  const address = addressFromInput(new AddressBook(1), input as AddressInput, 0)
  if (Result.isFailure(address) || isNoDestination(address.success.host)) throw badArgument(field, input, ADDRESS)
  // IPv4 in its form of IPv6 is IPv4: its socket is.
  return NetAddress.toCanonical(toInetAddress(address.success))
}

const parseAll = (field: string, input: unknown): ReadonlyArray<NetAddress.InetAddress> => {
  if (!Array.isArray(input)) throw badArgument(field, input, "IP addresses in an array")
  if (input.length > MAX_ADDRESSES)
    throw badArgument(field, `${input.length} addresses`, `at most ${MAX_ADDRESSES} addresses`)
  const all = new Map<string, NetAddress.InetAddress>()
  for (const [index, each] of input.entries()) {
    const address = parse(`${field}[${index}]`, each)
    all.set(NetAddress.formatInet(address), address)
  }
  return Array.from(all.values())
}

/**
 * These addresses, whatever the host has: no others are used. An address that this host does not have (yet) is tried again now
 * and then. Fails with `BadConfig` for what is no IP address.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerFixed = (addresses: ReadonlyArray<AddressInput>): Layer.Layer<never, QuicError> =>
  Layer.effect(
    LocalAddresses,
    withArguments(
      "addresses",
      () => parseAll("addresses", addresses),
      (all) => Effect.succeed<Service>(new LiveValue(all))
    )
  )

/**
 * Local addresses that the program decides about while connections live.
 *
 * @category models
 * @since 0.2.0
 */
export interface ControlledService extends Service {
  /** Adds an address. One that is there already changes nothing. Fails with `BadConfig` for what is no IP address. */
  readonly add: (address: AddressInput) => Effect.Effect<void, QuicError>
  /** Takes an address away; without a port, whatever its port. One that is not there changes nothing. */
  readonly remove: (address: AddressInput) => Effect.Effect<void, QuicError>
  /** Puts these addresses in place of those that are there: what is in both is not disturbed. */
  readonly set: (addresses: ReadonlyArray<AddressInput>) => Effect.Effect<void, QuicError>
}

/**
 * What `layerControlled` gives to the program.
 *
 * @category services
 * @since 0.2.0
 */
export class Controlled extends Context.Service<Controlled, ControlledService>()("effect-mpquic/ControlledAddresses") {}

const makeControlled = (initial: ReadonlyArray<NetAddress.InetAddress>): ControlledService => {
  const live = new LiveValue(initial)
  const update = (next: ReadonlyArray<NetAddress.InetAddress>): void => {
    if (!sameList(next, live.current)) live.set(next)
  }
  return {
    get current() {
      return live.current
    },
    changes: live.changes,
    add: (address) =>
      withArguments(
        "address",
        () => {
          const added = parse("address", address)
          const { current } = live
          if (current.some((other) => NetAddress.formatInet(other) === NetAddress.formatInet(added))) return current
          if (current.length >= MAX_ADDRESSES)
            throw badArgument("address", address, `one of at most ${MAX_ADDRESSES} addresses`)
          return [...current, added]
        },
        (next) => Effect.sync(() => update(next))
      ),
    remove: (address) =>
      withArguments(
        "address",
        () => parse("address", address),
        (removed) =>
          Effect.sync(() =>
            update(
              live.current.filter(
                (other) =>
                  NetAddress.formatHost(other) !== NetAddress.formatHost(removed) ||
                  (removed.port !== 0 && removed.port !== other.port)
              )
            )
          )
      ),
    set: (addresses) =>
      withArguments(
        "addresses",
        () => parseAll("addresses", addresses),
        (next) => Effect.sync(() => update(next))
      )
  }
}

/**
 * Addresses that the program adds and removes by hand, through the service `Controlled`. With `PathManager.layerAuto` a path is
 * opened from each that is added; one from an address that is removed is closed, and what it carried goes over the others.
 * Fails with `BadConfig` for what is no IP address.
 *
 * **Example** (A second network that comes later)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { LocalAddresses, PathManager } from "effect-mpquic"
 *
 * const PathsLive = Layer.merge(LocalAddresses.layerControlled(["192.168.1.10"]), PathManager.layerAuto())
 *
 * const dockIn = Effect.gen(function* () {
 *   const addresses = yield* LocalAddresses.Controlled
 *   yield* addresses.add("10.0.0.2")
 * })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerControlled = (addresses: ReadonlyArray<AddressInput> = []): Layer.Layer<Controlled, QuicError> =>
  Layer.effectContext(
    withArguments(
      "addresses",
      () => parseAll("addresses", addresses),
      (all) =>
        Effect.sync(() => {
          const service = makeControlled(all)
          return Context.make(Controlled, service).pipe(Context.add(LocalAddresses, service))
        })
    )
  )
