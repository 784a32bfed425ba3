/** An address as the machine compares it: `wire/Datagram.ts` has the class. */
interface AdvertisedAddress {
  readonly host: string
  readonly port: number
  readonly family: 4 | 6
  readonly key: string
}

/** Settings of a connection as the machine wants them: plain numbers, bytes and ms. Made from `QuicConfig`. */
export interface ConnectionSettings {
  /** ms; 0 turns it off. */
  readonly idleTimeout: number
  /** ms from the first packet until the handshake must be complete. */
  readonly handshakeTimeout: number
  /** ms between PINGs on a quiet connection; 0 turns it off. */
  readonly keepAlive: number
  /** Flow control: the first windows, and how far they may grow by themselves. */
  readonly initialStreamWindow: number
  readonly maxStreamWindow: number
  readonly initialConnectionWindow: number
  readonly maxConnectionWindow: number
  /** Streams the peer may have open at a time. */
  readonly maxBidiStreams: number
  readonly maxUniStreams: number
  /** Bytes written but not yet acknowledged above which `write` waits. */
  readonly streamSendBuffer: number
  /** Received datagrams kept for the application; the oldest goes when full. */
  readonly datagramQueue: number
  /** Largest DATAGRAM frame accepted; 0 turns datagrams off. */
  readonly maxDatagramFrameSize: number
  /** Bytes of a UDP payload: the first size, and where discovery stops. */
  readonly initialMtu: number
  readonly maxMtu: number
  readonly mtuDiscovery: boolean
  readonly ecn: boolean
  readonly maxAckDelay: number
  readonly ackDelayExponent: number
  readonly activeConnectionIdLimit: number
  /** Connection IDs that the peer has for each path, as far as its limit allows. */
  readonly connectionIds: number
  /** Most paths open at once; 0 or 1 leaves multipath unnegotiated. */
  readonly maxPaths: number
  /** Addresses of a server that its clients are told; port 0 stands for that of the connection. */
  readonly advertise: ReadonlyArray<AdvertisedAddress>
  /** Addresses of the peer that are kept when it advertises them; 0: this side takes no part. */
  readonly maxAdvertised: number
  /** A path opened beside a working one may start with a window that its RTT scales. */
  readonly scaledStart: boolean
  /** Reports of observed addresses: this side gives them, wants them. */
  readonly addressDiscovery: "off" | "send" | "receive" | "both"
  /** ms of RTT assumed before the first sample. */
  readonly initialRtt: number
  /** ms: the probe timeout of a silent path backs off up to here. */
  readonly maxPtoInterval: number
  /** Sends a transport parameter and version that mean nothing, to keep peers tolerant (RFC 9287, RFC 9000 section 18.1). */
  readonly grease: boolean
}
