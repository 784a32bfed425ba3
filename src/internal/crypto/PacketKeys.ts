/**
 * Keys from secrets (RFC 9001 sections 5.1, 5.2 and 6.1; RFC 9369 section 3.3 for version 2).
 */
import type { HeaderKey, PacketKey, PacketProtection } from "./Protection.ts"
import { TLS_AES_128_GCM_SHA256 } from "../tls/CipherSuites.ts"
import { hkdfExpandLabel, hkdfExtract } from "../tls/Hkdf.ts"
import { hashLength } from "../tls/Hmac.ts"
import type { CipherSuite } from "../tls/TlsSession.ts"
import { Version } from "../wire/Protocol.ts"

interface Derivation {
  readonly salt: Uint8Array
  readonly key: string
  readonly iv: string
  readonly hp: string
  readonly ku: string
}

const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))

const v1: Derivation = {
  salt: fromHex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
  key: "quic key",
  iv: "quic iv",
  hp: "quic hp",
  ku: "quic ku"
}

const v2: Derivation = {
  salt: fromHex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
  key: "quicv2 key",
  iv: "quicv2 iv",
  hp: "quicv2 hp",
  ku: "quicv2 ku"
}

const derivation = (version: number): Derivation => (version === Version.v2 ? v2 : v1)

const none = new Uint8Array(0)

/** Bytes of the IV of every AEAD in use. */
export const IV_LENGTH = 12

/** The suite of Initial packets (RFC 9001 section 5.2). */
export const initialSuite: CipherSuite = TLS_AES_128_GCM_SHA256

/** The AEAD key of a traffic secret: `suite.keyLength` bytes. */
export const packetKeyBytes = (suite: CipherSuite, version: number, secret: Uint8Array): Uint8Array =>
  hkdfExpandLabel(suite.hash, secret, derivation(version).key, none, suite.keyLength)

/** The IV of a traffic secret: 12 bytes. */
export const ivBytes = (suite: CipherSuite, version: number, secret: Uint8Array): Uint8Array =>
  hkdfExpandLabel(suite.hash, secret, derivation(version).iv, none, IV_LENGTH)

/** The header protection key of a traffic secret: `suite.keyLength` bytes. */
export const headerKeyBytes = (suite: CipherSuite, version: number, secret: Uint8Array): Uint8Array =>
  hkdfExpandLabel(suite.hash, secret, derivation(version).hp, none, suite.keyLength)

/** The traffic secret of the next key phase (RFC 9001 section 6.1). */
export const nextSecret = (suite: CipherSuite, version: number, secret: Uint8Array): Uint8Array =>
  hkdfExpandLabel(suite.hash, secret, derivation(version).ku, none, hashLength(suite.hash))

/** The packet key of a traffic secret. */
export const packetKey = (
  protection: PacketProtection,
  suite: CipherSuite,
  version: number,
  secret: Uint8Array
): PacketKey =>
  protection.packetKey(suite.aead, packetKeyBytes(suite, version, secret), ivBytes(suite, version, secret))

/** The header protection key of a traffic secret. */
export const headerKey = (
  protection: PacketProtection,
  suite: CipherSuite,
  version: number,
  secret: Uint8Array
): HeaderKey => protection.headerKey(suite.aead, headerKeyBytes(suite, version, secret))

/** The secrets of Initial packets, from the Destination Connection ID of the client's first one (RFC 9001 section 5.2). */
export const initialSecrets = (
  version: number,
  dcid: Uint8Array
): { readonly client: Uint8Array; readonly server: Uint8Array } => {
  const { hash } = initialSuite
  const secret = hkdfExtract(hash, derivation(version).salt, dcid)
  return {
    client: hkdfExpandLabel(hash, secret, "client in", none, hashLength(hash)),
    server: hkdfExpandLabel(hash, secret, "server in", none, hashLength(hash))
  }
}
