/**
 * A simulated network under Effect's clock: hosts, links, translators and outages, with a `UdpSocket` Layer per host. Under
 * `TestClock` a test decides when time passes, and one seed decides everything else, so a failure can be repeated exactly.
 *
 * `run` is all that an ordinary test needs: it brings network, certificates, randomness and clock, and lets time pass until
 * the test is done. `it.effect` of @effect/vitest shows no log lines, in which both sides say why they end and what is wrong
 * with a policy: `it.live` shows them, and the test is the same.
 *
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { Effect, Layer, Stream } from "effect"
 * import { Endpoint } from "effect-mpquic"
 * import { SimulatedNetwork } from "effect-mpquic/testing"
 *
 * const EchoLive = Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
 *   Layer.provide(Endpoint.layer({ listen: "10.9.0.1:4433", alpn: "echo" }))
 * )
 *
 * it.effect("answers", () =>
 *   SimulatedNetwork.run(
 *     Effect.gen(function* () {
 *       const connection = yield* Endpoint.connect({ address: "10.9.0.1:4433", alpn: "echo", serverName: "server.test" })
 *       const stream = yield* connection.openStream()
 *       yield* stream.end("hello")
 *       assert.strictEqual(yield* stream.text, "hello")
 *     }).pipe(
 *       Effect.provide(Endpoint.layer().pipe(Layer.provide(SimulatedNetwork.layerHost("client", ["10.0.0.1"])))),
 *       Effect.provide(EchoLive.pipe(Layer.provide(SimulatedNetwork.layerHost("server", ["10.9.0.1"]))))
 *     )
 *   )
 * )
 * ```
 *
 * The parts by themselves:
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Endpoint } from "effect-mpquic"
 * import { SimulatedNetwork } from "effect-mpquic/testing"
 *
 * const test = Effect.gen(function* () {
 *   const net = yield* SimulatedNetwork.make({ seed: 7 })
 *   const client = net.host("client", ["10.0.0.1", "10.0.1.1"])
 *   const wifi = net.link("10.0.0.1", "10.9.0.1", { mbps: 40, delay: "10 millis", queue: 100 })
 *   const endpoint = yield* Endpoint.make({ multipath: { maxPaths: 2 } }).pipe(Effect.provide(client.udpSocket))
 *   wifi.cut()
 *   yield* TestClock.adjust("3 seconds")
 *   wifi.restore()
 *   return endpoint.stats
 * })
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Clock, Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import type { Duration } from "effect"
import type { NetAddress } from "effect/net"
import { TestClock } from "effect/testing"
import { addressInUse, addressUnavailable, socketClosed } from "../internal/runtime/UdpErrors.ts"
import { toInetAddress } from "../internal/runtime/Addresses.ts"
import { at, attempt, badArgument, checkedBind, copyOf, effectOf, flag, text } from "../internal/runtime/Arguments.ts"
import { UdpInbox } from "../internal/runtime/UdpInbox.ts"
import { transmitAll } from "../internal/runtime/UdpTransmit.ts"
import type { Address, Transmit } from "../internal/wire/Datagram.ts"
import { QuicError } from "../QuicError.ts"
import { UdpSocket } from "../UdpSocket.ts"
import type { BindOptions, BoundSocket, Stats as SocketStats } from "../UdpSocket.ts"
import {
  finiteMs,
  hostsOf,
  ipOf,
  seedOf,
  toDuplexOptions,
  toLinkOptions,
  toNatOptions
} from "./internal/FaceOptions.ts"
import type { DuplexOptions, LinkOptions, NatOptions } from "./internal/FaceOptions.ts"
import type { BurstLoss, LinkStats } from "./internal/Link.ts"
import * as SeededRandom from "./SeededRandom.ts"
import { Simulator } from "./internal/SimulatorCore.ts"
import * as TestCertificates from "./TestCertificates.ts"
import type { Attachment, DatagramReceiver, Hosts, SimLink } from "./internal/SimulatorCore.ts"

export { type BurstLoss, type DuplexOptions, type Hosts, type LinkOptions, type LinkStats, type NatOptions }

/**
 * Settings of a network.
 *
 * @category configuration
 * @since 0.1.0
 */
