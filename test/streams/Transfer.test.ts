import { assert, describe, it } from "@effect/vitest"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import { Random } from "../wire/random.ts"
import { content, firstDifference, pair } from "./support.ts"
import type { End, Packet } from "./support.ts"

/** What one direction of one stream should carry, and how far both ends got. */
interface Flow {
  readonly writer: Stream
  readonly reader: () => Stream | undefined
  readonly total: number
  written: number
  read: number
  ended: boolean
}

describe("two tables, any loss and order", () => {
  for (const seed of [31, 32, 33, 34, 35, 36]) {
    it(`every stream ends with all of its bytes, and nothing is kept (seed ${seed})`, () => {
      const random = new Random(seed)
      const { client, server } = pair({
        initialStreamWindow: 20_000,
        initialConnectionWindow: 50_000,
        streamSendBuffer: 30_000
      })
      const flows: Array<Flow> = []
      const opened = new Map<number, Stream>()
      const accepted = new Map([client, server].map((end) => [end, new Map<number, Stream>()]))
      const track = (owner: End, other: End, bidirectional: boolean): void => {
        const stream = owner.table.open(bidirectional)
        if (stream === undefined) return
        const total = (): number => (random.between(0, 4) === 0 ? random.between(0, 2) : random.between(0, 120_000))
        const reader = (): Stream | undefined => accepted.get(other)!.get(stream.id)
        opened.set(stream.id, stream)
        flows.push({ writer: stream, reader, total: total(), written: 0, read: 0, ended: false })
        stream.setPriority(random.between(0, 7), random.boolean())
        if (random.between(0, 3) === 0) stream.setPaths([random.between(0, 1)])
      }
      const flying: Array<Packet> = []
      const late: Array<Packet> = []
      let now = 0
      for (let round = 0; ; round++) {
        assert.isBelow(round, 60_000)
        now += random.between(0, 3)
        if (opened.size < 25 && random.between(0, 5) === 0) {
          track(...(random.boolean() ? ([client, server] as const) : ([server, client] as const)), random.boolean())
        }
        for (const end of [client, server]) {
          for (const bidirectional of [true, false]) {
            for (
              let stream = end.table.accept(bidirectional);
              stream !== undefined;
              stream = end.table.accept(bidirectional)
            ) {
              accepted.get(end)!.set(stream.id, stream)
              if (!bidirectional) continue
              const opener = opened.get(stream.id)!
              const total = random.between(0, 30_000)
              flows.push({ writer: stream, reader: () => opener, total, written: 0, read: 0, ended: false })
            }
          }
        }
        for (const flow of flows) {
          if (flow.writer.writableBytes > 0 && flow.written < flow.total) {
            const length = Math.min(flow.total - flow.written, random.between(1, 6000))
            assert.isTrue(flow.writer.write(content(flow.written, length)))
            flow.written += length
          }
          if (flow.written === flow.total && flow.writer.isWritable) assert.isTrue(flow.writer.finish())
          const reader = flow.reader()
          if (reader === undefined || random.between(0, 2) === 0) continue
          for (let bytes = reader.read(); bytes !== undefined; bytes = reader.read()) {
            assert.strictEqual(firstDifference([bytes], flow.read), -1)
            flow.read += bytes.length
          }
          flow.ended = reader.isFinished
        }
        for (const end of [client, server]) {
          for (let count = random.between(0, 4); count > 0; count--) {
            const packet = end.packet(now, random.between(0, 1), random.between(300, 1400))
            if (packet !== undefined) flying.push(packet)
          }
        }
        while (flying.length > 0 && random.between(0, 5) > 0) {
          const [packet] = flying.splice(random.between(0, Math.min(30, flying.length - 1)), 1)
          const receiver = packet!.from === client ? server : client
          const fate = random.between(0, 99)
          if (fate < 15) packet!.from.lost(packet!)
          else {
            assert.isUndefined(receiver.receive(packet!, now))
            if (fate < 20) packet!.from.lost(packet!)
            if (fate < 25) late.push(packet!)
            else packet!.from.acked(packet!)
          }
        }
        if (late.length > 0 && random.between(0, 9) === 0) {
          const packet = late.shift()!
          assert.isUndefined((packet.from === client ? server : client).receive(packet, now))
          packet.from.acked(packet)
        }
        if (opened.size >= 25 && flying.length === 0 && late.length === 0 && flows.every((flow) => flow.ended)) break
      }
      for (const flow of flows) assert.strictEqual(flow.read, flow.total)
      for (const end of [client, server]) {
        // What is still under way is at most a repeated frame of control.
        for (let packet = end.packet(now, 0); packet !== undefined; packet = end.packet(now, 0)) end.acked(packet)
        for (let packet = end.packet(now, 1); packet !== undefined; packet = end.packet(now, 1)) end.acked(packet)
        assert.strictEqual(end.table.bufferedBytes, 0)
        assert.strictEqual(end.table.queuedBytes, 0)
        assert.strictEqual(end.table.openStreams, 0)
      }
      assert.strictEqual(client.table.bytesSent, server.table.bytesReceived)
      assert.strictEqual(server.table.bytesSent, client.table.bytesReceived)
    })
  }
})
