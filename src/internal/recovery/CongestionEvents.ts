import type { Controller } from "../congestion/Controller.ts"
import type { LostPackets } from "./LostPackets.ts"
import type { ReorderingWindow } from "./ReorderingWindow.ts"

/**
 * Which losses belong to one congestion event (RFC 9002 section 7.3.2): those of packets that left before the last one was
 * answered say nothing new. When all packets of an event were acknowledged after all, it was none, and its reduction is
 * taken back, whatever else is still missing.
 */
export class CongestionEvents {
  private readonly controller: Controller
  private readonly reordering: ReorderingWindow
  /** The last event is about packets sent after `from`, up to `start`, when it was answered. */
  private from = -Infinity
  private start = -Infinity
  /** It was a loss, and not taken back. A mark is never spurious. */
  private mayBeSpurious = false

  constructor(controller: Controller, reordering: ReorderingWindow) {
    this.controller = controller
    this.reordering = reordering
  }

  /** Packets were declared lost; `newestSent` is when the newest of them left. */
  onLost(now: number, newestSent: number, bytes: number): void {
    if (this.begin(now, newestSent)) {
      this.mayBeSpurious = true
      this.reordering.onCongestionEvent()
    }
    this.controller.onCongestion(now, newestSent, bytes, false)
  }

  onPersistentCongestion(now: number): void {
    this.mayBeSpurious = false
    this.controller.onPersistentCongestion(now)
  }

  /** The peer counts more packets marked CE; the newest packet acknowledged with it left at `newestSent`. */
  onMarked(now: number, newestSent: number): void {
    if (this.begin(now, newestSent)) this.mayBeSpurious = false
    this.controller.onCongestion(now, newestSent, 0, true)
  }

  /** A lost packet that had left at `timeSent` was acknowledged after all; `lost` has those that are still missing. */
  onLate(now: number, timeSent: number, lost: LostPackets): void {
    if (!this.mayBeSpurious || timeSent <= this.from || timeSent > this.start) return
    if (lost.misses(this.from, this.start)) return
    this.mayBeSpurious = false
    this.start = this.from
    this.controller.onSpuriousLoss(now)
  }

  /** Another network is behind the path now. */
  reset(now: number): void {
    this.from = this.start = -Infinity
    this.mayBeSpurious = false
    this.controller.reset(now)
  }

  private begin(now: number, newestSent: number): boolean {
    if (newestSent <= this.start) return false
    this.from = this.start
    this.start = now
    return true
  }
}
