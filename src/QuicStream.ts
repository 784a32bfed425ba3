/**
 * Streams: ordered bytes, each way ended by its sender (RFC 9000 section 2). A bidirectional stream both sends and
 * receives, a unidirectional one does one of the two.
 *
 * Leaving the scope that a stream was opened in closes it: what was written is still delivered and then its end (FIN), or,
 * if the scope failed or was interrupted, the sending part is reset (code 1), so that the peer never takes half a message
 * for a whole one. What was not read is refused (STOP_SENDING, code 0 or 1). The codes are settings: `codes` of `QuicConfig`.
 *
 * Every operation may be interrupted: an interrupted `write` sends nothing, an interrupted read loses nothing.
 *
 * @module
 * @since 0.1.0
 */
import { Cause, Effect, Exit, Option, Pull, Sink, Stream } from "effect"
import type { Inspectable, Pipeable } from "effect"
import * as Arguments from "./internal/runtime/Arguments.ts"
import { closeError } from "./internal/runtime/CloseError.ts"
import { pathGone } from "./internal/runtime/PathGone.ts"
import { Value } from "./internal/runtime/Value.ts"
import { WaitList } from "./internal/runtime/WaitList.ts"
import type { CloseInfo, ConnectionMachine } from "./internal/connection/Machine.ts"
import type { CloseCodes } from "./QuicConfig.ts"
import type { Stream as StreamMachine } from "./internal/streams/Stream.ts"
import { ConnectionClosed, QuicError, StreamReset, StreamStopped } from "./QuicError.ts"

/**
 * Marks the values of this module, in whatever copy of it they were made.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-mpquic/QuicStream"

/**
 * What can be written: bytes, or text as UTF-8. Bytes are not copied: do not change them until they are `flushed`.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Uint8Array | string

/**
 * Counters of one stream, in bytes of the application.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** Taken from the application. */
  readonly bytesWritten: number
  /** Bytes that the peer has. */
  readonly bytesAcknowledged: number
  /** Handed to the application. */
  readonly bytesRead: number
  /** Arrived in order and not read yet. */
  readonly bytesReadable: number
}

interface Common extends Pipeable.Pipeable, Inspectable.Inspectable {
  readonly [TypeId]: typeof TypeId
  /** The stream ID (RFC 9000 section 2.1). */
  readonly id: number
  /** Counters now. */
  readonly stats: Stats
}

/**
 * Ends something with a code of the application, 0 unless given. A code that is no whole number from 0 to 2^53 - 1 fails
 * with `BadConfig`.
 *
 * @category models
 * @since 0.2.0
 */
export interface WithCode {
  (): Effect.Effect<void>
  (options: { readonly code?: number | undefined }): Effect.Effect<void, QuicError>
}

/**
 * The sending part of a stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendStream extends Common {
  /**
   * Takes all of the bytes at once, waiting while the send buffer (`streamSendBuffer` of the configuration) is full. Success
   * says that they will be sent, not that they have arrived: see `flushed`. Fails with `StreamStopped` when the peer
   * wants no more, and with the reason of the connection's end when it is over.
   */
  readonly write: (data: Input) => Effect.Effect<void, QuicError>
  /** Writes, if there is anything to write, and ends the stream (FIN). Ending twice does nothing. */
  readonly end: (data?: Input | undefined) => Effect.Effect<void, QuicError>
  /** Waits until the peer has acknowledged everything that was written, and the end if it was ended. */
  readonly flushed: Effect.Effect<void, QuicError>
  /** Writes what it is given and ends the stream after it. */
  readonly sink: Sink.Sink<void, Input, never, QuicError>
  /** Gives up on what is not delivered yet (RESET_STREAM): the peer's reads fail with `StreamReset` and the code, 0 unless given. */
  readonly reset: WithCode
  /** A number from 0 (first) to 7 (last), 3 unless set (RFC 9218 section 4.1). */
  readonly priority: number
  /** `incremental` streams of the same priority take turns; others are sent one after the other. */
  readonly setPriority: (
    priority: number,
    options?: { readonly incremental?: boolean | undefined }
  ) => Effect.Effect<void, QuicError>
  /**
   * Binds the stream's data to paths by ID, or frees it (`"any"`, or no ID). Bound data uses its paths whatever their status. A
   * path that closes later is taken off; after the last one any will do. Fails with `PathFailed` for a path that is unknown or
   * closed, and then changes nothing.
   */
  readonly setPaths: (paths: ReadonlyArray<number> | "any") => Effect.Effect<void, QuicError>
  /**
   * On how many paths at once the data written from now on goes, 1 to 8, whatever the policies say; `"default"`: as they say.
   * The peer reads it once.
   *
   * @since 0.2.0
   */
  readonly setDuplication: (paths: number | "default") => Effect.Effect<void, QuicError>
}

