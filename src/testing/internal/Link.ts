/**
 * The model of one direction of a network link: a queue with tail drop, a wire with a rate, a propagation delay, and the
 * accidents of real networks. Passive: the owner hands in the time and asks when to come back, so the same model serves
 * simulated networks and the real relay. Given the same calls and seed, it does the same thing.
 */
import { badArgument, copyOf, flag } from "../../internal/runtime/Arguments.ts"
import type { Prng } from "./Prng.ts"
import { PacketRing } from "./Packets.ts"
import type { LinkPacket, PacketPool } from "./Packets.ts"

/**
 * Runs of losses by the Gilbert model: two states, and a packet that finds the link in the bad one may be lost.
 *
 * @category models
 * @since 0.1.0
 */
export interface BurstLoss {
  /** Probability, per packet, of going from good to bad. */
  readonly enter: number
  /** Probability, per packet, of going back to good: runs last 1 / leave packets on average. */
  readonly leave: number
  /** Probability of loss while bad. Default 1. */
  readonly loss?: number | undefined
}

/** One direction of a link. What is left out keeps its value (at first: the default). */
export interface LinkOptions {
  /** Rate in megabits (10^6) of UDP payload per second. Default: unlimited. */
  readonly mbps?: number | undefined
  /** Propagation delay, one way, in ms. Default 0. */
  readonly delay?: number | undefined
  /** More delay, uniform between 0 and this many ms. Keeps the order of packets. Default 0. */
  readonly jitter?: number | undefined
  /** The same, but drawn for each packet by itself: later packets overtake earlier ones. Default 0. */
  readonly scatter?: number | undefined
  /** Datagrams that may wait behind the one on the wire; the next is dropped. Default 1000. */
  readonly queue?: number | undefined
  /** The same limit in bytes. Default: unlimited. */
  readonly queueBytes?: number | undefined
  /** Probability of loss, 0 to 1, before the queue. Default 0. */
  readonly loss?: number | undefined
  /** Losses in runs, in addition to `loss`. Default: none; `false` switches it off again. */
  readonly burstLoss?: BurstLoss | false | undefined
  /** Probability that a packet is held back for `reorderDelay` and so overtaken. Default 0. */
  readonly reorder?: number | undefined
  /** How long a reordered packet is held back, in ms. Default 5. */
  readonly reorderDelay?: number | undefined
  /** Probability that one byte is changed on the way. Default 0. */
  readonly corrupt?: number | undefined
  /** Probability that a packet arrives twice. Default 0. */
  readonly duplicate?: number | undefined
  /** ECN-capable packets are marked CE when this many or more are waiting (RFC 3168). Default: never. */
  readonly ecnMark?: number | undefined
  /** Largest UDP payload that fits, in bytes; bigger ones vanish. (1472 is an Ethernet with IPv4.) Default: unlimited. */
  readonly mtu?: number | undefined
  /** `false`: an outage. What is inside the link is lost, what is sent into it too. Default true. */
  readonly up?: boolean | undefined
}

/** What became of a datagram. */
export type Fate = "delivered" | "lost" | "queueFull" | "tooBig" | "down" | "unreachable"

/**
 * Counters of one direction, of datagrams unless said otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface LinkStats {
  /** Datagrams and bytes that came to this end of the link. */
  offered: number
  offeredBytes: number
  /** Datagrams that came out. */
  delivered: number
  deliveredBytes: number
  /** Datagrams lost by chance (`loss`, `burstLoss`). */
  lost: number
  /** Datagrams dropped because the queue was full. */
  queueFull: number
  /** Datagrams dropped because they were larger than `mtu`. */
  tooBig: number
  /** Datagrams dropped because of an outage. */
  down: number
  /** Datagrams marked CE (RFC 3168). */
  marked: number
  /** Datagrams of which a byte was changed. */
  corrupted: number
  /** Datagrams that came out twice. */
  duplicated: number
  /** Datagrams that were held back. */
  reordered: number
  /** Longest queue seen, in datagrams. */
  longestQueue: number
}

/** Who takes the packets. */
export interface LinkEvents<C> {
  /** The packet came out; it now belongs to the receiver. */
  deliver(packet: LinkPacket<C>, time: number): void
  /** The packet is gone; the link gives it back to the pool after the call. */
  drop(packet: LinkPacket<C>, fate: Fate, time: number): void
}

const bytesPerMs = (mbps: number): number => mbps * 125

