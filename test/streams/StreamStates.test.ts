import { assert, describe, it } from "@effect/vitest"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { content, firstDifference, framesOf, pair, settle, typesOf } from "./support.ts"

describe("sending part (RFC 9000 section 3.1)", () => {
  it("goes through ready, send, dataSent, dataRecvd", () => {
    const { client, server } = pair()
    const stream = client.table.open(false)!
    const send = stream.send!
    assert.strictEqual(send.state, "ready")
    stream.write(content(0, 2000))
    const first = client.packet()!
    assert.strictEqual(send.state, "send")
    stream.finish()
    assert.isFalse(stream.write(content(0, 1)))
    assert.isFalse(stream.finish())
    const second = client.packet()!
    assert.strictEqual(send.state, "dataSent")
    client.acked(second)
    assert.strictEqual(send.state, "dataSent")
    assert.isFalse(stream.isFlushed)
    client.acked(first)
    assert.strictEqual(send.state, "dataRecvd")
    assert.isTrue(stream.isFlushed)
    assert.deepStrictEqual(client.finished, [stream])
    settle(client, server)
  })

  it("repeats a lost FIN with the last bytes, or alone when they have arrived", () => {
    const { client } = pair()
    const stream = client.table.open(false)!
    stream.write(content(0, 100))
    const data = client.packet()!
    stream.finish()
    const fin = client.packet()!
    assert.deepStrictEqual(
      framesOf(fin).map((frame) => [frame.offset, frame.length, frame.fin]),
      [[100, 0, true]]
    )
    client.lost(data)
    client.lost(fin)
    const both = client.packet()!
    assert.deepStrictEqual(
      framesOf(both).map((frame) => [frame.offset, frame.length, frame.fin]),
      [[0, 100, true]]
    )
    client.acked(data)
    client.lost(both)
    const alone = client.packet()!
    assert.deepStrictEqual(
      framesOf(alone).map((frame) => [frame.offset, frame.length, frame.fin]),
      [[100, 0, true]]
    )
    client.acked(alone)
    assert.strictEqual(stream.send!.state, "dataRecvd")
  })

  it("reset: RESET_STREAM with what was sent as final size, no more data, repeated until acknowledged", () => {
    const { client } = pair()
    const stream = client.table.open(false)!
    stream.write(content(0, 5000))
    const data = client.packet()!
    const sent = client.table.bytesSent
    assert.isTrue(stream.reset(77))
    assert.isFalse(stream.reset(78))
    assert.isFalse(stream.write(content(0, 1)))
    assert.strictEqual(stream.bufferedBytes, 0)
    assert.strictEqual(client.table.bufferedBytes, 0)
    assert.strictEqual(client.table.queuedBytes, 0)
    const reset = client.packet()!
    assert.deepStrictEqual(
      framesOf(reset).map(({ type, code, finalSize }) => [type, code, finalSize]),
      [[FrameType.resetStream, 77, sent]]
    )
    client.lost(data)
    assert.isFalse(client.table.hasData(0))
    client.lost(reset)
    const again = client.packet()!
    assert.deepStrictEqual(typesOf(again), [FrameType.resetStream])
    assert.strictEqual(stream.send!.state, "resetSent")
    client.acked(reset)
    assert.strictEqual(stream.send!.state, "resetRecvd")
    client.lost(again)
    assert.isFalse(client.table.hasControl())
    assert.strictEqual(client.table.openStreams, 0)
  })

  it("reset in ready, in dataSent, and in dataRecvd, where it means nothing", () => {
    const { client, server } = pair()
    const ready = client.table.open(false)!
    assert.isTrue(ready.reset(1))
    const dataSent = client.table.open(false)!
    dataSent.write(content(0, 10))
    dataSent.finish()
    client.packet()
    assert.strictEqual(dataSent.send!.state, "dataSent")
    assert.isTrue(dataSent.reset(2))
    const done = client.table.open(false)!
    done.write(content(0, 10))
    done.finish()
    settle(client, server)
    assert.strictEqual(done.send!.state, "dataRecvd")
    assert.isFalse(done.reset(3))
    assert.isFalse(client.table.hasControl())
  })

  it("STOP_SENDING is answered by a reset with its code (section 3.5)", () => {
    const { client } = pair()
    const stream = client.table.open(true)!
    stream.write(content(0, 3000))
    client.packet()
    assert.isUndefined(client.table.onStopSending(stream.id, 55))
    assert.strictEqual(stream.stopCode, 55)
    assert.isFalse(stream.isWritable)
    const frames = framesOf(client.packet())
    assert.deepStrictEqual(
      frames.map(({ type, code }) => [type, code]),
      [[FrameType.resetStream, 55]]
    )
    assert.isUndefined(client.table.onStopSending(stream.id, 56))
    assert.strictEqual(stream.stopCode, 55)
    assert.isFalse(client.table.hasControl())
  })

  it("STOP_SENDING after everything arrived changes nothing", () => {
    const { client, server } = pair()
    const stream = client.table.open(true)!
    stream.finish()
    settle(client, server)
    assert.isUndefined(client.table.onStopSending(stream.id, 5))
    assert.strictEqual(stream.stopCode, -1)
    assert.isFalse(client.table.hasControl())
  })
})

