/**
 * Path scheduling: which path the next packet takes. Each side schedules what it sends: for a download, that is the server.
 *
 * A scheduler is a plain synchronous object that the protocol calls once per packet, so it must not allocate, wait or
 * throw: what it throws ends the connection (INTERNAL_ERROR) and is in the log. What is provided is a factory: every
 * connection gets a scheduler of its own. It is read when a connection is made, from the context of `Endpoint.connect` or,
 * for accepted connections, from the one the endpoint was built in.
 *
 * @module
 * @since 0.1.0
 */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import { backup } from "./internal/paths/schedulers/Backup.ts"
import { blest } from "./internal/paths/schedulers/Blest.ts"
import { deliveryRate } from "./internal/paths/schedulers/DeliveryRate.ts"
import { ecf } from "./internal/paths/schedulers/Ecf.ts"
import { lowLatency } from "./internal/paths/schedulers/LowLatency.ts"
import { minRtt } from "./internal/paths/schedulers/MinRtt.ts"
import { redundant } from "./internal/paths/schedulers/Redundant.ts"
import { roundRobin, weightedRoundRobin } from "./internal/paths/schedulers/RoundRobin.ts"
import type { Factory } from "./internal/paths/Scheduler.ts"
import { literalAddress } from "./internal/runtime/Addresses.ts"
import { badArgument } from "./internal/runtime/Arguments.ts"
import { optional, policyLayer } from "./internal/runtime/PolicyConfig.ts"
import { AddressBook } from "./internal/wire/Datagram.ts"
import type { QuicError } from "./QuicError.ts"

export type {
  PacketKind,
  PathState,
  PathStatus,
  PathView,
  SelectContext,
  Scheduler,
  Factory
} from "./internal/paths/Scheduler.ts"

/**
 * The scheduler that new connections use. Without a Layer: `layerDeliveryRate`. In simulated downloads over many pairs of paths
 * (bench/RESULTS.md) it gained as much as the lowest RTT or more, most where round trips and queues are long, and small objects waited
 * less often for a slow path; with one path there is no difference.
 *
 * @category services
 * @since 0.1.0
 */
export const PathScheduler: Context.Reference<Factory> = Context.Reference<Factory>("effect-mpquic/PathScheduler", {
  defaultValue: () => deliveryRate
})

/**
 * Uses a scheduler of one's own. The factory is called once per connection. One that needs services comes out of an Effect.
 *
 * **Example** (Prefer one network)
 *
 * ```ts
 * import { PathScheduler } from "effect-mpquic"
 *
 * const preferWifi = PathScheduler.layer(() => ({
 *   name: "preferWifi",
 *   select: ({ paths }) =>
 *     paths.find((path) => path.canSend && path.local.host.startsWith("192.168.")) ?? paths.find((path) => path.canSend)
 * }))
 * ```
 *
 * **Example** (A scheduler with a dependency)
 *
 * ```ts
 * import { Context, Effect } from "effect"
 * import { PathScheduler } from "effect-mpquic"
 *
 * class Metered extends Context.Service<Metered, ReadonlySet<string>>()("app/Metered") {}
 *
 * const preferUnmetered = PathScheduler.layer(
 *   Effect.map(Metered, (metered) => () => ({
 *     name: "preferUnmetered",
 *     select: ({ paths }) =>
 *       paths.find((path) => path.canSend && !metered.has(path.local.host)) ?? paths.find((path) => path.canSend)
 *   }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(factory) ? Layer.effect(PathScheduler, factory) : Layer.succeed(PathScheduler, factory)

/**
 * Weighted by measured delivery rate: each packet takes the path on which it arrives first. Bulk transfers fill every path, and
 * at their end nobody waits for what a slow path still carries. The default.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerDeliveryRate: Layer.Layer<never> = layer(deliveryRate)

/**
 * Paths take turns, packet by packet; one whose window is full is passed over. Use it where paths are alike.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRoundRobin: Layer.Layer<never> = layer(roundRobin)

const weight = "Expected a number from 0.01 to 100"

/**
 * Settings of `layerWeightedRoundRobin`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class WeightedRoundRobinConfig extends Schema.Class<WeightedRoundRobinConfig>(
  "effect-mpquic/WeightedRoundRobinConfig"
)({
  /** Packets of a path's turns relative to the others', 0.01 to 100, by the local address of the path; of others it is 1. */
  weights: Schema.Record(
    Schema.String,
    Schema.Number.annotate({ message: weight }).check(
      Schema.isBetween({ minimum: 0.01, maximum: 100 }, { message: weight })
    )
  ).annotate({ message: 'Expected numbers by local address, such as { "192.0.2.1": 3 }' })
}) {}

