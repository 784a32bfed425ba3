/**
 * A network in one thread: a deterministic discrete-event simulator without Effect, sockets or real time. It drives
 * protocol machines directly, for thousands of runs; `SimulatedNetwork` puts it under Effect's clock.
 *
 * Links join pairs of hosts. What no link was made for travels over a link of its own with the default options. The same
 * seed and the same calls give the same trace, byte for byte.
 */
import { AddressBook, makeDatagramBurst } from "../../internal/wire/Datagram.ts"
import type { Address, DatagramBurst, Transmit } from "../../internal/wire/Datagram.ts"
import { EventHeap, SimTimer } from "./EventHeap.ts"
import { matchesHost, Nat } from "./Nat.ts"
import type { NatMapping, NatOptions } from "./Nat.ts"
import { PacketPool } from "./Packets.ts"
import type { LinkPacket } from "./Packets.ts"
import { Prng } from "./Prng.ts"
import { checkLinkOptions, Link } from "./Link.ts"
import type { Fate, LinkEvents, LinkOptions, LinkStats } from "./Link.ts"

export { type Fate, type LinkOptions, type LinkStats, type NatOptions, Nat, Prng, SimTimer }

/** Settings of a simulator. */
export interface SimulatorOptions {
  /** Everything random follows from it. Default 1. */
  readonly seed?: number | undefined
  /** What links have that do not say otherwise. Default: a delay of 1 ms and no limits. */
  readonly link?: LinkOptions | undefined
  /** Called with one line a datagram: time, from, to, length, ECN, fate, when it was sent, hash of its bytes. */
  readonly onTrace?: ((line: string) => void) | undefined
}

/** Options of a link: the same in both directions, except where a direction has its own. */
export interface DuplexOptions extends LinkOptions {
  /** From the first host to the second. */
  readonly forward?: LinkOptions | undefined
  /** From the second host to the first. */
  readonly backward?: LinkOptions | undefined
}

/**
 * Hosts: an address, a prefix that ends in `*` ("10.0.*"), or several of these.
 *
 * @category models
 * @since 0.1.0
 */
export type Hosts = string | ReadonlyArray<string>

/** A datagram in the simulator. The receiver of `DatagramReceiver.datagram` copies what it keeps. */
export type SimDatagram = LinkPacket<Flow>

/** The end of a path, datagram by datagram. `flush` comes after the last datagram of an instant. */
export interface DatagramReceiver {
  datagram(packet: SimDatagram, now: number): void
  flush(now: number): void
}

/** A socket of the simulator. */
export interface Attachment {
  readonly close: () => void
}

/** How datagrams from one address to another travel: resolved once, kept until the topology changes. */
interface Flow {
  readonly source: Address
  readonly destination: Address
  readonly hops: ReadonlyArray<Direction>
  readonly outgoing: NatMapping | undefined
  readonly outgoingNat: Nat | undefined
  readonly incoming: NatMapping | undefined
  readonly incomingNat: Nat | undefined
}

/** A link with the timer that brings the simulator back to it. */
class Direction {
  readonly link: Link<Flow>
  private readonly timer: SimTimer

  constructor(simulator: Simulator, link: Link<Flow>) {
    this.link = link
    this.timer = simulator.timer((now) => {
      this.link.advance(now)
      this.timer.set(this.link.next())
    })
  }

  offer(packet: SimDatagram, now: number): void {
    this.link.offer(packet, now)
    this.timer.set(this.link.next())
  }

  set(options: LinkOptions, now: number): void {
    this.link.set(options, now)
    this.timer.set(this.link.next())
  }
}

const directionOptions = (options: DuplexOptions, own: LinkOptions | undefined): LinkOptions => {
  const { forward: _forward, backward: _backward, ...both } = options
  return own === undefined ? both : { ...both, ...own }
}

/** Both directions of a link, to change and to look at while the simulation runs. */
export class SimLink {
  readonly forward: Direction
  readonly backward: Direction
  private readonly simulator: Simulator

  constructor(simulator: Simulator, forward: Direction, backward: Direction) {
    this.simulator = simulator
    this.forward = forward
    this.backward = backward
  }

  /** Changes options from now on; what is not named stays. */
  set(options: DuplexOptions): void {
    this.forward.set(directionOptions(options, options.forward), this.simulator.now)
    this.backward.set(directionOptions(options, options.backward), this.simulator.now)
  }

