/**
 * From what a caller names to addresses: IP literals as they are, names by the resolver.
 */
import { Effect, Option, Result } from "effect"
import type { Scope } from "effect"
import { Dns, NetAddress } from "effect/net"
import { lookup } from "node:dns/promises"
import { createSocket } from "node:dgram"
import type { Socket } from "node:dgram"
import { QuicError, ResolveFailed } from "../../QuicError.ts"
import type { Address, AddressBook } from "../wire/Datagram.ts"
import { addressFromInput, DESTINATION, isNoDestination, literalAddress } from "./Addresses.ts"
import type { AddressInput } from "./Addresses.ts"
import { describe } from "./Arguments.ts"
import { badConfig } from "./BadConfig.ts"
import { bindError, systemCode, unreachable } from "./UdpErrors.ts"

const systemLookup = (host: string): Effect.Effect<ReadonlyArray<string>, QuicError> =>
  Effect.tryPromise({
    try: () => lookup(host, { all: true }),
    catch: (cause) => new QuicError({ reason: new ResolveFailed({ host, cause }) })
  }).pipe(Effect.map((found) => found.map((entry) => entry.address)))

/** A `Dns` service in the context, such as the one of a test, goes before the system's resolver. */
const lookupHosts = (host: string): Effect.Effect<ReadonlyArray<string>, QuicError> =>
  Effect.flatMap(Effect.serviceOption(Dns.Dns), (dns) =>
    Option.isNone(dns)
      ? systemLookup(host)
      : dns.value.lookup(host).pipe(
          Effect.map((found) => found.map(NetAddress.formatIp)),
          Effect.mapError((cause) => new QuicError({ reason: new ResolveFailed({ host, cause }) }))
        )
  )

/** At least one address, in the order of preference. `field` is what the caller named the host with. */
export const resolve = (
  book: AddressBook,
  host: string,
  port: number,
  field = "host"
): Effect.Effect<ReadonlyArray<Address>, QuicError> =>
  Effect.suspend(() => {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      return badConfig("port", String(port), "a whole number from 1 to 65535")
    }
    const literal = literalAddress(book, host, port)
    if (literal !== undefined)
      return isNoDestination(literal.host)
        ? badConfig(field, JSON.stringify(host), DESTINATION)
        : Effect.succeed([literal])
    return Effect.flatMap(lookupHosts(host), (hosts) => {
      const addresses: Array<Address> = []
      for (const each of hosts) {
        const address = addressFromInput(book, each, port)
        // Filters of names answer with 0.0.0.0.
        if (Result.isFailure(address) || isNoDestination(address.success.host)) continue
        if (!addresses.includes(address.success)) addresses.push(address.success)
      }
      return addresses.length === 0
        ? Effect.fail(new QuicError({ reason: new ResolveFailed({ host }) }))
        : Effect.succeed(addresses)
    })
  })

/** A numeric address of a setting; `port` when it names none. */
export const numericAddress = (
  book: AddressBook,
  field: string,
  input: AddressInput,
  port: number
): Effect.Effect<Address, QuicError> => {
  const address = addressFromInput(book, input, port)
  return Result.isSuccess(address)
    ? Effect.succeed(address.success)
    : badConfig(
        field,
        describe(input),
        'an IP address, with a port or without, such as "127.0.0.1", "127.0.0.1:4433" or "[::1]:4433"'
      )
}

/** The same, of somebody else. */
export const destination = (
  book: AddressBook,
  field: string,
  input: AddressInput,
  port: number
): Effect.Effect<Address, QuicError> =>
  Effect.flatMap(numericAddress(book, field, input, port), (address) =>
    isNoDestination(address.host)
      ? badConfig(field, JSON.stringify(address.host), DESTINATION)
      : Effect.succeed(address)
  )

const ignore = (): void => {}

const discard = (socket: Socket): void => {
  socket.removeAllListeners()
  socket.on("error", ignore)
  socket.close()
}

/**
 * The local host that packets to `remote` leave from, as the system's routes say now; if they are to leave from `local`, that
 * one. Fails with `AddressUnreachable` where no route leads, with `AddressUnavailable` when `local` is not of this host. A
 * connected UDP socket tells it without sending anything.
 */
export const sourceHost = (remote: Address, local?: Address): Effect.Effect<string, QuicError> =>
  Effect.callback<string, QuicError>((resume) => {
    const socket = createSocket(remote.family === 6 ? "udp6" : "udp4")
    const fail = (error: QuicError): void => {
      discard(socket)
      resume(Effect.fail(error))
    }
    const connect = (): void => {
      socket.removeAllListeners("error")
      socket.once("error", (cause) => fail(unreachable(remote, local, cause)))
      // Node hands a refusal to the callback as well.
      socket.connect(remote.port, remote.host, (cause?: Error) => {
        if (cause !== undefined && cause !== null) return fail(unreachable(remote, local, cause))
        const { address } = socket.address()
        discard(socket)
        resume(Effect.succeed(address))
      })
    }
    if (local === undefined) {
      connect()
    } else {
      socket.once("error", (cause) => fail(bindError(local, cause)))
      socket.bind({ port: 0, address: local.host, exclusive: true }, connect)
    }
    return Effect.sync(() => discard(socket))
  })

/** Bytes of a datagram that no QUIC endpoint takes for a packet. */
const KNOCK = new Uint8Array(1)

/**
 * Sends a datagram of one byte to `remote` and tells every ICMP error that answers it, until the scope closes. For sockets
 * that do not hear of such errors: the system tells them to a connected socket only.
 */
export const listenForRefusals = (
  local: Address,
  remote: Address,
  onRefusal: (code: string) => void
): Effect.Effect<void, never, Scope.Scope> => {
  const onError = (cause: unknown): void => onRefusal(systemCode(cause))
  const open = Effect.sync(() => {
    const socket = createSocket(remote.family === 6 ? "udp6" : "udp4")
    socket.on("error", onError)
    socket.bind({ port: 0, address: local.host, exclusive: true }, () =>
      socket.connect(remote.port, remote.host, (cause?: Error) => {
        if (cause !== undefined && cause !== null) return onError(cause)
        socket.send(KNOCK, (refusal) => {
          if (refusal !== null) onError(refusal)
        })
      })
    )
    return socket
  })
  return Effect.asVoid(Effect.acquireRelease(open, (socket) => Effect.sync(() => discard(socket))))
}
