/**
 * The shape of a path scheduler: what the sender calls once per packet, and the view of a path that it shows.
 */
import type { Address } from "../wire/Datagram.ts"

/**
 * What a packet is for. Acknowledgements, probes and copies are not scheduled: they go where the protocol and the policies want them.
 *
 * @category models
 * @since 0.1.0
 */
export type PacketKind = "data" | "retransmission" | "control"

/**
 * Where a path is in its life: `potentiallyFailed` while it owes acknowledgements for too long, or `Path.setState` says so;
 * `closing` while its packets may still arrive.
 *
 * @category models
 * @since 0.1.0
 */
export type PathState = "validating" | "active" | "potentiallyFailed" | "closing" | "closed"
/**
 * What a side wants a path to be used for: `backup` paths carry data only while no available one works.
 *
 * @category models
 * @since 0.1.0
 */
export type PathStatus = "available" | "backup"

/**
 * A path as a scheduler sees it: read it, do not keep it. Times in ms, sizes in bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface PathView {
  /** The path ID. */
  readonly id: number
  /** Where the path leaves from. */
  readonly local: Address
  /** Where it leads. */
  readonly remote: Address
  readonly state: PathState
  /** What this side wants of it, and tells the peer. */
  readonly status: PathStatus
  /** What the peer told; undefined if nothing. `backup` also while the peer takes the path for failed. */
  readonly remoteStatus: PathStatus | undefined
  /** Whether the peer has answered there. */
  readonly validated: boolean
  /** Whether there was a sample of the round-trip time yet. */
  readonly hasRtt: boolean
  /** ms; the initial RTT until there is a sample. */
  readonly smoothedRtt: number
  /** Mean deviation of the samples (RFC 9002 section 5.3), in ms. */
  readonly rttVariance: number
  /** The last sample in ms; 0 before it. */
  readonly latestRtt: number
  /** ms; Infinity until there is a sample. */
  readonly minRtt: number
  /** Bytes that may be in flight. */
  readonly congestionWindow: number
  /** Bytes that were sent, and are neither acknowledged nor lost. */
  readonly bytesInFlight: number
  /**
   * Bytes acknowledged per ms: the highest of the last round trips; 0 until there was one in which the window was full.
   *
   * @since 0.2.0
   */
  readonly deliveryRate: number
  /** Window, pacing, amplification limit and the path's socket allow a packet now. */
  readonly canSend: boolean
  /** When pacing allows the next packet, in ms; `now` or earlier when it does already. */
  readonly nextSendTime: number
  /** UDP payload of a full packet in bytes. */
  readonly mtu: number
  /** Packets since the path was opened. */
  readonly packetsSent: number
  /** Packets that were taken for lost. */
  readonly packetsLost: number
  /** Packets lost as a fraction of those sent, 0 to 1. */
  readonly lossRate: number
  /** Probe timeouts in a row; 0 when the path answers. */
  readonly ptoCount: number
  /** Frames that wait to be sent here because they are late on other paths. */
  readonly queuedReinjections: number
}

/**
 * The same object for every call. `paths` holds the paths that may carry data now, all of them of the best class that there
 * is: a backup path, or one that seems to have failed, is only there while there is no better one.
 *
 * @category models
 * @since 0.1.0
 */
export interface SelectContext {
  /** The paths to choose from. */
  readonly paths: ReadonlyArray<PathView>
  /** What the packet is for. */
  readonly kind: PacketKind
  /** Stream bytes that wait to be sent. */
  readonly queuedBytes: number
  /**
   * A writer waits for room in the buffer: more will come than waits now.
   *
   * @since 0.2.0
   */
  readonly moreToCome: boolean
  /**
   * Stream bytes, new ones, that the peer takes beyond what was sent (MAX_DATA, RFC 9000 section 4.1).
   *
   * @since 0.2.0
   */
  readonly sendWindow: number
  /** The time in ms, as in `PathView.nextSendTime`. */
  readonly now: number
}

/**
 * Chooses the path of each packet: plain synchronous functions, called by the protocol. Bytes are UDP payload.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scheduler {
  /** For `stats`. */
  readonly name: string
  /** Called once per packet that could be sent. The path to use, or undefined to wait for a better one. */
  readonly select: (context: SelectContext) => PathView | undefined
  /**
   * Looked at after `select`. `true`: the choice holds for full packets of new stream data for the rest of the burst, as
   * long as the path can send; then they are built in one go, which costs half. For a choice that does not depend on the
   * packets in between.
   */
  readonly steady?: boolean | undefined
  /**
   * On how many paths the data of each packet goes: the one that `select` gives, and as many others as have room. What the
   * peer has by then is not sent again. Default 1.
   *
   * @since 0.2.0
   */
  readonly redundancy?: number | undefined
  /** A packet of so many bytes left on a path; the other two tell what became of it. */
  readonly onPacketSent?: ((path: PathView, bytes: number) => void) | undefined
  readonly onPacketAcked?: ((path: PathView, bytes: number) => void) | undefined
  readonly onPacketLost?: ((path: PathView, bytes: number) => void) | undefined
}

/**
 * Called once per connection.
 *
 * @category models
 * @since 0.1.0
 */
export type Factory = () => Scheduler