  /** Starts an outage in both directions: what is inside is lost. */
  cut(): void {
    this.set({ up: false })
  }

  restore(): void {
    this.set({ up: true })
  }

  get stats(): { readonly forward: Readonly<LinkStats>; readonly backward: Readonly<LinkStats> } {
    return { forward: this.forward.link.stats, backward: this.backward.link.stats }
  }
}

interface Route {
  readonly a: ReadonlyArray<string>
  readonly b: ReadonlyArray<string>
  readonly links: ReadonlyArray<SimLink>
}

interface Bound {
  readonly receiver: DatagramReceiver
  dirty: boolean
}

/** How many flows are remembered before the table starts over. */
const flowLimit = 4096

const specificity = (patterns: ReadonlyArray<string>, host: string): number => {
  let best = -1
  for (const pattern of patterns) {
    if (matchesHost(pattern, host)) best = Math.max(best, pattern.endsWith("*") ? pattern.length : 1000)
  }
  return best
}

/** The simulator. Time is in ms from 0 and moves only in `run`. */
export class Simulator implements LinkEvents<Flow> {
  readonly seed: number
  /** Interns the addresses of all hosts. */
  readonly addresses = new AddressBook(65_536)
  /** For the program around the simulator; links have generators of their own. */
  readonly random: Prng
  now = 0

  private readonly defaults: LinkOptions
  private readonly onTrace: ((line: string) => void) | undefined
  private readonly heap = new EventHeap()
  private readonly pool = new PacketPool<Flow>()
  private readonly bound = new Map<string, Bound>()
  /** Addresses that their host does not have at the moment: what is bound to them is not reached. */
  private readonly absent = new Set<string>()
  private readonly dirty: Array<Bound> = []
  private readonly routes: Array<Route> = []
  private readonly implicit = new Map<string, SimLink>()
  private readonly nats: Array<Nat> = []
  private readonly flows = new Map<Address, Map<Address, Flow>>()
  private flowCount = 0
  private links = 0
  private dropped = 0

  constructor(options: SimulatorOptions = {}) {
    this.seed = options.seed ?? 1
    this.defaults = options.link ?? { delay: 1 }
    checkLinkOptions(this.defaults)
    this.onTrace = options.onTrace
    this.random = new Prng(this.seed, "program")
  }

  /** A timer that may be set and cleared many times. */
  timer(run: (now: number) => void): SimTimer {
    return new SimTimer(this.heap, run)
  }

  /** Calls `run` once at a time, or now if that has passed. Clear the timer to cancel it. */
  at(time: number, run: (now: number) => void): SimTimer {
    const timer = this.timer(run)
    timer.set(Math.max(time, this.now))
    return timer
  }

  /** Time of the next event; `Infinity` when the network is idle. */
  next(): number {
    return this.heap.next()
  }

  /**
   * Runs all events up to a time, and the clock to it. Without a time: until nothing is left to do, which never comes
   * when a machine keeps setting timers.
   */
  run(until = Infinity): void {
    const { heap } = this
    for (let time = heap.next(); time <= until && time !== Infinity; time = heap.next()) {
      if (time > this.now) this.now = time
      // All datagrams of one instant are delivered before anyone is called, so that they form one burst.
      while (heap.next() <= time) heap.pop().run(this.now)
      this.flush()
    }
    if (until !== Infinity && until > this.now) this.now = until
  }

  /**
   * Joins two groups of hosts by one link, which all their traffic shares. The more specific link wins, then the later
   * one. Throws a `QuicError` for options out of range.
   */
  link(a: Hosts, b: Hosts, options: DuplexOptions = {}): SimLink {
    const link = this.makeLink(options)
    this.route(a, b, [link])
    return link
  }

  /** A link that no hosts use until `route` names it. */
  makeLink(options: DuplexOptions = {}): SimLink {
    const index = this.links++
    const make = (name: string, own: LinkOptions | undefined): Direction => {
      const all = { ...this.defaults, ...directionOptions(options, own) }
      return new Direction(this, new Link(all, new Prng(this.seed, `${name} ${index}`), this.pool, this))
    }
    return new SimLink(this, make("forward", options.forward), make("backward", options.backward))
  }

