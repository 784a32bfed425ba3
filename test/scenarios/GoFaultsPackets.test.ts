/**
 * What goes wrong in mp-quic-go with keys, numbers and acknowledgements of several paths, and does not here. Sections are those
 * of the study of its code: 2.B nonces, 2.C whose acknowledgement it is, 2.D what leaks from one number space into another.
 *
 * | section | there | tests, where they are not below |
 * | --- | --- | --- |
 * | 2.B | a key seals packet n of each path with the same nonce; with one path, its probes and its end | also crypto/Vectors (NON-1 to NON-4) |
 * | 2.C | a path that nobody told the server of is never acknowledged | also shell/AutoPaths 2.C (a translator) |
 * | 2.C | acknowledgements leave only when the scheduler picks their path | also scenarios/MultipathWayBack |
 * | 2.C | a client bound to a wildcard: a number space at random, a second path from its own address | shell/AutoPaths 2.C |
 * | 2.C | an acknowledgement beyond its space is taken for one of another path | |
 * | 2.D | a path that lags has its packets dropped; numbers decode wrong; a false KEY_UPDATE_ERROR | also crypto/KeyPhases 2.D |
 * | 2.D | marks (ECN) and probe timeouts are counted for all paths together | |
 * | 2.D | a slow path gets no RTT samples | scenarios/Statistics 2.D, scenarios/MultipathScheduling RTT-1 |
 * | 2.D | 0-RTT is never acknowledged | there is no 0-RTT yet |
 * | 2.D | CONNECTION_CLOSE is a duplicate for the peer | also scenarios/MultipathAbandon CLO-1 |
 * | 2.D | packet size discovery and challenges in a space of no path | also scenarios/MultipathScheduling SCN-9 |
 */
import { assert, describe, it } from "@effect/vitest"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { writeAck, writePing } from "../../src/internal/wire/FrameWriter.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { forge, frames, inject, sendRaw } from "../support/Hostile.ts"
import { lowLatency, Pair, roundRobin } from "../support/Machines.ts"
import { awaitPath, connected, equalLinks, openPath, pairOptions, transfer, withPaths } from "../support/Multipath.ts"
import type { MultipathOptions } from "../support/Multipath.ts"
import { ending, establish, exchange, intact, send, transportCode } from "../support/Scenario.ts"
import { Sealed } from "../support/Sealed.ts"
import type { SealedPacket } from "../support/Sealed.ts"

/** Two paths, with all that each side seals. */
const watched = (options: MultipathOptions = {}) => {
  const client = new Sealed()
  const server = new Sealed()
  const pair = new Pair(
    pairOptions({
      ...options,
      client: { ...pairOptions(options).client, protection: client.protection },
      server: { ...pairOptions(options).server, protection: server.protection }
    })
  )
  const nats = pair.client.addresses.map((address, i) =>
    pair.simulator.nat({ outside: `203.0.113.${i + 1}`, inside: [address.host] })
  )
  assert.isAbove(establish(pair), 0)
  for (let link = 1; link < pair.links.length; link++) awaitPath(pair, openPath(pair, link))
  return { pair, nats, client, server }
}

/** The numbers of each path rise, whatever the packets are for. */
const risingNumbers = (packets: ReadonlyArray<SealedPacket>): void => {
  const last = new Map<number, number>()
  for (const { packetNumber, pathId } of packets) {
    assert.isAbove(packetNumber, last.get(pathId) ?? -1, `path ${pathId}`)
    last.set(pathId, packetNumber)
  }
}

const CLOSE = [FrameType.connectionClose, FrameType.applicationClose]

describe("2.B: nonces", () => {
  it("2.B: no key seals twice with the same nonce: data, copies, probes, challenges, moved paths, key updates, the end", () => {
    const links: ReadonlyArray<DuplexOptions> = [
      { mbps: 20, delay: 10, queue: 60, loss: 0.01, mtu: 1400 },
      { mbps: 20, delay: 20, queue: 60, loss: 0.01 },
      { mbps: 10, delay: 30, queue: 60 }
    ]
    const { client, nats, pair, server } = watched({
      links,
      node: { scheduler: roundRobin, duplication: () => ({ name: "all", stream: () => true, budget: 0.3 }) }
    })
    for (let round = 0; round < 3; round++) {
      const up = send(pair.connection, pair.accepted, 200_000)
      const down = send(pair.accepted, pair.connection, 200_000)
      pair.run(pair.simulator.now + 60)
      nats[round]!.rebind()
      pair.connection.updateKeys(pair.simulator.now)
      pair.until(() => up.finished && down.finished, pair.simulator.now + 20_000, 5)
      intact(up, 200_000, `up ${round}`)
      intact(down, 200_000, `down ${round}`)
    }
    pair.connection.close(7, "", pair.simulator.now)
    pair.connection.wake()
    pair.run(pair.simulator.now + 2000)
    assert.isAbove(pair.accepted.stats().keyUpdates, 0)
    for (const sealed of [client, server]) {
      assert.deepStrictEqual(sealed.repeated, [])
      assert.isAbove(sealed.with(FrameType.pathChallenge).length, 1)
      // The same numbers did come up on several paths: there was something to repeat.
      const numbers = [0, 1, 2].map((id) =>
        sealed.packets.filter(({ pathId }) => pathId === id).map(({ packetNumber }) => packetNumber)
      )
      assert.isAbove(numbers[1]!.filter((n) => numbers[0]!.includes(n) && numbers[2]!.includes(n)).length, 20)
      risingNumbers(sealed.packets)
    }
    assert.isAbove(client.with(...CLOSE).length, 0)
  })

  it("2.B: with one path, probes of packet size and the end of the connection have numbers of the path", () => {
    const client = new Sealed()
    const pair = connected({ links: [{ mbps: 20, delay: 10 }], client: { protection: client.protection } })
    exchange(pair, 200_000, 5000, "one path")
    pair.connection.close(7, "", pair.simulator.now)
    pair.connection.wake()
    pair.run(pair.simulator.now + 500)
    assert.deepStrictEqual(client.repeated, [])
    risingNumbers(client.packets)
    assert.isAbove(Math.max(...client.packets.map(({ bytes }) => bytes)), 1400)
    assert.strictEqual(client.with(...CLOSE)[0]!.pathId, 0)
  })
})

