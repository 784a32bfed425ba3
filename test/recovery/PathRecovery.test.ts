import { assert, describe, it } from "@effect/vitest"
import { RecoveryTimeout, Space } from "../../src/internal/recovery/PathRecovery.ts"
import { SentFrameKind } from "../../src/internal/recovery/SentFrames.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { Bench, seeded } from "./support.ts"

describe("PathRecovery acknowledgements (RFC 9002 appendix A.7)", () => {
  it("reports records and packets once, in order, and frees the window", () => {
    const bench = new Bench()
    for (let i = 0; i < 4; i++) bench.send(i)
    assert.strictEqual(bench.path.bytesInFlight, 4800)
    bench.ack(100, [
      [3, 3],
      [0, 1]
    ])
    assert.deepStrictEqual(bench.takeLog(), [
      "frame acked 0",
      "acked 2:0",
      "frame acked 1",
      "acked 2:1",
      "frame acked 3",
      "acked 2:3"
    ])
    assert.strictEqual(bench.path.bytesInFlight, 1200)
    bench.ack(101, [[0, 3]])
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 2", "acked 2:2"])
    bench.ack(102, [[0, 3]])
    assert.deepStrictEqual(bench.takeLog(), [])
    assert.strictEqual(bench.path.bytesInFlight, 0)
    assert.deepStrictEqual([bench.path.packetsSent, bench.path.packetsAcked, bench.path.packetsLost], [4, 4, 0])
    assert.deepStrictEqual([bench.path.bytesSent, bench.path.bytesAcked], [4800, 4800])
    assert.deepStrictEqual(bench.controller.take("acked"), ["acked 100 3600 3 limited", "acked 101 1200 2 limited"])
  })

  /** A path that is known to reorder: for a while nothing is lost, whatever is missing. The next packet is number 6. */
  const reordering = (): Bench => {
    // No packet number is skipped.
    const bench = new Bench({ random: () => 1e9 })
    for (let i = 0; i < 6; i++) bench.send(0)
    bench.ack(10, [[5, 5]])
    bench.ack(10, [[0, 5]])
    bench.takeLog()
    return bench
  }

  it("W1: thousands of packets that are acknowledged again, above one that is missing, are not walked each time", () => {
    const bench = reordering()
    const { path } = bench
    const first = bench.send(10)
    let last = first
    while (last < 8000) last = bench.send(10)
    bench.ack(11, [[first + 1, last]])
    assert.strictEqual(path.bytesInFlight, 1200)
    bench.takeLog()
    // What a few packets full of ACK frames can say, each beginning elsewhere.
    for (let i = 0; i < 1000; i++) bench.ack(12, [[first + 1 + (i % 500), last - (i % 3)]])
    assert.isBelow(path.ackSteps, 10 * last)
    assert.deepStrictEqual(bench.takeLog(), [])
    bench.ack(13, [[first, last]])
    assert.deepStrictEqual(bench.takeLog(), [`frame acked ${first}`, `acked 2:${first}`])
    assert.strictEqual(path.bytesInFlight, 0)
  })

  it("W1: what is settled is skipped, and nothing else: every packet is acknowledged once, in any order", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const bench = reordering()
      const random = seeded(seed)
      const below = (n: number): number => Math.floor(random() * n)
      const first = bench.send(10)
      let last = bench.send(10)
      const acked = new Set<number>()
      for (let step = 0; step < 200; step++) {
        for (let n = below(12); n > 0; n--) last = bench.send(10)
        const to = first + 1 + below(last - first)
        const from = Math.max(first + 1, to - below(60))
        const expected: Array<string> = []
        for (let n = from; n <= to; n++) {
          if (!acked.has(n)) expected.push(`frame acked ${n}`, `acked 2:${n}`)
          acked.add(n)
        }
        bench.ack(11, [[from, to]])
        assert.deepStrictEqual(bench.takeLog(), expected, `seed ${seed}, step ${step}`)
      }
    }
  })

  it("reports every record of a packet, and gives them back to the pool after that", () => {
    const bench = new Bench()
    const first = bench.record(7)
    bench.record(8)
    bench.path.onPacketSent(2, 0, 0, 500, true, true, false, bench.list.detach())
    bench.ack(10, [[0, 0]])
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 7", "frame acked 8", "acked 2:0"])
    const again = [bench.pool.take(SentFrameKind.ping), bench.pool.take(SentFrameKind.ping)]
    assert.include(again, first)
  })

  it("refuses what was never sent (RFC 9000 section 13.1)", () => {
    const bench = new Bench()
    bench.send(0)
    assert.strictEqual(bench.ack(10, [[0, 1]])?.code, TransportError.protocolViolation)
    assert.strictEqual(bench.ack(10, [[0, 0]], { space: Space.initial })?.code, TransportError.protocolViolation)
    assert.isUndefined(bench.ack(10, [[0, 0]]))
  })

  it("refuses acknowledgements of skipped numbers (RFC 9000 section 21.4)", () => {
    const bench = new Bench({ random: () => 0 })
    const numbers = Array.from({ length: 6 }, () => bench.send(0))
    assert.deepStrictEqual(numbers, [0, 1, 2, 4, 5, 6])
    assert.strictEqual(bench.ack(10, [[0, 6]])?.code, TransportError.protocolViolation)
    assert.deepStrictEqual(bench.takeLog(), [], "nothing of it counts")
    assert.isUndefined(
      bench.ack(10, [
        [4, 6],
        [0, 2]
      ])
    )
    assert.strictEqual(bench.ack(10, [[0, 6]])?.code, TransportError.protocolViolation, "also when all is settled")
  })

  it("samples the RTT from the largest, newly acknowledged, with something ack-eliciting (5.1)", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(10)
    bench.sendAck(20)
    bench.ack(50, [[0, 0]])
    assert.strictEqual(bench.path.rtt.latest, 50)
    bench.ack(75, [[0, 1]], { delay: 5 })
    assert.strictEqual(bench.path.rtt.latest, 65)
    bench.ack(80, [[2, 2]])
    assert.strictEqual(bench.path.rtt.latest, 65, "elicits nothing")
    bench.send(100)
    bench.send(110)
    bench.ack(150, [[4, 4]])
    bench.ack(190, [[3, 4]])
    assert.strictEqual(bench.path.rtt.latest, 40, "the largest was known")
  })

  it("RTT-2 takes no sample where the way of the acknowledgement forbids it", () => {
    const bench = new Bench()
    bench.send(0)
    bench.ack(50, [[0, 0]], { rtt: false })
    assert.isFalse(bench.path.rtt.hasSample)
    assert.strictEqual(bench.path.bytesInFlight, 0)
  })

  it("ignores the ack delay of Initial packets (5.3)", () => {
    const bench = new Bench()
    bench.send(0, Space.initial)
    bench.ack(50, [[0, 0]], { space: Space.initial })
    bench.send(50, Space.initial)
    bench.ack(150, [[1, 1]], { space: Space.initial, delay: 40 })
    assert.strictEqual(bench.path.rtt.smoothed, 0.875 * 50 + 0.125 * 100)
  })

  it("tells the controller when the application was the limit (7.8)", () => {
    const bench = new Bench()
    bench.controller.congestionWindow = 3600
    bench.send(0)
    bench.ack(10, [[0, 0]])
    assert.deepStrictEqual(bench.controller.take("acked"), ["acked 10 1200 0 limited"])
    for (const time of [20, 21, 22]) bench.send(time)
    for (const n of [1, 2, 3]) bench.ack(30, [[n, n]])
    assert.deepStrictEqual(bench.controller.take("acked"), ["acked 30 1200 20", "acked 30 1200 21", "acked 30 1200 22"])
    bench.send(40)
    bench.ack(50, [[4, 4]])
    assert.deepStrictEqual(bench.controller.take("acked"), ["acked 50 1200 40 limited"], "full only before it left")
  })

  it("C4: pacing counts as use of the window only as far as what waits would fill it (7.8)", () => {
    const bench = new Bench()
    bench.controller.congestionWindow = 12_000
    bench.send(0)
    bench.path.onPacingLimited(1, 9000)
    bench.ack(10, [[0, 0]])
    assert.deepStrictEqual(bench.controller.take("acked"), ["acked 10 1200 0 limited"])
    bench.send(20)
    bench.path.onPacingLimited(21, 9601)
    bench.ack(30, [[1, 1]])
    assert.deepStrictEqual(bench.controller.take("acked"), ["acked 30 1200 20"])
  })
})