describe("receiving part (RFC 9000 section 3.2)", () => {
  it("goes through recv, sizeKnown, dataRecvd, dataRead", () => {
    const { server } = pair()
    const table = server.table
    table.onStreamFrame(2, 0, content(0, 100), 0, 100, false, 0)
    const stream = table.accept(false)!
    const receive = stream.receive!
    assert.strictEqual(receive.state, "recv")
    table.onStreamFrame(2, 200, content(200, 10), 0, 10, true, 0)
    assert.strictEqual(receive.state, "sizeKnown")
    table.onStreamFrame(2, 100, content(100, 100), 0, 100, false, 0)
    assert.strictEqual(receive.state, "dataRecvd")
    assert.isFalse(stream.isFinished)
    assert.strictEqual(firstDifference(stream.readAll()), -1)
    assert.strictEqual(receive.state, "dataRead")
    assert.isTrue(stream.isFinished)
    assert.deepStrictEqual(server.finished, [stream])
  })

  it("a reset drops what was not read", () => {
    const { server } = pair()
    server.table.onStreamFrame(2, 0, content(0, 100), 0, 100, false, 0)
    const stream = server.table.accept(false)!
    assert.isUndefined(server.table.onResetStream(2, 9, 500, 0))
    assert.strictEqual(stream.resetCode, 9)
    assert.isUndefined(stream.read())
    assert.isFalse(stream.isFinished)
    assert.isTrue(stream.removed)
  })

  it("a reset after all has arrived is ignored: the data is read", () => {
    const { server } = pair()
    server.table.onStreamFrame(2, 0, content(0, 100), 0, 100, true, 0)
    const stream = server.table.accept(false)!
    assert.isUndefined(server.table.onResetStream(2, 9, 100, 0))
    assert.strictEqual(stream.resetCode, -1)
    assert.strictEqual(stream.read()!.length, 100)
    assert.isTrue(stream.isFinished)
  })

  it("a reset must agree with what is known of the size (section 4.5)", () => {
    const { server } = pair()
    server.table.onStreamFrame(2, 0, content(0, 100), 0, 100, false, 0)
    const below = server.table.onResetStream(2, 0, 99, 0)
    assert.strictEqual(below?.code, TransportError.finalSize)
    assert.strictEqual(below?.frameType, FrameType.resetStream)
    assert.isUndefined(server.table.onResetStream(2, 0, 200, 0))
    assert.strictEqual(server.table.onResetStream(2, 0, 201, 0)?.code, TransportError.finalSize)
    assert.strictEqual(
      server.table.onStreamFrame(2, 0, content(0, 201), 0, 201, false, 0)?.code,
      TransportError.finalSize
    )
  })

  it("stopSending: STOP_SENDING, repeated while the peer may not know, data dropped, done with the final size", () => {
    const { client, server } = pair()
    const out = client.table.open(false)!
    out.write(content(0, 4000))
    settle(client, server)
    const stream = server.table.accept(false)!
    assert.isTrue(stream.stopSending(33))
    assert.isFalse(stream.stopSending(34))
    assert.isUndefined(stream.read())
    const stop = server.packet()!
    assert.deepStrictEqual(
      framesOf(stop)
        .filter((frame) => frame.type === FrameType.stopSending)
        .map((frame) => frame.code),
      [33]
    )
    server.lost(stop)
    const again = server.packet()!
    assert.include(typesOf(again), FrameType.stopSending)
    out.write(content(4000, 100))
    server.receive(client.packet()!)
    assert.isUndefined(stream.read())
    assert.strictEqual(server.table.bytesReceived, 4100)
    client.receive(again)
    assert.strictEqual(out.stopCode, 33)
    settle(client, server)
    assert.isTrue(stream.removed)
    server.lost(again)
    assert.isFalse(server.table.hasControl())
    assert.strictEqual(client.table.openStreams + server.table.openStreams, 0)
  })

  it("stopSending has nothing to stop once all was read or the peer reset", () => {
    const { server } = pair()
    server.table.onStreamFrame(0, 0, content(0, 10), 0, 10, true, 0)
    const read = server.table.accept(true)!
    read.readAll()
    assert.isFalse(read.stopSending(1))
    server.table.onResetStream(4, 1, 0, 0)
    assert.isFalse(server.table.accept(true)!.stopSending(1))
    assert.isFalse(server.table.hasControl())
  })

  it("an empty stream is at its end at once", () => {
    const { client, server } = pair()
    client.table.open(false)!.finish()
    settle(client, server)
    const stream = server.table.accept(false)!
    assert.isTrue(stream.isFinished)
    assert.isUndefined(stream.read())
  })

  it("C12: codes and urgencies that are none never reach the wire as something else", () => {
    for (const [code, said] of [
      [Number.NaN, 0],
      [-1, 0],
      [2.5, 2],
      [2 ** 53, 2 ** 53 - 1],
      [2 ** 62, 2 ** 53 - 1],
      [Number.POSITIVE_INFINITY, 2 ** 53 - 1]
    ] as const) {
      const { client, server } = pair()
      const stream = client.table.open(true)!
      stream.write(content(0, 10))
      settle(client, server)
      const peer = server.table.accept(true)!
      stream.reset(code)
      stream.stopSending(code)
      assert.strictEqual(framesOf(client.packet()).filter((frame) => frame.code === said).length, 2, `${code}`)
      // The answer to STOP_SENDING repeats a code that may have been read inexactly.
      assert.isUndefined(server.table.onStopSending(peer.id, code))
      assert.strictEqual(framesOf(server.packet())[0]!.code, said, `${code}`)
      for (const urgency of [code, Number.NEGATIVE_INFINITY]) {
        const other = client.table.open(false)!
        other.setPriority(urgency)
        other.write(content(0, 10))
        assert.isTrue(Number.isInteger(other.urgency) && other.urgency >= 0 && other.urgency <= 7)
        assert.strictEqual(framesOf(client.packet())[0]!.streamId, other.id)
      }
    }
  })
})
