import { BbrModel, BETA } from "./BbrModel.ts"
import type { ConnectionControllers, Controller, DeliverySample, PathInfo } from "./Controller.ts"
import { minimumWindow } from "./Window.ts"

/** Where BBR is in its cycle (draft-ietf-ccwg-bbr section 5.1). */
export type BbrState = "startup" | "drain" | "probeDown" | "probeCruise" | "probeRefill" | "probeUp" | "probeRtt"

/** Which acknowledgements tell about what was sent while probing (section 2.14). */
const AckPhase = { init: 0, refilling: 1, probeStarting: 2, probeFeedback: 3, probeStopping: 4 } as const
type AckPhase = (typeof AckPhase)[keyof typeof AckPhase]

/** Gains of the rate and of the window over the path's bandwidth-delay product (section 5.6.1). */
const PACING_GAIN: Readonly<Record<BbrState, number>> = {
  startup: 2.77,
  drain: 0.5,
  probeDown: 0.9,
  probeCruise: 1,
  probeRefill: 1,
  probeUp: 1.25,
  probeRtt: 1
}
const CWND_GAIN = 2
const PROBE_UP_CWND_GAIN = 2.25
const PROBE_RTT_CWND_GAIN = 0.5
/** It is paced a little below the rate, so that queues drain. */
const PACING_MARGIN = 0.99
/** Runs of losses in one round that end Startup. */
const FULL_LOSS_RUNS = 6
const DRAIN_ROUNDS = 3
/** ms. */
const PROBE_RTT_DURATION = 200
const PROBE_WAIT = 2000
const PROBE_WAIT_RANDOM = 1000
/** Reno would have grown its window by a packet in each of so many rounds: then it is time to probe. */
const MAX_RENO_ROUNDS = 63
/** What CUBIC keeps of its window after a loss, and how fast it grows it again in packets and s (RFC 9438 section 4.1). */
const CUBIC_BETA = 0.7
const CUBIC_C = 0.4
/** Bytes in one burst (section 5.6.3). */
const MAX_QUANTUM = 65_536

/**
 * BBR version 3 (draft-ietf-ccwg-bbr): sends at the rate that the path was seen to deliver, probes now and then for more,
 * and keeps as much in flight as that rate needs. Bytes, ms, bytes per ms.
 *
 * The draft leaves ECN open, except that marks have to count as congestion: a round with a mark is answered like one with
 * losses, and a mark ends Startup and probing.
 */
export class Bbr implements Controller {
  readonly name = "bbr"
  /** 0 before there is a sample of the RTT: the pacer's default rate fits. */
  pacingRate = 0
  state: BbrState = "startup"
  readonly model: BbrModel
  private readonly path: PathInfo

  /** Once it is no longer fresh. A double from the start, like the others: the object keeps its shape. */
  private window = Number.NaN
  /** Nothing but the start has set the window. */
  private fresh = true
  private started = false
  private delivered = 0
  private bytesInFlight = 0
  /** Before the ACK that is handled now. */
  private priorInFlight = 0
  /** The last one, for what it says about now. */
  private sample: DeliverySample | undefined = undefined
  /** `delivered` when the flow began on this address. */
  private startDelivered = 0
  /** When the window was last used to the full. */
  private windowFullTime = -Infinity
  private cwndLimited = false

  private recoveryStart = Number.NaN
  private priorWindow = 0
  private marked = false
  private idleRestart = false
  private drainStartRound = 0

  private ackPhase: AckPhase = AckPhase.init
  private probeSample = false
  private priorProbeTooHigh = false
  private priorProbePrecautionary = false
  private roundsSinceProbe = 0
  private cycleStamp = 0
  private probeWait = 0
  private probeUpRounds = 0
  private probeUpAcked = 0
  private probeUpAckedPerPacket = Infinity

  private probeRttDoneStamp = Number.NaN
  private probeRttRoundDone = false

  /** What the last episode of losses changed. */
  private undoState: BbrState | undefined = undefined
  private undoBwShortterm = Infinity
  private undoInflightShortterm = Infinity
  private undoInflightLongterm = Infinity

  constructor(path: PathInfo) {
    this.path = path
    this.model = new BbrModel(path)
  }

  get congestionWindow(): number {
    // RFC 9002 section 7.2: the initial window follows the size.
    return this.fresh ? this.path.initialWindow : this.window
  }

