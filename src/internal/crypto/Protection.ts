/**
 * The shape of packet protection: what makes keys, seals and opens the packets of a burst, and masks their headers.
 */
import type { AeadAlgorithm } from "../tls/TlsSession.ts"
import type { PacketBurst } from "./PacketBurst.ts"

export type { AeadAlgorithm }

/**
 * One direction of one key phase: an AEAD key with its IV.
 *
 * @category models
 * @since 0.1.0
 */
export interface PacketKey {
  /**
   * Seals packets `from` (inclusive) to `to` (exclusive) of the burst in place: the header `[start, pnOffset + pnLength)`
   * is the additional data, the payload runs to `end - 16`, and the tag goes into the last 16 bytes. The nonce is the IV
   * xor (32-bit path ID, 2 zero bits, 62-bit packet number) (draft-21 section 2.4).
   */
  readonly seal: (burst: PacketBurst, from: number, to: number) => void
  /** Opens packet `index` in place. `false`: not authentic, and the payload must not be looked at. */
  readonly open: (burst: PacketBurst, index: number) => boolean
  /** Frees the key, which is not used again. */
  readonly close: () => void
}

/**
 * One direction's header protection key: it stays when packet keys are updated.
 *
 * @category models
 * @since 0.1.0
 */
export interface HeaderKey {
  /** The masks of the samples at `offsets[0..count)` of `bytes`: 16 bytes apart in `masks`, of which the first 5 count. */
  readonly masks: (bytes: Uint8Array, offsets: Int32Array, count: number, masks: Uint8Array) => void
  readonly close: () => void
}

/**
 * What seals and opens packets: it makes keys from the bytes that TLS gives. The bytes may change after the call.
 *
 * @category models
 * @since 0.1.0
 */
export interface PacketProtection {
  readonly name: string
  readonly packetKey: (algorithm: AeadAlgorithm, key: Uint8Array, iv: Uint8Array) => PacketKey
  readonly headerKey: (algorithm: AeadAlgorithm, key: Uint8Array) => HeaderKey
}
