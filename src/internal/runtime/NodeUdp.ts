/**
 * UDP sockets over node:dgram. It has neither ECN nor segmentation offload, so every segment is a call; what is left to
 * do well is to make each call cheap and to know when the bytes have left.
 */
import { Effect, Stream } from "effect"
import type { Scope } from "effect"
import { createSocket } from "node:dgram"
import type { Socket } from "node:dgram"
import type { QuicError } from "../../QuicError.ts"
import type { BindOptions, BoundSocket, SocketStats } from "./Sockets.ts"
import { AddressBook } from "../wire/Datagram.ts"
import type { Address, Transmit } from "../wire/Datagram.ts"
import { bindError, socketClosed } from "./UdpErrors.ts"
import { UdpInbox } from "./UdpInbox.ts"
import { SendErrors } from "./SendErrors.ts"
import { datagramsIn, segmentOf, transmitAll } from "./UdpTransmit.ts"

const defaultBuffer = 4 * 1024 * 1024

/** One transmit in this many asks the system for its result: asking costs a third of the whole send. */
const reportEvery = 32

/** What waits in the process, at most. */
const maxWaiting = 4 * 1024 * 1024
const maxWaitingDatagrams = 8192

/** Ms that a closing socket waits for the kernel to take what is queued. */
const closeGrace = 1000

/**
 * Addresses here are always numeric. Answering at once keeps the send inside the call of `send`; Node's own lookup would
 * put it off to the next tick, when the slab may already hold other bytes.
 */
const lookup = (
  host: string,
  options: unknown,
  done: (error: Error | null, address: string, family: number) => void
): void => done(null, host, options === 6 ? 6 : 4)

/** Binds a socket; see `UdpSocket.bind`. */
export const bindNodeUdp = (
  address: { readonly host: string; readonly port: number },
  options?: BindOptions
): Effect.Effect<BoundSocket, QuicError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.flatMap(openSocket(address), (socket) =>
      Effect.try({
        try: () => new NodeUdpSocket(socket, options ?? {}),
        catch: (cause) => {
          socket.close()
          return bindError(address, cause)
        }
      })
    ),
    (bound) => bound.close
  )

const openSocket = (address: { readonly host: string; readonly port: number }): Effect.Effect<Socket, QuicError> =>
  Effect.callback((resume) => {
    const { host, port } = address
    // Node would take the low 16 bits.
    if (!Number.isInteger(port) || port < 0 || port > 65_535) {
      return resume(Effect.fail(bindError(address, new RangeError(`${port} is not a port`))))
    }
    const socket = host.includes(":")
      ? // One family a socket: otherwise IPv4 peers would appear as ::ffff: addresses.
        createSocket({ type: "udp6", ipv6Only: true, lookup })
      : createSocket({ type: "udp4", lookup })
    const failed = (cause: unknown): void => {
      socket.close()
      resume(Effect.fail(bindError(address, cause)))
    }
    socket.once("error", failed)
    socket.once("listening", () => {
      socket.off("error", failed)
      resume(Effect.succeed(socket))
    })
    try {
      // In a cluster worker, `exclusive` keeps the socket in this process.
      socket.bind({ port, address: host, exclusive: true })
    } catch (cause) {
      failed(cause)
    }
  })

/** Asks for a buffer size, and for half of it as often as the system refuses. */
const setBuffer = (set: (bytes: number) => void, wanted: number): void => {
  for (let bytes = wanted; bytes >= 65_536; bytes = bytes >> 1) {
    try {
      set(bytes)
      return
    } catch {
      // Too big for this system.
    }
  }
}

class NodeUdpSocket implements BoundSocket {
  readonly local: Address
  readonly addresses: AddressBook
  readonly pull: BoundSocket["pull"]
  readonly incoming: BoundSocket["incoming"]
  readonly writable: Effect.Effect<void>
  readonly transmit: BoundSocket["transmit"]
  readonly close: Effect.Effect<void>

  private readonly socket: Socket
  private readonly inbox = new UdpInbox()
  private readonly errors: SendErrors
  private sent = 0
  private sentBytes = 0
  private closed = false
  /** Something waited in the process after the last send. */
  private full = false
  private lastSource: Address
  private lastRemote: Address | undefined = undefined
  private unreported = 0
  private largest = 0

