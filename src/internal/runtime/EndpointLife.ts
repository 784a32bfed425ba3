/**
 * Who lives at an endpoint, and how it ends: it accepts no more, lets handlers and streams finish for a given time, and
 * then closes what is left.
 */
import { Duration, Effect, Exit } from "effect"
import type { ConnectionMachine } from "../connection/Machine.ts"
import type { AcceptQueue } from "./AcceptQueue.ts"
import type { EndpointRuntime } from "./EndpointRuntime.ts"
import type { Drainable, Handlers } from "./Handlers.ts"
import { ServedHere } from "./ServedHere.ts"

/** ms between two looks at connections that nobody serves, for their last stream to be done. */
const LOOK_AGAIN = 20

export interface LiveConnection extends Drainable {
  /** Closes as the end of a scope does. */
  readonly release: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
  /** Closes at once. Without a code: that of a clean end, unless something is dropped. */
  readonly closeNow: (code?: number, reason?: string) => void
}

export class EndpointLife<C extends LiveConnection> {
  readonly accepted: AcceptQueue<C>
  private readonly runtime: EndpointRuntime
  private readonly live = new Set<C>()
  /** Those whose state is still there, to answer what comes late: their sockets are needed. */
  private readonly present = new Set<C>()
  private readonly servers = new Set<Handlers>()
  private over = false

  constructor(runtime: EndpointRuntime, accepted: AcceptQueue<C>) {
    this.runtime = runtime
    this.accepted = accepted
  }

  /** It begins no connection any more, and accepts none. */
  get ended(): boolean {
    return this.over || this.runtime.ended
  }

  add(connection: C): void {
    this.live.add(connection)
    this.present.add(connection)
    if (this.over) connection.drain()
  }

  remove(connection: C): void {
    this.live.delete(connection)
    this.accepted.remove(connection)
    for (const handlers of this.servers) handlers.ended(connection)
  }

  /** Nothing is left of the connection. */
  forget(connection: C): void {
    this.present.delete(connection)
  }

  /** Those that have not ended. */
  get connections(): Iterable<C> {
    return this.live
  }

  /** Whether a path leaves from this address. */
  isLocalHost(host: string): boolean {
    for (const { machine } of this.live) for (const path of machine.paths) if (path.local.host === host) return true
    return false
  }

  /** Local addresses that paths have now. */
  get localAddresses(): ReadonlySet<string> {
    const all = new Set<string>()
    for (const { machine } of this.present) for (const path of machine.paths) all.add(path.local.toString())
    return all
  }

  /** Somebody serves with these handlers. */
  begin(handlers: Handlers): void {
    this.servers.add(handlers)
    if (!this.over) this.runtime.machine.refuseAll(false)
  }

  /** And does so no more. Clients that nobody will answer are refused. */
  end(handlers: Handlers): void {
    this.servers.delete(handlers)
    if (this.servers.size === 0) this.runtime.machine.refuseAll()
  }

  /** Closes all connections now. */
  close(code: number | undefined, reason: string | undefined): void {
    this.acceptNoMore()
    for (const connection of this.live) connection.closeNow(code, reason)
    this.runtime.machine.closeAll(code ?? 0, reason ?? "", this.runtime.now())
    this.runtime.wake()
  }

  /**
   * With `streams`, the sockets stay: open streams of connections that nobody serves are waited for as well, and the connection
   * whose handler calls it is closed by that handler when it is done. In either case nobody waits for himself.
   */
  shutdown(within: Duration.Input, streams: boolean): Effect.Effect<void> {
    return Effect.flatMap(ServedHere, (here) => {
      this.acceptNoMore()
      for (const connection of this.live) {
        if (connection.machine.state === "handshaking") connection.closeNow()
        else connection.drain()
      }
      return Effect.andThen(
        Effect.timeoutOption(Effect.interruptible(this.finished(streams, here)), within),
        Effect.suspend(() => {
          // Handlers close their connections when they are interrupted.
          const interrupted = Effect.forEach(this.servers, (handlers) => handlers.finish(Duration.zero))
          return Effect.andThen(
            interrupted,
            Effect.sync(() => {
              for (const connection of this.live) if (!streams || !here.has(connection.machine)) connection.closeNow()
            })
          )
        })
      )
    })
  }

  private acceptNoMore(): void {
    this.over = true
    this.runtime.machine.refuseAll()
    this.accepted.end()
  }

  private finished(streams: boolean, here: ReadonlySet<ConnectionMachine>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const served = new Set<Drainable>()
      for (const handlers of this.servers) for (const connection of handlers.connections) served.add(connection)
      const own = Array.from(this.live).filter((connection) => !served.has(connection) && !here.has(connection.machine))
      return Effect.all(
        [
          Effect.forEach(this.servers, (handlers) => handlers.idle, { concurrency: "unbounded" }),
          Effect.forEach(own, (connection) => this.settled(connection, streams), { concurrency: "unbounded" })
        ],
        { concurrency: 2, discard: true }
      )
    })
  }

  /** Closes a connection that nobody serves when it has delivered everything. */
  private settled(connection: C, streams: boolean): Effect.Effect<void> {
    const look: Effect.Effect<void> = Effect.suspend(() => {
      const busy = streams && connection.machine.closeInfo === undefined && connection.machine.streams.openStreams > 0
      return busy ? Effect.flatMap(Effect.sleep(LOOK_AGAIN), () => look) : connection.release(Exit.void)
    })
    return look
  }
}
