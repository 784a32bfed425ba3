import { assert, describe, it } from "@effect/vitest"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"
import type { Transmit } from "../../src/internal/wire/Datagram.ts"
import { Trains } from "../../src/testing/internal/Trains.ts"
import type { BoundSocket } from "../../src/UdpSocket.ts"

const book = new AddressBook()
const [here, there, elsewhere] = [1, 2, 3].map((host) => book.intern(`10.0.0.${host}`, host))

/** A socket that keeps what it is given, and says so or not. */
const recorder = (retained = false) => {
  const sent: Array<{ to: string; ecn: number; segment: number; bytes: Uint8Array; copy: Array<number> }> = []
  const socket = {
    local: here!,
    send: ({ bytes, ecn, remote, segmentSize }: Transmit) => {
      sent.push({ to: remote.host, ecn, segment: segmentSize, bytes, copy: [...bytes] })
      return true
    },
    retained: () => retained
  } as unknown as BoundSocket
  return { sent, socket }
}

const datagram = (size: number, fill: number) => new Uint8Array(size).fill(fill)

describe("Trains", () => {
  it("joins datagrams of one way; only the last may be shorter", () => {
    const { sent, socket } = recorder()
    const trains = new Trains()
    for (const [size, fill] of [
      [3, 1],
      [3, 2],
      [2, 3],
      [2, 4],
      [4, 5]
    ] as const) {
      trains.add(socket, there!, datagram(size, fill), 0)
    }
    trains.flush()
    trains.flush()
    assert.deepStrictEqual(
      sent.map(({ copy, segment }) => [segment, copy]),
      [
        [3, [1, 1, 1, 2, 2, 2, 3, 3]],
        [2, [4, 4]],
        [4, [5, 5, 5, 5]]
      ]
    )
  })

  it("keeps ways, sockets, ECN and empty datagrams apart, in order", () => {
    const one = recorder()
    const two = recorder()
    const trains = new Trains()
    trains.add(one.socket, there!, datagram(1, 1), 0)
    trains.add(one.socket, elsewhere!, datagram(1, 2), 0)
    trains.add(one.socket, elsewhere!, datagram(1, 3), 1)
    trains.add(two.socket, elsewhere!, datagram(1, 4), 1)
    trains.add(two.socket, elsewhere!, datagram(0, 0), 1)
    trains.add(two.socket, elsewhere!, datagram(0, 0), 1)
    trains.add(two.socket, elsewhere!, datagram(1, 5), 1)
    trains.flush()
    assert.deepStrictEqual(
      one.sent.map(({ copy, ecn, to }) => [to, ecn, copy]),
      [
        ["10.0.0.2", 0, [1]],
        ["10.0.0.3", 0, [2]],
        ["10.0.0.3", 1, [3]]
      ]
    )
    assert.deepStrictEqual(
      two.sent.map(({ copy }) => copy),
      [[4], [], [], [5]]
    )
  })

  it("sends no more at a time than sockets take", () => {
    const { sent, socket } = recorder()
    const trains = new Trains()
    for (let i = 0; i < 200; i++) trains.add(socket, there!, datagram(1200, i), 0)
    trains.flush()
    assert.strictEqual(
      sent.reduce((sum, { bytes }) => sum + bytes.length, 0),
      200 * 1200
    )
    for (const { bytes } of sent) assert.isAtMost(bytes.length, Math.min(65_507, 64 * 1200))
  })

  it("does not write over what a socket still needs", () => {
    const { sent, socket } = recorder(true)
    const trains = new Trains()
    for (let i = 1; i <= 3; i++) {
      trains.add(socket, there!, datagram(2, i), 0)
      trains.flush()
    }
    for (const { bytes, copy } of sent) assert.deepStrictEqual([...bytes], copy)
  })
})
