/**
 * Two endpoints on the simulator, driven directly: no Effect, no sockets. Thousands of runs in the time of one with real
 * clocks, and every run repeats from its seed.
 */
import type { Factory as CongestionFactory } from "../../src/CongestionControl.ts"
import type { PacketProtection } from "../../src/PacketProtection.ts"
import type { Factory as SchedulerFactory } from "../../src/PathScheduler.ts"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { CloseInfo, EndpointMachineOptions, PathEvent } from "../../src/internal/connection/Machine.ts"
import type { ConnectionSettings } from "../../src/internal/Settings.ts"
import { newReno } from "../../src/internal/congestion/NewReno.ts"
import { cubic } from "../../src/internal/congestion/Cubic.ts"
import { nodeProtection } from "../../src/internal/crypto/NodeProtection.ts"
import { Endpoint } from "../../src/internal/endpoint/Endpoint.ts"
import type { Factory as DuplicationFactory } from "../../src/internal/paths/DuplicationPolicy.ts"
import type { Factory as FailureFactory } from "../../src/internal/paths/FailurePolicy.ts"
import type { Factory as ObserverFactory } from "../../src/internal/paths/Observer.ts"
import type { Factory as ReinjectionFactory } from "../../src/internal/paths/ReinjectionPolicy.ts"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import { roundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import { insecure } from "../../src/internal/tls/certificates/Trust.ts"
import { ed25519FromSeed, issueCertificate } from "../../src/internal/tls/certificates/IssueCertificate.ts"
import type { Identity } from "../../src/internal/tls/Identity.ts"
import { makeTlsEngine } from "../../src/internal/tls/OwnTls.ts"
import type { TlsEngine, TlsSessionOptions } from "../../src/internal/tls/TlsSession.ts"
import type { Address, DatagramBurst, Transmit, TransmitSink } from "../../src/internal/wire/Datagram.ts"
import { isViolation } from "../../src/internal/wire/Protocol.ts"
import type { Role } from "../../src/internal/wire/Protocol.ts"
import { decodeTransportParameters, encodeTransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import type { TransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import { make as seededBytes } from "../../src/testing/SeededRandom.ts"
import { Simulator } from "../../src/testing/internal/SimulatorCore.ts"
import type { Attachment, SimLink, DuplexOptions, SimTimer } from "../../src/testing/internal/SimulatorCore.ts"

export { cubic, lowLatency, newReno, roundRobin }

export const defaultSettings: ConnectionSettings = {
  idleTimeout: 30_000,
  handshakeTimeout: 10_000,
  keepAlive: 0,
  initialStreamWindow: 512 * 1024,
  maxStreamWindow: 16 * 1024 * 1024,
  initialConnectionWindow: 768 * 1024,
  maxConnectionWindow: 24 * 1024 * 1024,
  maxBidiStreams: 100,
  maxUniStreams: 100,
  streamSendBuffer: 1024 * 1024,
  datagramQueue: 128,
  maxDatagramFrameSize: 65_535,
  initialMtu: 1200,
  maxMtu: 1452,
  mtuDiscovery: true,
  ecn: true,
  maxAckDelay: 25,
  ackDelayExponent: 3,
  activeConnectionIdLimit: 4,
  connectionIds: 4,
  maxPaths: 0,
  advertise: [],
  maxAdvertised: 0,
  scaledStart: false,
  addressDiscovery: "off",
  initialRtt: 333,
  maxPtoInterval: 2000,
  grease: true
}

const key = ed25519FromSeed(new Uint8Array(32).fill(7))
/** Ed25519, so that signatures, and with them runs, repeat to the byte. */
export const identity: Identity = {
  certificates: [
    issueCertificate({
      key,
      subject: "server.test",
      names: ["server.test"],
      notBefore: 0,
      notAfter: 4_000_000_000_000,
      random: seededBytes(1)
    }).certificate
  ],
  privateKey: key
}

export interface NodeOptions {
  readonly settings?: Partial<ConnectionSettings> | undefined
  readonly scheduler?: SchedulerFactory | undefined
  readonly congestion?: CongestionFactory | undefined
  readonly duplication?: DuplicationFactory | undefined
  readonly reinjection?: ReinjectionFactory | undefined
  readonly failures?: FailureFactory | undefined
  readonly observers?: ReadonlyArray<ObserverFactory> | undefined
  readonly protection?: PacketProtection | undefined
  /** Of a server, in place of `identity`. */
  readonly identity?: Identity | undefined
  /** Changes the transport parameters that are sent: peers that are wrong, or that know more than we do. */
  readonly parameters?: ((parameters: TransportParameters) => TransportParameters) | undefined
  /**
   * Sockets that are full after so many transmits, for so many ms: that of each address by itself, or of one of them only.
   * Default: they are never full.
   */
  readonly socket?:
    | {
        readonly transmits: number
        readonly wait: number
        readonly host?: string | undefined
        /** Not again after so many more. */
        readonly once?: boolean | undefined
      }
    | undefined
  /** Bytes of the sink's slab: with few of them packets leave one by one, in the middle of what is to be sent. */
  readonly slab?: number | undefined
  readonly maxConnections?: number | undefined
  readonly maxHandshakes?: number | undefined
  readonly resetKey?: Uint8Array | undefined
  readonly retry?: EndpointMachineOptions["retry"] | undefined
  readonly tokenKey?: Uint8Array | undefined
  /** ms. */
  readonly tokenLifetime?: number | undefined
  readonly sessionTickets?: boolean | undefined
  /** Of what is random in it. Default: that of the simulator; a second client needs another one. */
  readonly seed?: number | undefined
}

/** Sees each datagram before it is on the link: `false` loses it. Bytes are only good during the call. */
export type Tap = (datagram: Uint8Array, from: Address, to: Address, now: number, ecn: number) => boolean

const withParameters = (engine: TlsEngine, role: Role, change: NodeOptions["parameters"]): TlsEngine => {
  if (change === undefined) return engine
  const changed = <A extends TlsSessionOptions>(options: A): A => ({
    ...options,
    transportParameters: () => {
      const { transportParameters: own } = options
      const parameters = decodeTransportParameters(typeof own === "function" ? own() : own, role)
      if (isViolation(parameters)) throw new Error(parameters.reason)
      return encodeTransportParameters(change(parameters))
    }
  })
  const { client, server } = engine
  return {
    client: (options) => client(changed(options)),
    server: server === undefined ? undefined : (options) => server(changed(options))
  }
}

/** Transmits of one batch that may still come after the socket said that it is full. */
const MAX_LATE = 16

/** One endpoint with its addresses on the simulator. */
export class Node {
  readonly endpoint: Endpoint
  readonly addresses: ReadonlyArray<Address>
  readonly accepted: Array<Connection> = []
  readonly closes: Array<CloseInfo> = []
  readonly events: Array<PathEvent> = []
  /** Client: tokens to come back with, as they came. */
  readonly tokens: Array<Uint8Array> = []
  readonly tickets: Array<Uint8Array> = []
  /** What parts that users give did wrong, as the application is told. */
  readonly told: Array<string> = []
  /** Connections may end by a defect: the scenario is about that. */
  defects = false
  /** What parts threw while a client was accepted. */
  readonly refusals: Array<unknown> = []
  /** When its sockets are full; transmits are counted from when it is set. */
  socket: NodeOptions["socket"]
  /** Called for each datagram that this node sends. */
  tap: Tap | undefined = undefined
  private readonly simulator: Simulator
  private readonly attachments: Array<Attachment> = []
  private readonly sink: TransmitSink
  private readonly timer: SimTimer
  private wakeSet = false
  /** Transmits of each address, and since it said that it is full. */
  private readonly sockets = new Map<string, { transmits: number; full: boolean; late: number }>()
  private gone = false
  private lastTimer = -1
  private sameInstant = 0

  constructor(simulator: Simulator, hosts: ReadonlyArray<string>, port: number, server: boolean, options: NodeOptions) {
    this.simulator = simulator
    this.socket = options.socket
    const seed = options.seed ?? simulator.seed
    const random = seededBytes(seed * 2 + (server ? 1 : 0))
    const scramble = seededBytes(seed * 2 + 1000 + (server ? 1 : 0))
    this.endpoint = new Endpoint({
      settings: { ...defaultSettings, ...options.settings },
      tls: withParameters(
        makeTlsEngine({
          random,
          verifyServer: insecure(),
          ...(server ? { identity: options.identity ?? identity } : {})
        }),
        server ? "server" : "client",
        options.parameters
      ),
      serveAlpn: server ? ["test"] : [],
      protection: options.protection ?? nodeProtection,
      policies: {
        scheduler: options.scheduler ?? deliveryRate,
        congestion: options.congestion ?? cubic,
        duplication: options.duplication,
        reinjection: options.reinjection,
        failures: options.failures,
        observers: options.observers
      },
      random,
      randomNumber: () => (scramble(1)[0]! * 256 + scramble(1)[0]!) / 65_536,
      wallTime: () => 1_000_000_000_000 + simulator.now,
      maxConnections: options.maxConnections ?? 10_000,
      maxHandshakes: options.maxHandshakes ?? 1_000,
      resetKey: options.resetKey,
      retry: options.retry ?? "busy",
      tokenKey: options.tokenKey,
      tokenLifetime: options.tokenLifetime ?? 86_400_000,
      sessionTickets: options.sessionTickets ?? true,
      onDefect: (cause) => this.refusals.push(cause),
      onWake: () => this.wake(),
      onConnection: (connection) => {
        this.accepted.push(connection as Connection)
        this.listen(connection as Connection)
      }
    })
    this.addresses = hosts.map((host) => simulator.addresses.intern(host, port))
    for (const address of this.addresses) {
      this.attachments.push(simulator.attach(address, (burst: DatagramBurst, now) => this.endpoint.receive(burst, now)))
    }
    const slab = new Uint8Array(options.slab ?? 131_072)
    let room = 0
    this.sink = {
      slab,
      get room() {
        return room
      },
      isFull: (local) => this.sockets.get(local.key)?.full === true,
      send: (transmit) => {
        if (this.tap === undefined) simulator.send(transmit)
        else this.sendTapped(transmit, this.tap)
        const { socket } = this
        const { local } = transmit
        if (socket === undefined || (socket.host !== undefined && socket.host !== local.host)) return true
        let state = this.sockets.get(local.key)
        if (state === undefined) this.sockets.set(local.key, (state = { transmits: 0, full: false, late: 0 }))
        // What was sealed together leaves together; nothing new may follow.
        if (state.full && ++state.late > MAX_LATE) throw new Error("more transmits for a socket that said it was full")
        if (state.full || ++state.transmits % socket.transmits !== 0) return !state.full
        if (socket.once === true && state.transmits > socket.transmits) return true
        state.full = true
        state.late = 0
        simulator.at(simulator.now + socket.wait, () => {
          state.full = false
          room++
          this.flush()
        })
        return false
      }
    }
    this.timer = simulator.timer((now) => {
      // A deadline that nothing moves on would stop time itself.
      this.sameInstant = now === this.lastTimer ? this.sameInstant + 1 : 0
      if (this.sameInstant > 1000)
        throw new Error(`timer of the ${server ? "server" : "client"} stands still at ${now}`)
      this.lastTimer = now
      this.endpoint.onTimeout(now)
      this.flush()
    })
  }

  /** Sends what is waiting, and sets the timer. */
  flush(): void {
    this.wakeSet = false
    if (!this.gone) this.endpoint.poll(this.simulator.now, this.sink)
    const next = this.endpoint.nextTimeout()
    if (next === Infinity) this.timer.clear()
    else this.timer.set(Math.max(next, this.simulator.now))
  }

  listen(connection: Connection): void {
    connection.listener = {
      onEstablished: () => {},
      onConfirmed: () => {},
      onPath: (event) => this.events.push(event),
      onMistake: (sentence) => this.told.push(sentence),
      onKept: (kind, bytes) => (kind === "token" ? this.tokens : this.tickets).push(bytes),
      onClosed: (info) => {
        this.closes.push(info)
        // The endpoint shields itself from defects of a connection; a scenario must not.
        if (info.kind === "internal" && !this.defects) {
          this.simulator.at(this.simulator.now, () => {
            throw info.cause
          })
        }
      },
      onDiscarded: () => {}
    }
  }

  /** Is gone from one moment to the next: nothing is received or sent any more. */
  vanish(): void {
    for (const attachment of this.attachments) attachment.close()
    this.gone = true
    this.timer.clear()
  }

  /** A connection more, to the first address of `server`. */
  connect(server: Node, alpn: ReadonlyArray<string> = ["test"], token?: Uint8Array, ticket?: Uint8Array): Connection {
    const connection = this.endpoint.connect(
      { local: this.addresses[0]!, remote: server.addresses[0]!, serverName: "server.test", alpn, token, ticket },
      this.simulator.now
    )
    this.listen(connection)
    return connection
  }

  private sendTapped(transmit: Transmit, tap: Tap): void {
    const { bytes, segmentSize } = transmit
    for (let from = 0; from < bytes.length; from += segmentSize) {
      const datagram = bytes.subarray(from, Math.min(bytes.length, from + segmentSize))
      if (tap(datagram, transmit.local, transmit.remote, this.simulator.now, transmit.ecn)) {
        this.simulator.send({ ...transmit, segmentSize: datagram.length, bytes: datagram })
      }
    }
  }

  private wake(): void {
    if (this.wakeSet) return
    this.wakeSet = true
    this.simulator.at(this.simulator.now, () => this.flush())
  }
}

export interface PairOptions {
  readonly seed?: number | undefined
  readonly links?: ReadonlyArray<DuplexOptions> | undefined
  readonly client?: NodeOptions | undefined
  readonly server?: NodeOptions | undefined
  readonly onTrace?: ((line: string) => void) | undefined
}

/** A client with one address per link, a server with one address, and a connection between them on the first link. */
export class Pair {
  readonly simulator: Simulator
  readonly client: Node
  readonly server: Node
  readonly links: ReadonlyArray<SimLink>
  readonly connection: Connection

  constructor(options: PairOptions = {}) {
    const links = options.links ?? [{ mbps: 40, delay: 10, queue: 100 }]
    this.simulator = new Simulator({ seed: options.seed ?? 1, onTrace: options.onTrace })
    const hosts = links.map((_, i) => `10.0.${i}.1`)
    this.links = links.map((link, i) => this.simulator.link(hosts[i]!, "10.9.0.1", link))
    this.server = new Node(this.simulator, ["10.9.0.1"], 4433, true, options.server ?? {})
    this.client = new Node(this.simulator, hosts, 5000, false, options.client ?? {})
    this.connection = this.client.endpoint.connect(
      {
        local: this.client.addresses[0]!,
        remote: this.server.addresses[0]!,
        serverName: "server.test",
        alpn: ["test"]
      },
      0
    )
    this.client.listen(this.connection)
  }

  get accepted(): Connection {
    return this.server.accepted[0]!
  }

  run(until: number): void {
    this.simulator.run(until)
  }

  /** Runs in small steps until a condition holds; gives the time, or -1 if it never did. */
  until(condition: () => boolean, limit: number, step = 1): number {
    while (!condition()) {
      if (this.simulator.now >= limit) return -1
      this.simulator.run(this.simulator.now + step)
    }
    return this.simulator.now
  }
}

/** Bytes of a stream position: what is sent can be checked without being kept. */
export const byteAt = (offset: number): number => (offset * 31 + (offset >>> 8) * 17 + (offset >>> 16)) & 0xff

export const pattern = (from: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = byteAt(from + i)
  return bytes
}

/** Writes `total` bytes of the pattern and FIN, as fast as the buffer takes them. */
export const pump = (connection: Connection, stream: Stream, total: number): void => {
  let written = 0
  const step = (): void => {
    while (written < total) {
      const room = Math.min(stream.writableBytes, total - written, 65_536)
      if (room <= 0) {
        stream.writeWaiter = step
        break
      }
      stream.write(pattern(written, room))
      written += room
    }
    if (written === total) {
      written++
      stream.finish()
    }
    connection.wake()
  }
  step()
}

/** Reads a stream to its end, checking each byte. */
export class Drain {
  received = 0
  finished = false
  wrong = -1
  private readonly connection: Connection
  private readonly stream: Stream

  constructor(connection: Connection, stream: Stream) {
    this.connection = connection
    this.stream = stream
    this.step()
  }

  private step = (): void => {
    for (let bytes = this.stream.read(); bytes !== undefined; bytes = this.stream.read()) {
      for (let i = 0; i < bytes.length; i++) {
        if (bytes[i] !== byteAt(this.received + i) && this.wrong < 0) this.wrong = this.received + i
      }
      this.received += bytes.length
    }
    this.connection.wake()
    if (this.stream.isFinished) this.finished = true
    else this.stream.readWaiter = this.step
  }
}