export interface Options {
  /** The number that everything random follows from. Default 1. It is logged when the scope of the network ends with a failure. */
  readonly seed?: number | undefined
  /** What links have that do not say otherwise. Default: a delay of 1 ms and no limits. */
  readonly link?: LinkOptions | undefined
  /** Keep a line for each datagram in `trace`. Default false. */
  readonly trace?: boolean | undefined
}

/**
 * A host of the network.
 *
 * @category models
 * @since 0.1.0
 */
export interface Host {
  /** For the reader. */
  readonly name: string
  /** Its IP addresses now. */
  readonly addresses: ReadonlyArray<string>
  /**
   * Gives it these addresses in place of those it has, as when interfaces come and go. Sockets on an address that has gone
   * cannot send and receive nothing, until it is back. What is no IP address, or another host's, is thrown: a `QuicError`
   * (`BadConfig`).
   *
   * @since 0.2.0
   */
  readonly setAddresses: (addresses: ReadonlyArray<string>) => void
  /** The sockets of this host: provide it to an endpoint, and the endpoint lives here. */
  readonly udpSocket: Layer.Layer<UdpSocket>
}

/**
 * A link between hosts. Operations take effect at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface NetworkLink {
  /** Changes options from now on; what is not named stays. */
  readonly set: (options: DuplexOptions) => void
  /** Starts an outage: what is inside is lost, what is sent into it too. */
  readonly cut: () => void
  /** Ends it. */
  readonly restore: () => void
  /** An outage that ends by itself. */
  readonly outage: (duration: Duration.Input) => void
  /** Counters now. */
  readonly stats: { readonly forward: LinkStats; readonly backward: LinkStats }
}

/**
 * A network address translator.
 *
 * @category models
 * @since 0.1.0
 */
export interface NetworkNat {
  /** Gives every mapping another public port, and another public address when one is named. */
  readonly rebind: (outside?: string) => void
  /** Which public address stands for which inside. */
  readonly mappings: ReadonlyArray<readonly [inside: NetAddress.InetAddress, outside: NetAddress.InetAddress]>
}

/**
 * What can be done with a network: the service `SimulatedNetwork`. What is wrong with options, of its links and translators
 * too, is thrown at once: a `QuicError` (`BadConfig`) that names the field and what is allowed.
 *
 * @category models
 * @since 0.2.0
 */
export interface Service {
  /** The number that everything random follows from. */
  readonly seed: number
  /** Adds a host. The name is for the reader; addresses belong to one host only. */
  readonly host: (name: string, addresses: ReadonlyArray<string>) => Host
  /**
   * Joins two groups of hosts by one link that all their traffic shares: addresses, or prefixes that end in `*`. The more
   * specific link wins, then the later one.
   */
  readonly link: (a: Hosts, b: Hosts, options?: DuplexOptions) => NetworkLink
  /** A link that carries nothing until `route` names it. */
  readonly makeLink: (options?: DuplexOptions) => NetworkLink
  /** Sends what `a` and `b` have for each other through several links, in this order from `a` to `b`. */
  readonly route: (a: Hosts, b: Hosts, links: ReadonlyArray<NetworkLink>) => void
  /** Puts hosts behind a translator. */
  readonly nat: (options: NatOptions) => NetworkNat
  /** With the option `trace`: a line for each datagram that arrived or was dropped. Times are in ms since `make`. */
  readonly trace: ReadonlyArray<string>
  /** Datagrams that reached nobody: no such address, nobody bound to it, or kept out by a translator. */
  readonly unreachable: number
}

/**
 * The network that a test runs in.
 *
 * @category services
 * @since 0.1.0
 */
