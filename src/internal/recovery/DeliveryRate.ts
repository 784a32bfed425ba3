/**
 * How fast a path delivers: bytes acknowledged per round, the highest of the last rounds (the max filter of BBR,
 * draft-ietf-ccwg-bbr section 5.5, without its per-packet samples). A round lasts a round trip, and some ms at least: acknowledgements
 * come in bunches.
 */
const ROUNDS = 4
/** ms. */
const MIN_ROUND = 10
/** Of the window: what the first round must have delivered to tell anything. */
const FIRST_ROUND = 1 / 4

export class DeliveryRate {
  /** Bytes per ms; 0 until a round is over in which the window was full. */
  rate = 0
  /** Made by the first round: most connections are quiet. */
  private rounds: Float64Array | undefined = undefined
  private next = 0
  private bytes = 0
  private start = -Infinity
  private last = -Infinity

  /**
   * `appLimited`: the window, of so many bytes, was not in use, so what came says how much was sent, not how much could be. On a
   * new path that is true, too, of challenges and probes whose acknowledgements come when the window is full already.
   */
  onAcked(now: number, bytes: number, smoothedRtt: number, appLimited: boolean, window: number): void {
    const round = smoothedRtt > MIN_ROUND ? smoothedRtt : MIN_ROUND
    // After a rest the first acknowledgement only says when the next round begins.
    const rested = now - this.last > round
    this.last = now
    if (rested) {
      this.start = now
      this.bytes = 0
      return
    }
    this.bytes += bytes
    const elapsed = now - this.start
    if (elapsed < round) return
    this.add(this.bytes / elapsed, appLimited || (this.rate === 0 && this.bytes < FIRST_ROUND * window))
    this.start = now
    this.bytes = 0
  }

  /** Another address, another rate. */
  reset(): void {
    this.rate = this.next = this.bytes = 0
    this.start = this.last = -Infinity
    this.rounds = undefined
  }

  private add(sample: number, appLimited: boolean): void {
    // The first one neither: nobody would send much where little was sent.
    if (appLimited && (this.rate === 0 || sample < this.rate)) return
    const rounds = (this.rounds ??= new Float64Array(ROUNDS))
    rounds[this.next] = sample
    this.next = (this.next + 1) % ROUNDS
    let highest = 0
    for (let i = 0; i < ROUNDS; i++) if (rounds[i]! > highest) highest = rounds[i]!
    this.rate = highest
  }
}
