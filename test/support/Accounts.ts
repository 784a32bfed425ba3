/**
 * What must hold of the figures of a connection at any moment, whatever its networks do. The sums are made of what paths say,
 * those that are gone by the last that was said of them.
 */
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { PacketCounters, PathStats } from "../../src/internal/connection/Machine.ts"
import type { Node } from "./Machines.ts"

type Figures = Readonly<Record<string, unknown>>

/** Every figure is a number that makes sense; the smallest RTT is infinite before the first sample. */
const nonsense = (figures: Figures): string | undefined => {
  for (const [name, value] of Object.entries(figures)) {
    if (typeof value !== "number" || (name === "minRtt" && value === Infinity)) continue
    if (!Number.isFinite(value) || value < 0) return `${name} is ${value}`
  }
  return undefined
}

const COUNTERS: ReadonlyArray<keyof PacketCounters> = [
  "packetsSent",
  "packetsReceived",
  "packetsAcked",
  "packetsLost",
  "spuriousLosses",
  "packetsForgotten",
  "packetsOutstanding",
  "bytesSent",
  "bytesReceived",
  "bytesAcked",
  "bytesLost",
  "streamBytesSent",
  "streamBytesReceived",
  "bytesRetransmitted",
  "packetsDuplicated",
  "bytesDuplicated",
  "packetsReinjected",
  "bytesReinjected",
  "packetsScheduled",
  "probeTimeouts"
]

const settled = ({ packetsAcked, packetsForgotten, packetsLost, packetsOutstanding }: PacketCounters): number =>
  packetsAcked + packetsLost + packetsForgotten + packetsOutstanding

/** Nothing that happened is zero. */
const missing = (path: PathStats): string | undefined => {
  if (path.congestionWindow < path.mtu) return `the window is ${path.congestionWindow}`
  if (path.mtu < 1200) return `the MTU is ${path.mtu}`
  if (path.packetsSent > 0 && path.bytesSent === 0) return "packets left, and no bytes"
  if (path.packetsAcked > 0 && path.bytesAcked === 0) return "packets were acknowledged, and no bytes"
  if (path.packetsLost > 0 && path.bytesLost === 0) return "packets were lost, and no bytes"
  if (path.packetsReceived > 0 && path.bytesReceived === 0) return "packets came, and no bytes"
  if (path.streamBytesSent > 0 && path.bytesSent < path.streamBytesSent) return "more stream bytes than bytes"
  if (path.minRtt < Infinity && !(path.latestRtt > 0 && path.smoothedRtt > 0)) return "samples of the RTT, and no RTT"
  if (path.packetsScheduled > 0 && path.schedulerShare === 0) return "scheduled packets, and no share"
  return undefined
}

/** The books of one side. */
export class Accounts {
  private readonly node: Node
  private readonly connection: Connection
  private last: PacketCounters | undefined = undefined

  constructor(node: Node, connection: Connection) {
    this.node = node
    this.connection = connection
  }

  /** What is wrong now; undefined: nothing. */
  check(): string | undefined {
    const { connection, last } = this
    const stats = connection.stats()
    const { paths } = stats
    const gone = this.node.events.flatMap((event) => (event.kind === "closed" ? [event.stats] : []))
    this.last = stats
    for (const path of [...paths, ...gone]) {
      const wrong = nonsense(path as unknown as Figures) ?? missing(path)
      if (wrong !== undefined) return `path ${path.id}: ${wrong}`
      if (settled(path) !== path.packetsSent) return `path ${path.id}: ${settled(path)} of ${path.packetsSent} packets`
      if (path.bytesAcked + path.bytesLost + path.bytesInFlight > path.bytesSent) return `path ${path.id}: bytes`
      if (path.spuriousLosses > path.packetsLost) return `path ${path.id}: ${path.spuriousLosses} spurious losses`
    }
    const wrong = nonsense(stats as unknown as Figures)
    if (wrong !== undefined) return wrong
    for (const name of COUNTERS) {
      const sum = [...paths, ...gone].reduce((all, path) => all + path[name], 0)
      if (sum !== stats[name]) return `${name} is ${stats[name]}, that of all paths together ${sum}`
      // What is outstanding may come down; nothing else does.
      if (last !== undefined && name !== "packetsOutstanding" && stats[name] < last[name])
        return `${name} fell from ${last[name]} to ${stats[name]}`
    }
    const shares = paths.reduce((all, { schedulerShare }) => all + schedulerShare, 0)
    return shares > 1 + 1e-9 ? `shares of the scheduler: ${shares}` : undefined
  }
}
