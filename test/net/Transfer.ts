/**
 * A transfer between two peers in a network, and what it looked like over time.
 */
import type { ChildProcess } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Network, Side } from "./Network.ts"
import { SAMPLE } from "./protocol.ts"
import type { ClientOptions, PathLine, PeerLine, PeerOptions, ServerOptions } from "./protocol.ts"

const peerFile = fileURLToPath(new URL("Peer.ts", import.meta.url))

const now = (): number => performance.timeOrigin + performance.now()

type LineOf<K extends PeerLine["kind"]> = Extract<PeerLine, { readonly kind: K }>

/** A peer's process, and the lines that came from it. */
export class PeerProcess {
  readonly lines: Array<PeerLine> = []
  stderr = ""
  private readonly child: ChildProcess
  private readonly ended: Promise<void>
  private over = false

  constructor(network: Network, side: Side, lane: string, options: PeerOptions) {
    this.child = network.node(side, lane, [peerFile, JSON.stringify(options)])
    let text = ""
    this.child.stdout!.on("data", (chunk: Buffer) => {
      const lines = (text + chunk.toString()).split("\n")
      text = lines.pop()!
      for (const line of lines) this.lines.push(JSON.parse(line) as PeerLine)
    })
    this.child.stderr!.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()))
    this.ended = new Promise((resolve) =>
      this.child.on("close", () => {
        this.over = true
        resolve()
      })
    )
  }

  /** Waits for a line of this kind; fails when the process ends, or `limit` ms are over, without it. */
  async line<K extends PeerLine["kind"]>(kind: K, limit = 20_000): Promise<LineOf<K>> {
    const end = now() + limit
    for (;;) {
      const found = this.lines.find((line): line is LineOf<K> => line.kind === kind)
      if (found !== undefined) return found
      if (this.over || now() > end)
        throw new Error(`no line "${kind}" ${this.over ? "before the end" : `within ${limit} ms`}: ${this.stderr}`)
      await sleep(5)
    }
  }

  async close(): Promise<void> {
    this.child.stdin!.end()
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 5000)
    await this.ended
    clearTimeout(timer)
  }
}

export interface TransferOptions {
  readonly lane: string
  readonly server: Omit<ServerOptions, "role">
  readonly client: Omit<ClientOptions, "remote" | "role" | "direction"> & {
    readonly remote?: string
    readonly direction?: "down" | "up"
  }
}

export class Transfer {
  readonly server: PeerProcess
  readonly client: PeerProcess
  /** When the first bytes were asked for. */
  readonly start: number
  private readonly direction: "down" | "up"

  private constructor(server: PeerProcess, client: PeerProcess, start: number, direction: "down" | "up") {
    this.server = server
    this.client = client
    this.start = start
    this.direction = direction
  }

  /** Gives the transfer when it has begun, on all its paths. */
  static async begin(network: Network, options: TransferOptions): Promise<Transfer> {
    const server = new PeerProcess(network, "server", options.lane, { role: "server", ...options.server })
    const { addresses } = await server.line("ready")
    const direction = options.client.direction ?? "down"
    const client = new PeerProcess(network, "client", options.lane, {
      role: "client",
      remote: addresses[0]!,
      ...options.client,
      direction
    })
    const { at } = await client.line("opened")
    return new Transfer(server, client, at, direction)
  }

  /** One more client of the same server; gives the bytes that it got. */
  async anotherClient(
    network: Network,
    lane: string,
    options: { readonly remote: string; readonly bytes: number }
  ): Promise<number> {
    const client = new PeerProcess(network, "client", lane, { role: "client", direction: "down", ...options })
    const { bytes, whole } = await client.line("received")
    await client.close()
    if (!whole) throw new Error(`only ${bytes} bytes came`)
    return bytes
  }

  /** Waits until `ms` after the start. */
  async at(ms: number): Promise<void> {
    await sleep(Math.max(0, this.start + ms - now()))
  }

  /** Waits until the receiver has got `bytes` on each of these paths. */
  async inUse(ids: ReadonlyArray<number>, bytes = 100_000): Promise<void> {
    const end = now() + 20_000
    while (!ids.every((id) => (this.path(id, Infinity)?.received ?? 0) >= bytes)) {
      if (now() > end) throw new Error(`not all of the paths ${ids.join()} carry data`)
      await sleep(10)
    }
  }

