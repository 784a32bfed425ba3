/**
 * What each received frame does (RFC 9000 section 19, RFC 9221, draft-21 section 4): the dispatch from the frame reader to
 * the owners of the state.
 */
import { spaceOfLevel } from "../paths/Path.ts"
import type { Path } from "../paths/Path.ts"
import { varintLength } from "../wire/Cursor.ts"
import { sameAddress } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"
import { FrameReader, FRAMES_END, FRAMES_VIOLATION } from "../wire/FrameReader.ts"
import { FrameType, isAckEliciting, isMultipathFrame, isProbingFrame } from "../wire/FrameType.ts"
import { Level, RESET_TOKEN, TransportError, violation } from "../wire/Protocol.ts"
import type { Violation } from "../wire/Protocol.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { HandshakeFailure } from "./Handshake.ts"
import type { CloseInfo } from "./Machine.ts"

/** What the dispatch needs from the connection beyond its shared state. */
export interface FrameEvents {
  readonly onHandshakeFailure: (failure: HandshakeFailure) => void
  readonly onHandshakeDone: (now: number) => void
  /** Server: a client says again what it said in its first flight. */
  readonly onHandshakeRepeated: () => void
  readonly onPeerClose: (info: CloseInfo, now: number) => void
  readonly onPathValidated: (path: Path, now: number) => void
  /** A path that had gone silent is acknowledged again. */
  readonly onPathProven: (path: Path, now: number) => void
  readonly onNewToken: (token: Uint8Array) => void
}

/** One for all connections: a packet is read to its end before the next one starts, and its range table is large. */
const sharedReader = new FrameReader()

export class Frames {
  /** Of the packet that `process` read last. */
  ackEliciting = false
  /** It held nothing but probing frames and padding (RFC 9000 section 9.1). */
  probing = true
  /** Bytes of the datagram that the packet came in, as far as no answer counts on them yet. */
  datagramLength = 0
  private readonly core: ConnectionState
  private readonly events: FrameEvents
  private readonly reader = sharedReader

  constructor(core: ConnectionState, events: FrameEvents) {
    this.core = core
    this.events = events
  }

  /**
   * Reads the frames of one packet. `local` and `remote` are where its datagram came in; `idSequence` is the sequence number
   * of the connection ID it was sent to, `generation` that of its keys. `false`: stop, the connection is ending.
   */
  process(
    bytes: Uint8Array,
    start: number,
    end: number,
    level: Level,
    path: Path,
    local: Address,
    remote: Address,
    idSequence: number,
    generation: number,
    now: number
  ): boolean {
    const { core, reader } = this
    this.ackEliciting = false
    this.probing = true
    reader.reset(bytes, start, end, level, core.paths.multipath)
    for (let type = reader.next(); type !== FRAMES_END; type = reader.next()) {
      if (type === FRAMES_VIOLATION) {
        core.fail(violation(reader.errorCode, reader.errorReason, reader.type))
        return false
      }
      if (isAckEliciting(type)) this.ackEliciting = true
      if (this.probing && !isProbingFrame(type)) this.probing = false
      const problem =
        type >= FrameType.stream && type < FrameType.maxData
          ? this.onStream(path, now)
          : this.dispatch(type, level, path, local, remote, idSequence, generation, now)
      if (problem !== undefined) {
        core.fail(problem.frameType === 0 ? violation(problem.code, problem.reason, type) : problem)
        return false
      }
      if (!core.open) return false
    }
    return true
  }

  /** Whether all of a CRYPTO frame of the Initial level was read before. */
  private isRepeated(): boolean {
    const { dataLength, offset } = this.reader
    return dataLength > 0 && offset + dataLength <= this.core.handshake.stream(Level.initial).readOffset
  }

  private onStream(path: Path, now: number): Violation | undefined {
    const { reader } = this
    path.streamBytesReceived += reader.dataLength
    return this.core.streams.onStreamFrame(
      reader.streamId,
      reader.offset,
      reader.bytes,
      reader.dataStart,
      reader.dataLength,
      reader.fin,
      now
    )
  }

