/**
 * Packets of one flush or one arrival as columns over a slab, so that keys work on whole bursts by index: positions and
 * numbers, no view per packet.
 *
 * @category models
 * @since 0.1.0
 */
export interface PacketBurst {
  slab: Uint8Array
  count: number
  /** First byte of the header (where the additional data starts). */
  readonly start: Int32Array
  /** Position of the packet number; the payload starts `pnLength` later. */
  readonly pnOffset: Int32Array
  readonly pnLength: Uint8Array
  /** One past the last byte, the tag included. */
  readonly end: Int32Array
  readonly pathId: Float64Array
  readonly packetNumber: Float64Array
}

export const makePacketBurst = (capacity: number, slab: Uint8Array): PacketBurst => ({
  slab,
  count: 0,
  start: new Int32Array(capacity),
  pnOffset: new Int32Array(capacity),
  pnLength: new Uint8Array(capacity),
  end: new Int32Array(capacity),
  pathId: new Float64Array(capacity),
  packetNumber: new Float64Array(capacity)
})