  get slowStartThreshold(): number {
    return this.model.fullBwReached ? 0 : Infinity
  }

  onPacketSent(now: number, bytes: number, bytesInFlight: number): void {
    if (bytesInFlight === bytes && this.sample?.limitedNow === true) this.restartFromIdle(now)
    this.bytesInFlight = bytesInFlight
    if (bytesInFlight + this.path.maxDatagramSize > this.congestionWindow) this.windowFullTime = now
  }

  /** `onDelivered` says more. */
  onAcked(): void {}

  onDelivered(now: number, sample: DeliverySample): void {
    const { model } = this
    this.sample = sample
    this.delivered = sample.delivered
    this.priorInFlight = this.bytesInFlight
    this.bytesInFlight = sample.bytesInFlight
    this.cwndLimited = this.windowFullTime >= sample.sentTime
    if (!this.started) this.begin(now, sample)
    model.onSample(now, sample, this.congestionWindow)
    if (model.roundStart) this.roundsSinceProbe++
    if (this.state !== "startup" && this.state !== "probeRefill" && this.state !== "probeUp") {
      model.lowerBounds(this.congestionWindow)
    }
    model.checkFullBw(sample)
    this.checkStartupDone(sample)
    this.checkDrainDone(now)
    this.updateCycle(now, sample)
    model.updateMinRtt(now, sample.rtt)
    this.checkProbeRtt(now, sample)
    model.finish(sample)
    this.marked = false
    if (sample.sentTime > this.recoveryStart) this.leaveRecovery()
    this.setPacingRate(PACING_GAIN[this.state])
    this.setWindow(sample)
  }

  onPacketLost(now: number, packetNumber: number, bytes: number, sample: DeliverySample): void {
    const { model } = this
    this.delivered = sample.delivered
    // The losses of packets that left before the episode began belong to it.
    if (!(sample.sentTime <= this.recoveryStart)) this.enterRecovery(now)
    model.noteLoss(packetNumber, sample.delivered)
    if (!this.probeSample || !model.isInflightTooHigh(sample)) return
    this.onInflightTooHigh(now, model.inflightAtLoss(sample, bytes), sample.appLimited)
  }

  /** Losses were told one by one. */
  onCongestion(_now: number, _sentTime: number, _lostBytes: number, ecn: boolean): void {
    if (!ecn) return
    this.marked = true
    this.model.noteMark(this.delivered)
  }

  /** What a retransmission timeout is elsewhere (section 5.6.4.4). */
  onPersistentCongestion(): void {
    this.saveWindow()
    this.fresh = false
    this.window = minimumWindow(this.path.maxDatagramSize)
  }

  /** Section 5.5.11.2. */
  onSpuriousLoss(): void {
    const { model, undoState, state } = this
    this.restoreWindow()
    model.lossInRound = false
    model.resetFullBw()
    model.bwShortterm = Math.max(model.bwShortterm, this.undoBwShortterm)
    model.inflightShortterm = Math.max(model.inflightShortterm, this.undoInflightShortterm)
    model.inflightLongterm = Math.max(model.inflightLongterm, this.undoInflightLongterm)
    this.undoState = undefined
    if (undoState === "startup" && state !== "startup") {
      model.fullBwReached = false
      if (state !== "probeRtt") this.enterStartup()
    } else if (undoState === "probeUp" && state !== "probeUp" && state !== "probeRtt") this.startRefill()
    model.bw = Math.min(model.maxBw, model.bwShortterm)
  }

  reset(now: number): void {
    this.fresh = true
    this.started = false
    this.pacingRate = 0
    this.recoveryStart = this.probeRttDoneStamp = Number.NaN
    this.windowFullTime = -Infinity
    this.bytesInFlight = this.priorInFlight = this.priorWindow = 0
    this.marked = this.idleRestart = this.probeSample = false
    this.priorProbeTooHigh = this.priorProbePrecautionary = false
    this.ackPhase = AckPhase.init
    this.roundsSinceProbe = this.probeUpRounds = this.probeUpAcked = 0
    this.probeUpAckedPerPacket = Infinity
    this.undoState = undefined
    this.undoBwShortterm = this.undoInflightShortterm = this.undoInflightLongterm = Infinity
    this.model.reset(now)
    this.enterStartup()
  }

