/**
 * Data that is late on one path is sent again on another (draft-21 section 5.7, REC-4): what is lost, what has waited too long
 * for an acknowledgement, and, when nothing new waits, what another path would bring sooner.
 */
import type { Mode, Policy, TargetContext } from "../paths/ReinjectionPolicy.ts"
import type { Path } from "../paths/Path.ts"
import { CopyQueue } from "../recovery/CopyQueue.ts"
import type { PathRecovery } from "../recovery/PathRecovery.ts"
import { pathCount } from "../recovery/SentFrames.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import { PacketFlag } from "../recovery/SentPackets.ts"
import { Space } from "../recovery/Space.ts"
import { dropPromise, textOf } from "../Unwanted.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import { copyKind } from "./CopyKind.ts"
import type { CopyQueues } from "./CopyQueues.ts"

/** Bytes that the budget allows from the start. */
const FREE = 65_536
/** ms: a gain below that is not worth a copy. */
const LEAST_GAIN = 1
/** The repair of what is lost arrives so many round trips of its path after it left, at the earliest. */
const REPAIRED_AFTER = 1.5
/** A path whose pacer lets a packet go within this fraction of its RTT takes what is lost now. */
const SOON = 0.25

const PART = "reinjection policy"
const MODES: ReadonlyArray<Mode> = ["onLoss", "onDelay", "onIdle"]
const isModes = (value: unknown): boolean => Array.isArray(value) && value.every((mode) => MODES.includes(mode))
const isBoolean = (value: unknown): boolean => typeof value === "boolean"
const WANTED = PacketFlag.outstanding | PacketFlag.ackEliciting

/** ms that data takes on the path: queues are on its way there. One that has just begun shows in the last sample alone. */
const oneWay = ({ latestRtt, minRtt, smoothedRtt }: Path): number => Math.max(latestRtt, smoothedRtt) - minRtt / 2

export class Reinjector {
  /** Bytes that went a further time. */
  bytes = 0
  private readonly core: ConnectionState
  private readonly copies: CopyQueues
  private readonly policy: Policy | undefined
  private readonly onLoss: boolean
  private readonly onDelay: boolean
  private readonly onIdle: boolean
  private readonly preferred: ReadonlyArray<number> | undefined
  private readonly crypto: boolean
  private readonly control: boolean
  private readonly maxReinjections: number
  private readonly maxQueue: number
  /** ms. */
  private readonly minInterval: number
  private readonly budget: number
  /** Bytes of late data that were copied although nothing says that they are lost: these have the budget. */
  private spent = 0
  private readonly candidates: Array<Path> = []
  /** The same for the policy, which may do to it what it likes. */
  private readonly offered: Array<Path> = []
  private readonly packet: { -readonly [K in keyof TargetContext["packet"]]: TargetContext["packet"][K] } = {
    kind: "stream",
    bytes: 0,
    reinjections: 0
  }

  constructor(core: ConnectionState, copies: CopyQueues) {
    this.core = core
    this.copies = copies
    const policy = core.policies.reinjection
    this.policy = policy
    const { mistakes } = core
    const own = mistakes.setting(PART, policy, "modes", isModes, `a list of ${MODES.join(", ")}`)
    const modes: ReadonlyArray<Mode> = policy === undefined ? [] : (own ?? MODES)
    this.onLoss = modes.includes("onLoss")
    this.onDelay = modes.includes("onDelay")
    this.onIdle = modes.includes("onIdle")
    this.preferred = mistakes.setting(PART, policy, "preferredPaths", Array.isArray, "a list of path IDs")
    this.crypto = mistakes.setting(PART, policy, "crypto", isBoolean, "true or false") !== false
    this.control = mistakes.setting(PART, policy, "control", isBoolean, "true or false") !== false
    this.maxReinjections = mistakes.figure(PART, policy, "maxReinjections", 1, 8, 2)
    this.maxQueue = mistakes.figure(PART, policy, "maxQueuePerPath", 1, 4096, 64)
    this.minInterval = mistakes.figure(PART, policy, "minInterval", 0, 60_000, 0)
    this.budget = mistakes.figure(PART, policy, "budget", 0, 8, 0.25)
  }

  /** True if the record waits for another path now. */
  onFrameLost(recovery: PathRecovery, frame: SentFrame): boolean {
    if (!this.onLoss) return false
    const origin = this.core.paths.get(recovery.pathId)
    return origin !== undefined && this.reinject(frame, origin, true) !== undefined
  }

  /** Nothing new waits: what a slow path took along last comes sooner on a fast one, which has nothing to do. */
  whenIdle(now: number): void {
    if (!this.onIdle || this.copies.usable.length < 2) return
    for (const target of this.copies.usable) {
      if (!target.hasRtt || target.hasCopies || !target.canSend) continue
      for (const origin of this.copies.usable) {
        if (origin === target || !origin.hasRtt || origin.bytesInFlight === 0) continue
        const gain = oneWay(origin) - oneWay(target)
        if (gain > LEAST_GAIN) this.copySince(origin, now - gain)
      }
    }
  }

  /** When something becomes late; Infinity if nothing will. */
  deadline(): number {
    if (!this.watches()) return Infinity
    let next = Infinity
    for (const path of this.core.paths.all) {
      const n = this.firstUncopied(path)
      if (n < 0) continue
      const sent = path.recovery.sent(Space.application)!
      next = Math.min(next, sent.timeSent[n & sent.mask]! + this.lateAfter(path))
    }
    return next
  }

  onTimeout(now: number): void {
    if (!this.watches()) return
    for (const path of this.core.paths.all) {
      const late = this.lateAfter(path)
      for (let n = this.firstUncopied(path); n >= 0; n = this.firstUncopied(path)) {
        const sent = path.recovery.sent(Space.application)!
        if (sent.timeSent[n & sent.mask]! + late > now) break
        this.copyPacket(path, n)
        path.lateFrom = n + 1
      }
    }
  }

