/**
 * A UDP relay: datagrams pass through it on their way to a target and back, with the rate, delay, loss and outages of a
 * network that is not there. It works on real sockets (demonstrations, live tests, foreign peers) as well as on simulated
 * ones: it uses whichever `UdpSocket` Layer it is given.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Endpoint } from "effect-mpquic"
 * import { UdpRelay } from "effect-mpquic/testing"
 *
 * const program = Effect.gen(function* () {
 *   const relay = yield* UdpRelay.make({
 *     listen: { host: "127.0.0.1", port: 0 },
 *     target: { host: "127.0.0.1", port: 4433 },
 *     mbps: 40,
 *     delay: "10 millis",
 *     queue: 100
 *   })
 *   const connection = yield* Endpoint.connect({ address: relay.address, alpn: "echo" })
 *   relay.cut()
 *   return connection
 * })
 * ```
 *
 * It releases what is due about every millisecond (the grain of timers) and reckons rates by time, so that they are
 * exact however late a timer is; a delay may be up to 2 ms longer than asked.
 *
 * @module
 * @since 0.1.0
 */
import { Clock, Effect, Exit, Latch, Scope } from "effect"
import type { NetAddress } from "effect/net"
import { DESTINATION, isNoDestination, toInetAddress } from "../internal/runtime/Addresses.ts"
import { attempt, badArgument, copyOf, name, port, wholeNumber } from "../internal/runtime/Arguments.ts"
import { AddressBook } from "../internal/wire/Datagram.ts"
import type { Address, DatagramBurst } from "../internal/wire/Datagram.ts"
import { QuicError } from "../QuicError.ts"
import { UdpSocket } from "../UdpSocket.ts"
import type { BoundSocket } from "../UdpSocket.ts"
import { ipOf, seedOf, toDuplexOptions } from "./internal/FaceOptions.ts"
import type { DuplexOptions, LinkOptions } from "./internal/FaceOptions.ts"
import { Trains } from "./internal/Trains.ts"
import type { BurstLoss } from "./internal/Link.ts"
import { makeRelayCore } from "./internal/RelayCore.ts"
import type { RelayStats } from "./internal/RelayCore.ts"

export type { BurstLoss, DuplexOptions, LinkOptions }

/**
 * Counters of a relay; `forward` is from clients to the target. Bytes are UDP payload.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends RelayStats {}

/**
 * Settings of a relay. Link options hold for each direction, except where `forward` (to the target) or `backward` has its
 * own.
 *
 * @category configuration
 * @since 0.1.0
 */
export interface Options extends DuplexOptions {
  /** Where clients send to. Port 0: the system chooses. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Where the relay sends what clients send. */
  readonly target: { readonly host: string; readonly port: number }
  /** Local host of the sockets that talk to the target. Default: that of `listen`. */
  readonly from?: string | undefined
  /** Clients served at the same time, each with a socket of its own. A new one beyond that replaces the oldest. Default 64. */
  readonly maxClients?: number | undefined
  /** The number that losses, jitter and the like follow from. Default 1. */
  readonly seed?: number | undefined
}

/**
 * A running relay. Operations take effect at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface UdpRelay {
  /** What clients connect to. */
  readonly address: NetAddress.InetAddress
  /** Starts an outage: what is inside is lost, what comes in too. */
  readonly cut: () => void
  /** Ends it. */
  readonly restore: () => void
  /** Changes link options; what is not named stays. Throws a `QuicError` (`BadConfig`) for a wrong one. */
  readonly set: (options: DuplexOptions) => void
  /** Counters now. */
  readonly stats: Stats
  /** Clients with an open session. */
  readonly clients: ReadonlyArray<NetAddress.InetAddress>
  /**
   * Gives every session a new socket towards the target, so that the target sees its peers move to other ports: a NAT
   * rebinding (RFC 9000 section 9.3).
   */
  readonly rebind: Effect.Effect<void, QuicError>
}

const readOptions = (given: Options) => {
  const { from, listen, maxClients, seed, target, ...link } = copyOf("options", given) as Options
  const front = endOf("listen", listen, 0)
  return {
    listen: front,
    from: from === undefined ? front.host : ipOf("from", from),
    seed: seedOf(seed),
    link: toDuplexOptions(link),
    target: targetOf(target),
    maxClients: wholeNumber("maxClients", maxClients === undefined ? 64 : maxClients, 1, 65_535)
  }
}

const endOf = (field: string, given: Options["target"], lowest: 0 | 1): Options["target"] => {
  if (typeof given !== "object" || given === null)
    throw badArgument(field, given, 'an object such as { host: "127.0.0.1", port: 4433 }')
  const end = copyOf(field, given, `${field}.`)
  return { host: name(`${field}.host`, end.host), port: port(`${field}.port`, end.port, lowest) }
}

