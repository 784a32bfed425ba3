/** Ways to decide whom to believe: each makes the verifier that a TLS engine asks. */
import { createHash } from "node:crypto"
import type { CertificateVerifier } from "../Identity.ts"
import { outline } from "./Der.ts"
import { CertificateCache } from "./CertificateCache.ts"
import { parseCertificate } from "./ParsedCertificate.ts"
import { readPemCertificates } from "./Pem.ts"
import { systemTrustStore, TrustStore } from "./TrustStore.ts"
import { refuse, verifyChain } from "./VerifyChain.ts"

/** Trusts whom Node trusts: Mozilla's roots, NODE_EXTRA_CA_CERTS, and the system's with `--use-system-ca`. */
export const systemTrust = (): CertificateVerifier => {
  const cache = new CertificateCache()
  return (input) => verifyChain(input, systemTrustStore(), cache)
}

/** Why a list of roots cannot be used, as a sentence. */
export interface BadRoots {
  readonly problem: string
}

/**
 * Trusts these certificates and nothing else. PEM text (any number of certificates) or DER. A certificate that is listed
 * here is also accepted as a server's own, which is how a self-signed one is trusted by name.
 */
export const trustRoots = (roots: ReadonlyArray<string | Uint8Array>): CertificateVerifier | BadRoots => {
  const ders = roots.flatMap((root) => (typeof root === "string" ? readPemCertificates(root) : [root]))
  if (ders.length === 0) return { problem: "no certificate in it: PEM text has BEGIN CERTIFICATE lines" }
  const bad = ders.findIndex((der) => outline(der) === undefined)
  if (bad !== -1) return { problem: `certificate ${bad + 1} of ${ders.length} is not X.509 in DER or PEM` }
  // Bundles may hold one or the other that nobody can read: such a root is passed over, but not all of them.
  const unread = firstProblem(ders)
  if (unread !== undefined) return { problem: `its certificate ${unread}` }
  return trustAnchors(ders)
}

/** Why none of the certificates can be read; undefined if one can. */
const firstProblem = (ders: ReadonlyArray<Uint8Array>): string | undefined => {
  let first: string | undefined
  for (const der of ders) {
    const parsed = parseCertificate(der)
    if (!("problem" in parsed)) return undefined
    first ??= parsed.problem
  }
  return first
}

/** The same for certificates in DER that are known to be some. */
export const trustAnchors = (ders: ReadonlyArray<Uint8Array>): CertificateVerifier => {
  const store = new TrustStore(ders)
  const cache = new CertificateCache()
  return (input) => verifyChain(input, store, cache)
}

/** SHA-256, as bytes, from hex, hex with colons, or base64 (with or without `sha256/`); undefined when it is none of them. */
export const parseFingerprint = (text: string): Uint8Array | undefined => {
  const bare = text.trim().replace(/^sha-?256(:|\/\/?|-)/i, "")
  const hex = bare.replace(/[:\s]/g, "")
  if (/^[0-9a-f]{64}$/i.test(hex)) return Buffer.from(hex, "hex")
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(bare)) return Buffer.from(bare, "base64")
  return undefined
}

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest()

/** SHA-256 of a certificate (DER) in hex, as `trustPinned` takes it. */
export const fingerprintOf = (der: Uint8Array): string => sha256(der).toString("hex")

/**
 * Trusts a leaf by its SHA-256, or by that of its SubjectPublicKeyInfo, and looks at nothing else: the hash says which
 * certificate or key is meant, so its authority, name and dates add nothing. `pins` come from `parseFingerprint`.
 */
export const trustPinned = (pins: ReadonlyArray<Uint8Array>): CertificateVerifier => {
  return (input) => {
    const leaf = input.chain[0]
    const parts = leaf === undefined ? undefined : outline(leaf)
    if (leaf === undefined || parts === undefined) {
      return refuse("malformed", "the peer's certificate is not an X.509 certificate in DER")
    }
    const hashes = [sha256(leaf), sha256(parts.publicKeyInfo)]
    if (pins.some((pin) => hashes.some((hash) => hash.equals(pin)))) return undefined
    return refuse(
      "pinMismatch",
      `the peer's certificate has SHA-256 ${hashes[0]!.toString("hex")}, which is not pinned here; pin that hash if you know the certificate to be right`
    )
  }
}

/**
 * Believes anyone. The connection is encrypted, and whoever sits in between can read and change all of it. Only for tests
 * and for measuring.
 */
export const insecure = (): CertificateVerifier => () => undefined