describe("PathRecovery loss (RFC 9002 section 6.1)", () => {
  it("declares lost what is 3 packets behind (6.1.1)", () => {
    const bench = new Bench()
    for (let i = 0; i < 5; i++) bench.send(0)
    bench.ack(50, [[2, 2]])
    assert.notInclude(bench.takeLog(), "lost 2:0", "2 behind is reordering")
    bench.ack(50, [[2, 3]])
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 3", "acked 2:3", "frame lost 0", "lost 2:0"])
    assert.deepStrictEqual(bench.controller.take("congestion"), ["congestion 50 0 1200"])
    assert.strictEqual(bench.path.packetsLost, 1)
    assert.strictEqual(bench.path.bytesLost, 1200)
    assert.strictEqual(bench.path.bytesInFlight, 2400)
  })

  it("leaves out a skipped number when it counts how far behind a packet is", () => {
    const bench = new Bench({ random: () => 0 })
    for (let i = 0; i < 5; i++) bench.send(0)
    bench.ack(50, [[5, 5]])
    // 0, 1, [2], 4, 5 with 3 never sent: 2 is behind 4 and 5 only.
    assert.deepStrictEqual(
      bench.takeLog().filter((line) => line.startsWith("lost")),
      ["lost 2:0", "lost 2:1"]
    )
  })

  it("declares lost by time after 9/8 of the RTT, with a timer at that very time (6.1.2)", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(8)
    bench.ack(88, [[1, 1]])
    assert.strictEqual(bench.path.timeout(), 90)
    assert.strictEqual(bench.path.onTimeout(89.999), RecoveryTimeout.none)
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 1", "acked 2:1"])
    assert.strictEqual(bench.path.onTimeout(90), RecoveryTimeout.loss)
    assert.deepStrictEqual(bench.takeLog(), ["frame lost 0", "lost 2:0"])
    assert.strictEqual(bench.path.timeout(), Infinity)
    assert.strictEqual(bench.path.ptoCount, 0)
  })

  it("never waits less than the granularity (6.1.2)", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(0)
    bench.ack(0.25, [[1, 1]])
    assert.strictEqual(bench.path.timeout(), 1)
    assert.strictEqual(bench.path.onTimeout(1), RecoveryTimeout.loss)
  })

  it("never declares lost what is newer than the largest acknowledged", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(0)
    bench.ack(10, [[0, 0]])
    bench.takeLog()
    assert.strictEqual(bench.path.onTimeout(11.5), RecoveryTimeout.none)
    assert.deepStrictEqual(bench.takeLog(), [])
  })

  it("reports one congestion event for a burst of losses, with the newest send time", () => {
    const bench = new Bench()
    for (let i = 0; i < 10; i++) bench.send(i)
    bench.ack(100, [[9, 9]])
    assert.deepStrictEqual(bench.controller.take("congestion"), ["congestion 100 6 8400"])
    assert.strictEqual(bench.path.timeout(), 7 + 91 * 1.125)
  })

  it("does not take lost ACK-only packets for congestion", () => {
    const bench = new Bench()
    bench.sendAck(0)
    for (let i = 0; i < 4; i++) bench.send(1)
    bench.ack(50, [[1, 4]])
    assert.include(bench.takeLog(), "frame lost 0")
    assert.deepStrictEqual(bench.controller.take("congestion"), [])
  })

  it("does not take a lost MTU probe for congestion (RFC 9000 section 14.4)", () => {
    const bench = new Bench()
    bench.record(1400, SentFrameKind.mtuProbe)
    bench.path.onPacketSent(2, 0, 0, 1400, true, true, false, bench.list.detach())
    for (let i = 0; i < 3; i++) bench.send(1)
    bench.ack(50, [[1, 3]])
    assert.include(bench.takeLog(), "frame lost 1400")
    assert.deepStrictEqual(bench.controller.take("congestion"), [])
    assert.strictEqual(bench.path.bytesInFlight, 0)
  })

  it("finds a loss spurious when all that was missing comes after all", () => {
    const bench = new Bench()
    for (let i = 0; i < 8; i++) bench.send(i)
    bench.ack(50, [[5, 5]])
    assert.strictEqual(bench.path.packetsLost, 3)
    bench.controller.take()
    bench.takeLog()
    bench.ack(52, [
      [5, 5],
      [1, 2]
    ])
    assert.strictEqual(bench.path.spuriousLosses, 2)
    assert.deepStrictEqual(bench.controller.take("spurious"), [], "0 is still missing")
    bench.ack(54, [
      [5, 5],
      [0, 2]
    ])
    assert.strictEqual(bench.path.spuriousLosses, 3)
    assert.deepStrictEqual(bench.controller.take("spurious"), ["spurious 54"])
    bench.ack(56, [[0, 5]])
    assert.strictEqual(bench.path.spuriousLosses, 3, "once")
  })

  it("C11: what a packet that was declared lost carried is acknowledged when it comes after all", () => {
    const bench = new Bench()
    for (let i = 0; i < 4; i++) bench.send(i)
    bench.ack(50, [[3, 3]])
    assert.include(bench.takeLog(), "frame lost 0")
    bench.ack(52, [
      [3, 3],
      [0, 0]
    ])
    assert.deepStrictEqual(bench.takeLog(), ["frame acked 0"])
    assert.strictEqual(bench.path.packetsAcked, 1, "it counts as lost")
  })

  it("keeps no records of lost packets once everything is acknowledged", () => {
    const bench = new Bench()
    for (let i = 0; i < 4; i++) bench.send(i)
    bench.ack(50, [[3, 3]])
    bench.send(51)
    bench.ack(100, [[4, 4]])
    bench.path.onTimeout(100)
    bench.takeLog()
    bench.ack(101, [[0, 4]])
    assert.deepStrictEqual(bench.takeLog(), [], "their content has arrived by other packets")
    assert.strictEqual(bench.path.spuriousLosses, bench.path.packetsLost, "and they count as they did")
  })

  it("C2: takes a reduction back although packets of other events are still missing", () => {
    const bench = new Bench()
    for (let i = 0; i < 5; i++) bench.send(i)
    bench.ack(50, [[3, 4]])
    assert.strictEqual(bench.path.packetsLost, 2, "0 and 1 are lost for good")
    for (let i = 5; i < 10; i++) bench.send(60 + i)
    bench.ack(120, [[8, 9]])
    assert.strictEqual(bench.path.packetsLost, 5, "2, 5 and 6 as well")
    bench.controller.take()
    bench.ack(125, [[5, 9]])
    assert.deepStrictEqual(bench.controller.take("spurious"), ["spurious 125"], "5 to 7 are an event of their own")
  })

  it("C2: keeps a reduction while one of its packets is missing, and after a mark", () => {
    const bench = new Bench()
    for (let i = 0; i < 5; i++) bench.send(i)
    bench.ack(50, [[4, 4]])
    bench.ack(55, [[1, 4]])
    assert.deepStrictEqual(bench.controller.take("spurious"), [], "0 is missing")
    const marked = new Bench({ ecn: true })
    for (let i = 0; i < 5; i++) marked.send(i)
    marked.ack(50, [[0, 0]], { ecn: [0, 0, 1] })
    marked.ack(55, [[4, 4]])
    marked.ack(56, [[0, 4]])
    assert.deepStrictEqual(marked.controller.take("spurious"), [], "the event was a mark")
  })

  it("forgets lost packets after 3 probe timeouts", () => {
    const bench = new Bench()
    for (let i = 0; i < 4; i++) bench.send(0)
    bench.ack(50, [[3, 3]])
    bench.ack(50 + 3 * bench.path.pto + 1, [[0, 3]])
    assert.strictEqual(bench.path.spuriousLosses, 0)
    assert.deepStrictEqual(bench.controller.take("spurious"), [])
  })
})