/**
 * The receiving part of a stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReceiveStream extends Common {
  /** The next bytes, at least one, or none at the end of the stream. Fails with `StreamReset` when the peer gave up. */
  readonly read: Effect.Effect<Option.Option<Uint8Array>, QuicError>
  /**
   * All bytes from here on. What is not pulled is not acknowledged to the sender's window: a slow reader slows it down. A
   * reader that stops after some chunks leaves the rest to the next one.
   */
  readonly readable: Stream.Stream<Uint8Array, QuicError>
  /**
   * Hands all bytes from here to the end of the stream to `use`, piece by piece, each when the one before is done with.
   * The bytes are lent: their memory is used again when `use` has succeeded, so copy what is to be kept. For bulk data
   * this takes about half the time of `readable`, whose chunks are the reader's to keep and fresh memory each.
   */
  readonly consume: <E, R>(
    use: (bytes: Uint8Array) => Effect.Effect<unknown, E, R>
  ) => Effect.Effect<void, QuicError | E, R>
  /** Waits for the end of the stream and gives all bytes from here on, in one piece. */
  readonly bytes: Effect.Effect<Uint8Array, QuicError>
  /** `bytes` as UTF-8 text. */
  readonly text: Effect.Effect<string, QuicError>
  /** Wants no more (STOP_SENDING): what has arrived is dropped, and the peer's writes fail with `StreamStopped` and the
   * code, 0 unless given. */
  readonly stop: WithCode
}

/**
 * A bidirectional stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface QuicStream extends SendStream, ReceiveStream {}

/** RFC 9218 section 4.1. */
const LAST_PRIORITY = 7
/** Paths that a stream may be sent on at once. */
const MOST_COPIES = 8

const decoder = new TextDecoder()

const endOfStream = Cause.done()

const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  if (chunks.length === 1) return chunks[0]!
  let length = 0
  for (const chunk of chunks) length += chunk.length
  const all = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

/**
 * Both parts in one object: unidirectional streams are given out as the part that they have.
 *
 * @internal
 */
export class QuicStreamImpl extends Value implements QuicStream {
  readonly [TypeId] = TypeId
  private readonly connection: ConnectionMachine
  private readonly stream: StreamMachine
  private readonly readers: WaitList
  private readonly writers: WaitList
  private readonly flushers: WaitList
  /** What `bytes` has read so far: if it is interrupted, the next read begins with it. */
  private gathered: Array<Uint8Array> = []

  constructor(connection: ConnectionMachine, stream: StreamMachine) {
    super()
    this.connection = connection
    this.stream = stream
    this.readers = new WaitList(
      () => stream.isReadSettled,
      (wake) => {
        stream.readWaiter = wake
      }
    )
    this.writers = new WaitList(
      () => stream.isWriteSettled,
      (wake) => {
        stream.writeWaiter = wake
      }
    )
    this.flushers = new WaitList(
      () => stream.isFlushSettled,
      (wake) => {
        stream.flushWaiter = wake
      }
    )
  }

  get id(): number {
    return this.stream.id
  }

  toJSON(): unknown {
    return { _id: "QuicStream", id: this.id, ...this.stats }
  }

  override toString(): string {
    const { bytesRead, bytesWritten } = this.stats
    return `QuicStream(${this.id}, ${bytesWritten} bytes written, ${bytesRead} read)`
  }

  get priority(): number {
    return this.stream.urgency
  }

  get stats(): Stats {
    const send = this.stream.send?.buffer
    const receive = this.stream.receive?.buffer
    return {
      bytesWritten: send?.writtenOffset ?? 0,
      bytesAcknowledged: send?.ackedOffset ?? 0,
      bytesRead: receive?.readOffset ?? 0,
      bytesReadable: receive?.readable ?? 0
    }
  }

  readonly write = (data: Input): Effect.Effect<void, QuicError> =>
    Effect.suspend(() => {
      const bytes = Arguments.bytesOf(data)
      return bytes === undefined ? Effect.fail(Arguments.badBytes("data", data)) : this.append(bytes, false)
    })

