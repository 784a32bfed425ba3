/** What can be named on the command line. */
import { balia } from "../../src/internal/congestion/Balia.ts"
import { bbr } from "../../src/internal/congestion/Bbr.ts"
import { cubic } from "../../src/internal/congestion/Cubic.ts"
import { lia } from "../../src/internal/congestion/Lia.ts"
import { newReno } from "../../src/internal/congestion/NewReno.ts"
import { olia } from "../../src/internal/congestion/Olia.ts"
import { backup } from "../../src/internal/paths/schedulers/Backup.ts"
import { blest } from "../../src/internal/paths/schedulers/Blest.ts"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { ecf } from "../../src/internal/paths/schedulers/Ecf.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import { minRtt } from "../../src/internal/paths/schedulers/MinRtt.ts"
import { redundant } from "../../src/internal/paths/schedulers/Redundant.ts"
import { roundRobin } from "../../src/internal/paths/schedulers/RoundRobin.ts"
import { PathScheduler } from "../../src/PathScheduler.ts"
import type { Parts } from "./transfer.ts"

/** With the settings of the guide. */
export const schedulers: Readonly<Record<string, Parts["scheduler"]>> = {
  deliveryRate,
  lowLatency,
  roundRobin,
  minRtt: minRtt(0.7),
  blest,
  ecf,
  backup: backup(undefined, 1000),
  redundant
}

export const controllers: Readonly<Record<string, Parts["congestion"]>> = { cubic, newReno, lia, olia, balia, bbr }

/** By mode; without one nothing is reinjected, which is the default. */
export const reinjections: Readonly<Record<string, Parts["reinjection"]>> = {
  none: undefined,
  onLoss: () => ({ name: "onLoss", modes: ["onLoss"] }),
  onDelay: () => ({ name: "onDelay", modes: ["onDelay"] }),
  onIdle: () => ({ name: "onIdle", modes: ["onIdle"] }),
  all: () => ({ name: "all" })
}

/** What a connection has without any Layer. */
export const defaultScheduler = PathScheduler.defaultValue()().name

/**
 * Controllers that share state between paths. On a connection of one path they are NewReno; what they are held against is the
 * uncoupled controller of the paper.
 */
const coupled: ReadonlySet<string> = new Set(["lia", "olia", "balia"])

export const controllerOfOnePath = (congestion: string): string => (coupled.has(congestion) ? "cubic" : congestion)
