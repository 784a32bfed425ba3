/** Which datagrams and packets are read, and what the others still count for (RFC 9000 sections 8.1, 12.2, 14.1, 17.3.1). */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { writePadding, writePing } from "../../src/internal/wire/FrameWriter.ts"
import { Level } from "../../src/internal/wire/Protocol.ts"
import { capture, forge, frames, sendRaw } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import { establish, established } from "../support/Scenario.ts"

const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** What the server got of a datagram from the client: packets that were read, and packets that were dropped. */
const deliver = (pair: Pair, bytes: Uint8Array): { readonly read: number; readonly dropped: number } => {
  const { packetsReceived, packetsDropped } = pair.accepted.stats()
  sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, bytes)
  pair.run(pair.simulator.now + 15)
  const after = pair.accepted.stats()
  return { read: after.packetsReceived - packetsReceived, dropped: after.packetsDropped - packetsDropped }
}

/** A server that has read a client's first Initial, and hears nothing more of its own accord. */
const opened = (): Pair => {
  const pair = new Pair()
  let first = true
  pair.client.tap = () => {
    const pass = first
    first = false
    return pass
  }
  pair.server.tap = () => false
  pair.run(15)
  assert.strictEqual(pair.server.accepted.length, 1)
  return pair
}

const initial = (connection: Connection, now: number, unpadded: boolean): Uint8Array =>
  forge(connection, frames(writePing), now, { level: Level.initial, unpadded })

describe("Packets that are not to be read", () => {
  it("B9, 14.1: an Initial in a datagram below 1200 bytes is dropped, not only the first one", () => {
    const pair = opened()
    assert.deepStrictEqual(deliver(pair, initial(pair.connection, pair.simulator.now, true)), { read: 0, dropped: 1 })
    assert.deepStrictEqual(deliver(pair, initial(pair.connection, pair.simulator.now, false)), { read: 1, dropped: 0 })
  })

  it("B9, 14.1: a client reads small ones: a server need not pad what elicits nothing", () => {
    const pair = opened()
    const bytes = initial(pair.accepted, pair.simulator.now, true)
    assert.isBelow(bytes.length, 100)
    sendRaw(pair.simulator, pair.server.addresses[0]!, pair.client.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 15)
    assert.strictEqual(pair.connection.stats().packetsReceived, 1)
  })

  it("B9, 17.3.1: a 1-RTT packet whose fixed bit is 0 is dropped", () => {
    const pair = established()
    pair.run(pair.simulator.now + 200)
    const bytes = forge(pair.connection, frames(writePing), pair.simulator.now)
    bytes[0]! &= ~0x40
    assert.deepStrictEqual(deliver(pair, bytes), { read: 0, dropped: 1 })
    bytes[0]! |= 0x40
    assert.deepStrictEqual(deliver(pair, bytes), { read: 1, dropped: 0 })
  })

  it("B9, 12.2: packets behind the first one of a datagram are for the same connection ID, or dropped", () => {
    const pair = opened()
    const { now } = pair.simulator
    const first = initial(pair.connection, now, false)
    const same = initial(pair.connection, now, true)
    const { remoteIds } = pair.connection.core.paths.primary
    const { active } = remoteIds
    // Another ID that leads to the same connection: the one that the server chose.
    remoteIds.setInitial(pair.accepted.paths[0]!.localIds.ids[0]!.bytes)
    const other = initial(pair.connection, now, true)
    const { read, dropped } = deliver(pair, join(first, other, same))
    assert.deepStrictEqual({ read, dropped }, { read: 2, dropped: 1 })
    remoteIds.setInitial(active!.bytes)
  })

  it("B9, 12.2: nor is a 1-RTT packet to another ID read there", () => {
    const pair = established()
    pair.run(pair.simulator.now + 200)
    const { primary } = pair.connection.core.paths
    // A long header that cannot be read any more, to an ID of the server.
    const id = primary.remoteIds.active!.bytes
    const long = join(Uint8Array.of(0xe0, 0, 0, 0, 1, id.length), id, Uint8Array.of(0, 40), new Uint8Array(40))
    const ping = forge(pair.connection, frames(writePing), pair.simulator.now)
    assert.deepStrictEqual(deliver(pair, join(long, ping)), { read: 1, dropped: 1 })
    pair.connection.core.paths.rotateRemoteId(primary)
    const elsewhere = forge(pair.connection, frames(writePing), pair.simulator.now)
    assert.deepStrictEqual(deliver(pair, join(long, elsewhere)), { read: 0, dropped: 2 })
  })
})