  readonly end = (data?: Input | undefined): Effect.Effect<void, QuicError> =>
    Effect.suspend(() => {
      if (data !== undefined) {
        const bytes = Arguments.bytesOf(data)
        if (bytes === undefined) return Effect.fail(Arguments.badBytes("data", data))
        if (bytes.length > 0) return this.append(bytes, true)
      }
      const send = this.stream.send
      if (this.stream.isWritable && this.connection.closeInfo === undefined) {
        this.stream.finish()
        this.changed()
        return Effect.void
      }
      // The FIN of before is on its way, or there.
      return send !== undefined && send.buffer.finished && this.stream.error === undefined
        ? Effect.void
        : Effect.fail(this.writeError("end"))
    })

  /** All or nothing: the bytes are taken in one step as soon as there is any room, so the buffer may go over by one write. */
  private append(bytes: Uint8Array, fin: boolean): Effect.Effect<void, QuicError> {
    const stream = this.stream
    // Closed in this very turn: the streams hear of it with the next flush.
    if (!stream.isWritable || this.connection.closeInfo !== undefined) return Effect.fail(this.writeError("write"))
    if (stream.writableBytes > 0 || bytes.length === 0) {
      stream.write(bytes)
      if (fin) stream.finish()
      if (fin) this.changed()
      else this.connection.wake()
      return Effect.void
    }
    return Effect.flatMap(this.writers.wait, () => this.append(bytes, fin))
  }

  // Effects, Sink and Stream are made when they are asked for: there may be thousands of streams, which use few of them.

  get flushed(): Effect.Effect<void, QuicError> {
    const flushed: Effect.Effect<void, QuicError> = Effect.suspend(() => {
      if (this.stream.isFlushed) return Effect.void
      const send = this.stream.send
      if (this.stream.error !== undefined || (send !== undefined && send.resetCode >= 0))
        return Effect.fail(this.writeError("flushed"))
      return Effect.flatMap(this.flushers.wait, () => flushed)
    })
    return flushed
  }

  get sink(): Sink.Sink<void, Input, never, QuicError> {
    return Sink.fromTransform((upstream) =>
      Effect.flatMap(upstream, (chunks) => {
        const [first, ...rest] = chunks
        return rest.length === 0 ? this.write(first) : Effect.forEach(chunks, this.write, { discard: true })
      }).pipe(
        Effect.forever({ disableYield: true }),
        Pull.catchDone(() => Effect.as(this.end(), [void 0] as const))
      )
    )
  }

  readonly reset = (options?: { readonly code?: number | undefined }): Effect.Effect<void> =>
    Arguments.withCode(options, (code) => {
      if (this.stream.reset(code)) this.changed()
    })

  readonly setPriority = (
    priority: number,
    options?: { readonly incremental?: boolean | undefined }
  ): Effect.Effect<void, QuicError> =>
    Arguments.withArguments(
      "incremental",
      () => ({
        urgency: Arguments.wholeNumber("priority", priority, 0, LAST_PRIORITY),
        incremental: Arguments.flag("incremental", Arguments.at(options, "incremental"), this.stream.incremental)
      }),
      ({ incremental, urgency }) =>
        Effect.sync(() => {
          this.stream.setPriority(urgency, incremental)
          this.connection.wake()
        })
    )

  readonly setPaths = (paths: ReadonlyArray<number> | "any"): Effect.Effect<void, QuicError> =>
    Arguments.withArguments(
      "paths",
      () => (paths === "any" ? undefined : Arguments.pathIds("paths", paths)),
      (ids) => {
        const closed = this.connection.closeInfo
        if (closed !== undefined) return Effect.fail(closeError(closed))
        for (const id of ids ?? []) {
          const gone = pathGone(this.connection, id)
          if (gone !== undefined) return Effect.fail(gone)
        }
        this.stream.setPaths(ids)
        this.connection.wake()
        return Effect.void
      }
    )

  readonly setDuplication = (paths: number | "default"): Effect.Effect<void, QuicError> =>
    Arguments.withArguments(
      "paths",
      () => (paths === "default" ? 0 : Arguments.wholeNumber("paths", paths, 1, MOST_COPIES)),
      (count) => Effect.sync(() => this.stream.setDuplication(count))
    )

  get read(): Effect.Effect<Option.Option<Uint8Array>, QuicError> {
    const read: Effect.Effect<Option.Option<Uint8Array>, QuicError> = Effect.suspend(() => {
      const bytes = this.gathered.shift() ?? this.stream.read()
      if (bytes !== undefined) {
        this.connection.wake()
        return Effect.succeed(Option.some(bytes))
      }
      if (this.stream.isFinished) return Effect.succeedNone
      const error = this.readError("read")
      return error === undefined ? Effect.flatMap(this.readers.wait, () => read) : Effect.fail(error)
    })
    return read
  }

