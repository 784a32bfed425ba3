/** What a case is, and how cases are run. */
import { Network } from "./Network.ts"
import type { Transfer } from "./Transfer.ts"

export interface Case {
  readonly name: string
  /** Every lane that this Node has, unless it names one. */
  readonly lanes?: ReadonlyArray<string>
  readonly links?: number
  /** Mbit/s of each link. Default 16. */
  readonly mbit?: number
  /** Fails by throwing; what it gives is printed. */
  readonly run: (network: Network, lane: string) => Promise<string>
}

/** Throws unless it holds. */
export const expect = (holds: boolean, otherwise: string): void => {
  if (!holds) throw new Error(otherwise)
}

/** ms that may pass beside what the protocol asks for: timers of the system, and processes that wait for their turn. */
const SLACK = 150

/**
 * Throws unless the transfer stalled for at most so many probe timeouts (and `extra` ms) in the `window` ms after a loss.
 * What the machine was late is not the protocol's.
 */
export const expectStall = (
  transfer: Transfer,
  lost: number,
  bound: { readonly ptos: number; readonly window: number; readonly extra?: number }
): string => {
  const pto = transfer.pto(lost)
  const stall = transfer.stall(lost, bound.window)
  const late = transfer.late(lost, bound.window)
  const text = `stall ${(stall / pto).toFixed(1)} PTO (${stall.toFixed(0)} ms)`
  expect(stall <= bound.ptos * pto + (bound.extra ?? 0) + SLACK + late, `${text}, at most ${bound.ptos} PTO expected`)
  return text
}

/** Cases that run at the same time: they wait for their networks most of the time. */
const CONCURRENCY = 4

export interface Summary {
  readonly passed: number
  readonly failed: number
}

export const runCases = async (
  cases: ReadonlyArray<Case>,
  lanes: ReadonlyArray<string>,
  filter: string
): Promise<Summary> => {
  const todo = cases
    .flatMap((each) => (each.lanes ?? lanes).map((lane) => ({ each, name: `${each.name} (${lane})`, lane })))
    .filter(({ name, lane }) => name.includes(filter) && lanes.includes(lane))
  let passed = 0
  let failed = 0
  const worker = async (): Promise<void> => {
    for (let next = todo.shift(); next !== undefined; next = todo.shift()) {
      const started = performance.now()
      const network = new Network(next.each.links ?? 2, next.each.mbit ?? 16)
      const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`
      try {
        const detail = await next.each.run(network, next.lane)
        passed++
        console.log(`ok      ${next.name}: ${detail} (${seconds()})`)
      } catch (cause) {
        failed++
        console.log(`FAILED  ${next.name}: ${cause instanceof Error ? cause.message : String(cause)} (${seconds()})`)
      } finally {
        network.close()
      }
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  return { passed, failed }
}
