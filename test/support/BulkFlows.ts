/** Endless transfers from a client to a server on one link, with buffers that are never what limits them. */
import type { Factory } from "../../src/CongestionControl.ts"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { Drain, Pair, pump } from "./Machines.ts"

const MB = 1024 * 1024
const settings = {
  initialStreamWindow: 16 * MB,
  maxStreamWindow: 64 * MB,
  initialConnectionWindow: 24 * MB,
  maxConnectionWindow: 64 * MB,
  streamSendBuffer: 16 * MB
}
/** ms, for handshakes. */
const START = 1000

export interface Flow {
  /** Bytes per ms that were acknowledged, as Mbit/s. */
  readonly mbps: number
  readonly smoothedRtt: number
}

/** One flow for each factory; the rates are those from `from` ms after the start to `to`. */
export const bulkFlows = (
  link: DuplexOptions,
  factories: ReadonlyArray<Factory>,
  from: number,
  to: number,
  seed = 1
): { flows: ReadonlyArray<Flow>; pair: Pair } => {
  let made = 0
  const congestion: Factory = () => factories[made++]!()
  const pair = new Pair({ seed, links: [link], client: { congestion, settings }, server: { settings } })
  const connections: Array<Connection> = [pair.connection]
  while (connections.length < factories.length) connections.push(pair.client.connect(pair.server))
  pair.run(START)
  for (const connection of connections) pump(connection, connection.streams.open(false)!, Infinity)
  const acked = (connection: Connection): number => connection.paths[0]!.recovery.bytesAcked
  const drains: Array<Drain> = []
  let before: ReadonlyArray<number> = []
  for (let now = START; now <= START + to; now += 50) {
    if (now === START + from) before = connections.map(acked)
    pair.run(now)
    for (const accepted of pair.server.accepted) {
      const stream = accepted.streams.accept(false)
      if (stream !== undefined) drains.push(new Drain(accepted, stream))
    }
  }
  for (const drain of drains) if (drain.wrong >= 0) throw new Error(`byte ${drain.wrong} is wrong`)
  const flows = connections.map((connection, i) => ({
    mbps: (acked(connection) - before[i]!) / (to - from) / 125,
    smoothedRtt: connection.paths[0]!.smoothedRtt
  }))
  return { flows, pair }
}