/** An RTT of exactly 100 ms with variance 50: PTO is 100 + 200 + 25, the duration 975 ms. */
const sampled = (): Bench => {
  const bench = new Bench()
  bench.send(0)
  bench.ack(100, [[0, 0]])
  assert.strictEqual(bench.path.pto, 325)
  bench.takeLog()
  return bench
}

const loseRun = (bench: Bench, from: number, to: number): Array<string> => {
  bench.send(from)
  bench.send(to)
  for (let i = 0; i < 3; i++) bench.send(to)
  // No RTT sample: the duration stays what it was.
  const last = bench.path.sent(2)!.next - 1
  bench.ack(to + 100, [[last, last]], { rtt: false })
  return bench.controller.take("persistent")
}

describe("PathRecovery persistent congestion (RFC 9002 section 7.6)", () => {
  it("not when the losses span exactly the duration", () => {
    assert.deepStrictEqual(loseRun(sampled(), 200, 1175), [])
  })

  it("when they span more", () => {
    const bench = sampled()
    assert.deepStrictEqual(loseRun(bench, 200, 1175.001), ["persistent 1275.001"])
    const { min, smoothed } = bench.path.rtt
    bench.path.rtt.update(min + 500, 0, 1300, true, 25)
    assert.strictEqual(bench.path.rtt.min, min + 500, "5.2: the minimum is taken anew")
    assert.isTrue(min > 0 && min <= smoothed, "and until then the old one stands")
  })

  it("not without an RTT sample before both (7.6.2)", () => {
    const bench = new Bench()
    assert.deepStrictEqual(loseRun(bench, 0, 5000), [])
  })

  it("not when the first of them was sent before the first sample", () => {
    const bench = new Bench()
    bench.send(0)
    bench.send(99)
    bench.ack(100, [[0, 0]])
    bench.send(2000)
    for (let i = 0; i < 3; i++) bench.send(2000)
    bench.ack(2100, [[5, 5]], { rtt: false })
    assert.strictEqual(bench.path.packetsLost, 2)
    assert.deepStrictEqual(bench.controller.take("persistent"), [])
  })

  it("not when a packet in between was acknowledged", () => {
    const bench = sampled()
    bench.send(200)
    bench.send(700)
    bench.send(2000)
    for (let i = 0; i < 3; i++) bench.send(2000)
    bench.ack(
      2100,
      [
        [6, 6],
        [2, 2]
      ],
      { rtt: false }
    )
    assert.strictEqual(bench.path.packetsLost, 2)
    assert.deepStrictEqual(bench.controller.take("persistent"), [])
  })

  it("also when the run is found lost by several acknowledgements", () => {
    const bench = sampled()
    bench.send(200)
    bench.send(210)
    for (let i = 0; i < 2; i++) bench.send(1500)
    bench.ack(1600, [[4, 4]], { rtt: false })
    assert.strictEqual(bench.path.packetsLost, 2)
    assert.deepStrictEqual(bench.controller.take("persistent"), [])
    for (let i = 0; i < 3; i++) bench.send(1700)
    bench.ack(1800, [[7, 7]], { rtt: false })
    assert.strictEqual(bench.path.packetsLost, 3)
    assert.deepStrictEqual(bench.controller.take("persistent"), ["persistent 1800"])
  })

  it("not from packets that elicit nothing", () => {
    const bench = sampled()
    bench.sendAck(200)
    bench.sendAck(5000)
    for (let i = 0; i < 4; i++) bench.send(5000)
    bench.ack(5100, [[6, 6]], { rtt: false })
    assert.deepStrictEqual(bench.controller.take("persistent"), [])
  })
})

