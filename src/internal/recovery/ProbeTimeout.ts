import type { RttEstimator } from "./RttEstimator.ts"
import type { SentPackets } from "./SentPackets.ts"
import { Space } from "./Space.ts"

/** ms: one of several paths is probed this often at first, so that it is soon found again. */
const QUICK_INTERVAL = 500
/** Probe timeouts in a row for which that holds. */
const QUICK_PROBES = 16

/** What the probe timeout depends on: the part of a path's recovery state that it reads. */
export interface ProbeState {
  readonly rtt: RttEstimator
  readonly ptoCount: number
  readonly handshakeConfirmed: boolean
  readonly peerAddressValidated: boolean
  readonly amplificationBlocked: boolean
  readonly hasHandshakeKeys: boolean
  readonly maxAckDelay: number
  /** ms: the interval between probes backs off up to here. */
  readonly maxPtoInterval: number
  /** The connection has other paths. */
  readonly oneOfSeveral: boolean
}

/** When to probe a path that has gone silent (RFC 9002 section 6.2, appendix A.8). */
export class ProbeTimeout {
  /** Space that the last `deadline` is about. */
  space: number = Space.application
  /** ms; when anything last happened here: where the anti-deadlock timer starts. */
  lastActivity = 0
  private readonly state: ProbeState

  constructor(state: ProbeState) {
    this.state = state
  }

  /** Infinity if there is nothing to probe for, or nothing could be sent. */
  deadline(spaces: ReadonlyArray<SentPackets | undefined>): number {
    const state = this.state
    let deadline = Infinity
    // Others may still send again what is under way here.
    if (state.amplificationBlocked && !state.oneOfSeveral) return deadline
    for (let space = 0; space < spaces.length; space++) {
      const sp = spaces[space]
      if (sp === undefined || sp.ackElicitingOutstanding === 0) continue
      const application = space === Space.application
      // The peer may not be able to read 1-RTT packets yet.
      if (application && !state.handshakeConfirmed) continue
      const base = state.rtt.ptoBase(application ? state.maxAckDelay : 0)
      // What goes on being sent puts the timeout off only so far: on a dead path it would do so until the window is full.
      const at = Math.min(sp.lastAckElicitingTime, sp.waitingSince + base) + this.backedOff(base)
      if (at < deadline) {
        deadline = at
        this.space = space
      }
    }
    if (deadline === Infinity && !state.peerAddressValidated) {
      // The server may be stuck at its amplification limit: give it bytes (section 6.2.2.1).
      this.space = state.hasHandshakeKeys ? Space.handshake : Space.initial
      deadline = this.lastActivity + this.backedOff(state.rtt.ptoBase(0))
    }
    return deadline
  }

  /**
   * Doubles with every timeout in a row, up to a bound: an outage shorter than the idle timeout must not end the
   * connection. However slow the path is, the first timeout backs off (RFC 9002 section 6.2.1).
   */
  private backedOff(base: number): number {
    const { oneOfSeveral, maxPtoInterval, ptoCount } = this.state
    const quick = oneOfSeveral && ptoCount <= QUICK_PROBES && QUICK_INTERVAL < maxPtoInterval
    const interval = base * 2 ** (ptoCount < 30 ? ptoCount : 30)
    return Math.min(interval, Math.max(2 * base, quick ? QUICK_INTERVAL : maxPtoInterval))
  }
}
