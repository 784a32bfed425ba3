/** Reads an identity from PEM: the chain, and the private key of its leaf. */
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto"
import type { KeyObject } from "node:crypto"
import type { Identity } from "../Identity.ts"
import { schemesOf } from "../Signatures.ts"
import { weakKey } from "./Algorithms.ts"
import { isCertificateLabel, readPem } from "./Pem.ts"
import type { PemBlock } from "./Pem.ts"
import { readKeyInfo } from "./PublicKey.ts"

/** Why there is no identity. `source` tells which of the two texts to look at. */
export interface IdentityProblem {
  readonly problem:
    "noCertificate" | "badCertificate" | "noKey" | "badKey" | "encryptedKey" | "unsupportedKey" | "keyMismatch"
  readonly source: "certificate" | "privateKey"
  /** Says what is wrong and what would be right. */
  readonly message: string
}

const problem = (
  kind: IdentityProblem["problem"],
  source: IdentityProblem["source"],
  message: string
): IdentityProblem => ({ problem: kind, source, message })

/** Labels of private keys: PKCS #8, SEC 1 and PKCS #1. */
const KEY_LABELS = new Set(["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"])

/** Makes an identity of a PEM chain (leaf first) and a PEM key (PKCS #8, SEC 1 or PKCS #1, not encrypted). */
export const loadIdentity = (certificatePem: string, privateKeyPem: string): Identity | IdentityProblem => {
  const blocks = readPem(certificatePem).filter((block) => isCertificateLabel(block.label))
  if (blocks.length === 0) {
    return problem("noCertificate", "certificate", "there is no PEM certificate (BEGIN CERTIFICATE) in it")
  }
  const certificates: Array<X509Certificate> = []
  for (const [index, block] of blocks.entries()) {
    const certificate = readCertificate(block)
    if (certificate === undefined) {
      return problem("badCertificate", "certificate", `certificate ${index + 1} of ${blocks.length} does not parse`)
    }
    certificates.push(certificate)
  }
  const key = readKey(privateKeyPem)
  if ("problem" in key) return key
  const weak = weakKey(readKeyInfo(createPublicKey(key).export({ format: "der", type: "spki" })))
  if (weak !== undefined) return problem("unsupportedKey", "privateKey", `it is ${weak}`)
  if (schemesOf(key).length === 0) {
    return problem("unsupportedKey", "privateKey", "TLS 1.3 here signs with P-256, P-384, Ed25519 and RSA keys")
  }
  const owner = certificates.findIndex((certificate) => certificate.checkPrivateKey(key))
  if (owner === -1) {
    return problem("keyMismatch", "privateKey", "it belongs to none of the certificates; they come in pairs")
  }
  if (owner > 0) {
    return problem(
      "keyMismatch",
      "certificate",
      `the private key belongs to certificate ${owner + 1} of ${certificates.length}; put that one first, then its issuers`
    )
  }
  return { certificates: blocks.map((block) => block.bytes), privateKey: key }
}

const readCertificate = (block: PemBlock): X509Certificate | undefined => {
  try {
    const certificate = new X509Certificate(block.bytes)
    return certificate.publicKey === undefined ? undefined : certificate
  } catch {
    return undefined
  }
}

const readKey = (pem: string): KeyObject | IdentityProblem => {
  const blocks = readPem(pem)
  const block = blocks.find((candidate) => KEY_LABELS.has(candidate.label))
  if (block === undefined) {
    return blocks.some((candidate) => candidate.label === "ENCRYPTED PRIVATE KEY")
      ? encryptedKey
      : problem("noKey", "privateKey", "there is no PEM private key (BEGIN PRIVATE KEY) in it")
  }
  // Keys of the older kinds say in a header that they are encrypted (RFC 1421 section 4.6.1.1).
  if (block.text.includes("Proc-Type: 4,ENCRYPTED")) return encryptedKey
  try {
    return createPrivateKey({ key: block.text, format: "pem" })
  } catch {
    return problem("badKey", "privateKey", `its ${block.label} block does not parse`)
  }
}

const encryptedKey = problem(
  "encryptedKey",
  "privateKey",
  "it is encrypted; decrypt it first, for instance with `openssl pkey`"
)
