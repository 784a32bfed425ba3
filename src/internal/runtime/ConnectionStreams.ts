/**
 * The streams of a connection as its users have them: opened, accepted and served, each given to a scope, and what is to be
 * delivered of them.
 */
import { Cause, Deferred, Effect, Exit, Stream } from "effect"
import type { Context, Pull, Scope } from "effect"
import type { CloseCodes } from "../../QuicConfig.ts"
import { QuicError, StreamLimit } from "../../QuicError.ts"
import { QuicStreamImpl } from "../../QuicStream.ts"
import type { CloseInfo, ConnectionMachine } from "../connection/Machine.ts"
import type { Stream as StreamMachine } from "../streams/Stream.ts"
import { closeError, isCleanClose } from "./CloseError.ts"
import { deliver, isUnderWay, undeliveredOf } from "./Delivery.ts"
import type { Undelivered } from "./Delivery.ts"
import { line } from "./EndpointLog.ts"
import type { EndpointLog } from "./EndpointLog.ts"
import { servedHere } from "./ServedHere.ts"
import { serveStreams } from "./ServeStreams.ts"
import { WaitList } from "./WaitList.ts"

/** Streams remembered before those that are done are sorted out. */
const FIRST_SWEEP = 64

export type StreamKind = "bidi" | "uni"

export interface StreamScopes {
  readonly log: EndpointLog
  /** ms that the end of a scope waits without any acknowledgement. */
  readonly linger: number
  /** ms that handlers may take after the connection has ended. */
  readonly grace: number
  readonly codes: CloseCodes
}

export class ConnectionStreams {
  /** What the ends of scopes say. A server of the connection may have codes of its own. */
  codes: CloseCodes
  /** No stream of the peer is handed out any more. */
  draining = false
  private readonly machine: ConnectionMachine
  private readonly scopes: StreamScopes
  /** Done when the connection has ended. */
  private readonly end: Deferred.Deferred<CloseInfo>
  /** Made by the first who waits. */
  private readonly waits: { [Key in `${StreamKind} ${"open" | "accept"}`]?: WaitList } = {}
  /** Streams that may still have something to deliver. */
  private sending: Array<QuicStreamImpl> = []
  private sweepAt = FIRST_SWEEP

  constructor(machine: ConnectionMachine, scopes: StreamScopes, end: Deferred.Deferred<CloseInfo>) {
    this.machine = machine
    this.scopes = scopes
    this.end = end
    this.codes = scopes.codes
  }

  /** Opens or accepts, and gives the stream to the scope. Interruptible while it waits, and then there is no stream. */
  scoped(kind: StreamKind, how: "open" | "accept", wait = true): Effect.Effect<QuicStreamImpl, QuicError, Scope.Scope> {
    const { machine } = this
    const take = (): StreamMachine | undefined => machine.streams[how](kind === "bidi")
    return Effect.uninterruptibleMask((restore) => {
      const attempt: Effect.Effect<QuicStreamImpl, QuicError, Scope.Scope> = Effect.suspend(() => {
        const taken = take()
        if (taken !== undefined) {
          const stream = this.adopt(taken)
          return Effect.as(
            Effect.addFinalizer((exit) => Effect.sync(() => this.release(stream, exit))),
            stream
          )
        }
        const closed = machine.closeInfo
        if (closed !== undefined) return Effect.fail(closeError(closed))
        // What the peer should know: that we are blocked.
        machine.wake()
        if (!wait) return Effect.fail(new QuicError({ reason: new StreamLimit({}) }))
        const wake =
          how === "accept" && this.draining ? Effect.asVoid(Deferred.await(this.end)) : this.waiters(kind, how).wait
        return Effect.flatMap(restore(wake), () => attempt)
      })
      return attempt
    })
  }

  /** The streams of the peer, owned by nobody's scope. */
  incoming(kind: StreamKind): Stream.Stream<QuicStreamImpl, QuicError> {
    const pull: Pull.Pull<readonly [QuicStreamImpl, ...Array<QuicStreamImpl>], QuicError> = Effect.suspend(() => {
      // One by one: what is taken and then not handled, because its handler fails, would be lost.
      const stream = this.take(kind)
      return stream === undefined
        ? this.waitForMore(this.waiters(kind, "accept"), pull)
        : Effect.succeed([stream] as const)
    })
    return Stream.fromPull(Effect.succeed(pull))
  }

  /** Waits for more of what the peer sends, unless there will be none. */
  waitForMore<A>(list: WaitList, next: Pull.Pull<A, QuicError>): Pull.Pull<A, QuicError> {
    const closed = this.machine.closeInfo
    if (closed === undefined) return this.draining ? Cause.done() : Effect.flatMap(list.wait, () => next)
    return isCleanClose(closed) ? Cause.done() : Effect.fail(closeError(closed))
  }

