/**
 * The waiting way to send, the same for every lane.
 */
import { Effect } from "effect"
import type { QuicError } from "../../QuicError.ts"
import type { BoundSocket } from "./Sockets.ts"

/** Sends transmits in order and waits whenever the socket is full. `refusal` says why a socket takes nothing any more. */
export const transmitAll = (
  socket: Pick<BoundSocket, "retained" | "send" | "writable">,
  refusal: () => QuicError | undefined
): BoundSocket["transmit"] =>
  Effect.fnUntraced(function* (transmits) {
    for (const transmit of transmits) {
      const error = refusal()
      if (error !== undefined) return yield* Effect.fail(error)
      if (!socket.send(transmit)) yield* socket.writable
    }
    if (socket.retained) yield* socket.writable
  })
