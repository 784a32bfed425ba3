import { Effect } from "effect"
import type { Scope } from "effect"
import { obstacle } from "../../src/internal/runtime/native/Availability.ts"
import type { Transmit } from "../../src/internal/wire/Datagram.ts"
import * as UdpSocket from "../../src/UdpSocket.ts"

/** Why native code cannot be tested here, said once a file; undefined if it can. */
export const missing = obstacle()

if (missing !== undefined) console.log(`Tests of the native lane are skipped: ${missing}`)

export const skipped = missing !== undefined

export const loopback = { host: "127.0.0.1", port: 0 }

export const bind = Effect.fnUntraced(function* (address = loopback, options?: UdpSocket.BindOptions) {
  return yield* (yield* UdpSocket.UdpSocket).bind(address, options)
})

export const transmit = (
  from: UdpSocket.BoundSocket,
  remote: UdpSocket.Address,
  bytes: Uint8Array,
  more: Partial<Transmit> = {}
): Transmit => ({ local: from.local, remote, ecn: 0, segmentSize: 1200, bytes, ...more })

export interface Datagram {
  readonly bytes: Uint8Array
  readonly local: UdpSocket.Address
  readonly remote: UdpSocket.Address
  readonly ecn: number
}

/** Datagrams of a burst, copied. */
export const contents = (burst: UdpSocket.DatagramBurst): Array<Datagram> =>
  Array.from({ length: burst.count }, (_, i) => ({
    bytes: new Uint8Array(burst.slab.subarray(burst.offset[i], burst.offset[i]! + burst.length[i]!)),
    local: burst.local[i]!,
    remote: burst.remote[i]!,
    ecn: burst.ecn[i]!
  }))

export const receive = Effect.fnUntraced(function* (socket: UdpSocket.BoundSocket, count: number) {
  const datagrams: Array<Datagram> = []
  while (datagrams.length < count) datagrams.push(...contents(yield* socket.pull))
  return datagrams
})

/** Runs with native sockets. */
export const native = <A, E>(effect: Effect.Effect<A, E, UdpSocket.UdpSocket | Scope.Scope>) =>
  Effect.provide(Effect.timeout(effect, 20_000), UdpSocket.layerNative)

/** Bytes that differ from place to place. */
export const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i ^ (i >> 8))
