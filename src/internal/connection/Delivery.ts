/**
 * What became of sent packets: each record reaches the owner of what it stands for (RFC 9000 section 13.3).
 */
import { Space } from "../recovery/PathRecovery.ts"
import type { PathRecovery, RecoveryEvents } from "../recovery/PathRecovery.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import type { CryptoStream } from "../streams/CryptoStream.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import { schedulerName } from "./Policies.ts"

export class Delivery implements RecoveryEvents {
  private readonly core: ConnectionState

  constructor(core: ConnectionState) {
    this.core = core
  }

  frameAcked(recovery: PathRecovery, frame: SentFrame): void {
    const { core } = this
    switch (frame.kind) {
      case SentFrameKind.stream:
      case SentFrameKind.resetStream:
      case SentFrameKind.stopSending:
      case SentFrameKind.maxData:
      case SentFrameKind.maxStreamData:
      case SentFrameKind.maxStreams:
      case SentFrameKind.dataBlocked:
      case SentFrameKind.streamDataBlocked:
      case SentFrameKind.streamsBlocked:
        core.streams.onFrameAcked(frame)
        break
      case SentFrameKind.ack: {
        // RFC 9000 section 13.2.4: what the peer knows we received need not be repeated.
        const received =
          frame.space === Space.application
            ? core.paths.get(frame.pathId)?.recovery.received(Space.application)
            : recovery.received(frame.space)
        received?.onAckOfAck(frame.value)
        break
      }
      case SentFrameKind.crypto:
        ;(frame.owner as CryptoStream).onFrameAcked(frame)
        break
      case SentFrameKind.mtuProbe: {
        const path = core.paths.get(recovery.pathId)
        if (path === undefined) break
        path.discovery.onProbeAcked(frame.value)
        recovery.maxDatagramSize = path.mtu
        break
      }
      case SentFrameKind.newToken:
        core.newToken = undefined
        core.newTokenPending = false
        break
      case SentFrameKind.addAddress:
      case SentFrameKind.removeAddress:
      case SentFrameKind.observedAddress:
        core.addresses.onAcked(frame)
        break
      default:
        core.paths.frames.onAcked(frame)
    }
  }

  frameLost(recovery: PathRecovery, frame: SentFrame): void {
    const { core } = this
    if (core.copies !== undefined && core.copies.onFrameLost(recovery, frame)) return
    switch (frame.kind) {
      case SentFrameKind.stream:
      case SentFrameKind.resetStream:
      case SentFrameKind.stopSending:
      case SentFrameKind.maxData:
      case SentFrameKind.maxStreamData:
      case SentFrameKind.maxStreams:
      case SentFrameKind.dataBlocked:
      case SentFrameKind.streamDataBlocked:
      case SentFrameKind.streamsBlocked:
        core.streams.onFrameLost(frame)
        break
      case SentFrameKind.crypto:
        ;(frame.owner as CryptoStream).onFrameLost(frame)
        break
      case SentFrameKind.handshakeDone:
        core.handshakeDonePending = true
        break
      case SentFrameKind.mtuProbe:
        core.paths.get(recovery.pathId)?.discovery.onProbeLost(frame.value)
        break
      // Acknowledgements, PINGs, datagrams and path probes are not repeated as they were (RFC 9000 section 13.3).
      case SentFrameKind.ack:
      case SentFrameKind.ping:
      case SentFrameKind.datagram:
      case SentFrameKind.pathChallenge:
      case SentFrameKind.pathResponse:
        break
      case SentFrameKind.newToken:
        core.newTokenPending = core.newToken !== undefined
        break
      case SentFrameKind.addAddress:
      case SentFrameKind.removeAddress:
      case SentFrameKind.observedAddress:
        core.addresses.onLost(frame, core.paths.get(frame.pathId))
        break
      default:
        core.paths.frames.onLost(frame)
    }
  }

  packetAcked(recovery: PathRecovery, space: number, packetNumber: number, bytes: number): void {
    const { core } = this
    // RFC 9002 section 6.2.2.1: who acknowledges Handshake packets has validated our address.
    if (space === Space.handshake) recovery.peerAddressValidated = true
    const path = core.paths.get(recovery.pathId)
    if (path === undefined) return
    if (core.observers !== undefined) core.observers.packetAcked(path, bytes, core.now)
    if (space !== Space.application) return
    path.discovery.onPacketAcked(packetNumber, bytes)
    const given: unknown = core.scheduler.onPacketAcked?.(path, bytes)
    if (given !== undefined) core.mistakes.answerOfScheduler(schedulerName(core.scheduler), "onPacketAcked", given)
  }

  packetLost(recovery: PathRecovery, space: number, packetNumber: number, bytes: number): void {
    const { core } = this
    const path = core.paths.get(recovery.pathId)
    if (path === undefined) return
    if (core.observers !== undefined) core.observers.packetLost(path, bytes, core.now)
    if (space !== Space.application) return
    const { next } = recovery.sent(Space.application)!
    if (path.discovery.onPacketLost(packetNumber, bytes, next)) recovery.maxDatagramSize = path.mtu
    const given: unknown = core.scheduler.onPacketLost?.(path, bytes)
    if (given !== undefined) core.mistakes.answerOfScheduler(schedulerName(core.scheduler), "onPacketLost", given)
  }
}
