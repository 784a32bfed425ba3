/** Settings of the TLS engine. */
import { cipherSuites } from "./CipherSuites.ts"
import type { CertificateVerifier, Identity } from "./Identity.ts"
import { keyExchangeGroups } from "./KeyExchange.ts"
import type { KeyExchangeGroup, Random } from "./KeyExchange.ts"
import { schemesOf } from "./Signatures.ts"
import type { CipherSuite } from "./TlsSession.ts"

export type GroupName = "X25519" | "secp256r1"

export interface OwnTlsConfig {
  /** Source of every random value and ephemeral key. With the same bytes comes the same handshake. */
  readonly random: Random
  /** In the order of preference. Default: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305. */
  readonly cipherSuites?: ReadonlyArray<CipherSuite["name"]> | undefined
  /** In the order of preference; a client sends a share for the first. Default: X25519, secp256r1. */
  readonly groups?: ReadonlyArray<GroupName> | undefined
  /** Who we are: needed to serve; a client shows it to servers that ask. */
  readonly identity?: Identity | undefined
  /** An identity for the name that a client asks for; undefined falls back to `identity`. */
  readonly selectIdentity?: ((serverName: string | undefined) => Identity | undefined) | undefined
  /** Whether a server asks clients for a certificate. Default: "none". */
  readonly clientAuth?: "none" | "request" | "require" | undefined
  readonly verifyServer: CertificateVerifier
  /** Must be there when `clientAuth` is "request" or "require". */
  readonly verifyClient?: CertificateVerifier | undefined
  /** The most bytes that the body of a Certificate may have. Default: 65536. All other messages have at most 16384. */
  readonly maxMessage?: number | undefined
  /** Takes lines of an SSLKEYLOGFILE, without the line end: they open all traffic, so only for debugging. */
  readonly keyLog?: ((line: string) => void) | undefined
}

/** The same with every default filled in. */
export interface ResolvedConfig {
  readonly random: Random
  readonly cipherSuites: ReadonlyArray<CipherSuite>
  readonly groups: ReadonlyArray<KeyExchangeGroup>
  readonly identity: Identity | undefined
  readonly selectIdentity: (serverName: string | undefined) => Identity | undefined
  readonly clientAuth: "none" | "request" | "require"
  readonly verifyServer: CertificateVerifier
  readonly verifyClient: CertificateVerifier | undefined
  readonly maxMessage: number
  readonly keyLog: ((line: string) => void) | undefined
}

const named = <A extends { readonly name: string }>(
  setting: string,
  all: ReadonlyArray<A>,
  names: ReadonlyArray<string> | undefined
): ReadonlyArray<A> => {
  if (names === undefined) return all
  const known = all.map(({ name }) => name).join(", ")
  if (names.length === 0) throw new TypeError(`${setting} is empty; allowed are ${known}`)
  return names.map((name) => {
    const found = all.find((one) => one.name === name)
    if (found === undefined) throw new TypeError(`${setting} has ${name}; allowed are ${known}`)
    return found
  })
}

/** Checks and fills in. Throws a TypeError that names the setting, its value and what is allowed. */
export const resolveConfig = (config: OwnTlsConfig): ResolvedConfig => {
  const { clientAuth = "none", identity, maxMessage = 65_536, selectIdentity, verifyClient } = config
  if (clientAuth !== "none" && verifyClient === undefined) {
    throw new TypeError(`clientAuth is ${clientAuth}, which needs verifyClient to judge the certificates of clients`)
  }
  if (!(maxMessage >= 1024 && maxMessage < 2 ** 24)) {
    throw new TypeError(`maxMessage is ${maxMessage}; allowed are 1024 to ${2 ** 24 - 1}`)
  }
  if (identity !== undefined) {
    if (identity.certificates.length === 0) throw new TypeError("identity has no certificate")
    if (schemesOf(identity.privateKey).length === 0) {
      throw new TypeError("identity has a private key that TLS 1.3 has no use for; use P-256, P-384, Ed25519 or RSA")
    }
  }
  return {
    random: config.random,
    cipherSuites: named("cipherSuites", cipherSuites, config.cipherSuites),
    groups: named("groups", keyExchangeGroups, config.groups),
    identity,
    selectIdentity: selectIdentity === undefined ? () => identity : (name) => selectIdentity(name) ?? identity,
    clientAuth,
    verifyServer: config.verifyServer,
    verifyClient,
    maxMessage,
    keyLog: config.keyLog
  }
}
