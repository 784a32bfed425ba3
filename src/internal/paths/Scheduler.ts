/**
 * The shape of a path scheduler: what the sender calls once per packet, and the view of a path that it shows.
 */
import type { Address } from "../wire/Datagram.ts"

/** What a packet is for. Acknowledgements and probes are not scheduled: they go where the protocol wants them. */
export type PacketKind = "data" | "retransmission" | "reinjection" | "duplicate" | "control"

export type PathState = "validating" | "active" | "potentiallyFailed" | "closing" | "closed"
export type PathStatus = "available" | "backup"

/** A path as a scheduler sees it: read it, do not keep it. Times in ms, sizes in bytes. */
export interface PathView {
  readonly id: number
  readonly local: Address
  readonly remote: Address
  readonly state: PathState
  readonly status: PathStatus
  readonly remoteStatus: PathStatus | undefined
  readonly validated: boolean
  readonly hasRtt: boolean
  readonly smoothedRtt: number
  readonly rttVariance: number
  readonly latestRtt: number
  readonly minRtt: number
  readonly congestionWindow: number
  readonly bytesInFlight: number
  /** Window, pacing, amplification limit and the path's socket allow a packet now. */
  readonly canSend: boolean
  /** When pacing allows the next packet; `now` or earlier when it does already. */
  readonly nextSendTime: number
  readonly mtu: number
  readonly packetsSent: number
  readonly packetsLost: number
  readonly lossRate: number
  readonly ptoCount: number
  readonly queuedReinjections: number
}

/**
 * The same object for every call. `paths` holds the paths that may carry data now, all of them of the best class that there
 * is: a backup path, or one that seems to have failed, is only there while there is no better one.
 */
export interface SelectContext {
  readonly paths: ReadonlyArray<PathView>
  readonly kind: PacketKind
  /** Stream bytes that wait to be sent. */
  readonly queuedBytes: number
  readonly now: number
}

export interface Scheduler {
  readonly name: string
  /** Called once per packet that could be sent. The path to use, or undefined to wait for a better one. */
  readonly select: (context: SelectContext) => PathView | undefined
  /**
   * Looked at after `select`. `true`: the choice holds for full packets of new stream data for the rest of the burst, as
   * long as the path can send; then they are built in one go, which costs half. For a choice that does not depend on the
   * packets in between.
   */
  readonly steady?: boolean | undefined
  readonly onPacketSent?: ((path: PathView, bytes: number) => void) | undefined
  readonly onPacketAcked?: ((path: PathView, bytes: number) => void) | undefined
  readonly onPacketLost?: ((path: PathView, bytes: number) => void) | undefined
}

/** Called once per connection. */
export type Factory = () => Scheduler
