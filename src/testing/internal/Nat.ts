/**
 * A network address translator: hosts behind it share its public address. Mapping is endpoint-independent, filtering
 * address- and port-dependent (RFC 4787), which is what most home routers do.
 */
import type { Address, AddressBook } from "../../internal/wire/Datagram.ts"

/** A translation from an inside address to a public one. */
export interface NatMapping {
  readonly inside: Address
  readonly outside: Address
  /** False once it was replaced or has expired: what is still on its way to it is dropped. */
  active: boolean
  lastUsed: number
  /** Who was sent to through this mapping, by `Address.key`. */
  readonly remotes: Set<string>
}

/** Settings of a translator. */
export interface NatOptions {
  /** The public IP address. */
  readonly outside: string
  /** Inside hosts: addresses, or prefixes that end in `*` ("192.168.1.*"). */
  readonly inside: ReadonlyArray<string>
  /** Ms without an outgoing datagram after which a mapping is forgotten. Default: never. */
  readonly idle?: number | undefined
  /** Let anyone send to a mapped port (full cone). Default false: only those who were sent to. */
  readonly open?: boolean | undefined
}

/** Exact, or a prefix that ends in `*`. */
export const matchesHost = (pattern: string, host: string): boolean =>
  pattern.endsWith("*") ? host.startsWith(pattern.slice(0, -1)) : pattern === host

export class Nat {
  readonly options: NatOptions
  /** The public IP address now. */
  outside: string
  private readonly book: AddressBook
  private readonly now: () => number
  private readonly changed: () => void
  private readonly byInside = new Map<string, NatMapping>()
  private readonly byOutside = new Map<string, NatMapping>()
  private port = 20_000

  /** `changed` is called after every change of mappings that routes may rest on. */
  constructor(options: NatOptions, book: AddressBook, now: () => number, changed: () => void) {
    this.options = options
    this.outside = options.outside
    this.book = book
    this.now = now
    this.changed = changed
  }

  holds(host: string): boolean {
    return this.options.inside.some((pattern) => matchesHost(pattern, host))
  }

  /** Live mappings, inside to outside. */
  get mappings(): ReadonlyArray<readonly [inside: Address, outside: Address]> {
    return Array.from(this.byInside.values(), (mapping) => [mapping.inside, mapping.outside] as const)
  }

  /** The mapping of an outgoing datagram, made when there is none. */
  outgoing(from: Address, to: Address): NatMapping {
    let mapping = this.byInside.get(from.key)
    if (mapping === undefined || this.expired(mapping)) {
      if (mapping !== undefined) this.forget(mapping)
      mapping = this.map(from)
    }
    mapping.lastUsed = this.now()
    mapping.remotes.add(to.key)
    return mapping
  }

  /** The mapping that an incoming datagram is for, if it may pass. */
  incoming(from: Address, to: Address): NatMapping | undefined {
    const mapping = this.byOutside.get(to.key)
    if (mapping === undefined || this.expired(mapping)) return undefined
    return this.options.open === true || mapping.remotes.has(from.key) ? mapping : undefined
  }

  expired(mapping: NatMapping): boolean {
    return !mapping.active || this.now() - mapping.lastUsed > (this.options.idle ?? Infinity)
  }

  /**
   * Gives every mapping a new public port, and a new public address when one is named: what a router does after it
   * restarts. The old ones are closed, and the remotes learn the new ones from the next outgoing datagram.
   */
  rebind(outside?: string): void {
    if (outside !== undefined) this.outside = outside
    for (const mapping of Array.from(this.byInside.values())) {
      this.forget(mapping)
      this.map(mapping.inside)
    }
    this.changed()
  }

  private map(inside: Address): NatMapping {
    this.port = this.port >= 65_535 ? 20_000 : this.port + 1
    const outside = this.book.intern(this.outside, this.port)
    const mapping: NatMapping = { inside, outside, active: true, lastUsed: this.now(), remotes: new Set() }
    this.byInside.set(inside.key, mapping)
    this.byOutside.set(outside.key, mapping)
    return mapping
  }

  private forget(mapping: NatMapping): void {
    mapping.active = false
    this.byInside.delete(mapping.inside.key)
    this.byOutside.delete(mapping.outside.key)
  }
}