const targetOf = (given: Options["target"]): Options["target"] => {
  const address = endOf("target", given, 1)
  if (isNoDestination(address.host)) throw badArgument("target", address.host, DESTINATION)
  return address
}

/** One client and its socket towards the target. */
interface Session {
  readonly client: Address
  socket: BoundSocket
  scope: Scope.Closeable | undefined
}

/**
 * Runs a relay until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<UdpRelay, QuicError, UdpSocket | Scope.Scope> =>
  Effect.gen(function* () {
    const given = attempt("options", () => readOptions(options))
    if (given instanceof QuicError) return yield* given
    const { from, link, listen, maxClients, seed, target: targetInput } = given
    const service = yield* UdpSocket
    const clock = yield* Clock.Clock
    const scope = yield* Effect.scope
    const addresses = new AddressBook()
    const target = addresses.intern(targetInput.host, targetInput.port)
    const front = yield* service.bind(listen, { addresses })
    const sessions = new Map<string, Session>()
    const now = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

    const trains = new Trains()
    const core = makeRelayCore<Session>(
      { ...link, seed },
      {
        send: (direction, session, bytes, ecn) => {
          if (direction === "forward") trains.add(session.socket, target, bytes, ecn)
          else trains.add(front, session.client, bytes, ecn)
        }
      }
    )
    const advance = (time: number): void => {
      core.advance(time)
      trains.flush()
    }

    // One fiber releases what is due, every tick while there is something inside.
    const busy = Latch.makeUnsafe(false)
    const release: Effect.Effect<never> = Effect.suspend(() => {
      advance(now())
      if (core.next() < Infinity) return Effect.andThen(Effect.sleep(tick), release)
      busy.closeUnsafe()
      return Effect.andThen(busy.await, release)
    })
    yield* Effect.forkIn(release, scope)

    /** Hands over the datagrams of a burst from `start` on, up to one whose session must be opened first. */
    const offer = (
      direction: "backward" | "forward",
      burst: DatagramBurst,
      start: number,
      find: (remote: Address) => Session | undefined
    ): number => {
      const time = now()
      let index = start
      for (; index < burst.count; index++) {
        const session = find(burst.remote[index]!)
        if (session === undefined) break
        const at = burst.offset[index]!
        core.offer(direction, session, burst.slab, at, at + burst.length[index]!, burst.ecn[index]!, time)
      }
      advance(time)
      if (core.next() < Infinity) busy.openUnsafe()
      return index
    }

    const receiveAnswers = (session: Session, socket: BoundSocket): Effect.Effect<never, QuicError> => {
      const find = () => session
      return Effect.forever(Effect.map(socket.pull, (burst) => offer("backward", burst, 0, find)))
    }

    /** Gives a session a new socket, and closes the one it had. */
    const renew = (session: Session): Effect.Effect<void, QuicError> =>
      Effect.gen(function* () {
        const own = yield* Scope.fork(scope)
        const socket = yield* service.bind({ host: from, port: 0 }, { addresses }).pipe(
          Scope.provide(own),
          Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
        )
        yield* Effect.forkIn(receiveAnswers(session, socket), own)
        const old = session.scope
        session.socket = socket
        session.scope = own
        if (old !== undefined) yield* Scope.close(old, Exit.void)
      })

    const admit = Effect.fnUntraced(function* (client: Address) {
      if (sessions.size >= maxClients) {
        const [oldest] = sessions.values()
        sessions.delete(oldest!.client.key)
        if (oldest!.scope !== undefined) yield* Scope.close(oldest!.scope, Exit.void)
      }
      const session: Session = { client, socket: front, scope: undefined }
      yield* renew(session)
      sessions.set(client.key, session)
    })

    const findSession = (remote: Address) => sessions.get(remote.key)
    const receiveClients = Effect.gen(function* () {
      while (true) {
        const burst = yield* front.pull
        let index = offer("forward", burst, 0, findSession)
        while (index < burst.count) {
          // Without a socket for this client, its datagram is lost, as on a router without a free port.
          const admitted = yield* Effect.exit(admit(burst.remote[index]!))
          index = offer("forward", burst, Exit.isSuccess(admitted) ? index : index + 1, findSession)
        }
      }
    })
    yield* Effect.forkIn(receiveClients, scope)

    const set = (change: DuplexOptions): void => core.set(toDuplexOptions(change), now())
    return {
      address: toInetAddress(front.local),
      cut: () => set({ up: false }),
      restore: () => set({ up: true }),
      set,
      get stats() {
        return core.stats()
      },
      get clients() {
        return Array.from(sessions.values(), ({ client }) => toInetAddress(client))
      },
      rebind: Effect.suspend(() => Effect.forEach(Array.from(sessions.values()), renew, { discard: true }))
    }
  })

/** Ms between releases. */
const tick = 1
