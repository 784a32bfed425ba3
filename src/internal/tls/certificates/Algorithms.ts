/** Which keys and signatures are strong enough to be believed. */
import type { KeyObject } from "node:crypto"

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

const CURVES = new Set(["prime256v1", "secp384r1", "secp521r1"])
const MIN_RSA_BITS = 2048

/** Undefined: acceptable. Otherwise what it is, for the message. */
export const weakKey = (key: KeyObject): string | undefined => {
  const details = key.asymmetricKeyDetails
  switch (key.asymmetricKeyType) {
    case "rsa":
    case "rsa-pss": {
      const bits = details?.modulusLength ?? 0
      return bits >= MIN_RSA_BITS ? undefined : `an RSA key of ${bits} bits (at least ${MIN_RSA_BITS} are needed)`
    }
    case "ec": {
      const curve = details?.namedCurve ?? "no named curve"
      return CURVES.has(curve) ? undefined : `an elliptic curve key on ${curve} (P-256, P-384 and P-521 are accepted)`
    }
    case "ed25519":
    case "ed448":
      return undefined
    default:
      return `a key of type ${key.asymmetricKeyType ?? "unknown"} (RSA, ECDSA and EdDSA are accepted)`
  }
}
