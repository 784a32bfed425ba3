/**
 * Key exchange groups (RFC 8446 sections 4.2.8.2 and 7.4.2), in the shape of a key encapsulation so that hybrid groups
 * fit beside Diffie-Hellman: the client offers, the server answers, both get the same secret.
 */
import { type ECDH, type KeyObject, createECDH, createPrivateKey, createPublicKey, diffieHellman } from "node:crypto"
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

// DER around the 32 bytes of a key (RFC 8410 sections 4 and 7).
const x25519Pkcs8 = Buffer.from("302e020100300506032b656e04220420", "hex")
const x25519Spki = Buffer.from("302a300506032b656e032100", "hex")

const x25519Private = (random: Random): KeyObject =>
  createPrivateKey({ key: Buffer.concat([x25519Pkcs8, random(32)]), format: "der", type: "pkcs8" })

// The JWK of a private key has the public key in it, and costs far less than making a public key object.
const x25519Share = (key: KeyObject): Uint8Array =>
  Uint8Array.from(Buffer.from(key.export({ format: "jwk" }).x!, "base64url"))

const x25519Agree = (privateKey: KeyObject, share: Uint8Array): Uint8Array => {
  if (share.length !== 32) abort(Alert.illegalParameter, "an X25519 share has 32 bytes")
  return agreeing("X25519", () =>
    diffieHellman({
      privateKey,
      publicKey: createPublicKey({ key: Buffer.concat([x25519Spki, share]), format: "der", type: "spki" })
    })
  )
}

/** RFC 7748. */
export const X25519: KeyExchangeGroup = {
  id: 0x001d,
  name: "X25519",
  offer: (random) => {
    const key = x25519Private(random)
    return { share: x25519Share(key), accept: (share) => x25519Agree(key, share) }
  },
  answer: (clientShare, random) => {
    const key = x25519Private(random)
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