  close(): void {}

  /** The first acknowledgement: from now on the window is what the model makes of it. */
  private begin(now: number, sample: DeliverySample): void {
    this.window = this.congestionWindow
    this.fresh = false
    this.started = true
    this.startDelivered = sample.delivered - sample.newlyAcked
    this.model.reset(now)
  }

  /** Section 5.4.1. */
  private restartFromIdle(now: number): void {
    this.idleRestart = true
    this.model.restartAggregation(now)
    if (this.isProbingCycle) this.setPacingRate(1)
    else if (this.state === "probeRtt") this.checkProbeRttDone(now)
  }

  private get isProbingCycle(): boolean {
    const { state } = this
    return state === "probeDown" || state === "probeCruise" || state === "probeRefill" || state === "probeUp"
  }

  private enterStartup(): void {
    this.state = "startup"
  }

  /** Section 5.3.1.3, and marks. */
  private checkStartupDone(sample: DeliverySample): void {
    const { model } = this
    if (this.state !== "startup") return
    const lost =
      model.lossRoundStart &&
      !Number.isNaN(this.recoveryStart) &&
      model.lossRunsInRound >= FULL_LOSS_RUNS &&
      model.isInflightTooHigh(sample)
    if (!model.fullBwReached && (lost || (model.lossRoundStart && model.markInRound))) {
      this.undoState = "startup"
      model.fullBwReached = true
      model.inflightLongterm = Math.max(model.bdp(1, model.maxBw), model.inflightLatest)
    }
    if (!model.fullBwReached) return
    this.state = "drain"
    this.drainStartRound = model.round
  }

  private checkDrainDone(now: number): void {
    if (this.state !== "drain") return
    const { model } = this
    if (this.bytesInFlight <= this.inflight(1) || model.round > this.drainStartRound + DRAIN_ROUNDS) this.startDown(now)
  }

  private startDown(now: number): void {
    const { model } = this
    model.resetCongestionSignals()
    this.probeUpAckedPerPacket = Infinity
    this.roundsSinceProbe = this.path.random() < 0.5 ? 0 : 1
    this.probeWait = PROBE_WAIT + PROBE_WAIT_RANDOM * this.path.random()
    this.cycleStamp = now
    this.ackPhase = AckPhase.probeStopping
    model.startRound(this.delivered)
    this.state = "probeDown"
  }

  private startRefill(): void {
    const { model } = this
    model.resetShortterm()
    this.probeUpRounds = this.probeUpAcked = 0
    this.priorProbePrecautionary = false
    this.ackPhase = AckPhase.refilling
    model.startRound(this.delivered)
    this.state = "probeRefill"
  }

  private startUp(sample: DeliverySample): void {
    const { model } = this
    this.ackPhase = AckPhase.probeStarting
    model.startRound(this.delivered)
    model.resetFullBw()
    model.fullBw = sample.rate
    this.state = "probeUp"
    this.raiseSlope()
  }

  /** Section 5.3.3.9. */
  private updateCycle(now: number, sample: DeliverySample): void {
    const { model } = this
    if (!model.fullBwReached || this.adaptLongterm(now, sample) || !this.isProbingCycle) return
    switch (this.state) {
      case "probeDown":
        if (this.isTimeToProbe(now)) this.startRefill()
        else if (this.isTimeToCruise()) this.state = "probeCruise"
        return
      case "probeCruise":
        if (this.isTimeToProbe(now)) this.startRefill()
        return
      case "probeRefill":
        // A round at the estimated rate has filled the pipe.
        if (model.roundStart) {
          this.probeSample = true
          this.startUp(sample)
        }
        return
      case "probeUp":
        if (this.isTimeToGoDown(sample)) {
          this.priorProbeTooHigh = false
          this.startDown(now)
        }
    }
  }