export class SimulatedNetwork extends Context.Service<SimulatedNetwork, Service>()(
  "effect-mpquic/testing/SimulatedNetwork"
) {}

/**
 * Makes a network. It lives as long as its scope. Wrong options are a defect: a `QuicError` (`BadConfig`) that names the field
 * and what is allowed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (options: Options = {}) {
  const trace: Array<string> = []
  const given = copyOf<Options>("options", options)
  const traced = flag("trace", given.trace, false)
  const simulator = new Simulator({
    seed: seedOf(given.seed),
    link: given.link === undefined ? undefined : toLinkOptions(given.link, "link.", "link"),
    onTrace: traced ? (line) => trace.push(line) : undefined
  })
  const driver = yield* makeDriver(simulator)
  const scope = yield* Effect.scope
  yield* Scope.addFinalizerExit(scope, (exit) =>
    Exit.isFailure(exit) ? Effect.logWarning(`The simulated network had seed ${simulator.seed}`) : Effect.void
  )
  const links = new WeakMap<NetworkLink, SimLink>()
  const owners = new Map<string, Host>()
  const wrap = (link: SimLink): NetworkLink => {
    const change = (changed: DuplexOptions): void => {
      const checked = toDuplexOptions(changed)
      driver.act(() => link.set(checked))
    }
    const networkLink: NetworkLink = {
      set: change,
      cut: () => change({ up: false }),
      restore: () => change({ up: true }),
      outage: (duration) => {
        const ms = finiteMs("duration", duration)
        driver.act(() => {
          link.cut()
          simulator.at(simulator.now + ms, () => link.restore())
        })
      },
      get stats() {
        return { forward: { ...link.stats.forward }, backward: { ...link.stats.backward } }
      }
    }
    links.set(networkLink, link)
    return networkLink
  }
  return SimulatedNetwork.of({
    seed: simulator.seed,
    host: (name, hosts) => makeHost(driver, owners, name, hosts),
    link: (a, b, duplex) => wrap(simulator.link(hostsOf("a", a), hostsOf("b", b), toDuplexOptions(duplex))),
    makeLink: (duplex) => wrap(simulator.makeLink(toDuplexOptions(duplex))),
    route: (a, b, through) => {
      if (!Array.isArray(through)) throw badArgument("links", through, "links of this network in an array")
      const chain = through.map((each: NetworkLink, index) => {
        const link = links.get(each)
        if (link === undefined) throw badArgument(`links[${index}]`, each, "a link of this network")
        return link
      })
      simulator.route(hostsOf("a", a), hostsOf("b", b), chain)
    },
    nat: (natOptions) => {
      const nat = simulator.nat(toNatOptions(natOptions))
      return {
        rebind: (outside) => {
          const address = outside === undefined ? undefined : ipOf("outside", outside)
          driver.act(() => nat.rebind(address))
        },
        get mappings() {
          return nat.mappings.map(([inside, outside]) => [toInetAddress(inside), toInetAddress(outside)] as const)
        }
      }
    },
    trace,
    get unreachable() {
      return simulator.unreachable
    }
  })
})

/**
 * A network as a Layer. Wrong options are a defect, as in `make`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<SimulatedNetwork> => Layer.effect(SimulatedNetwork, make(options))

/**
 * The sockets of a new host on the network.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHost = (
  name: string,
  addresses: ReadonlyArray<string>
): Layer.Layer<UdpSocket, never, SimulatedNetwork> =>
  Layer.unwrap(Effect.map(SimulatedNetwork, (network) => network.host(name, addresses).udpSocket))

/**
 * Settings of `run`.
 *
 * @category configuration
 * @since 0.2.0
 */
export interface RunOptions extends Options {
  /** Simulated time that the test may take; then it fails. Default 10 minutes. */
  readonly limit?: Duration.Input | undefined
}

