/**
 * What one run measures: a download over one stream on the simulated network, machine against machine. The protocol, its
 * encryption and its handshake are the library's own, with the settings that users get; only sockets, fibers and the clock are
 * left out, which take no simulated time anyway. So a run takes a second or less, and repeats to the byte.
 */
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { ConnectionSettings } from "../../src/internal/Settings.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import * as QuicConfig from "../../src/QuicConfig.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { byteAt, Pair, pump } from "../../test/support/Machines.ts"
import type { NodeOptions } from "../../test/support/Machines.ts"

export interface Parts {
  readonly scheduler: NonNullable<NodeOptions["scheduler"]>
  readonly congestion: NonNullable<NodeOptions["congestion"]>
  readonly reinjection?: NodeOptions["reinjection"]
}

export interface Download extends Parts {
  /** The connection begins on the first. */
  readonly links: ReadonlyArray<DuplexOptions>
  readonly bytes: number
  readonly seed?: number | undefined
  /** ms are counted from the request, on a connection whose paths are open, not from the connection's first packet. */
  readonly open?: boolean | undefined
}

/** Simulated ms after which a run has failed. */
const LIMIT = 4 * 3_600_000
/** Simulated ms between looks at whether it is over. */
const STEP = 50
/** Simulated ms after which what is not possible yet is tried again: few, since small objects take few. */
const RETRY = 0.1
const REQUEST = new Uint8Array(100)

const settings = (paths: number): ConnectionSettings => ({
  ...QuicConfig.toSettings(new QuicConfig.QuicConfig({})),
  // A connection of one path is one without the extension.
  maxPaths: paths > 1 ? paths : 0
})

export const pairOf = ({ congestion, links, reinjection, scheduler, seed }: Omit<Download, "bytes">): Pair => {
  const node = { settings: settings(links.length), scheduler, congestion, reinjection }
  return new Pair({ seed, links, client: node, server: node })
}

/** A path that works at both ends. */
const works = (pair: Pair, id: number): boolean =>
  pair.connection.path(id)?.validated === true && pair.accepted.path(id)?.validated === true

/** Opens a path over each further link as soon as that is possible, and anew where it could not be validated for losses. */
export const openPaths = (pair: Pair, onOpen: () => void = () => {}): void => {
  const { connection, simulator } = pair
  let missing = pair.links.length - 1
  const open = (link: number, id: number): void => {
    if (id >= 0 && works(pair, id)) {
      if (--missing === 0) onOpen()
      return
    }
    let opened = id
    const state = connection.path(id)?.state
    if (connection.confirmed && (state === undefined || state === "closed" || state === "closing")) {
      const answer = connection.openPath({ local: pair.client.addresses[link]! }, simulator.now)
      if (typeof answer === "number") opened = answer
      connection.wake()
    }
    simulator.at(simulator.now + RETRY, () => open(link, opened))
  }
  if (missing === 0) onOpen()
  for (let link = 1; link < pair.links.length; link++) open(link, -1)
}

/** The server answers each request with as many bytes. */
export const serve = (pair: Pair, bytes: number): void => {
  const listen = (): void => {
    const server = pair.accepted
    if (server === undefined) {
      pair.simulator.at(pair.simulator.now + RETRY, listen)
      return
    }
    const take = (): void => {
      for (let stream = server.streams.accept(true); stream !== undefined; stream = server.streams.accept(true)) {
        pump(server, stream, bytes)
      }
      server.streams.setAcceptWaiter(true, take)
      server.wake()
    }
    take()
  }
  listen()
}

/** Reads a stream to its end, and remembers when that was. */
export class Reader {
  /** ms; -1 before. */
  finishedAt = -1
  private received = 0
  private readonly connection: Connection
  private readonly stream: Stream
  private readonly now: () => number
  private readonly checked: boolean

  /** `checked`: the bytes are those of `pump`. */
  constructor(connection: Connection, stream: Stream, now: () => number, checked = true) {
    this.connection = connection
    this.stream = stream
    this.now = now
    this.checked = checked
    this.step()
  }

  private step = (): void => {
    for (let bytes = this.stream.read(); bytes !== undefined; bytes = this.stream.read()) {
      for (let i = 0; this.checked && i < bytes.length; i++) {
        if (bytes[i] !== byteAt(this.received + i)) throw new Error(`wrong byte at ${this.received + i}`)
      }
      this.received += bytes.length
    }
    this.connection.wake()
    if (this.stream.isFinished) this.finishedAt = this.now()
    else this.stream.readWaiter = this.step
  }
}

export const request = (pair: Pair): Reader => {
  const stream = pair.connection.streams.open(true)!
  stream.write(REQUEST)
  stream.finish()
  return new Reader(pair.connection, stream, () => pair.simulator.now)
}

const runUntil = (pair: Pair, done: () => boolean, step: number): boolean => {
  while (!done()) {
    if (pair.simulator.now > LIMIT || pair.client.closes.length > 0) return false
    pair.run(pair.simulator.now + step)
  }
  return true
}

/** ms; Infinity if it did not arrive. */
export const download = (options: Download): number => {
  const pair = pairOf(options)
  let open = false
  openPaths(pair, () => (open = true))
  serve(pair, options.bytes)
  const { connection } = pair
  const ready = (): boolean =>
    options.open === true ? connection.confirmed && open : connection.state === "established"
  if (!runUntil(pair, ready, RETRY)) return Infinity
  const start = options.open === true ? pair.simulator.now : 0
  const reader = request(pair)
  return runUntil(pair, () => reader.finishedAt >= 0, STEP) ? reader.finishedAt - start : Infinity
}
