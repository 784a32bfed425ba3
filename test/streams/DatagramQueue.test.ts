import { assert, describe, it } from "@effect/vitest"
import { DatagramQueue } from "../../src/internal/streams/DatagramQueue.ts"
import { datagramHeaderLength, datagramRoom } from "../../src/internal/wire/FrameWriter.ts"
import { content } from "./support.ts"

const of = (value: number, length = 1): Uint8Array => new Uint8Array(length).fill(value)
const room = 1200

describe("DatagramQueue (RFC 9221)", () => {
  it("sends in order and only what fits", () => {
    const queue = new DatagramQueue({ capacity: 8, maxOutgoingBytes: 10_000 })
    assert.isFalse(queue.hasOutgoing)
    queue.push(of(1, 500))
    queue.push(of(2, 100))
    assert.isUndefined(queue.next(502, 0), "the order is kept")
    assert.strictEqual(queue.next(503, 0)![0], 1)
    assert.strictEqual(queue.next(room, 0)![0], 2)
    assert.isUndefined(queue.next(room, 0))
    assert.strictEqual(queue.outgoingBytes, 0)
    assert.strictEqual(queue.sent, 2)
  })

  it("refuses what exceeds its count or its bytes, and wakes the writer at half", () => {
    const queue = new DatagramQueue({ capacity: 4, maxOutgoingBytes: 1000 })
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
    assert.isTrue(queue.push(of(1, 101)))
    assert.isFalse(queue.push(of(1, 1)))
    assert.isFalse(queue.isWriteSettled)
    while (queue.next(room, 0) !== undefined);
    assert.isTrue(queue.push(of(1, 5000)), "an empty queue takes one of any size")
  })

  it("drops what no packet of the path can hold any more", () => {
    const queue = new DatagramQueue({ capacity: 4, maxOutgoingBytes: 10_000 })
    queue.push(of(1, 1300))
    queue.push(of(2, 100))
    assert.strictEqual(queue.next(1000, 0, 1150)![0], 2)
    assert.strictEqual(queue.droppedOutgoing, 1)
    assert.isFalse(queue.hasOutgoing)
    queue.push(of(3))
    assert.strictEqual(queue.next(room, 0)![0], 3)
  })

  it("keeps datagrams to their path, past which others may go", () => {
    const queue = new DatagramQueue({ capacity: 8, maxOutgoingBytes: 10_000 })
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

  it("A8: those bound to a path keep their order among the others, and can be asked for alone", () => {
    const queue = new DatagramQueue({ capacity: 8, maxOutgoingBytes: 10_000 })
    for (const [value, path] of [[1], [2, 1], [3], [4, 1], [5, 2]]) queue.push(of(value!), path)
    assert.deepStrictEqual([queue.hasBound(0), queue.hasBound(1), queue.hasBound(2)], [false, true, true])
    assert.strictEqual(queue.next(room, 2, room, true)![0], 5)
    assert.isUndefined(queue.next(room, 2, room, true))
    assert.strictEqual(queue.next(room, 1)![0], 1)
    assert.strictEqual(queue.next(room, 1)![0], 2)
    assert.strictEqual(queue.next(room, 1, room, true)![0], 4, "past what another path can carry")
    assert.isFalse(queue.hasBound(1))
    assert.strictEqual(queue.next(room, 1)![0], 3)
    assert.isFalse(queue.hasOutgoing)
  })

  it("A8: those of a path that closes leave, wake who waits, and none is taken for it any more", () => {
    const open = new Set([0, 1])
    const queue = new DatagramQueue({ capacity: 4, maxOutgoingBytes: 10_000, isOpen: (id) => open.has(id) })
    for (let count = 0; count < 4; count++) assert.isTrue(queue.push(of(count), 1))
    assert.isFalse(queue.push(of(4)))
    let woken = 0
    queue.writeWaiter = () => woken++
    open.delete(1)
    queue.onPathClosed(1)
    queue.flushWakes()
    assert.strictEqual(woken, 1)
    assert.deepStrictEqual([queue.hasOutgoing, queue.hasOutgoingFor(1), queue.hasBound(1)], [false, false, false])
    assert.strictEqual(queue.droppedOutgoing, 4)
    assert.isTrue(queue.push(of(5), 1))
    assert.deepStrictEqual([queue.hasOutgoing, queue.droppedOutgoing], [false, 5])
    for (let count = 0; count < 4; count++) queue.push(of(count), 0)
    queue.writeWaiter = () => woken++
    queue.onPathClosed(2)
    queue.flushWakes()
    assert.strictEqual(woken, 2, "who waits to send on the path that closed learns of it, although the queue is full")
  })

  it("C13: counts the whole header of a frame, also above 16,383 bytes", () => {
    const queue = new DatagramQueue({ capacity: 8, maxOutgoingBytes: 1_000_000 })
    for (const [length, header] of [
      [63, 2],
      [64, 3],
      [16_383, 3],
      [16_384, 5],
      [65_000, 5]
    ] as const) {
      queue.push(of(1, length))
      assert.isUndefined(queue.next(length + header - 1, 0), `${length}`)
      assert.strictEqual(queue.next(length + header, 0)!.length, length)
      assert.strictEqual(length, datagramRoom(length + header))
      queue.push(of(1, length))
      assert.isUndefined(queue.next(room, 0, length + header - 1))
      assert.isFalse(queue.hasOutgoing)
    }
    for (let size = 2; size < 17_000; size++) {
      const length = datagramRoom(size)
      assert.isAtMost(length + datagramHeaderLength(length), size)
      assert.isAbove(length + 1 + datagramHeaderLength(length + 1), size)
    }
  })

  it("C13: one that is too large for the path that is asked leaves on another one, and holds up nobody", () => {
    let largest = 1400
    const queue = new DatagramQueue({ capacity: 8, maxOutgoingBytes: 10_000, largestFrame: () => largest })
    queue.push(of(1, 1300))
    queue.push(of(2, 1350))
    queue.push(of(3, 100))
    assert.strictEqual(queue.next(room, 0, 1150)![0], 3)
    assert.isUndefined(queue.next(room, 0, 1150))
    assert.isFalse(queue.hasOutgoingFor(0, 1150), "the path need not be asked again")
    assert.isTrue(queue.hasOutgoingFor(1, 1400))
    queue.push(of(4, 100))
    assert.strictEqual(queue.next(room, 0, 1150)![0], 4)
    assert.strictEqual(queue.next(1400, 1, 1400)![0], 1)
    largest = 1150
    assert.isTrue(queue.hasOutgoingFor(0, 1150))
    assert.isUndefined(queue.next(room, 0, 1150))
    assert.strictEqual(queue.droppedOutgoing, 1)
    assert.isFalse(queue.hasOutgoing)
  })

  it("gives received datagrams as they came, in memory of their own", () => {
    const queue = new DatagramQueue({ capacity: 200, maxOutgoingBytes: 10_000 })
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
    const queue = new DatagramQueue({ capacity: 3, maxOutgoingBytes: 10_000 })
    for (let value = 0; value < 5; value++) queue.onReceived(of(value), 0, 1)
    assert.strictEqual(queue.incomingCount, 3)
    assert.strictEqual(queue.droppedIncoming, 2)
    assert.deepStrictEqual([queue.read()![0], queue.read()![0], queue.read()![0], queue.read()], [2, 3, 4, undefined])
  })

  it("wakes the reader once at the end of a burst, and everybody when the connection ends", () => {
    const queue = new DatagramQueue({ capacity: 3, maxOutgoingBytes: 10_000 })
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
