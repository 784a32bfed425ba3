import { assert, describe, it } from "@effect/vitest"
import { MAX_ACK_RANGES, ReceivedPackets } from "../../src/internal/recovery/ReceivedPackets.ts"
import { Ecn } from "../../src/internal/wire/Datagram.ts"
import { seeded } from "./support.ts"

const receive = (received: ReceivedPackets, numbers: ReadonlyArray<number>, now = 0, eliciting = true): void => {
  for (const n of numbers) received.onReceived(n, eliciting, now, Ecn.notEct)
}

const ranges = (received: ReceivedPackets): Array<Array<number>> => {
  const count = received.fillRanges()
  assert.strictEqual(count, received.rangeCount)
  return Array.from({ length: count }, (_, i) => [received.ranges[2 * i]!, received.ranges[2 * i + 1]!])
}

describe("ReceivedPackets ranges (RFC 9000 section 13.2.3)", () => {
  it("knows nothing at first", () => {
    const received = new ReceivedPackets(25)
    assert.strictEqual(received.largest, -1)
    assert.isFalse(received.isDuplicate(0))
    assert.isFalse(received.ackDue(1e9))
    assert.deepStrictEqual(ranges(received), [])
    received.immediate()
    assert.isFalse(received.ackDue(0), "nothing to acknowledge")
    received.onAckOfAck(7)
    assert.deepStrictEqual(ranges(received), [])
  })

  it("extends, opens, joins and orders ranges", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0, 1, 2, 5, 6, 9])
    assert.deepStrictEqual(ranges(received), [
      [9, 9],
      [5, 6],
      [0, 2]
    ])
    receive(received, [4, 3])
    assert.deepStrictEqual(ranges(received), [
      [9, 9],
      [0, 6]
    ])
    receive(received, [7])
    receive(received, [8])
    assert.deepStrictEqual(ranges(received), [[0, 9]])
  })

  it("takes packets below everything seen so far", () => {
    const received = new ReceivedPackets(25)
    receive(received, [10, 4, 3, 0])
    assert.deepStrictEqual(ranges(received), [
      [10, 10],
      [3, 4],
      [0, 0]
    ])
  })

  it("tells duplicates, and counts them for nothing (12.3)", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0, 1, 5])
    for (const n of [0, 1, 5]) assert.isTrue(received.isDuplicate(n))
    for (const n of [2, 4, 6, 1e15]) assert.isFalse(received.isDuplicate(n))
    received.onAckSent()
    received.onReceived(1, true, 9, Ecn.ce)
    received.onReceived(5, true, 9, Ecn.ce)
    assert.strictEqual(received.ce, 0)
    assert.strictEqual(received.unackedEliciting, 0)
    assert.isFalse(received.ackDue(1000))
  })

  it("keeps at most 256 ranges: the oldest go and count as duplicates", () => {
    const received = new ReceivedPackets(25)
    for (let i = 0; i < 1000; i++) receive(received, [2 * i])
    const kept = ranges(received)
    assert.strictEqual(kept.length, MAX_ACK_RANGES)
    assert.deepStrictEqual(kept[0], [1998, 1998])
    assert.deepStrictEqual(kept.at(-1), [1488, 1488])
    assert.isTrue(received.isDuplicate(1486), "dropped")
    assert.isTrue(received.isDuplicate(1), "below what was dropped")
    assert.isFalse(received.isDuplicate(1489))
    receive(received, [1])
    assert.strictEqual(ranges(received).length, MAX_ACK_RANGES)
    receive(received, [1489])
    assert.deepStrictEqual(ranges(received).at(-1), [1488, 1490])
  })

  it("takes a packet older than 256 ranges once, without an acknowledgement for it", () => {
    const received = new ReceivedPackets(25)
    for (let i = 0; i < MAX_ACK_RANGES; i++) receive(received, [100 + 2 * i])
    assert.isFalse(received.isDuplicate(50))
    receive(received, [50])
    assert.isTrue(received.isDuplicate(50))
    assert.strictEqual(ranges(received).length, MAX_ACK_RANGES)
    assert.deepStrictEqual(ranges(received).at(-1), [100, 100])
  })

  it("inserts in the middle of full ranges by dropping the oldest", () => {
    const received = new ReceivedPackets(25)
    for (let i = 0; i < MAX_ACK_RANGES; i++) receive(received, [3 * i + 10])
    receive(received, [3 * 30 + 10 - 1 - 0])
    receive(received, [3 * 40 + 11])
    const kept = ranges(received)
    assert.isAtMost(kept.length, MAX_ACK_RANGES)
    for (let i = 1; i < kept.length; i++) assert.isBelow(kept[i]![1]!, kept[i - 1]![0]! - 1)
  })

  it("drops what the peer knows we acknowledged, but never the largest (13.2.4)", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0, 1, 2, 5, 6, 7, 9])
    received.onAckOfAck(6)
    assert.deepStrictEqual(ranges(received), [
      [9, 9],
      [7, 7]
    ])
    assert.isTrue(received.isDuplicate(6), "acknowledged, and still known")
    assert.isFalse(received.isDuplicate(4), "late is not a duplicate")
    assert.isFalse(received.isDuplicate(8))
    received.onAckOfAck(3)
    assert.deepStrictEqual(ranges(received), [
      [9, 9],
      [7, 7]
    ])
    received.onAckOfAck(9)
    assert.deepStrictEqual(ranges(received), [[9, 9]])
    assert.isFalse(received.isDuplicate(8))
    assert.isTrue(received.isDuplicate(9))
    assert.isFalse(received.isDuplicate(10))
    receive(received, [10])
    assert.deepStrictEqual(ranges(received), [[9, 10]])
    receive(received, [4])
    assert.deepStrictEqual(
      ranges(received),
      [
        [9, 10],
        [4, 7]
      ],
      "a late one is acknowledged, with all that came since"
    )
  })

  it("survives an acknowledgement of more than was received", () => {
    const received = new ReceivedPackets(25)
    receive(received, [3])
    received.onAckOfAck(100)
    assert.isFalse(received.isDuplicate(4))
    assert.deepStrictEqual(ranges(received), [[3, 3]])
  })

  it("agrees with a set over 20,000 random packets", () => {
    const random = seeded(7)
    const received = new ReceivedPackets(25)
    const seen = new Set<number>()
    let top = 0
    for (let i = 0; i < 20_000; i++) {
      const n = Math.max(0, top + Math.floor(random() * 12) - 8)
      top = Math.max(top, n)
      if (!seen.has(n) || random() < 0.2) {
        const duplicate = received.isDuplicate(n)
        if (seen.has(n)) assert.isTrue(duplicate)
        if (!duplicate) seen.add(n)
        received.onReceived(n, true, i, Ecn.notEct)
      }
      if (i % 50 === 0) {
        let last = Infinity
        for (const [from, to] of ranges(received)) {
          assert.isBelow(to!, last - 1)
          last = from!
          for (let k = from!; k <= to!; k++) assert.isTrue(seen.has(k))
        }
        received.onAckOfAck(top - 40)
      }
    }
    received.discard()
    assert.deepStrictEqual(ranges(received), [])
    assert.isTrue(received.isDuplicate(1e12))
    received.onReceived(1e12, true, 0, Ecn.notEct)
    assert.isFalse(received.ackDue(Infinity))
  })
})