  /** Settles what probing has shown. True if that decided the next state. */
  private adaptLongterm(now: number, sample: DeliverySample): boolean {
    const { model } = this
    if (this.ackPhase === AckPhase.probeStarting && model.roundStart) this.ackPhase = AckPhase.probeFeedback
    if (this.ackPhase === AckPhase.probeStopping && model.roundStart) {
      this.probeSample = false
      this.ackPhase = AckPhase.init
      if (this.isProbingCycle) {
        if (!sample.appLimited) model.advanceMaxBw()
        // A cautious probe met no loss: probe in earnest.
        if (this.priorProbePrecautionary && !this.priorProbeTooHigh) {
          this.startRefill()
          return true
        }
      }
    }
    if (this.marked && this.probeSample) {
      this.onInflightTooHigh(now, sample.inFlightAtSend, sample.appLimited)
      return true
    }
    if (model.isInflightTooHigh(sample) || model.inflightLongterm === Infinity) return false
    if (sample.inFlightAtSend > model.inflightLongterm) model.inflightLongterm = sample.inFlightAtSend
    if (this.state === "probeUp") this.raiseLongterm(sample)
    return false
  }

  private raiseSlope(): void {
    const growth = 2 ** this.probeUpRounds
    this.probeUpRounds = Math.min(this.probeUpRounds + 1, 30)
    this.probeUpAckedPerPacket = Math.max(this.congestionWindow / growth, this.path.maxDatagramSize)
  }

  private raiseLongterm(sample: DeliverySample): void {
    const { model } = this
    if (!this.cwndLimited || this.congestionWindow < model.inflightLongterm) return
    this.probeUpAcked += sample.newlyAcked
    if (this.probeUpAcked >= this.probeUpAckedPerPacket) {
      const packets = Math.floor(this.probeUpAcked / this.probeUpAckedPerPacket)
      this.probeUpAcked -= packets * this.probeUpAckedPerPacket
      model.inflightLongterm += packets * this.path.maxDatagramSize
    }
    if (model.roundStart) this.raiseSlope()
  }

  /** Once for each probe (section 5.5.10.2). */
  private onInflightTooHigh(now: number, inflight: number, appLimited: boolean): void {
    const { model } = this
    this.priorProbeTooHigh = true
    this.probeSample = false
    if (!appLimited) model.inflightLongterm = Math.max(inflight, BETA * this.targetInflight)
    if (this.state !== "probeUp") return
    this.undoState = "probeUp"
    this.startDown(now)
  }

  private get targetInflight(): number {
    return Math.min(this.model.bdp(1, this.model.bw), this.congestionWindow)
  }

  /**
   * The draft waits 2 to 3 s, which it chose for Reno at 25 Mbit/s and 30 ms (section 5.3.3.8.3). CUBIC, which answers the
   * losses of each probe, needs longer than that on long fat paths to be where it was: as long as it needs is waited (RFC 9438
   * section 4.2).
   */
  private isTimeToProbe(now: number): boolean {
    const packets = this.targetInflight / this.path.maxDatagramSize
    const cubicRecovery = 1000 * Math.cbrt((packets * (1 - CUBIC_BETA)) / CUBIC_C)
    if (now > this.cycleStamp + Math.max(this.probeWait, cubicRecovery)) return true
    return this.roundsSinceProbe >= Math.min(packets, MAX_RENO_ROUNDS)
  }

  private isTimeToCruise(): boolean {
    const { model, bytesInFlight } = this
    return bytesInFlight <= model.inflightWithHeadroom && bytesInFlight <= this.quantized(model.bdp(1, model.maxBw))
  }

  private isTimeToGoDown(sample: DeliverySample): boolean {
    const { model } = this
    // Before the ACK: after it there always is room below a bound that is the window too. A packet that does not fit counts.
    const reached = this.priorInFlight + this.path.maxDatagramSize > model.inflightLongterm
    if (this.priorProbeTooHigh && reached) {
      this.priorProbePrecautionary = true
      return true
    }
    if (this.cwndLimited && this.congestionWindow >= model.inflightLongterm) {
      // The bound, not the path, limits the rate.
      model.resetFullBw()
      model.fullBw = sample.rate
      return false
    }
    return model.fullBwNow
  }

  /** Section 5.3.4.3. */
  private checkProbeRtt(now: number, sample: DeliverySample): void {
    const { model } = this
    if (this.state !== "probeRtt" && model.probeRttExpired && !this.idleRestart) {
      this.saveWindow()
      this.state = "probeRtt"
      this.probeRttDoneStamp = Number.NaN
      this.ackPhase = AckPhase.probeStopping
      model.startRound(this.delivered)
    }
    if (this.state === "probeRtt") this.holdProbeRtt(now, sample)
    if (sample.newlyAcked > 0) this.idleRestart = false
  }

