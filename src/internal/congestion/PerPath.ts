/**
 * Which control a connection's paths have: the one that was given, guarded unless it is ours, or another one for each path.
 */
import { dropPromise, textOf } from "../Unwanted.ts"
import { balia } from "./Balia.ts"
import { bbr } from "./Bbr.ts"
import type { ConnectionControllers, Controller, Factory, PathInfo } from "./Controller.ts"
import { cubic } from "./Cubic.ts"
import { guardControllers } from "./Guard.ts"
import type { OnWrongFigure } from "./Guard.ts"
import { lia } from "./Lia.ts"
import { newReno } from "./NewReno.ts"
import { olia } from "./Olia.ts"

/** What is ours needs no guard. */
const ours: ReadonlySet<Factory> = new Set([cubic, newReno, lia, olia, balia, bbr])

/** The controllers of one connection. Throws what the factory throws, and a `TypeError` for what makes none. */
export const makeControllers = (factory: Factory, onWrong: OnWrongFigure): ConnectionControllers => {
  const made = factory()
  if (made instanceof PerPath) return made.reporting(onWrong)
  return ours.has(factory) ? made : guardControllers(made, onWrong)
}

/**
 * Paths that get the same factory share its state, as in a connection of their own. A path whose control cannot be had gets
 * CUBIC: it may be opened at any time, and no mistake in a choice shall end a connection that works.
 */
class PerPath implements ConnectionControllers {
  private readonly choose: (path: PathInfo) => Factory
  private readonly made = new Map<Factory, ConnectionControllers>()
  private onWrong: OnWrongFigure | undefined = undefined

  constructor(choose: (path: PathInfo) => Factory) {
    this.choose = choose
  }

  reporting(onWrong: OnWrongFigure): this {
    this.onWrong = onWrong
    return this
  }

  make(path: PathInfo): Controller {
    const factory = this.choice(path)
    try {
      return this.of(factory).make(path)
    } catch (error) {
      this.wrong("factory of the chosen controller", thrown(error))
      return this.of(cubic).make(path)
    }
  }

  private choice(path: PathInfo): Factory {
    try {
      const factory: unknown = this.choose(path)
      if (typeof factory === "function") return factory as Factory
      dropPromise(factory)
      this.wrong("choice for a path", factory === null ? "null" : typeof factory)
    } catch (error) {
      this.wrong("choice for a path", thrown(error))
    }
    return cubic
  }

  private of(factory: Factory): ConnectionControllers {
    let controllers = this.made.get(factory)
    if (controllers === undefined) {
      controllers = makeControllers(factory, (...what) => this.onWrong?.(...what))
      this.made.set(factory, controllers)
    }
    return controllers
  }

  private wrong(what: string, is: string): void {
    this.onWrong?.("perPath", what, is, "CUBIC")
  }
}

const thrown = (error: unknown): string => `an error, ${textOf(error)}`

export const perPath =
  (choose: (path: PathInfo) => Factory): Factory =>
  () =>
    new PerPath(choose)
