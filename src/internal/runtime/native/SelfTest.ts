/**
 * Proves before use that native code does here what it should: packets sealed and opened as node:crypto has them, and a train
 * of datagrams over loopback.
 */
import { Effect } from "effect"
import type { AeadAlgorithm } from "../../crypto/Protection.ts"
import type { BoundSocket } from "../Sockets.ts"
import { makePacketBurst } from "../../crypto/PacketBurst.ts"
import { nodeProtection } from "../../crypto/NodeProtection.ts"
import { Ecn } from "../../wire/Datagram.ts"
import { nativeProtection } from "./NativeProtection.ts"
import { bindNativeUdp } from "./NativeUdp.ts"

/** Ms that a datagram may take over loopback. */
const patience = 1000

const algorithms: ReadonlyArray<[AeadAlgorithm, keyLength: number]> = [
  ["aes-128-gcm", 16],
  ["aes-256-gcm", 32],
  ["chacha20-poly1305", 32]
]

const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i + 1)

const packet = (): ReturnType<typeof makePacketBurst> => {
  const burst = makePacketBurst(1, counting(100))
  burst.count = 1
  burst.pnOffset[0] = 9
  burst.pnLength[0] = 4
  burst.end[0] = burst.slab.length
  burst.pathId[0] = 7
  burst.packetNumber[0] = 2 ** 40 + 5
  return burst
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** What is wrong with an algorithm. */
const wrongWith = (algorithm: AeadAlgorithm, keyLength: number): string | undefined => {
  const expected = packet()
  const burst = packet()
  nodeProtection.packetKey(algorithm, counting(keyLength), counting(12)).seal(expected, 0, 1)
  const key = nativeProtection.packetKey(algorithm, counting(keyLength), counting(12))
  const header = nativeProtection.headerKey(algorithm, counting(keyLength))
  try {
    key.seal(burst, 0, 1)
    if (!sameBytes(burst.slab, expected.slab)) return `${algorithm} gives other bytes than node:crypto`
    const offsets = Int32Array.of(13)
    const masks = [new Uint8Array(16), new Uint8Array(16)] as const
    nodeProtection.headerKey(algorithm, counting(keyLength)).masks(burst.slab, offsets, 1, masks[0])
    header.masks(burst.slab, offsets, 1, masks[1])
    if (!sameBytes(masks[0].subarray(0, 5), masks[1].subarray(0, 5))) return `${algorithm} gives other masks`
    if (!key.open(burst, 0) || !sameBytes(burst.slab.subarray(0, 84), packet().slab.subarray(0, 84)))
      return `${algorithm} does not open what it sealed`
    burst.slab.set(expected.slab)
    burst.slab[20]! ^= 1
    return key.open(burst, 0) ? `${algorithm} opens a forged packet` : undefined
  } finally {
    key.close()
    header.close()
  }
}

const overLoopback = (socket: BoundSocket): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    const bytes = counting(25)
    yield* socket.transmit([{ local: socket.local, remote: socket.local, ecn: Ecn.ect0, segmentSize: 10, bytes }])
    const arrived: Array<number> = []
    for (let datagrams = 0; datagrams < 3;) {
      const { slab, count, offset, length, remote } = yield* socket.pull
      if (remote[0] !== socket.local) return `a datagram came from ${remote[0]} instead of ${socket.local}`
      for (let i = 0; i < count; i++) arrived.push(...slab.subarray(offset[i], offset[i]! + length[i]!))
      datagrams += count
    }
    return sameBytes(Uint8Array.from(arrived), bytes) ? undefined : "datagrams arrive changed"
  }).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.succeed("datagrams over loopback do not arrive")
    }),
    Effect.catch((error) => Effect.succeed(error.message))
  )

/** What native code does wrong here; undefined if it is fit for use. Defects count as failures too. */
export const selfTest: Effect.Effect<string | undefined> = Effect.gen(function* () {
  for (const [algorithm, keyLength] of algorithms) {
    const wrong = wrongWith(algorithm, keyLength)
    if (wrong !== undefined) return wrong
  }
  return yield* bindNativeUdp({ host: "127.0.0.1", port: 0 }).pipe(
    // A host without IPv4.
    Effect.catch(() => bindNativeUdp({ host: "::1", port: 0 })),
    Effect.flatMap(overLoopback),
    Effect.scoped,
    Effect.catch((error) => Effect.succeed(error.message))
  )
})
