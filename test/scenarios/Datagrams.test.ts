/** Unreliable datagrams (RFC 9221). */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { writeDatagramHeader } from "../../src/internal/wire/FrameWriter.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { frames, inject } from "../support/Hostile.ts"
import { pattern } from "../support/Machines.ts"
import { established, exchange, seeds, transportCode } from "../support/Scenario.ts"

const readAll = (connection: Connection): Array<Uint8Array> => {
  const all: Array<Uint8Array> = []
  for (let bytes = connection.datagrams.read(); bytes !== undefined; bytes = connection.datagrams.read())
    all.push(bytes)
  return all
}

const numbered = (n: number, length: number): Uint8Array => {
  const bytes = pattern(n, length)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}

describe("RFC 9221: datagrams", () => {
  it("arrive whole and in order over a clean link, both ways, up to the largest size", () => {
    const pair = established()
    pair.run(pair.simulator.now + 500)
    const largest = pair.connection.maxDatagramSize()
    assert.isAbove(largest, 1400)
    for (const [from, to] of [
      [pair.connection, pair.accepted],
      [pair.accepted, pair.connection]
    ] as const) {
      const sizes = [4, 100, 1000, largest - 1, largest]
      for (const [i, size] of sizes.entries()) assert.isTrue(from.datagrams.push(numbered(i, size)))
      from.wake()
      pair.run(pair.simulator.now + 50)
      assert.deepStrictEqual(
        readAll(to),
        sizes.map((size, i) => numbered(i, size))
      )
    }
  })

  it("C13: above 16,383 bytes, where the Length field is longer, up to the largest size", () => {
    const settings = { initialMtu: 20_000, maxMtu: 20_000 }
    for (const maxDatagramFrameSize of [65_535, 16_385, 16_386, 16_387, 16_390]) {
      const pair = established({
        client: { settings },
        server: { settings: { ...settings, maxDatagramFrameSize } }
      })
      const largest = pair.connection.maxDatagramSize()
      assert.isAbove(largest, 16_381)
      const sizes = [16_382, largest - 1, largest]
      for (const [i, size] of sizes.entries()) pair.connection.datagrams.push(numbered(i, size))
      pair.connection.wake()
      pair.run(pair.simulator.now + 500)
      assert.deepStrictEqual(
        readAll(pair.accepted),
        sizes.map((size, i) => numbered(i, size)),
        `${maxDatagramFrameSize}`
      )
      assert.deepStrictEqual(pair.client.closes, [])
    }
  })

  it("an empty datagram is one", () => {
    const pair = established()
    pair.connection.datagrams.push(new Uint8Array(0))
    pair.connection.wake()
    pair.run(pair.simulator.now + 50)
    assert.deepStrictEqual(readAll(pair.accepted), [new Uint8Array(0)])
  })

  it("what is lost stays lost, what arrives is right, and none comes twice", () => {
    for (const seed of seeds(10)) {
      const pair = established({ seed, links: [{ delay: 10, loss: 0.1, reorder: 0.1, duplicate: 0.1 }] })
      const sent = 500
      const seen = new Set<number>()
      const read = (): void => {
        for (const bytes of readAll(pair.accepted)) {
          const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
          assert.deepStrictEqual(bytes, numbered(number, 200 + (number % 50)))
          assert.isFalse(seen.has(number), `seed ${seed}`)
          seen.add(number)
        }
      }
      for (let n = 0; n < sent; n++) {
        pair.connection.datagrams.push(numbered(n, 200 + (n % 50)))
        pair.connection.wake()
        pair.run(pair.simulator.now + 10)
        read()
      }
      pair.run(pair.simulator.now + 500)
      read()
      assert.isAbove(seen.size, sent * 0.8, `seed ${seed}`)
      assert.isBelow(seen.size, sent * 0.97, `seed ${seed}`)
    }
  })

  it("5.4: they keep to the congestion window; the queue is full, and says when there is room again", () => {
    const pair = established({ links: [{ mbps: 5, delay: 20, queue: 20 }] })
    let pushed = 0
    let refused = 0
    const total = 2000
    const step = (): void => {
      while (pushed < total) {
        if (!pair.connection.datagrams.push(numbered(pushed, 1000))) {
          refused++
          pair.connection.datagrams.writeWaiter = step
          break
        }
        pushed++
      }
      pair.connection.wake()
    }
    step()
    assert.strictEqual(pushed, 128)
    let received = 0
    const start = pair.simulator.now
    pair.until(() => {
      received += readAll(pair.accepted).length
      return pushed === total && !pair.connection.datagrams.hasOutgoing
    }, start + 20_000)
    pair.run(pair.simulator.now + 200)
    received += readAll(pair.accepted).length
    assert.isAbove(refused, 5)
    assert.isAbove(received, total * 0.9)
    // 16 Mbit over 5 Mbit/s.
    assert.isAbove(pair.simulator.now - start, 3000)
    assert.strictEqual(pair.connection.stats().datagramsDropped, 0)
  })

  it("a reader that is late gets the newest, and the loss of the others is counted", () => {
    const pair = established({ server: { settings: { datagramQueue: 10 } } })
    for (let n = 0; n < 100; n++) pair.connection.datagrams.push(numbered(n, 100))
    pair.connection.wake()
    pair.run(pair.simulator.now + 200)
    const numbers = readAll(pair.accepted).map((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0))
    assert.deepStrictEqual(
      numbers,
      Array.from({ length: 10 }, (_, i) => 90 + i)
    )
    assert.strictEqual(pair.accepted.stats().datagramsDropped, 90)
  })

  it("3: without the peer's max_datagram_frame_size there are none; what it sends us is bounded by ours", () => {
    const pair = established({ client: { settings: { maxDatagramFrameSize: 0 } } })
    assert.strictEqual(pair.accepted.maxDatagramSize(), 0)
    assert.isAbove(pair.connection.maxDatagramSize(), 1000)
    inject(
      pair.simulator,
      pair.accepted,
      frames((w) => {
        writeDatagramHeader(w, 1, true)
        w.uint8(1)
      })
    )
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(transportCode(pair.server), TransportError.protocolViolation)
  })

  it("3: a DATAGRAM frame larger than we said is PROTOCOL_VIOLATION, one of just that size is not", () => {
    const limit = 200
    for (const [payload, fine] of [
      [limit - 3, true],
      [limit - 2, false]
    ] as const) {
      const pair = established({ server: { settings: { maxDatagramFrameSize: limit } } })
      assert.strictEqual(pair.connection.maxDatagramSize(), limit - 3)
      inject(
        pair.simulator,
        pair.connection,
        frames((w) => {
          writeDatagramHeader(w, payload, true)
          w.copy(pattern(0, payload))
        })
      )
      pair.run(pair.simulator.now + 100)
      if (fine) assert.deepStrictEqual(readAll(pair.accepted), [pattern(0, payload)])
      else assert.strictEqual(transportCode(pair.client), TransportError.protocolViolation)
    }
  })

  it("streams and datagrams share the link, and neither waits for ever", () => {
    const pair = established({ links: [{ mbps: 10, delay: 10, queue: 50 }] })
    let got = 0
    let on = true
    const step = (): void => {
      if (!on) return
      for (let i = 0; i < 5; i++) pair.connection.datagrams.push(numbered(0, 500))
      pair.connection.wake()
      got += readAll(pair.accepted).length
      pair.simulator.at(pair.simulator.now + 10, step)
    }
    step()
    exchange(pair, 1_000_000, 5000, "beside datagrams")
    on = false
    assert.isAbove(got, 200)
  })

  it("endless datagrams do not starve streams: where both wait, every other packet is for streams first", () => {
    const pair = established({ links: [{ mbps: 2, delay: 100, queue: 20 }] })
    pair.run(pair.simulator.now + 1000)
    const size = pair.connection.maxDatagramSize()
    let on = true
    const refill = (): void => {
      if (!on) return
      while (pair.connection.datagrams.push(numbered(0, size))) continue
      pair.connection.wake()
      pair.simulator.at(pair.simulator.now + 5, refill)
    }
    refill()
    // Half of 2 Mbit/s, and some more.
    exchange(pair, 200_000, 4000, "beside endless datagrams")
    on = false
  })

  it("5: one that no packet of the path can hold any more is dropped and counted, and does not block the next", () => {
    const pair = established({ links: [{ mbps: 40, delay: 10 }] })
    pair.run(pair.simulator.now + 500)
    const large = pair.connection.maxDatagramSize()
    pair.connection.paths[0]!.discovery.current = 1200
    assert.isAbove(large, pair.connection.maxDatagramSize())
    pair.connection.datagrams.push(numbered(1, large))
    pair.connection.datagrams.push(numbered(2, 100))
    pair.connection.wake()
    pair.run(pair.simulator.now + 100)
    assert.deepStrictEqual(readAll(pair.accepted), [numbered(2, 100)])
    assert.strictEqual(pair.connection.stats().datagramsDropped, 1)
    assert.isFalse(pair.connection.datagrams.hasOutgoing)
  })
})
