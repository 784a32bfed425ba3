/**
 * What sockets and encryption alone allow: the same number of packets of the same size as a transfer has, sealed in bursts,
 * sent, received and opened by the parts that the library uses, with acknowledgements at a given ratio, and no QUIC logic.
 * Same command line and JSON line as the other programs, for the modes `download` and `upload`; `--ack-every N` and
 * `--packet-bytes N` are its own.
 *
 * A fixed window keeps the kernel's buffers from overflowing; a packet lost all the same is made up for by another one.
 */
import { Effect, Layer } from "effect"
import type { Scope } from "effect"
import { NodeRuntime } from "@effect/platform-node"
import { makePacketBurst } from "../src/internal/crypto/PacketBurst.ts"
import { protect, unprotectHeaders } from "../src/internal/crypto/HeaderProtection.ts"
import type { Address, DatagramBurst, Transmit } from "../src/internal/wire/Datagram.ts"
import { PacketProtection, UdpSocket } from "../src/index.ts"
import type { QuicError } from "../src/index.ts"
import { fail, measureTransfer, readArguments, stdinClosed } from "./contract.ts"
import { laneLayer } from "./lanes.ts"

const options = readArguments()
const IMPL = `ceiling-${options.lane}`

/** First byte, connection ID of 8 bytes, packet number of 4. */
const PN_OFFSET = 9
const PN_LENGTH = 4
const TAG = 16

/** Of a packet: its header, its tag, and 4 bytes for the header of a STREAM frame. */
const OVERHEAD = PN_OFFSET + PN_LENGTH + TAG + 4

/** Packets in flight, and packets that leave together: as many as one call may carry. */
const WINDOW = 1024
const TRAIN = 44

/** An acknowledgement of one range, as the library sends it. */
const ACK_BYTES = 40

/** ms without progress after which what is in flight counts as lost. */
const STALL = 50

/** First bytes of the datagrams: a request in plain, and packets with a short header. */
const REQUEST = 0xc0
const SHORT = 0x43

interface Job {
  readonly packets: number
  readonly packetBytes: number
  readonly ackEvery: number
  readonly upload: boolean
}

const jobOf = (bytes: number, upload: boolean): Job => ({
  packets: Math.ceil(bytes / (options.packetBytes - OVERHEAD)),
  packetBytes: options.packetBytes,
  ackEvery: options.ackEvery,
  upload
})

const writeRequest = (job: Job): Uint8Array => {
  const view = new DataView(new ArrayBuffer(16))
  view.setUint8(0, REQUEST)
  view.setUint8(1, job.upload ? 1 : 0)
  view.setUint16(2, job.packetBytes)
  view.setFloat32(4, job.ackEvery)
  view.setUint32(8, job.packets)
  return new Uint8Array(view.buffer)
}

const readRequest = (bytes: Uint8Array): Job => {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return {
    upload: view.getUint8(1) === 1,
    packetBytes: view.getUint16(2),
    ackEvery: view.getFloat32(4),
    packets: view.getUint32(8)
  }
}

/** One side of a transfer: seals, sends, receives and opens. */
class Side {
  received = 0
  /** What the other side says that it has received. */
  acknowledged = 0
  private readonly socket: UdpSocket.BoundSocket
  private readonly key: PacketProtection.PacketKey
  private readonly headerKey: PacketProtection.HeaderKey
  private readonly outgoing = makePacketBurst(TRAIN, Buffer.alloc(128 * 1024, 0x5a))
  private readonly incoming = makePacketBurst(1024, new Uint8Array(0))
  private readonly transmit: Transmit
  /** Numbers of the two directions must differ: the key is the same. */
  private readonly pathId: number
  private nextNumber = 0

  constructor(
    protection: PacketProtection.PacketProtection,
    socket: UdpSocket.BoundSocket,
    remote: Address,
    pathId: 0 | 1
  ) {
    this.socket = socket
    this.pathId = pathId
    this.key = protection.packetKey("aes-128-gcm", new Uint8Array(16).fill(1), new Uint8Array(12).fill(2))
    this.headerKey = protection.headerKey("aes-128-gcm", new Uint8Array(16).fill(3))
    this.transmit = { local: socket.local, remote, ecn: 0, segmentSize: 0, bytes: this.outgoing.slab }
  }

  /** Sends `count` packets of `size` bytes, each of which carries `received`. `false`: the socket is full. */
  send(count: number, size: number): boolean {
    const burst = this.outgoing
    const slab = burst.slab
    for (let index = 0, at = 0; index < count; index++, at += size) {
      const number = this.nextNumber++
      slab[at] = SHORT
      burst.start[index] = at
      burst.pnOffset[index] = at + PN_OFFSET
      burst.pnLength[index] = PN_LENGTH
      burst.end[index] = at + size
      burst.pathId[index] = this.pathId
      burst.packetNumber[index] = number
      writeUint32(slab, at + PN_OFFSET, number)
      writeUint32(slab, at + PN_OFFSET + PN_LENGTH, this.received)
    }
    burst.count = count
    protect(burst, 0, count, this.key, this.headerKey)
    this.transmit.segmentSize = size
    this.transmit.bytes = slab.subarray(0, count * size)
    return this.socket.send(this.transmit)
  }

