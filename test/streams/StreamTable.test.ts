import { assert, describe, it } from "@effect/vitest"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import type { Violation } from "../../src/internal/wire/Protocol.ts"
import { content, End, framesOf, limitsOf, pair, settings, settle, typesOf } from "./support.ts"

const refused = (wrong: Violation | undefined, code: number, frameType: number): void => {
  assert.strictEqual(wrong?.code, code)
  assert.strictEqual(wrong?.frameType, frameType)
}

const ids = (end: End): Array<number> => [true, true, false, false].map((bidi) => end.table.open(bidi)!.id)

describe("stream IDs (RFC 9000 section 2.1)", () => {
  it("go up by four within a type", () => {
    const { client, server } = pair()
    assert.deepStrictEqual(ids(client), [0, 4, 2, 6])
    assert.deepStrictEqual(ids(server), [1, 5, 3, 7])
  })

  it("a peer's stream opens all lower ones of its type, to be accepted in order (section 3.2)", () => {
    const { server } = pair()
    assert.isUndefined(server.table.onStreamFrame(12, 0, content(0, 5), 0, 5, false, 0))
    assert.isUndefined(server.table.onStreamFrame(4, 0, content(0, 5), 0, 5, false, 0))
    assert.isUndefined(server.table.accept(false))
    const accepted = Array.from({ length: 5 }, () => server.table.accept(true)?.id)
    assert.deepStrictEqual(accepted, [0, 4, 8, 12, undefined])
  })

  it("every frame about a peer's stream opens it", () => {
    for (const open of [
      ({ table }: End) => table.onResetStream(0, 1, 0, 0),
      ({ table }: End) => table.onStopSending(0, 1),
      ({ table }: End) => table.onMaxStreamData(0, 1),
      ({ table }: End) => table.onStreamDataBlocked(0, 1)
    ]) {
      const { server } = pair()
      assert.isUndefined(open(server))
      assert.strictEqual(server.table.accept(true)?.id, 0)
    }
  })
})

describe("frames that cannot be (RFC 9000 section 19)", () => {
  const { streamState, streamLimit } = TransportError

  it("STREAM, RESET_STREAM, STREAM_DATA_BLOCKED on a stream that only we send on", () => {
    const { client } = pair()
    const { table } = client
    table.open(false)
    refused(table.onStreamFrame(2, 0, content(0, 1), 0, 1, false, 0), streamState, FrameType.stream)
    refused(table.onResetStream(2, 0, 0, 0), streamState, FrameType.resetStream)
    refused(table.onStreamDataBlocked(2, 0), streamState, FrameType.streamDataBlocked)
  })

  it("STREAM on a stream that only we send on, right after a frame that it may have", () => {
    const { client } = pair()
    const { table } = client
    table.open(false)
    assert.isUndefined(table.onMaxStreamData(2, 5))
    refused(table.onStreamFrame(2, 0, content(0, 1), 0, 1, false, 0), streamState, FrameType.stream)
  })

  it("STOP_SENDING, MAX_STREAM_DATA on a stream that only the peer sends on", () => {
    const { server } = pair()
    refused(server.table.onStopSending(2, 0), streamState, FrameType.stopSending)
    refused(server.table.onMaxStreamData(2, 100), streamState, FrameType.maxStreamData)
  })

  it("anything about a stream of ours that was never opened", () => {
    const { client } = pair()
    const { table } = client
    table.open(true)
    refused(table.onStreamFrame(4, 0, content(0, 1), 0, 1, false, 0), streamState, FrameType.stream)
    refused(table.onStopSending(4, 0), streamState, FrameType.stopSending)
    refused(table.onMaxStreamData(2, 10), streamState, FrameType.maxStreamData)
    refused(table.onResetStream(8, 0, 0, 0), streamState, FrameType.resetStream)
  })

  it("a stream beyond the limit, and says by how many (section 4.6)", () => {
    const { server } = pair({}, { maxBidiStreams: 3, maxUniStreams: 0 })
    assert.isUndefined(server.table.onStreamFrame(8, 0, content(0, 1), 0, 1, false, 0))
    const wrong = server.table.onStreamFrame(16, 0, content(0, 1), 0, 1, false, 0)
    refused(wrong, streamLimit, FrameType.stream)
    assert.match(wrong!.reason, /2 streams beyond its limit of 3/)
    refused(server.table.onResetStream(2, 0, 0, 0), streamLimit, FrameType.resetStream)
    assert.strictEqual(server.table.openStreams, 3)
  })

  it("an ID near 2^62 is refused without opening streams up to it", () => {
    const { server } = pair()
    refused(server.table.onStopSending(2 ** 53 - 4, 0), streamLimit, FrameType.stopSending)
    assert.strictEqual(server.table.openStreams, 0)
  })

  it("late frames for a stream that is done are ignored", () => {
    const { client, server } = pair()
    const stream = client.table.open(true)!
    stream.finish()
    settle(client, server)
    const peer = server.table.accept(true)!
    peer.finish()
    settle(client, server)
    assert.isTrue(stream.removed && peer.removed)
    for (const end of [client, server]) {
      assert.isUndefined(end.table.onStreamFrame(0, 0, content(0, 9), 0, 9, true, 0))
      assert.isUndefined(end.table.onResetStream(0, 1, 100_000_000, 0))
      assert.isUndefined(end.table.onStopSending(0, 1))
      assert.isUndefined(end.table.onMaxStreamData(0, 1_000_000))
      assert.isUndefined(end.table.onStreamDataBlocked(0, 1))
      assert.strictEqual(end.table.lateFrames, 5)
      assert.isFalse(end.table.hasControl())
    }
    assert.isUndefined(server.table.accept(true))
  })
})

