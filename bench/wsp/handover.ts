/**
 * The handover of the paper (section 4.3): two paths of 10 Mbit/s, 15 and 25 ms of round trip; a request and a reply of 750
 * bytes every 400 ms; the first path dies at 7 s. What counts is how long the request waits that meets the dead path.
 */
import { quantile } from "./benefit.ts"
import { openPaths, pairOf, Reader } from "./transfer.ts"
import type { Parts } from "./transfer.ts"

const LINKS = [
  { mbps: 10, delay: 7.5, queue: 100 },
  { mbps: 10, delay: 12.5, queue: 100 }
]
const MESSAGE = new Uint8Array(750)
const INTERVAL = 400
const END = 15_000

export interface Handover {
  /** ms at which the path dies. */
  readonly diesAt: number
  /** ms of the requests before: their median. */
  readonly normal: number
  /** ms of the slowest request after. */
  readonly affected: number
  /** Requests after that took more than half as long again as one over the other path. */
  readonly slow: number
  /** ms of the dead path, as the client knew it: what the delay may be above the normal one. */
  readonly pto: number
  readonly rtt: number
}

/** ms; the delay that the peer may wait with an acknowledgement. */
const MAX_ACK_DELAY = 25

export const handover = (parts: Parts, diesAt: number): Handover => {
  const pair = pairOf({ ...parts, links: LINKS })
  const { connection, simulator } = pair
  openPaths(pair)
  const take = (): void => {
    const server = pair.accepted
    for (let stream = server.streams.accept(true); stream !== undefined; stream = server.streams.accept(true)) {
      const asked = stream
      const read = (): void => {
        while (asked.read() !== undefined);
        if (!asked.isFinished) {
          asked.readWaiter = read
          return
        }
        asked.write(MESSAGE)
        asked.finish()
        server.wake()
      }
      read()
    }
    server.streams.setAcceptWaiter(true, take)
    server.wake()
  }
  let pto = 0
  let rtt = 0
  simulator.at(diesAt, () => {
    const path = connection.path(0)!
    rtt = path.smoothedRtt
    pto = rtt + Math.max(1, 4 * path.rttVariance) + MAX_ACK_DELAY
    pair.links[0]!.cut()
  })
  const sent: Array<{ readonly at: number; readonly reader: Reader }> = []
  for (let at = INTERVAL; at < END; at += INTERVAL) {
    simulator.at(at, () => {
      if (sent.length === 0) take()
      const stream = connection.streams.open(true)!
      stream.write(MESSAGE)
      stream.finish()
      sent.push({ at, reader: new Reader(connection, stream, () => simulator.now, false) })
    })
  }
  pair.run(END + INTERVAL)
  const times = sent.map(({ at, reader }) => ({ at, ms: reader.finishedAt < 0 ? Infinity : reader.finishedAt - at }))
  const normal = quantile(
    times.filter(({ at }) => at + INTERVAL < diesAt).map(({ ms }) => ms),
    0.5
  )
  const after = times.filter(({ at }) => at + INTERVAL > diesAt).map(({ ms }) => ms)
  return {
    diesAt,
    normal,
    affected: Math.max(...after),
    slow: after.filter((ms) => ms > 1.5 * 2 * LINKS[1]!.delay).length,
    pto,
    rtt
  }
}
