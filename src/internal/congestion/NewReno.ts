import type { ConnectionControllers, PathInfo } from "./Controller.ts"
import { LossBased } from "./LossBased.ts"
import type { Growth } from "./LossBased.ts"

/** RFC 9002 section 7.3.2. */
const LOSS_REDUCTION = 0.5

/** NewReno: one packet more for each window acknowledged, half of it for a loss (RFC 9002 sections 7.3.2, 7.3.3). */
export class Reno implements Growth {
  readonly name = "newReno"
  private readonly path: PathInfo
  private bytesAcked = 0
  private savedBytesAcked = 0

  constructor(path: PathInfo) {
    this.path = path
  }

  acked(window: number, bytes: number): number {
    this.bytesAcked += bytes
    if (this.bytesAcked < window) return window
    this.bytesAcked -= window
    return window + this.path.maxDatagramSize
  }

  reduced(window: number): number {
    this.bytesAcked = 0
    return window * LOSS_REDUCTION
  }

  paused(): void {}

  save(): void {
    this.savedBytesAcked = this.bytesAcked
  }

  restore(): void {
    this.bytesAcked = this.savedBytesAcked
  }

  reset(): void {
    this.bytesAcked = 0
  }
}

export const newReno = (): ConnectionControllers => ({ make: (path) => new LossBased(path, new Reno(path)) })
