import { assert, describe, it } from "@effect/vitest"
import { DatagramQueue } from "../../src/internal/streams/DatagramQueue.ts"
import { content } from "./support.ts"

const of = (value: number, length = 1): Uint8Array => new Uint8Array(length).fill(value)
const room = 1200

describe("DatagramQueue (RFC 9221)", () => {
  it("sends in order and only what fits", () => {
    const queue = new DatagramQueue(8, 10_000)
    assert.isFalse(queue.hasOutgoing)
    queue.push(of(1, 500))
    queue.push(of(2, 100))
    assert.isUndefined(queue.next(499, 0), "the order is kept")
    assert.strictEqual(queue.next(500, 0)![0], 1)
    assert.strictEqual(queue.next(room, 0)![0], 2)
    assert.isUndefined(queue.next(room, 0))
    assert.strictEqual(queue.outgoingBytes, 0)
    assert.strictEqual(queue.sent, 2)
  })

  it("refuses what exceeds its count or its bytes, and wakes the writer at half", () => {
    const queue = new DatagramQueue(4, 1000)
    for (let value = 0; value < 4; value++) assert.isTrue(queue.push(of(value)))
    assert.isFalse(queue.push(of(9)))
    let woken = 0
    queue.writeWaiter = () => woken++
    queue.next(room, 0)
    queue.flushWakes()
    assert.strictEqual(woken, 0)
    queue.next(room, 0)
    queue.flushWakes()
    assert.strictEqual(woken, 1)
    queue.next(room, 0)
    queue.next(room, 0)
    assert.isTrue(queue.push(of(1, 900)))
    assert.isFalse(queue.push(of(1, 101)))
    assert.isTrue(queue.push(of(1, 100)))
    while (queue.next(room, 0) !== undefined);
    assert.isTrue(queue.push(of(1, 5000)), "an empty queue takes one of any size")
  })

  it("drops what no packet of the path can hold any more", () => {
    const queue = new DatagramQueue(4, 10_000)
    queue.push(of(1, 1300))
    queue.push(of(2, 100))
    assert.strictEqual(queue.next(1000, 0, 1150)![0], 2)
    assert.strictEqual(queue.droppedOutgoing, 1)
    assert.isFalse(queue.hasOutgoing)
    queue.push(of(3))
    assert.strictEqual(queue.next(room, 0)![0], 3)
  })

  it("keeps datagrams to their path, past which others may go", () => {
    const queue = new DatagramQueue(8, 10_000)
    queue.push(of(1), 1)
    assert.isFalse(queue.hasOutgoingFor(0))
    assert.isTrue(queue.hasOutgoingFor(1))
    queue.push(of(2))
    queue.push(of(3), 1)
    assert.isTrue(queue.hasOutgoingFor(0))
    assert.strictEqual(queue.next(room, 0)![0], 2)
    assert.isUndefined(queue.next(room, 0))
    queue.push(of(4), 2)
    queue.onPathClosed(1)
    assert.strictEqual(queue.droppedOutgoing, 2)
    assert.isUndefined(queue.next(room, 1))
    assert.strictEqual(queue.next(room, 2)![0], 4)
    assert.isFalse(queue.hasOutgoing)
    queue.push(of(5))
    assert.strictEqual(queue.next(room, 0)![0], 5)
  })

  it("gives received datagrams as they came, in memory of their own", () => {
    const queue = new DatagramQueue(200, 10_000)
    const packet = new Uint8Array(1200)
    for (let value = 0; value < 150; value++) {
      packet.set(content(value, 700), 50)
      queue.onReceived(packet, 50, 700)
    }
    queue.onReceived(packet, 50, 0)
    packet.fill(0)
    for (let value = 0; value < 150; value++) {
      const bytes = queue.read()!
      assert.deepStrictEqual(bytes, content(value, 700))
      bytes.fill(0xff)
    }
    assert.strictEqual(queue.read()!.length, 0)
    assert.isUndefined(queue.read())
  })

  it("drops the oldest when full, and counts it", () => {
    const queue = new DatagramQueue(3, 10_000)
    for (let value = 0; value < 5; value++) queue.onReceived(of(value), 0, 1)
    assert.strictEqual(queue.incomingCount, 3)
    assert.strictEqual(queue.droppedIncoming, 2)
    assert.deepStrictEqual([queue.read()![0], queue.read()![0], queue.read()![0], queue.read()], [2, 3, 4, undefined])
  })

  it("wakes the reader once at the end of a burst, and everybody when the connection ends", () => {
    const queue = new DatagramQueue(3, 10_000)
    const woken: Array<string> = []
    queue.readWaiter = () => woken.push("read")
    queue.onReceived(of(1), 0, 1)
    queue.onReceived(of(2), 0, 1)
    assert.deepStrictEqual(woken, [])
    queue.flushWakes()
    queue.flushWakes()
    assert.deepStrictEqual(woken, ["read"])
    queue.readWaiter = () => woken.push("read")
    queue.writeWaiter = () => woken.push("write")
    queue.push(of(3))
    queue.close()
    queue.flushWakes()
    assert.deepStrictEqual(woken, ["read", "read", "write"])
    assert.isFalse(queue.hasOutgoing)
    assert.isFalse(queue.push(of(4)))
    assert.strictEqual(queue.read()![0], 1)
  })
})
