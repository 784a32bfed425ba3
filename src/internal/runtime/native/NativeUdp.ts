/**
 * UDP sockets by system calls: trains of datagrams out and in, with ECN and, on a wildcard address, the local address of each
 * datagram. Datagrams stay in the kernel until the reader comes for them.
 */
import { Effect, Stream } from "effect"
import type { Scope } from "effect"
import type { SchedulerDispatcher } from "effect/Scheduler"
import type { Socket } from "node:dgram"
import { QuicError, SocketFailed } from "../../../QuicError.ts"
import type { BindOptions, BoundSocket, SocketStats } from "../Sockets.ts"
import { AddressBook, MAX_SEGMENTS, MAX_TRANSMIT } from "../../wire/Datagram.ts"
import type { Address, DatagramBurst, Transmit } from "../../wire/Datagram.ts"
import { bindError, socketClosed } from "../UdpErrors.ts"
import { SendErrors } from "../SendErrors.ts"
import { datagramsIn, segmentOf, transmitAll } from "../UdpTransmit.ts"
import { drainErrors } from "./ErrorQueue.ts"
import { unsigned } from "./Ffi.ts"
import { Errno, errorName, isFatalError, isNetworkError } from "./Libc.ts"
import { Readiness } from "./Readiness.ts"
import { returnBatch, takeBatch } from "./ReceiveMessages.ts"
import type { ReceiveBatch, Receiver } from "./ReceiveMessages.ts"
import { aim, forget, MAX_DATAGRAM, sendApart, sendTrain } from "./SendMessages.ts"
import { SendQueue } from "./SendQueue.ts"
import type { Waiting } from "./SendQueue.ts"
import { AddressMemory } from "./Sockaddr.ts"
import { openSocket } from "./SocketSetup.ts"
import type { Opened } from "./SocketSetup.ts"

const defaultBuffer = 4 * 1024 * 1024

/** Ms that a closing socket waits for the kernel to take what is queued. */
const closeGrace = 1000

/** Ms between two attempts on a full socket: the pace of the system's timers, in which 4 MB go out at 30 Gbit/s. */
const retryEvery = 1

/** How often a call is made again because errors of earlier datagrams may have made it fail. */
const maxRetries = 4

/** Remotes whose datagrams leave one by one, at most, and transmits to one of them before a train is tried again. */
const maxUncut = 256
const retryTrain = 1000

/** Turns of the event loop for which libuv may tell an absent reader about datagrams, before it is told to be quiet. */
const maxIdleTurns = 1

/** Binds a socket; see `UdpSocket.bind`. */
export const bindNativeUdp = (
  address: { readonly host: string; readonly port: number },
  options?: BindOptions
): Effect.Effect<BoundSocket, QuicError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const receive = options?.socketReceiveBuffer ?? defaultBuffer
        const send = options?.socketSendBuffer ?? defaultBuffer
        const opened = openSocket(address.host, address.port, { receive, send })
        try {
          return new NativeUdpSocket(opened, address.host, options)
        } catch (cause) {
          opened.socket.close()
          throw cause
        }
      },
      catch: (cause) => bindError(address, cause)
    }),
    (bound) => bound.close
  )

class NativeUdpSocket implements BoundSocket, Receiver {
  readonly local: Address
  readonly addresses: AddressBook
  readonly pull: BoundSocket["pull"]
  readonly incoming: BoundSocket["incoming"]
  readonly writable: Effect.Effect<void>
  readonly transmit: BoundSocket["transmit"]
  readonly covers: BoundSocket["covers"]
  readonly close: Effect.Effect<void>
  readonly wildcard: boolean
  readonly memory: AddressMemory
  overflow = 0
  received = 0
  receivedBytes = 0
  dropped = 0

