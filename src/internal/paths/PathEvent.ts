/** What happens to paths. */
import type { PathStats } from "./PathStatistics.ts"
import type { PathStatus } from "./Scheduler.ts"
import type { Address } from "../wire/Datagram.ts"

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
