/**
 * The keys of one encryption level, both directions. 1-RTT keys change: `KeyPhases.ts` holds those.
 */
import type { HeaderKey, PacketKey, PacketProtection } from "./Protection.ts"
import type { CipherSuite } from "../tls/TlsSession.ts"
import type { Role } from "../wire/Protocol.ts"
import { headerKey, initialSecrets, initialSuite, packetKey } from "./PacketKeys.ts"

/** Both directions of a level. */
export interface KeyPair {
  readonly read: PacketKey
  readonly write: PacketKey
  readonly headerRead: HeaderKey
  readonly headerWrite: HeaderKey
}

/** The directions of a level that have a secret: 0-RTT has one, and the others may get theirs at different times. */
export interface LevelKeys {
  readonly read: PacketKey | undefined
  readonly write: PacketKey | undefined
  readonly headerRead: HeaderKey | undefined
  readonly headerWrite: HeaderKey | undefined
}

/**
 * The keys of Initial packets (RFC 9001 section 5.2). `dcid` is the Destination Connection ID of the client's first
 * Initial, or that of the one that answers a Retry.
 */
export const initialKeys = (protection: PacketProtection, version: number, dcid: Uint8Array, role: Role): KeyPair => {
  const secrets = initialSecrets(version, dcid)
  const readSecret = role === "client" ? secrets.server : secrets.client
  const writeSecret = role === "client" ? secrets.client : secrets.server
  return {
    read: packetKey(protection, initialSuite, version, readSecret),
    write: packetKey(protection, initialSuite, version, writeSecret),
    headerRead: headerKey(protection, initialSuite, version, readSecret),
    headerWrite: headerKey(protection, initialSuite, version, writeSecret)
  }
}

/** The keys of Handshake and 0-RTT packets, from the secrets of TLS. */
export const levelKeys = (
  protection: PacketProtection,
  suite: CipherSuite,
  version: number,
  readSecret: Uint8Array | undefined,
  writeSecret: Uint8Array | undefined
): LevelKeys => ({
  read: readSecret && packetKey(protection, suite, version, readSecret),
  write: writeSecret && packetKey(protection, suite, version, writeSecret),
  headerRead: readSecret && headerKey(protection, suite, version, readSecret),
  headerWrite: writeSecret && headerKey(protection, suite, version, writeSecret)
})

/** Frees the keys of a level: they must not be used again. */
export const closeLevelKeys = (keys: LevelKeys): void => {
  keys.read?.close()
  keys.write?.close()
  keys.headerRead?.close()
  keys.headerWrite?.close()
}
