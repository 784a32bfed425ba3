/** Packets marked before the path is known to carry marks (RFC 9000 appendix A.4). */
const TESTING_PACKETS = 10

export type EcnState = "testing" | "unknown" | "capable" | "failed"

/**
 * Whether a path carries ECN marks (RFC 9000 section 13.4.2, appendix A.4): the first packets are marked ECT(0), and
 * marking goes on only if the peer's counts account for them.
 */
export class EcnValidation {
  state: EcnState
  /** Whether to mark the next packet ECT(0). */
  marks: boolean
  private readonly enabled: boolean
  private testingSent = 0
  private testingLost = 0
  /** When the first marked packet of the test left. */
  private testingSince = Infinity
  /** By packet number space: marked packets sent, and the counts of the last acknowledgement that passed. */
  private readonly sent = [0, 0, 0]
  private readonly ect0 = [0, 0, 0]
  private readonly ce = [0, 0, 0]

  constructor(enabled: boolean) {
    this.enabled = enabled
    this.state = enabled ? "testing" : "failed"
    this.marks = enabled
  }

  /** Tests the path again: it leads elsewhere now. The peer's counts go on. */
  restart(): void {
    this.state = this.enabled ? "testing" : "failed"
    this.marks = this.enabled
    this.testingSent = this.testingLost = 0
    this.testingSince = Infinity
  }

  /** A packet marked ECT(0) was sent. */
  onSent(space: number, now: number): void {
    this.sent[space] = this.sent[space]! + 1
    if (this.state !== "testing") return
    if (this.testingSent === 0) this.testingSince = now
    if (++this.testingSent === TESTING_PACKETS) this.endTest()
  }

  /**
   * Nothing is acknowledged. It may be the marks, so a probe goes without them while they are not proven; after `period` ms
   * of the test it is over, however few packets were sent (RFC 9000 appendix A.4).
   */
  onProbeTimeout(now: number, period: number): void {
    if (this.state !== "testing") return
    if (now - this.testingSince >= period) this.endTest()
    else this.marks = false
  }

  /** Something was acknowledged: a test that goes on marks again. */
  onAnswered(): void {
    if (this.state === "testing") this.marks = true
  }

  /** A marked packet was lost. If all of the test are, something drops marked packets. */
  onLost(): void {
    if (this.state !== "unknown" && this.state !== "testing") return
    this.testingLost++
    if (this.state === "unknown" && this.testingLost >= this.testingSent) this.fail()
  }

  /**
   * An acknowledgement that raised the largest acknowledged number, and newly acknowledged `marked` marked packets. Others
   * must not be shown: reordered acknowledgements have old counts. Returns by how much the CE count rose.
   */
  onAck(space: number, marked: number, hasCounts: boolean, ect0: number, ect1: number, ce: number): number {
    if (this.state === "failed") return 0
    if (!hasCounts) {
      if (marked > 0) this.fail()
      return 0
    }
    const moreEct0 = ect0 - this.ect0[space]!
    const moreCe = ce - this.ce[space]!
    if (ect1 > 0 || moreEct0 < 0 || moreCe < 0 || moreEct0 + moreCe < marked || ect0 > this.sent[space]!) {
      this.fail()
      return 0
    }
    this.ect0[space] = ect0
    this.ce[space] = ce
    if (marked > 0 && this.state !== "capable") {
      this.state = "capable"
      this.marks = true
    }
    return moreCe
  }

  private endTest(): void {
    this.state = "unknown"
    this.marks = false
  }

  private fail(): void {
    this.state = "failed"
    this.marks = false
  }
}