  /** Opens a burst, counts its packets and takes over what they acknowledge. */
  receive(datagrams: DatagramBurst): void {
    const burst = this.incoming
    burst.slab = datagrams.slab
    let count = 0
    for (let index = 0; index < datagrams.count; index++) {
      const at = datagrams.offset[index]!
      if (datagrams.slab[at] === REQUEST) continue
      burst.start[count] = at
      burst.pnOffset[count] = at + PN_OFFSET
      burst.end[count] = at + datagrams.length[index]!
      burst.pathId[count] = 1 - this.pathId
      count++
    }
    burst.count = count
    unprotectHeaders(burst, 0, count, this.headerKey)
    for (let index = 0; index < count; index++) {
      if (!this.key.open(burst, index)) fail("a packet did not open")
      this.acknowledged = Math.max(this.acknowledged, readUint32(datagrams.slab, burst.pnOffset[index]! + PN_LENGTH))
    }
    this.received += count
  }
}

const writeUint32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

const readUint32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

type Run<A> = Effect.Effect<A, QuicError.QuicError>

/** Sends the packets of the job until all have arrived. */
const sendAll = (socket: UdpSocket.BoundSocket, side: Side, job: Job): Run<void> => {
  let inFlight = 0
  let known = 0
  const fill: Run<void> = Effect.suspend(() => {
    while (inFlight + TRAIN <= WINDOW && side.acknowledged < job.packets) {
      const count = Math.min(TRAIN, Math.max(job.packets - side.acknowledged - inFlight, 0))
      if (count === 0) break
      inFlight += count
      if (!side.send(count, job.packetBytes)) return Effect.flatMap(socket.writable, () => fill)
    }
    return Effect.void
  })
  const watch: Effect.Effect<never> = Effect.suspend(() => {
    const before = side.acknowledged
    return Effect.flatMap(Effect.sleep(STALL), () => {
      if (before !== side.acknowledged) return watch
      inFlight = 0
      return Effect.andThen(Effect.ignore(fill), watch)
    })
  })
  const loop: Run<void> = Effect.suspend(() =>
    side.acknowledged >= job.packets
      ? Effect.void
      : Effect.flatMap(fill, () =>
          Effect.flatMap(socket.pull, (burst) => {
            side.receive(burst)
            inFlight = Math.max(0, inFlight - (side.acknowledged - known))
            known = side.acknowledged
            return loop
          })
        )
  )
  return Effect.raceFirst(loop, watch)
}

/** Takes the packets of the job and acknowledges them. */
const receiveAll = (socket: UdpSocket.BoundSocket, side: Side, job: Job): Run<void> => {
  let answered = 0
  const loop: Run<void> = Effect.flatMap(socket.pull, (burst) => {
    side.receive(burst)
    const done = side.received >= job.packets
    let due = Math.floor(side.received / job.ackEvery) - answered
    answered += due
    if (done && due === 0) due = 1
    while (due > 0) {
      const count = Math.min(due, TRAIN)
      side.send(count, ACK_BYTES)
      due -= count
    }
    return done ? Effect.void : loop
  })
  return loop
}

const bind = (
  host: string,
  port: number
): Effect.Effect<UdpSocket.BoundSocket, QuicError.QuicError, UdpSocket.UdpSocket | Scope.Scope> =>
  Effect.flatMap(Effect.service(UdpSocket.UdpSocket), (service) => service.bind({ host, port }))

const sendRequest = (socket: UdpSocket.BoundSocket, remote: Address, job: Job): void => {
  const bytes = writeRequest(job)
  socket.send({ local: socket.local, remote, ecn: 0, segmentSize: bytes.length, bytes })
}

/** One job after the other. What is left of the one before is dropped. */
const serve = Effect.gen(function* () {
  const protection = yield* PacketProtection.PacketProtection
  const socket = yield* bind(options.host, options.port)
  console.log("ready")
  const loop: Run<void> = Effect.flatMap(socket.pull, (burst) => {
    const at = burst.offset[0]!
    if (burst.slab[at] !== REQUEST) return loop
    const job = readRequest(burst.slab.slice(at, at + 16))
    const side = new Side(protection, socket, burst.remote[0]!, 1)
    return Effect.flatMap((job.upload ? receiveAll : sendAll)(socket, side, job), () => loop)
  })
  yield* Effect.raceFirst(loop, Effect.promise(stdinClosed))
}).pipe(Effect.scoped)

const request = Effect.gen(function* () {
  const protection = yield* PacketProtection.PacketProtection
  const socket = yield* bind(options.host, 0)
  const remote = socket.addresses.intern(options.host, options.port)
  const job = jobOf(options.bytes, options.mode === "upload")
  const side = new Side(protection, socket, remote, 0)
  const end = measureTransfer(IMPL, options.mode, options.bytes)
  sendRequest(socket, remote, job)
  yield* (job.upload ? sendAll : receiveAll)(socket, side, job)
  end({ stats: socket.stats, packets: job.packets, packetBytes: job.packetBytes, ackEvery: job.ackEvery })
}).pipe(Effect.scoped)

if (options.mode !== "download" && options.mode !== "upload") fail("--mode is download or upload here.")
NodeRuntime.runMain(
  Effect.provide(options.role === "server" ? serve : request, Layer.mergeAll(laneLayer(options.lane)))
)
