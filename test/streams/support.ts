import type { ConnectionSettings } from "../../src/internal/Settings.ts"
import { SentFrameList, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import type { SentFrame } from "../../src/internal/recovery/SentFrames.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import type { PeerStreamLimits } from "../../src/internal/streams/StreamLimits.ts"
import { StreamTable } from "../../src/internal/streams/StreamTable.ts"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { FrameReader } from "../../src/internal/wire/FrameReader.ts"
import { FrameType, isStreamFrame } from "../../src/internal/wire/FrameType.ts"
import { Level } from "../../src/internal/wire/Protocol.ts"
import type { Role, Violation } from "../../src/internal/wire/Protocol.ts"

/** Content by offset, so that any byte in the wrong place shows. */
export const contentAt = (offset: number): number => (offset * 31 + (offset >>> 8) * 17 + (offset >>> 16)) & 0xff

export const content = (offset: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => contentAt(offset + at))

export const join = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(chunks))

/** The first offset at which the chunks differ from `content(from, ...)`; -1 if there is none. */
export const firstDifference = (chunks: ReadonlyArray<Uint8Array>, from = 0): number => {
  let offset = from
  for (const chunk of chunks) {
    for (const byte of chunk) {
      if (byte !== contentAt(offset)) return offset
      offset++
    }
  }
  return -1
}

export const settings = (overrides: Partial<ConnectionSettings> = {}): ConnectionSettings => ({
  idleTimeout: 30_000,
  handshakeTimeout: 10_000,
  keepAlive: 0,
  initialStreamWindow: 65_536,
  maxStreamWindow: 1_048_576,
  initialConnectionWindow: 131_072,
  maxConnectionWindow: 2_097_152,
  maxBidiStreams: 10,
  maxUniStreams: 10,
  streamSendBuffer: 65_536,
  datagramQueue: 16,
  maxDatagramFrameSize: 1200,
  initialMtu: 1200,
  maxMtu: 1452,
  mtuDiscovery: false,
  ecn: false,
  maxAckDelay: 25,
  ackDelayExponent: 3,
  activeConnectionIdLimit: 4,
  connectionIds: 4,
  maxPaths: 4,
  initialRtt: 333,
  maxPtoInterval: 2000,
  advertise: [],
  maxAdvertised: 0,
  scaledStart: false,
  addressDiscovery: "off",
  grease: false,
  ...overrides
})

/** What an end with these settings declares. */
export const limitsOf = (of: ConnectionSettings): PeerStreamLimits => ({
  initialMaxData: of.initialConnectionWindow,
  initialMaxStreamDataBidiLocal: of.initialStreamWindow,
  initialMaxStreamDataBidiRemote: of.initialStreamWindow,
  initialMaxStreamDataUni: of.initialStreamWindow,
  initialMaxStreamsBidi: of.maxBidiStreams,
  initialMaxStreamsUni: of.maxUniStreams
})

export interface Packet {
  readonly from: End
  readonly bytes: Uint8Array
  readonly frames: SentFrame | undefined
}

export interface SeenFrame {
  readonly type: number
  readonly streamId: number
  readonly offset: number
  readonly length: number
  readonly fin: boolean
  readonly limit: number
  readonly code: number
  readonly finalSize: number
}

/** One end: a table, and packets made of whatever it has to send. */
export class End {
  readonly table: StreamTable
  readonly finished: Array<Stream> = []
  rtt = 20
  private readonly list = new SentFrameList(new SentFramePool())

  constructor(role: Role, own: ConnectionSettings) {
    this.table = new StreamTable({
      role,
      settings: own,
      rtt: () => this.rtt,
      onStreamFinished: (stream) => this.finished.push(stream)
    })
  }

  /** The next packet, or undefined when there is nothing to send. */
  packet(now = 0, pathId = 0, size = 1200): Packet | undefined {
    const w = new ByteWriter(new Uint8Array(size + 50).fill(0xee), 25, size + 25)
    if (this.table.hasControl()) this.table.writeControl(w, this.list, now)
    if (this.table.hasData(pathId)) this.table.writeData(w, this.list, pathId)
    if (w.position > w.end) throw new Error("wrote beyond the end of the packet")
    const frames = this.list.detach()
    if (w.position === 25) {
      if (frames !== undefined) throw new Error("records without a packet")
      return undefined
    }
    return { from: this, bytes: w.bytes.slice(25, w.position), frames }
  }

