import { assert, describe, it } from "@effect/vitest"
import { content, framesOf, pair, settle } from "./support.ts"
import type { Packet } from "./support.ts"

describe("waiters", () => {
  it("a reader is woken once at the end of a burst, never inside a frame", () => {
    const { server } = pair()
    const { table } = server
    table.onStreamFrame(0, 0, content(0, 10), 0, 10, false, 0)
    table.flushWakes()
    const stream = table.accept(true)!
    stream.readAll()
    let woken = 0
    stream.readWaiter = () => woken++
    table.onStreamFrame(0, 20, content(20, 10), 0, 10, false, 0)
    table.flushWakes()
    assert.strictEqual(woken, 0, "nothing is readable before the gap is closed")
    table.onStreamFrame(0, 10, content(10, 10), 0, 10, false, 0)
    table.onStreamFrame(0, 30, content(30, 10), 0, 10, false, 0)
    assert.strictEqual(woken, 0)
    table.flushWakes()
    assert.strictEqual(woken, 1)
    assert.isUndefined(stream.readWaiter)
    table.onStreamFrame(0, 40, content(40, 10), 0, 10, false, 0)
    table.flushWakes()
    assert.strictEqual(woken, 1)
  })

  it("a reader is woken by the end and by a reset", () => {
    const { server } = pair()
    const { table } = server
    table.onStreamFrame(4, 0, content(0, 1), 0, 1, false, 0)
    const one = table.accept(true)!
    const two = table.accept(true)!
    two.readAll()
    const woken: Array<string> = []
    one.readWaiter = () => woken.push("reset")
    two.readWaiter = () => woken.push("end")
    table.onStreamFrame(4, 1, content(0, 0), 0, 0, true, 0)
    table.onResetStream(0, 5, 0, 0)
    table.flushWakes()
    assert.deepStrictEqual(woken, ["end", "reset"])
    assert.isTrue(two.isFinished)
    assert.strictEqual(one.resetCode, 5)
  })

  it("a writer waits at the send buffer's size and goes on when a quarter of it is free", () => {
    const { client } = pair({ streamSendBuffer: 4000 })
    const stream = client.table.open(false)!
    assert.strictEqual(stream.writableBytes, 4000)
    stream.write(content(0, 4400))
    assert.strictEqual(stream.writableBytes, 0)
    let woken = 0
    stream.writeWaiter = () => woken++
    const packets = [client.packet()!, client.packet()!, client.packet()!, client.packet()!]
    client.acked(packets[0]!)
    client.table.flushWakes()
    assert.strictEqual(woken, 0)
    client.acked(packets[1]!)
    assert.strictEqual(woken, 0)
    client.table.flushWakes()
    assert.strictEqual(woken, 1)
    assert.isAbove(stream.writableBytes, 1000)
  })

  it("C3: above 4 MB the buffer grows with what the paths hold, not with their queues", () => {
    const windows = { initialStreamWindow: 100e6, initialConnectionWindow: 100e6 }
    const chunk = new Uint8Array(65_536)
    /** Bytes that a writer who never stops gets under way when nothing is acknowledged. */
    const underWay = (propagation: number): number => {
      const { client } = pair({ ...windows, streamSendBuffer: 32e6 })
      client.table.propagation = propagation
      const stream = client.table.open(false)!
      for (;;) {
        while (stream.writableBytes > 0) stream.write(chunk)
        if (client.packet(0, 0, 16_000) === undefined) return stream.send!.buffer.unsentOffset
      }
    }
    assert.isBelow(underWay(0.1), 4_194_304 + chunk.length)
    assert.isAbove(underWay(0.9), 32e6)
  })

  it("what may be written is whole bytes, so that writing as much as there is room for ends", () => {
    const windows = { initialStreamWindow: 100e6, initialConnectionWindow: 100e6 }
    const { client } = pair({ ...windows, streamSendBuffer: 32e6 })
    client.table.propagation = 0.4001
    const stream = client.table.open(false)!
    do {
      while (stream.writableBytes > 0) {
        assert.isTrue(Number.isInteger(stream.writableBytes), `${stream.writableBytes}`)
        stream.write(new Uint8Array(Math.min(stream.writableBytes, 65_536)))
      }
    } while (client.packet(0, 0, 16_000) !== undefined)
    assert.isAbove(stream.send!.buffer.unsentOffset, 8e6)
  })

  it("C3: the buffer grows with what is under way, up to the setting, and a writer goes on when bytes leave", () => {
    const windows = { initialStreamWindow: 100e6, initialConnectionWindow: 100e6 }
    const { client } = pair({ ...windows, streamSendBuffer: 8e6 })
    const stream = client.table.open(false)!
    const first = stream.writableBytes
    assert.strictEqual(first, 1_048_576)
    const chunk = new Uint8Array(65_536)
    const packets: Array<Packet> = []
    let wakes = 0
    const fill = (): void => {
      while (stream.writableBytes > 0) stream.write(chunk)
      stream.writeWaiter = () => {
        wakes++
        fill()
      }
    }
    fill()
    const send = (bytes: number): void => {
      for (let sent = 0; sent < bytes; sent += 1197) {
        const packet = client.packet()
        if (packet === undefined) break
        packets.push(packet)
        client.table.flushWakes()
      }
    }
    send(900_000)
    assert.isAbove(wakes, 0, "before anything is acknowledged")
    assert.isAbove(client.table.queuedBytes, 700_000)
    for (let more = 1_000_000; more < 7_000_000; more += 1_000_000) {
      send(1_000_000)
      const underWay = stream.send!.buffer.unsentOffset
      assert.isAtLeast(client.table.queuedBytes, Math.min(0.45 * underWay, 8e6 - underWay - 2e6))
      assert.isAtMost(stream.bufferedBytes, Math.min(Math.max(2 * underWay, underWay + first), 8e6) + chunk.length)
    }
    assert.isAtMost(wakes, 40)
    send(20_000_000)
    assert.isAtMost(stream.bufferedBytes, 8e6 + chunk.length)
    for (const packet of packets) client.acked(packet)
    client.table.flushWakes()
    assert.isAtMost(stream.bufferedBytes, first + chunk.length)
  })

  it("a writer waits while all streams together hold too much, but an empty stream gets its turn", () => {
    const { client } = pair({
      streamSendBuffer: 4000,
      maxUniStreams: 100,
      initialConnectionWindow: 100_000,
      initialStreamWindow: 10_000
    })
    const streams = Array.from({ length: 3 }, () => client.table.open(false)!)
    for (const stream of streams.slice(0, 2)) stream.write(content(0, 4000))
    const last = streams[2]!
    assert.strictEqual(last.writableBytes, 4000)
    last.write(content(0, 10))
    assert.strictEqual(last.writableBytes, 0)
    let woken = 0
    last.writeWaiter = () => woken++
    const packets: Array<Packet> = []
    for (let packet = client.packet(); packet !== undefined; packet = client.packet()) packets.push(packet)
    const others = packets.filter((packet) => framesOf(packet).every((frame) => frame.streamId !== last.id))
    assert.isAtLeast(others.length, 5)
    for (const [at, packet] of others.entries()) {
      client.acked(packet)
      client.table.flushWakes()
      assert.strictEqual(woken, client.table.bufferedBytes <= 6000 ? 1 : 0, `after packet ${at}`)
    }
    assert.strictEqual(woken, 1)
    assert.strictEqual(last.bufferedBytes, 10)
  })

  it("C3: who waits for nothing but the others goes on in turn, and no more at a time than there is room for", () => {
    const count = 1000
    const { client } = pair({
      streamSendBuffer: 1_000_000,
      maxUniStreams: count + 4,
      initialConnectionWindow: 100e6,
      initialStreamWindow: 2_000_000
    })
    const { table } = client
    const packets = (): Array<Packet> => {
      const all: Array<Packet> = []
      for (let packet = client.packet(); packet !== undefined; packet = client.packet()) all.push(packet)
      return all
    }
    // Each holds ten bytes that are acknowledged last.
    const small = Array.from({ length: count }, () => table.open(false)!)
    for (const stream of small) stream.write(content(0, 10))
    const first = packets()
    // This one has filled its own buffer before the others came.
    const full = table.open(false)!
    full.write(content(0, 1_000_000))
    let fullWoken = 0
    full.writeWaiter = () => fullWoken++
    const own = packets()
    const large = [table.open(false)!, table.open(false)!]
    for (const stream of large) stream.write(content(0, 1_000_000))
    const others = packets()
    const order: Array<number> = []
    let calls = 0
    for (const [at, stream] of small.entries()) {
      assert.strictEqual(stream.writableBytes, 0)
      const step = (): void => {
        calls++
        if (stream.writableBytes === 0) stream.writeWaiter = step
        else {
          stream.write(new Uint8Array(10_000))
          order.push(at)
        }
      }
      stream.writeWaiter = step
    }
    // Now it has room of its own, and waits for the others, too.
    for (const packet of own.slice(0, own.length / 2)) client.acked(packet)
    table.flushWakes()
    assert.strictEqual(fullWoken, 0)
    assert.strictEqual(calls, 0)
    for (const packet of others) {
      client.acked(packet)
      table.flushWakes()
      assert.isAtMost(table.bufferedBytes, 2_600_000)
    }
    assert.isAbove(order.length, 100)
    assert.deepStrictEqual(
      order,
      Array.from(order, (_, place) => place)
    )
    assert.strictEqual(calls, order.length)
    for (let rest = [...first, ...own, ...packets()]; rest.length > 0; rest = packets()) {
      for (const packet of rest) client.acked(packet)
      table.flushWakes()
    }
    assert.strictEqual(fullWoken, 1)
    assert.strictEqual(order.length, count)
  })

  it("flushed: when all is acknowledged, or never will be", () => {
    const { client } = pair()
    const stream = client.table.open(false)!
    const other = client.table.open(false)!
    stream.write(content(0, 100))
    stream.finish()
    other.write(content(0, 100))
    const woken: Array<string> = []
    stream.flushWaiter = () => woken.push("acknowledged")
    other.flushWaiter = () => woken.push("reset")
    const packet = client.packet()!
    client.table.flushWakes()
    assert.deepStrictEqual(woken, [])
    other.reset(1)
    client.table.flushWakes()
    assert.deepStrictEqual(woken, ["reset"])
    assert.isFalse(other.isFlushed)
    client.acked(packet)
    client.table.flushWakes()
    assert.deepStrictEqual(woken, ["reset", "acknowledged"])
    assert.isTrue(stream.isFlushed)
  })

  it("STOP_SENDING wakes the writer", () => {
    const { client } = pair()
    const stream = client.table.open(false)!
    let woken = 0
    stream.writeWaiter = () => woken++
    client.table.onStopSending(stream.id, 5)
    client.table.flushWakes()
    assert.strictEqual(woken, 1)
    assert.isFalse(stream.isWritable)
  })

  it("acceptors and openers are woken by streams and by MAX_STREAMS", () => {
    const { client, server } = pair({}, { maxBidiStreams: 0 })
    const woken: Array<string> = []
    server.table.setAcceptWaiter(false, () => woken.push("accept"))
    server.table.setAcceptWaiter(true, () => woken.push("wrong type"))
    client.table.setOpenWaiter(true, () => woken.push("open"))
    client.table.open(false)!.finish()
    settle(client, server)
    assert.deepStrictEqual(woken, ["accept"])
    client.table.onMaxStreams(true, 1)
    assert.strictEqual(woken.length, 1)
    client.table.flushWakes()
    assert.deepStrictEqual(woken, ["accept", "open"])
    client.table.onMaxStreams(true, 2)
    client.table.flushWakes()
    assert.strictEqual(woken.length, 2)
  })

  it("a waiter may read, wait again and flush", () => {
    const { server } = pair()
    const { table } = server
    table.onStreamFrame(4, 0, content(0, 10), 0, 10, false, 0)
    const one = table.accept(true)!
    const two = table.accept(true)!
    two.readAll()
    const seen: Array<number> = []
    const read = (): void => {
      const bytes = two.read()
      if (bytes !== undefined) seen.push(bytes.length)
      two.readWaiter = read
      if (seen.length === 1) table.onStreamFrame(4, 30, content(30, 7), 0, 7, false, 0)
      one.readWaiter = () => seen.push(-1)
      table.flushWakes()
    }
    two.readWaiter = read
    table.onStreamFrame(4, 10, content(10, 20), 0, 20, false, 0)
    table.flushWakes()
    assert.deepStrictEqual(seen, [20, 7])
    table.onResetStream(0, 0, 0, 0)
    table.flushWakes()
    assert.deepStrictEqual(seen, [20, 7, -1])
  })

  it("A2: waiters that flush are called one after the other, not inside of each other", () => {
    const { client, server } = pair({ maxBidiStreams: 10_000, initialConnectionWindow: 1_000_000 })
    const { table } = server
    let depth = 0
    let deepest = 0
    let woken = 0
    const waiter = (): void => {
      depth++
      woken++
      deepest = Math.max(deepest, depth)
      table.flushWakes()
      depth--
    }
    for (let count = 0; count < 10_000; count++) client.table.open(true)!.write(content(0, 10))
    settle(client, server)
    for (let stream = table.accept(true); stream !== undefined; stream = table.accept(true)) {
      stream.readAll()
      stream.readWaiter = stream.writeWaiter = stream.flushWaiter = waiter
    }
    table.setAcceptWaiter(true, waiter)
    table.close("gone")
    table.flushWakes()
    assert.strictEqual(woken, 30_001)
    assert.strictEqual(deepest, 1)
  })

  it("A2: a waiter that throws leaves the others to the next flush", () => {
    const { server } = pair()
    const { table } = server
    table.onStreamFrame(4, 0, content(0, 1), 0, 1, false, 0)
    const woken: Array<string> = []
    for (const [at, stream] of [table.accept(true)!, table.accept(true)!].entries()) {
      stream.readWaiter = () => {
        woken.push(`${at}`)
        if (at === 0) throw new Error("a defect")
      }
    }
    table.close("gone")
    assert.throws(() => table.flushWakes(), "a defect")
    table.flushWakes()
    assert.deepStrictEqual(woken, ["0", "1"])
  })

  it("A2: the end of a stream wakes who waits to write to it", () => {
    const { client } = pair({ streamSendBuffer: 1000 })
    const stream = client.table.open(false)!
    stream.write(content(0, 1000))
    let woken = 0
    stream.writeWaiter = () => woken++
    stream.finish()
    client.table.flushWakes()
    assert.strictEqual(woken, 1)
    assert.isTrue(stream.isWriteSettled)
  })

  it("the end of the connection wakes everybody; what has arrived can still be read, and nothing else works", () => {
    const { server } = pair()
    const { table } = server
    table.onStreamFrame(0, 0, content(0, 10), 0, 10, false, 0)
    const stream = table.accept(true)!
    const woken: Array<string> = []
    stream.readWaiter = () => woken.push("read")
    stream.writeWaiter = () => woken.push("write")
    stream.flushWaiter = () => woken.push("flush")
    for (const bidirectional of [true, false]) {
      table.setOpenWaiter(bidirectional, () => woken.push("open"))
      table.setAcceptWaiter(bidirectional, () => woken.push("accept"))
    }
    table.close("gone")
    table.close("again")
    table.flushWakes()
    assert.sameMembers(woken, ["read", "write", "flush", "open", "open", "accept", "accept"])
    assert.isTrue(stream.closed)
    assert.strictEqual(stream.error, "gone")
    assert.strictEqual(stream.writableBytes, 0)
    assert.isFalse(stream.write(content(0, 1)))
    assert.isFalse(stream.finish())
    assert.isFalse(stream.reset(0))
    assert.isFalse(stream.stopSending(0))
    assert.isUndefined(table.open(true))
    assert.strictEqual(stream.read()!.length, 10)
  })
})