  private watches(): boolean {
    if (this.copies.usable.length < 2) return false
    return this.onDelay || (this.onIdle && this.core.streams.queuedBytes === 0)
  }

  /** ms after which what the path has not acknowledged is late. */
  private lateAfter(path: Path): number {
    const { rtt } = path.recovery
    const usual = rtt.smoothed + Math.max(4 * rtt.variance, 1) + path.recovery.maxAckDelay
    const { policy } = this
    if (policy?.delay === undefined || !this.onDelay) return usual
    try {
      const delay: unknown = policy.delay(path)
      if (typeof delay === "number" && delay >= 1) return delay
      dropPromise(delay)
      this.complain("delay", `is ${textOf(delay)}`, `${Math.round(usual)} ms`)
    } catch (error) {
      this.complain("delay", `throws ${textOf(error)}`, `${Math.round(usual)} ms`)
    }
    return usual
  }

  /** The oldest outstanding packet that was not looked at yet; -1 if there is none. */
  private firstUncopied(path: Path): number {
    const sent = path.recovery.sent(Space.application)
    // Of a path that seems to have failed everything is handed over.
    if (sent === undefined || !path.open || path.ptoCount > 0 || sent.ackElicitingOutstanding === 0) return -1
    let n = path.lateFrom > sent.base ? path.lateFrom : sent.base
    while (n < sent.next && (sent.flags[n & sent.mask]! & WANTED) !== WANTED) n++
    path.lateFrom = n
    return n < sent.next ? n : -1
  }

  /** The newest first: the last to arrive is what the peer waits for. */
  private copySince(origin: Path, since: number): void {
    const sent = origin.recovery.sent(Space.application)
    if (sent === undefined) return
    const newest = sent.next - 1
    let n = newest
    for (; n >= sent.base && n > origin.idleUpTo && sent.timeSent[n & sent.mask]! > since; n--) {
      if ((sent.flags[n & sent.mask]! & WANTED) === WANTED && !this.copyPacket(origin, n)) break
    }
    origin.idleUpTo = newest
  }

  /** False if there is no path, or no budget, for it. */
  private copyPacket(origin: Path, packetNumber: number): boolean {
    const { core } = this
    const sent = origin.recovery.sent(Space.application)!
    const allowance = FREE + this.budget * core.streams.bytesSent
    for (let frame = sent.frames[packetNumber & sent.mask]; frame !== undefined; frame = frame.next) {
      if (frame.covered) continue
      if (this.spent + frame.length > allowance) return false
      const kind = copyKind(frame)
      if (kind === undefined || kind === "datagram") continue
      const copy = this.reinject(frame, origin, false)
      if (copy === undefined) return false
      frame.covered = true
      frame.paths = copy.paths
      this.spent += frame.length
    }
    return true
  }

  /** Puts a copy into the queue of another path; `now`: only where it can leave soon. */
  private reinject(frame: SentFrame, origin: Path, now: boolean): SentFrame | undefined {
    const kind = copyKind(frame)
    if (kind === undefined || kind === "datagram") return undefined
    if (kind === "crypto" ? !this.crypto : kind !== "stream" && !this.control) return undefined
    const reinjections = Math.max(0, pathCount(frame.paths) - 1)
    if (reinjections >= this.maxReinjections) return undefined
    const paths = frame.paths | origin.bit
    const { candidates, copies } = this
    candidates.length = 0
    for (const path of copies.usable) {
      if (path === origin || !copies.mayCarry(path, frame, paths) || !this.isInTime(path, origin)) continue
      if (path.queuedReinjections >= this.maxQueue || (now && !this.leavesSoon(path))) continue
      candidates.push(path)
    }
    if (candidates.length === 0) return undefined
    this.packet.kind = kind === "reset" ? "control" : kind
    this.packet.bytes = frame.length
    this.packet.reinjections = reinjections
    const target = this.select(origin)
    this.bytes += frame.length
    return copies.enqueue((target.reinjections ??= new CopyQueue(this.minInterval)), frame, target, paths)
  }

  /** A path that works repairs by itself in half an RTT more than one; a copy that takes longer would only be waited for. */
  private isInTime(target: Path, origin: Path): boolean {
    return origin.ptoCount > 0 || target.smoothedRtt <= 2 * REPAIRED_AFTER * origin.smoothedRtt
  }

  private leavesSoon(path: Path): boolean {
    path.now = this.core.now
    return path.nextSendTime <= this.core.now + SOON * path.smoothedRtt
  }

  private select(origin: Path): Path {
    const { candidates, offered, packet, policy } = this
    if (policy?.selectTarget !== undefined) {
      offered.length = 0
      for (const path of candidates) offered.push(path)
      try {
        const target = policy.selectTarget({ now: this.core.now, original: origin, candidates: offered, packet })
        if (candidates.includes(target as Path)) return target as Path
        dropPromise(target)
        this.complain("selectTarget", "gives none of the candidates", "The lowest RTT")
      } catch (error) {
        this.complain("selectTarget", `throws ${textOf(error)}`, "The lowest RTT")
      }
    }
    let best: Path | undefined
    let rank = Infinity
    for (const path of candidates) {
      const wanted = this.preferred?.indexOf(path.id) ?? 0
      const place = wanted < 0 ? Number.MAX_SAFE_INTEGER : wanted
      if (place > rank || (place === rank && path.smoothedRtt >= best!.smoothedRtt)) continue
      best = path
      rank = place
    }
    return best!
  }

  private complain(where: string, what: string, instead: string): void {
    this.core.mistakes.inPolicy(PART, this.policy!.name, where, what, instead)
  }
}
