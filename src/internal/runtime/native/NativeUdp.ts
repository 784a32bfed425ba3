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
import { transmitAll } from "../UdpTransmit.ts"
import { drainErrors } from "./ErrorQueue.ts"
import { unsigned } from "./Ffi.ts"
import { Errno, errorName } from "./Libc.ts"
import { Readiness } from "./Readiness.ts"
import { returnBatch, takeBatch } from "./ReceiveMessages.ts"
import type { ReceiveBatch, Receiver } from "./ReceiveMessages.ts"
import { aim, MAX_DATAGRAM, sendApart, sendTrain } from "./SendMessages.ts"
import { AddressMemory } from "./Sockaddr.ts"
import { openSocket } from "./SocketSetup.ts"
import type { Opened } from "./SocketSetup.ts"

const defaultBuffer = 4 * 1024 * 1024

/** Ms that a closing socket waits for the kernel to take what is queued. */
const closeGrace = 1000

/** Ms between two attempts on a full socket: the pace of the system's timers, in which 4 MB go out at 30 Gbit/s. */
const retryEvery = 1

/** Bytes that wait in the process, at most, when a sender does not heed that the socket is full. */
const maxWaiting = 4 * 1024 * 1024

/** How often a call is made again because errors of earlier datagrams had made it fail. */
const maxRetries = 4

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
        return new NativeUdpSocket(openSocket(address.host, address.port, { receive, send }), address.host, options)
      },
      catch: (cause) => bindError(address, cause)
    }),
    (bound) => bound.close
  )

