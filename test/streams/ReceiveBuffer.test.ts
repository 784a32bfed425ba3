import { assert, describe, it } from "@effect/vitest"
import { ReceiveBuffer } from "../../src/internal/streams/ReceiveBuffer.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { Random } from "../wire/random.ts"
import { content, firstDifference, join } from "./support.ts"

const insert = (buffer: ReceiveBuffer, offset: number, length: number, fin = false): ReturnType<typeof buffer.insert> =>
  buffer.insert(offset, content(offset, length), 0, length, fin)

const refused = (run: (buffer: ReceiveBuffer) => ReturnType<typeof insert>): void => {
  const buffer = new ReceiveBuffer()
  assert.strictEqual(run(buffer)?.code, TransportError.finalSize)
}

describe("ReceiveBuffer (RFC 9000 section 2.2)", () => {
  for (const seed of [21, 22, 23, 24, 25, 26, 27, 28]) {
    it(`gives the same bytes for any order, overlap and repetition (seed ${seed})`, () => {
      const random = new Random(seed)
      const buffer = new ReceiveBuffer()
      const total = random.between(0, 400_000)
      const window = 150_000
      const source = content(0, total)
      const arrived = new Uint8Array(total)
      const pieces: Array<Uint8Array> = []
      const copies: Array<Uint8Array> = []
      let read = 0
      let contiguous = 0
      let rounds = 0
      while (!buffer.ended) {
        assert.isBelow(++rounds, 100_000)
        const limit = Math.min(total, read + window)
        // Often the first gap, often anywhere, seldom far back.
        const kind = random.between(0, 9)
        const start =
          kind < 5
            ? Math.min(limit, contiguous)
            : kind < 9
              ? random.between(contiguous, limit)
              : random.between(Math.max(0, contiguous - 3000), contiguous)
        const end = Math.min(limit, start + (random.boolean() ? random.between(0, 40) : random.between(0, 5000)))
        const pad = random.between(0, 5)
        const packet = new Uint8Array(pad + end - start)
        packet.set(source.subarray(start, end), pad)
        assert.isUndefined(buffer.insert(start, packet, pad, end - start, end === total))
        arrived.fill(1, start, end)
        while (contiguous < total && arrived[contiguous] === 1) contiguous++
        assert.strictEqual(buffer.contiguousOffset, contiguous)
        // What is handed out must stay as it is, whatever comes later.
        packet.fill(0xaa)
        if (random.between(0, 3) > 0) continue
        const chunk = buffer.read(random.boolean() ? undefined : random.between(1, 3000))
        if (chunk === undefined) {
          assert.strictEqual(read, contiguous)
          continue
        }
        pieces.push(chunk)
        copies.push(chunk.slice())
        read += chunk.length
        assert.strictEqual(buffer.readOffset, read)
      }
      assert.strictEqual(read, total)
      assert.isTrue(Buffer.from(join(pieces)).equals(source))
      assert.isTrue(pieces.every((piece, at) => Buffer.from(piece).equals(copies[at]!)))
      assert.isUndefined(buffer.read())
    })
  }

  it("hands a short message out in memory of its own size", () => {
    const buffer = new ReceiveBuffer()
    insert(buffer, 0, 100, true)
    const chunk = buffer.read()!
    assert.strictEqual(chunk.buffer.byteLength, 100)
    assert.strictEqual(chunk.constructor, Uint8Array)
    assert.isTrue(buffer.ended)
  })

  it("reads everything in as few arrays as blocks", () => {
    const buffer = new ReceiveBuffer()
    for (let offset = 0; offset < 200_000; offset += 1000) insert(buffer, offset, 1000)
    const chunks = buffer.readAll()
    assert.strictEqual(firstDifference(chunks), -1)
    assert.strictEqual(chunks.length, 7)
  })

  it("never gives memory out twice", () => {
    const buffer = new ReceiveBuffer()
    const seen = new Set<string>()
    for (let offset = 0; offset < 300_000; offset += 700) {
      insert(buffer, offset, 700)
      for (const chunk of buffer.readAll()) {
        chunk.fill(1)
        seen.add(`${chunk.byteOffset}`)
      }
    }
    insert(buffer, 300_300, 100)
    assert.strictEqual(firstDifference(buffer.readAll(), 300_300), -1)
  })

  it("puts 20 MB that come over two paths, one late, in order in linear work", () => {
    const buffer = new ReceiveBuffer()
    const length = 1000
    const count = 20_000
    const lag = 1500
    const packet = new Uint8Array(length)
    let read = 0
    for (let at = 0; at < count + lag; at += 2) {
      if (at < count) buffer.insert(at * length, packet.fill(at & 0xff), 0, length, false)
      const late = at - lag + 1
      if (late > 0 && late < count) buffer.insert(late * length, packet.fill(late & 0xff), 0, length, false)
      for (const chunk of buffer.readAll()) {
        for (let byte = 0; byte < chunk.length; byte += 250) {
          assert.strictEqual(chunk[byte], Math.floor((read + byte) / length) & 0xff)
        }
        read += chunk.length
      }
    }
    assert.strictEqual(read, count * length)
    // Half of the bytes are marked once and passed once, 32 to a word.
    assert.isBelow(buffer.steps, 1.5 * ((count * length) / 32))
  })

  it("costs a hostile sender of single bytes no more than their number", () => {
    const buffer = new ReceiveBuffer()
    const bytes = 50_000
    const one = new Uint8Array(1)
    for (let at = bytes; at > 0; at--) buffer.insert(2 * at + 1, one, 0, 1, false)
    assert.isBelow(buffer.steps, 2 * bytes)
    assert.strictEqual(buffer.contiguousOffset, 0)
    for (let at = 0; at <= bytes; at++) buffer.insert(2 * at, one, 0, 1, false)
    buffer.insert(1, one, 0, 1, false)
    assert.strictEqual(buffer.contiguousOffset, 2 * bytes + 2)
    assert.isBelow(buffer.steps, 5 * bytes)
  })

  it("ignores an empty frame, and an empty frame with FIN ends the stream", () => {
    const buffer = new ReceiveBuffer()
    assert.isUndefined(insert(buffer, 0, 0))
    assert.isUndefined(insert(buffer, 500, 0))
    assert.isUndefined(buffer.read())
    insert(buffer, 0, 500)
    assert.isUndefined(insert(buffer, 500, 0, true))
    assert.isFalse(buffer.ended)
    assert.strictEqual(buffer.read()!.length, 500)
    assert.isTrue(buffer.ended)
  })

  it("counts what arrives again", () => {
    const buffer = new ReceiveBuffer()
    insert(buffer, 0, 1000)
    insert(buffer, 0, 1000)
    insert(buffer, 900, 200)
    assert.strictEqual(buffer.duplicateBytes, 1100)
    assert.strictEqual(firstDifference(buffer.readAll()), -1)
  })

  it("drops everything once nobody reads, and goes on counting", () => {
    const buffer = new ReceiveBuffer()
    insert(buffer, 0, 1000)
    insert(buffer, 5000, 1000)
    buffer.discard()
    assert.isUndefined(buffer.read())
    insert(buffer, 1000, 9000)
    assert.isUndefined(buffer.read())
    assert.strictEqual(buffer.highestOffset, 10_000)
    assert.isTrue(buffer["blocks"].every((block) => block === undefined))
  })

  describe("loans", () => {
    const BLOCK = 65_536
    const filled = (blocks: number): ReceiveBuffer => {
      const buffer = new ReceiveBuffer()
      insert(buffer, 0, (blocks + 1) * BLOCK)
      // The first block lies in small pieces.
      while (buffer.readOffset < BLOCK) buffer.read(BLOCK - buffer.readOffset)
      return buffer
    }

    it("are made of the same memory again once they were given back", () => {
      const buffer = filled(2)
      const first = buffer.lend()!
      assert.strictEqual(first.bytes.length, BLOCK)
      assert.strictEqual(firstDifference([first.bytes], BLOCK), -1)
      first.giveBack()
      // Twice is once: the memory must not be in two blocks.
      first.giveBack()
      insert(buffer, 3 * BLOCK, 2 * BLOCK)
      const [second, third, fourth] = [buffer.lend()!, buffer.lend()!, buffer.lend()!]
      assert.strictEqual(firstDifference([second.bytes, third.bytes, fourth.bytes], 2 * BLOCK), -1)
      assert.strictEqual(third.bytes.buffer, first.bytes.buffer)
      assert.notStrictEqual(fourth.bytes.buffer, first.bytes.buffer)
    })

    it("that are out keep the memory, whichever of a block comes back first", () => {
      const buffer = filled(0)
      insert(buffer, BLOCK, 100)
      const head = buffer.lend()!
      insert(buffer, BLOCK + 100, BLOCK - 100)
      const tail = buffer.lend()!
      tail.giveBack()
      insert(buffer, 2 * BLOCK, BLOCK)
      const next = buffer.lend()!
      assert.notStrictEqual(next.bytes.buffer, head.bytes.buffer)
      assert.strictEqual(firstDifference([head.bytes], BLOCK), -1)
      head.giveBack()
      insert(buffer, 3 * BLOCK, BLOCK)
      assert.strictEqual(buffer.lend()!.bytes.buffer, head.bytes.buffer)
    })

    it("of short streams are of the same memory, too, cut to their length", () => {
      const memory: Array<Set<ArrayBufferLike>> = []
      for (let round = 0; round < 2; round++) {
        const buffer = new ReceiveBuffer()
        const used = new Set<ArrayBufferLike>()
        assert.isUndefined(buffer.lend())
        for (let at = 0; at < 100_000; at += 1000) {
          insert(buffer, at, 1000, at === 99_000)
          for (let loan = buffer.lend(); loan !== undefined; loan = buffer.lend()) {
            used.add(loan.bytes.buffer)
            loan.giveBack()
          }
        }
        assert.isTrue(buffer.ended)
        assert.strictEqual(used.size, 5)
        memory.push(used)
      }
      const again = [...memory[1]!].filter((each) => memory[0]!.has(each))
      assert.strictEqual(again.length, 5)
    })

    it("leave nothing with a stream that has nothing to read: many take turns with the same memory", () => {
      const streams = Array.from({ length: 300 }, () => new ReceiveBuffer())
      const used = new Set<ArrayBufferLike>()
      for (const buffer of streams) buffer.lend()
      for (let at = 0; at < 80_000; at += 16_000) {
        for (const buffer of streams) {
          insert(buffer, at, 16_000)
          for (let loan = buffer.lend(); loan !== undefined; loan = buffer.lend()) {
            assert.strictEqual(loan.bytes[0], content(buffer.readOffset - loan.bytes.length, 1)[0])
            used.add(loan.bytes.buffer)
            loan.giveBack()
          }
          assert.isTrue(buffer["blocks"].every((block) => block === undefined))
        }
      }
      assert.isAtMost(used.size, 5)
    })

    it("never take memory of which a part was read for good", () => {
      const buffer = filled(1)
      const kept = buffer.read(10)!
      buffer.lend()!.giveBack()
      insert(buffer, 2 * BLOCK, BLOCK)
      buffer.lend()
      assert.strictEqual(firstDifference([kept], BLOCK), -1)
    })

    for (const seed of [41, 42, 43, 44]) {
      it(`mixed with reads give the same bytes, and change only after they were given back (seed ${seed})`, () => {
        const random = new Random(seed)
        const buffer = new ReceiveBuffer()
        const total = 2_000_000
        const source = content(0, total)
        const mine: Array<{ readonly at: number; readonly bytes: Uint8Array }> = []
        let out: Array<{ readonly at: number; readonly loan: NonNullable<ReturnType<ReceiveBuffer["lend"]>> }> = []
        let written = 0
        while (buffer.readOffset < total) {
          const length = Math.min(total - written, random.between(1, 60_000))
          if (length > 0)
            assert.isUndefined(buffer.insert(written, source, written, length, written + length === total))
          written += length
          const at = buffer.readOffset
          if (random.between(0, 9) === 0) {
            const bytes = buffer.read(random.between(1, 50_000))
            if (bytes !== undefined) mine.push({ at, bytes })
          } else {
            const loan = buffer.lend()
            if (loan !== undefined) out.push({ at, loan })
          }
          if (out.length > random.between(0, 6)) {
            const back = out.splice(random.between(0, out.length - 1), 1)[0]!
            assert.strictEqual(firstDifference([back.loan.bytes], back.at), -1)
            back.loan.giveBack()
          }
        }
        for (const { at, bytes } of mine) assert.strictEqual(firstDifference([bytes], at), -1)
        for (const { at, loan } of out) assert.strictEqual(firstDifference([loan.bytes], at), -1)
        out = []
      })
    }
  })

  describe("final size (RFC 9000 section 4.5)", () => {
    it("does not change", () =>
      refused((buffer) => {
        assert.isUndefined(insert(buffer, 0, 10, true))
        assert.isUndefined(insert(buffer, 0, 10, true))
        return insert(buffer, 0, 11, true)
      }))

    it("is not below what arrived", () =>
      refused((buffer) => {
        assert.isUndefined(insert(buffer, 100, 10))
        return insert(buffer, 0, 50, true)
      }))

    it("is not below what was read", () =>
      refused((buffer) => {
        assert.isUndefined(insert(buffer, 0, 100))
        buffer.readAll()
        return insert(buffer, 20, 30, true)
      }))

    it("has no data beyond it", () =>
      refused((buffer) => {
        assert.isUndefined(insert(buffer, 50, 50, true))
        assert.isUndefined(insert(buffer, 0, 20))
        return insert(buffer, 90, 20)
      }))

    it("holds for streams that nobody reads, too", () =>
      refused((buffer) => {
        buffer.discard()
        assert.isUndefined(insert(buffer, 0, 100))
        return insert(buffer, 0, 50, true)
      }))
  })
})
