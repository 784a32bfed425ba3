import type { ConnectionControllers, Controller, PathInfo } from "../../src/CongestionControl.ts"
import type { Violation } from "../../src/internal/wire/Protocol.ts"
import { PathRecovery, Space } from "../../src/internal/recovery/PathRecovery.ts"
import type { PathRecoveryOptions, RecoveryEvents } from "../../src/internal/recovery/PathRecovery.ts"
import { SentFrameKind, SentFrameList, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import type { SentFrame } from "../../src/internal/recovery/SentFrames.ts"
import { Address } from "../../src/internal/wire/Datagram.ts"

/** mulberry32: a small seeded generator, 0 up to 1. */
export const seeded = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A controller that records what it is told and holds still. */
export class SpyController implements Controller {
  readonly name = "spy"
  congestionWindow = 1e9
  pacingRate = 0
  slowStartThreshold = Infinity
  readonly calls: Array<string> = []
  onPacketSent(): void {}
  onAcked(now: number, bytes: number, largestSentTime: number, appLimited: boolean): void {
    this.calls.push(`acked ${now} ${bytes} ${largestSentTime}${appLimited ? " limited" : ""}`)
  }
  onCongestion(now: number, sentTime: number, lostBytes: number, ecn: boolean): void {
    this.calls.push(`congestion ${now} ${sentTime} ${lostBytes}${ecn ? " ecn" : ""}`)
  }
  onPersistentCongestion(now: number): void {
    this.calls.push(`persistent ${now}`)
  }
  onSpuriousLoss(now: number): void {
    this.calls.push(`spurious ${now}`)
  }
  reset(now: number): void {
    this.calls.push(`reset ${now}`)
  }
  close(): void {
    this.calls.push("close")
  }
  /** Calls whose name is one of those, since the last time. */
  take(...names: Array<string>): Array<string> {
    return this.calls.splice(0).filter((call) => names.includes(call.split(" ")[0]!))
  }
}

/** A recovery under test, with everything it reports. */
export class Bench {
  readonly pool = new SentFramePool()
  readonly list = new SentFrameList(this.pool)
  readonly controller = new SpyController()
  readonly log: Array<string> = []
  info: PathInfo | undefined
  readonly path: PathRecovery

  constructor(options: Partial<PathRecoveryOptions> = {}) {
    const log = this.log
    const events: RecoveryEvents = {
      frameAcked: (_path, frame) => void log.push(`frame acked ${frame.value}`),
      frameLost: (_path, frame) => void log.push(`frame lost ${frame.value}`),
      packetAcked: (_path, space, n) => void log.push(`acked ${space}:${n}`),
      packetLost: (_path, space, n) => void log.push(`lost ${space}:${n}`)
    }
    const controllers: ConnectionControllers = {
      make: (info) => {
        this.info = info
        return this.controller
      }
    }
    this.path = new PathRecovery({
      pathId: 0,
      local: new Address("10.0.0.1", 5000, 4),
      remote: new Address("10.9.0.1", 4433, 4),
      events,
      pool: this.pool,
      controllers,
      random: () => 0.999,
      initialRtt: 100,
      maxPtoInterval: 60_000,
      maxDatagramSize: 1200,
      scaledStart: false,
      localMaxAckDelay: 25,
      ecn: false,
      ...options
    })
    this.path.handshakeConfirmed = true
  }

  record(value: number, kind: SentFrameKind = SentFrameKind.stream): SentFrame {
    const frame = this.list.add(kind)
    frame.value = value
    return frame
  }

  /** Sends an ack-eliciting packet of 1200 bytes with one record that has the packet's number as value. */
  send(now: number, space: number = Space.application, bytes = 1200): number {
    const n = this.path.nextPacketNumber(space)
    this.record(n)
    this.path.onPacketSent(space, n, now, bytes, true, true, false, this.list.detach())
    return n
  }

  /** Sends an ACK-only packet. */
  sendAck(now: number, space: number = Space.application): number {
    const n = this.path.nextPacketNumber(space)
    this.record(n, SentFrameKind.ack)
    this.path.onPacketSent(space, n, now, 50, false, false, false, this.list.detach())
    return n
  }

  /** `ranges`: [smallest, largest] pairs, largest first. */
  ack(
    now: number,
    ranges: ReadonlyArray<readonly [number, number]>,
    options: { space?: number; delay?: number; rtt?: boolean; ecn?: readonly [number, number, number] } = {}
  ): Violation | undefined {
    const flat = Float64Array.from(ranges.flat())
    const [ect0, ect1, ce] = options.ecn ?? [0, 0, 0]
    const hasEcn = options.ecn !== undefined
    return this.path.onAck(
      options.space ?? Space.application,
      { ranges: flat, rangeCount: ranges.length, hasEcn, ect0, ect1, ce },
      options.delay ?? 0,
      now,
      options.rtt ?? true
    )
  }

  /** The log since the last time. */
  takeLog(): Array<string> {
    return this.log.splice(0)
  }
}
