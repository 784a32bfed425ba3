/** Sends on several paths at once what the policy, the scheduler or the application wants there. */
import type { Policy } from "../paths/DuplicationPolicy.ts"
import type { Path } from "../paths/Path.ts"
import { CopyQueue } from "../recovery/CopyQueue.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import type { Stream } from "../streams/Stream.ts"
import { dropPromise, textOf } from "../Unwanted.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import { copyKind } from "./CopyKind.ts"
import type { CopyKind } from "./CopyKind.ts"
import type { CopyQueues } from "./CopyQueues.ts"
import { schedulerName } from "./Policies.ts"

/** Frames that may wait for a path: beyond that it cannot keep up, and what waits is old. */
const MAX_WAITING = 64
/** Half of that: what a path with room would have taken by now leaves before more of it is made. */
const CROWDED = MAX_WAITING / 2
/** Bytes that the budget allows from the start: control frames of a connection that has sent nothing yet. */
const FREE = 65_536

const PART = "duplication policy"

const isBoolean = (value: unknown): boolean => typeof value === "boolean"

export class Duplicator {
  /** Bytes of streams and datagrams that went a further time. */
  bytes = 0
  /** Much waits for a path that has room. */
  crowded = false
  private readonly core: ConnectionState
  private readonly copies: CopyQueues
  private readonly policy: Policy | undefined
  private readonly crypto: boolean
  private readonly resets: boolean
  private readonly control: boolean
  private readonly paths: number
  private readonly budget: number

  constructor(core: ConnectionState, copies: CopyQueues) {
    this.core = core
    this.copies = copies
    const policy = core.policies.duplication
    this.policy = policy
    const { mistakes } = core
    const wants = (kind: "control" | "crypto" | "resets"): boolean | undefined =>
      mistakes.setting(PART, policy, kind, isBoolean, "true or false")
    this.crypto = wants("crypto") !== false
    this.resets = wants("resets") !== false
    this.control = wants("control") === true
    this.paths = mistakes.figure(PART, policy, "paths", 2, 8, 2)
    this.budget = mistakes.figure(PART, policy, "budget", 0, 8, 1)
  }

  /** Datagrams keep their bytes until they are sent, in case they are wanted again. */
  get wantsDatagrams(): boolean {
    return this.policy?.datagram !== undefined || this.redundancy > 1
  }

  /** Something may be wanted on several paths. */
  get active(): boolean {
    return this.policy !== undefined || this.redundancy > 1 || this.core.streams.anyDuplicated
  }

  private get redundancy(): number {
    const { mistakes, scheduler } = this.core
    const wanted: unknown = scheduler.redundancy
    if (wanted === undefined) return 1
    if (typeof wanted === "number" && wanted >= 1) return wanted
    dropPromise(wanted)
    mistakes.inScheduler(schedulerName(scheduler), "its redundancy is no number from 1 on")
    return 1
  }

  /** A packet is about to leave with these records. */
  onPacketSent(path: Path, list: SentFrame | undefined): void {
    if (this.copies.usable.length < 2) return
    for (let frame = list; frame !== undefined; frame = frame.next) {
      const kind = copyKind(frame)
      if (kind === undefined) continue
      const own = kind === "stream" ? (frame.owner as Stream).duplication : 0
      const wanted = own > 0 ? own : this.wantedPaths(kind, frame)
      if (wanted > 1) this.duplicate(frame, path, wanted - 1, own > 0 || this.redundancy > 1 ? Infinity : this.budget)
    }
  }

  /** On how many paths the record shall go, as far as the stream does not say it. */
  private wantedPaths(kind: CopyKind, frame: SentFrame): number {
    const { policy, redundancy } = this
    const byPolicy = policy !== undefined && this.isWanted(policy, kind, frame) ? this.paths : 1
    return kind === "control" ? byPolicy : Math.max(byPolicy, redundancy)
  }

  private isWanted(policy: Policy, kind: CopyKind, frame: SentFrame): boolean {
    if (kind === "crypto") return this.crypto
    if (kind === "reset") return this.resets
    if (kind === "control") return this.control
    try {
      const answer: unknown =
        kind === "stream" ? policy.stream?.((frame.owner as Stream).id) : policy.datagram?.(frame.length)
      if (answer === undefined || typeof answer === "boolean") return answer === true
      dropPromise(answer)
      this.complain(policy, kind, `gives ${answer === null ? "null" : typeof answer}`)
    } catch (error) {
      this.complain(policy, kind, `throws ${textOf(error)}`)
    }
    return false
  }

  private complain(policy: Policy, kind: CopyKind, what: string): void {
    this.core.mistakes.inPolicy(PART, policy.name, kind, what, "No copy")
  }

  private duplicate(frame: SentFrame, origin: Path, count: number, share: number): void {
    const { core, copies } = this
    let paths = frame.paths | origin.bit
    const sent = core.streams.bytesSent + core.datagrams.bytesSent
    const allowance = share === Infinity ? Infinity : FREE + share * sent
    for (let i = 0; i < count && this.bytes + frame.length <= allowance; i++) {
      const target = this.fastest(frame, paths)
      if (target === undefined) break
      const queue = (target.duplicates ??= new CopyQueue())
      const copy = copies.enqueue(queue, frame, target, paths)
      if (queue.count >= CROWDED && target.canSend) this.crowded = true
      paths = copy.paths
      this.bytes += frame.length
      // The first of them that is found to be lost is repaired: what is worth two packets is not worth waiting. With everything
      // doubled that would be much, so there the original answers for all.
      copy.covered = this.redundancy > 1
    }
    frame.paths = paths
  }

  private fastest(frame: SentFrame, paths: number): Path | undefined {
    let best: Path | undefined
    for (const path of this.copies.usable) {
      if (!this.copies.mayCarry(path, frame, paths) || (path.duplicates?.count ?? 0) >= MAX_WAITING) continue
      if (best === undefined || path.smoothedRtt < best.smoothedRtt) best = path
    }
    return best
  }
}