const sendMarked = (bench: Bench, now: number, count: number): void => {
  for (let i = 0; i < count; i++) {
    const n = bench.path.nextPacketNumber(2)
    bench.path.onPacketSent(2, n, now, 1200, true, true, bench.path.ecn.marks, undefined)
  }
}

describe("PathRecovery ECN (RFC 9000 section 13.4, RFC 9002 section 7.1)", () => {
  it("answers a rise of the CE count as congestion", () => {
    const bench = new Bench({ ecn: true })
    sendMarked(bench, 0, 4)
    bench.ack(50, [[0, 1]], { ecn: [2, 0, 0] })
    assert.strictEqual(bench.path.ecn.state, "capable")
    assert.deepStrictEqual(bench.controller.take("congestion"), [])
    bench.ack(51, [[0, 3]], { ecn: [3, 0, 1] })
    assert.deepStrictEqual(bench.controller.take("congestion"), ["congestion 51 0 0 ecn"])
    sendMarked(bench, 60, 1)
    bench.ack(90, [[0, 4]], { ecn: [4, 0, 1] })
    assert.deepStrictEqual(bench.controller.take("congestion"), [], "the same count is no news")
  })

  it("gives up when marked packets are acknowledged without counts", () => {
    const bench = new Bench({ ecn: true })
    sendMarked(bench, 0, 2)
    bench.ack(50, [[0, 1]])
    assert.strictEqual(bench.path.ecn.state, "failed")
    assert.isFalse(bench.path.ecn.marks)
  })

  it("gives up when all marked packets are lost", () => {
    const bench = new Bench({ ecn: true })
    sendMarked(bench, 0, 20)
    assert.strictEqual(bench.path.ecn.state, "unknown")
    bench.ack(50, [[19, 19]])
    assert.strictEqual(bench.path.ecn.state, "failed")
  })
})
