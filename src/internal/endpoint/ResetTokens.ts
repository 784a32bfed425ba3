/**
 * Reset tokens of peers: a datagram that ends in one ends its connection (RFC 9000 section 10.3.1). Looked up by a keyed
 * hash, so that the time it takes says nothing about the tokens.
 */
import { hmac } from "../tls/Hmac.ts"
import { RESET_TOKEN } from "../wire/Protocol.ts"

export class ResetTokens<A> {
  private readonly owners = new Map<string, A>()
  private readonly key: Uint8Array

  constructor(random: (length: number) => Uint8Array) {
    this.key = random(32).slice()
  }

  get size(): number {
    return this.owners.size
  }

  add(token: Uint8Array, owner: A): void {
    this.owners.set(this.hash(token), owner)
  }

  /** Of the owner alone: two connections of one peer may have been told the same. */
  remove(token: Uint8Array, owner: A): void {
    const hash = this.hash(token)
    if (this.owners.get(hash) === owner) this.owners.delete(hash)
  }

  /** The owner of the token that ends at `end`. */
  find(bytes: Uint8Array, end: number): A | undefined {
    return this.owners.size === 0 ? undefined : this.owners.get(this.hash(bytes.subarray(end - RESET_TOKEN, end)))
  }

  private hash(token: Uint8Array): string {
    return Buffer.from(hmac("sha256", this.key, token)).toString("latin1")
  }
}
