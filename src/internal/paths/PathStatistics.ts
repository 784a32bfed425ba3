/**
 * Figures of paths: taken when somebody asks, out of counters that the packet path only raises.
 */
import type { Path } from "./Path.ts"
import type { PathState } from "./Scheduler.ts"
import type { Address } from "../wire/Datagram.ts"

/**
 * Counters of a path, or of all paths of a connection, those that are gone included. Bytes are UDP payload unless said
 * otherwise. Each packet that left is outstanding, acknowledged, lost or forgotten:
 * `packetsSent = packetsOutstanding + packetsAcked + packetsLost + packetsForgotten`.
 */
export interface PacketCounters {
  /** QUIC packets that left. */
  readonly packetsSent: number
  /** QUIC packets that were authentic and new. */
  readonly packetsReceived: number
  /** Packets that the peer acknowledged. */
  readonly packetsAcked: number
  /** Packets that were taken for lost. */
  readonly packetsLost: number
  /** Packets that were taken for lost and acknowledged after all: they are among `packetsLost`. */
  readonly spuriousLosses: number
  /**
   * Packets whose fate does not matter any more: their keys are gone (RFC 9002 section 6.4), or they held acknowledgements
   * alone, which the peer need not acknowledge.
   */
  readonly packetsForgotten: number
  /** Packets of which nothing is known yet. */
  readonly packetsOutstanding: number
  /** UDP payload. */
  readonly bytesSent: number
  /** UDP payload. */
  readonly bytesReceived: number
  /** UDP payload of packets that the peer acknowledged. */
  readonly bytesAcked: number
  /** UDP payload of packets that were taken for lost. */
  readonly bytesLost: number
  /** STREAM payload bytes, retransmissions and copies included. */
  readonly streamBytesSent: number
  /** STREAM payload bytes, duplicates included. */
  readonly streamBytesReceived: number
  /** STREAM payload bytes that were sent again because they had been taken for lost, on this path or another. */
  readonly bytesRetransmitted: number
  /** Packets that left with duplicates (`DuplicationPolicy`) of what another path carries. */
  readonly packetsDuplicated: number
  /** Payload bytes of streams, datagrams and tickets in those packets. */
  readonly bytesDuplicated: number
  /** Packets that left with reinjections (`ReinjectionPolicy`) of what another path carries. */
  readonly packetsReinjected: number
  /** Payload bytes of streams and tickets in those packets. */
  readonly bytesReinjected: number
  /** Packets that left on the path that the scheduler chose. */
  readonly packetsScheduled: number
  /** How many probe timeouts (RFC 9002 section 6.2) there were. */
  readonly probeTimeouts: number
}

/** Figures of a path at one moment. Times in ms; bytes are UDP payload unless said otherwise. */
export interface PathStats extends PacketCounters {
  readonly id: number
  readonly local: Address
  readonly remote: Address
  /** Where the path is in its life; `closed` after the end of the connection, too. */
  readonly state: PathState
  /** How long it has been in this state. */
  readonly timeInState: number
  readonly latestRtt: number
  readonly smoothedRtt: number
  readonly rttVariance: number
  readonly minRtt: number
  /** Bytes that may be in flight. */
  readonly congestionWindow: number
  /** Bytes that were sent, and are neither acknowledged nor lost. */
  readonly bytesInFlight: number
  /** Bytes per ms at which packets leave while there is enough to send. */
  readonly pacingRate: number
  /** Bytes acknowledged per ms: the highest of the last round trips; until there was one, the mean so far. */
  readonly deliveryRate: number
  /** The path's part, 0 to 1, of all packets that the scheduler of the connection gave to some path. */
  readonly schedulerShare: number
  /** Probe timeouts in a row; 0 when the path answers. */
  readonly ptoCount: number
  /** UDP payload of a full packet in bytes. */
  readonly mtu: number
  /** What the congestion controller calls itself. */
  readonly controller: string
}

