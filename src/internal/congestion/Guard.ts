/**
 * A controller of somebody else, with figures that can be relied on: a window of nothing or NaN would stop its path for ever.
 */
import { dropPromise } from "../Unwanted.ts"
import type { ConnectionControllers, Controller, DeliverySample, PathInfo } from "./Controller.ts"
import { initialWindow, minimumWindow } from "./Window.ts"

/** Told of a figure that is wrong, by the controller's name, and of what is used instead. */
export type OnWrongFigure = (name: string, field: string, value: unknown, instead: string) => void

const METHODS = [
  "onPacketSent",
  "onAcked",
  "onCongestion",
  "onPersistentCongestion",
  "onSpuriousLoss",
  "reset",
  "close"
] as const

/** Slower than a full packet in this many ms is no rate: the path would stand still. */
const SLOWEST = 1000

export class GuardedController implements Controller {
  readonly name: string
  readonly onDelivered: Controller["onDelivered"]
  readonly onPacketLost: Controller["onPacketLost"]
  private readonly own: Controller
  private readonly path: PathInfo
  private readonly onWrong: OnWrongFigure
  /** What it said when it last made sense. */
  private lastWindow: number

  constructor(own: Controller, path: PathInfo, onWrong: OnWrongFigure) {
    dropPromise(own)
    const name = nameOf(own)
    for (const method of METHODS) {
      if (typeof own[method] !== "function")
        throw new TypeError(`the congestion controller ${JSON.stringify(name)} has no function ${method}`)
    }
    this.name = name
    this.own = own
    this.path = path
    this.onWrong = onWrong
    this.lastWindow = initialWindow(path.maxDatagramSize)
    // Samples are taken only for a controller that wants them.
    this.onDelivered =
      typeof own.onDelivered === "function"
        ? (now: number, sample: DeliverySample) => {
            const given: unknown = own.onDelivered?.(now, sample)
            if (given !== undefined) this.look("onDelivered", given)
          }
        : undefined
    this.onPacketLost =
      typeof own.onPacketLost === "function"
        ? (now: number, packetNumber: number, bytes: number, sample: DeliverySample) => {
            const given: unknown = own.onPacketLost?.(now, packetNumber, bytes, sample)
            if (given !== undefined) this.look("onPacketLost", given)
          }
        : undefined
  }

  get congestionWindow(): number {
    const window: unknown = this.own.congestionWindow
    const { maxDatagramSize } = this.path
    const least = minimumWindow(maxDatagramSize)
    // NaN fails both.
    if (typeof window === "number" && window >= maxDatagramSize && window <= Number.MAX_SAFE_INTEGER)
      return (this.lastWindow = window)
    const instead = typeof window === "number" && window < least ? least : Math.max(this.lastWindow, least)
    this.onWrong(this.name, "congestionWindow", window, `${instead} bytes`)
    return instead
  }

  get pacingRate(): number {
    const rate: unknown = this.own.pacingRate
    if (rate === 0) return 0
    if (typeof rate === "number" && rate * SLOWEST >= this.path.maxDatagramSize && rate <= Number.MAX_SAFE_INTEGER)
      return rate
    this.onWrong(this.name, "pacingRate", rate, "The window over the round trip")
    return 0
  }

  get slowStartThreshold(): number {
    const threshold: unknown = this.own.slowStartThreshold
    if (typeof threshold === "number" && threshold >= 0) return threshold
    this.onWrong(this.name, "slowStartThreshold", threshold, "None")
    return Infinity
  }

  onPacketSent(now: number, bytes: number, bytesInFlight: number): void {
    const given: unknown = this.own.onPacketSent(now, bytes, bytesInFlight)
    if (given !== undefined) this.look("onPacketSent", given)
  }
  onAcked(now: number, bytes: number, largestSentTime: number, appLimited: boolean): void {
    const given: unknown = this.own.onAcked(now, bytes, largestSentTime, appLimited)
    if (given !== undefined) this.look("onAcked", given)
  }
  onCongestion(now: number, sentTime: number, lostBytes: number, ecn: boolean): void {
    const given: unknown = this.own.onCongestion(now, sentTime, lostBytes, ecn)
    if (given !== undefined) this.look("onCongestion", given)
  }
  onPersistentCongestion(now: number): void {
    const given: unknown = this.own.onPersistentCongestion(now)
    if (given !== undefined) this.look("onPersistentCongestion", given)
  }
  onSpuriousLoss(now: number): void {
    const given: unknown = this.own.onSpuriousLoss(now)
    if (given !== undefined) this.look("onSpuriousLoss", given)
  }
  reset(now: number): void {
    const given: unknown = this.own.reset(now)
    if (given !== undefined) this.look("reset", given)
  }
  close(): void {
    const given: unknown = this.own.close()
    if (given !== undefined) this.look("close", given)
  }

  /** Where nothing is expected. */
  private look(call: string, given: unknown): void {
    if (dropPromise(given)) this.onWrong(this.name, `answer of ${call}`, "a Promise", "Nothing")
  }
}

const nameOf = (own: Controller): string => {
  if (typeof own !== "object" || own === null)
    throw new TypeError("the congestion control's factory gave no controller for a path")
  return typeof own.name === "string" ? own.name : "without a name"
}

/** Throws a `TypeError` for what makes no controllers. */
export const guardControllers = (own: ConnectionControllers, onWrong: OnWrongFigure): ConnectionControllers => {
  if (typeof own?.make !== "function") {
    dropPromise(own)
    throw new TypeError("the factory of congestion control must give an object with a function `make`")
  }
  return { make: (path) => new GuardedController(own.make(path), path, onWrong) }
}