  get readable(): Stream.Stream<Uint8Array, QuicError> {
    // One by one: of several, a reader that stops early would lose those that it did not look at.
    const pull: Pull.Pull<readonly [Uint8Array], QuicError> = Effect.flatMap(this.read, (bytes) =>
      Option.isSome(bytes) ? Effect.succeed([bytes.value] as const) : endOfStream
    )
    return Stream.fromPull(Effect.succeed(pull))
  }

  readonly consume = <E, R>(
    use: (bytes: Uint8Array) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<void, QuicError | E, R> => {
    const next: Effect.Effect<void, QuicError | E, R> = Effect.suspend(() => {
      const kept = this.gathered.shift()
      if (kept !== undefined) return Effect.flatMap(Arguments.effectOf("use", use(kept)), () => next)
      const loan = this.stream.lend()
      if (loan !== undefined) {
        this.connection.wake()
        // Given back on success only: what failed or was interrupted may still have a hand on the bytes.
        return Effect.flatMap(Arguments.effectOf("use", use(loan.bytes)), () => {
          loan.giveBack()
          return next
        })
      }
      if (this.stream.isFinished) return Effect.void
      const error = this.readError("consume")
      return error === undefined ? Effect.flatMap(this.readers.wait, () => next) : Effect.fail(error)
    })
    return Arguments.withArguments(
      "use",
      () => Arguments.callback("use", use),
      () => next
    )
  }

  get bytes(): Effect.Effect<Uint8Array, QuicError> {
    const bytes: Effect.Effect<Uint8Array, QuicError> = Effect.suspend(() => {
      const chunks = this.stream.readAll()
      if (chunks.length > 0) this.connection.wake()
      for (const chunk of chunks) this.gathered.push(chunk)
      if (this.stream.isFinished) return Effect.succeed(concat(this.gathered.splice(0)))
      const error = this.readError("read")
      return error === undefined ? Effect.flatMap(this.readers.wait, () => bytes) : Effect.fail(error)
    })
    return bytes
  }

  get text(): Effect.Effect<string, QuicError> {
    return Effect.map(this.bytes, (bytes) => decoder.decode(bytes))
  }

  readonly stop = (options?: { readonly code?: number | undefined }): Effect.Effect<void> =>
    Arguments.withCode(options, (code) => {
      this.gathered = []
      if (this.stream.stopSending(code)) this.changed()
    })

  /** What the end of a connection waits for. @internal */
  get machine(): StreamMachine {
    return this.stream
  }

  /** Done when everything is acknowledged, or never will be. @internal */
  get settled(): Effect.Effect<void> {
    return Effect.asVoid(Effect.exit(this.flushed))
  }

  /** Leaves the stream as a scope's end asks. Gives the bytes that were there and that nobody read. @internal */
  release(exit: Exit.Exit<unknown, unknown>, codes: CloseCodes): number {
    const { stream } = this
    let unread = stream.isFinished ? 0 : (stream.receive?.buffer.readable ?? 0)
    for (const chunk of this.gathered) unread += chunk.length
    if (stream.error !== undefined) return unread
    if (Exit.isFailure(exit)) {
      this.abandon(codes.streamAbort)
      return unread
    }
    if (stream.isWritable) stream.finish()
    if (!stream.isFinished) stream.stopSending(codes.streamEnd)
    this.changed()
    return unread
  }

  /** Gives up on both parts. @internal */
  abandon(code: number): void {
    const { stream } = this
    if (stream.isWritable) stream.reset(code)
    if (!stream.isFinished) stream.stopSending(code)
    this.changed()
  }

  private changed(): void {
    this.connection.streams.flushWakes()
    this.connection.wake()
  }

  private writeError(operation: string): QuicError {
    const stream = this.stream
    const closed = this.connection.closeInfo
    if (closed !== undefined) return closeError(closed)
    if (stream.stopCode >= 0) return new QuicError({ reason: new StreamStopped({ code: stream.stopCode }) })
    return new QuicError({
      reason: new ConnectionClosed({ operation: `${operation} on stream ${stream.id}` })
    })
  }

  private readError(operation: string): QuicError | undefined {
    const stream = this.stream
    if (stream.resetCode >= 0) return new QuicError({ reason: new StreamReset({ code: stream.resetCode }) })
    if (stream.error !== undefined) return closeError(stream.error as CloseInfo)
    const receive = stream.receive
    return receive === undefined || receive.stopCode >= 0
      ? new QuicError({
          reason: new ConnectionClosed({ operation: `${operation} on stream ${stream.id}` })
        })
      : undefined
  }
}
