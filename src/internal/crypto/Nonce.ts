/**
 * The nonce of a packet (RFC 9001 section 5.3, draft-ietf-quic-multipath-21 section 2.4): the IV xor the 32-bit path ID,
 * 2 zero bits and the 62-bit packet number, big endian. Path 0 gives the nonce of RFC 9001.
 */

/** Writes the nonce for `iv`, of the same length (12 bytes or more), to `nonce`. Packet numbers are exact to 2^53 - 1. */
export const writeNonce = (nonce: Uint8Array, iv: Uint8Array, pathId: number, packetNumber: number): void => {
  const at = iv.length - 12
  for (let i = 0; i < at; i++) nonce[i] = iv[i]!
  const high = (packetNumber / 0x1_0000_0000) | 0
  // ToInt32 keeps the low 32 bits of numbers up to 2^53 - 1.
  const low = packetNumber | 0
  nonce[at] = iv[at]! ^ (pathId >>> 24)
  nonce[at + 1] = iv[at + 1]! ^ (pathId >>> 16)
  nonce[at + 2] = iv[at + 2]! ^ (pathId >>> 8)
  nonce[at + 3] = iv[at + 3]! ^ pathId
  nonce[at + 4] = iv[at + 4]! ^ (high >>> 24)
  nonce[at + 5] = iv[at + 5]! ^ (high >>> 16)
  nonce[at + 6] = iv[at + 6]! ^ (high >>> 8)
  nonce[at + 7] = iv[at + 7]! ^ high
  nonce[at + 8] = iv[at + 8]! ^ (low >>> 24)
  nonce[at + 9] = iv[at + 9]! ^ (low >>> 16)
  nonce[at + 10] = iv[at + 10]! ^ (low >>> 8)
  nonce[at + 11] = iv[at + 11]! ^ low
}
