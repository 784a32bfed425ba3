/**
 * What was written and has not arrived: what the end of a scope waits for, and what it drops when it may wait no longer.
 */
import { Effect } from "effect"
import type { ConnectionMachine } from "../connection/Machine.ts"
import type { Stream } from "../streams/Stream.ts"

/** ms between two looks at what nobody wakes us for: resets and datagrams, and whether anything moves at all. */
const LOOK_AGAIN = 20
const MOVES_AT_ALL = 250

/** A stream that this side has something to say on, and how to wait for it. */
export interface Sending {
  readonly machine: Stream
  /** Done when everything is acknowledged, or never will be. */
  readonly settled: Effect.Effect<void>
}

/** What a connection has not delivered. */
export interface Undelivered {
  readonly streams: number
  readonly bytes: number
}

/** Bytes, an end or a reset that the peer has not acknowledged. */
export const isUnderWay = ({ send }: Stream): boolean => {
  if (send === undefined) return false
  if (send.active) return send.buffer.bufferedBytes > 0 || (send.buffer.finished && !send.buffer.finAcked)
  // What the peer stopped by itself it needs no telling.
  return send.state === "resetSent" && send.stopCode < 0
}

/** Begun, and not ended. */
const isUnfinished = ({ send }: Stream): boolean =>
  send !== undefined && send.active && send.buffer.writtenOffset > 0 && !send.buffer.finished

/** What a close now would drop, or undefined: bytes on their way, ends and resets, and messages without an end. */
export const undeliveredOf = (sending: ReadonlyArray<Sending>): Undelivered | undefined => {
  let streams = 0
  let bytes = 0
  for (const { machine } of sending) {
    if (!isUnderWay(machine) && !isUnfinished(machine)) continue
    streams++
    bytes += machine.bufferedBytes
  }
  return streams === 0 ? undefined : { streams, bytes }
}

/**
 * Waits until nothing is under way any more, or nothing has moved for `limit` ms: no acknowledgement, no datagram that
 * left. Then, or when the connection ends, it is done. `list` gives the streams anew, since others may still be opened.
 */
export const deliver = (
  machine: ConnectionMachine,
  list: () => ReadonlyArray<Sending>,
  limit: number,
  now: () => number
): Effect.Effect<void> => {
  let waiting = list()
  let at = 0
  let least = Infinity
  let moved = now()
  const look: Effect.Effect<void> = Effect.suspend(() => {
    if (machine.closeInfo !== undefined) return Effect.void
    const from = at
    while (at < waiting.length && !isUnderWay(waiting[at]!.machine)) at++
    if (at === waiting.length) {
      waiting = list()
      at = waiting.findIndex((each) => isUnderWay(each.machine))
      if (at < 0) {
        at = waiting.length
        if (machine.datagrams.outgoingCount === 0) return Effect.void
      }
    }
    const left = machine.streams.bufferedBytes + machine.datagrams.outgoingBytes
    const time = now()
    if (left < least || at !== from) moved = time
    least = Math.min(left, least)
    const rest = moved + limit - time
    if (rest <= 0) return Effect.void
    const first = waiting[at]
    return Effect.flatMap(
      first === undefined || !first.machine.send!.active
        ? Effect.sleep(Math.min(LOOK_AGAIN, rest))
        : Effect.timeoutOption(first.settled, Math.min(MOVES_AT_ALL, rest)),
      () => look
    )
  })
  return look
}
