/**
 * The relay without sockets and fibers: two shaped links, one to the target and one back, and the sessions of those who
 * use them. Whoever owns the sockets hands in datagrams and the time, and gets them back when they are due.
 */
import type { Address } from "../../internal/wire/Datagram.ts"
import { PacketPool } from "./Packets.ts"
import type { LinkPacket } from "./Packets.ts"
import { Prng } from "./Prng.ts"
import { Link } from "./Link.ts"
import type { LinkEvents, LinkOptions, LinkStats } from "./Link.ts"
import type { DuplexOptions } from "./SimulatorCore.ts"

/** One client of a relay; its owner adds what it must know to send. */
export interface RelaySession {
  readonly client: Address
}

/** Where due datagrams go. */
export interface RelayOutlet<S extends RelaySession> {
  /** Sends one datagram of a session: to the target, or back to its client. The bytes are used again after the call. */
  send(direction: "forward" | "backward", session: S, bytes: Uint8Array, ecn: number): void
}

class RelayDirection<S extends RelaySession> implements LinkEvents<S> {
  readonly link: Link<S>
  private readonly pool = new PacketPool<S>(4096)
  private readonly outlet: RelayOutlet<S>
  private readonly direction: "forward" | "backward"

  constructor(direction: "forward" | "backward", options: LinkOptions, seed: number, outlet: RelayOutlet<S>) {
    this.outlet = outlet
    this.direction = direction
    this.link = new Link(options, new Prng(seed, direction), this.pool, this)
  }

  offer(session: S, bytes: Uint8Array, start: number, end: number, ecn: number, now: number): void {
    const packet = this.pool.take(bytes, start, end, session.client, session.client, session)
    packet.ecn = ecn
    packet.sentAt = now
    this.link.offer(packet, now)
  }

  deliver(packet: LinkPacket<S>): void {
    this.outlet.send(this.direction, packet.context, packet.buffer.subarray(0, packet.length), packet.ecn)
    this.pool.give(packet)
  }

  /** The link counts it; nobody else wants to know. */
  drop(): void {}
}

/** Counters of a relay; `forward` is from clients to the target. Bytes are UDP payload. */
export interface RelayStats {
  readonly forward: LinkStats
  readonly backward: LinkStats
}

/** A relay that needs a clock and sockets. */
export interface RelayCore<S extends RelaySession> {
  /** Takes `bytes[start, end)` from a client (`forward`) or from the target (`backward`). The bytes are copied. */
  readonly offer: (
    direction: "forward" | "backward",
    session: S,
    bytes: Uint8Array,
    start: number,
    end: number,
    ecn: number,
    now: number
  ) => void
  /** When `advance` may have something to send; `Infinity` when the relay is empty. */
  readonly next: () => number
  /** Sends everything that is due. However late it is called, rates stay exact: they follow the time, not the calls. */
  readonly advance: (now: number) => void
  /** Changes options; what is not named stays. */
  readonly set: (options: DuplexOptions, now: number) => void
  readonly stats: () => RelayStats
}

/** Makes the two links of a relay. Throws a `QuicError` for options out of range. */
export const makeRelayCore = <S extends RelaySession>(
  options: DuplexOptions & { readonly seed?: number | undefined },
  outlet: RelayOutlet<S>
): RelayCore<S> => {
  const { forward: own, backward: backwardOwn, seed = 1, ...both } = options
  const forward = new RelayDirection("forward", { ...both, ...own }, seed, outlet)
  const backward = new RelayDirection("backward", { ...both, ...backwardOwn }, seed, outlet)
  return {
    offer: (direction, session, bytes, start, end, ecn, now) =>
      (direction === "forward" ? forward : backward).offer(session, bytes, start, end, ecn, now),
    next: () => Math.min(forward.link.next(), backward.link.next()),
    advance: (now) => {
      forward.link.advance(now)
      backward.link.advance(now)
    },
    set: ({ forward: forwardSet, backward: backwardSet, ...bothSet }, now) => {
      forward.link.set({ ...bothSet, ...forwardSet }, now)
      backward.link.set({ ...bothSet, ...backwardSet }, now)
    },
    stats: () => ({ forward: { ...forward.link.stats }, backward: { ...backward.link.stats } })
  }
}
