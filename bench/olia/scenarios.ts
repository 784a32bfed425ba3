/**
 * Scenarios A, B and C of "MPTCP is not Pareto-optimal" (Khalili, Gast, Popovic, Le Boudec; CoNEXT 2012) and of
 * draft-khalili-mptcp-congestion-control, on the simulated network: users with two paths beside users with one, who upload without
 * end through links that they share. Round trips without queues are 150 ms. Queues drop at their tail, at 100 ms, where the paper
 * has RED; 2 ms of jitter keep flows out of lockstep.
 *
 * - A: type 1 users send through a link of their own of N1 C1, which all their paths share, and some of it through a link of N2 C2
 *   that type 2 users need.
 * - B: blue users have a path through X and one through T. Red users have one through T; upgraded, a second one through X and T.
 * - C: users with a path through a link of their own of N1 C1, and one through that of single-path users, N2 C2.
 */
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { newReno } from "../../src/internal/congestion/NewReno.ts"
import { Simulator } from "../../src/testing/internal/SimulatorCore.ts"
import type { SimLink } from "../../src/testing/internal/SimulatorCore.ts"
import { Node, pump } from "../../test/support/Machines.ts"
import { multipathSettings } from "../../test/support/Multipath.ts"
import { Incoming } from "../../test/support/Scenario.ts"
import { controllers } from "../wsp/parts.ts"

/** ms, one way. */
const DELAY = 75
/** ms of the rate. */
const QUEUE = 100
/** Bits of a full packet. */
const PACKET = 8 * 1452
const SERVER = "10.9.0.1"

export interface Run {
  readonly scenario: "A" | "B" | "C"
  /** By the name in `bench/wsp/parts.ts`. */
  readonly congestion: string
  /** Users with two paths in A and C; B has 15 and 15. */
  readonly n1: number
  readonly n2: number
  /** A: type 1 has its second path; B: red users have theirs. */
  readonly upgraded: boolean
  /** Within half of which all users begin, and which are not measured. */
  readonly warmUp: number
  readonly seconds: number
  readonly seed: number
}

/** Mbit/s of stream data for each user, on average, of those with two paths (B: blue), and of the others. */
export interface Rates {
  readonly first: number
  readonly second: number
}

interface User {
  readonly connection: Connection
  readonly group: 0 | 1
}

class World {
  readonly simulator: Simulator
  private readonly server: Node
  private readonly users: Array<User> = []
  private readonly seed: number

  constructor(seed: number) {
    this.seed = seed
    this.simulator = new Simulator({ seed })
    this.server = new Node(this.simulator, [SERVER], 4433, true, {
      settings: multipathSettings,
      scheduler: deliveryRate
    })
  }

  /** A bottleneck of so many Mbit/s, and a link that only takes its time. */
  bottleneck(mbps: number): SimLink {
    return this.simulator.makeLink({ mbps, jitter: 2, queue: Math.ceil((mbps * 1000 * QUEUE) / PACKET) })
  }
  readonly distance = (): SimLink => this.simulator.makeLink({ delay: DELAY })

  /** A user who uploads from `after` ms on, with one address for each way to the server. */
  add(group: 0 | 1, congestion: string, after: number, ...ways: ReadonlyArray<ReadonlyArray<SimLink>>): void {
    const { simulator } = this
    const number = this.users.length
    const hosts = ways.map((_, way) => `10.${group}.${number}.${way + 1}`)
    for (const [way, links] of ways.entries()) simulator.route(hosts[way]!, SERVER, [this.distance(), ...links])
    const node = new Node(simulator, hosts, 5000, false, {
      congestion: ways.length > 1 ? controllers[congestion]! : newReno,
      scheduler: deliveryRate,
      settings: multipathSettings,
      seed: this.seed * 1000 + number + 1
    })
    simulator.run(after)
    const connection = node.connect(this.server)
    this.users.push({ connection, group })
    const begin = (): void => {
      if (!connection.confirmed) return void simulator.at(simulator.now + 50, begin)
      for (const local of node.addresses.slice(1)) connection.openPath({ local }, simulator.now)
      pump(connection, connection.streams.open(false)!, 1e12)
    }
    begin()
  }

  private acknowledged(): ReadonlyArray<number> {
    return this.users.map(({ connection }) => connection.stats().paths.reduce((sum, path) => sum + path.bytesAcked, 0))
  }

  measure(warmUp: number, seconds: number): Rates {
    const { simulator, server, users } = this
    const read = new Map<object, Incoming>()
    const runTo = (end: number): void => {
      while (simulator.now < end) {
        for (const one of server.accepted) if (!read.has(one)) read.set(one, new Incoming(one))
        simulator.run(Math.min(end, simulator.now + 500))
      }
    }
    runTo(1000 * warmUp)
    const before = this.acknowledged()
    runTo(1000 * (warmUp + seconds))
    const after = this.acknowledged()
    const of = (group: number): number => {
      const bytes = users.map((user, i) => (user.group === group ? after[i]! - before[i]! : Number.NaN))
      const own = bytes.filter((value) => !Number.isNaN(value))
      return (8 * own.reduce((sum, value) => sum + value, 0)) / own.length / seconds / 1e6
    }
    return { first: of(0), second: of(1) }
  }
}

/** C1 = C2 = 1 Mbit/s; in B, X has 27 and T 36 Mbit/s. */
export const run = ({ congestion, n1, n2, scenario, seconds, seed, upgraded, warmUp }: Run): Rates => {
  const world = new World(seed)
  const [one, two] = scenario === "B" ? [27, 36] : [n1, n2]
  const own = world.bottleneck(one)
  const shared = world.bottleneck(two)
  for (let i = 0; i < n1 + n2; i++) {
    const after = (500 * i * warmUp) / (n1 + n2)
    // Both kinds begin in turns.
    const first = Math.floor(((i + 1) * n1) / (n1 + n2)) > Math.floor((i * n1) / (n1 + n2))
    if (!first) {
      if (scenario === "B" && upgraded) world.add(1, congestion, after, [shared], [own, shared])
      else world.add(1, congestion, after, [shared])
    } else if (scenario === "A") {
      if (upgraded) world.add(0, congestion, after, [own], [shared, own])
      else world.add(0, congestion, after, [own])
    } else world.add(0, congestion, after, [own], [shared])
  }
  return world.measure(warmUp, seconds)
}