describe("2.C: whose acknowledgement it is", () => {
  it("2.C: two paths of which nobody told the server: each has its numbers, and each is acknowledged", () => {
    const { pair, server } = watched({ node: { scheduler: roundRobin } })
    transfer(pair, { bytes: 1_000_000, upload: true })
    pair.run(pair.simulator.now + 500)
    for (const path of pair.connection.paths) {
      assert.isAbove(path.streamBytesSent, 300_000)
      assert.strictEqual(path.bytesInFlight, 0)
      assert.strictEqual(path.packetsLost, 0)
      assert.strictEqual(path.recovery.probeTimeouts, 0)
      const acks = server.packets.flatMap(({ frames: all }) =>
        all.filter(({ largest, pathId }) => largest >= 0 && pathId === path.id)
      )
      assert.isAbove(acks.length, 50)
    }
    assert.strictEqual(pair.accepted.stats().packetsDropped, 0)
  })

  it("2.C: a path is acknowledged at once though the scheduler of the receiver never picks it, data or no data", () => {
    for (const busy of [true, false]) {
      const server = new Sealed()
      const pair = withPaths({
        links: equalLinks,
        client: { scheduler: roundRobin },
        server: {
          protection: server.protection,
          scheduler: () => ({
            name: "first only",
            select: ({ paths }) => paths.find(({ canSend, id }) => canSend && id === 0)
          })
        }
      })
      const down = busy ? send(pair.accepted, pair.connection, 1_000_000) : undefined
      transfer(pair, { bytes: 500_000, upload: true })
      pair.until(() => down?.finished !== false, pair.simulator.now + 2000)
      pair.run(pair.simulator.now + 100)
      assert.isAbove(pair.connection.path(1)!.streamBytesSent, 150_000)
      for (const path of pair.connection.paths) {
        assert.strictEqual(path.bytesInFlight, 0)
        assert.strictEqual(path.packetsLost, 0)
        assert.isBelow(path.smoothedRtt, 2 * 15 + 45)
      }
      const acks = server.packets.flatMap(({ frames: all }) => all.filter(({ largest }) => largest >= 0))
      assert.isAbove(acks.filter(({ pathId }) => pathId === 1).length, 30)
      assert.strictEqual(pair.accepted.path(1)!.streamBytesSent, 0)
    }
  })

  it("2.C: an acknowledgement counts for its path alone; a number that only another path has sent is a PROTOCOL_VIOLATION", () => {
    const pair = withPaths({ links: equalLinks, client: { scheduler: lowLatency } })
    transfer(pair, { bytes: 300_000, upload: true })
    pair.run(pair.simulator.now + 200)
    const [first, second] = pair.connection.paths
    const ahead = first!.recovery.sent(2)!.next - 1
    assert.isAbove(ahead, second!.recovery.sent(2)!.next)
    inject(
      pair.simulator,
      pair.accepted,
      frames((w) => void writeAck(w, 1, Float64Array.of(ahead, ahead), 1, 0, 0, 0, 0, false))
    )
    pair.run(pair.simulator.now + 50)
    assert.strictEqual(transportCode(pair.client), TransportError.protocolViolation)
  })

  it("2.C: the same number on two paths: the acknowledgement of one settles the one", () => {
    const pair = withPaths({ links: equalLinks })
    pair.run(pair.simulator.now + 200)
    pair.server.tap = () => false
    const numbers = pair.connection.paths.map(({ recovery }) => recovery.nextPacketNumber(2))
    const number = Math.max(...numbers) + 10
    for (const path of pair.connection.paths) {
      const { recovery } = path
      recovery.onPacketSent(2, number, pair.simulator.now, 500, true, true, false, undefined)
      assert.strictEqual(path.bytesInFlight, 500)
    }
    pair.server.tap = undefined
    const ack = frames((w) => void writeAck(w, 1, Float64Array.of(number, number), 1, 0, 0, 0, 0, false))
    inject(pair.simulator, pair.accepted, ack)
    pair.run(pair.simulator.now + 20)
    assert.deepStrictEqual(
      pair.connection.paths.map(({ bytesInFlight }) => bytesInFlight),
      [500, 0]
    )
  })
})

