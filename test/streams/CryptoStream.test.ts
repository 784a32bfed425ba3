import { assert, describe, it } from "@effect/vitest"
import { SentFrameKind, SentFrameList, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import type { SentFrame } from "../../src/internal/recovery/SentFrames.ts"
import { CRYPTO_BUFFER, CryptoStream, INITIAL_CRYPTO_BUFFER } from "../../src/internal/streams/CryptoStream.ts"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { FrameReader } from "../../src/internal/wire/FrameReader.ts"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { Level, TransportError } from "../../src/internal/wire/Protocol.ts"
import { content, firstDifference, join } from "./support.ts"

const send = (stream: CryptoStream, size: number): { readonly bytes: Uint8Array; readonly frame: SentFrame } => {
  const list = new SentFrameList(new SentFramePool())
  const w = new ByteWriter(new Uint8Array(size))
  assert.isTrue(stream.write(w, list))
  return { bytes: w.bytes.slice(0, w.position), frame: list.detach()! }
}

const receive = (stream: CryptoStream, bytes: Uint8Array): void => {
  const reader = new FrameReader()
  reader.reset(bytes, 0, bytes.length, Level.handshake, false)
  while (reader.next() === FrameType.crypto) {
    assert.isUndefined(stream.onFrame(reader.offset, reader.bytes, reader.dataStart, reader.dataLength))
  }
  assert.strictEqual(reader.errorCode, 0)
}

describe("CryptoStream (RFC 9000 sections 7.5, 19.6)", () => {
  it("carries a flight in several packets, whatever is lost and whatever the order", () => {
    const from = new CryptoStream(Level.handshake)
    const to = new CryptoStream(Level.handshake)
    assert.isFalse(from.hasData)
    from.append(content(0, 100))
    from.append(content(100, 2900))
    const packets = [send(from, 1000), send(from, 1000), send(from, 1000), send(from, 1000)]
    assert.isFalse(from.hasData)
    assert.strictEqual(packets[0]!.frame.kind, SentFrameKind.crypto)
    assert.strictEqual(packets[0]!.frame.owner, from)
    receive(to, packets[3]!.bytes)
    receive(to, packets[0]!.bytes)
    from.onFrameAcked(packets[0]!.frame)
    from.onFrameLost(packets[1]!.frame)
    from.onFrameLost(packets[2]!.frame)
    from.onFrameAcked(packets[2]!.frame)
    assert.isTrue(from.hasData)
    const again = send(from, 1500)
    assert.strictEqual(again.frame.offset, packets[1]!.frame.offset)
    assert.strictEqual(again.frame.length, packets[1]!.frame.length)
    assert.isFalse(from.hasData)
    receive(to, packets[2]!.bytes)
    receive(to, again.bytes)
    const chunks: Array<Uint8Array> = []
    for (let chunk = to.read(); chunk !== undefined; chunk = to.read()) chunks.push(chunk)
    assert.strictEqual(join(chunks).length, 3000)
    assert.strictEqual(firstDifference(chunks), -1)
    from.onFrameAcked(again.frame)
    assert.isFalse(from.isAcknowledged)
    from.onFrameAcked(packets[3]!.frame)
    assert.isTrue(from.isAcknowledged)
  })

  it("requeue sends all that is not acknowledged again", () => {
    const stream = new CryptoStream(Level.initial)
    stream.append(content(0, 500))
    const first = send(stream, 300)
    const second = send(stream, 300)
    stream.onFrameAcked(first.frame)
    stream.requeue()
    const again = send(stream, 600)
    assert.deepStrictEqual([again.frame.offset, again.frame.length], [second.frame.offset, second.frame.length])
    assert.isFalse(stream.hasData)
  })

  it("refuses what goes beyond its buffer, and takes as much again once it is read", () => {
    const stream = new CryptoStream(Level.oneRtt)
    assert.isUndefined(stream.onFrame(CRYPTO_BUFFER - 10, content(0, 10), 0, 10))
    const wrong = stream.onFrame(CRYPTO_BUFFER - 5, content(0, 10), 0, 10)
    assert.strictEqual(wrong?.code, TransportError.cryptoBufferExceeded)
    assert.strictEqual(wrong?.frameType, FrameType.crypto)
    stream.onFrame(0, content(0, 5), 0, 5)
    stream.read()
    assert.isUndefined(stream.onFrame(CRYPTO_BUFFER - 5, content(0, 10), 0, 10))
  })

  it("keeps less at the Initial level, where anyone may ask for it", () => {
    const stream = new CryptoStream(Level.initial)
    assert.isUndefined(stream.onFrame(INITIAL_CRYPTO_BUFFER - 10, content(0, 10), 0, 10))
    const wrong = stream.onFrame(INITIAL_CRYPTO_BUFFER - 9, content(0, 10), 0, 10)
    assert.strictEqual(wrong?.code, TransportError.cryptoBufferExceeded)
  })

  it("B9: takes nothing new once TLS reads elsewhere, but repetitions (RFC 9001 section 4.1.3)", () => {
    const stream = new CryptoStream(Level.handshake)
    stream.onFrame(0, content(0, 100), 0, 100)
    stream.read()
    assert.isUndefined(stream.endReading())
    assert.isUndefined(stream.onFrame(0, content(0, 100), 0, 100))
    assert.isUndefined(stream.onFrame(50, content(50, 50), 0, 50))
    assert.isUndefined(stream.onFrame(1000, content(0, 0), 0, 0))
    for (const [offset, length] of [
      [100, 1],
      [50, 51],
      [5000, 10]
    ] as const) {
      const wrong = stream.onFrame(offset, content(offset, length), 0, length)
      assert.strictEqual(wrong?.code, TransportError.protocolViolation)
      assert.strictEqual(wrong?.frameType, FrameType.crypto)
    }
    assert.isUndefined(stream.read())
  })

  it("B9: what TLS has not read when it reads on elsewhere was too much, also behind a gap", () => {
    for (const offset of [100, 105]) {
      const stream = new CryptoStream(Level.initial)
      stream.onFrame(0, content(0, 100), 0, 100)
      stream.read()
      assert.isUndefined(stream.onFrame(200, content(0, 0), 0, 0))
      stream.onFrame(offset, content(offset, 10), 0, 10)
      assert.strictEqual(stream.endReading()?.code, TransportError.protocolViolation)
    }
  })

  it("writes nothing when there is no room worth a frame", () => {
    const stream = new CryptoStream(Level.initial)
    stream.append(content(0, 500))
    const w = new ByteWriter(new Uint8Array(20))
    assert.isFalse(stream.write(w, new SentFrameList(new SentFramePool())))
    assert.strictEqual(w.position, 0)
    assert.isTrue(stream.hasData)
  })

  it("does nothing any more once its keys are gone (RFC 9001 section 4.9)", () => {
    const stream = new CryptoStream(Level.initial)
    stream.append(content(0, 500))
    const { frame } = send(stream, 1000)
    stream.onFrame(0, content(0, 10), 0, 10)
    stream.discard()
    stream.onFrameLost(frame)
    stream.append(content(0, 10))
    assert.isFalse(stream.hasData)
    assert.isUndefined(stream.read())
    assert.isUndefined(stream.onFrame(1e9, content(0, 10), 0, 10))
  })
})
