/** The shape of an observer: what is told of each packet. */
import type { PathState, PathView } from "./Scheduler.ts"

/**
 * Told of each packet and of each change of a path's state: plain synchronous functions, called by the protocol. Paths are views:
 * read them, do not keep them. Bytes are UDP payload, times are ms as in `PathView.nextSendTime`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Observer {
  /** For logs. */
  readonly name: string
  readonly onPacketSent?: ((path: PathView, bytes: number, now: number) => void) | undefined
  readonly onPacketAcked?: ((path: PathView, bytes: number, now: number) => void) | undefined
  readonly onPacketLost?: ((path: PathView, bytes: number, now: number) => void) | undefined
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
export type OnMistake = (name: string, what: string) => void

type Call = "onPacketSent" | "onPacketAcked" | "onPacketLost" | "onPathState"

/** All observers of a connection as one. Who throws is told once, and not called any more. */
export class Observers {
  private readonly list: Array<Observer>
  private readonly onMistake: OnMistake

  constructor(list: ReadonlyArray<Observer>, onMistake: OnMistake) {
    this.list = [...list]
    this.onMistake = onMistake
  }

  packetSent(path: PathView, bytes: number, now: number): void {
    for (const one of this.list) {
      try {
        one.onPacketSent?.(path, bytes, now)
      } catch (error) {
        this.drop(one, "onPacketSent", error)
      }
    }
  }

  packetAcked(path: PathView, bytes: number, now: number): void {
    for (const one of this.list) {
      try {
        one.onPacketAcked?.(path, bytes, now)
      } catch (error) {
        this.drop(one, "onPacketAcked", error)
      }
    }
  }

  packetLost(path: PathView, bytes: number, now: number): void {
    for (const one of this.list) {
      try {
        one.onPacketLost?.(path, bytes, now)
      } catch (error) {
        this.drop(one, "onPacketLost", error)
      }
    }
  }

  pathState(path: PathView, now: number): void {
    for (const one of this.list) {
      try {
        one.onPathState?.(path, path.state, now)
      } catch (error) {
        this.drop(one, "onPathState", error)
      }
    }
  }

  private drop(observer: Observer, call: Call, error: unknown): void {
    this.list.splice(this.list.indexOf(observer), 1)
    this.onMistake(observer.name, `its ${call} throws ${String(error)}`)
  }
}
