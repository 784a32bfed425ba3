/**
 * Everything about several paths in one Layer: scheduler, congestion control, policies, who manages the paths, and observers that
 * are told of each packet. Each part is a Layer of its own module, too; what is left out keeps its default.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Effect, Layer } from "effect"
import type { Factory } from "./internal/paths/Observer.ts"

export type { Factory, Observer } from "./internal/paths/Observer.ts"

/**
 * The observers of new connections: a factory each. Without any, packets cost nothing more.
 *
 * @category services
 * @since 0.2.0
 */
export const Observers: Context.Reference<ReadonlyArray<Factory>> = Context.Reference<ReadonlyArray<Factory>>(
  "effect-mpquic/MultipathController/Observers",
  { defaultValue: () => [] }
)

/**
 * Adds an observer to those that are there. The factory is called once per connection. One that needs services comes out of an
 * Effect. An observer that throws is logged once and not called any more; the connection goes on.
 *
 * **Example** (Bytes that were lost, by path)
 *
 * ```ts
 * import { MultipathController } from "effect-mpquic"
 *
 * const lost = new Map<number, number>()
 *
 * const layer = MultipathController.observe(() => ({
 *   name: "losses",
 *   onPacketLost: (path, bytes) => {
 *     lost.set(path.id, (lost.get(path.id) ?? 0) + bytes)
 *   }
 * }))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const observe = <E = never, R = never>(
  factory: Factory | Effect.Effect<Factory, E, R>
): Layer.Layer<never, E, R> =>
  Layer.effect(
    Observers,
    Effect.gen(function* () {
      const before = yield* Observers
      return [...before, Effect.isEffect(factory) ? yield* factory : factory]
    })
  )

/**
 * The parts: Layers of `PathScheduler`, `CongestionControl`, `DuplicationPolicy`, `ReinjectionPolicy`, `FailureDetector`,
 * `PathManager` and `LocalAddresses`.
 *
 * @category configuration
 * @since 0.2.0
 */
export interface Parts<E, R> {
  readonly scheduler?: Layer.Layer<never, E, R> | undefined
  readonly congestion?: Layer.Layer<never, E, R> | undefined
  readonly duplication?: Layer.Layer<never, E, R> | undefined
  readonly reinjection?: Layer.Layer<never, E, R> | undefined
  readonly failures?: Layer.Layer<never, E, R> | undefined
  readonly paths?: Layer.Layer<never, E, R> | undefined
  readonly addresses?: Layer.Layer<never, E, R> | undefined
  /** Factories, as for `observe`; they come after those that are there. */
  readonly observers?: ReadonlyArray<Factory> | undefined
}

/**
 * One Layer of all parts.
 *
 * **Example** (A phone: the fastest way for everything, two ways for what must arrive)
 *
 * ```ts
 * import { CongestionControl, DuplicationPolicy, MultipathController, PathManager, PathScheduler } from "effect-mpquic"
 *
 * const layer = MultipathController.layer({
 *   scheduler: PathScheduler.layerLowLatency,
 *   congestion: CongestionControl.layerCubic,
 *   duplication: DuplicationPolicy.layer({ paths: 2 }),
 *   paths: PathManager.layerAuto()
 * })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <E = never, R = never>(parts: Parts<E, R>): Layer.Layer<never, E, R> => {
  const layers: Array<Layer.Layer<never, E, R>> = [
    parts.scheduler,
    parts.congestion,
    parts.duplication,
    parts.reinjection,
    parts.failures,
    parts.paths,
    parts.addresses,
    parts.observers === undefined
      ? undefined
      : Layer.effect(
          Observers,
          Effect.map(Observers, (before) => [...before, ...parts.observers!])
        )
  ].filter((part) => part !== undefined)
  return layers.reduce((all, part) => Layer.merge(all, part), Layer.empty as Layer.Layer<never, E, R>)
}
