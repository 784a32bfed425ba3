/**
 * Path scheduling: which path the next packet takes.
 *
 * A scheduler is a plain synchronous object that the protocol calls once per packet, so it must not allocate, wait or
 * throw. What is provided is a factory: every connection gets a scheduler of its own. It is read when a connection is
 * made, from the context of `Endpoint.connect` or, for accepted connections, from the one the endpoint was built in.
 */
import { Context, Layer } from "effect"
import { lowestRtt } from "./internal/paths/schedulers/LowestRtt.ts"
import { roundRobin } from "./internal/paths/schedulers/RoundRobin.ts"
import type { Address } from "./internal/wire/Datagram.ts"

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
  /** Window, pacing and amplification limit allow a packet now. */
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

/** The same object for every call. `paths` holds every validated path that the rules of the draft allow to carry data now. */
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

/**
 * The scheduler that new connections use. Without a Layer: the lowest RTT first.
 *
 * @category services
 */
export const PathScheduler: Context.Reference<Factory> = Context.Reference<Factory>("effect-mpquic/PathScheduler", {
  defaultValue: () => lowestRtt
})

/**
 * Uses a scheduler of one's own. The factory is called once per connection.
 *
 * **Example** (Prefer one network)
 *
 * ```ts
 * const preferWifi = PathScheduler.layer(() => ({
 *   name: "preferWifi",
 *   select: ({ paths }) =>
 *     paths.find((path) => path.canSend && path.local.host.startsWith("192.168.")) ?? paths.find((path) => path.canSend)
 * }))
 * ```
 *
 * @category layers
 */
export const layer = (factory: Factory): Layer.Layer<never> => Layer.succeed(PathScheduler, factory)

/**
 * Paths take turns, packet by packet; one whose window is full is passed over. Use it where paths are alike.
 *
 * @category layers
 */
export const layerRoundRobin: Layer.Layer<never> = layer(roundRobin)

/**
 * The lowest smoothed RTT that can send. The default.
 *
 * @category layers
 */
export const layerLowLatency: Layer.Layer<never> = layer(lowestRtt)