  /** Runs the handler for each stream of the peer, `limit` at a time. */
  serve<A, E, R>(
    kind: StreamKind,
    handler: (stream: QuicStreamImpl) => Effect.Effect<A, E, R>,
    limit: number
  ): Effect.Effect<void, never, Exclude<R, Scope.Scope>> {
    const serving = Effect.contextWith((context: Context.Context<never>) => {
      const run = Effect.runForkWith(context)
      return serveStreams(
        {
          take: () => this.take(kind),
          ended: () => this.draining || this.machine.closeInfo !== undefined,
          over: () => this.machine.closeInfo !== undefined,
          grace: this.scopes.grace,
          arrivals: this.waiters(kind, "accept"),
          settle: (stream, exit) => {
            if (Exit.isFailure(exit)) run(this.handlerFailed(stream, exit.cause))
            this.release(stream, exit)
          }
        },
        handler,
        limit
      )
    })
    return servedHere(this.machine, serving)
  }

  /** Hands out no more streams of the peer, so that what serves them comes to its end. */
  drain(): void {
    this.draining = true
    this.waits["bidi accept"]?.wake()
    this.waits["uni accept"]?.wake()
    this.refuse()
  }

  /** What a close now would drop. */
  get undelivered(): Undelivered | undefined {
    return undeliveredOf(this.sending)
  }

  /** Waits until all that was written is delivered, as long as anything moves. */
  delivered(now: () => number): Effect.Effect<void> {
    return deliver(this.machine, () => this.sending, this.scopes.linger, now)
  }

  private waiters(kind: StreamKind, how: "open" | "accept"): WaitList {
    const { streams } = this.machine
    const bidirectional = kind === "bidi"
    return (this.waits[`${kind} ${how}`] ??=
      how === "open"
        ? new WaitList(
            () => streams.isOpenable(bidirectional),
            (wake) => streams.setOpenWaiter(bidirectional, wake)
          )
        : new WaitList(
            () => streams.isAcceptable(bidirectional) || this.draining,
            (wake) => streams.setAcceptWaiter(bidirectional, wake)
          ))
  }

  /** The next stream of the peer. */
  private take(kind: StreamKind): QuicStreamImpl | undefined {
    const stream = this.draining ? undefined : this.machine.streams.accept(kind === "bidi")
    if (stream === undefined) return undefined
    this.machine.wake()
    return this.adopt(stream)
  }

  /** No more streams are handed out: the peer learns it at once, of each that comes. */
  private refuse(): void {
    const { machine } = this
    if (machine.closeInfo !== undefined) return
    for (const bidirectional of [true, false]) {
      for (let stream = machine.streams.accept(bidirectional); stream; stream = machine.streams.accept(bidirectional))
        this.adopt(stream).abandon(this.codes.streamAbort)
      machine.streams.setAcceptWaiter(bidirectional, () => this.refuse())
    }
  }

  private handlerFailed(stream: QuicStreamImpl, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    const message = "The handler of a stream failed"
    const who = { connection: this.machine.id, stream: stream.id }
    // A failure may be the peer's, or how a handler refuses; a defect is a mistake in the handler, which nobody else tells.
    const admitted = Cause.hasDies(cause) ? this.scopes.log.admit(message) : undefined
    return admitted === undefined
      ? line("Debug", message, who, cause)
      : line("Error", message, { ...who, ...admitted }, cause)
  }

  /** Leaves a stream as the end of its scope asks. */
  private release(stream: QuicStreamImpl, exit: Exit.Exit<unknown, unknown>): void {
    const unread = stream.release(exit, this.codes)
    const { log } = this.scopes
    if (unread > 0 && log.enabled("Debug"))
      log.write("Debug", "A stream was left with bytes that nobody read", {
        connection: this.machine.id,
        stream: stream.id,
        bytes: unread
      })
  }

  private adopt(machine: StreamMachine): QuicStreamImpl {
    const stream = new QuicStreamImpl(this.machine, machine)
    if (machine.send !== undefined) {
      if (this.sending.length >= this.sweepAt) {
        this.sending = this.sending.filter(mayDeliver)
        this.sweepAt = Math.max(FIRST_SWEEP, 2 * this.sending.length)
      }
      this.sending.push(stream)
    }
    return stream
  }
}

/** Not done: neither all acknowledged nor a reset that is. */
const mayDeliver = ({ machine }: QuicStreamImpl): boolean => machine.send!.active || isUnderWay(machine)
