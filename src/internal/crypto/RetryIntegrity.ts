/**
 * The Retry Integrity Tag (RFC 9001 section 5.8, RFC 9369 section 3.3.3): an AEAD over no payload with a key that the
 * whole world knows. It guards against corruption and off-path forgers, so its comparison needs no care about time.
 */
import type { PacketProtection } from "./Protection.ts"
import { AEAD_TAG, Version } from "../wire/Protocol.ts"
import { makePacketBurst } from "./PacketBurst.ts"

const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))

const v1Key = fromHex("be0c690b9f66575a1d766b54e368c84e")
const v1Nonce = fromHex("461599d35d632bf2239825bb")
const v2Key = fromHex("8fb4b01b56ac48e260fbcbcead7ccc92")
const v2Nonce = fromHex("d86969bc2d7c6d9990efb04a")

/**
 * The tag (16 bytes) for a Retry packet. `packet` runs from its first byte to the end of the token; `originalDcid` is
 * the Destination Connection ID of the Initial that it answers.
 */
export const retryTag = (
  protection: PacketProtection,
  version: number,
  originalDcid: Uint8Array,
  packet: Uint8Array
): Uint8Array => {
  // The pseudo-packet is all additional data; path 0 and packet number 0 leave the nonce as it is.
  const length = 1 + originalDcid.length + packet.length
  const slab = new Uint8Array(length + AEAD_TAG)
  slab[0] = originalDcid.length
  slab.set(originalDcid, 1)
  slab.set(packet, 1 + originalDcid.length)
  const burst = makePacketBurst(1, slab)
  burst.count = 1
  burst.pnOffset[0] = length
  burst.end[0] = length + AEAD_TAG
  const v2 = version === Version.v2
  const key = protection.packetKey("aes-128-gcm", v2 ? v2Key : v1Key, v2 ? v2Nonce : v1Nonce)
  key.seal(burst, 0, 1)
  key.close()
  return slab.subarray(length)
}

/** Whether the last 16 bytes of a Retry packet are its tag. */
export const verifyRetry = (
  protection: PacketProtection,
  version: number,
  originalDcid: Uint8Array,
  packet: Uint8Array
): boolean => {
  const end = packet.length - AEAD_TAG
  if (end < 0) return false
  const tag = retryTag(protection, version, originalDcid, packet.subarray(0, end))
  for (let i = 0; i < AEAD_TAG; i++) if (tag[i] !== packet[end + i]) return false
  return true
}
