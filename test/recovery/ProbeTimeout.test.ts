import { assert, describe, it } from "@effect/vitest"
import { RecoveryTimeout, Space } from "../../src/internal/recovery/PathRecovery.ts"
import { SentFrameKind } from "../../src/internal/recovery/SentFrames.ts"
import { Bench } from "./support.ts"

describe("PathRecovery probe timeout (RFC 9002 section 6.2)", () => {
  it("expires after smoothed + 4 * variance + max_ack_delay, and doubles (6.2.1)", () => {
    const bench = new Bench()
    bench.send(10)
    assert.strictEqual(bench.path.timeout(), 10 + 100 + 200 + 25)
    assert.strictEqual(bench.path.onTimeout(334.9), RecoveryTimeout.none)
    assert.strictEqual(bench.path.onTimeout(335), RecoveryTimeout.probe)
    assert.strictEqual(bench.path.probeSpace, Space.application)
    assert.strictEqual(bench.path.ptoCount, 1)
    bench.send(335)
    assert.strictEqual(bench.path.timeout(), 335 + 650)
    assert.strictEqual(bench.path.onTimeout(985), RecoveryTimeout.probe)
    bench.send(985)
    assert.strictEqual(bench.path.timeout(), 985 + 1300)
    bench.ack(1000, [[2, 2]], { rtt: false })
    assert.strictEqual(bench.path.ptoCount, 0)
  })

  it("cannot be due twice at once when no probe could be sent", () => {
    const bench = new Bench()
    bench.send(0)
    assert.strictEqual(bench.path.onTimeout(5000), RecoveryTimeout.probe)
    assert.strictEqual(bench.path.onTimeout(5000), RecoveryTimeout.none)
    assert.strictEqual(bench.path.timeout(), 5650)
  })

  it("restarts with every ack-eliciting packet, and not with others", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(50)
    bench.sendAck(90)
    assert.strictEqual(bench.path.timeout(), 375)
  })

  it("is put off by what goes on being sent only so far, and not by late acknowledgements of what came before", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(10)
    bench.ack(20, [[0, 0]], { rtt: false })
    for (let now = 100; now <= 600; now += 100) bench.send(now)
    const due = bench.path.timeout()
    assert.isAtMost(due, 10 + 2 * 325)
    bench.ack(630, [[0, 1]], { rtt: false })
    assert.strictEqual(bench.path.timeout(), due + 10)
  })

  it("issue 7 outage: what leaves meanwhile puts the next of several timeouts off by one without backoff at most", () => {
    const bench = new Bench({ maxPtoInterval: 2000 })
    bench.send(0)
    bench.path.ptoCount = 5
    const first = bench.path.timeout()
    assert.strictEqual(bench.path.onTimeout(first), RecoveryTimeout.probe)
    for (let now = first; now < first + 2000; now += 100) bench.send(now)
    assert.isAtMost(bench.path.timeout(), first + 325 + 2000)
  })

  it("A12: the interval is bounded, yet the first timeout always backs off", () => {
    const intervals = (maxPtoInterval: number): Array<number> => {
      const bench = new Bench({ maxPtoInterval })
      bench.send(0)
      return [0, 1, 2, 3, 4, 60].map((ptoCount) => {
        bench.path.ptoCount = ptoCount
        return bench.path.timeout()
      })
    }
    assert.deepStrictEqual(intervals(2000), [325, 650, 1300, 2000, 2000, 2000])
    assert.deepStrictEqual(intervals(100), [325, 650, 650, 650, 650, 650])
    assert.deepStrictEqual(intervals(60_000), [325, 650, 1300, 2600, 5200, 60_000])
  })

  it("C9: one of several paths is probed every 500 ms at first, then backs off as any other", () => {
    const bench = new Bench({ initialRtt: 40, maxPtoInterval: 2000 })
    bench.send(0)
    const interval = (ptoCount: number, oneOfSeveral: boolean): number => {
      bench.path.ptoCount = ptoCount
      bench.path.oneOfSeveral = oneOfSeveral
      return bench.path.timeout()
    }
    assert.strictEqual(interval(1, true), 290)
    for (const ptoCount of [3, 10, 16]) assert.strictEqual(interval(ptoCount, true), 500)
    assert.strictEqual(interval(17, true), 2000)
    assert.strictEqual(interval(10, false), 2000, "and at once when it is the last one")
    const slow = new Bench({ initialRtt: 600, maxPtoInterval: 2000 })
    slow.send(0)
    slow.path.oneOfSeveral = true
    slow.path.ptoCount = 1
    assert.strictEqual(slow.path.timeout(), 3650, "a slow path backs off too")
  })

  it("is not armed with nothing ack-eliciting outstanding", () => {
    const bench = new Bench()
    bench.sendAck(0)
    assert.strictEqual(bench.path.timeout(), Infinity)
    assert.strictEqual(bench.path.onTimeout(1e6), RecoveryTimeout.none)
    bench.send(10)
    bench.ack(60, [[1, 1]])
    bench.path.onTimeout(1e6)
    assert.strictEqual(bench.path.timeout(), Infinity)
  })

  it("takes the earliest space, without max_ack_delay in the handshake (6.2.1)", () => {
    const bench = new Bench()
    bench.path.handshakeConfirmed = false
    bench.send(0, Space.handshake)
    bench.send(10, Space.initial)
    assert.strictEqual(bench.path.timeout(), 300)
    assert.strictEqual(bench.path.onTimeout(300), RecoveryTimeout.probe)
    assert.strictEqual(bench.path.probeSpace, Space.handshake)
  })

  it("leaves application packets alone until the handshake is confirmed (6.2.1)", () => {
    const bench = new Bench()
    bench.path.handshakeConfirmed = false
    bench.send(0)
    assert.strictEqual(bench.path.timeout(), Infinity)
    bench.path.handshakeConfirmed = true
    assert.strictEqual(bench.path.timeout(), 325)
  })

  it("waits behind the loss timer (6.2.1)", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(0)
    bench.send(0)
    bench.ack(40, [[1, 1]])
    assert.strictEqual(bench.path.timeout(), 45)
  })

  it("probes an unvalidated server though nothing is in flight (6.2.2.1)", () => {
    const bench = new Bench()
    bench.path.handshakeConfirmed = false
    bench.path.peerAddressValidated = false
    bench.send(5, Space.initial)
    bench.ack(55, [[0, 0]], { space: Space.initial })
    // 50 + 4 * 25 after the last thing that happened
    assert.strictEqual(bench.path.timeout(), 55 + 150)
    assert.strictEqual(bench.path.onTimeout(205), RecoveryTimeout.probe)
    assert.strictEqual(bench.path.probeSpace, Space.initial)
    assert.strictEqual(bench.path.timeout(), 205 + 300)
    bench.path.hasHandshakeKeys = true
    assert.strictEqual(bench.path.onTimeout(505), RecoveryTimeout.probe)
    assert.strictEqual(bench.path.probeSpace, Space.handshake)
    bench.path.peerAddressValidated = true
    assert.strictEqual(bench.path.timeout(), Infinity)
  })

  it("probes an unvalidated server also with only 0-RTT packets in flight", () => {
    const bench = new Bench()
    bench.path.handshakeConfirmed = false
    bench.path.peerAddressValidated = false
    bench.send(5)
    assert.strictEqual(bench.path.timeout(), 305)
  })

  it("keeps the backoff at a client whose address may not be validated (6.2.1)", () => {
    const bench = new Bench()
    bench.path.handshakeConfirmed = false
    bench.path.peerAddressValidated = false
    bench.send(0, Space.initial)
    bench.path.onTimeout(300)
    bench.send(300, Space.initial)
    bench.ack(350, [[1, 1]], { space: Space.initial })
    assert.strictEqual(bench.path.ptoCount, 1)
    bench.path.peerAddressValidated = true
    bench.send(400, Space.initial)
    bench.ack(450, [[2, 2]], { space: Space.initial })
    assert.strictEqual(bench.path.ptoCount, 0)
  })

  it("is not armed at the amplification limit (6.2.2.1)", () => {
    const bench = new Bench()
    bench.send(0)
    bench.path.amplificationBlocked = true
    assert.strictEqual(bench.path.timeout(), Infinity)
    bench.path.amplificationBlocked = false
    assert.strictEqual(bench.path.timeout(), 325)
  })

  it("hands over the oldest content for the probe, once (6.2.4)", () => {
    const bench = new Bench()
    bench.sendAck(0)
    for (let i = 0; i < 4; i++) bench.send(0)
    assert.isTrue(bench.path.takeForProbe(Space.application))
    assert.deepStrictEqual(bench.takeLog(), ["frame lost 1", "frame lost 2"])
    assert.strictEqual(bench.path.bytesInFlight, 4800, "still in flight")
    assert.strictEqual(bench.path.packetsLost, 0)
    assert.isTrue(bench.path.takeForProbe(Space.application, 1))
    assert.deepStrictEqual(bench.takeLog(), ["frame lost 3"])
    bench.ack(50, [[1, 1]])
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 1", "acked 2:1"], "C11: the original counts")
    bench.ack(51, [
      [4, 4],
      [1, 1]
    ])
    bench.path.onTimeout(1000)
    assert.deepStrictEqual(
      bench.takeLog(),
      ["frame acked 4", "acked 2:4", "frame lost 0", "lost 2:0", "lost 2:2", "lost 2:3"],
      "what 2 and 3 carried was sent again already"
    )
    assert.isFalse(bench.path.takeForProbe(Space.application))
  })

  it("has nothing to hand over from PINGs, acknowledgements and MTU probes", () => {
    const bench = new Bench()
    bench.record(1, SentFrameKind.ping)
    bench.record(2, SentFrameKind.ack)
    bench.path.onPacketSent(2, 0, 0, 100, true, true, false, bench.list.detach())
    bench.record(1400, SentFrameKind.mtuProbe)
    bench.path.onPacketSent(2, 1, 0, 1400, true, true, false, bench.list.detach())
    assert.isFalse(bench.path.takeForProbe(Space.application))
    assert.deepStrictEqual(bench.takeLog(), [])
    assert.isFalse(bench.path.takeForProbe(7))
  })

  it("REC-4 hands over everything when the path seems dead", () => {
    const bench = new Bench()
    for (let i = 0; i < 100; i++) bench.send(0)
    assert.isTrue(bench.path.handOver(Space.application))
    assert.strictEqual(bench.takeLog().length, 100)
    assert.isFalse(bench.path.handOver(Space.application))
    assert.strictEqual(bench.path.bytesInFlight, 120_000)
    bench.ack(50, [[0, 99]])
    assert.strictEqual(bench.takeLog().filter((line) => line.startsWith("frame acked")).length, 100)
    assert.strictEqual(bench.path.bytesInFlight, 0)
  })
})
