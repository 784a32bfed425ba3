/**
 * Key exchange groups (RFC 8446 sections 4.2.8.2 and 7.4.2), in the shape of a key encapsulation so that hybrid groups
 * fit beside Diffie-Hellman: the client offers, the server answers, both get the same secret.
 */
import { createECDH, createPrivateKey, createPublicKey, diffieHellman } from "node:crypto"
import type { ECDH, KeyObject } from "node:crypto"
import { Alert, abort } from "./Alerts.ts"

/** Gives `length` bytes that nobody can guess. */
export type Random = (length: number) => Uint8Array

/** The client's side: what it sent, and the secret once the server has answered. */
export interface KeyOffer {
  readonly share: Uint8Array
  readonly accept: (serverShare: Uint8Array) => Uint8Array
}

/** The server's answer to a client's share, and the secret. */
export interface KeyAnswer {
  readonly share: Uint8Array
  readonly secret: Uint8Array
}

export interface KeyExchangeGroup {
  /** The NamedGroup. */
  readonly id: number
  readonly name: string
  readonly offer: (random: Random) => KeyOffer
  readonly answer: (clientShare: Uint8Array, random: Random) => KeyAnswer
}

/** Runs a Diffie-Hellman step: OpenSSL refuses points off the curve and secrets of zeros, as TLS must. */
const agreeing = (group: string, agree: () => Uint8Array): Uint8Array => {
  try {
    return agree()
  } catch {
    return abort(Alert.illegalParameter, `the peer's ${group} share is not a valid public key`)
  }
}

/** Before the 32 bytes of a private key in PKCS#8 (RFC 8410 section 7). */
const x25519Pkcs8 = Buffer.from("302e020100300506032b656e04220420", "hex")

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")

// The JWK of a private key has the public key in it, and costs far less than making a public key object.
const x25519Share = (key: KeyObject): Uint8Array =>
  Uint8Array.from(Buffer.from(key.export({ format: "jwk" }).x!, "base64url"))

type MakeKey = (bytes: Uint8Array) => KeyObject

/** Works everywhere, but parsing costs as much as a quarter of making the key; in Node 22 several times that. */
const x25519FromPkcs8: MakeKey = (bytes) =>
  createPrivateKey({ key: Buffer.concat([x25519Pkcs8, bytes]), format: "der", type: "pkcs8" })

/** Cheaper ways, each of which works in some versions of Node. */
const x25519Shortcuts: ReadonlyArray<MakeKey> = [
  (bytes) => createPrivateKey({ key: bytes, format: "raw-private", asymmetricKeyType: "x25519" }),
  // Where this works the public key is not looked at.
  (bytes) =>
    createPrivateKey({ key: { kty: "OKP", crv: "X25519", d: base64url(bytes), x: base64url(bytes) }, format: "jwk" })
]

const probe = new Uint8Array(32).fill(7)
const probeShare = x25519Share(x25519FromPkcs8(probe))

/** Whether a way works here, and gives the right key. */
const worksHere = (makeKey: MakeKey): boolean => {
  try {
    return Buffer.compare(x25519Share(makeKey(probe)), probeShare) === 0
  } catch {
    return false
  }
}

const x25519Private = x25519Shortcuts.find(worksHere) ?? x25519FromPkcs8

const x25519Agree = (privateKey: KeyObject, share: Uint8Array): Uint8Array => {
  if (share.length !== 32) abort(Alert.illegalParameter, "an X25519 share has 32 bytes")
  return agreeing("X25519", () =>
    diffieHellman({
      privateKey,
      // Half of what it costs from DER.
      publicKey: createPublicKey({
        key: { kty: "OKP", crv: "X25519", x: base64url(share) },
        format: "jwk"
      })
    })
  )
}

/** RFC 7748. */
export const X25519: KeyExchangeGroup = {
  id: 0x001d,
  name: "X25519",
  offer: (random) => {
    const key = x25519Private(random(32))
    return { share: x25519Share(key), accept: (share) => x25519Agree(key, share) }
  },
  answer: (clientShare, random) => {
    const key = x25519Private(random(32))
    return { share: x25519Share(key), secret: x25519Agree(key, clientShare) }
  }
}

/** A private key is a number below the order of the curve: of 2^32 draws one is not, and the next one is. */
const drawP256 = (ecdh: ECDH, random: Random): void => {
  for (let tries = 0; tries < 4; tries++) {
    try {
      return ecdh.setPrivateKey(random(32))
    } catch {
      // Drawn again.
    }
  }
  abort(Alert.internalError, "the source of randomness gives no private key for secp256r1")
}

const p256Offer = (random: Random): KeyOffer => {
  const ecdh = createECDH("prime256v1")
  drawP256(ecdh, random)
  return {
    share: Uint8Array.from(ecdh.getPublicKey()),
    accept: (share) => {
      // Only the uncompressed form is allowed (RFC 8446 section 4.2.8.2).
      if (share.length !== 65 || share[0] !== 4) abort(Alert.illegalParameter, "a secp256r1 share is 4, x and y")
      return agreeing("secp256r1", () => ecdh.computeSecret(share))
    }
  }
}

/** NIST P-256. */
export const secp256r1: KeyExchangeGroup = {
  id: 0x0017,
  name: "secp256r1",
  offer: p256Offer,
  answer: (clientShare, random) => {
    const { accept, share } = p256Offer(random)
    return { share, secret: accept(clientShare) }
  }
}

/** Every group, in the order of preference. */
export const keyExchangeGroups: ReadonlyArray<KeyExchangeGroup> = [X25519, secp256r1]
