/**
 * The shape of UDP sockets: what the runtime binds, pulls bursts from and sends transmits by.
 */
import type { Effect, Scope, Stream } from "effect"
import type { QuicError } from "../../QuicError.ts"
import type { Address, AddressBook, DatagramBurst, Transmit } from "../wire/Datagram.ts"

/**
 * What happened to a datagram that the system refused to send. Senders carry on: for QUIC it is a lost packet.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendError {
  /** The system's name: `EMSGSIZE`, `ENETUNREACH`, `ECONNREFUSED`, ... */
  readonly code: string
  /** Where the datagram was to go, when the system says so. */
  readonly remote: Address | undefined
}

/**
 * Counters of a socket since it was bound. Bytes are UDP payload.
 *
 * @category models
 * @since 0.1.0
 */
export interface SocketStats {
  readonly datagramsReceived: number
  readonly bytesReceived: number
  readonly datagramsSent: number
  readonly bytesSent: number
  /**
   * Datagrams that arrived and were dropped because the reader was too slow. What the kernel drops is counted in the native
   * lane (when the next datagram arrives), and not seen in the portable one.
   */
  readonly datagramsDropped: number
  /**
   * Refused sends by system code. The portable lane asks for the result of one transmit in 32 only (and of every one
   * that goes to another place or is bigger than before), so there the numbers are lower bounds.
   */
  readonly sendErrors: Readonly<Record<string, number>>
}

/**
 * Settings of one socket.
 *
 * @category configuration
 * @since 0.1.0
 */
export interface BindOptions {
  /** Kernel receive buffer in bytes. Default 4 MB; when the system grants less, what it grants. */
  readonly socketReceiveBuffer?: number | undefined
  /** Kernel send buffer in bytes. Default 4 MB. */
  readonly socketSendBuffer?: number | undefined
  /** Interns the addresses of this socket: share one book between the sockets of an endpoint. Default: a book of its own. */
  readonly addresses?: AddressBook | undefined
  /** Called when the system refuses a datagram. */
  readonly onSendError?: ((error: SendError) => void) | undefined
  /**
   * Insists on a lane; simulated sockets do not care. Default `auto`: the one that the Layer chose. `layer` can do both, the
   * other Layers fail with `BadConfig` when it is not theirs.
   */
  readonly lane?: "auto" | "portable" | "native" | undefined
}

/**
 * A bound UDP socket. It is closed by the scope of `bind`.
 *
 * @category models
 * @since 0.1.0
 */
export interface BoundSocket {
  /** The local address, with the real port. */
  readonly local: Address
  readonly addresses: AddressBook
  /**
   * There on a socket that is bound to a wildcard and tells of each datagram which local address it came to: whether that is
   * one of its own. Transmits from such an address (`Transmit.local`) leave from it. A socket without this has `local` alone.
   */
  readonly covers?: ((local: Address) => boolean) | undefined
  /**
   * Waits for datagrams: everything that arrived since the last pull, at most what a burst holds. The burst and its slab
   * are the caller's until the next pull. One reader at a time. Fails when the socket is closed.
   */
  readonly pull: Effect.Effect<DatagramBurst, QuicError>
  /** `pull` as a Stream, one burst an element; each is valid until the next is asked for. */
  readonly incoming: Stream.Stream<DatagramBurst, QuicError>
  /**
   * Takes a transmit now and sends each of its segments as a datagram. `false`: it was taken, but the socket is full:
   * send no more until `writable`. The transmit object may be reused at once, its bytes unless `retained`.
   */
  readonly send: (transmit: Transmit) => boolean
  /** Whether bytes of earlier transmits still wait in the process, so that their memory must not be reused yet. */
  readonly retained: boolean
  /** Waits until nothing waits in the process any more. */
  readonly writable: Effect.Effect<void>
  /** Sends transmits, waiting while the socket is full. Their bytes may be reused when it is done. */
  readonly transmit: (transmits: ReadonlyArray<Transmit>) => Effect.Effect<void, QuicError>
  /** Counters now. */
  readonly stats: SocketStats
}

/**
 * What binds UDP sockets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sockets {
  /**
   * Binds one local address; port 0 lets the system choose. Fails with `AddressInUse`, `AddressUnavailable` or
   * `SocketFailed`. A wildcard host works, but in the portable lane datagrams then do not tell which local address they
   * came to: use `bindAll` where that matters. The native lane knows, and its `::` stands for both families. The scope
   * closes the socket after the last packet is out.
   */
  readonly bind: (
    address: { readonly host: string; readonly port: number },
    options?: BindOptions
  ) => Effect.Effect<BoundSocket, QuicError, Scope.Scope>
  /** The IP addresses of this host now, loopback included. */
  readonly hosts: ReadonlyArray<string>
  /** Whether sockets bound with these options to a wildcard have `covers`. Without it they do not. */
  readonly wildcards?: ((options?: BindOptions) => Effect.Effect<boolean, QuicError>) | undefined
  readonly lane: "portable" | "native" | "simulated"
}
