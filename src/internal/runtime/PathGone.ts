import { PathFailed, QuicError } from "../../QuicError.ts"
import type { ConnectionMachine } from "../connection/Machine.ts"

/** What is wrong with binding data to this path; undefined if nothing is. It need not be validated yet. */
export const pathGone = (connection: ConnectionMachine, pathId: number): QuicError | undefined => {
  const state = connection.path(pathId)?.state
  if (state !== undefined && state !== "closing" && state !== "closed") return undefined
  return new QuicError({ reason: new PathFailed({ pathId, why: state === undefined ? "unknown" : "closed" }) })
}