  private readonly socket: Socket
  /** No descriptor once the socket is closed: the system gives its number to others. */
  private fd: bigint
  private readonly inet6: boolean
  private readonly readiness: Readiness
  private readonly errors: SendErrors
  private sent = 0
  private sentBytes = 0
  private closed = false
  /** The error that showed that the descriptor is none of a socket any more. */
  private broken = 0
  /** Remotes whose trains the system cannot cut, with the transmits before it is asked again: it depends on the route. */
  private readonly uncut = new Map<Address, number>()
  /** Transmits that the kernel had no room for. */
  private readonly waiting = new SendQueue()
  /** The burst that the reader has. */
  private batch: ReceiveBatch | undefined = undefined
  /** Resumes the waiting reader, in a task of its fiber's scheduler. */
  private resume: ((effect: Effect.Effect<void, QuicError>) => void) | undefined = undefined
  private dispatcher: SchedulerDispatcher | undefined = undefined
  private idleTurns = 0

  constructor(opened: Opened, host: string, options: BindOptions | undefined) {
    this.socket = opened.socket
    this.fd = unsigned(opened.fd)
    this.inet6 = opened.inet6
    this.wildcard = opened.wildcard
    this.errors = new SendErrors(options?.onSendError)
    const addresses = options?.addresses ?? new AddressBook()
    this.addresses = addresses
    this.memory = AddressMemory.of(addresses)
    const local = addresses.intern(host, opened.port)
    this.local = local
    if (opened.wildcard) {
      this.covers = (address) => address.port === local.port && (this.inet6 || address.family === 4)
    }
    const readiness = Readiness.take(opened.socket, opened.fd, this.onReadable)
    if (readiness === undefined) throw new Error("the event loop does not know the socket")
    this.readiness = readiness
    this.pull = Effect.suspend(() => this.next(false))
    this.incoming = Stream.fromEffectRepeat(this.pull)
    const poll: Effect.Effect<void> = Effect.suspend(() => {
      this.flush()
      this.settle()
      return this.waiting.first === undefined ? Effect.void : Effect.andThen(Effect.sleep(retryEvery), poll)
    })
    this.writable = poll
    this.transmit = transmitAll(this, () => (this.closed ? socketClosed("send", this.local) : undefined))
    this.close = Effect.andThen(Effect.timeoutOption(poll, closeGrace), this.closeNow)
  }

  private readonly closeNow: Effect.Effect<void> = Effect.callback((done) => {
    if (this.closed) return done(Effect.void)
    this.socket.once("close", () => done(Effect.void))
    this.end()
  })

  private end(): void {
    this.closed = true
    this.readiness.end()
    this.fd = NO_DESCRIPTOR
    for (let left = this.waiting.first; left !== undefined; left = this.waiting.first) {
      this.errors.add(errorName(Errno.again), left.remote, datagramsIn(left.bytes.length, left.segment))
      this.waiting.removeFirst()
    }
    // The reader may still look at its burst, so nobody else gets it.
    this.batch = undefined
    // A number that is another file's by now must not be closed.
    if (this.broken === Errno.notsock) this.socket.unref()
    else this.socket.close()
    this.resume?.(this.failure)
    this.errors.tell()
  }

  /** The socket has done its work: what that came to. */
  private settle(): void {
    if (this.broken !== 0 && !this.closed) this.end()
    this.errors.tell()
  }

  private readonly failure: Effect.Effect<never, QuicError> = Effect.suspend(() =>
    Effect.fail(this.broken === 0 ? socketClosed("receive", this.local) : receiveFailed(this.local, this.broken))
  )

  send = (transmit: Transmit): boolean => {
    const taken = this.take(transmit)
    this.settle()
    return taken
  }

  private take(transmit: Transmit): boolean {
    const { bytes, remote } = transmit
    const { length } = bytes
    const ecn = transmit.ecn & 3
    const segment = segmentOf(transmit.segmentSize, length)
    if (this.closed) {
      this.errors.add("ERR_SOCKET_DGRAM_NOT_RUNNING", remote, datagramsIn(length, segment))
      return true
    }
    const source = this.sourceOf(transmit)
    const sent = this.flush() ? this.push(bytes, remote, source, ecn, segment) : 0
    if (sent === ALL) return true
    if (!this.waiting.add(bytes, sent, remote, source, ecn, segment)) {
      this.errors.add(errorName(Errno.again), remote, datagramsIn(length - sent, segment))
    }
    return false
  }

