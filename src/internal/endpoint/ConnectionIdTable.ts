/**
 * Connection IDs issued by this endpoint, and the way from a datagram to its connection. Our own IDs carry four random
 * bytes that serve as a number to look up; the rest is compared. IDs that clients choose for their first packets are
 * strings here: they are few and short-lived.
 */
import type { LocalConnectionId } from "../paths/LocalConnectionIds.ts"
import { hmac } from "../tls/Hmac.ts"
import { bytesOf, textOf } from "../wire/ByteText.ts"
import { RESET_TOKEN } from "../wire/Protocol.ts"

/** Length of the IDs that this endpoint issues. */
export const CONNECTION_ID_LENGTH = 8

/** Bytes of a random reset key. */
const RESET_KEY = 32

/** An ID with the connection that it leads to. */
export class Route<A> implements LocalConnectionId {
  connection: A
  readonly pathId: number
  readonly sequence: number
  /** The ID, a character for each byte. */
  readonly text: string
  pending = false
  private readonly table: ConnectionIdTable<A>

  constructor(table: ConnectionIdTable<A>, connection: A, pathId: number, sequence: number, text: string) {
    this.table = table
    this.connection = connection
    this.pathId = pathId
    this.sequence = sequence
    this.text = text
  }

  get bytes(): Uint8Array {
    return bytesOf(this.text)
  }

  /** Told to the peer once as a rule, or never: not kept. */
  get resetToken(): Uint8Array {
    return this.table.resetToken(this.bytes)
  }
}

const keyOf = (bytes: Uint8Array, start: number): number =>
  ((bytes[start]! & 0x3f) << 24) | (bytes[start + 1]! << 16) | (bytes[start + 2]! << 8) | bytes[start + 3]!

export class ConnectionIdTable<A> {
  private readonly routes = new Map<number, Route<A>>()
  private readonly initial = new Map<string, Route<A>>()
  private readonly random: (length: number) => Uint8Array
  /** Gives the reset token of an ID; its key is nowhere to be looked at. */
  readonly resetToken: (id: Uint8Array) => Uint8Array
  private lastKey = -1
  private lastRoute: Route<A> | undefined = undefined

  /**
   * `resetKey`: secret from which the reset tokens come. The same one after a restart gives the same tokens, so that peers of
   * before can be told that their connections are gone (RFC 9000 section 10.3.2). Default: random.
   */
  constructor(random: (length: number) => Uint8Array, resetKey?: Uint8Array) {
    this.random = random
    const key = (resetKey ?? random(RESET_KEY)).slice()
    this.resetToken = (id) => hmac("sha256", key, id).slice(0, RESET_TOKEN)
  }

  /** IDs that lead somewhere, those that clients chose included. */
  get size(): number {
    return this.routes.size + this.initial.size
  }

  /** A fresh ID. With `bind` the connection of the first one is told later, when it exists. */
  issue(connection: A | undefined, pathId: number, sequence: number): Route<A> {
    let bytes = this.random(CONNECTION_ID_LENGTH)
    while (this.routes.has(keyOf(bytes, 0))) bytes = this.random(CONNECTION_ID_LENGTH)
    const route = new Route(this, connection as A, pathId, sequence, textOf(bytes))
    this.routes.set(keyOf(bytes, 0), route)
    return route
  }

  bind(route: Route<A>, connection: A): void {
    route.connection = connection
  }

  retire(id: LocalConnectionId): void {
    this.routes.delete(keyOf(id.bytes, 0))
    this.lastKey = -1
    this.lastRoute = undefined
  }

  /** The route of the ID at `start`, which has our length. */
  find(bytes: Uint8Array, start: number): Route<A> | undefined {
    const key = keyOf(bytes, start)
    const route = key === this.lastKey ? this.lastRoute : this.routes.get(key)
    if (route === undefined) return undefined
    for (let i = 0; i < CONNECTION_ID_LENGTH; i++) if (route.text.charCodeAt(i) !== bytes[start + i]) return undefined
    this.lastKey = key
    this.lastRoute = route
    return route
  }

  /** The ID that a client chose for its first packets leads to the same place as one of ours. */
  addInitial(id: Uint8Array, route: Route<A>): string {
    const key = textOf(id)
    this.initial.set(key, route)
    return key
  }

  findInitial(bytes: Uint8Array, start: number, length: number): Route<A> | undefined {
    return this.initial.get(Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString("latin1"))
  }

  removeInitial(key: string): void {
    this.initial.delete(key)
  }
}
