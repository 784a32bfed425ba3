import type { PathInfo } from "../congestion/Controller.ts"
import { initialWindow, startScale } from "../congestion/Window.ts"
import type { Address } from "../wire/Datagram.ts"
import type { RttEstimator } from "./RttEstimator.ts"

/** What a path's controller sees of it: kept up to date by its owner. */
export class PathFacts implements PathInfo {
  readonly pathId: number
  readonly rtt: RttEstimator
  readonly random: () => number
  local: Address
  remote: Address
  maxDatagramSize: number
  usable = false
  /** Whether the path starts with a window that its RTT scales. */
  scaledStart: boolean

  constructor(
    options: {
      readonly pathId: number
      readonly local: Address
      readonly remote: Address
      readonly maxDatagramSize: number
      readonly scaledStart: boolean
      readonly random: () => number
    },
    rtt: RttEstimator
  ) {
    this.pathId = options.pathId
    this.rtt = rtt
    this.random = options.random
    this.local = options.local
    this.remote = options.remote
    this.maxDatagramSize = options.maxDatagramSize
    this.scaledStart = options.scaledStart
  }

  get initialWindow(): number {
    const window = initialWindow(this.maxDatagramSize)
    return this.scaledStart ? Math.floor(window * startScale(this.rtt.min)) : window
  }
}
