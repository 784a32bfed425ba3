/** The shape of an observer: what is told of each packet. */
import { dropPromise, textOf } from "../Unwanted.ts"
import type { PathState, PathView } from "./Scheduler.ts"

/**
 * Told of each packet and of each change of a path's state: plain synchronous functions, called by the protocol. Paths are views:
 * read them, do not keep them, and change nothing from here. Bytes are UDP payload, times are ms as in `PathView.nextSendTime`.
 *
 * One that throws, or gives a Promise, is logged once by its name and not called any more.
 *
 * @category models
 * @since 0.2.0
 */
export interface Observer {
  /** For logs. */
  readonly name: string
  /** A packet left, those of the handshake included. */
  readonly onPacketSent?: ((path: PathView, bytes: number, now: number) => void) | undefined
  /** Of each packet that left at most one of these two is told: none of what is forgotten (`Path.Stats`). */
  readonly onPacketAcked?: ((path: PathView, bytes: number, now: number) => void) | undefined
  readonly onPacketLost?: ((path: PathView, bytes: number, now: number) => void) | undefined
  /** A path is in a state that it was not in before: from `validating`, when it is made, to `closed`. */
  readonly onPathState?: ((path: PathView, state: PathState, now: number) => void) | undefined
}

/**
 * Called once per connection.
 *
 * @category models
 * @since 0.2.0
 */
export type Factory = () => Observer

/** Told what an observer did wrong. */
export type OnMistake = (name: string, where: string, what: string) => void

const CALLS = ["onPacketSent", "onPacketAcked", "onPacketLost", "onPathState"] as const
type Call = (typeof CALLS)[number]

/** All observers of a connection as one. Who throws is told once, and not called any more. */
export class Observers {
  /** Another array when one is dropped: a loop over it may be under way. */
  private list: ReadonlyArray<Observer>
  private readonly onMistake: OnMistake

  /** Throws a `TypeError` for what cannot be called. */
  constructor(list: ReadonlyArray<Observer>, onMistake: OnMistake) {
    for (const one of list) {
      for (const call of CALLS) {
        if (one[call] !== undefined && typeof one[call] !== "function")
          throw new TypeError(`${call} of the observer ${JSON.stringify(nameOf(one))} is no function`)
      }
    }
    this.list = list
    this.onMistake = onMistake
  }

  packetSent(path: PathView, bytes: number, now: number): void {
    for (const one of this.list) {
      try {
        const given: unknown = one.onPacketSent?.(path, bytes, now)
        if (given !== undefined) this.look(one, "onPacketSent", given)
      } catch (error) {
        this.drop(one, "onPacketSent", error)
      }
    }
  }

  packetAcked(path: PathView, bytes: number, now: number): void {
    for (const one of this.list) {
      try {
        const given: unknown = one.onPacketAcked?.(path, bytes, now)
        if (given !== undefined) this.look(one, "onPacketAcked", given)
      } catch (error) {
        this.drop(one, "onPacketAcked", error)
      }
    }
  }

  packetLost(path: PathView, bytes: number, now: number): void {
    for (const one of this.list) {
      try {
        const given: unknown = one.onPacketLost?.(path, bytes, now)
        if (given !== undefined) this.look(one, "onPacketLost", given)
      } catch (error) {
        this.drop(one, "onPacketLost", error)
      }
    }
  }

  pathState(path: PathView, now: number): void {
    for (const one of this.list) {
      try {
        const given: unknown = one.onPathState?.(path, path.state, now)
        if (given !== undefined) this.look(one, "onPathState", given)
      } catch (error) {
        this.drop(one, "onPathState", error)
      }
    }
  }

  /** Arrow functions give all sorts of values, of which only one can do harm. */
  private look(observer: Observer, call: Call, given: unknown): void {
    if (dropPromise(given)) this.remove(observer, call, "gives a Promise")
  }

  private drop(observer: Observer, call: Call, error: unknown): void {
    this.remove(observer, call, `throws ${textOf(error)}`)
  }

  private remove(observer: Observer, call: Call, what: string): void {
    this.list = this.list.filter((one) => one !== observer)
    this.onMistake(nameOf(observer), call, what)
  }
}

const nameOf = (observer: Observer): string => (typeof observer.name === "string" ? observer.name : "without a name")
