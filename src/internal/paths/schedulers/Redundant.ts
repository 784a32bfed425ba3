/** Every packet's data on all paths: the first copy to arrive counts. Goodput is that of the fastest path. */
import type { Scheduler } from "../Scheduler.ts"
import { fastest } from "./LowLatency.ts"

export const redundant = (): Scheduler => ({
  name: "redundant",
  steady: false,
  redundancy: Infinity,
  select: fastest
})
