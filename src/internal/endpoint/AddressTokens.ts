/**
 * Tokens that prove a client's address (RFC 9000 section 8.1): those of Retry packets and those of NEW_TOKEN frames. Sealed,
 * so that nothing is kept for those that are out, and nobody on the way can tell two connections of a client apart by them.
 */
import { SealedTokens } from "../crypto/SealedTokens.ts"
import { addressToBytes } from "../wire/AddressBytes.ts"
import { bytesOf, textOf } from "../wire/ByteText.ts"
import { ByteReader, ByteWriter } from "../wire/Cursor.ts"
import type { Address } from "../wire/Datagram.ts"

/** ms for which the token of a Retry is good: it comes back at once, if at all. */
const RETRY_LIFETIME = 15_000
/** Most bytes of what is in a token. */
const LARGEST = 96
/** Used tokens that are known at a time; twice. */
const USED = 8192

const Kind = { retry: 0, fresh: 1 } as const

/** What a token says. */
export type TokenAnswer =
  /** The client is where it says it is. `original`: the ID of its very first Initial, when the token is of a Retry. */
  | { readonly kind: "proven"; readonly original: Uint8Array | undefined }
  /** Of a Retry, and not of this client or this time: it would never connect (RFC 9000 section 8.1.3). */
  | { readonly kind: "invalid" }
  /** Of somebody else, too old, damaged or used before: as if there were none. */
  | { readonly kind: "none" }

const none: TokenAnswer = { kind: "none" }
const invalid: TokenAnswer = { kind: "invalid" }

export class AddressTokens {
  private readonly sealed: SealedTokens
  private readonly lifetime: number
  /** Those of late, and those before: a bounded memory forgets the oldest, whose second use then passes. */
  private used = new Set<string>()
  private usedBefore = new Set<string>()

  /** `lifetime`: ms for which tokens of NEW_TOKEN are good, and after which the key is another one. */
  constructor(options: {
    readonly random: (length: number) => Uint8Array
    readonly key?: Uint8Array | undefined
    readonly lifetime: number
  }) {
    const { key, lifetime, random } = options
    this.sealed = new SealedTokens({ random, key, label: "address tokens", epochLength: lifetime })
    this.lifetime = lifetime
  }

  /** For a Retry: good for the client that sends its next Initial from `remote` to `scid`. `wallTime`: ms since 1970. */
  forRetry(remote: Address, original: Uint8Array, scid: Uint8Array, wallTime: number): Uint8Array {
    return this.seal(Kind.retry, remote, wallTime, (w) => {
      w.uint16(remote.port)
      w.uint8(scid.length)
      w.copy(scid)
      w.uint8(original.length)
      w.copy(original)
    })
  }

  /** For NEW_TOKEN: good once, for a later connection from the same IP address. */
  forLater(remote: Address, wallTime: number): Uint8Array {
    return this.seal(Kind.fresh, remote, wallTime, () => {})
  }

  /** What the token of an Initial from `remote` to `dcid` is worth. */
  open(token: Uint8Array, remote: Address, dcid: Uint8Array, wallTime: number): TokenAnswer {
    const payload = this.sealed.open(token, wallTime)
    if (payload === undefined) return none
    const r = new ByteReader().reset(payload, 0, payload.length)
    const kind = r.uint8()
    const age = wallTime - (r.uint32() * 2 ** 32 + r.uint32())
    const here = textOf(addressToBytes(remote)) === this.text(r)
    if (kind === Kind.retry) {
      const port = r.uint16()
      const scid = this.text(r)
      const original = bytesOf(this.text(r))
      // A clock that was set back must not make it good for longer.
      const timely = Math.abs(age) <= RETRY_LIFETIME
      return here && timely && port === remote.port && scid === textOf(dcid) ? { kind: "proven", original } : invalid
    }
    if (!here || Math.abs(age) > this.lifetime || !this.firstUse(textOf(this.sealed.salt(token)))) return none
    return { kind: "proven", original: undefined }
  }

  private text(r: ByteReader): string {
    const length = r.uint8()
    const start = r.skip(length)
    return textOf(r.bytes.subarray(start, start + length))
  }

  private firstUse(salt: string): boolean {
    if (this.used.has(salt) || this.usedBefore.has(salt)) return false
    if (this.used.size >= USED) {
      this.usedBefore = this.used
      this.used = new Set()
    }
    this.used.add(salt)
    return true
  }

  private seal(kind: number, remote: Address, wallTime: number, more: (w: ByteWriter) => void): Uint8Array {
    const address = addressToBytes(remote)
    const w = new ByteWriter(new Uint8Array(LARGEST))
    const time = Math.max(0, Math.floor(wallTime))
    w.uint8(kind)
    w.uint32(Math.floor(time / 2 ** 32))
    w.uint32(time % 2 ** 32)
    w.uint8(address.length)
    w.copy(address)
    more(w)
    return this.sealed.seal(w.bytes.subarray(0, w.position), wallTime)
  }
}