describe("ReceivedPackets policy (RFC 9000 sections 13.2.1, 13.2.2)", () => {
  it("acknowledges every second ack-eliciting packet", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0], 10)
    assert.isFalse(received.ackDue(10))
    assert.strictEqual(received.ackDeadline, 35)
    receive(received, [1], 12)
    assert.isTrue(received.ackDue(12))
    assert.strictEqual(received.ackDeadline, 35, "from the first one")
    received.onAckSent()
    assert.isFalse(received.ackDue(1000))
    assert.strictEqual(received.ackDeadline, Infinity)
  })

  it("acknowledges a single one after max_ack_delay", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0], 10)
    assert.isFalse(received.ackDue(34.9))
    assert.isTrue(received.ackDue(35))
  })

  it("acknowledges at once where max_ack_delay is 0: Initial and Handshake", () => {
    const received = new ReceivedPackets(0)
    receive(received, [0], 10)
    assert.isTrue(received.ackDue(10))
  })

  it("never acknowledges packets that do not elicit it", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0, 1, 2, 7, 5], 10, false)
    assert.isFalse(received.ackDue(1e9))
    assert.strictEqual(received.ackDeadline, Infinity)
    assert.strictEqual(received.largest, 7)
  })

  it("counts packets, so that a burst costs one acknowledgement", () => {
    const received = new ReceivedPackets(25)
    received.ackElicitingThreshold = 10
    receive(received, [0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert.isFalse(received.ackDue(0))
    receive(received, [9])
    assert.isTrue(received.ackDue(0))
    assert.strictEqual(received.unackedEliciting, 10)
  })

  it("acknowledges a gap at once, and only when it is new", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0])
    received.onAckSent()
    receive(received, [2])
    assert.isTrue(received.ackDue(0))
    received.onAckSent()
    receive(received, [3])
    assert.isFalse(received.ackDue(0), "the gap was reported")
  })

  it("sees a gap behind packets that elicit nothing", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0])
    received.onAckSent()
    receive(received, [2], 0, false)
    assert.isFalse(received.ackDue(0))
    receive(received, [3])
    assert.isTrue(received.ackDue(0))
  })

  it("acknowledges reordering at once", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0, 2, 3])
    received.onAckSent()
    receive(received, [1])
    assert.isTrue(received.ackDue(0))
  })

  it("sees no gap in what it dropped by itself (13.2.4)", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0])
    receive(received, [1, 2, 3, 4], 0, false)
    received.onAckSent()
    received.onAckOfAck(4)
    receive(received, [5])
    assert.isFalse(received.ackDue(0))
  })

  it("acknowledges a congestion mark at once, and counts marks (13.4.1)", () => {
    const received = new ReceivedPackets(25)
    received.onReceived(0, true, 0, Ecn.ect0)
    received.onReceived(1, false, 0, Ecn.ect1)
    assert.isFalse(received.ackDue(0))
    received.onReceived(2, true, 0, Ecn.ce)
    assert.isTrue(received.ackDue(0))
    assert.deepStrictEqual([received.ect0, received.ect1, received.ce], [1, 1, 1])
  })

  it("can be forced", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0])
    received.immediate()
    assert.isTrue(received.ackDue(0))
    received.onAckSent()
    assert.isFalse(received.ackDue(0))
  })

  it("measures the delay from the largest packet (19.3)", () => {
    const received = new ReceivedPackets(25)
    receive(received, [0], 10)
    receive(received, [2], 20)
    receive(received, [1], 24)
    assert.strictEqual(received.largestTime, 20)
    assert.strictEqual(received.delay(27.5), 7.5)
    assert.strictEqual(received.delay(19), 0)
  })
})