/** Numbers by which a path is ahead: more than two bytes of a packet number can tell apart. */
const AHEAD = 70_000

describe("2.D: number spaces of their own", () => {
  for (const ahead of [0, 1]) {
    it(`2.D: path ${ahead} is ${AHEAD} numbers ahead: nothing of the other is dropped, decoded wrong or under a wrong key`, () => {
      const pair = withPaths({ links: equalLinks, node: { scheduler: roundRobin } })
      pair.run(pair.simulator.now + 200)
      for (const connection of [pair.connection, pair.accepted]) {
        const path = connection.path(ahead)!
        const packetNumber = path.recovery.nextPacketNumber(2) + AHEAD
        const options = { pathId: ahead, packetNumber }
        sendRaw(
          pair.simulator,
          path.local,
          path.remote,
          forge(connection, frames(writePing), pair.simulator.now, options)
        )
      }
      pair.run(pair.simulator.now + 200)
      for (let round = 0; round < 3; round++) {
        const up = send(pair.connection, pair.accepted, 300_000)
        const down = send(pair.accepted, pair.connection, 300_000)
        pair.run(pair.simulator.now + 40)
        assert.isTrue(pair.connection.updateKeys(pair.simulator.now), `update ${round}`)
        pair.until(() => up.finished && down.finished, pair.simulator.now + 10_000)
        intact(up, 300_000, `up ${round}`)
        intact(down, 300_000, `down ${round}`)
        pair.run(pair.simulator.now + 1000)
      }
      for (const connection of [pair.connection, pair.accepted]) {
        const distance =
          connection.path(ahead)!.recovery.nextPacketNumber(2) -
          connection.path(1 - ahead)!.recovery.nextPacketNumber(2)
        assert.isAbove(distance, 65_536)
        const { keyUpdates, packetsDropped, packetsLost } = connection.stats()
        assert.deepStrictEqual(
          { keyUpdates, packetsDropped, packetsLost },
          { keyUpdates: 3, packetsDropped: 0, packetsLost: 0 }
        )
      }
      assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [])
    })
  }

  it("2.D: marks on one path slow that path, and are counted by it", () => {
    const pair = withPaths({
      links: [
        { mbps: 20, delay: 15, queue: 100, ecnMark: 10 },
        { mbps: 20, delay: 15, queue: 100 }
      ]
    })
    const incoming = send(pair.connection, pair.accepted, 4_000_000)
    pair.run(pair.simulator.now + 1000)
    const [marked, clear] = pair.connection.paths
    assert.isBelow(marked!.recovery.controller.slowStartThreshold, Infinity)
    assert.isBelow(marked!.congestionWindow, clear!.congestionWindow)
    assert.strictEqual(marked!.recovery.ecn.state, "capable")
    assert.strictEqual(clear!.recovery.ecn.state, "capable")
    assert.strictEqual(marked!.packetsLost, 0)
    pair.until(() => incoming.finished, pair.simulator.now + 20_000, 5)
    intact(incoming, 4_000_000, "marked")
  })

  it("2.D: a silent path has probe timeouts of its own: the other neither backs off nor probes", () => {
    const pair = withPaths({ links: equalLinks, node: { scheduler: roundRobin } })
    const incoming = send(pair.connection, pair.accepted, 3_000_000)
    pair.run(pair.simulator.now + 200)
    pair.links[1]!.cut()
    pair.until(() => {
      assert.strictEqual(pair.connection.path(0)!.ptoCount, 0)
      return incoming.finished
    }, pair.simulator.now + 20_000)
    intact(incoming, 3_000_000, "over the other")
    assert.isAbove(pair.connection.path(1)!.ptoCount, 1)
    assert.strictEqual(pair.connection.path(0)!.recovery.probeTimeouts, 0)
  })

  for (const side of ["client", "server"] as const) {
    it(`2.D: the ${side} closes after traffic on all paths: the peer knows after one way`, () => {
      const { client, pair, server } = watched({ node: { scheduler: roundRobin } })
      exchange(pair, 300_000, 5000, "before")
      const [connection, sealed, peer] =
        side === "client"
          ? ([pair.connection, client, pair.server] as const)
          : ([pair.accepted, server, pair.client] as const)
      const at = pair.simulator.now
      connection.close(7, "done", at)
      connection.wake()
      const told = pair.until(() => peer.closes.length > 0, at + 1000)
      assert.isAtMost(told - at, 17)
      assert.deepStrictEqual(ending(peer), { kind: "application", initiator: "peer", code: 7, reason: "done" })
      risingNumbers(sealed.packets)
    })
  }
})
