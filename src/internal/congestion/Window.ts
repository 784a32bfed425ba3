/** Windows that the algorithms share, in bytes (RFC 9002 section 7.2). */

/** Window of a new path. */
export const initialWindow = (maxDatagramSize: number): number =>
  Math.min(10 * maxDatagramSize, Math.max(14_720, 2 * maxDatagramSize))

/** No loss takes the window below this. */
export const minimumWindow = (maxDatagramSize: number): number => 2 * maxDatagramSize
