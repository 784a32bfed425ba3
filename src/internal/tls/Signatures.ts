/** Signatures of the handshake (RFC 8446 sections 4.2.3 and 4.4.3). */
import { constants, sign, verify } from "node:crypto"
import type { KeyObject } from "node:crypto"
import type { Role } from "../wire/Protocol.ts"

interface SignatureScheme {
  readonly id: number
  readonly name: string
  /** Undefined for Ed25519, which hashes by itself. */
  readonly hash: "sha256" | "sha384" | "sha512" | undefined
  /** Whether it is for this key, public or private. */
  readonly fits: (key: KeyObject) => boolean
  readonly pss: boolean
}

const onCurve = (curve: string) => (key: KeyObject) =>
  key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === curve
const isRsa = (key: KeyObject) => key.asymmetricKeyType === "rsa"
const isEd25519 = (key: KeyObject) => key.asymmetricKeyType === "ed25519"

/** In the order of preference. */
const schemes: ReadonlyArray<SignatureScheme> = [
  { id: 0x0403, name: "ecdsa_secp256r1_sha256", hash: "sha256", fits: onCurve("prime256v1"), pss: false },
  { id: 0x0807, name: "ed25519", hash: undefined, fits: isEd25519, pss: false },
  { id: 0x0804, name: "rsa_pss_rsae_sha256", hash: "sha256", fits: isRsa, pss: true },
  { id: 0x0503, name: "ecdsa_secp384r1_sha384", hash: "sha384", fits: onCurve("secp384r1"), pss: false },
  { id: 0x0805, name: "rsa_pss_rsae_sha384", hash: "sha384", fits: isRsa, pss: true },
  { id: 0x0806, name: "rsa_pss_rsae_sha512", hash: "sha512", fits: isRsa, pss: true }
]

/**
 * What we announce in signature_algorithms: ours, and RSA PKCS#1 v1.5 with SHA-256, 384 and 512, which may stand in
 * certificates but not in CertificateVerify.
 */
export const announcedSchemes: ReadonlyArray<number> = [...schemes.map(({ id }) => id), 0x0401, 0x0501, 0x0601]

const known = new WeakMap<KeyObject, ReadonlyArray<SignatureScheme>>()

/** Kept with the key: to ask OpenSSL what a key is takes long. */
const fitting = (key: KeyObject): ReadonlyArray<SignatureScheme> => {
  let found = known.get(key)
  if (found === undefined) known.set(key, (found = schemes.filter(({ fits }) => fits(key))))
  return found
}

/** Schemes that this key can sign or verify the handshake with, best first. */
export const schemesOf = (key: KeyObject): Array<number> => fitting(key).map(({ id }) => id)

/** The name of a scheme, for messages. */
export const schemeName = (id: number): string => schemes.find((scheme) => scheme.id === id)?.name ?? `scheme ${id}`

/** What CertificateVerify signs: 64 spaces, a context for the role that signs, a zero, the hash of the transcript. */
export const signedContent = (role: Role, transcriptHash: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from(`${" ".repeat(64)}TLS 1.3, ${role} CertificateVerify\0`, "latin1"), transcriptHash])

const parameters = (scheme: SignatureScheme, key: KeyObject) =>
  scheme.pss ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : { key }

const schemeFor = (id: number, key: KeyObject): SignatureScheme | undefined =>
  fitting(key).find((scheme) => scheme.id === id)

/** Signs; undefined when the scheme is not for this key. */
export const signWith = (id: number, privateKey: KeyObject, content: Uint8Array): Uint8Array | undefined => {
  const scheme = schemeFor(id, privateKey)
  return scheme && sign(scheme.hash, content, parameters(scheme, privateKey))
}

/** Whether the signature is good, and made with a scheme that is for this key. */
export const verifyWith = (id: number, publicKey: KeyObject, content: Uint8Array, signature: Uint8Array): boolean => {
  const scheme = schemeFor(id, publicKey)
  if (scheme === undefined) return false
  try {
    return verify(scheme.hash, content, parameters(scheme, publicKey), signature)
  } catch {
    // What OpenSSL cannot even decode is not a signature.
    return false
  }
}
