import { assert, describe, it } from "@effect/vitest"
import { SendBuffer } from "../../src/internal/streams/SendBuffer.ts"
import { Random } from "../wire/random.ts"
import { content, firstDifference } from "./support.ts"

interface Flight {
  readonly offset: number
  readonly length: number
  readonly fin: boolean
}

describe("SendBuffer (RFC 9000 section 2.2)", () => {
  for (const seed of [11, 12, 13, 14, 15, 16]) {
    it(`delivers every byte whatever is lost, repeated or acknowledged late (seed ${seed})`, () => {
      const random = new Random(seed)
      const buffer = new SendBuffer()
      const total = 300_000
      const arrived = new Uint8Array(total)
      const flying: Array<Flight> = []
      const done: Array<Flight> = []
      const packet = new Uint8Array(1500)
      let written = 0
      let finArrived = false
      let rounds = 0
      while (!(buffer.finished && buffer.allAcked)) {
        assert.isBelow(++rounds, 200_000)
        const what = random.between(0, 9)
        if (what < 3 && written < total) {
          const length = Math.min(total - written, random.boolean() ? random.between(1, 700) : random.between(1, 9000))
          const bytes = content(written, length)
          buffer.append(random.boolean() ? Buffer.from(bytes) : bytes)
          written += length
          assert.strictEqual(buffer.writtenOffset, written)
        } else if (what < 7) {
          if (written === total && !buffer.finished) buffer.finish()
          const again = buffer.hasRetransmission
          const offset = again ? buffer.retransmitOffset : buffer.unsentOffset
          const most = again ? buffer.retransmitLength : buffer.pendingNew
          const length = Math.min(most, random.between(1, 1400))
          const fin = buffer.finPending && offset + length === buffer.writtenOffset
          if (length === 0 && !fin) continue
          buffer.copyTo(offset, length, packet, 7)
          assert.strictEqual(firstDifference([packet.subarray(7, 7 + length)], offset), -1)
          if (again) buffer.markRetransmitted(length)
          else buffer.markSent(length)
          if (fin) buffer.finSent = true
          flying.push({ offset, length, fin })
        } else if (flying.length > 0) {
          const [flight] = flying.splice(random.between(0, Math.min(flying.length - 1, 40)), 1)
          if (random.between(0, 99) < 30) {
            buffer.lose(flight!.offset, flight!.length, flight!.fin)
            // Spurious: it arrives all the same.
            if (random.boolean()) continue
          }
          arrived.fill(1, flight!.offset, flight!.offset + flight!.length)
          finArrived ||= flight!.fin
          buffer.acknowledge(flight!.offset, flight!.length, flight!.fin)
          done.push(flight!)
          if (random.between(0, 9) === 0) {
            const old = done[random.between(0, done.length - 1)]!
            buffer.acknowledge(old.offset, old.length, old.fin)
            buffer.lose(old.offset, old.length, old.fin)
          }
        }
      }
      assert.isTrue(arrived.every((bit) => bit === 1))
      assert.isTrue(finArrived)
      assert.strictEqual(buffer.bufferedBytes, 0)
      assert.strictEqual(buffer.lostBytes, 0)
      assert.isFalse(buffer.hasRetransmission)
      for (const field of ["head", "tail", "fresh", "repair"] as const) assert.isUndefined(buffer[field])
    })
  }

  it("keeps what is written instead of copying it, and lets it go with the acknowledgement", () => {
    const buffer = new SendBuffer()
    const bytes = content(0, 4000)
    buffer.append(bytes)
    bytes[10] = 99
    const target = new Uint8Array(4000)
    buffer.copyTo(0, 4000, target, 0)
    assert.strictEqual(target[10], 99)
    buffer.markSent(4000)
    buffer.acknowledge(0, 3999, false)
    assert.isDefined(buffer["head"])
    buffer.acknowledge(3999, 1, false)
    assert.isUndefined(buffer["head"])
    assert.strictEqual(buffer.bufferedBytes, 0)
  })

  it("gathers small writes, so that a packet is not put together from hundreds of chunks", () => {
    const buffer = new SendBuffer()
    for (let at = 0; at < 10_000; at += 10) buffer.append(content(at, 10))
    const target = new Uint8Array(10_000)
    buffer.copyTo(0, 10_000, target, 0)
    assert.deepStrictEqual(target, content(0, 10_000))
    assert.isBelow(buffer.steps, 5)
  })

  it("finds new data and retransmissions without a search from the beginning", () => {
    const buffer = new SendBuffer()
    const chunks = 2000
    for (let at = 0; at < chunks; at++) buffer.append(content(at * 2000, 2000))
    const target = new Uint8Array(1000)
    for (let at = 0; at < 2 * chunks; at++) {
      buffer.copyTo(at * 1000, 1000, target, 0)
      buffer.markSent(1000)
      if (at % 2 === 0) continue
      // Every second packet is lost and goes again, half a window later.
      const lag = at - 1001
      if (lag < 0) continue
      buffer.lose(lag * 1000, 1000, false)
      buffer.copyTo(buffer.retransmitOffset, 1000, target, 0)
      buffer.markRetransmitted(1000)
    }
    assert.isBelow(buffer.steps, 4 * chunks)
  })

  it("does not send again what was acknowledged in the meantime", () => {
    const buffer = new SendBuffer()
    buffer.append(content(0, 6000))
    buffer.markSent(6000)
    buffer.acknowledge(2000, 1000, false)
    buffer.acknowledge(4000, 500, false)
    buffer.lose(1000, 4000, false)
    assert.strictEqual(buffer.retransmitOffset, 1000)
    assert.strictEqual(buffer.retransmitLength, 1000)
    assert.strictEqual(buffer.lostBytes, 2500)
    buffer.acknowledge(1000, 1000, false)
    assert.strictEqual(buffer.retransmitOffset, 3000)
    buffer.acknowledge(0, 6000, false)
    assert.isFalse(buffer.hasRetransmission)
  })

  it("does not repeat a FIN that has arrived, though a copy of it was lost", () => {
    const buffer = new SendBuffer()
    buffer.append(content(0, 100))
    buffer.finish()
    buffer.markSent(100)
    buffer.finSent = true
    buffer.acknowledge(50, 50, true)
    buffer.lose(0, 100, true)
    assert.isFalse(buffer.finPending)
    assert.strictEqual(buffer.lostBytes, 50)
  })

  it("acknowledges two interleaved runs of 20 MB in linear work", () => {
    const buffer = new SendBuffer()
    const length = 1000
    const count = 20_000
    const lag = 800
    buffer.append(new Uint8Array(count * length))
    buffer.markSent(count * length)
    for (let at = 0; at < count + lag; at += 2) {
      if (at < count) buffer.acknowledge(at * length, length, false)
      const late = at - lag + 1
      if (late > 0 && late < count) buffer.acknowledge(late * length, length, false)
    }
    assert.strictEqual(buffer.bufferedBytes, 0)
    assert.isBelow(buffer.rangeSteps, 10 * count)
  })
})
