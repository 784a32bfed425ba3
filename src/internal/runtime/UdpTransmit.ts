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

/**
 * The length of the datagrams of a transmit as sockets use it: whole, and at least 1. What is no length (below 1, not a number)
 * stands for one datagram.
 */
export const segmentOf = (segmentSize: number, length: number): number =>
  segmentSize >= 1 && segmentSize < length ? Math.trunc(segmentSize) : Math.max(length, 1)

/** An empty transmit is an empty datagram. `segment` as `segmentOf` has it. */
export const datagramsIn = (length: number, segment: number): number => Math.max(Math.ceil(length / segment), 1)