const NONE: PacketCounters = {
  packetsSent: 0,
  packetsReceived: 0,
  packetsAcked: 0,
  packetsLost: 0,
  spuriousLosses: 0,
  packetsForgotten: 0,
  packetsOutstanding: 0,
  bytesSent: 0,
  bytesReceived: 0,
  bytesAcked: 0,
  bytesLost: 0,
  streamBytesSent: 0,
  streamBytesReceived: 0,
  bytesRetransmitted: 0,
  packetsDuplicated: 0,
  bytesDuplicated: 0,
  packetsReinjected: 0,
  bytesReinjected: 0,
  packetsScheduled: 0,
  probeTimeouts: 0
}
const NAMES = Object.keys(NONE) as ReadonlyArray<keyof PacketCounters>

const countersOf = (path: Path): PacketCounters => {
  const { recovery } = path
  const { packetsSent, packetsAcked, packetsLost, packetsForgotten } = recovery
  return {
    packetsSent,
    packetsReceived: path.packetsReceived,
    packetsAcked,
    packetsLost,
    spuriousLosses: recovery.spuriousLosses,
    packetsForgotten,
    packetsOutstanding: packetsSent - packetsAcked - packetsLost - packetsForgotten,
    bytesSent: recovery.bytesSent,
    bytesReceived: path.bytesReceived,
    bytesAcked: recovery.bytesAcked,
    bytesLost: recovery.bytesLost,
    streamBytesSent: path.streamBytesSent,
    streamBytesReceived: path.streamBytesReceived,
    bytesRetransmitted: path.bytesRetransmitted,
    packetsDuplicated: path.packetsDuplicated,
    bytesDuplicated: path.bytesDuplicated,
    packetsReinjected: path.packetsReinjected,
    bytesReinjected: path.bytesReinjected,
    packetsScheduled: path.packetsScheduled,
    probeTimeouts: recovery.probeTimeouts
  }
}

/** What paths add up to. Those that are gone stay in it, so that no sum ever falls. */
export class PathTotals {
  private readonly past: { -readonly [K in keyof PacketCounters]: number } = { ...NONE }

  /** The path is gone: what it has now is the last of it. */
  onGone(path: Path): void {
    const counters = countersOf(path)
    for (const name of NAMES) this.past[name] += counters[name]
  }

  /** With those of the paths that are there. */
  with(paths: ReadonlyArray<Path>): PacketCounters {
    const sums = { ...this.past }
    for (const path of paths) {
      const counters = countersOf(path)
      for (const name of NAMES) sums[name] += counters[name]
    }
    return sums
  }

  /** Packets that the scheduler gave to some path. */
  scheduled(paths: ReadonlyArray<Path>): number {
    let sum = this.past.packetsScheduled
    for (const path of paths) sum += path.packetsScheduled
    return sum
  }
}

/** `scheduled`: packets that the scheduler gave to some path of the connection. */
export const pathStats = (path: Path, now: number, scheduled: number): PathStats => {
  const { recovery } = path
  const counters = countersOf(path)
  const age = now - path.openedAt
  const mean = age > 0 ? counters.bytesAcked / age : 0
  return {
    id: path.id,
    local: path.local,
    remote: path.remote,
    ...counters,
    state: path.state,
    timeInState: Math.max(0, now - path.stateSince),
    latestRtt: recovery.rtt.latest,
    smoothedRtt: recovery.rtt.smoothed,
    rttVariance: recovery.rtt.variance,
    minRtt: recovery.rtt.min,
    congestionWindow: Math.floor(recovery.controller.congestionWindow),
    bytesInFlight: recovery.bytesInFlight,
    pacingRate: recovery.pacer.rate,
    deliveryRate: recovery.delivery.rate > 0 ? recovery.delivery.rate : mean,
    schedulerShare: scheduled === 0 ? 0 : path.packetsScheduled / scheduled,
    ptoCount: recovery.ptoCount,
    mtu: path.mtu,
    controller: recovery.controller.name
  }
}
