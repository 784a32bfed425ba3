/** What most scenarios do: wait for a handshake, move data both ways, look at how a connection ended. */
import { assert } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { CloseInfo } from "../../src/internal/connection/Machine.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import { Drain, Pair, pump } from "./Machines.ts"
import type { Node, PairOptions } from "./Machines.ts"

/** Runs until both sides have confirmed the handshake. Gives the time, -1 if that took longer than `limit` ms. */
export const establish = (pair: Pair, limit = 10_000): number =>
  pair.until(() => pair.connection.confirmed && pair.server.accepted.some((one) => one.confirmed), limit)

/** A pair whose handshake is done. */
export const established = (options: PairOptions = {}): Pair => {
  const pair = new Pair(options)
  assert.isAbove(establish(pair), 0, `handshake failed, seed ${options.seed ?? 1}`)
  return pair
}

/** Reads the next stream of the peer, as soon as there is one. */
export class Incoming {
  drain: Drain | undefined = undefined

  constructor(connection: Connection, bidirectional = false) {
    const take = (): void => {
      const stream = connection.streams.accept(bidirectional)
      if (stream === undefined) connection.streams.setAcceptWaiter(bidirectional, take)
      else this.drain = new Drain(connection, stream)
      connection.wake()
    }
    take()
  }

  get finished(): boolean {
    return this.drain?.finished === true
  }
}

/** Sends `total` bytes over a new unidirectional stream; `finished` on the result tells that all of them were read. */
export const send = (from: Connection, to: Connection, total: number): Incoming => {
  const incoming = new Incoming(to)
  pump(from, from.streams.open(false)!, total)
  return incoming
}

/** Checks that all bytes arrived, each at its place. */
export const intact = (incoming: Incoming, total: number, message: string): void => {
  assert.strictEqual(incoming.drain?.wrong, -1, `${message}: wrong byte`)
  assert.strictEqual(incoming.drain?.received, total, `${message}: bytes received`)
  assert.isTrue(incoming.finished, `${message}: end of stream`)
}

/** Sends the same amount both ways and checks it. Gives the time that it took in ms. */
export const exchange = (pair: Pair, total: number, limit: number, message: string): number => {
  const start = pair.simulator.now
  const up = send(pair.connection, pair.accepted, total)
  const down = send(pair.accepted, pair.connection, total)
  pair.until(() => up.finished && down.finished, start + limit, 5)
  intact(up, total, `${message}, to the server`)
  intact(down, total, `${message}, to the client`)
  return pair.simulator.now - start
}

/** Opens a bidirectional stream and writes to it. */
export const say = (connection: Connection, bytes: Uint8Array): Stream => {
  const stream = connection.streams.open(true)!
  stream.write(bytes)
  connection.wake()
  return stream
}

/** How the only connection of a node ended. */
export const ending = (node: Node): CloseInfo => {
  assert.strictEqual(node.closes.length, 1, "connections of the node that ended")
  return node.closes[0]!
}

/** The transport error that a node closed with, or was told. */
export const transportCode = (node: Node): number => {
  const info = ending(node)
  if (info.kind !== "transport") return assert.fail(`ended by ${JSON.stringify(info)}`)
  return info.code
}

export const seeds = (count: number, from = 1): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => from + i)
