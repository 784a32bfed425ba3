/**
 * Liveness: whatever networks do, a connection with a way each direction moves data, and one without ends by its idle
 * timeout. A plan is plain data made from a seed, so that a failing one can be repeated and made smaller.
 */
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { backup } from "../../src/internal/paths/schedulers/Backup.ts"
import { blest } from "../../src/internal/paths/schedulers/Blest.ts"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { ecf } from "../../src/internal/paths/schedulers/Ecf.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import { minRtt } from "../../src/internal/paths/schedulers/MinRtt.ts"
import { redundant } from "../../src/internal/paths/schedulers/Redundant.ts"
import { roundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import type { PacketProtection } from "../../src/PacketProtection.ts"
import { Prng } from "../../src/testing/internal/SimulatorCore.ts"
import type { DuplexOptions, Nat } from "../../src/testing/internal/SimulatorCore.ts"
import type { LinkOptions } from "../../src/testing/internal/Link.ts"
import type { PacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import { Accounts } from "./Accounts.ts"
import { Drain, Pair, pattern } from "./Machines.ts"
import { establish } from "./Scenario.ts"

export type Happening =
  | { readonly what: "forward" | "backward" | "both"; readonly link: number; readonly up: boolean }
  | { readonly what: "mtu"; readonly link: number; readonly mtu: number }
  | { readonly what: "rebind"; readonly link: number }
  | { readonly what: "loss"; readonly link: number; readonly loss: number }
  | { readonly what: "rotate"; readonly side: Side; readonly path: number }
  | { readonly what: "backup"; readonly side: Side; readonly path: number; readonly backup: boolean }
  | { readonly what: "mark"; readonly side: Side; readonly path: number; readonly failed: boolean }
  | { readonly what: "traffic"; readonly side: Side; readonly bytes: number; readonly every: number }
  | { readonly what: "rough"; readonly link: number; readonly options: LinkOptions }
  | { readonly what: "allMtu"; readonly way: "forward" | "backward"; readonly mtu: number }
  | { readonly what: "move"; readonly link: number; readonly host: string }
  | { readonly what: "keys"; readonly side: Side }
  | { readonly what: "datagrams"; readonly side: Side; readonly count: number; readonly size: number }

type Side = "client" | "server"

/** Of a packet's tag: its number and its path, so that one that comes late is not taken for another. */
const mark = (burst: PacketBurst, i: number): number => (burst.packetNumber[i]! * 8 + burst.pathId[i]!) >>> 0

/** Bytes as they are: encryption would be most of the time that a run takes, and makes no difference to it. */
const plain: PacketProtection = {
  name: "plain",
  packetKey: () => ({
    seal: (burst, from, to) => {
      for (let i = from; i < to; i++) {
        const tag = mark(burst, i)
        for (let k = 0; k < 4; k++) burst.slab[burst.end[i]! - 4 + k] = tag >>> (8 * k)
      }
    },
    open: (burst, i) => {
      const tag = mark(burst, i)
      for (let k = 0; k < 4; k++) if (burst.slab[burst.end[i]! - 4 + k] !== ((tag >>> (8 * k)) & 0xff)) return false
      return true
    },
    close: () => {}
  }),
  headerKey: () => ({ masks: (_bytes, _offsets, count, masks) => void masks.fill(0, 0, 16 * count), close: () => {} })
}

const schedulers = {
  backup: backup(undefined, 1000),
  blest,
  deliveryRate,
  ecf,
  lowLatency,
  minRtt: minRtt(0.5),
  redundant,
  roundRobin
}

export interface Plan {
  readonly seed: number
  readonly links: ReadonlyArray<DuplexOptions>
  readonly nat: boolean
  readonly scheduler: keyof typeof schedulers
  /** A socket that is full for 20 ms after so many transmits; 0: never. */
  readonly fullAfter: number
  readonly events: ReadonlyArray<{ readonly at: number; readonly happening: Happening }>
  /** What works from the end of the events on, as [link, direction]; the rest is down. */
  readonly survivors: ReadonlyArray<{ readonly link: number; readonly way: "both" | "forward" | "backward" }>
}

/** ms: how long things go wrong, how long a way must work before data has to move, and how soon it must. */
const TURMOIL = 12_000
const STABLE = 10_000
const PROMPT = 3_500
const IDLE = 30_000

const pick = <A>(random: Prng, values: ReadonlyArray<A>): A => values[random.int(values.length)]!

const happening = (random: Prng, links: number): Happening => {
  const link = random.int(links)
  const side = pick(random, ["client", "server"] as const)
  switch (random.int(10)) {
    case 0:
      return { what: "mtu", link, mtu: 1200 + random.int(300) }
    case 1:
      return { what: "rebind", link }
    case 2:
      return { what: "loss", link, loss: pick(random, [0, 0.02, 0.1]) }
    case 3:
      return { what: "rotate", side, path: link }
    case 4:
      return { what: "backup", side, path: link, backup: random.int(2) === 0 }
    case 5:
      return {
        what: "traffic",
        side,
        bytes: pick(random, [0, 50, 5_000, 100_000]),
        every: pick(random, [20, 200, 1000])
      }
    default:
      return {
        what: pick(random, ["forward", "backward", "both"] as const),
        link,
        up: random.int(3) === 0
      }
  }
}

/** What links do when nothing is wrong with them. */
const CALM: LinkOptions = {
  loss: 0,
  jitter: 0,
  scatter: 0,
  reorder: 0,
  burstLoss: false,
  duplicate: 0,
  ecnMark: Infinity,
  mtu: 1500
}

/** What networks do beside failing, and applications beside writing. */
const more = (random: Prng, links: number): Happening => {
  const link = random.int(links)
  const side = pick(random, ["client", "server"] as const)
  switch (random.int(8)) {
    case 0:
      return { what: "allMtu", way: pick(random, ["forward", "backward"] as const), mtu: 1200 + random.int(300) }
    case 1:
      return { what: "move", link, host: `198.51.100.${1 + random.int(200)}` }
    case 2:
      return { what: "keys", side }
    case 3:
      return { what: "datagrams", side, count: pick(random, [1, 30]), size: pick(random, [10, 1100]) }
    default: {
      const rough = pick<LinkOptions>(random, [
        { jitter: 30 },
        { scatter: 20 },
        { reorder: 0.05, reorderDelay: 30 },
        { burstLoss: { enter: 0.01, leave: 0.3 } },
        { duplicate: 0.2 },
        { ecnMark: 2 }
      ])
      return { what: "rough", link, options: { ...CALM, ...rough } }
    }
  }
}

/** The plan of a seed. */
export const makePlan = (seed: number): Plan => {
  const random = new Prng(seed, "liveness")
  const count = 1 + random.int(4)
  const links = Array.from({ length: count }, () => {
    const mbps = pick(random, [1, 5, 20, 50])
    // At most a quarter of a second of packets: longer queues make probe timeouts of seconds, and rightly so.
    return { mbps, delay: pick(random, [2, 10, 40, 150]), queue: Math.min(20 * mbps, pick(random, [20, 100])) }
  })
  const failures = Array.from({ length: random.int(16) }, () => ({
    at: random.int(TURMOIL),
    happening: happening(random, count)
  }))
  const first = random.int(count)
  const second = random.int(count)
  // Nobody can reach a client behind a translator that forgot it, and from which nothing comes out.
  const nat = random.int(3) === 0
  const oneWay = !nat && second !== first && random.int(2) === 0
  const others = new Prng(seed, "more")
  const rest = Array.from({ length: others.int(8) }, () => ({
    at: others.int(TURMOIL / 2),
    happening: more(others, count)
  }))
  const words = new Prng(seed, "words")
  const marks = Array.from({ length: words.int(5) }, () => ({
    at: words.int(TURMOIL),
    happening: {
      what: "mark",
      side: pick(words, ["client", "server"] as const),
      path: words.int(count),
      failed: words.int(3) > 0
    } as const
  }))
  const events = [...failures, ...rest, ...marks].toSorted((x, y) => x.at - y.at)
  return {
    seed,
    links,
    nat,
    scheduler: pick(random, Object.keys(schedulers) as ReadonlyArray<keyof typeof schedulers>),
    fullAfter: pick(random, [0, 0, 0, 7]),
    events,
    survivors: oneWay
      ? [
          { link: first, way: "forward" },
          { link: second, way: "backward" }
        ]
      : [{ link: first, way: "both" }]
  }
}

/** Writes messages now and then, as far as the stream takes them. */
class Talker {
  bytes = 2_000
  every = 100
  written = 0
  private readonly connection: Connection
  private readonly stream: Stream

  constructor(pair: Pair, connection: Connection) {
    this.connection = connection
    this.stream = connection.streams.open(false)!
    const step = (): void => {
      if (connection.state !== "established") return
      this.say(this.bytes)
      pair.simulator.at(pair.simulator.now + this.every, step)
    }
    step()
  }

  say(bytes: number): void {
    const room = Math.min(bytes, this.stream.writableBytes)
    if (room <= 0) return
    this.stream.write(pattern(this.written, room))
    this.written += room
    this.connection.wake()
  }
}

class Run {
  readonly pair: Pair
  readonly plan: Plan
  private readonly nats: ReadonlyArray<Nat>

  constructor(plan: Plan) {
    this.plan = plan
    const settings = { maxPaths: 6, idleTimeout: IDLE, keepAlive: plan.nat ? 1000 : 0, streamSendBuffer: 256 * 1024 }
    const socket = plan.fullAfter === 0 ? undefined : { transmits: plan.fullAfter, wait: 20 }
    const node = {
      settings,
      protection: plain,
      scheduler: schedulers[plan.scheduler],
      socket
    }
    this.pair = new Pair({ seed: plan.seed, links: plan.links, client: node, server: node })
    this.nats = plan.nat
      ? this.pair.client.addresses.map((address, i) =>
          this.pair.simulator.nat({ outside: `203.0.113.${i + 1}`, inside: [address.host] })
        )
      : []
  }

  /** What went wrong; undefined: nothing. */
  check(): string | undefined {
    const { pair, plan } = this
    if (establish(pair) < 0) return "no handshake"
    // Applications open paths anew when they were given up.
    const reopen = (): void => {
      if (pair.connection.state !== "established") return
      for (const [link, local] of pair.client.addresses.entries()) {
        const there = pair.connection.paths.some((path) => path.open && path.local.host === local.host)
        if (!there) pair.connection.openPath({ local: pair.client.addresses[link]! }, pair.simulator.now)
      }
      pair.connection.wake()
      pair.simulator.at(pair.simulator.now + 500, reopen)
    }
    reopen()
    pair.run(pair.simulator.now + 2000)
    const talkers = { client: new Talker(pair, pair.connection), server: new Talker(pair, pair.accepted) }
    const drains = { client: this.drain(pair.connection), server: this.drain(pair.accepted) }
    const start = pair.simulator.now
    const books = [
      ["client", new Accounts(pair.client, pair.connection)],
      ["server", new Accounts(pair.server, pair.accepted)]
    ] as const
    const audit = (): string | undefined => {
      for (const [side, accounts] of books) {
        const wrong = accounts.check()
        if (wrong !== undefined) return `figures of the ${side}: ${wrong}`
      }
      return undefined
    }
    for (const { at, happening: event } of plan.events) {
      pair.run(start + at)
      this.apply(event, talkers)
      const wrong = audit()
      if (wrong !== undefined) return wrong
    }
    pair.run(start + TURMOIL)
    if (pair.connection.state !== "established") return `ended in turmoil: ${JSON.stringify(pair.client.closes[0])}`
    this.survive()
    talkers.client.bytes = talkers.server.bytes = 2_000
    talkers.client.every = talkers.server.every = 100
    const stable = pair.simulator.now
    // What was in the buffers may be large, and the way that is left slow: progress is what counts.
    const seen = { client: this.received(drains.client), server: this.received(drains.server) }
    const movedAt = { client: stable, server: stable }
    while (pair.simulator.now < stable + STABLE) {
      pair.run(pair.simulator.now + 50)
      if (pair.connection.state !== "established") {
        return `ended although a way was there: ${JSON.stringify(pair.client.closes[0])} ${JSON.stringify(pair.server.closes[0])}`
      }
      for (const side of ["client", "server"] as const) {
        const received = this.received(drains[side])
        if (received > seen[side]) {
          seen[side] = received
          movedAt[side] = pair.simulator.now
        } else if (pair.simulator.now - movedAt[side] > PROMPT) {
          return `nothing reached the ${side} for ${PROMPT} ms, ${movedAt[side] - stable} ms after a way was there`
        }
      }
    }
    return audit() ?? this.end(talkers) ?? audit()
  }

  /** Nothing to do: silence. No way left: the idle timeout, exactly. */
  private end(talkers: Record<Side, Talker>): string | undefined {
    const { pair } = this
    talkers.client.bytes = talkers.server.bytes = 0
    for (const link of pair.links) {
      link.restore()
      link.set(CALM)
    }
    pair.run(pair.simulator.now + 12_000)
    if (pair.connection.state !== "established") return `ended at rest: ${JSON.stringify(pair.client.closes[0])}`
    const before = pair.connection.stats().packetsSent
    pair.run(pair.simulator.now + 5_000)
    const busy = pair.connection.stats().packetsSent - before
    if (!this.plan.nat && busy > 0) return `${busy} packets in 5 s with nothing to say`
    for (const link of pair.links) link.cut()
    talkers.client.say(1000)
    const last = pair.connection.core.idleSince
    const ended = pair.until(() => pair.client.closes.length > 0, pair.simulator.now + 2 * IDLE, 10)
    if (ended < 0) return "no end although no path works"
    const info = pair.client.closes[0]!
    if (info.kind !== "idleTimeout") return `ended by ${info.kind} where the idle timeout was due`
    // The first packet sent after the last one received counts as activity (RFC 9000 section 10.1).
    const latest = Math.max(last, pair.connection.core.idleSince) + IDLE
    return Math.abs(ended - latest) > 20 ? `idle timeout ${ended - latest} ms off` : undefined
  }

  private drain(connection: Connection): { drain: Drain | undefined } {
    const holder: { drain: Drain | undefined } = { drain: undefined }
    const take = (): void => {
      const stream = connection.streams.accept(false)
      if (stream === undefined) connection.streams.setAcceptWaiter(false, take)
      else holder.drain = new Drain(connection, stream)
    }
    take()
    return holder
  }

  private received(holder: { readonly drain: Drain | undefined }): number {
    return holder.drain?.received ?? 0
  }

  private survive(): void {
    for (const link of this.pair.links) {
      link.cut()
      // Sizes stay as they are: finding them is part of it.
      link.set({ ...CALM, mtu: undefined })
    }
    for (const { link, way } of this.plan.survivors) {
      if (way === "both") this.pair.links[link]!.restore()
      else this.pair.links[link]!.set(way === "forward" ? { forward: { up: true } } : { backward: { up: true } })
    }
  }

  private apply(event: Happening, talkers: Record<Side, Talker>): void {
    const { pair } = this
    const of = (side: Side): Connection => (side === "client" ? pair.connection : pair.accepted)
    switch (event.what) {
      case "mtu":
        pair.links[event.link]!.set({ mtu: event.mtu })
        break
      case "loss":
        pair.links[event.link]!.set({ loss: event.loss })
        break
      case "rebind":
        this.nats[event.link]?.rebind()
        break
      case "rotate": {
        const { paths } = of(event.side)
        const path = paths[event.path % paths.length]!
        if (path.open) of(event.side).core.paths.rotateRemoteId(path)
        break
      }
      case "backup": {
        const { paths } = of(event.side)
        of(event.side).setPathStatus(paths[event.path % paths.length]!.id, event.backup ? "backup" : "available")
        break
      }
      case "mark": {
        const { paths } = of(event.side)
        const path = paths[event.path % paths.length]!
        of(event.side).setPathState(path.id, event.failed ? "potentiallyFailed" : "active", pair.simulator.now)
        break
      }
      case "traffic":
        talkers[event.side].bytes = event.bytes
        talkers[event.side].every = event.every
        break
      case "rough":
        pair.links[event.link]!.set(event.options)
        break
      case "allMtu":
        for (const link of pair.links) link.set({ [event.way]: { mtu: event.mtu } })
        break
      case "move":
        this.nats[event.link]?.rebind(event.host)
        break
      case "keys":
        of(event.side).updateKeys(pair.simulator.now)
        break
      case "datagrams":
        for (let i = 0; i < event.count; i++) of(event.side).datagrams.push(new Uint8Array(event.size))
        break
      case "both":
        pair.links[event.link]!.set({ up: event.up })
        break
      default:
        pair.links[event.link]!.set(
          event.what === "forward" ? { forward: { up: event.up } } : { backward: { up: event.up } }
        )
    }
    pair.connection.wake()
    pair.accepted.wake()
  }
}

/** Runs a plan. What went wrong; undefined: nothing. */
export const check = (plan: Plan): string | undefined => {
  try {
    return new Run(plan).check()
  } catch (error) {
    return `threw: ${error instanceof Error ? error.stack : String(error)}`
  }
}

/** The plan without what its failure does not need. */
export const shrink = (plan: Plan): Plan => {
  let smallest = plan
  const better = (candidate: Plan): boolean => {
    if (check(candidate) === undefined) return false
    smallest = candidate
    return true
  }
  for (let i = smallest.events.length - 1; i >= 0; i--) better({ ...smallest, events: smallest.events.toSpliced(i, 1) })
  better({ ...smallest, fullAfter: 0 })
  better({ ...smallest, nat: false })
  return smallest
}

/** Runs the plan of a seed; the message of a failure has all that is needed to repeat it. */
export const failureOf = (seed: number): string | undefined => {
  const plan = makePlan(seed)
  if (check(plan) === undefined) return undefined
  const small = shrink(plan)
  return `seed ${seed}: ${check(small)}\n${JSON.stringify(small)}`
}