  constructor(socket: Socket, options: BindOptions) {
    this.socket = socket
    this.addresses = options.addresses ?? new AddressBook()
    this.errors = new SendErrors(options.onSendError)
    const { address, port } = socket.address()
    this.local = this.addresses.intern(address, port)
    this.lastSource = this.local
    setBuffer((bytes) => socket.setRecvBufferSize(bytes), options.socketReceiveBuffer ?? defaultBuffer)
    setBuffer((bytes) => socket.setSendBufferSize(bytes), options.socketSendBuffer ?? defaultBuffer)
    socket.on("message", (message, source) => {
      let remote = this.lastSource
      if (source.port !== remote.port || source.address !== remote.host) {
        remote = this.addresses.intern(source.address, source.port)
        this.lastSource = remote
      }
      this.inbox.push(message, message.length, this.local, remote, 0)
    })
    socket.on("error", this.refused)
    this.pull = this.inbox.pull
    this.incoming = Stream.fromEffectRepeat(this.inbox.pull)
    const poll: Effect.Effect<void> = Effect.suspend(() =>
      this.retained ? Effect.andThen(Effect.sleep(1), poll) : Effect.void
    )
    this.writable = poll
    this.transmit = transmitAll(this, () => (this.closed ? socketClosed("send", this.local) : undefined))
    this.close = Effect.andThen(
      Effect.timeoutOption(poll, closeGrace),
      Effect.callback((resume) => {
        this.closed = true
        // What the system does not take in time is given up.
        const left = socket.getSendQueueCount()
        if (left > 0) this.refuse("EAGAIN", undefined, left)
        this.inbox.close(() => socketClosed("receive", this.local))
        socket.close(() => resume(Effect.void))
      })
    )
  }

  send = (transmit: Transmit): boolean => {
    const { bytes, remote } = transmit
    const length = bytes.length
    const segmentSize = segmentOf(transmit.segmentSize, length)
    const bad = this.reasonAgainst(remote)
    if (bad !== undefined) {
      this.refuse(bad, remote, datagramsIn(length, segmentSize))
      return !this.full
    }
    let report: typeof this.reported | undefined
    if (remote !== this.lastRemote || segmentSize > this.largest || ++this.unreported >= reportEvery) {
      report = this.reported
      this.lastRemote = remote
      this.unreported = 0
    }
    if (length <= segmentSize) {
      this.socket.send(bytes, remote.port, remote.host, report)
      this.sent++
    } else {
      for (let from = 0; from < length; from += segmentSize) {
        // The last one is asked about: when it went out, so did those before it.
        const to = from + segmentSize
        this.socket.send(bytes.subarray(from, to), remote.port, remote.host, to >= length ? report : undefined)
        this.sent++
      }
    }
    this.sentBytes += length
    this.full = this.socket.getSendQueueCount() > 0
    return !this.full
  }

  /** Why nothing can be sent there now. */
  private reasonAgainst({ port }: Address): string | undefined {
    if (this.closed) return "ERR_SOCKET_DGRAM_NOT_RUNNING"
    if (!(Number.isInteger(port) && port >= 1 && port <= 65_535)) return "EADDRNOTAVAIL"
    // Whoever does not heed that the socket is full must not fill the memory of the process.
    const over =
      this.full &&
      (this.socket.getSendQueueSize() > maxWaiting || this.socket.getSendQueueCount() > maxWaitingDatagrams)
    return over ? "EAGAIN" : undefined
  }

  get retained(): boolean {
    return !this.closed && this.socket.getSendQueueCount() > 0
  }

  get stats(): SocketStats {
    return {
      datagramsReceived: this.inbox.received,
      bytesReceived: this.inbox.receivedBytes,
      datagramsSent: this.sent,
      bytesSent: this.sentBytes,
      datagramsDropped: this.inbox.dropped,
      sendErrors: { ...this.errors.counts }
    }
  }

  /** For logs: not the memory of the socket. */
  toJSON(): unknown {
    return { _id: "BoundSocket", local: this.local.toString(), ...this.stats }
  }

  /** The result of a send, after the call. */
  private readonly reported = (error: Error | null, bytes: number): void => {
    if (error === null) {
      if (bytes > this.largest) this.largest = bytes
    } else if (!this.closed) {
      this.unreported = reportEvery
      this.refused(error)
    }
  }

  private readonly refused = (error: Error & { code?: string; address?: string; port?: number }): void => {
    const { address, port } = error
    this.refuse(
      error.code ?? error.name,
      address === undefined || port === undefined ? undefined : this.addresses.intern(address, port),
      1
    )
  }

  private refuse(code: string, remote: Address | undefined, datagrams: number): void {
    this.errors.add(code, remote, datagrams)
    this.errors.tell()
  }
}
