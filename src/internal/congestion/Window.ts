/** Windows that the algorithms share, in bytes (RFC 9002 section 7.2). */

/** Window of a new path. */
export const initialWindow = (maxDatagramSize: number): number =>
  Math.min(10 * maxDatagramSize, Math.max(14_720, 2 * maxDatagramSize))

/** ms: a window of a new path that is scaled leaves at the rate that it would have with this RTT. */
const SCALED_RTT = 25
/** ms: longer RTTs scale no further, whatever a peer that is slow with its acknowledgements makes of them. */
const MAX_SCALED_RTT = 1000

/** How many times the initial window a path of this minimum RTT may start with; 1 while there is no sample. */
export const startScale = (minRtt: number): number =>
  minRtt > SCALED_RTT && minRtt < Infinity ? Math.min(minRtt, MAX_SCALED_RTT) / SCALED_RTT : 1

/** No loss takes the window below this. */
export const minimumWindow = (maxDatagramSize: number): number => 2 * maxDatagramSize
