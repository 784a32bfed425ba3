import { assert, describe, it } from "@effect/vitest"
import { Space } from "../../src/internal/recovery/PathRecovery.ts"
import { Bench } from "./support.ts"

describe("PathRecovery life of spaces and paths", () => {
  it("discards a space without loss, and resets the backoff (RFC 9002 section 6.4)", () => {
    const bench = new Bench()
    bench.send(0, Space.initial)
    bench.send(0, Space.handshake)
    bench.path.ptoCount = 3
    bench.path.received(Space.initial).onReceived(0, true, 0, 0)
    bench.path.discardSpace(Space.initial)
    assert.strictEqual(bench.path.bytesInFlight, 1200)
    assert.strictEqual(bench.path.ptoCount, 0)
    assert.deepStrictEqual(bench.takeLog(), [])
    assert.isUndefined(bench.path.sent(Space.initial))
    assert.isFalse(bench.path.received(Space.initial).ackDue(1e9))
    assert.isTrue(bench.path.received(Space.initial).isDuplicate(99))
    assert.strictEqual(bench.path.packetsLost, 0)
    assert.isUndefined(bench.ack(10, [[0, 5]], { space: Space.initial }))
    bench.send(20, Space.initial)
    assert.strictEqual(bench.path.bytesInFlight, 1200)
    bench.path.discardSpace(Space.initial)
    assert.strictEqual(bench.path.timeout(), 300)
  })

  it("takes a space back for Retry and rejected 0-RTT: sent again, not congestion (RFC 9001 section 4.6.2)", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(0)
    bench.path.withdraw(Space.application)
    assert.deepStrictEqual(bench.takeLog(), ["frame lost 0", "frame lost 1"])
    assert.strictEqual(bench.path.bytesInFlight, 0)
    assert.deepStrictEqual(bench.controller.take("congestion"), [])
    assert.strictEqual(bench.send(10), 2, "numbers go on")
    bench.ack(50, [[2, 2]])
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 2", "acked 2:2"])
  })

  it("ABN-9 loses everything outstanding when the path's state goes", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(0)
    bench.ack(10, [[1, 1]])
    bench.send(20)
    bench.takeLog()
    bench.path.abandon(100)
    assert.deepStrictEqual(bench.takeLog(), ["frame lost 0", "lost 2:0", "frame lost 2", "lost 2:2"])
    assert.strictEqual(bench.path.bytesInFlight, 0)
    assert.strictEqual(bench.path.timeout(), Infinity)
    assert.deepStrictEqual(bench.controller.take("congestion"), [])
    bench.path.abandon(100)
    assert.deepStrictEqual(bench.takeLog(), [])
    bench.path.close()
    assert.deepStrictEqual(bench.controller.take("close"), ["close"])
  })

  it("VAL-7 starts over for a new address; earlier packets count for nothing there", () => {
    const bench = new Bench()
    bench.send(0)
    bench.ack(40, [[0, 0]])
    for (let i = 0; i < 4; i++) bench.send(50)
    bench.path.ptoCount = 2
    bench.path.resetForNewAddress(60)
    assert.deepStrictEqual(bench.controller.take("reset"), ["reset 60"])
    assert.deepStrictEqual([bench.path.bytesInFlight, bench.path.ptoCount], [0, 0])
    assert.isFalse(bench.path.rtt.hasSample)
    assert.strictEqual(bench.path.rtt.smoothed, 100)
    assert.isFalse(Number.isFinite(bench.path.rtt.min))
    bench.takeLog()
    bench.ack(100, [[4, 4]])
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 4", "acked 2:4", "frame lost 1", "lost 2:1"])
    assert.isFalse(bench.path.rtt.hasSample, "it went the old way")
    assert.deepStrictEqual(bench.controller.take("acked", "congestion"), [])
    bench.send(110)
    assert.strictEqual(bench.path.bytesInFlight, 1200)
    bench.ack(130, [[5, 5]])
    assert.strictEqual(bench.path.rtt.latest, 20)
    assert.strictEqual(bench.path.bytesInFlight, 0)
    assert.deepStrictEqual(bench.controller.take("acked"), ["acked 130 1200 110 limited"])
  })

  it("REC-1, NON-5 keeps only application packets on other paths, numbered from 0", () => {
    const bench = new Bench({ pathId: 3 })
    assert.isUndefined(bench.path.sent(Space.initial))
    assert.isUndefined(bench.path.sent(Space.handshake))
    assert.strictEqual(bench.path.nextPacketNumber(Space.application), 0)
    assert.strictEqual(bench.path.nextPacketNumber(Space.initial), 0)
    assert.isTrue(bench.path.received(Space.handshake).isDuplicate(0))
    assert.strictEqual(bench.info?.pathId, 3)
    bench.send(0)
    assert.strictEqual(bench.path.timeout(), 325, "no handshake to wait for")
  })

  it("passes the packet size on", () => {
    const bench = new Bench()
    bench.path.maxDatagramSize = 1452
    assert.strictEqual(bench.path.maxDatagramSize, 1452)
    assert.strictEqual(bench.info?.maxDatagramSize, 1452)
  })

  it("tells the controller whether its path carries anything", () => {
    const bench = new Bench()
    assert.isFalse(bench.info?.usable)
    bench.path.usable = true
    assert.isTrue(bench.info?.usable)
  })

  it("holds back at the window, and then only an acknowledgement helps", () => {
    const bench = new Bench()
    bench.controller.congestionWindow = 2400
    assert.isTrue(bench.path.canSend(1200, 0))
    bench.send(0)
    assert.strictEqual(bench.path.nextSendTime(0), 0)
    bench.send(0)
    assert.isFalse(bench.path.canSend(1, 0))
    assert.strictEqual(bench.path.nextSendTime(0), Infinity)
    bench.ack(10, [[0, 0]])
    assert.isTrue(bench.path.canSend(1200, 10))
  })

  it("holds back when more is outstanding than the ring takes, and survives it", () => {
    const bench = new Bench()
    while (bench.path.canSend(1, 0) || bench.path.pacer.budget(0) < 1) {
      const n = bench.path.nextPacketNumber(2)
      bench.path.onPacketSent(2, n, 0, 0, true, true, false, undefined)
    }
    assert.isTrue(bench.path.sent(2)!.isFull)
    assert.strictEqual(bench.path.nextSendTime(0), Infinity)
    for (let i = 0; i < 3000; i++)
      bench.path.onPacketSent(2, bench.path.nextPacketNumber(2), 0, 0, true, true, false, undefined)
    assert.isAbove(bench.path.packetsLost, 0)
    assert.isAtMost(bench.path.sent(2)!.span, 2 ** 17)
  })

  it("does not grow by acknowledgements that nobody acknowledges", () => {
    const bench = new Bench()
    for (let i = 0; i < 10_000; i++) bench.sendAck(i)
    assert.strictEqual(bench.path.sent(2)!.capacity, 64)
    assert.strictEqual(bench.path.sent(2)!.sinceAckEliciting, 10_000)
    assert.strictEqual(bench.path.bytesInFlight, 0)
    bench.send(10_000)
    assert.strictEqual(bench.path.sent(2)!.sinceAckEliciting, 0)
    const last = bench.path.sent(2)!.next - 1
    assert.isUndefined(bench.ack(10_050, [[last, last]]))
    assert.strictEqual(bench.path.rtt.latest, 50)
  })

  it("reports the records of every such packet as lost", () => {
    const bench = new Bench()
    for (let i = 0; i < 100; i++) bench.sendAck(i)
    assert.strictEqual(bench.takeLog().filter((line) => line.startsWith("frame lost")).length, 36)
    assert.strictEqual(bench.path.packetsLost, 0)
  })
})