  private dispatch(
    type: number,
    level: Level,
    path: Path,
    local: Address,
    remote: Address,
    idSequence: number,
    generation: number,
    now: number
  ): Violation | undefined {
    const { core, reader } = this
    const { paths, streams } = core
    switch (type) {
      case FrameType.ping:
        return undefined
      case FrameType.ack:
      case FrameType.ackEcn:
        // ACK-1, ACK-3: in 1-RTT packets it means path 0.
        return this.onAck(paths.get(0), spaceOfLevel(level), level, path, remote, generation, now)
      case FrameType.pathAck:
      case FrameType.pathAckEcn:
        return (
          paths.checkPathId(reader.pathId, type) ??
          // ACK-6
          this.onAck(paths.get(reader.pathId), spaceOfLevel(level), level, path, remote, generation, now)
        )
      case FrameType.crypto: {
        if (level === Level.initial && core.role === "server" && this.isRepeated()) this.events.onHandshakeRepeated()
        const failure = core.handshake.onCrypto(level, reader.offset, reader.bytes, reader.dataStart, reader.dataLength)
        if (failure !== undefined) this.events.onHandshakeFailure(failure)
        return undefined
      }
      case FrameType.resetStream:
        return streams.onResetStream(reader.streamId, reader.code, reader.finalSize, now)
      case FrameType.stopSending:
        return streams.onStopSending(reader.streamId, reader.code)
      case FrameType.maxData:
        return streams.onMaxData(reader.limit)
      case FrameType.maxStreamData:
        return streams.onMaxStreamData(reader.streamId, reader.limit)
      case FrameType.maxStreamsBidi:
      case FrameType.maxStreamsUni:
        return streams.onMaxStreams(reader.bidirectional, reader.limit)
      case FrameType.dataBlocked:
        return streams.onDataBlocked(reader.limit)
      case FrameType.streamDataBlocked:
        return streams.onStreamDataBlocked(reader.streamId, reader.limit)
      case FrameType.streamsBlockedBidi:
      case FrameType.streamsBlockedUni:
        return streams.onStreamsBlocked(reader.bidirectional, reader.limit)
      case FrameType.newToken:
        if (core.role === "server") return violation(TransportError.protocolViolation, "a client sent NEW_TOKEN", type)
        this.events.onNewToken(reader.bytes.slice(reader.tokenStart, reader.tokenStart + reader.tokenLength))
        return undefined
      case FrameType.newConnectionId:
      case FrameType.pathNewConnectionId:
        return (
          paths.checkPathId(reader.pathId, type) ??
          paths.onNewConnectionId(
            reader.pathId,
            reader.sequence,
            reader.retirePriorTo,
            reader.bytes.subarray(reader.cidStart, reader.cidStart + reader.cidLength),
            reader.bytes.subarray(reader.tokenStart, reader.tokenStart + RESET_TOKEN)
          )
        )
      case FrameType.retireConnectionId:
      case FrameType.pathRetireConnectionId:
        return (
          paths.checkPathId(reader.pathId, type) ??
          paths.onRetireConnectionId(
            reader.pathId,
            reader.sequence,
            reader.pathId === path.id ? idSequence : -1,
            now + 3 * core.largestPto()
          )
        )
      case FrameType.pathChallenge:
        path.answers.respond(
          reader.bytes.slice(reader.dataStart, reader.dataStart + reader.dataLength),
          local,
          remote,
          idSequence,
          this.datagramLength
        )
        // Counted once, however many there are.
        this.datagramLength = 0
        return undefined
      case FrameType.pathResponse:
        // Section 19.18: an answer to nothing is ignored, since challenges of an attempt that is over may still be on their way.
        if (path.validation.onResponse(reader.bytes, reader.dataStart)) this.events.onPathValidated(path, now)
        return undefined
      case FrameType.handshakeDone:
        if (core.role === "server") {
          return violation(TransportError.protocolViolation, "a client sent HANDSHAKE_DONE", type)
        }
        this.events.onHandshakeDone(now)
        return undefined
      case FrameType.datagram:
      case FrameType.datagramWithLength:
        return this.onDatagram(type)
      case FrameType.addIpv4Address:
      case FrameType.addIpv6Address:
      case FrameType.removeAddress:
      case FrameType.reachOutIpv4:
      case FrameType.reachOutIpv6:
        return core.addresses.onAdvertisement(type, reader)
      case FrameType.observedIpv4Address:
      case FrameType.observedIpv6Address:
        return core.addresses.onReport(type, reader, path)
      case FrameType.connectionClose:
        this.events.onPeerClose(
          {
            kind: "transport",
            initiator: "peer",
            code: reader.code,
            reason: reader.reason(),
            frameType: reader.offendingType
          },
          now
        )
        return undefined
      case FrameType.applicationClose:
        this.events.onPeerClose(
          { kind: "application", initiator: "peer", code: reader.code, reason: reader.reason() },
          now
        )
        return undefined
      default:
        return isMultipathFrame(type)
          ? this.dispatchMultipath(type, now)
          : violation(TransportError.frameEncoding, `unknown frame type 0x${type.toString(16)}`, type)
    }
  }

