/** What happens to paths, and their figures. */
import type { PathStatus } from "./Scheduler.ts"
import type { Address } from "../wire/Datagram.ts"

/** Figures of a path at one moment. Times in ms; bytes are UDP payload bytes unless said otherwise. */
export interface PathStats {
  readonly id: number
  readonly local: Address
  readonly remote: Address
  /** QUIC packets that left. */
  readonly packetsSent: number
  /** QUIC packets that were authentic and new. */
  readonly packetsReceived: number
  /** Packets that were taken for lost. */
  readonly packetsLost: number
  /** Packets that were taken for lost and acknowledged after all. */
  readonly spuriousLosses: number
  /** UDP payload. */
  readonly bytesSent: number
  /** UDP payload. */
  readonly bytesReceived: number
  /** UDP payload of packets that were taken for lost. */
  readonly bytesLost: number
  /** STREAM payload bytes, retransmissions included. */
  readonly streamBytesSent: number
  /** STREAM payload bytes, duplicates included. */
  readonly streamBytesReceived: number
  readonly latestRtt: number
  readonly smoothedRtt: number
  readonly rttVariance: number
  readonly minRtt: number
  /** Bytes that may be in flight. */
  readonly congestionWindow: number
  /** Bytes that were sent, and are neither acknowledged nor lost. */
  readonly bytesInFlight: number
  /** Probe timeouts in a row; 0 when the path answers. */
  readonly ptoCount: number
  /** UDP payload of a full packet in bytes. */
  readonly mtu: number
  /** What the congestion controller calls itself. */
  readonly controller: string
}

export type PathEvent =
  | { readonly kind: "opened"; readonly pathId: number; readonly initiator: "local" | "peer" }
  | { readonly kind: "validated"; readonly pathId: number }
  | { readonly kind: "migrated"; readonly pathId: number; readonly local: Address; readonly remote: Address }
  | { readonly kind: "potentiallyFailed"; readonly pathId: number }
  | { readonly kind: "recovered"; readonly pathId: number }
  /** The answer to `probePath`, or that none came. */
  | { readonly kind: "probed"; readonly pathId: number; readonly answered: boolean }
  /** The peer says where it sees us on the path: for the first time, or elsewhere than before. */
  | { readonly kind: "observed"; readonly pathId: number; readonly address: Address }
  | { readonly kind: "remoteStatus"; readonly pathId: number; readonly status: PathStatus }
  | {
      readonly kind: "abandoned"
      readonly pathId: number
      readonly initiator: "local" | "peer"
      readonly code: number
    }
  | { readonly kind: "closed"; readonly pathId: number; readonly stats: PathStats }

/** Why a path cannot be opened. */
export type OpenPathRefusal =
  | "notNegotiated"
  | "notConfirmed"
  | "server"
  | "pathLimit"
  | "noConnectionIds"
  | "duplicate"
  | "migrationDisabled"
  | "closed"
