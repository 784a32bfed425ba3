import { assert, describe, it } from "@effect/vitest"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { content, framesOf, pair, settle, typesOf } from "./support.ts"
import type { SeenFrame } from "./support.ts"

const bytes = (length: number): Uint8Array => new Uint8Array(length)
const ofType = (frames: ReadonlyArray<SeenFrame>, type: number): ReadonlyArray<SeenFrame> =>
  frames.filter((frame) => frame.type === type)

describe("flow control (RFC 9000 section 4)", () => {
  describe("sending", () => {
    it("stops at MAX_STREAM_DATA, says STREAM_DATA_BLOCKED once for each limit, and goes on when it rises", () => {
      const { client, server } = pair({ initialStreamWindow: 5000, initialConnectionWindow: 100_000 })
      const stream = client.table.open(false)!
      stream.write(content(0, 12_000))
      settle(client, server)
      assert.strictEqual(client.table.bytesSent, 5000)
      assert.isFalse(client.table.hasData(0))
      assert.strictEqual(server.table.timesPeerBlocked, 1)
      assert.strictEqual(client.table.queuedBytes, 7000)
      client.table.onMaxStreamData(stream.id, 5000)
      assert.isUndefined(client.packet())
      client.table.onMaxStreamData(stream.id, 5010)
      const packet = client.packet()!
      assert.deepStrictEqual(
        framesOf(packet).map(({ type, offset, length }) => [type, offset, length]),
        [[FrameType.stream, 5000, 10]]
      )
      const second = client.packet()!
      assert.deepStrictEqual(
        framesOf(second).map(({ type, limit }) => [type, limit]),
        [[FrameType.streamDataBlocked, 5010]]
      )
      assert.isUndefined(client.packet())
    })

    it("stops at MAX_DATA for all streams together and says DATA_BLOCKED once for each limit", () => {
      const { client, server } = pair({ initialStreamWindow: 50_000, initialConnectionWindow: 8000 })
      const one = client.table.open(false)!
      const two = client.table.open(true)!
      one.write(content(0, 6000))
      two.write(content(0, 6000))
      settle(client, server)
      assert.strictEqual(client.table.bytesSent, 8000)
      assert.isFalse(client.table.hasData(0))
      assert.strictEqual(server.table.timesPeerBlocked, 1)
      one.write(content(6000, 100))
      assert.isFalse(client.table.hasControl())
      client.table.onMaxData(7000)
      assert.isFalse(client.table.hasData(0))
      client.table.onMaxData(12_000)
      while (client.packet() !== undefined);
      assert.strictEqual(client.table.bytesSent, 12_000)
    })

    it("does not need credit for retransmissions and for FIN", () => {
      const { client } = pair({ initialConnectionWindow: 1000 })
      const stream = client.table.open(false)!
      stream.write(content(0, 1000))
      const packet = client.packet()!
      assert.isFalse(client.table.hasData(0))
      client.lost(packet)
      assert.isTrue(client.table.hasRetransmission(0))
      stream.finish()
      assert.deepStrictEqual(
        framesOf(client.packet()).map(({ offset, length, fin }) => [offset, length, fin]),
        [[0, 1000, true]]
      )
      const other = client.table.open(false)!
      other.finish()
      assert.deepStrictEqual(
        framesOf(client.packet()).map(({ streamId, offset, length, fin }) => [streamId, offset, length, fin]),
        [[other.id, 0, 0, true]]
      )
    })

    it("says no more of being blocked once the data is given up", () => {
      const { client } = pair({ initialStreamWindow: 100, initialConnectionWindow: 150 })
      const one = client.table.open(false)!
      const two = client.table.open(false)!
      one.write(bytes(200))
      client.packet()
      one.reset(0)
      assert.deepStrictEqual(typesOf(client.packet()), [FrameType.resetStream])
      two.write(bytes(100))
      client.packet()
      const blocked = client.packet()!
      assert.deepStrictEqual(typesOf(blocked), [FrameType.dataBlocked])
      two.reset(0)
      assert.deepStrictEqual(typesOf(client.packet()), [FrameType.resetStream])
      client.lost(blocked)
      assert.isFalse(client.table.hasControl())
    })

    it("sends a lost DATA_BLOCKED or STREAM_DATA_BLOCKED again only while it is true", () => {
      const { client } = pair({ initialStreamWindow: 100, initialConnectionWindow: 150 })
      const one = client.table.open(false)!
      const two = client.table.open(false)!
      one.write(bytes(200))
      two.write(bytes(200))
      const first = client.packet()!
      const blocked = client.packet()!
      assert.deepStrictEqual(typesOf(first), [FrameType.stream, FrameType.stream])
      assert.includeMembers(typesOf(blocked), [FrameType.dataBlocked, FrameType.streamDataBlocked])
      client.lost(blocked)
      assert.includeMembers(typesOf(client.packet()), [FrameType.dataBlocked, FrameType.streamDataBlocked])
      client.table.onMaxData(151)
      client.table.onMaxStreamData(one.id, 500)
      client.packet()
      client.packet()
      client.lost(blocked)
      assert.isFalse(client.table.hasControl())
    })
  })

  describe("receiving", () => {
    it("refuses a byte beyond the limit of the stream and says by how much (section 4.1)", () => {
      const { server } = pair({ initialStreamWindow: 1000 })
      assert.isUndefined(server.table.onStreamFrame(0, 500, bytes(500), 0, 500, false, 0))
      const wrong = server.table.onStreamFrame(0, 900, bytes(107), 0, 107, false, 0)
      assert.strictEqual(wrong?.code, TransportError.flowControl)
      assert.strictEqual(wrong?.frameType, FrameType.stream)
      assert.match(wrong!.reason, /stream 0.* 7 bytes beyond its limit of 1000/)
    })

    it("refuses a byte beyond the limit of the connection", () => {
      const { server } = pair({ initialStreamWindow: 1000, initialConnectionWindow: 1500 })
      assert.isUndefined(server.table.onStreamFrame(0, 0, bytes(1000), 0, 1000, false, 0))
      assert.isUndefined(server.table.onStreamFrame(4, 400, bytes(100), 0, 100, false, 0))
      assert.isUndefined(server.table.onStreamFrame(4, 0, bytes(500), 0, 500, false, 0))
      const wrong = server.table.onStreamFrame(8, 0, bytes(3), 0, 3, false, 0)
      assert.strictEqual(wrong?.code, TransportError.flowControl)
      assert.match(wrong!.reason, /connection.* 3 bytes beyond its limit of 1500/)
    })

    it("counts the final size of a reset against both limits (section 4.5)", () => {
      const limits = { initialStreamWindow: 1000, initialConnectionWindow: 1500 }
      assert.strictEqual(pair(limits).server.table.onResetStream(0, 1, 1001, 0)?.code, TransportError.flowControl)
      const { server } = pair(limits)
      assert.isUndefined(server.table.onStreamFrame(4, 0, bytes(600), 0, 600, false, 0))
      assert.strictEqual(server.table.onResetStream(0, 1, 901, 0)?.code, TransportError.flowControl)
      assert.isUndefined(server.table.onResetStream(0, 1, 900, 0))
      assert.strictEqual(server.table.bytesReceived, 1500)
    })

    it("renews credit when half of a window is read, not before", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 16_000 })
      client.table.open(false)!.write(content(0, 10_000))
      settle(client, server)
      const stream = server.table.accept(false)!
      stream.read(1000)
      stream.read(1000)
      assert.isFalse(server.table.hasControl())
      while (stream.read(1000) !== undefined);
      const frames = framesOf(server.packet(1000))
      assert.deepStrictEqual(
        frames.map(({ type, limit }) => [type, limit]),
        [
          [FrameType.maxStreamData, 20_000],
          [FrameType.maxData, 26_000]
        ]
      )
      assert.isFalse(server.table.hasControl())
    })

    it("gives no credit to a stream whose size is known, but gives the connection's back", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 16_000 })
      const out = client.table.open(false)!
      out.write(content(0, 9000))
      out.finish()
      settle(client, server)
      server.table.accept(false)!.readAll()
      assert.deepStrictEqual(typesOf(server.packet()), [FrameType.maxData])
    })

    it("takes a MAX_STREAM_DATA back that is not sent yet when the size becomes known", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 100_000 })
      const out = client.table.open(true)!
      out.write(content(0, 9000))
      settle(client, server)
      server.table.accept(true)!.readAll()
      assert.isTrue(server.table.hasControl())
      out.finish()
      server.receive(client.packet()!)
      assert.isFalse(server.table.hasControl())
    })

    it("doubles a window that is read within two round trips, up to its maximum; the connection follows at 1.5 times", () => {
      const { client, server } = pair({
        initialStreamWindow: 10_000,
        maxStreamWindow: 35_000,
        initialConnectionWindow: 15_000,
        maxConnectionWindow: 50_000
      })
      server.rtt = 50
      const out = client.table.open(false)!
      const gains: Array<number> = []
      let now = 0
      let limit = 10_000
      for (let round = 0; round < 40; round++) {
        now += 50
        if (out.bufferedBytes === 0) out.write(content(0, 40_000))
        settle(client, server, now)
        const stream = server.table.get(out.id)!
        stream.readAll()
        const packet = server.packet(now)
        if (packet === undefined) continue
        client.receive(packet, now)
        for (const frame of ofType(framesOf(packet), FrameType.maxStreamData)) {
          gains.push(frame.limit - stream.receive!.buffer.readOffset)
          assert.isAbove(frame.limit, limit)
          limit = frame.limit
        }
      }
      assert.deepStrictEqual([...new Set(gains)], [20_000, 35_000])
      assert.strictEqual(server.table["window"].size, 50_000)
    })

    it("makes room on the connection at once for a stream whose window has grown", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 22_000 })
      server.rtt = 50
      client.table.open(false)!.write(content(0, 8000))
      settle(client, server, 10)
      server.table.accept(false)!.readAll()
      assert.deepStrictEqual(
        framesOf(server.packet(20)).map(({ type, limit }) => [type, limit]),
        [
          [FrameType.maxStreamData, 28_000],
          [FrameType.maxData, 8000 + 30_000]
        ]
      )
    })

    it("leaves the window of a slow reader as it is", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 15_000 })
      server.rtt = 50
      const out = client.table.open(false)!
      out.write(content(0, 200_000))
      let now = 0
      for (let round = 0; round < 30; round++) {
        settle(client, server, now)
        // The data came long ago; the application takes its time.
        now += 500
        server.table.get(out.id)!.readAll()
        settle(server, client, now)
      }
      assert.strictEqual(server.table.get(out.id)!.receive!.window.size, 10_000)
      assert.strictEqual(server.table["window"].size, 15_000)
    })

    it("gives back what a reset or a stopped stream had not delivered", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 10_000 })
      const one = client.table.open(false)!
      one.write(content(0, 6000))
      settle(client, server)
      one.reset(7)
      settle(client, server)
      const two = client.table.open(false)!
      two.write(content(0, 10_000))
      settle(client, server)
      assert.strictEqual(client.table.bytesSent, 16_000)
      server.table.accept(false)
      server.table.accept(false)!.stopSending(9)
      settle(client, server)
      const three = client.table.open(false)!
      three.write(content(0, 10_000))
      settle(client, server)
      assert.strictEqual(client.table.bytesSent, 26_000)
    })

    it("sends lost MAX_DATA and MAX_STREAM_DATA again, unless newer ones went out", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 10_000 })
      client.table.open(false)!.write(content(0, 10_000))
      settle(client, server)
      const stream = server.table.accept(false)!
      while (stream.receive!.buffer.readOffset < 6000) stream.read(1000)
      const first = server.packet(1000)!
      assert.deepStrictEqual(typesOf(first), [FrameType.maxStreamData, FrameType.maxData])
      server.lost(first)
      const again = server.packet(2000)!
      assert.deepStrictEqual(typesOf(again), [FrameType.maxStreamData, FrameType.maxData])
      client.receive(again)
      settle(client, server)
      client.table.get(2)!.write(content(10_000, 9000))
      settle(client, server)
      while (stream.read() !== undefined);
      const newer = server.packet(3000)!
      assert.deepStrictEqual(typesOf(newer), [FrameType.maxStreamData, FrameType.maxData])
      server.lost(first)
      server.lost(again)
      assert.isFalse(server.table.hasControl())
    })

    it("answers DATA_BLOCKED and STREAM_DATA_BLOCKED when there is more to give than was told", () => {
      const { client, server } = pair({ initialStreamWindow: 10_000, initialConnectionWindow: 10_000 })
      client.table.open(false)!.write(content(0, 10_000))
      settle(client, server)
      assert.isUndefined(server.table.onDataBlocked(10_000))
      assert.isUndefined(server.table.onStreamDataBlocked(2, 10_000))
      assert.isFalse(server.table.hasControl())
      server.table.accept(false)!.read(100)
      assert.isUndefined(server.table.onDataBlocked(9000))
      assert.isFalse(server.table.hasControl())
      server.table.onDataBlocked(10_000)
      server.table.onStreamDataBlocked(2, 10_000)
      assert.deepStrictEqual(
        framesOf(server.packet()).map(({ type, limit }) => [type, limit]),
        [
          [FrameType.maxStreamData, 10_100],
          [FrameType.maxData, 10_100]
        ]
      )
    })
  })
})
