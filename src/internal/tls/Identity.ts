/** Who an endpoint is, and how it judges who its peer is (RFC 8446 section 4.4). */
import type { KeyObject } from "node:crypto"
import type { TlsFailure } from "./TlsSession.ts"

/** A certificate chain with the private key of its leaf. */
export interface Identity {
  /** DER, leaf first, then each issuer in turn; the root may be left out. */
  readonly certificates: ReadonlyArray<Uint8Array>
  readonly privateKey: KeyObject
}

/**
 * What a verifier is asked.
 *
 * @category models
 * @since 0.1.0
 */
export interface CertificateInput {
  /** The peer's certificates as it sent them, DER, leaf first. Never empty. */
  readonly chain: ReadonlyArray<Uint8Array>
  /** The name or IP address that the leaf must be for; undefined for the certificate of a client. */
  readonly serverName: string | undefined
  readonly usage: "serverAuth" | "clientAuth"
  /** Wall clock in ms since 1970. */
  readonly now: number
}

/**
 * Judges a peer's chain: undefined accepts it, a failure refuses it and becomes the alert. It must not throw. That the
 * peer holds the leaf's private key is checked by the handshake itself (CertificateVerify).
 *
 * @category models
 * @since 0.1.0
 */
export type CertificateVerifier = (input: CertificateInput) => TlsFailure | undefined
