import { SendQueue } from "./SendQueue.ts"
import type { Queueable, QueueNode } from "./SendQueue.ts"

/** What lanes need to know of a stream. */
export interface LaneMember<T extends Queueable> extends Queueable {
  readonly urgency: number
  /** Paths it is bound to. */
  readonly paths: ReadonlyArray<number> | undefined
  readonly repairNode: QueueNode<T>
  readonly freshNode: QueueNode<T>
  /** Set here: where it waits, if it is bound to paths. */
  lane: SendLane<T> | undefined
}

const nobody: Set<never> = new Set<never>()

/** Which of the two queues of a lane. */
type LaneQueue = "repairs" | "fresh"

/**
 * The streams that may use the same paths, and of these the ones that have something to send. `repairs` holds streams with
 * lost bytes, or with nothing left but the FIN: they need no credit and go first. `fresh` holds streams with new bytes that
 * the peer's limit for the stream allows.
 */
export class SendLane<T extends Queueable> {
  /** Paths that may carry its streams; of the lane for any path, none. */
  readonly paths: ReadonlyArray<number>
  readonly repairs = new SendQueue<T>()
  readonly fresh = new SendQueue<T>()
  /** Who is bound so. */
  readonly members: Set<T>
  /** When one of its streams had its turn last. */
  turn = 0

  constructor(paths: ReadonlyArray<number>, members: Set<T>) {
    this.paths = paths
    this.members = members
  }
}

/**
 * Where streams wait for a packet: one lane for those that any path may carry, and one for each set of paths that streams
 * are bound to (nearly always none). So a path is asked in a time that depends on the number of sets, not of streams. Lanes
 * take turns as streams do.
 */
export class SendLanes<T extends LaneMember<T>> {
  /** Nobody asks who is free: all of these share one empty set. */
  private readonly free = new SendLane<T>([], nobody)
  private readonly bound: Array<SendLane<T>> = []
  private turns = 0
  /** Lanes looked at to choose a stream: what tests assert on instead of time. */
  steps = 0

  get hasRepairs(): boolean {
    if (!this.free.repairs.isEmpty) return true
    for (const lane of this.bound) if (!lane.repairs.isEmpty) return true
    return false
  }

  get hasFresh(): boolean {
    if (!this.free.fresh.isEmpty) return true
    for (const lane of this.bound) if (!lane.fresh.isEmpty) return true
    return false
  }

  /** The stream whose turn it is to repeat something on the path; with `boundOnly` of those that are bound to it. */
  repair(pathId: number, boundOnly: boolean): T | undefined {
    if (this.bound.length > 0) return this.choose("repairs", pathId, boundOnly)
    return boundOnly ? undefined : this.free.repairs.first
  }

  /** The same for new bytes. */
  fresh(pathId: number, boundOnly: boolean): T | undefined {
    if (this.bound.length > 0) return this.choose("fresh", pathId, boundOnly)
    return boundOnly ? undefined : this.free.fresh.first
  }

  /** No other stream waits for its turn with new bytes, or this one is to be sent to its end. */
  isAlone(stream: T): boolean {
    return !stream.incremental || (this.bound.length === 0 && this.free.fresh.isAlone(stream.freshNode))
  }

  /** Whether the stream waits to repeat something, and to send new bytes. */
  place(stream: T, repairs: boolean, fresh: boolean): void {
    const lane = stream.lane ?? this.free
    if (repairs) lane.repairs.add(stream.repairNode, stream.urgency)
    else lane.repairs.remove(stream.repairNode)
    if (fresh) lane.fresh.add(stream.freshNode, stream.urgency)
    else lane.fresh.remove(stream.freshNode)
  }

  /** The stream had its turn. */
  rotate(stream: T, node: QueueNode<T>): void {
    const lane = stream.lane ?? this.free
    if (stream.incremental) lane.turn = ++this.turns
    if (node === stream.freshNode) lane.fresh.rotate(node)
    else lane.repairs.rotate(node)
  }

  /** Moves the stream to the lane of its `paths`; it stands in no queue then. */
  bind(stream: T): void {
    this.leave(stream)
    const { paths } = stream
    if (paths === undefined) return
    let lane = this.bound.find((one) => sameMembers(one.paths, paths))
    if (lane === undefined) this.bound.push((lane = new SendLane<T>(paths, new Set())))
    lane.members.add(stream)
    stream.lane = lane
  }

  /** Takes the stream out of its lane and of the queues there. */
  leave(stream: T): void {
    this.place(stream, false, false)
    const { lane } = stream
    if (lane === undefined) return
    stream.lane = undefined
    lane.members.delete(stream)
    if (lane.members.size === 0) this.bound.splice(this.bound.indexOf(lane), 1)
  }

  /** Streams that are bound to the path, possibly among others. */
  boundTo(pathId: number): Array<T> {
    const streams: Array<T> = []
    for (const lane of this.bound) {
      if (lane.paths.includes(pathId)) for (const stream of lane.members) streams.push(stream)
    }
    return streams
  }

  private choose(queue: LaneQueue, pathId: number, boundOnly: boolean): T | undefined {
    let best = boundOnly || this.free[queue].isEmpty ? undefined : this.free
    for (const lane of this.bound) {
      this.steps++
      if (lane[queue].isEmpty || !lane.paths.includes(pathId)) continue
      const earlier = best === undefined ? -1 : lane[queue].level - best[queue].level
      if (earlier < 0 || (earlier === 0 && lane.turn < best!.turn)) best = lane
    }
    return best?.[queue].first
  }
}

const sameMembers = (one: ReadonlyArray<number>, other: ReadonlyArray<number>): boolean =>
  one.length === other.length && one.every((id) => other.includes(id))
