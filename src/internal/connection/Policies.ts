/**
 * What users may replace in a connection: factories, read once by the shell, and what they made for one connection.
 */
import type { ConnectionControllers, Factory as CongestionFactory } from "../congestion/Controller.ts"
import type { Scheduler, Factory as SchedulerFactory } from "../paths/Scheduler.ts"

export interface PolicyFactories {
  readonly scheduler: SchedulerFactory
  readonly congestion: CongestionFactory
}

export interface ConnectionPolicies {
  readonly scheduler: Scheduler
  readonly controllers: ConnectionControllers
}

export const makePolicies = (factories: PolicyFactories): ConnectionPolicies => ({
  scheduler: factories.scheduler(),
  controllers: factories.congestion()
})