/**
 * The world of a test in one Layer: a network, `TestCertificates.layer` (an identity for "server.test", and trust in it) and
 * randomness, all from one seed. The clock is not in it: `run` brings that as well.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerWorld = (options?: Options): Layer.Layer<SimulatedNetwork> =>
  Layer.mergeAll(
    layer(options),
    TestCertificates.layer,
    Layer.sync(SeededRandom.RandomBytes, () => SeededRandom.make(at(options, "seed") ?? 1))
  )

/**
 * Runs a whole test in a world of its own (`layerWorld`) under a `TestClock` of its own, and lets time pass until the test and
 * its scope are done: nobody has to adjust the clock. Nothing takes real time, and one seed decides everything. A test that is
 * not done after `limit` dies and says so; so does one whose options are wrong, with the `QuicError` (`BadConfig`).
 *
 * @category running
 * @since 0.2.0
 */
export const run = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: RunOptions = {}
): Effect.Effect<A, E, Exclude<R, Scope.Scope | SimulatedNetwork>> => {
  const given = attempt("options", () => {
    const { limit = "10 minutes", ...world } = copyOf<RunOptions>("options", options)
    return { limit: finiteMs("limit", limit, 0), world }
  })
  if (given instanceof QuicError) return Effect.die(given)
  return Effect.scoped(effectOf("effect", effect)).pipe(
    Effect.provide(layerWorld(given.world)),
    (test) => passTime(test, given.limit),
    Effect.provide(TestClock.layer())
  ) as Effect.Effect<A, E, Exclude<R, Scope.Scope | SimulatedNetwork>>
}

/** ms by which the clock goes on at a time: what is due meanwhile happens in its order, each at its time. */
const STEP = 20

/** ms of simulated time that what a test leaves behind has to close, when it is ended early. */
const CLOSING = 60_000

const passTime = <A, E, R>(effect: Effect.Effect<A, E, R>, limit: number): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      // No child: the end of a parent waits for its children, and their scopes may wait for time, which passes here alone.
      const fiber = yield* Effect.forkDetach(restore(effect), { startImmediately: true })
      const done = yield* Effect.onExit(restore(passUntilDone(fiber, limit)), () =>
        Effect.suspend(() => {
          if (fiber.pollUnsafe() !== undefined) return Effect.void
          fiber.interruptUnsafe()
          return passUntilDone(fiber, CLOSING)
        })
      )
      if (!done) return yield* Effect.die(new Error(`the test is not done after ${limit} ms of simulated time`))
      return yield* Fiber.join(fiber)
    })
  )

/** Lets time pass until the fiber is done, and tells whether it is. */
const passUntilDone = (fiber: Fiber.Fiber<unknown, unknown>, limit: number): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    for (let time = 0; time < limit && fiber.pollUnsafe() === undefined; time += STEP) yield* TestClock.adjust(STEP)
    return fiber.pollUnsafe() !== undefined
  })

/** Runs the simulator by the clock. */
interface Driver {
  readonly simulator: Simulator
  /** Does something in the simulator now, and sees to it that what follows happens in time. */
  readonly act: (action: () => void) => void
}

/** One nanosecond in ms: what clocks can tell apart. An event due before the next one is due now. */
const nanosecond = 1e-6

const makeDriver = Effect.fnUntraced(function* (simulator: Simulator) {
  const clock = yield* Clock.Clock
  // Ends after everything that was made after the network: endpoints still have last packets to send.
  const scope = yield* Scope.fork(yield* Effect.scope)
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const epoch = Number(clock.monotonicTimeNanosUnsafe())
  const now = (): number => (Number(clock.monotonicTimeNanosUnsafe()) - epoch) / 1e6
  let armed = Infinity
  let fiber: Fiber.Fiber<void> | undefined
  let running = false

  // Sleeps until the next event; sleeps again when the clock rounded down, or when events were added.
  const loop: Effect.Effect<void> = Effect.suspend(() => {
    const time = now()
    const due = simulator.next()
    running = true
    simulator.run(due > time && due <= time + nanosecond ? due : time)
    running = false
    const next = simulator.next()
    armed = next
    if (next === Infinity) {
      fiber = undefined
      return Effect.void
    }
    return Effect.andThen(pause(next), loop)
  })
  // What is due now waits for the caller to finish: nobody is called from inside a `send`.
  const pause = (next: number): Effect.Effect<void> => {
    // Whole nanoseconds, rounded up; differences of large times carry an error far below one.
    const left = Math.ceil((next - now()) * 1e6 - 0.01) / 1e6
    return left > 0 ? Effect.sleep(left) : Effect.yieldNow
  }
  const act = (action: () => void): void => {
    if (!running) simulator.now = Math.max(simulator.now, now())
    action()
    const next = simulator.next()
    if (running || next >= armed) return
    fiber?.interruptUnsafe()
    armed = next
    fiber = Fiber.runIn(fork(Effect.andThen(pause(next), loop)), scope)
  }
  return { simulator, act } satisfies Driver
})