  /** Sends what hosts `a` and `b` have for each other through several links, in this order from `a` to `b`. */
  route(a: Hosts, b: Hosts, links: ReadonlyArray<SimLink>): void {
    this.routes.push({ a: typeof a === "string" ? [a] : a, b: typeof b === "string" ? [b] : b, links })
    this.forgetFlows()
  }

  /** Puts hosts behind a translator. Links are still named by the hosts' own addresses. */
  nat(options: NatOptions): Nat {
    const nat = new Nat(
      options,
      this.addresses,
      () => this.now,
      () => this.forgetFlows()
    )
    this.nats.push(nat)
    this.forgetFlows()
    return nat
  }

  /** Whether nobody listens at an address. */
  isFree(address: Address): boolean {
    return !this.bound.has(address.key)
  }

  /** A host has lost an address, or has it (again). Sockets that are bound to it stay, and work when it is back. */
  setPresent(host: string, present: boolean): void {
    if (present) this.absent.delete(host)
    else this.absent.add(host)
  }

  isPresent(host: string): boolean {
    return !this.absent.has(host)
  }

  /** Receives what is sent to an address, one datagram a call. The address must be free. */
  listen(address: Address, receiver: DatagramReceiver): Attachment {
    if (!this.isFree(address)) throw new Error(`${address} is in use in the simulator`)
    const bound: Bound = { receiver, dirty: false }
    this.bound.set(address.key, bound)
    return {
      close: () => {
        if (this.bound.get(address.key) === bound) this.bound.delete(address.key)
      }
    }
  }

  /** Receives what is sent to an address: one burst an instant. Burst and slab are reused by the next one. */
  attach(address: Address, receive: (burst: DatagramBurst, now: number) => void, capacity = 64): Attachment {
    const burst = makeDatagramBurst(capacity, new Uint8Array(Math.max(65_536, capacity * 2048)))
    let used = 0
    const flush = (now: number): void => {
      if (burst.count === 0) return
      receive(burst, now)
      burst.count = 0
      used = 0
    }
    return this.listen(address, {
      flush,
      datagram(packet, now) {
        if (burst.count === capacity || used + packet.length > burst.slab.length) flush(now)
        const index = burst.count++
        if (packet.length > 0) burst.slab.set(packet.buffer.subarray(0, packet.length), used)
        burst.offset[index] = used
        burst.length[index] = packet.length
        burst.ecn[index] = packet.ecn
        burst.local[index] = packet.to
        burst.remote[index] = packet.from
        used += packet.length
      }
    })
  }

  /** Sends the datagrams of a transmit from its local address. Its bytes are copied. */
  send(transmit: Transmit): void {
    const { bytes, segmentSize, ecn } = transmit
    const flow = this.flow(transmit.local, transmit.remote)
    const length = bytes.length
    let from = 0
    do {
      const to = segmentSize < 1 || length - from <= segmentSize ? length : from + segmentSize
      if (flow === undefined) {
        this.dropped++
        if (this.onTrace !== undefined) {
          this.trace(this.now, this.now, transmit.local, transmit.remote, bytes.subarray(from, to), ecn, "unreachable")
        }
      } else {
        const packet = this.pool.take(bytes, from, to, flow.source, transmit.remote, flow)
        packet.ecn = ecn
        packet.sentAt = this.now
        flow.hops[0]!.offer(packet, this.now)
      }
      from = to
    } while (from < length)
  }

  /** Datagrams that reached nobody: no such address, nobody bound to it, or kept out by a translator. */
  get unreachable(): number {
    return this.dropped
  }

  /** For links: a packet came out of one. */
  deliver(packet: SimDatagram, time: number): void {
    const flow = packet.context
    const hop = packet.hop + 1
    if (hop < flow.hops.length) {
      packet.hop = hop
      flow.hops[hop]!.offer(packet, time)
      return
    }
    const bound = this.absent.has(flow.destination.host) ? undefined : this.bound.get(flow.destination.key)
    if (bound === undefined || (flow.incoming !== undefined && flow.incomingNat!.expired(flow.incoming))) {
      this.dropped++
      this.drop(packet, "unreachable", time)
    } else {
      if (this.onTrace !== undefined) this.tracePacket(packet, "delivered", time)
      packet.to = flow.destination
      bound.receiver.datagram(packet, time)
      if (!bound.dirty) {
        bound.dirty = true
        this.dirty.push(bound)
      }
    }
    this.pool.give(packet)
  }

