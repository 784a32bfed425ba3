/**
 * Digests and HMAC (RFC 2104), small and many, as key schedules want them. node's `Hmac` and `Hash` objects cost several
 * times what they compute, and so does memory for a digest that node allocates: here digests are made in one shot, and
 * come as strings.
 */
import { hash as oneShot } from "node:crypto"

/** Hashes of TLS 1.3's cipher suites. */
export type HashName = "sha256" | "sha384"

/** Bytes of a digest. */
export const hashLength = (hash: HashName): 32 | 48 => (hash === "sha256" ? 32 : 48)

/** Longest message that the scratch memory is made for at first: what key schedules hash is shorter. */
const MESSAGE = 256

/** What one hash needs: the two blocks that HMAC puts before what it hashes, each with room for that. */
interface Workspace {
  readonly blockLength: number
  inner: Uint8Array
  readonly outer: Buffer
  /** As long as a digest. */
  readonly result: Buffer
}

const workspace = (blockLength: number, digestLength: number): Workspace => ({
  blockLength,
  inner: new Uint8Array(blockLength + MESSAGE),
  outer: Buffer.alloc(blockLength + digestLength),
  result: Buffer.alloc(digestLength)
})

const workspaces: Record<HashName, Workspace> = { sha256: workspace(64, 32), sha384: workspace(128, 48) }

/** The digest of a message. */
export const digest = (hash: HashName, message: Uint8Array): Uint8Array => {
  const { result } = workspaces[hash]
  result.write(oneShot(hash, message, "latin1"), "latin1")
  return new Uint8Array(result)
}

export const hmac = (hash: HashName, key: Uint8Array, message: Uint8Array): Uint8Array => {
  const work = workspaces[hash]
  const { blockLength, outer } = work
  if (key.length > blockLength) return hmac(hash, digest(hash, key), message)
  const length = blockLength + message.length
  if (length > work.inner.length) work.inner = new Uint8Array(length)
  const { inner } = work
  inner.fill(0x36, 0, blockLength)
  outer.fill(0x5c, 0, blockLength)
  for (let i = 0; i < key.length; i++) {
    inner[i] = key[i]! ^ 0x36
    outer[i] = key[i]! ^ 0x5c
  }
  inner.set(message, blockLength)
  outer.write(oneShot(hash, inner.subarray(0, length), "latin1"), blockLength, "latin1")
  return digest(hash, outer)
}
