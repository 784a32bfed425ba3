/**
 * AEAD and header protection for packets (RFC 9001 section 5), as synchronous functions over bursts.
 *
 * Connections take the implementation from the `PacketProtection` reference where a Layer provides it. Else it goes by the
 * lane: OpenSSL called directly where native code may be used, node:crypto elsewhere.
 * Provide `layerNoble` where there is no OpenSSL behind node:crypto, or to check one implementation against another;
 * provide your own `PacketProtection` to seal packets with hardware, or to count them in a test.
 *
 * @module
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { nodeProtection } from "./internal/crypto/NodeProtection.ts"
import type { PacketBurst } from "./internal/crypto/PacketBurst.ts"
import type { PacketProtection as Protection } from "./internal/crypto/Protection.ts"
import { chooseLane, requireNative } from "./internal/runtime/Lane.ts"
import type { LaneSetting } from "./internal/runtime/Lane.ts"
import type { QuicError } from "./QuicError.ts"

export type {
  /**
   * The packets of a burst as columns over a slab.
   *
   * @category models
   * @since 0.1.0
   */
  PacketBurst
}

export type { AeadAlgorithm, HeaderKey, PacketKey } from "./internal/crypto/Protection.ts"

/**
 * What seals and opens packets: it makes keys from the bytes that TLS gives. The bytes may change after the call.
 *
 * @category models
 * @since 0.1.0
 */
export interface PacketProtection extends Protection {}

/**
 * The implementation that connections use.
 *
 * @category services
 * @since 0.1.0
 */
export const PacketProtection: Context.Reference<PacketProtection> = Context.Reference<PacketProtection>(
  "effect-mpquic/PacketProtection",
  { defaultValue: () => nodeProtection }
)

/**
 * Packet protection by node:crypto: the default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNode: Layer.Layer<never> = Layer.succeed(PacketProtection, nodeProtection)

/**
 * Packet protection in JavaScript alone, by `@noble/ciphers`. It needs nothing of the runtime and costs several times
 * what `layerNode` does; its AES is made of table look-ups, which is not constant-time. The library is loaded
 * when the Layer is built: who does not use it does not load it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoble: Layer.Layer<never> = Layer.effect(
  PacketProtection,
  Effect.map(
    Effect.promise(() => import("./internal/crypto/NobleProtection.ts")),
    ({ nobleProtection }) => nobleProtection
  )
)

/**
 * Packet protection by OpenSSL, called directly through node:ffi: a twentieth of the time. Where that cannot be (see
 * `UdpSocket.layerNative`), it fails with `BadConfig`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNative: Layer.Layer<never, QuicError> = Layer.effect(
  PacketProtection,
  Effect.map(requireNative("PacketProtection"), (native) => native.protection)
)

/**
 * The implementation for a lane: the one in the context if a Layer provided one, else by the lane (`auto`: by `MPQUIC_LANE`,
 * else the best that works here). Fails with `BadConfig` where native code is insisted on and cannot be.
 *
 * @category constructors
 * @since 0.1.0
 */
export const forLane = (lane: LaneSetting): Effect.Effect<PacketProtection, QuicError> =>
  Effect.contextWith((context: Context.Context<never>) =>
    context.mapUnsafe.has(PacketProtection.key)
      ? Effect.service(PacketProtection)
      : Effect.map(chooseLane(lane), ({ native }) => native?.protection ?? nodeProtection)
  )
