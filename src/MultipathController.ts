/**
 * Everything about several paths in one Layer: scheduler, congestion control, policies, who manages the paths, and observers that
 * are told of each packet. Each part is a Layer of its own module, too; what is left out keeps its default.
 *
 * @module
 * @since 0.2.0
 */
import { Context, Effect, Layer } from "effect"
import { isConnection } from "./Connection.ts"
import type { Connection } from "./Connection.ts"
import type { Factory } from "./internal/paths/Observer.ts"
import * as Arguments from "./internal/runtime/Arguments.ts"
import { isPath } from "./Path.ts"
import type { Path } from "./Path.ts"
import { PathFailed, QuicError } from "./QuicError.ts"

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
 * One Layer of all parts. Fails with `BadConfig` for what is no Layer, and for parts that do not exist.
 *
 * **Example** (A phone: the fastest way for streams, two ways at once for datagrams)
 *
 * ```ts
 * import { CongestionControl, DuplicationPolicy, MultipathController, PathManager, PathScheduler } from "effect-mpquic"
 *
 * const layer = MultipathController.layer({
 *   scheduler: PathScheduler.layerLowLatency,
 *   congestion: CongestionControl.layerCubic,
 *   duplication: DuplicationPolicy.layer({ datagrams: true }),
 *   paths: PathManager.layerAuto()
 * })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <E = never, R = never>(parts: Parts<E, R>): Layer.Layer<never, E | QuicError, R> =>
  Layer.unwrap(
    Arguments.withArguments(
      "parts",
      () => layersOf(parts),
      (layers) =>
        Effect.succeed(layers.reduce((all, part) => Layer.merge(all, part), Layer.empty as Layer.Layer<never, E, R>))
    )
  )

const PARTS = ["scheduler", "congestion", "duplication", "reinjection", "failures", "paths", "addresses"] as const
const NAMES: ReadonlyArray<string> = [...PARTS, "observers"]

/** Throws a `QuicError`: a part that does not exist would do nothing, and say nothing. */
const layersOf = <E, R>(parts: Parts<E, R>): ReadonlyArray<Layer.Layer<never, E, R>> => {
  const copy = Arguments.copyOf("parts", parts)
  for (const [name, value] of Object.entries(copy))
    if (!NAMES.includes(name)) throw Arguments.badArgument(name, value, `only the parts ${NAMES.join(", ")}`)
  const layers: Array<Layer.Layer<never, E, R>> = []
  for (const name of PARTS) {
    const part = copy[name]
    if (part === undefined) continue
    if (!Layer.isLayer(part)) throw Arguments.badArgument(name, part, "a Layer")
    layers.push(part)
  }
  if (copy.observers === undefined) return layers
  if (!Array.isArray(copy.observers)) throw Arguments.badArgument("observers", copy.observers, "functions in an array")
  const observers = copy.observers.map((factory: Factory, i) => Arguments.callback(`observers[${i}]`, factory))
  const added = Effect.map(Observers, (before) => [...before, ...observers])
  return [...layers, Layer.effect(Observers, added)]
}

/**
 * Says of a path, or of the one with this ID, that it is not to be relied on, or takes that back: `Path.setState` for those
 * who know a path by its number, as policies and observers do. What they want from inside a call is done when that is over.
 *
 * Fails with `PathFailed` for a path that is closed or unknown, and with `BadConfig` for one of another connection.
 *
 * **Example** (Away from a path while every tenth packet is lost)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MultipathController } from "effect-mpquic"
 * import type { Connection } from "effect-mpquic"
 *
 * const review = Effect.fn("review")(function* (connection: Connection.Connection) {
 *   for (const path of connection.paths) {
 *     const { packetsLost, packetsSent } = path.stats
 *     const bad = packetsSent > 100 && packetsLost > packetsSent / 10
 *     if (bad) yield* MultipathController.setPathState(connection, path, "potentiallyFailed")
 *   }
 * })
 * ```
 *
 * @category operations
 * @since 0.2.0
 */
export const setPathState = (
  connection: Connection,
  path: Path | number,
  state: "active" | "potentiallyFailed"
): Effect.Effect<void, QuicError> =>
  Arguments.withArguments(
    "path",
    () => pathOf(connection, path),
    (found) => found.setState(state)
  )

/** Throws a `QuicError`. */
const pathOf = (connection: unknown, path: unknown): Path => {
  if (!isConnection(connection)) throw Arguments.badArgument("connection", connection, "a Connection")
  if (!isPath(path)) {
    const pathId = Arguments.pathId("path", path)
    const found = connection.path(pathId)
    if (found === undefined) throw new QuicError({ reason: new PathFailed({ pathId, why: "unknown" }) })
    return found
  }
  // One that is closed says so itself.
  const gone = path.state === "closing" || path.state === "closed"
  if (!gone && connection.path(path.id) !== path) throw Arguments.badArgument("path", path, "a path of this connection")
  return path
}
