/**
 * What users may replace in a connection: factories, read once by the shell, and what they made for one connection.
 */
import type { Factory as DuplicationFactory, Policy as DuplicationPolicy } from "../paths/DuplicationPolicy.ts"
import type { Factory as FailureFactory, Policy as FailurePolicy } from "../paths/FailurePolicy.ts"
import type { Factory as ReinjectionFactory, Policy as ReinjectionPolicy } from "../paths/ReinjectionPolicy.ts"
import type { ConnectionControllers, Factory as CongestionFactory } from "../congestion/Controller.ts"
import { makeControllers } from "../congestion/PerPath.ts"
import { Observers } from "../paths/Observer.ts"
import type { Factory as ObserverFactory } from "../paths/Observer.ts"
import type { Scheduler, Factory as SchedulerFactory } from "../paths/Scheduler.ts"
import { dropPromise } from "../Unwanted.ts"
import { Mistakes } from "./Mistakes.ts"

export interface PolicyFactories {
  readonly scheduler: SchedulerFactory
  readonly congestion: CongestionFactory
  /** Undefined: none. */
  readonly duplication?: DuplicationFactory | undefined
  readonly reinjection?: ReinjectionFactory | undefined
  readonly failures?: FailureFactory | undefined
  readonly observers?: ReadonlyArray<ObserverFactory> | undefined
}

export interface ConnectionPolicies {
  readonly scheduler: Scheduler
  readonly controllers: ConnectionControllers
  readonly duplication: DuplicationPolicy | undefined
  readonly reinjection: ReinjectionPolicy | undefined
  readonly failures: FailurePolicy | undefined
  readonly observers: Observers | undefined
  readonly mistakes: Mistakes
}

const mustBeFunction = (what: string, factory: unknown): void => {
  if (typeof factory !== "function")
    throw new TypeError(`the factory of the ${what} must be a function that makes one for each connection`)
}

/** Throws what it throws, and a `TypeError` when it makes no object. */
const makePolicy = <P extends object>(what: string, factory: (() => P) | undefined): P | undefined => {
  if (factory === undefined) return undefined
  mustBeFunction(what, factory)
  const policy: unknown = factory()
  if (typeof policy !== "object" || policy === null || policy instanceof Promise) {
    dropPromise(policy)
    throw new TypeError(`the factory of the ${what} must give an object`)
  }
  return policy as P
}

const makeObservers = (factories: ReadonlyArray<ObserverFactory> | undefined, mistakes: Mistakes) =>
  factories === undefined || factories.length === 0
    ? undefined
    : new Observers(
        factories.map((factory) => makePolicy("observer", factory)!),
        (name, where, what) => mistakes.inObserver(name, where, what)
      )

/** Throws what a factory throws, and a `TypeError` when it makes something else than it should. */
export const makePolicies = (factories: PolicyFactories): ConnectionPolicies => {
  const mistakes = new Mistakes()
  mustBeFunction("path scheduler", factories.scheduler)
  mustBeFunction("congestion control", factories.congestion)
  const scheduler = factories.scheduler()
  if (typeof scheduler?.select !== "function") {
    dropPromise(scheduler)
    throw new TypeError("the factory of the path scheduler must give an object with a function `select`")
  }
  const controllers = makeControllers(factories.congestion, (name, field, value, instead) =>
    mistakes.inController(name, field, value, instead)
  )
  return {
    scheduler,
    controllers,
    duplication: makePolicy("duplication policy", factories.duplication),
    reinjection: makePolicy("reinjection policy", factories.reinjection),
    failures: makePolicy("failure detector", factories.failures),
    observers: makeObservers(factories.observers, mistakes),
    mistakes
  }
}

/** How a scheduler calls itself. */
export const schedulerName = (scheduler: Scheduler): string =>
  typeof scheduler.name === "string" ? scheduler.name : "without a name"
