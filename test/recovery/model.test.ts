import { assert, describe, it } from "@effect/vitest"
import type { ConnectionControllers } from "../../src/CongestionControl.ts"
import { PathRecovery, Space } from "../../src/internal/recovery/PathRecovery.ts"
import { SentFrameKind, SentFrameList, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import { seeded, SpyController } from "./support.ts"

interface Packet {
  readonly n: number
  readonly time: number
  readonly bytes: number
  readonly eliciting: boolean
  state: "outstanding" | "acked" | "lost"
}

/** Loss recovery as the text of RFC 9002 section 6.1 has it, over a plain list. */
class Model {
  readonly packets: Array<Packet> = []
  largestAcked = -1
  latest = 0
  smoothed = 100

  get inFlight(): number {
    return this.outstanding().reduce((sum, p) => sum + (p.eliciting ? p.bytes : 0), 0)
  }

  outstanding(): Array<Packet> {
    return this.packets.filter((p) => p.state === "outstanding")
  }

  detect(now: number, skipped: number): Array<number> {
    const lost: Array<number> = []
    const delay = Math.max(1, 1.125 * Math.max(this.latest, this.smoothed))
    for (const p of this.outstanding()) {
      if (p.n > this.largestAcked) continue
      const skips = skipped > p.n && skipped < this.largestAcked ? 1 : 0
      if (this.largestAcked - p.n - skips >= 3 || p.time + delay <= now) {
        p.state = "lost"
        lost.push(p.n)
      }
    }
    return lost
  }

  forgetSettled(): void {
    const first = this.packets.findIndex((p) => p.state === "outstanding")
    this.packets.splice(0, first < 0 ? this.packets.length : first)
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
      const fate = new Map<number, string>()
      let nextRecord = 0
      let records = 0
      let settled = 0
      const settle = (value: number, as: string): void => {
        assert.isFalse(fate.has(value), `record ${value} was reported twice`)
        fate.set(value, as)
        settled++
      }
      let ackedNow: Array<number> = []
      let lostNow: Array<number> = []
      const controllers: ConnectionControllers = { make: () => new SpyController() }
      const path = new PathRecovery({
        pathId: 0,
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
              records++
            }
            path.onPacketSent(Space.application, n, now, bytes, eliciting, eliciting, false, list.detach())
            model.packets.push({ n, time: now, bytes, eliciting, state: "outstanding" })
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
          const violation = path.onAck(Space.application, ranges, count, 0, now, rttAllowed, false, 0, 0, 0)
          assert.isUndefined(violation)
          const covered = (n: number): boolean => {
            for (let i = 0; i < count; i++) if (n >= ranges[2 * i]! && n <= ranges[2 * i + 1]!) return true
            return false
          }
          const acked = model.outstanding().filter((p) => covered(p.n))
          for (const p of acked) p.state = "acked"
          assert.deepStrictEqual(
            ackedNow,
            acked.map((p) => p.n)
          )
          model.largestAcked = Math.max(model.largestAcked, ranges[1]!)
          if (acked.length > 0) {
            model.latest = path.rtt.latest
            model.smoothed = path.rtt.smoothed
            assert.deepStrictEqual(lostNow, model.detect(now, path.sent(Space.application)!.lastSkipped))
          } else assert.deepStrictEqual(lostNow, [])
          if (random() < 0.3) arrived = new Set([...arrived].filter((n) => n > upTo - 100))
        } else if (dice < 0.99) {
          const timeout = path.timeout()
          const outcome = path.onTimeout(now)
          if (timeout > now) assert.strictEqual(outcome, 0)
          else assert.notStrictEqual(outcome, 0)
          if (outcome === 1)
            assert.deepStrictEqual(lostNow, model.detect(now, path.sent(Space.application)!.lastSkipped))
          else assert.deepStrictEqual(lostNow, [])
        } else if (random() < 0.9) {
          const before = settled
          const taken = path.takeForProbe(Space.application)
          assert.strictEqual(taken, settled > before)
        } else path.takeAllForReinjection(Space.application)
        if (step % 20 === 0) {
          model.forgetSettled()
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
      assert.strictEqual(settled, records, "none is left over")
      assert.strictEqual(path.bytesInFlight, 0)
      assert.strictEqual(path.packetsAcked + path.packetsLost, path.packetsSent)
    })
  }
})