/**
 * Round robin by quota: each turn of a path has as many packets as its weight says. A path whose window is full is passed over, so
 * nothing is left unused: weights hold where all paths have room.
 *
 * **Example** (Three packets by cable for each one by radio)
 *
 * ```ts
 * import { PathScheduler } from "effect-mpquic"
 *
 * const layer = PathScheduler.layerWeightedRoundRobin({ weights: { "192.168.1.10": 3 } })
 * ```
 *
 * Fails with `BadConfig`, which names the address, if a weight is out of range, or for what is no IP address.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerWeightedRoundRobin = (
  config: ConstructorParameters<typeof WeightedRoundRobinConfig>[0]
): Layer.Layer<never, QuicError> =>
  policyLayer(WeightedRoundRobinConfig, config, ({ weights }) =>
    Layer.unwrap(Effect.map(byHost(weights), (checked) => layer(weightedRoundRobin(checked))))
  )

/** By the hosts of addresses as paths have them; what is no address would weigh nothing, and say nothing. */
const byHost = (weights: Readonly<Record<string, number>>) =>
  Effect.suspend((): Effect.Effect<ReadonlyMap<string, number>, QuicError> => {
    const checked = new Map<string, number>()
    for (const [address, share] of Object.entries(weights)) {
      const host = literalAddress(new AddressBook(1), address, 0)?.host
      if (host === undefined)
        return Effect.fail(
          badArgument("weights", address, 'local addresses without a port, such as "192.0.2.1" or "2001:db8::1"')
        )
      checked.set(host, share)
    }
    return Effect.succeed(checked)
  })

/**
 * The lowest smoothed RTT that can send, the next one while its window is full. One packet in 16 asks a path whose RTT is not known
 * yet.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLowLatency: Layer.Layer<never> = layer(lowLatency)

const bias = "Expected a number from 0 to 1"

/**
 * Settings of `layerMinRtt`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class MinRttConfig extends Schema.Class<MinRttConfig>("effect-mpquic/MinRttConfig")({
  /** 0 to 1: what a low RTT counts; the rest is for having sent few packets. */
  bias: Schema.Number.annotate({ message: bias }).check(Schema.isBetween({ minimum: 0, maximum: 1 }, { message: bias }))
}) {}

/**
 * Between lowest RTT (bias 1) and equal shares (bias 0): the path with the highest
 * `bias * lowest RTT / RTT + (1 - bias) * (1 - packets / most packets)`. Fails with `BadConfig` if the bias is not between 0 and 1.
 *
 * **Example** (70 % RTT, 30 % load)
 *
 * ```ts
 * import { PathScheduler } from "effect-mpquic"
 *
 * const layer = PathScheduler.layerMinRtt({ bias: 0.7 })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerMinRtt = (config: ConstructorParameters<typeof MinRttConfig>[0]): Layer.Layer<never, QuicError> =>
  policyLayer(MinRttConfig, config, (checked) => layer(minRtt(checked.bias)))

/**
 * BLEST (Ferlin et al., IFIP Networking 2016): the lowest RTT, and a slower path only where what it carries will not fill the
 * peer's receive window meanwhile. Use it towards peers with small windows.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerBlest: Layer.Layer<never> = layer(blest)

/**
 * ECF, earliest completion first (Lim et al., CoNEXT 2017): the lowest RTT, and a slower path only where the fastest could not
 * finish what waits before the slower one's round trip is over. Use it for objects and streamed media over two paths.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerEcf: Layer.Layer<never> = layer(ecf)

/**
 * Every packet's data on all paths, and the first copy counts: as fast as the fastest path at each moment, and nothing is lost
 * while one path works. A path that cannot keep up gets what it can. Use it for what is small and must arrive; goodput is that of
 * one path.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerRedundant: Layer.Layer<never> = layer(redundant)

const pathId = "Expected a path ID: a whole number from 0 to 2^32 - 1"
const returnAfter = 'Expected a duration from 0 to 1 hour, such as "2 seconds"'

/**
 * Settings of `layerBackup`.
 *
 * @category configuration
 * @since 0.2.0
 */
export class BackupConfig extends Schema.Class<BackupConfig>("effect-mpquic/BackupConfig")({
  /** ID of the path that carries everything while it works. Default: the lowest there is. */
  primary: optional(
    Schema.Number.annotate({ message: pathId }).check(
      Schema.isInt({ message: pathId }),
      Schema.isBetween({ minimum: 0, maximum: 2 ** 32 - 1 }, { message: pathId })
    ),
    pathId
  ),
  /** How long a primary that is back, or opened while another path served, is watched before it carries everything. Default 1 s. */
  returnAfter: Schema.Duration.annotate({ message: returnAfter })
    .check(
      Schema.makeFilter(
        (candidate: Duration.Duration) =>
          Duration.between(candidate, { minimum: Duration.zero, maximum: Duration.hours(1) }),
        { message: returnAfter }
      )
    )
    .pipe(Schema.withConstructorDefault(Effect.succeed(Duration.seconds(1))))
}) {}

/**
 * Primary and standby: one path carries everything; when it fails or is closed the next is promoted at once, and when it is back
 * and has stayed so, it takes over again. A full window is no failure: standby paths carry nothing then. Fails with `BadConfig` if
 * `primary` is no path ID, or `returnAfter` no duration up to an hour.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerBackup = (
  config: { readonly primary?: number | undefined; readonly returnAfter?: Duration.Input | undefined } = {}
): Layer.Layer<never, QuicError> =>
  policyLayer(
    BackupConfig,
    config,
    (checked) => layer(backup(checked.primary, Duration.toMillis(checked.returnAfter))),
    ["returnAfter"]
  )
