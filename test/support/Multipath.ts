/** Pairs with several paths, transfers over them with what is worth knowing about each, and a log of the frames sent. */
import { assert } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { ConnectionStats, PathEvent } from "../../src/internal/connection/Machine.ts"
import { SentFrameKind } from "../../src/internal/recovery/SentFrames.ts"
import type { SentFrame } from "../../src/internal/recovery/SentFrames.ts"
import type { ConnectionSettings } from "../../src/internal/Settings.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { pump } from "./Machines.ts"
import type { Node, NodeOptions, Pair, PairOptions } from "./Machines.ts"
import { established, Incoming } from "./Scenario.ts"

/** What `QuicConfig` gives by default, with three paths. */
export const multipathSettings: Partial<ConnectionSettings> = { maxPaths: 3, streamSendBuffer: 4 * 1024 * 1024 }

export interface MultipathOptions {
  readonly seed?: number | undefined
  readonly links?: ReadonlyArray<DuplexOptions> | undefined
  /** For both sides. */
  readonly settings?: Partial<ConnectionSettings> | undefined
  readonly node?: NodeOptions | undefined
  readonly client?: NodeOptions | undefined
  readonly server?: NodeOptions | undefined
}

const equal: DuplexOptions = { mbps: 20, delay: 15, queue: 100 }
export const equalLinks: ReadonlyArray<DuplexOptions> = [equal, equal]
/** The links of the demonstration: a fast one, and one with half of its rate and three times its delay. */
export const unequalLinks: ReadonlyArray<DuplexOptions> = [
  { mbps: 40, delay: 10, queue: 100 },
  { mbps: 20, delay: 30, queue: 100 }
]

export const pairOptions = (options: MultipathOptions = {}): PairOptions => {
  const settings = { ...multipathSettings, ...options.settings }
  return {
    seed: options.seed,
    links: options.links ?? equalLinks,
    client: { ...options.node, settings, ...options.client },
    server: { ...options.node, settings, ...options.server }
  }
}

/** A connection whose handshake is done, on the first link alone. */
export const connected = (options: MultipathOptions = {}): Pair => established(pairOptions(options))

/** Asks for a path from the client's address of a link; fails the test if that is refused. */
export const openPath = (pair: Pair, link: number, status?: "available" | "backup"): number => {
  const local = pair.client.addresses[link]!
  const id = pair.connection.openPath({ local, status }, pair.simulator.now)
  assert.isNumber(id, `path over link ${link} was refused: ${id}`)
  pair.connection.wake()
  return id as number
}

export const validated = (connection: Connection, pathId: number): boolean =>
  connection.path(pathId)?.state === "active" && connection.path(pathId)!.validated

/** Runs until a path works at both ends. */
export const awaitPath = (pair: Pair, pathId: number, limit = 5000): void => {
  const until = pair.simulator.now + limit
  const done = pair.until(() => validated(pair.connection, pathId) && validated(pair.accepted, pathId), until)
  assert.isAtLeast(done, 0, `path ${pathId} was not validated`)
}

/** Opens a path over a link that loses much: what cannot be proven in time is given up, and opened anew. Gives its ID. */
export const openInTheEnd = (pair: Pair, link: number, limit = 60_000): number => {
  let id = -1
  const step = (): boolean => {
    if (validated(pair.connection, id) && validated(pair.accepted, id)) return true
    const state = pair.connection.path(id)?.state
    if (state === undefined || state === "closing" || state === "closed") {
      const opened = pair.connection.openPath({ local: pair.client.addresses[link]! }, pair.simulator.now)
      if (typeof opened === "number") id = opened
      pair.connection.wake()
    }
    return false
  }
  assert.isAtLeast(pair.until(step, pair.simulator.now + limit, 20), 0, `no path over link ${link}`)
  return id
}

/** A connection with a path over each link. */
export const withPaths = (options: MultipathOptions = {}): Pair => {
  const pair = connected(options)
  for (let link = 1; link < pair.links.length; link++) awaitPath(pair, openPath(pair, link))
  return pair
}

/** Closes a path from one side. */
export const closePath = (pair: Pair, connection: Connection, pathId: number, code = 0): boolean => {
  const closed = connection.closePath(pathId, code, pair.simulator.now)
  connection.wake()
  return closed
}

export const eventsOf = (node: Node, kind: PathEvent["kind"], pathId?: number): Array<PathEvent> =>
  node.events.filter((event) => event.kind === kind && (pathId === undefined || event.pathId === pathId))

export interface TransferOptions {
  readonly bytes: number
  /** Default: from the server to the client. */
  readonly upload?: boolean | undefined
  /** ms from the start within which all must have arrived. */
  readonly limit?: number | undefined
  readonly paths?: ReadonlyArray<number> | undefined
  /** Called every millisecond. */
  readonly step?: ((elapsed: number) => void) | undefined
}

export interface TransferResult {
  /** ms. */
  readonly time: number
  /** Mbit/s of stream data. */
  readonly goodput: number
  /** Longest time in ms without new bytes in order, after the first ones. */
  readonly stall: number
  /** Of the sender. */
  readonly stats: ConnectionStats
}

/** Moves bytes over one stream, checks each of them, and measures. */
export const transfer = (pair: Pair, options: TransferOptions): TransferResult => {
  const [from, to] = options.upload === true ? [pair.connection, pair.accepted] : [pair.accepted, pair.connection]
  const incoming = new Incoming(to)
  const stream = from.streams.open(false)!
  if (options.paths !== undefined) stream.setPaths(options.paths)
  pump(from, stream, options.bytes)
  const start = pair.simulator.now
  let last = 0
  let lastAt = start
  let stall = 0
  const done = pair.until(
    () => {
      const { now } = pair.simulator
      options.step?.(now - start)
      const received = incoming.drain?.received ?? 0
      if (received > last) {
        if (last > 0) stall = Math.max(stall, now - lastAt)
        last = received
        lastAt = now
      }
      return incoming.finished
    },
    start + (options.limit ?? 60_000)
  )
  assert.strictEqual(incoming.drain?.wrong ?? -1, -1, "wrong byte")
  assert.isAtLeast(done, 0, `only ${last} of ${options.bytes} bytes arrived`)
  assert.strictEqual(last, options.bytes)
  const time = done - start
  return { time, goodput: (options.bytes * 8) / time / 1000, stall, stats: from.stats() }
}

export interface LoggedFrame {
  readonly kind: SentFrameKind
  readonly pathId: number
  readonly value: number
}

/** Records the frames that a connection sends from now on. */
export class FrameLog {
  readonly all: Array<LoggedFrame> = []

  constructor(connection: Connection) {
    const { frames } = connection.core
    const detach = frames.detach.bind(frames)
    frames.detach = () => {
      const list = detach()
      for (let frame: SentFrame | undefined = list; frame !== undefined; frame = frame.next) {
        this.all.push({ kind: frame.kind, pathId: frame.pathId, value: frame.value })
      }
      return list
    }
  }

  of(kind: keyof typeof SentFrameKind, pathId?: number): Array<LoggedFrame> {
    return this.all.filter(
      (frame) => frame.kind === SentFrameKind[kind] && (pathId === undefined || frame.pathId === pathId)
    )
  }
}
