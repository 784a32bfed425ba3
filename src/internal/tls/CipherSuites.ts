/**
 * The cipher suites that QUIC takes from TLS 1.3 (RFC 8446 appendix B.4; RFC 9001 section 5.3 leaves out the CCM ones
 * that nobody offers).
 */
import type { CipherSuite } from "./TlsSession.ts"

export const TLS_AES_128_GCM_SHA256: CipherSuite = {
  id: 0x1301,
  name: "TLS_AES_128_GCM_SHA256",
  aead: "aes-128-gcm",
  hash: "sha256",
  keyLength: 16
}

export const TLS_AES_256_GCM_SHA384: CipherSuite = {
  id: 0x1302,
  name: "TLS_AES_256_GCM_SHA384",
  aead: "aes-256-gcm",
  hash: "sha384",
  keyLength: 32
}

export const TLS_CHACHA20_POLY1305_SHA256: CipherSuite = {
  id: 0x1303,
  name: "TLS_CHACHA20_POLY1305_SHA256",
  aead: "chacha20-poly1305",
  hash: "sha256",
  keyLength: 32
}

/** Every suite, in the order of preference on machines with AES instructions. */
export const cipherSuites: ReadonlyArray<CipherSuite> = [
  TLS_AES_128_GCM_SHA256,
  TLS_AES_256_GCM_SHA384,
  TLS_CHACHA20_POLY1305_SHA256
]

/** The suite with this number; undefined if it is none of ours. */
export const cipherSuite = (id: number): CipherSuite | undefined => cipherSuites[id - 0x1301]
