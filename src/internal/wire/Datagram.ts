/**
 * What travels between sockets and the machine: addresses, received bursts, transmits.
 */

/**
 * One end of a UDP path. Made by an `AddressBook`, which gives one object per value, so `===` is the fast comparison.
 *
 * @category models
 * @since 0.1.0
 */
export class Address {
  readonly host: string
  readonly port: number
  readonly family: 4 | 6
  /** `host|port`: equal exactly when the address is. */
  readonly key: string

  constructor(host: string, port: number, family: 4 | 6) {
    this.host = host
    this.port = port
    this.family = family
    this.key = `${host}|${port}`
  }

  toString(): string {
    return this.family === 6 ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`
  }
}

export const sameAddress = (a: Address, b: Address): boolean => a === b || a.key === b.key

/**
 * Interns addresses. Bounded: spoofed sources must not fill memory, so the book starts over when it is full. Objects from
 * before then differ in identity and not in `key`, which is why comparisons go through `sameAddress`.
 *
 * @category models
 * @since 0.1.0
 */
export class AddressBook {
  private readonly entries = new Map<string, Address>()
  private readonly limit: number

  /** Starts over when it holds `limit` addresses, a number; 4096 unless given. */
  constructor(limit = 4096) {
    this.limit = limit
  }

  intern(host: string, port: number, family: 4 | 6 = host.includes(":") ? 6 : 4): Address {
    const key = `${host}|${port}`
    const known = this.entries.get(key)
    if (known !== undefined) return known
    if (this.entries.size >= this.limit) this.entries.clear()
    const address = new Address(host, port, family)
    this.entries.set(key, address)
    return address
  }
}

/** ECN codepoints of the IP header (RFC 3168). */
export const Ecn = { notEct: 0, ect1: 1, ect0: 2, ce: 3 } as const

/**
 * Datagrams that arrived together, as columns over one slab. The receiver decrypts in place: the slab is theirs until the next pull.
 *
 * @category models
 * @since 0.1.0
 */
export interface DatagramBurst {
  /** The bytes of all. */
  slab: Uint8Array
  /** How many there are. */
  count: number
  /** Where each datagram starts in the slab, and how long it is, in bytes. */
  readonly offset: Int32Array
  readonly length: Int32Array
  /** ECN codepoint of each (RFC 3168). */
  readonly ecn: Uint8Array
  readonly local: Array<Address>
  readonly remote: Array<Address>
}

export const makeDatagramBurst = (capacity: number, slab: Uint8Array): DatagramBurst => ({
  slab,
  count: 0,
  offset: new Int32Array(capacity),
  length: new Int32Array(capacity),
  ecn: new Uint8Array(capacity),
  local: [],
  remote: []
})

/** Bytes of a transmit, at most: what an IPv4 packet holds. */
export const MAX_TRANSMIT = 65_507
/** Datagrams of one, at most: what every kernel with UDP_SEGMENT takes. */
export const MAX_SEGMENTS = 64

/**
 * One or more datagrams to the same place: every one `segmentSize` long, the last one possibly shorter.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transmit {
  local: Address
  remote: Address
  /** ECN codepoint of the IP header (RFC 3168): 0 none, 2 ECT(0). A number from 0 to 3. */
  ecn: number
  /** Bytes of each datagram but the last, which may be shorter. */
  segmentSize: number
  bytes: Uint8Array
}

/** Where the machine sends to: sockets, each of which may be full by itself. */
export interface TransmitSink {
  /** Packets of the next batch are built here. May be another buffer after each `send`, never during a batch. */
  readonly slab: Uint8Array
  /**
   * Takes a transmit. Its bytes are the sink's only during the call, unless the sink then gives another `slab`. `false`:
   * it was taken, but the socket that it leaves from is full now. The transmit object is reused by the caller.
   */
  send(transmit: Transmit): boolean
  /** Whether the socket of this local address is full: what can wait is not sent there until it has room. */
  isFull(local: Address): boolean
  /** Grows whenever a socket that was full has room again. */
  readonly room: number
}
