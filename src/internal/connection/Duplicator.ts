/** Sends on several paths at once what the policy, the scheduler or the application wants there. */
import type { Policy } from "../paths/DuplicationPolicy.ts"
import type { Path } from "../paths/Path.ts"
import { CopyQueue } from "../recovery/CopyQueue.ts"
import { pathBit } from "../recovery/SentFrames.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import type { Stream } from "../streams/Stream.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import { copyKind } from "./CopyKind.ts"
import type { CopyKind } from "./CopyKind.ts"
import type { CopyQueues } from "./CopyQueues.ts"

/** Frames that may wait for a path: beyond that it cannot keep up, and what waits is old. */
const MAX_WAITING = 64
/** Bytes that the budget allows from the start: control frames of a connection that has sent nothing yet. */
const FREE = 65_536

export class Duplicator {
  /** Bytes of streams and datagrams that went a further time. */
  bytes = 0
  private readonly core: ConnectionState
  private readonly copies: CopyQueues
  private readonly policy: Policy | undefined
  private readonly paths: number
  private readonly budget: number

  constructor(core: ConnectionState, copies: CopyQueues) {
    this.core = core
    this.copies = copies
    const policy = core.policies.duplication
    this.policy = policy
    this.paths = core.mistakes.figure("duplication policy", policy, "paths", 2, 8, 2)
    this.budget = core.mistakes.figure("duplication policy", policy, "budget", 0, 8, 1)
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
    return this.core.scheduler.redundancy ?? 1
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
    try {
      if (kind === "stream") return policy.stream?.((frame.owner as Stream).id) === true
      if (kind === "datagram") return policy.datagram?.(frame.length) === true
    } catch (error) {
      this.core.mistakes.inPolicy("duplication policy", policy.name, `its ${kind} throws ${String(error)}`, "no copy")
      return false
    }
    if (kind === "crypto") return policy.crypto !== false
    return kind === "reset" ? policy.resets !== false : policy.control === true
  }

  private duplicate(frame: SentFrame, origin: Path, count: number, share: number): void {
    const { core, copies } = this
    let paths = frame.paths | pathBit(origin.id)
    const sent = core.streams.bytesSent + core.datagrams.bytesSent
    const allowance = share === Infinity ? Infinity : FREE + share * sent
    for (let i = 0; i < count && this.bytes + frame.length <= allowance; i++) {
      const target = this.fastest(frame, paths)
      if (target === undefined) break
      const queue = (target.duplicates ??= new CopyQueue())
      const copy = copies.enqueue(queue, frame, target, paths)
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