  /** What waits was copied. */
  get retained(): boolean {
    return false
  }

  get stats(): SocketStats {
    return {
      datagramsReceived: this.received,
      bytesReceived: this.receivedBytes,
      datagramsSent: this.sent,
      bytesSent: this.sentBytes,
      datagramsDropped: this.dropped + this.overflow,
      sendErrors: { ...this.errors.counts }
    }
  }

  /** For logs: not the memory of the socket. */
  toJSON(): unknown {
    return { _id: "BoundSocket", local: this.local.toString(), ...this.stats }
  }

  /** The source address that must be named: only a wildcard socket has a choice. */
  private sourceOf({ local }: Transmit): Address | undefined {
    return this.wildcard && local !== this.local && local.key !== this.local.key ? local : undefined
  }

  /**
   * Hands datagrams to the kernel. Returns `ALL` when they are dealt with, else how many bytes are: the kernel has no room for
   * the others. No listener runs meanwhile.
   */
  private push(bytes: Uint8Array, remote: Address, source: Address | undefined, ecn: number, segment: number): number {
    const length = bytes.length
    const bad = segment > MAX_DATAGRAM ? "EMSGSIZE" : aim(remote, source, ecn, this.inet6)
    if (bad !== undefined) {
      this.errors.add(bad, remote, datagramsIn(length, segment))
      return ALL
    }
    const most = segment * Math.max(Math.min(MAX_SEGMENTS, Math.trunc(MAX_TRANSMIT / segment)), 1)
    let at = 0
    let retries = maxRetries
    // Up to here datagrams go out apart, because the system refused them as a train.
    let apartTo = length > segment && this.isUncut(remote) ? length : 0
    let suspicious = false
    // Not until `at` has come to the end: an empty datagram begins there.
    for (;;) {
      const end = Math.min(at + most, length)
      const apart = at < apartTo && end - at > segment
      const result = apart
        ? sendApart(this.fd, bytes, at, Math.min(end, apartTo), segment)
        : -sendTrain(this.fd, bytes, at, end, segment)
      if (result >= 0) {
        const to = apart ? Math.min(at + result * segment, length) : end
        // What the system takes apart and not together, it cannot cut.
        if (apart && suspicious && result > 1) this.rememberUncut(remote)
        this.sent += datagramsIn(to - at, segment)
        this.sentBytes += to - at
        at = to
        if (at >= length) return ALL
        continue
      }
      const error = -result
      if (error === Errno.again) return at
      if (error === Errno.intr) continue
      if (retries > 0 && isNetworkError(error)) {
        // It may have been meant for an earlier datagram. Then the call took it away, whatever is in the queue.
        retries--
        this.readErrors()
      } else if (!apart && end - at > segment && isTrainError(error)) {
        apartTo = end
        suspicious = error !== Errno.msgsize
      } else {
        if (error === Errno.badf || error === Errno.notsock) this.broken = error
        const to = apart ? Math.min(at + segment, length) : end
        this.errors.add(errorName(error), remote, datagramsIn(to - at, segment))
        // The interface behind a link-local address may have come back with another number.
        if (remote.host.includes("%")) forget(remote, source)
        at = to
        if (at >= length) return ALL
      }
    }
  }

  private isUncut(remote: Address): boolean {
    if (this.uncut.size === 0) return false
    const left = this.uncut.get(remote)
    if (left === undefined) return false
    if (left > 0) this.uncut.set(remote, left - 1)
    else this.uncut.delete(remote)
    return left > 0
  }

