/** Which keys and signatures are strong enough to be believed. */
import { costlyKey } from "./PublicKey.ts"
import type { KeyInfo } from "./PublicKey.ts"

const RSA_PSS = "1.2.840.113549.1.1.10"

/** Signature algorithms accepted on certificates: SHA-2 or Edwards curves. */
const STRONG = new Set([
  "1.2.840.113549.1.1.11", // sha256WithRSAEncryption
  "1.2.840.113549.1.1.12", // sha384WithRSAEncryption
  "1.2.840.113549.1.1.13", // sha512WithRSAEncryption
  "1.2.840.10045.4.3.2", // ecdsa-with-SHA256
  "1.2.840.10045.4.3.3", // ecdsa-with-SHA384
  "1.2.840.10045.4.3.4", // ecdsa-with-SHA512
  "1.3.101.112", // Ed25519
  "1.3.101.113" // Ed448
])

const WEAK = new Map([
  ["1.2.840.113549.1.1.4", "MD5 with RSA"],
  ["1.2.840.113549.1.1.5", "SHA-1 with RSA"],
  ["1.2.840.10045.4.1", "SHA-1 with ECDSA"],
  ["1.2.840.10040.4.3", "SHA-1 with DSA"]
])

/** DER of the OIDs of SHA-256, SHA-384 and SHA-512, as they stand in RSASSA-PSS-params (RFC 4055 section 3.1). */
const SHA2 = [1, 2, 3].map((last) => Buffer.from([0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]))
/** `[0]`: the hash, without which it is SHA-1. */
const PSS_HASH = 0xa0

/** Undefined: acceptable. Otherwise what it is, for the message. */
export const weakSignature = (algorithm: string, parameters: Uint8Array): string | undefined => {
  if (STRONG.has(algorithm)) return undefined
  if (algorithm !== RSA_PSS) return WEAK.get(algorithm) ?? `the algorithm ${algorithm}`
  // SEQUENCE { [0] { SEQUENCE { OID ... } } ... }, all lengths short.
  const hash = parameters[2] === PSS_HASH ? Buffer.from(parameters.subarray(6, 17)) : undefined
  return hash !== undefined && SHA2.some((oid) => oid.equals(hash)) ? undefined : "RSA-PSS with SHA-1"
}

const CURVES: ReadonlyMap<string, string> = new Map([
  ["1.2.840.10045.3.1.7", "P-256"],
  ["1.3.132.0.34", "P-384"],
  ["1.3.132.0.35", "P-521"]
])
const REFUSED_CURVES: ReadonlyMap<string, string> = new Map([["1.3.132.0.10", "secp256k1"]])
const MIN_RSA_BITS = 2048

/** Undefined: acceptable. Otherwise what it is, for the message. */
export const weakKey = (key: KeyInfo): string | undefined => {
  const costly = costlyKey(key)
  if (costly !== undefined) return costly
  switch (key.kind) {
    case "rsa":
      return key.modulusBits >= MIN_RSA_BITS
        ? undefined
        : `an RSA key of ${key.modulusBits} bits (at least ${MIN_RSA_BITS} are needed)`
    case "ec": {
      const curve = key.curve ?? "no named curve"
      return CURVES.has(curve)
        ? undefined
        : `an elliptic curve key on ${REFUSED_CURVES.get(curve) ?? curve} (P-256, P-384 and P-521 are accepted)`
    }
    case "ed25519":
    case "ed448":
      return undefined
    case "other":
      return `a key of the algorithm ${key.algorithm} (RSA, ECDSA and EdDSA are accepted)`
  }
}