/** One direction of a link. */
export class Link<C> {
  readonly stats: LinkStats = {
    offered: 0,
    offeredBytes: 0,
    delivered: 0,
    deliveredBytes: 0,
    lost: 0,
    queueFull: 0,
    tooBig: 0,
    down: 0,
    marked: 0,
    corrupted: 0,
    duplicated: 0,
    reordered: 0,
    longestQueue: 0
  }
  private readonly random: Prng
  private readonly pool: PacketPool<C>
  private readonly events: LinkEvents<C>

  private rate = Infinity
  private delay = 0
  private jitter = 0
  private scatter = 0
  private queue = 1000
  private queueBytes = Infinity
  private loss = 0
  private burstLoss: BurstLoss | undefined = undefined
  private reorder = 0
  private reorderDelay = 5
  private corrupt = 0
  private duplicate = 0
  private ecnMark = Infinity
  private mtu = Infinity
  private up = true

  /** Waiting for the wire; the first one is on it until `headDone`. */
  private readonly waiting = new PacketRing<C>()
  private waitingBytes = 0
  private headDone = 0
  /** Propagating, by time of arrival. */
  private readonly flight = new PacketRing<C>()
  private lastDue = 0
  private inBurst = false

  constructor(options: LinkOptions, random: Prng, pool: PacketPool<C>, events: LinkEvents<C>) {
    this.random = random
    this.pool = pool
    this.events = events
    this.set(options, 0)
  }

  /** Datagrams waiting behind the one on the wire. */
  get queued(): number {
    return Math.max(0, this.waiting.count - 1)
  }

  /** Datagrams inside: waiting, on the wire and propagating. */
  get inside(): number {
    return this.waiting.count + this.flight.count
  }

  get isUp(): boolean {
    return this.up
  }

  /** Changes options from `now` on. Throws a `QuicError` that names the option when a value is out of range. */
  set(options: LinkOptions, now: number): void {
    checkLinkOptions(options)
    this.depart(now)
    const rate = options.mbps === undefined ? this.rate : bytesPerMs(options.mbps)
    if (rate !== this.rate) {
      // What is left of the packet on the wire goes at the new rate.
      if (this.waiting.count > 0) {
        const left = (this.headDone - now) * (Number.isFinite(this.rate) ? this.rate : 0)
        this.headDone = now + left / rate
      }
      this.rate = rate
    }
    this.delay = options.delay ?? this.delay
    this.jitter = options.jitter ?? this.jitter
    this.scatter = options.scatter ?? this.scatter
    this.queue = options.queue ?? this.queue
    this.queueBytes = options.queueBytes ?? this.queueBytes
    this.loss = options.loss ?? this.loss
    if (options.burstLoss !== undefined) this.burstLoss = options.burstLoss === false ? undefined : options.burstLoss
    this.reorder = options.reorder ?? this.reorder
    this.reorderDelay = options.reorderDelay ?? this.reorderDelay
    this.corrupt = options.corrupt ?? this.corrupt
    this.duplicate = options.duplicate ?? this.duplicate
    this.ecnMark = options.ecnMark ?? this.ecnMark
    this.mtu = options.mtu ?? this.mtu
    this.up = options.up ?? this.up
    if (!this.up) this.empty(now)
  }

  /** Takes ownership of a packet. */
  offer(packet: LinkPacket<C>, now: number): void {
    this.depart(now)
    const { stats, random } = this
    stats.offered++
    stats.offeredBytes += packet.length
    if (!this.up) return this.drop(packet, "down", now)
    if (packet.length > this.mtu) return this.drop(packet, "tooBig", now)
    if (this.runOfLoss() || random.chance(this.loss)) return this.drop(packet, "lost", now)
    if (this.rate === Infinity) return this.propagate(packet, now)
    const waiting = this.waiting.count
    if (waiting > this.queue || (waiting > 0 && this.waitingBytes + packet.length > this.queueBytes)) {
      return this.drop(packet, "queueFull", now)
    }
    if (packet.ecn !== 0 && packet.ecn !== 3 && waiting - 1 >= this.ecnMark) {
      packet.ecn = 3
      stats.marked++
    }
    this.waiting.push(packet)
    if (waiting === 0) {
      this.headDone = now + packet.length / this.rate
    } else {
      this.waitingBytes += packet.length
      if (waiting > stats.longestQueue) stats.longestQueue = waiting
    }
  }

  /** The earliest time at which `advance` may have something to deliver; `Infinity` when the link is empty. */
  next(): number {
    const flying = this.flight.count === 0 ? Infinity : this.flight.at(0).dueAt
    const behind = this.waiting.count === 0 ? Infinity : this.headDone + this.delay
    return flying < behind ? flying : behind
  }