  private rememberUncut(remote: Address): void {
    if (this.uncut.size >= maxUncut) this.uncut.clear()
    this.uncut.set(remote, retryTrain)
  }

  /** Sends what waits; false if some of it still does. */
  private flush(): boolean {
    for (let first: Waiting | undefined; (first = this.waiting.first) !== undefined;) {
      const sent = this.push(first.bytes, first.remote, first.source, first.ecn, first.segment)
      if (sent !== ALL) {
        if (sent > 0) first.bytes = first.bytes.subarray(sent)
        return false
      }
      this.waiting.removeFirst()
    }
    return true
  }

  private readonly onNetworkError = (code: string, remote: Address): void => this.errors.add(code, remote, 1)

  private readErrors(): void {
    drainErrors(this.fd, this.memory, this.onNetworkError)
  }

  /** The next burst, waiting for it when there is nothing. `woken`: libuv just said that there is something. */
  private next(woken: boolean): Effect.Effect<DatagramBurst, QuicError> {
    if (this.batch !== undefined) returnBatch(this.batch)
    this.batch = undefined
    if (this.closed) return this.failure
    this.idleTurns = 0
    const batch = takeBatch()
    const error = this.receive(batch, woken)
    if (error === 0 && batch.burst.count > 0) {
      this.batch = batch
      this.errors.tell()
      return Effect.succeed(batch.burst)
    }
    returnBatch(batch)
    if (isFatalError(error)) this.broken = error
    this.settle()
    if (this.closed) return this.failure
    // Who is short of memory is not to be asked again at once.
    return error === 0 || error === Errno.again ? this.wait : this.waitLater
  }

  /** Fills a batch. Returns the error that is left; 0 with an empty batch: there may be more than could be looked at. */
  private receive(batch: ReceiveBatch, woken: boolean): number {
    for (let tries = maxRetries; ; tries--) {
      const error = batch.receive(this.fd, this)
      if (error === 0 && batch.burst.count > 0) return 0
      if (error === Errno.again) {
        // Woken for nothing: it was an error of an earlier datagram.
        if (woken) this.readErrors()
        return error
      }
      if (isNetworkError(error)) this.readErrors()
      else if (error !== 0 && error !== Errno.intr) return error
      if (tries === 0) return error
    }
  }

  private readonly wait: Effect.Effect<DatagramBurst, QuicError> = Effect.flatMap(
    Effect.withFiber((fiber) =>
      Effect.callback<void, QuicError>((resume) => {
        this.resume = resume
        this.dispatcher = fiber.currentDispatcher
        this.readiness.resume()
        return Effect.sync(() => {
          this.resume = undefined
        })
      })
    ),
    () => this.next(true)
  )

  private readonly waitLater = Effect.andThen(
    Effect.sleep(retryEvery),
    Effect.suspend(() => (this.closed ? this.failure : this.wait))
  )

  /** Called on every turn of the event loop on which there are datagrams, or errors. */
  private readonly onReadable = (): void => {
    if (this.resume !== undefined && this.dispatcher !== undefined) {
      this.dispatcher.scheduleTask(this.wake, 0)
      this.dispatcher = undefined
    } else if (++this.idleTurns > maxIdleTurns) {
      this.readiness.pause()
    }
  }

  private readonly wake = (): void => {
    const resume = this.resume
    this.resume = undefined
    resume?.(Effect.void)
  }
}

/** What `push` returns when nothing is left; an empty datagram may be. */
const ALL = -1

/** Any call with it fails with EBADF. */
const NO_DESCRIPTOR = unsigned(-1)

/** Errors that may mean that the system cannot cut this train: too long for the way, or no support (EINVAL, EIO). */
const isTrainError = (error: number): boolean => error === Errno.msgsize || error === Errno.inval || error === Errno.io

const receiveFailed = (local: Address, error: number): QuicError =>
  new QuicError({
    reason: new SocketFailed({ operation: "receive", address: local.toString(), code: errorName(error) })
  })
