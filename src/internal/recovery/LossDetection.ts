import type { Controller } from "../congestion/Controller.ts"
import type { DeliverySampler } from "../congestion/DeliverySampler.ts"
import type { CongestionEvents } from "./CongestionEvents.ts"
import type { PacketLedger } from "./PacketLedger.ts"
import type { ReorderingWindow } from "./ReorderingWindow.ts"
import type { RttEstimator } from "./RttEstimator.ts"
import { PacketFlag } from "./SentPackets.ts"
import type { SentPackets } from "./SentPackets.ts"

/** RFC 9002 section 7.6.1. */
const PERSISTENT_CONGESTION_THRESHOLD = 3

/** Which outstanding packets of a path are lost, and who has to know (RFC 9002 sections 6.1 and 7.6). */
export class LossDetection<P> {
  private readonly ledger: PacketLedger<P>
  private readonly rtt: RttEstimator
  private readonly reordering: ReorderingWindow
  private readonly congestion: CongestionEvents
  private readonly controller: Controller
  private readonly samples: DeliverySampler | undefined

  constructor(
    ledger: PacketLedger<P>,
    rtt: RttEstimator,
    reordering: ReorderingWindow,
    congestion: CongestionEvents,
    controller: Controller,
    samples: DeliverySampler | undefined
  ) {
    this.ledger = ledger
    this.rtt = rtt
    this.reordering = reordering
    this.congestion = congestion
    this.controller = controller
    this.samples = samples
  }

  /**
   * Walks `base` over what is settled, and declares lost what is too far or too long behind the largest acknowledged packet
   * (RFC 9002 section 6.1). Send times rise with the numbers, so the first packet that is not lost yet ends the walk.
   * `pto`: ms, without backoff.
   */
  detect(sp: SentPackets, space: number, now: number, pto: number): void {
    const { ledger, samples } = this
    const delay = this.reordering.lossDelay(pto)
    const packetThreshold = this.reordering.packetThreshold
    const largestAcked = sp.largestAcked
    let lostBytes = 0
    let newestSent = -Infinity
    let persistent = false
    sp.lossTime = Infinity
    while (sp.base < sp.next) {
      const n = sp.base
      const slot = n & sp.mask
      const flags = sp.flags[slot]!
      if ((flags & PacketFlag.outstanding) !== 0) {
        if (n > largestAcked) break
        const timeSent = sp.timeSent[slot]!
        // A skipped number between the two was never on its way.
        const skips = sp.lastSkipped > n && sp.lastSkipped < largestAcked ? 1 : 0
        if (largestAcked - n - skips < packetThreshold && timeSent + delay > now) {
          sp.lossTime = timeSent + delay
          break
        }
        const probe = ledger.lost(sp, space, n, now)
        // Neither an MTU probe (RFC 9000 section 14.4) nor a packet to an earlier address is a sign of congestion.
        if (!probe && (flags & PacketFlag.inFlight) !== 0) {
          const bytes = sp.size[slot]!
          lostBytes += bytes
          newestSent = timeSent
          if (samples !== undefined && sp.delivery !== undefined) {
            samples.onPacketLost(sp.delivery, slot, bytes, timeSent)
            this.controller.onPacketLost?.(now, n, bytes, samples)
          }
          if ((flags & PacketFlag.ackEliciting) !== 0 && timeSent > this.rtt.firstSampleTime) {
            if (sp.extendLossRun(timeSent, PERSISTENT_CONGESTION_THRESHOLD * pto)) persistent = true
          }
        }
      } else if ((flags & PacketFlag.acked) !== 0) {
        sp.lossRunStart = Number.NaN
      }
      sp.flags[slot] = 0
      sp.base++
    }
    if (lostBytes === 0) return
    this.congestion.onLost(now, newestSent, lostBytes)
    if (persistent) {
      this.rtt.resetMin()
      this.congestion.onPersistentCongestion(now)
    }
  }
}