  /** Does it, and gives the time at which it was done. */
  act(action: () => void): number {
    const before = now()
    action()
    return before
  }

  /** Waits for the end; fails unless every byte arrived, as it was sent. */
  async finish(limit = 30_000): Promise<void> {
    const { whole, bytes } = await this.receiver.line("received", limit)
    if (!whole) throw new Error(`only ${bytes} bytes came`)
    await this.client.line("done", 5000)
    await this.close()
  }

  async close(): Promise<void> {
    await this.client.close()
    await this.server.close()
  }

  get receiver(): PeerProcess {
    return this.direction === "down" ? this.client : this.server
  }
  get sender(): PeerProcess {
    return this.direction === "down" ? this.server : this.client
  }

  /** The longest time without new bytes that began within `window` ms after `from`, or lasted at `from`. */
  stall(from: number, window: number): number {
    let last = -Infinity
    let longest = 0
    for (const line of this.receiver.lines) {
      if (line.kind !== "bytes") continue
      if (line.at > from && last < from + window) longest = Math.max(longest, line.at - Math.max(last, from))
      last = line.at
    }
    // It never went on.
    if (last < from) return Infinity
    return longest
  }

  /** Bytes that arrived between two times, in Mbit/s. */
  rate(from: number, to: number): number {
    let bytes = 0
    for (const line of this.receiver.lines) {
      if (line.kind === "bytes" && line.at >= from && line.at < to) bytes += line.bytes
    }
    return (bytes * 8) / (to - from) / 1000
  }

  /** The larger probe timeout of the sender's paths in the second before, in ms. */
  pto(before: number): number {
    let largest = 0
    for (const line of this.sender.lines) {
      if (line.kind !== "paths" || line.at > before || line.at < before - 1000) continue
      for (const path of line.paths) if (path.state === "active") largest = Math.max(largest, path.pto)
    }
    return largest
  }

  /**
   * ms by which both processes together came too late to their samples in the `window` ms after `from`: what a busy machine
   * adds to every step of theirs.
   */
  late(from: number, window: number): number {
    let late = 0
    for (const { lines } of [this.client, this.server]) {
      let last = Infinity
      for (const line of lines) {
        if (line.kind !== "paths") continue
        if (line.at > from && last < from + window) late += Math.max(0, line.at - last - SAMPLE - 5)
        last = line.at
      }
    }
    return late
  }

  /** Seconds of processor time that a side used between two times. */
  cpu(side: Side, from: number, to: number): number {
    let first: number | undefined
    let last = 0
    for (const line of (side === "client" ? this.client : this.server).lines) {
      if (line.kind !== "paths" || line.at < from || line.at > to) continue
      first ??= line.cpu
      last = line.cpu
    }
    return (last - (first ?? last)) / 1e6
  }

  /** Figures of a path of the receiver at a time. */
  path(id: number, at: number): PathLine | undefined {
    let found: PathLine | undefined
    for (const line of this.receiver.lines) {
      if (line.kind !== "paths" || line.at > at) continue
      found = line.paths.find((path) => path.id === id) ?? found
    }
    return found
  }

  /** Bytes that the receiver got on a path between two times. */
  received(id: number, from: number, to: number): number {
    return (this.path(id, to)?.received ?? 0) - (this.path(id, from)?.received ?? 0)
  }

  /** ms from `from` until a path of the receiver got `bytes` more; Infinity if it never did. */
  resumed(id: number, from: number, bytes = 20_000): number {
    const before = this.path(id, from)?.received ?? 0
    for (const line of this.receiver.lines) {
      if (line.kind !== "paths" || line.at <= from) continue
      const path = line.paths.find((each) => each.id === id)
      if (path !== undefined && path.received - before >= bytes) return line.at - from
    }
    return Infinity
  }

  /** When an event was told first, after `from`. */
  event(side: Side, event: string, pathId: number, from = 0): number {
    const peer = side === "client" ? this.client : this.server
    for (const line of peer.lines) {
      if (line.kind === "event" && line.event === event && line.pathId === pathId && line.at >= from) return line.at
    }
    return Infinity
  }
}