  receive(packet: Packet, now = 0): Violation | undefined {
    const reader = new FrameReader()
    reader.reset(packet.bytes, 0, packet.bytes.length, Level.oneRtt, false)
    for (let type = reader.next(); type >= 0; type = reader.next()) {
      const wrong = this.frame(reader, type, now)
      if (wrong !== undefined) return wrong
    }
    if (reader.errorCode !== 0) throw new Error(`malformed: ${reader.errorReason}`)
    return undefined
  }

  acked(packet: Packet): void {
    for (let frame = packet.frames; frame !== undefined; frame = frame.next) this.table.onFrameAcked(frame)
  }

  lost(packet: Packet): void {
    for (let frame = packet.frames; frame !== undefined; frame = frame.next) this.table.onFrameLost(frame)
  }

  private frame(reader: FrameReader, type: number, now: number): Violation | undefined {
    const table = this.table
    if (isStreamFrame(type)) {
      const { streamId, offset, bytes, dataStart, dataLength, fin } = reader
      return table.onStreamFrame(streamId, offset, bytes, dataStart, dataLength, fin, now)
    }
    switch (type) {
      case FrameType.resetStream:
        return table.onResetStream(reader.streamId, reader.code, reader.finalSize, now)
      case FrameType.stopSending:
        return table.onStopSending(reader.streamId, reader.code)
      case FrameType.maxData:
        return table.onMaxData(reader.limit)
      case FrameType.maxStreamData:
        return table.onMaxStreamData(reader.streamId, reader.limit)
      case FrameType.maxStreamsBidi:
      case FrameType.maxStreamsUni:
        return table.onMaxStreams(reader.bidirectional, reader.limit)
      case FrameType.dataBlocked:
        return table.onDataBlocked(reader.limit)
      case FrameType.streamDataBlocked:
        return table.onStreamDataBlocked(reader.streamId, reader.limit)
      case FrameType.streamsBlockedBidi:
      case FrameType.streamsBlockedUni:
        return table.onStreamsBlocked(reader.bidirectional, reader.limit)
      default:
        throw new Error(`unexpected frame ${type}`)
    }
  }
}

/** The frames of a packet, in order. */
export const framesOf = (packet: Packet | undefined): Array<SeenFrame> => {
  const seen: Array<SeenFrame> = []
  if (packet === undefined) return seen
  const reader = new FrameReader()
  reader.reset(packet.bytes, 0, packet.bytes.length, Level.oneRtt, false)
  for (let type = reader.next(); type >= 0; type = reader.next()) {
    const stream = isStreamFrame(type)
    seen.push({
      type: stream ? FrameType.stream : type,
      streamId: reader.streamId,
      offset: reader.offset,
      length: stream ? reader.dataLength : 0,
      fin: stream && reader.fin,
      limit: reader.limit,
      code: reader.code,
      finalSize: reader.finalSize
    })
  }
  return seen
}

export const typesOf = (packet: Packet | undefined): Array<number> => framesOf(packet).map((frame) => frame.type)

/** A client and a server that know each other's limits. */
export const pair = (
  clientSettings: Partial<ConnectionSettings> = {},
  serverSettings: Partial<ConnectionSettings> = clientSettings
): { readonly client: End; readonly server: End } => {
  const ofClient = settings(clientSettings)
  const ofServer = settings(serverSettings)
  const client = new End("client", ofClient)
  const server = new End("server", ofServer)
  client.table.applyPeerParameters(limitsOf(ofServer))
  server.table.applyPeerParameters(limitsOf(ofClient))
  return { client, server }
}

/** Sends everything both ways, without loss, until both are quiet. */
export const settle = (one: End, other: End, now = 0): void => {
  for (let quiet = false; !quiet;) {
    quiet = true
    for (const from of [one, other]) {
      const to = from === one ? other : one
      for (let packet = from.packet(now); packet !== undefined; packet = from.packet(now)) {
        quiet = false
        const wrong = to.receive(packet, now)
        if (wrong !== undefined) throw new Error(wrong.reason)
        from.acked(packet)
      }
    }
  }
  one.table.flushWakes()
  other.table.flushWakes()
}