const addressesOf = (value: unknown): ReadonlyArray<string> => {
  if (!Array.isArray(value)) throw badArgument("addresses", value, "IP addresses in an array")
  return Array.from(new Set(value.map((address, index) => ipOf(`addresses[${index}]`, address))))
}

/** `owners`: whose an address is or was; it stays that host's. */
const makeHost = (driver: Driver, owners: Map<string, Host>, name: string, hosts: ReadonlyArray<string>): Host => {
  const { simulator } = driver
  let addresses = addressesOf(hosts)
  const host: Host = {
    name: text("name", name),
    get addresses() {
      return addresses
    },
    setAddresses: (given) => {
      const next = addressesOf(given)
      for (const [index, address] of next.entries()) {
        const owner = owners.get(address) ?? host
        if (owner !== host)
          throw badArgument(`addresses[${index}]`, address, `an address that is not of the host ${owner.name}`)
      }
      driver.act(() => {
        for (const address of addresses) simulator.setPresent(address, next.includes(address))
        for (const address of next) {
          owners.set(address, host)
          simulator.setPresent(address, true)
        }
      })
      addresses = next
    },
    udpSocket: Layer.succeed(UdpSocket, {
      bind: makeBind(driver, () => addresses),
      get hosts() {
        return addresses
      },
      lane: "simulated"
    })
  }
  for (const address of addresses) owners.set(address, host)
  return host
}

const wildcards = new Set(["0.0.0.0", "::"])
const firstEphemeral = 49_152
const portRange = 65_536 - firstEphemeral

const makeBind = (driver: Driver, addresses: () => ReadonlyArray<string>): UdpSocket["Service"]["bind"] => {
  const { simulator } = driver
  let ephemeral = 0
  return checkedBind((address, options) =>
    Effect.suspend((): Effect.Effect<BoundSocket, QuicError, Scope.Scope> => {
      const hosts = addresses()
      const wildcard = wildcards.has(address.host)
      const bound = wildcard
        ? hosts.filter((host) => host.includes(":") === address.host.includes(":"))
        : hosts.filter((host) => host === address.host)
      if (bound.length === 0) return Effect.fail(addressUnavailable(address))
      const isFree = (port: number) => bound.every((host) => simulator.isFree(simulator.addresses.intern(host, port)))
      let port = address.port
      if (port === 0) {
        for (let tries = 0; tries < portRange; tries++) {
          const candidate = firstEphemeral + (ephemeral++ % portRange)
          if (isFree(candidate)) {
            port = candidate
            break
          }
        }
      }
      if (port === 0 || !isFree(port)) return Effect.fail(addressInUse(address))
      return Effect.acquireRelease(
        Effect.sync(() => new SimulatedSocket(driver, address.host, bound, port, options)),
        (socket) => socket.close
      )
    })
  )
}

class SimulatedSocket implements BoundSocket, DatagramReceiver {
  readonly local: Address
  readonly addresses: BoundSocket["addresses"]
  readonly pull: BoundSocket["pull"]
  readonly incoming: BoundSocket["incoming"]
  readonly writable: Effect.Effect<void> = Effect.void
  readonly transmit: BoundSocket["transmit"]
  readonly close: Effect.Effect<void>