describe("RFC 9000 8.1: what counts for the 3x limit", () => {
  it("B9: datagrams whose packets are all dropped do", () => {
    const pair = opened()
    const path = pair.accepted.core.paths.primary
    const before = path.unvalidatedReceived
    // What was read before: duplicates, and a packet under keys that are wrong.
    const good = initial(pair.connection, pair.simulator.now, false)
    deliver(pair, good)
    deliver(pair, good)
    const damaged = good.slice()
    damaged[600]! ^= 1
    deliver(pair, damaged)
    assert.strictEqual(path.unvalidatedReceived - before, 3 * 1200)
    // From elsewhere nothing counts.
    const other = pair.simulator.addresses.intern("192.0.2.1", 1)
    sendRaw(pair.simulator, other, pair.server.addresses[0]!, good)
    pair.run(pair.simulator.now + 15)
    assert.strictEqual(path.unvalidatedReceived - before, 3 * 1200)
  })

  it("B9: once for a datagram, however many packets it holds", () => {
    const pair = opened()
    const path = pair.accepted.core.paths.primary
    const before = path.unvalidatedReceived
    const { now } = pair.simulator
    const datagram = join(initial(pair.connection, now, false), initial(pair.connection, now, true))
    deliver(pair, datagram)
    assert.strictEqual(path.unvalidatedReceived - before, datagram.length)
  })

  it("B9: a client whose packets arrive damaged gets the server's flight with the next one that counts", () => {
    const pair = new Pair()
    const answers = capture(pair.server)
    let n = 0
    // Every second datagram of the client has one byte wrong.
    pair.client.tap = (bytes) => {
      if (n++ % 2 === 1) bytes[bytes.length >> 1]! ^= 0x55
      return true
    }
    assert.isAbove(establish(pair), 0)
    assert.isAbove(answers.length, 0)
  })

  it("B9, 21.1: a datagram of padding behind a good header gives three times itself and no more", () => {
    const pair = opened()
    const path = pair.accepted.core.paths.primary
    const sent = capture(pair.server)
    const before = path.unvalidatedReceived
    const padded = frames((w) => writePadding(w, 1000))
    const bytes = forge(pair.connection, padded, pair.simulator.now, { level: Level.initial })
    deliver(pair, bytes)
    pair.run(pair.simulator.now + 5000)
    const total = sent.reduce((sum, one) => sum + one.bytes.length, 0)
    assert.isAtMost(total, 3 * (before + bytes.length))
  })
})

describe("RFC 9000 21: what is kept for strangers", () => {
  it("B9: of packets ahead of their keys 16 datagrams, and 24 kB of them", () => {
    for (const [size, most] of [
      [1200, 16],
      [60_000, 0],
      [12_000, 2]
    ] as const) {
      const pair = opened()
      const id = pair.accepted.paths[0]!.localIds.ids[0]!.bytes
      // 1-RTT packets, which nobody can open yet.
      const bytes = new Uint8Array(size)
      bytes.set([0x40, ...id])
      const { packetsDropped } = pair.accepted.stats()
      for (let i = 0; i < 40; i++) deliver(pair, bytes)
      pair.run(pair.simulator.now + 100)
      const dropped = pair.accepted.stats().packetsDropped - packetsDropped
      assert.strictEqual(40 - dropped, most, `${size} bytes each`)
    }
  })
})
