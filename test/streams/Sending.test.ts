import { assert, describe, it } from "@effect/vitest"
import { SentFrameKind, SentFrameList, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import { TURN } from "../../src/internal/streams/StreamSender.ts"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { content, firstDifference, framesOf, pair, settle } from "./support.ts"
import type { End } from "./support.ts"

const large = {
  initialStreamWindow: 1_000_000,
  initialConnectionWindow: 10_000_000,
  maxUniStreams: 1000,
  streamSendBuffer: 500_000
}

const open = (end: End, length: number, urgency = 3, incremental = true): Stream => {
  const stream = end.table.open(false)!
  stream.setPriority(urgency, incremental)
  stream.write(content(0, length))
  return stream
}

/** Packets of a turn: of 1,200 bytes, less the header of the frame. */
const PACKETS = Math.ceil(TURN / 1195)

/** The stream of each of the next packets. */
const order = (end: End, count: number, pathId = 0): Array<number> =>
  Array.from({ length: count }, () => framesOf(end.packet(0, pathId)).map((frame) => frame.streamId)[0]!)

describe("STREAM frames in a packet (RFC 9000 section 19.8)", () => {
  it("a frame that ends the packet has no Length field and leaves no byte unused", () => {
    const { client } = pair(large)
    open(client, 10_000)
    const packet = client.packet(0, 0, 1000)!
    assert.strictEqual(packet.bytes.length, 1000)
    assert.strictEqual(packet.bytes[0], 0x08)
    assert.strictEqual(framesOf(packet)[0]!.length, 998)
    const next = client.packet(0, 0, 1000)!
    assert.strictEqual(next.bytes[0], 0x0c)
    assert.strictEqual(framesOf(next)[0]!.length, 996)
  })

  it("fits whatever the rest of the stream and the packet are, to the byte", () => {
    for (let size = 200; size < 204; size++) {
      for (let length = 1; length < size + 4; length++) {
        const { client, server } = pair(large)
        const stream = open(client, length)
        stream.finish()
        const lengths: Array<number> = []
        for (let packet = client.packet(0, 0, size); packet !== undefined; packet = client.packet(0, 0, size)) {
          assert.isAtMost(packet.bytes.length, size)
          lengths.push(packet.bytes.length)
          assert.isUndefined(server.receive(packet))
        }
        assert.strictEqual(lengths.length, length + 2 <= size ? 1 : 2)
        const peer = server.table.accept(false)!
        assert.strictEqual(firstDifference(peer.readAll()), -1)
        assert.isTrue(peer.isFinished)
      }
    }
  })

  it("puts several short streams in one packet", () => {
    const { client, server } = pair(large)
    for (let count = 0; count < 8; count++) open(client, 100).finish()
    const packet = client.packet()!
    assert.strictEqual(framesOf(packet).length, 8)
    assert.isUndefined(client.packet())
    assert.isUndefined(server.receive(packet))
  })

  it("does not begin a frame for a few bytes at the end of a packet", () => {
    const { client } = pair(large)
    open(client, 1120)
    open(client, 5000)
    const packet = client.packet(0, 0, 1200)!
    assert.strictEqual(framesOf(packet).length, 1)
    const list = new SentFrameList(new SentFramePool())
    const w = new ByteWriter(new Uint8Array(100))
    assert.isFalse(client.table.writeData(w, list, 0))
    assert.strictEqual(w.position, 0)
    assert.isUndefined(list.head)
  })

  it("records every frame with its stream, offset, length and FIN", () => {
    const { client } = pair(large)
    const stream = open(client, 1500)
    stream.finish()
    const first = client.packet()!.frames!
    assert.strictEqual(first.kind, SentFrameKind.stream)
    assert.strictEqual(first.owner, stream)
    const second = client.packet()!.frames!
    assert.deepStrictEqual([second.offset, second.length, second.fin], [first.length, 1500 - first.length, true])
  })

  it("counts what waits to be sent, lost bytes included", () => {
    const { client } = pair(large)
    open(client, 3000)
    assert.strictEqual(client.table.queuedBytes, 3000)
    const packet = client.packet()!
    const length = framesOf(packet)[0]!.length
    assert.strictEqual(client.table.queuedBytes, 3000 - length)
    client.lost(packet)
    client.lost(packet)
    assert.strictEqual(client.table.queuedBytes, 3000)
    client.packet()
    client.packet()
    client.packet()
    assert.strictEqual(client.table.queuedBytes, 0)
    assert.strictEqual(client.table.bytesRetransmitted, length)
  })
})

describe("whose turn it is", () => {
  it("lower urgency first (RFC 9218 section 4.1)", () => {
    const { client } = pair(large)
    const late = open(client, 2500, 6)
    const early = open(client, 2500, 1)
    const normal = open(client, 2500)
    assert.deepStrictEqual(
      order(client, 7).filter((id, at, all) => id !== all[at - 1]),
      [early.id, normal.id, late.id]
    )
  })

  it("streams of one urgency take turns of a dozen packets, and none gets more than its share", () => {
    const { client } = pair(large)
    const streams = Array.from({ length: 7 }, () => open(client, 100_000))
    const turn = order(client, 1 + PACKETS).lastIndexOf(streams[0]!.id) + 1
    assert.strictEqual(turn, PACKETS)
    const turns = order(client, 14 * turn - turn - 1)
    for (const stream of streams) {
      const expected = stream === streams[0] ? turn : stream === streams[1] ? 2 * turn - 1 : 2 * turn
      assert.strictEqual(turns.filter((id) => id === stream.id).length, expected)
    }
    for (let at = 7 * turn; at < turns.length; at++) assert.strictEqual(turns[at], turns[at - 7 * turn])
  })

  it("a turn that ends early, because nothing is left, is not made up for later", () => {
    const { client } = pair(large)
    const one = open(client, 10_000)
    const two = open(client, 100_000)
    const first = order(client, 9)
    assert.strictEqual(first[8], one.id)
    order(client, PACKETS)
    one.write(content(10_000, 50_000))
    const turns = order(client, 3 * PACKETS)
    const begin = turns.indexOf(one.id)
    assert.isAtLeast(begin, 0)
    assert.strictEqual(turns.indexOf(two.id, begin) - begin, PACKETS)
  })

  it("a stream that is not incremental goes to its end first", () => {
    const { client } = pair(large)
    const whole = open(client, 5000, 3, false)
    const other = open(client, 5000, 3, false)
    const turns = order(client, 9)
    assert.isBelow(turns.lastIndexOf(whole.id), turns.indexOf(other.id))
  })

  it("a changed priority holds at once", () => {
    const { client } = pair(large)
    const one = open(client, 50_000)
    const two = open(client, 50_000)
    order(client, 3)
    two.setPriority(0)
    assert.deepStrictEqual(order(client, 3), [two.id, two.id, two.id])
    two.setPriority(99)
    assert.deepStrictEqual(order(client, 3), [one.id, one.id, one.id])
  })

  it("retransmissions come before new data, of whatever urgency", () => {
    const { client } = pair(large)
    const slow = open(client, 50_000, 7)
    const packet = client.packet()!
    const urgent = open(client, 50_000, 0)
    assert.isFalse(client.table.hasRetransmission(0))
    client.lost(packet)
    assert.isTrue(client.table.hasRetransmission(0))
    const frames = framesOf(client.packet())
    assert.deepStrictEqual([frames[0]!.streamId, frames[0]!.offset], [slow.id, 0])
    assert.strictEqual(order(client, 1)[0], urgent.id)
  })

  it("a stream blocked by its own limit does not hold up the others", () => {
    const { client } = pair({ ...large, initialStreamWindow: 500 })
    const blocked = open(client, 50_000, 0)
    client.packet()
    client.packet()
    const free = open(client, 400, 5)
    assert.isTrue(client.table.hasData(0))
    assert.strictEqual(order(client, 1)[0], free.id)
    assert.strictEqual(blocked.send!.buffer.unsentOffset, 500)
  })
})

describe("path affinity", () => {
  it("data and retransmissions stay on the paths of their stream", () => {
    const { client } = pair(large)
    const bound = open(client, 10_000, 0)
    bound.setPaths([1])
    assert.isFalse(client.table.hasData(0))
    assert.isTrue(client.table.hasData(1))
    const free = open(client, 10_000)
    assert.strictEqual(order(client, 1, 0)[0], free.id)
    const packet = client.packet(0, 1)!
    assert.strictEqual(framesOf(packet)[0]!.streamId, bound.id)
    client.lost(packet)
    assert.isFalse(client.table.hasRetransmission(0))
    assert.isTrue(client.table.hasRetransmission(1))
    assert.deepStrictEqual(order(client, 2, 0), [free.id, free.id])
  })

  it("others still take turns while one is stepped over", () => {
    const { client } = pair(large)
    const bound = open(client, 100_000)
    bound.setPaths([1])
    const one = open(client, 100_000)
    const two = open(client, 100_000)
    const turns = order(client, 4 * PACKETS, 0)
    assert.deepStrictEqual(
      turns.filter((id, at) => id !== turns[at - 1]),
      [one.id, two.id, one.id, two.id]
    )
  })

  it("A8: a path can be asked for what is bound to it alone", () => {
    const { client } = pair(large)
    const bound = open(client, 3000)
    bound.setPaths([1, 2])
    const free = open(client, 10_000, 0)
    assert.deepStrictEqual(
      [0, 1, 2].map((id) => client.table.hasBound(id)),
      [false, true, true]
    )
    const list = new SentFrameList(new SentFramePool())
    const seen = new Set<unknown>()
    for (let written = true; written;) {
      const w = new ByteWriter(new Uint8Array(1200))
      written = client.table.writeData(w, list, 2, true)
      for (let frame = list.detach(); frame !== undefined; frame = frame.next) seen.add(frame.owner)
    }
    assert.deepStrictEqual([...seen], [bound])
    assert.isFalse(client.table.hasBound(1))
    assert.strictEqual(free.bufferedBytes, free.send!.buffer.pendingNew)
    bound.finish()
    assert.isTrue(client.table.hasBound(1))
    bound.setPaths(undefined)
    assert.isFalse(client.table.hasBound(1))
    assert.isTrue(client.table.hasData(0))
  })

  it("A8: bound and free streams of one urgency take turns, and a more urgent one comes first", () => {
    const { client } = pair(large)
    const streams = [open(client, 60_000), open(client, 60_000), open(client, 60_000), open(client, 20_000, 1)]
    streams[1]!.setPaths([0])
    streams[2]!.setPaths([0, 1])
    streams[3]!.setPaths([0])
    const turns = order(client, 8 * PACKETS)
    const runs = turns.filter((id, at) => id !== turns[at - 1])
    assert.strictEqual(runs[0], streams[3]!.id)
    assert.sameMembers(
      runs.slice(2, 5),
      streams.slice(0, 3).map((stream) => stream.id)
    )
    assert.deepStrictEqual(runs.slice(2, 5).slice(0, 2), runs.slice(5, 7))
  })

  it("A8: streams that are bound elsewhere cost a path nothing, however many there are", () => {
    const { client } = pair({ ...large, maxUniStreams: 10_001 })
    for (let count = 0; count < 10_000; count++) open(client, 10).setPaths([1, 2 + (count % 3)])
    const free = open(client, 10_000)
    const before = client.table.laneSteps
    for (let count = 0; count < 8; count++) assert.strictEqual(order(client, 1)[0], free.id)
    assert.isAtMost(client.table.laneSteps - before, 8 * 3 * 6)
    client.table.onPathClosed(1)
    assert.isFalse(client.table.hasBound(1))
    assert.isTrue(client.table.hasBound(3))
    for (const id of [2, 3, 4]) client.table.onPathClosed(id)
    assert.isTrue(client.table.hasData(0))
    assert.isFalse([0, 1, 2, 3, 4].some((id) => client.table.hasBound(id)))
  })

  it("ends with its last path, so that nothing is stuck", () => {
    const { client } = pair(large)
    const bound = open(client, 1000)
    bound.setPaths([1, 2])
    client.table.onPathClosed(1)
    assert.isFalse(client.table.hasData(0))
    client.table.onPathClosed(2)
    assert.isTrue(client.table.hasData(0))
  })
})

describe("duplicates and reinjections", () => {
  it("carry the same bytes; whichever copy arrives first counts", () => {
    const { client, server } = pair(large)
    const stream = open(client, 1000)
    stream.finish()
    const original = client.packet()!
    const list = new SentFrameList(new SentFramePool())
    const w = new ByteWriter(new Uint8Array(1200))
    assert.isTrue(client.table.writeCopy(w, list, original.frames!))
    const copy = { from: client, bytes: w.bytes.slice(0, w.position), frames: list.detach() }
    assert.deepStrictEqual(
      framesOf(copy).map(({ type, offset, length, fin }) => [type, offset, length, fin]),
      [[FrameType.stream, 0, 1000, true]]
    )
    server.receive(copy)
    server.receive(original)
    client.acked(copy)
    assert.strictEqual(stream.bufferedBytes, 0)
    const written = w.position
    assert.isTrue(client.table.writeCopy(w, list, original.frames!))
    assert.strictEqual(w.position, written, "what is acknowledged is not written again")
    client.lost(original)
    assert.isFalse(client.table.hasData(0))
    const peer = server.table.accept(false)!
    assert.strictEqual(firstDifference(peer.readAll()), -1)
    assert.isTrue(peer.isFinished)
  })

  it("are split where there is not room for the whole", () => {
    const { client, server } = pair(large)
    const stream = open(client, 1000)
    stream.finish()
    const original = client.packet()!
    const record = original.frames!
    for (let copies = 0; copies < 2; copies++) {
      const w = new ByteWriter(new Uint8Array(900))
      const list = new SentFrameList(new SentFramePool())
      assert.strictEqual(client.table.writeCopy(w, list, record), copies === 1)
      server.receive({ from: client, bytes: w.bytes.slice(0, w.position), frames: list.detach() })
    }
    const peer = server.table.accept(false)!
    assert.strictEqual(firstDifference(peer.readAll()), -1)
    assert.isTrue(peer.isFinished)
  })

  it("are not begun where next to nothing has room", () => {
    const { client } = pair(large)
    open(client, 1000)
    const original = client.packet()!
    const w = new ByteWriter(new Uint8Array(60))
    assert.isFalse(client.table.writeCopy(w, new SentFrameList(new SentFramePool()), original.frames!))
    assert.strictEqual(w.position, 0)
  })
})

describe("memory", () => {
  it("keeps nothing of a thousand streams that are done", () => {
    const { client, server } = pair({ ...large, maxUniStreams: 50 })
    let done = 0
    for (let count = 0; count < 1000; count++) {
      const stream = client.table.open(false)
      assert.isDefined(stream)
      stream!.write(content(0, 100))
      stream!.finish()
      settle(client, server)
      for (let peer = server.table.accept(false); peer !== undefined; peer = server.table.accept(false)) {
        peer.readAll()
        done++
      }
      settle(client, server)
    }
    assert.strictEqual(done, 1000)
    for (const end of [client, server]) {
      assert.strictEqual(end.table.openStreams, 0)
      assert.strictEqual(end.table.bufferedBytes, 0)
      assert.strictEqual(end.finished.length, 1000)
    }
  })
})