  private holdProbeRtt(now: number, sample: DeliverySample): void {
    const { model } = this
    sample.markAppLimited()
    if (Number.isNaN(this.probeRttDoneStamp)) {
      if (this.bytesInFlight > this.probeRttWindow) return
      this.probeRttDoneStamp = now + PROBE_RTT_DURATION
      this.probeRttRoundDone = false
      model.startRound(this.delivered)
      return
    }
    if (model.roundStart) this.probeRttRoundDone = true
    if (this.probeRttRoundDone) this.checkProbeRttDone(now)
  }

  private checkProbeRttDone(now: number): void {
    const { model } = this
    // NaN is not over.
    if (!(now > this.probeRttDoneStamp)) return
    model.probeRttStamp = now
    this.restoreWindow()
    model.resetShortterm()
    if (!model.fullBwReached) {
      this.enterStartup()
      return
    }
    this.startDown(now)
    this.state = "probeCruise"
  }

  private leaveRecovery(): void {
    this.recoveryStart = Number.NaN
    this.restoreWindow()
  }

  /**
   * An episode of losses begins. What it changes is saved here alone, not at the first loss of each round as well: the end of
   * a probe begins a round, and the next loss would save what the episode itself has reduced.
   */
  private enterRecovery(now: number): void {
    const { model } = this
    if (!Number.isNaN(this.recoveryStart)) this.leaveRecovery()
    this.saveWindow()
    this.recoveryStart = now
    this.undoState = undefined
    this.undoBwShortterm = model.bwShortterm
    this.undoInflightShortterm = model.inflightShortterm
    this.undoInflightLongterm = model.inflightLongterm
  }

  private saveWindow(): void {
    const held = !Number.isNaN(this.recoveryStart) || this.state === "probeRtt"
    this.priorWindow = held ? Math.max(this.priorWindow, this.congestionWindow) : this.congestionWindow
  }

  private restoreWindow(): void {
    this.window = Math.max(this.congestionWindow, this.priorWindow)
  }

  private setPacingRate(gain: number): void {
    const { model, path } = this
    if (model.bw === 0) return
    if (this.pacingRate === 0 && path.rtt.hasSample) {
      this.pacingRate = (PACING_GAIN.startup * path.initialWindow) / path.rtt.smoothed
    }
    const rate = gain * model.bw * PACING_MARGIN
    if (model.fullBwReached || rate > this.pacingRate) this.pacingRate = rate
  }

  private quantized(inflight: number): number {
    const { maxDatagramSize } = this.path
    const quantum = Math.max(Math.min(this.pacingRate, MAX_QUANTUM), 2 * maxDatagramSize)
    const bounded = Math.max(inflight, quantum, this.model.minPipe)
    return this.state === "probeUp" ? bounded + 2 * maxDatagramSize : bounded
  }

  private inflight(gain: number): number {
    return this.quantized(this.model.bdp(gain, this.model.bw))
  }

  private get probeRttWindow(): number {
    return Math.max(this.model.bdp(PROBE_RTT_CWND_GAIN, this.model.bw), this.model.minPipe)
  }

  /** Section 5.6.4. */
  private setWindow(sample: DeliverySample): void {
    const { model, state } = this
    const gain = state === "probeUp" ? PROBE_UP_CWND_GAIN : state === "probeRtt" ? PROBE_RTT_CWND_GAIN : CWND_GAIN
    const maxInflight = this.quantized(model.bdp(gain, model.bw) + model.aggregation)
    let window = this.congestionWindow
    if (model.fullBwReached) window = Math.min(window + sample.newlyAcked, maxInflight)
    else {
      const few = sample.delivered - this.startDelivered < this.path.initialWindow
      if (window < maxInflight || few) window += sample.newlyAcked
    }
    window = Math.max(window, model.minPipe)
    if (state === "probeRtt") window = Math.min(window, this.probeRttWindow)
    let cap = Infinity
    if (state === "probeRtt" || state === "probeCruise") cap = model.inflightWithHeadroom
    else if (this.isProbingCycle) cap = model.inflightLongterm
    cap = Math.max(Math.min(cap, model.inflightShortterm), model.minPipe)
    this.window = Math.min(window, cap)
  }
}

export const bbr = (): ConnectionControllers => ({ make: (path) => new Bbr(path) })