  private readonly driver: Driver
  private readonly inbox = new UdpInbox()
  private readonly attachments: ReadonlyArray<Attachment>
  /** Where datagrams leave from that name no address of this socket (it is bound to a wildcard). */
  private readonly source: Address
  private readonly sources: ReadonlySet<string>
  private readonly onSendError: BindOptions["onSendError"]
  private readonly outgoing: Transmit
  private readonly sendNow: () => void
  private sent = 0
  private sentBytes = 0
  private readonly refused: Record<string, number> = {}
  private closed = false

  constructor(
    driver: Driver,
    host: string,
    bound: ReadonlyArray<string>,
    port: number,
    options: BindOptions | undefined
  ) {
    const { addresses } = driver.simulator
    this.driver = driver
    this.addresses = options?.addresses ?? addresses
    this.onSendError = options?.onSendError
    this.local = this.addresses.intern(host, port)
    const sources = bound.map((each) => addresses.intern(each, port))
    this.source = sources[0]!
    this.sources = new Set(bound)
    this.attachments = sources.map((address) => driver.simulator.listen(address, this))
    this.outgoing = { local: this.source, remote: this.source, ecn: 0, segmentSize: 0, bytes: new Uint8Array() }
    this.sendNow = () => driver.simulator.send(this.outgoing)
    this.pull = this.inbox.pull
    this.incoming = Stream.fromEffectRepeat(this.inbox.pull)
    this.transmit = transmitAll(this, () => (this.closed ? socketClosed("send", this.local) : undefined))
    this.close = Effect.sync(() => {
      this.closed = true
      for (const attachment of this.attachments) attachment.close()
      this.inbox.close(() => socketClosed("receive", this.local))
    })
  }

  send = (transmit: Transmit): boolean => {
    const { bytes, local, remote, segmentSize, ecn } = transmit
    if (this.closed) {
      this.refuse("ERR_SOCKET_DGRAM_NOT_RUNNING", remote)
      return true
    }
    const { addresses } = this.driver.simulator
    const { outgoing } = this
    outgoing.local =
      local.port === this.source.port && this.sources.has(local.host)
        ? addresses.intern(local.host, local.port)
        : this.source
    if (!this.driver.simulator.isPresent(outgoing.local.host)) {
      this.refuse("EADDRNOTAVAIL", remote)
      return true
    }
    outgoing.remote = addresses.intern(remote.host, remote.port)
    outgoing.ecn = ecn
    outgoing.segmentSize = segmentSize
    outgoing.bytes = bytes
    this.driver.act(this.sendNow)
    this.sent += bytes.length <= segmentSize || segmentSize < 1 ? 1 : Math.ceil(bytes.length / segmentSize)
    this.sentBytes += bytes.length
    return true
  }

  get retained(): boolean {
    return false
  }

  get stats(): SocketStats {
    return {
      datagramsReceived: this.inbox.received,
      bytesReceived: this.inbox.receivedBytes,
      datagramsSent: this.sent,
      bytesSent: this.sentBytes,
      datagramsDropped: this.inbox.dropped,
      sendErrors: { ...this.refused }
    }
  }

  private refuse(code: string, remote: Address): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1
    this.onSendError?.({ code, remote })
  }

  /** For logs: not the memory of the socket. */
  toJSON(): unknown {
    return { _id: "BoundSocket", local: this.local.toString(), ...this.stats }
  }

  /** For the simulator: a datagram has arrived. */
  datagram(packet: Parameters<DatagramReceiver["datagram"]>[0]): void {
    const remote = this.addresses.intern(packet.from.host, packet.from.port)
    this.inbox.push(packet.buffer, packet.length, this.local, remote, packet.ecn)
  }

  /** For the simulator: nothing to do, the reader was woken and comes when the instant is over. */
  flush(): void {}
}