  private dispatchMultipath(type: number, now: number): Violation | undefined {
    const { core, reader } = this
    const { paths } = core
    const { pathId } = reader
    switch (type) {
      case FrameType.maxPathId:
        // MPI-1
        if (reader.limit < (core.peer?.initialMaxPathId ?? 0)) {
          return violation(TransportError.protocolViolation, "MAX_PATH_ID below initial_max_path_id", type)
        }
        paths.onMaxPathId(reader.limit)
        return undefined
      case FrameType.pathsBlocked:
        return paths.onPathsBlocked(reader.limit, type)
    }
    const problem = paths.checkPathId(pathId, type)
    if (problem !== undefined) return problem
    switch (type) {
      case FrameType.pathAbandon:
        paths.onPathAbandon(pathId, reader.code, now, 3 * core.largestPto())
        return undefined
      case FrameType.pathStatusBackup:
        paths.onPathStatus(pathId, reader.sequence, "backup")
        return undefined
      case FrameType.pathStatusAvailable:
        paths.onPathStatus(pathId, reader.sequence, "available")
        return undefined
      default:
        return paths.onPathCidsBlocked(pathId, reader.sequence, type)
    }
  }

  private onAck(
    path: Path | undefined,
    space: number,
    level: Level,
    carrier: Path,
    remote: Address,
    generation: number,
    now: number
  ): Violation | undefined {
    if (path === undefined) return undefined
    const { core, reader } = this
    if (
      level === Level.oneRtt &&
      core.handshake.oneRtt?.onAckReceived(path.id, reader.largest, generation, now) === false
    ) {
      return violation(TransportError.keyUpdate, "an acknowledgement under older keys than what it acknowledges")
    }
    // RFC 9000 section 13.2.5: the delay of Initial and Handshake acknowledgements is not counted.
    const delay =
      level === Level.oneRtt && core.peer !== undefined ? (reader.ackDelay * 2 ** core.peer.ackDelayExponent) / 1000 : 0
    const { deliveredAt, maxAckDelay, ptoCount, pto } = path.recovery
    // One that came by another way than the path's says nothing about its RTT, nor does one that is told again long after
    // the packet came, because nothing got through before.
    const timely = delay <= (carrier === path ? maxAckDelay + pto : maxAckDelay)
    const samples = timely && sameAddress(remote, carrier.remote) && path.samplesFrom(carrier.id, now)
    const problem = path.recovery.onAck(space, reader, delay, now, samples)
    if (path.recovery.deliveredAt === deliveredAt) return problem
    path.provenAt = Math.max(path.provenAt, path.recovery.deliveredAt)
    const silent = ptoCount > 0 || (path.state === "potentiallyFailed" && !path.distrusted)
    if (silent && path.ptoCount === 0) this.events.onPathProven(path, now)
    return problem
  }

  private onDatagram(type: number): Violation | undefined {
    const { core, reader } = this
    // RFC 9221 section 3: the limit counts the whole frame.
    const limit = core.settings.maxDatagramFrameSize
    const lengthField = type === FrameType.datagramWithLength ? varintLength(reader.dataLength) : 0
    if (limit === 0 || 1 + lengthField + reader.dataLength > limit) {
      return violation(
        TransportError.protocolViolation,
        `DATAGRAM of ${reader.dataLength} bytes, allowed are ${limit}`,
        type
      )
    }
    core.datagrams.onReceived(reader.bytes, reader.dataStart, reader.dataLength)
    return undefined
  }
}