/** A transmit that the kernel has not taken, with bytes of its own. */
interface Waiting {
  readonly source: Address | undefined
  readonly transmit: Transmit
}

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
  private readonly fd: bigint
  private readonly inet6: boolean
  private readonly readiness: Readiness
  private readonly onSendError: BindOptions["onSendError"]
  private readonly sendErrors: Record<string, number> = {}
  private sent = 0
  private sentBytes = 0
  private closed = false
  /** Whether the system cuts trains for this socket. */
  private trains = true
  /** Transmits that the kernel had no room for, in order. */
  private readonly waiting: Array<Waiting> = []
  private waitingBytes = 0
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
    this.onSendError = options?.onSendError
    const addresses = options?.addresses ?? new AddressBook()
    this.addresses = addresses
    this.memory = AddressMemory.of(addresses)
    const local = addresses.intern(host, opened.port)
    this.local = local
    if (opened.wildcard) {
      this.covers = (address) => address.port === local.port && (this.inet6 || address.family === 4)
    }
    const readiness = Readiness.take(opened.fd, this.onReadable)
    if (readiness === undefined) {
      opened.socket.close()
      throw new Error("the event loop does not know the socket")
    }
    this.readiness = readiness
    this.pull = Effect.suspend(() => this.next(false))
    this.incoming = Stream.fromEffectRepeat(this.pull)
    const poll: Effect.Effect<void> = Effect.suspend(() =>
      this.flush() ? Effect.void : Effect.andThen(Effect.sleep(retryEvery), poll)
    )
    this.writable = poll
    this.transmit = transmitAll(this, () => (this.closed ? socketClosed("send", this.local) : undefined))
    this.close = Effect.andThen(
      Effect.timeoutOption(poll, closeGrace),
      Effect.callback((done) => {
        this.closed = true
        this.waiting.length = 0
        this.readiness.end()
        // The reader may still look at its burst, so nobody else gets it.
        this.batch = undefined
        this.resume?.(Effect.fail(socketClosed("receive", this.local)))
        this.socket.close(() => done(Effect.void))
      })
    )
  }

  send = (transmit: Transmit): boolean => {
    const source = this.sourceOf(transmit)
    if (this.closed) {
      this.refuse("ERR_SOCKET_DGRAM_NOT_RUNNING", transmit.remote, 1)
      return true
    }
    if (this.waiting.length > 0 && !this.flush()) {
      this.keep(transmit, source, 0)
      return false
    }
    const taken = this.push(transmit, source)
    if (taken === transmit.bytes.length) return true
    this.keep(transmit, source, taken)
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
      sendErrors: { ...this.sendErrors }
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

  /** Hands a transmit to the kernel. Returns how many bytes are dealt with: not all of them if it has no more room. */
  private push({ bytes, remote, ecn, segmentSize }: Transmit, source: Address | undefined): number {
    const length = bytes.length
    const segment = segmentSize < 1 ? Math.max(length, 1) : segmentSize
    const most = segment * Math.max(Math.min(MAX_SEGMENTS, Math.trunc(MAX_TRANSMIT / segment)), 1)
    let at = 0
    let retries = maxRetries
    // Up to here datagrams go out apart, because the system refused them as a train.
    let apartTo = this.trains ? 0 : length
    let suspicious = false
    do {
      // Every time, because listeners of errors may send too.
      const bad = segment > MAX_DATAGRAM ? "EMSGSIZE" : aim(remote, source, ecn, this.inet6)
      if (bad !== undefined) {
        this.refuse(bad, remote, Math.max(Math.ceil((length - at) / segment), 1))
        return length
      }
      const end = Math.min(at + most, length)
      const apart = at < apartTo && end - at > segment
      const result = apart
        ? sendApart(this.fd, bytes, at, Math.min(end, apartTo), segment)
        : -sendTrain(this.fd, bytes, at, end, segment)
      if (result >= 0) {
        const to = apart ? Math.min(at + result * segment, length) : end
        // What the system takes apart and not together, it cannot cut.
        if (apart && suspicious && result > 1) this.trains = false
        this.sent += Math.max(Math.ceil((to - at) / segment), 1)
        this.sentBytes += to - at
        at = to
        continue
      }
      const error = -result
      if (error === Errno.again) return at
      if (error === Errno.intr) continue
      if (retries > 0 && drainErrors(this.fd, this.memory, this.onNetworkError) > 0) {
        retries--
      } else if (!apart && end - at > segment && isTrainError(error)) {
        apartTo = end
        suspicious = error !== Errno.msgsize
      } else {
        const to = apart ? Math.min(at + segment, length) : end
        this.refuse(errorName(error), remote, Math.max(Math.ceil((to - at) / segment), 1))
        at = to
      }
    } while (at < length)
    return at
  }

  /** Sends what waits; false if some of it still does. */
  private flush(): boolean {
    while (this.waiting.length > 0) {
      const { transmit, source } = this.waiting[0]!
      const taken = this.push(transmit, source)
      this.waitingBytes -= taken
      if (taken < transmit.bytes.length) {
        this.waiting[0] = { source, transmit: { ...transmit, bytes: transmit.bytes.subarray(taken) } }
        return false
      }
      this.waiting.shift()
    }
    return true
  }

  private keep(transmit: Transmit, source: Address | undefined, from: number): void {
    const length = transmit.bytes.length - from
    if (this.waitingBytes + length > maxWaiting) {
      this.refuse(errorName(Errno.again), transmit.remote, Math.max(Math.ceil(length / transmit.segmentSize), 1))
      return
    }
    this.waitingBytes += length
    this.waiting.push({ source, transmit: { ...transmit, bytes: new Uint8Array(transmit.bytes.subarray(from)) } })
  }

  private refuse(code: string, remote: Address, datagrams: number): void {
    this.sendErrors[code] = (this.sendErrors[code] ?? 0) + datagrams
    for (let i = 0; i < datagrams; i++) this.onSendError?.({ code, remote })
  }

  private readonly onNetworkError = (code: string, remote: Address): void => this.refuse(code, remote, 1)

  /** The next burst, waiting for it when there is nothing. `woken`: libuv just said that there is something. */
  private next(woken: boolean): Effect.Effect<DatagramBurst, QuicError> {
    if (this.batch !== undefined) returnBatch(this.batch)
    this.batch = undefined
    if (this.closed) return Effect.fail(socketClosed("receive", this.local))
    this.idleTurns = 0
    const batch = takeBatch()
    for (let retries = maxRetries; ; retries--) {
      const error = batch.receive(this.fd, this)
      if (error === 0 && batch.burst.count > 0) {
        this.batch = batch
        return Effect.succeed(batch.burst)
      }
      if (retries === 0 || error === Errno.nobufs || error === Errno.nomem) break
      if (error === 0 || error === Errno.intr) continue
      // Woken for nothing, or refused: it was an error of an earlier datagram.
      const errors = woken || error !== Errno.again ? drainErrors(this.fd, this.memory, this.onNetworkError) : 0
      if (error === Errno.again) break
      if (errors === 0) {
        returnBatch(batch)
        return Effect.fail(receiveFailed(this.local, error))
      }
    }
    returnBatch(batch)
    return this.wait
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

  /** Called by libuv on every turn of the event loop on which there are datagrams, or errors. Must not throw. */
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

/** Errors that may mean that the system cannot cut this train: too long for the way, or no support (EINVAL, EIO). */
const isTrainError = (error: number): boolean => error === Errno.msgsize || error === Errno.inval || error === Errno.io

const receiveFailed = (local: Address, error: number): QuicError =>
  new QuicError({
    reason: new SocketFailed({ operation: "receive", address: local.toString(), code: errorName(error) })
  })