describe("limits on streams (RFC 9000 section 4.6)", () => {
  it("open gives nothing beyond MAX_STREAMS, says STREAMS_BLOCKED once for each limit, and goes on when it rises", () => {
    const { client } = pair({}, { maxBidiStreams: 1, maxUniStreams: 0 })
    const { table } = client
    assert.isDefined(table.open(true))
    assert.isUndefined(table.open(true))
    assert.isUndefined(table.open(true))
    assert.isUndefined(table.open(false))
    const blocked = client.packet()!
    assert.deepStrictEqual(
      framesOf(blocked).map(({ type, limit }) => [type, limit]),
      [
        [FrameType.streamsBlockedBidi, 1],
        [FrameType.streamsBlockedUni, 0]
      ]
    )
    client.lost(blocked)
    assert.sameMembers(typesOf(client.packet()), [FrameType.streamsBlockedBidi, FrameType.streamsBlockedUni])
    table.open(true)
    assert.isUndefined(client.packet())
    table.onMaxStreams(true, 2)
    table.onMaxStreams(true, 1)
    client.lost(blocked)
    assert.deepStrictEqual(typesOf(client.packet()), [FrameType.streamsBlockedUni])
    assert.isDefined(table.open(true))
    assert.isUndefined(table.open(true))
    assert.deepStrictEqual(typesOf(client.packet()), [FrameType.streamsBlockedBidi])
  })

  it("says nothing of limits before the peer declared them", () => {
    const client = new End("client", settings())
    assert.isUndefined(client.table.open(true))
    assert.isFalse(client.table.hasControl())
  })

  it("MAX_STREAMS rises as streams are done, one frame for many, and again if it is lost", () => {
    const { client, server } = pair({}, { maxUniStreams: 4 })
    for (let count = 0; count < 4; count++) client.table.open(false)!.finish()
    for (let packet = client.packet(); packet !== undefined; packet = client.packet()) {
      server.receive(packet)
      client.acked(packet)
    }
    assert.isFalse(server.table.hasControl(), "not accepted yet: streams that nobody looked at are not done")
    while (server.table.accept(false) !== undefined);
    const raised = server.packet()!
    assert.deepStrictEqual(
      framesOf(raised).map(({ type, limit }) => [type, limit]),
      [[FrameType.maxStreamsUni, 8]]
    )
    server.lost(raised)
    assert.deepStrictEqual(typesOf(server.packet()), [FrameType.maxStreamsUni])
    assert.isFalse(server.table.hasControl())
  })

  it("lets a peer open and reset no more streams than it may until the application takes them", () => {
    const { server } = pair({}, { maxBidiStreams: 5 })
    for (let index = 0; index < 5; index++) assert.isUndefined(server.table.onResetStream(4 * index, 0, 0, 0))
    assert.isFalse(server.table.hasControl())
    assert.strictEqual(server.table.onResetStream(20, 0, 0, 0)?.code, TransportError.streamLimit)
  })

  it("answers STREAMS_BLOCKED when there is room that was not told", () => {
    const { client, server } = pair({}, { maxUniStreams: 10 })
    client.table.open(false)!.finish()
    settle(client, server)
    server.table.accept(false)
    assert.isFalse(server.table.hasControl())
    server.table.onStreamsBlocked(false, 9)
    assert.isFalse(server.table.hasControl())
    server.table.onStreamsBlocked(false, 10)
    assert.deepStrictEqual(
      framesOf(server.packet()).map(({ type, limit }) => [type, limit]),
      [[FrameType.maxStreamsUni, 11]]
    )
  })
})

describe("0-RTT that the server refuses (RFC 9001 section 4.6.2)", () => {
  it("sends everything anew within the limits of the handshake", () => {
    const own = settings()
    const client = new End("client", own)
    const server = new End("server", settings({ maxBidiStreams: 1, initialStreamWindow: 3000 }))
    server.table.applyPeerParameters(limitsOf(own))
    client.table.applyPeerParameters(limitsOf(own))
    const one = client.table.open(true)!
    const two = client.table.open(true)!
    const three = client.table.open(true)!
    one.write(content(0, 5000))
    two.write(content(0, 100))
    three.write(content(0, 100))
    const early = [client.packet()!, client.packet()!, client.packet()!, client.packet()!]
    three.reset(3)
    three.stopSending(4)
    early.push(client.packet()!)
    client.table.rejectEarlyData()
    assert.isFalse(client.table.hasData(0))
    assert.isFalse(client.table.hasControl())
    client.table.applyPeerParameters(limitsOf(settings({ maxBidiStreams: 1, initialStreamWindow: 3000 })))
    for (const packet of early) client.lost(packet)
    assert.isFalse(client.table.hasControl(), "nothing is said about streams beyond the limit")
    settle(client, server)
    assert.strictEqual(server.table.openStreams, 1)
    assert.strictEqual(client.table.bytesSent, 3000)
    assert.isUndefined(client.table.open(true))
    client.table.onMaxStreams(true, 3)
    const frames = [...framesOf(client.packet()), ...framesOf(client.packet())]
    assert.includeDeepMembers(
      frames.map(({ type, streamId }) => [type, streamId]),
      [
        [FrameType.stream, two.id],
        [FrameType.resetStream, three.id],
        [FrameType.stopSending, three.id]
      ]
    )
    assert.strictEqual(frames.find((frame) => frame.type === FrameType.resetStream)!.finalSize, 0)
  })
})
