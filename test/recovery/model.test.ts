import { assert, describe, it } from "@effect/vitest"
import type { ConnectionControllers } from "../../src/CongestionControl.ts"
import { PathRecovery, RecoveryTimeout, Space } from "../../src/internal/recovery/PathRecovery.ts"
import { SentFrameKind, SentFrameList, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import { seeded, SpyController } from "./support.ts"
import { Address } from "../../src/internal/wire/Datagram.ts"

interface Packet {
  readonly n: number
  readonly time: number
  readonly bytes: number
  readonly eliciting: boolean
  lostAt: number
  state: "outstanding" | "acked" | "lost"
}

/** Loss recovery as the text of RFC 9002 section 6.1 has it, over a plain list; thresholds follow the reordering seen. */
class Model {
  readonly packets: Array<Packet> = []
  largestAcked = -1
  latest = 0
  smoothed = 100
  /** Overtaken packets that were acknowledged after all: by how many, and how long after the RTT. Two periods of 16 events. */
  late = [
    { gap: 0, time: 0 },
    { gap: 0, time: 0 }
  ]
  events = 0
  eventStart = -Infinity

  get inFlight(): number {
    return this.outstanding().reduce((sum, p) => sum + (p.eliciting ? p.bytes : 0), 0)
  }

  outstanding(): Array<Packet> {
    return this.packets.filter((p) => p.state === "outstanding")
  }

  get rtt(): number {
    return Math.max(this.latest, this.smoothed)
  }

  overtaken(p: Packet, largestBefore: number, now: number): void {
    if (!p.eliciting || p.n >= largestBefore) return
    this.late[0]!.gap = Math.max(this.late[0]!.gap, largestBefore - p.n)
    this.late[0]!.time = Math.max(this.late[0]!.time, now - p.time - this.rtt)
  }

  detect(now: number, skipped: number, pto: number): Array<number> {
    const lost: Array<number> = []
    const seen = Math.max(...this.late.map((late) => late.time))
    const usual = 1.125 * this.rtt
    const delay = Math.max(1, usual, Math.min(Math.max(3 * this.rtt, pto), this.rtt + 1.25 * seen))
    const threshold = this.late.some((late) => late.gap >= 3) ? Infinity : 3
    let newest = -Infinity
    for (const p of this.outstanding()) {
      if (p.n > this.largestAcked) continue
      const skips = skipped > p.n && skipped < this.largestAcked ? 1 : 0
      if (this.largestAcked - p.n - skips >= threshold || p.time + delay <= now) {
        p.state = "lost"
        p.lostAt = now
        lost.push(p.n)
        if (p.eliciting) newest = p.time
      }
    }
    if (newest > this.eventStart) {
      this.eventStart = now
      if (++this.events % 16 === 0) this.late = [{ gap: 0, time: 0 }, this.late[0]!]
    }
    return lost
  }

  forgetSettled(now: number): void {
    const from = this.packets.findIndex(
      (p) => p.state === "outstanding" || (p.state === "lost" && p.lostAt > now - 2000)
    )
    this.packets.splice(0, from < 0 ? this.packets.length : from)
  }
}

describe("PathRecovery against a plain model", () => {
  for (const seed of [1, 2]) {
    it(`reports every record exactly once over 50,000 random operations, seed ${seed}`, () => {
      const random = seeded(seed)
      const pool = new SentFramePool()
      const list = new SentFrameList(pool)
      const model = new Model()
      /** What each record came to, by its value. */
      const acked = new Set<number>()
      const lost = new Set<number>()
      let nextRecord = 0
      let lateRecords = 0
      const settle = (value: number, as: "acked" | "lost"): void => {
        const fate = as === "acked" ? acked : lost
        assert.isFalse(fate.has(value), `record ${value} was reported ${as} twice`)
        if (as === "lost") assert.isFalse(acked.has(value), `record ${value} was lost after its acknowledgement`)
        else if (lost.has(value)) lateRecords++
        fate.add(value)
      }
      let ackedNow: Array<number> = []
      let lostNow: Array<number> = []
      const controllers: ConnectionControllers = { make: () => new SpyController() }
      const path = new PathRecovery({
        pathId: 0,
        local: new Address("10.0.0.1", 5000, 4),
        remote: new Address("10.9.0.1", 4433, 4),
        events: {
          frameAcked: (_path, frame) => settle(frame.value, "acked"),
          frameLost: (_path, frame) => settle(frame.value, "lost"),
          packetAcked: (_path, _space, n) => void ackedNow.push(n),
          packetLost: (_path, _space, n) => void lostNow.push(n)
        },
        pool,
        controllers,
        random,
        initialRtt: 100,
        maxDatagramSize: 1200,
        scaledStart: false,
        maxPtoInterval: 60_000,
        localMaxAckDelay: 25,
        ecn: false
      })
      path.handshakeConfirmed = true
      const spy = path.controller as SpyController
      const ranges = new Float64Array(128)
      let now = 0
      /** Numbers that arrived at the peer. */
      let arrived = new Set<number>()
      /** Numbers that will arrive after later ones. */
      const late: Array<number> = []
      let burst = 1
      for (let step = 0; step < 50_000; step++) {
        now += random() * 2
        ackedNow = []
        lostNow = []
        const dice = random()
        if (step % 1000 === 0) burst = 1 + Math.floor(random() * 60)
        if (dice < 0.55) {
          const eliciting = random() < 0.9
          for (let i = 0; i < (random() < 0.05 ? burst : 1); i++) {
            const n = path.nextPacketNumber(Space.application)
            const bytes = 100 + Math.floor(random() * 1100)
            for (let k = Math.floor(random() * 3); k >= 0; k--) {
              list.add(SentFrameKind.stream).value = nextRecord++
            }
            path.onPacketSent(Space.application, n, now, bytes, eliciting, eliciting, false, list.detach())
            model.packets.push({ n, time: now, bytes, eliciting, lostAt: 0, state: "outstanding" })
            const way = random()
            if (way < 0.9) arrived.add(n)
            else if (way < 0.95) late.push(n)
          }
        } else if (dice < 0.95) {
          if (late.length > 0 && random() < 0.2) arrived.add(late.pop()!)
          // The peer acknowledges some of what arrived, at most 64 ranges from the top.
          const upTo = path.sent(Space.application)!.next - 1 - Math.floor(random() * 5)
          const numbers = [...arrived].filter((n) => n <= upTo).toSorted((a, b) => b - a)
          let count = 0
          for (const n of numbers) {
            if (count > 0 && ranges[2 * count - 2] === n + 1) ranges[2 * count - 2] = n
            else if (count === 64) break
            else {
              ranges[2 * count] = ranges[2 * count + 1] = n
              count++
            }
          }
          if (count === 0) continue
          const rttAllowed = random() < 0.9
          const ptoBefore = path.pto
          const violation = path.onAck(
            Space.application,
            { ranges, rangeCount: count, hasEcn: false, ect0: 0, ect1: 0, ce: 0 },
            0,
            now,
            rttAllowed
          )
          assert.isUndefined(violation)
          const covered = (n: number): boolean => {
            for (let i = 0; i < count; i++) if (n >= ranges[2 * i]! && n <= ranges[2 * i + 1]!) return true
            return false
          }
          const newly = model.outstanding().filter((p) => covered(p.n))
          for (const p of newly) {
            p.state = "acked"
            model.overtaken(p, model.largestAcked, now)
          }
          assert.deepStrictEqual(
            ackedNow,
            newly.map((p) => p.n)
          )
          for (const p of model.packets) {
            if (p.state !== "lost" || !covered(p.n)) continue
            p.state = "acked"
            if (p.lostAt >= now - 3 * ptoBefore) model.overtaken(p, model.largestAcked, now)
          }
          model.largestAcked = Math.max(model.largestAcked, ranges[1]!)
          if (newly.length > 0) {
            model.latest = path.rtt.latest
            model.smoothed = path.rtt.smoothed
            assert.deepStrictEqual(lostNow, model.detect(now, path.sent(Space.application)!.lastSkipped, path.pto))
          } else assert.deepStrictEqual(lostNow, [])
          if (random() < 0.3) arrived = new Set([...arrived].filter((n) => n > upTo - 100))
        } else if (dice < 0.99) {
          const timeout = path.timeout()
          const outcome = path.onTimeout(now)
          if (timeout > now) assert.strictEqual(outcome, RecoveryTimeout.none)
          else assert.notStrictEqual(outcome, RecoveryTimeout.none)
          if (outcome === RecoveryTimeout.loss)
            assert.deepStrictEqual(lostNow, model.detect(now, path.sent(Space.application)!.lastSkipped, path.pto))
          else assert.deepStrictEqual(lostNow, [])
        } else if (random() < 0.9) {
          const before = lost.size
          const taken = path.takeForProbe(Space.application)
          assert.strictEqual(taken, lost.size > before)
        } else path.handOver(Space.application)
        if (step % 20 === 0) {
          model.forgetSettled(now)
          spy.calls.length = 0
          assert.strictEqual(path.bytesInFlight, model.inFlight)
          const sent = path.sent(Space.application)!
          assert.strictEqual(sent.ackElicitingOutstanding, model.outstanding().filter((p) => p.eliciting).length)
        }
      }
      assert.isAbove(path.packetsLost, 500)
      assert.isAbove(path.packetsAcked, 5000)
      assert.isAbove(path.spuriousLosses, 10)
      path.abandon(now)
      assert.isAbove(lateRecords, 10)
      assert.strictEqual(new Set([...acked, ...lost]).size, nextRecord, "none is left over")
      assert.strictEqual(path.bytesInFlight, 0)
      assert.strictEqual(path.packetsAcked + path.packetsLost, path.packetsSent)
    })
  }
})