  /** For links: a packet was dropped in one. */
  drop(packet: SimDatagram, fate: Fate, time: number): void {
    if (this.onTrace !== undefined) this.tracePacket(packet, fate, time)
  }

  private flush(): void {
    const { dirty } = this
    for (let i = 0; i < dirty.length; i++) {
      const bound = dirty[i]!
      bound.dirty = false
      bound.receiver.flush(this.now)
    }
    dirty.length = 0
  }

  private flow(from: Address, to: Address): Flow | undefined {
    const known = this.flows.get(from)?.get(to)
    if (known !== undefined) {
      const { incoming, outgoing } = known
      if (outgoing === undefined && incoming === undefined) return known
      const expired =
        (outgoing !== undefined && known.outgoingNat!.expired(outgoing)) ||
        (incoming !== undefined && known.incomingNat!.expired(incoming))
      if (!expired) {
        if (outgoing !== undefined) outgoing.lastUsed = this.now
        return known
      }
    }
    return this.resolve(from, to)
  }

  private resolve(from: Address, to: Address): Flow | undefined {
    const outgoingNat = this.nats.find((nat) => nat.holds(from.host) && !nat.holds(to.host))
    const outgoing = outgoingNat?.outgoing(from, to)
    const source = outgoing === undefined ? from : outgoing.outside
    const incomingNat = this.nats.find((nat) => nat.outside === to.host)
    const incoming = incomingNat?.incoming(source, to)
    if (incomingNat !== undefined && incoming === undefined) return undefined
    const destination = incoming === undefined ? to : incoming.inside
    const hops = this.hops(from.host, destination.host)
    const flow: Flow = { source, destination, hops, outgoing, outgoingNat, incoming, incomingNat }
    if (++this.flowCount > flowLimit) this.forgetFlows()
    let flows = this.flows.get(from)
    if (flows === undefined) this.flows.set(from, (flows = new Map<Address, Flow>()))
    flows.set(to, flow)
    return flow
  }

  private hops(from: string, to: string): ReadonlyArray<Direction> {
    let best = -1
    let hops: ReadonlyArray<Direction> | undefined
    for (const { a, b, links } of this.routes) {
      const fromA = specificity(a, from)
      const toB = specificity(b, to)
      if (fromA >= 0 && toB >= 0 && fromA + toB >= best) {
        best = fromA + toB
        hops = links.map((link) => link.forward)
        continue
      }
      const fromB = specificity(b, from)
      const toA = specificity(a, to)
      if (fromB >= 0 && toA >= 0 && fromB + toA >= best) {
        best = fromB + toA
        hops = links.map((link) => link.backward).toReversed()
      }
    }
    if (hops !== undefined && hops.length > 0) return hops
    const [low, high] = from < to ? [from, to] : [to, from]
    const key = `${low} ${high}`
    let link = this.implicit.get(key)
    if (link === undefined) {
      const options = this.defaults
      // Named by its hosts: links that are made later do not change what happens on it.
      const make = (name: string) =>
        new Direction(this, new Link(options, new Prng(this.seed, `${name} ${key}`), this.pool, this))
      link = new SimLink(this, make("forward"), make("backward"))
      this.implicit.set(key, link)
    }
    return [from === low ? link.forward : link.backward]
  }

  private forgetFlows(): void {
    this.flows.clear()
    this.flowCount = 0
  }

  private tracePacket(packet: SimDatagram, fate: Fate, time: number): void {
    const bytes = packet.buffer.subarray(0, packet.length)
    this.trace(time, packet.sentAt, packet.from, packet.to, bytes, packet.ecn, fate)
  }

  private trace(
    time: number,
    sentAt: number,
    from: Address,
    to: Address,
    bytes: Uint8Array,
    ecn: number,
    fate: Fate
  ): void {
    let hash = 0x811c9dc5
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
    const sum = (hash >>> 0).toString(16).padStart(8, "0")
    this.onTrace!(
      `${time.toFixed(6)} ${from} > ${to} ${bytes.length} ecn=${ecn} ${fate} sent=${sentAt.toFixed(6)} #${sum}`
    )
  }
}