  /** Delivers everything that is due, in order, each with its own time. */
  advance(now: number): void {
    this.depart(now)
    const { flight, stats } = this
    while (flight.count > 0 && flight.at(0).dueAt <= now) {
      const packet = flight.shift()
      stats.delivered++
      stats.deliveredBytes += packet.length
      this.events.deliver(packet, packet.dueAt)
    }
  }

  private depart(now: number): void {
    const { waiting } = this
    while (waiting.count > 0 && this.headDone <= now) {
      const packet = waiting.shift()
      const time = this.headDone
      if (waiting.count > 0) {
        const next = waiting.at(0)
        this.waitingBytes -= next.length
        this.headDone = time + next.length / this.rate
      }
      this.propagate(packet, time)
    }
  }

  private propagate(packet: LinkPacket<C>, time: number): void {
    const { random, stats } = this
    if (packet.length > 0 && random.chance(this.corrupt)) {
      packet.buffer[random.int(packet.length)]! ^= 1 + random.int(255)
      stats.corrupted++
    }
    let due = time + this.delay
    if (this.jitter > 0) due += random.next() * this.jitter
    // Jitter and a shorter delay never change the order: only `scatter` and `reorder` do.
    if (due < this.lastDue) due = this.lastDue
    this.lastDue = due
    if (this.scatter > 0) due += random.next() * this.scatter
    if (random.chance(this.reorder)) {
      due += this.reorderDelay
      stats.reordered++
    }
    packet.dueAt = due
    this.flight.insertByDue(packet)
    if (random.chance(this.duplicate)) {
      const copy = this.pool.take(packet.buffer, 0, packet.length, packet.from, packet.to, packet.context)
      copy.ecn = packet.ecn
      copy.hop = packet.hop
      copy.sentAt = packet.sentAt
      copy.dueAt = due
      stats.duplicated++
      this.flight.insertByDue(copy)
    }
  }

  private runOfLoss(): boolean {
    const model = this.burstLoss
    if (model === undefined) return false
    if (this.random.chance(this.inBurst ? model.leave : model.enter)) this.inBurst = !this.inBurst
    return this.inBurst && this.random.chance(model.loss ?? 1)
  }

  private empty(now: number): void {
    while (this.flight.count > 0) this.drop(this.flight.shift(), "down", now)
    while (this.waiting.count > 0) this.drop(this.waiting.shift(), "down", now)
    this.waitingBytes = 0
    this.lastDue = 0
    this.inBurst = false
  }

  private drop(packet: LinkPacket<C>, fate: Exclude<Fate, "delivered" | "unreachable">, now: number): void {
    this.stats[fate]++
    this.events.drop(packet, fate, now)
    this.pool.give(packet)
  }
}

const probabilities = ["loss", "reorder", "corrupt", "duplicate"] as const
const times = ["delay", "jitter", "scatter", "reorderDelay"] as const
const amounts = ["queue", "queueBytes", "ecnMark", "mtu"] as const

/** Throws a `QuicError` (`BadConfig`) with the option, its value and the range. `parent` goes before the names. */
export const checkLinkOptions = (options: LinkOptions, parent = ""): void => {
  for (const name of probabilities) checkProbability(parent + name, options[name])
  for (const name of times) {
    if (!isAmount(options[name]) || options[name] === Infinity)
      throw badArgument(parent + name, options[name], 'a duration of 0 or more that ends, such as "10 millis"')
  }
  for (const name of amounts) {
    if (!isAmount(options[name])) throw badArgument(parent + name, options[name], "a number of 0 or more")
  }
  if (!isAmount(options.mbps) || options.mbps === 0)
    throw badArgument(`${parent}mbps`, options.mbps, "a number above 0")
  flag(`${parent}up`, options.up, true)
  const { burstLoss } = options
  if (burstLoss === undefined || burstLoss === false) return
  if (typeof burstLoss !== "object" || burstLoss === null || Array.isArray(burstLoss))
    throw badArgument(`${parent}burstLoss`, burstLoss, "false, or an object with enter and leave")
  const { enter, leave, loss } = copyOf<BurstLoss>(`${parent}burstLoss`, burstLoss, `${parent}burstLoss.`)
  checkProbability(`${parent}burstLoss.enter`, enter ?? null)
  checkProbability(`${parent}burstLoss.leave`, leave ?? null)
  checkProbability(`${parent}burstLoss.loss`, loss)
}

const isAmount = (value: unknown): boolean => value === undefined || (typeof value === "number" && value >= 0)

const checkProbability = (name: string, value: unknown): void => {
  if (value !== undefined && !(typeof value === "number" && value >= 0 && value <= 1))
    throw badArgument(name, value, "a number from 0 to 1")
}
