/** What peers can do on the wire within the rules, over and over: each costs the other side a bounded amount. */
import { assert, describe, it } from "@effect/vitest"
import { SentFrameKind, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import { writePathRetireConnectionId, writePing } from "../../src/internal/wire/FrameWriter.ts"
import type { TransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import { forge, frames, inject, sendRaw } from "../support/Hostile.ts"
import { awaitPath, closePath, connected, openPath, withPaths } from "../support/Multipath.ts"
import { Pair } from "../support/Machines.ts"
import type { PairOptions } from "../support/Machines.ts"
import { establish, established, send } from "../support/Scenario.ts"

describe("Peers that keep to the rules and mean harm", () => {
  it("W2: a peer that comes from two proven addresses in turns gets no new window for each packet", () => {
    const link = { mbps: 5, delay: 50, queue: 50 }
    const settings = { initialStreamWindow: 64e6, initialConnectionWindow: 64e6, maxStreamWindow: 64e6 }
    const pair = established({
      links: [link, link],
      client: { settings: { ...settings, maxConnectionWindow: 64e6 } },
      server: { settings: { streamSendBuffer: 64e6 } }
    })
    const [first, second] = pair.client.addresses
    const server = pair.server.addresses[0]!
    send(pair.accepted, pair.connection, 50_000_000)
    pair.run(pair.simulator.now + 500)
    // It moves to the second address, and stays until that is proven.
    let from = second!
    pair.client.tap = (bytes, _from, to) => {
      sendRaw(pair.simulator, from, to, bytes.slice())
      return false
    }
    pair.run(pair.simulator.now + 1000)
    assert.strictEqual(pair.accepted.path(0)!.remote, second)
    assert.isTrue(pair.accepted.path(0)!.validated)
    let sent = 0
    pair.server.tap = (bytes) => {
      sent += bytes.length
      return true
    }
    const time = 4000
    for (let ms = 0; ms < time; ms += 4) {
      from = from === first ? second! : first!
      sendRaw(pair.simulator, from, server, forge(pair.connection, frames(writePing), pair.simulator.now))
      pair.run(pair.simulator.now + 4)
    }
    // What both links carry together; it was 250 packets a second times 12 kB.
    assert.isBelow((sent * 8) / time / 1000, 10)
    assert.strictEqual(pair.accepted.state, "established")
  })

  for (const dead of ["server", "client"] as const) {
    it(`W3: an idle connection with a path on which nothing of the ${dead} gets through idles out`, () => {
      const settings = { idleTimeout: 5000 }
      const pair = withPaths({ settings })
      const host = pair.client.addresses[0]!.host
      pair[dead].tap = (_bytes, from, to) => from.host !== host && to.host !== host
      const up = dead === "client"
      const incoming = send(up ? pair.connection : pair.accepted, up ? pair.accepted : pair.connection, 100_000)
      pair.run(pair.simulator.now + 60_000)
      assert.isTrue(incoming.finished)
      assert.strictEqual(pair.connection.state, "closed")
      assert.strictEqual(pair.accepted.state, "closed")
      assert.deepStrictEqual(
        [...pair.client.closes, ...pair.server.closes].map(({ kind }) => kind),
        ["idleTimeout", "idleTimeout"]
      )
    })
  }

  it("W4: packets to retired IDs of paths that are gone leave nothing behind", () => {
    const pair = connected()
    const keys = pair.accepted.core.handshake.oneRtt!
    for (let round = 0; round < 10; round++) {
      const id = openPath(pair, 1)
      awaitPath(pair, id)
      const ids = pair.accepted.path(id)!.localIds.ids.slice(1)
      closePath(pair, pair.connection, id)
      pair.run(pair.simulator.now + 30)
      // It gives them back after it has closed the path, so that they are routed for longer than the path is there.
      inject(
        pair.simulator,
        pair.connection,
        frames((w) => ids.forEach(({ sequence }) => writePathRetireConnectionId(w, id, sequence)))
      )
      assert.isAtLeast(
        pair.until(() => pair.accepted.path(id) === undefined, pair.simulator.now + 10_000, 0.1),
        0
      )
      for (const { bytes } of ids) {
        const datagram = new Uint8Array(60)
        datagram[0] = 0x40
        datagram.set(bytes, 1)
        sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, datagram)
      }
      pair.run(pair.simulator.now + 100)
    }
    assert.strictEqual(pair.server.endpoint.stats().drops.unknownConnection, 0)
    assert.strictEqual(keys.pathCount, 1)
  })

  for (const limited of ["client", "server"] as const) {
    it(`W6: a ${limited} that takes datagrams of 1200 bytes gets none that are larger, whatever initialMtu says`, () => {
      const other = limited === "client" ? "server" : "client"
      const pair = new Pair({
        [limited]: { parameters: (own: TransportParameters) => ({ ...own, maxUdpPayloadSize: 1200 }) },
        [other]: { settings: { initialMtu: 1400 } }
      } satisfies PairOptions)
      let largest = 0
      assert.isAbove(establish(pair), 0)
      pair[other].tap = (bytes) => {
        largest = Math.max(largest, bytes.length)
        return bytes.length <= 1200
      }
      const from = other === "client" ? pair.connection : pair.accepted
      const incoming = send(from, other === "client" ? pair.accepted : pair.connection, 100_000)
      pair.run(pair.simulator.now + 3000)
      assert.isTrue(incoming.finished)
      assert.strictEqual(largest, 1200)
    })
  }

  it("W5: PATH_ABANDON that a peer never acknowledges is kept of a bounded number of paths that are gone", () => {
    const pair = connected()
    const { paths } = pair.accepted.core
    const before = paths.stateSize
    const pool = new SentFramePool()
    Object.defineProperty(paths, "isDiscarded", { value: () => true })
    for (let pathId = 10; pathId < 1000; pathId++) {
      const frame = pool.take(SentFrameKind.pathAbandon)
      frame.pathId = pathId
      frame.value = 0
      paths.frames.onLost(frame)
    }
    assert.isAtMost(paths.stateSize - before, 64)
  })
})
