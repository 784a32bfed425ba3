/** Every scheduler that the library has, by name, as a user gets it. */
import type { Factory } from "../../src/internal/paths/Scheduler.ts"
import { backup } from "../../src/internal/paths/schedulers/Backup.ts"
import { blest } from "../../src/internal/paths/schedulers/Blest.ts"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { ecf } from "../../src/internal/paths/schedulers/Ecf.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import { minRtt } from "../../src/internal/paths/schedulers/MinRtt.ts"
import { redundant } from "../../src/internal/paths/schedulers/Redundant.ts"
import { roundRobin, weightedRoundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"

/** The first and the second link of a `Pair`, as `weightedRoundRobin` has them. */
const WEIGHTS = new Map([
  ["10.0.0.1", 3],
  ["10.0.1.1", 1]
])

export const schedulers = {
  backup: backup(undefined, 1000),
  blest,
  deliveryRate,
  ecf,
  lowLatency,
  minRtt: minRtt(0.5),
  redundant,
  roundRobin,
  weightedRoundRobin: weightedRoundRobin(WEIGHTS)
} satisfies Record<string, Factory>

export type SchedulerName = keyof typeof schedulers

export const schedulerNames = Object.keys(schedulers) as ReadonlyArray<SchedulerName>
