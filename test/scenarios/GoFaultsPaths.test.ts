/**
 * What goes wrong in mp-quic-go in the life of paths, with many connections and with sockets, and does not here: sections 2.F
 * and 2.H of the study of its code.
 *
 * | section | there | tests, where they are not below |
 * | --- | --- | --- |
 * | 2.F | a path counts as valid with no challenge, and carries everything at once | also MultipathPaths VAL-2, VAL-5 |
 * | 2.F | ADD_ADDRESS aims traffic at any address, as many as a peer likes; its numbers mean nothing | AddressExchange 2.F, shell/AutoPaths 2.F |
 * | 2.F | paths are never closed, nor their status told | MultipathAbandon ABN-1, MultipathScheduling STA-1 |
 * | 2.F | all paths have the same connection ID | also Migration E2 |
 * | 2.F | a rebinding of one path resets all; the server goes on sending to the old address | MultipathMigration SCN-22 |
 * | 2.F | PATH_RESPONSE leaves on whatever path the scheduler picks | |
 * | 2.F | the policies of a listener are shared by its connections | also shell/AutoPaths 2.F |
 * | 2.F | a path fails by having been idle; one that failed is never asked; if all have, nothing is sent | also FailurePolicies, Failover A3 |
 * | 2.F | silence after the last send is never noticed | |
 * | 2.F | a probe leaves where the scheduler likes, in a space of no path | |
 * | 2.F | an error of one socket ends the connection | also shell/AutoPaths 2.F, native/NetworkErrors |
 * | 2.F | qlog and an extension frame end the process | there is no qlog yet; frames that are not known: scenarios/Hostile |
 * | 2.H | packets leave from the address that they go to | shell/AutoPaths 2.H, net |
 * | 2.H | an address that goes ends all connections; further looks open nothing | shell/AutoPaths 2.H |
 * | 2.H | the advertised port is that of another socket | AddressExchange 2.H, shell/Advertise 2.H |
 * | 2.H | IPv4 in the form of IPv6 is another address | wire/AddressBytes 2.H, shell/AutoPaths 2.H |
 * | 2.H | a method that turns duplication on, and does nothing | shell/Policies, scenarios/Copies: each policy that is given is asked |
 */
import { assert, describe, it } from "@effect/vitest"
import { CONNECTION_ID_LENGTH } from "../../src/internal/endpoint/ConnectionIdTable.ts"
import { FrameType } from "../../src/internal/wire/FrameType.ts"
import { pattern, roundRobin } from "../support/Machines.ts"
import type { NodeOptions, Tap } from "../support/Machines.ts"
import { awaitPath, connected, equalLinks, eventsOf, openPath, withPaths } from "../support/Multipath.ts"
import { exchange, Incoming, intact, send } from "../support/Scenario.ts"
import { schedulerNames, schedulers } from "../support/Schedulers.ts"
import { Sealed } from "../support/Sealed.ts"

const copies: NodeOptions = {
  duplication: () => ({ name: "all", stream: () => true, control: true, budget: 8 }),
  reinjection: () => ({ name: "always", budget: 8 })
}

describe("2.F: validation", () => {
  for (const name of schedulerNames) {
    it(`2.F: ${name}: a path carries no stream data, nor copies of any, before the peer has answered there`, () => {
      const client = new Sealed()
      const server = new Sealed()
      const node = { scheduler: schedulers[name], ...copies }
      const pair = connected({
        client: { ...node, protection: client.protection },
        server: { ...node, protection: server.protection }
      })
      // What the client sends arrives, and no answer does: whoever is there has not proven anything.
      pair.links[1]!.set({ backward: { up: false } })
      openPath(pair, 1)
      exchange(pair, 200_000, 5000, "beside it")
      for (const { packets } of [client, server]) {
        const there = packets.filter(({ pathId }) => pathId === 1)
        assert.isAbove(there.length, 0)
        for (const { frames } of there) assert.isFalse(frames.some(({ type }) => type === FrameType.stream))
      }
      // The 3x limit: what the server sent there is no more than three times what came.
      assert.isAtMost(pair.accepted.path(1)!.recovery.bytesSent, 3 * pair.accepted.path(1)!.bytesReceived)
    })
  }

  it("2.F, VAL-3: an answer leaves on the path that the challenge came on, whatever the scheduler prefers", () => {
    const client = new Sealed()
    const server = new Sealed()
    const first: NodeOptions["scheduler"] = () => ({
      name: "first only",
      select: ({ paths }) => paths.find(({ canSend, id }) => canSend && id === 0)
    })
    const pair = withPaths({
      client: { scheduler: first, protection: client.protection },
      server: { scheduler: first, protection: server.protection }
    })
    for (const connection of [pair.connection, pair.accepted]) {
      const asked = connection === pair.connection ? client : server
      const answers = connection === pair.connection ? server : client
      const before = [0, 1].map(
        (id) => answers.with(FrameType.pathResponse).filter(({ pathId }) => pathId === id).length
      )
      for (let i = 0; i < 5; i++) {
        assert.isTrue(connection.probePath(1, pair.simulator.now))
        connection.wake()
        pair.run(pair.simulator.now + 100)
      }
      const after = [0, 1].map(
        (id) => answers.with(FrameType.pathResponse).filter(({ pathId }) => pathId === id).length
      )
      assert.deepStrictEqual(after, [before[0]!, before[1]! + 5])
      assert.isAtLeast(asked.with(FrameType.pathChallenge).filter(({ pathId }) => pathId === 1).length, 5)
    }
  })

  it("2.F: no connection ID is seen on two paths, in either direction", () => {
    const ids = new Map<string, Set<string>>()
    const watch =
      (way: (from: string, to: string) => string): Tap =>
      (datagram, from, to) => {
        if ((datagram[0]! & 0x80) !== 0) return true
        const key = way(from.host, to.host)
        let seen = ids.get(key)
        if (seen === undefined) ids.set(key, (seen = new Set()))
        seen.add(Buffer.from(datagram.subarray(1, 1 + CONNECTION_ID_LENGTH)).toString("hex"))
        return true
      }
    const pair = connected({ links: [...equalLinks, ...equalLinks].slice(0, 3), node: { scheduler: roundRobin } })
    pair.client.tap = watch((from) => `from ${from}`)
    pair.server.tap = watch((_, to) => `to ${to}`)
    for (const link of [1, 2]) awaitPath(pair, openPath(pair, link))
    exchange(pair, 300_000, 5000, "three paths")
    assert.strictEqual(ids.size, 6)
    const all = [...ids.values()].flatMap((seen) => Array.from(seen))
    assert.isAtLeast(all.length, 6)
    assert.strictEqual(new Set(all).size, all.length)
  })
})

describe("2.F: many connections of one listener", () => {
  it("2.F: each has policies of its own, whose paths are its own, and nobody's packets go to another client", () => {
    const made = { scheduler: 0, duplication: 0, reinjection: 0, failures: 0 }
    /** For each scheduler that was made, where it sent to. */
    const hosts: Array<Set<string>> = []
    const server: NodeOptions = {
      scheduler: () => {
        made.scheduler++
        const seen = new Set<string>()
        hosts.push(seen)
        return { ...roundRobin(), onPacketSent: (path) => void seen.add(path.remote.host) }
      },
      duplication: () => ({ name: `duplication ${made.duplication++}` }),
      reinjection: () => ({ name: `reinjection ${made.reinjection++}` }),
      failures: () => ({ name: `failures ${made.failures++}`, isFailed: () => true })
    }
    const link = { mbps: 20, delay: 10, queue: 100 }
    const pair = connected({ links: Array.from({ length: 6 }, () => link), server })
    const { client, simulator } = pair
    // Each connection has two addresses of the client to itself.
    const connections = [0, 1, 2].map((i) => {
      if (i === 0) return pair.connection
      const connection = client.endpoint.connect(
        { local: client.addresses[i]!, remote: pair.server.addresses[0]!, serverName: "server.test", alpn: ["test"] },
        simulator.now
      )
      client.listen(connection)
      return connection
    })
    pair.run(simulator.now + 500)
    for (const [i, connection] of connections.entries()) {
      assert.isNumber(connection.openPath({ local: client.addresses[3 + i]! }, simulator.now))
      connection.wake()
    }
    pair.run(simulator.now + 500)
    assert.lengthOf(pair.server.accepted, 3)
    const incoming = pair.server.accepted.map((accepted, i) => send(accepted, connections[i]!, 300_000))
    pair.until(() => incoming.every(({ finished }) => finished), simulator.now + 5000)
    for (const one of incoming) intact(one, 300_000, "each has its own bytes")
    assert.deepStrictEqual(made, { scheduler: 3, duplication: 3, reinjection: 3, failures: 3 })
    for (const [i, connection] of connections.entries()) {
      assert.deepStrictEqual([...hosts[i]!].toSorted(), [`10.0.${i}.1`, `10.0.${3 + i}.1`])
      assert.strictEqual(connection.stats().packetsDropped, 0)
    }
    assert.strictEqual(client.endpoint.stats().datagramsDropped, 0)
  })
})

describe("2.F: failure and recovery", () => {
  for (const rest of [600, 5000, 25_000]) {
    it(`2.F: the first packet after ${rest} ms of rest fails no path`, () => {
      const pair = withPaths({ node: { scheduler: roundRobin } })
      exchange(pair, 100_000, 5000, "before")
      for (let i = 0; i < 3; i++) {
        pair.run(pair.simulator.now + rest)
        exchange(pair, 3000, 5000, "after a rest")
      }
      for (const node of [pair.client, pair.server]) assert.deepStrictEqual(eventsOf(node, "potentiallyFailed"), [])
    })
  }

  it("2.F: a path that failed is asked until it answers, though nobody sends anything", () => {
    const pair = withPaths({ node: { scheduler: roundRobin } })
    const incoming = send(pair.connection, pair.accepted, 1_000_000)
    pair.run(pair.simulator.now + 100)
    pair.links[1]!.cut()
    pair.until(() => incoming.finished, pair.simulator.now + 5000)
    pair.run(pair.simulator.now + 5000)
    assert.strictEqual(pair.connection.path(1)!.state, "potentiallyFailed")
    pair.links[1]!.restore()
    const back = pair.simulator.now
    const recovered = pair.until(() => pair.connection.path(1)!.state === "active", back + 5000)
    // The interval between probes grows up to 2 s (`maxPtoInterval`).
    assert.isAtMost(recovered - back, 2100)
    assert.lengthOf(eventsOf(pair.client, "recovered", 1), 1)
  })

  it("2.F: all paths failed: both are asked, data waits, and the first that answers carries it", () => {
    for (const back of [0, 1]) {
      const client = new Sealed()
      const pair = withPaths({ client: { protection: client.protection } })
      const incoming = send(pair.connection, pair.accepted, 600_000)
      pair.run(pair.simulator.now + 50)
      for (const link of pair.links) link.cut()
      pair.run(pair.simulator.now + 1000)
      const before = client.packets.length
      pair.run(pair.simulator.now + 5000)
      const asked = client.packets.slice(before)
      for (const id of [0, 1]) assert.isAbove(asked.filter(({ pathId }) => pathId === id).length, 1, `path ${id}`)
      pair.links[back]!.restore()
      const from = pair.simulator.now
      const done = pair.until(() => incoming.finished, from + 6000)
      intact(incoming, 600_000, `over path ${back}`)
      assert.isAtMost(done - from, 2100 + 600)
    }
  })

  it("2.F: silence after the last send is noticed by a timer: what was lost arrives by the other path", () => {
    const pair = withPaths()
    exchange(pair, 100_000, 5000, "before")
    pair.run(pair.simulator.now + 1000)
    for (const link of [0, 1]) {
      const { simulator } = pair
      pair.links[link]!.cut()
      const incoming = new Incoming(pair.accepted)
      const stream = pair.connection.streams.open(false)!
      stream.write(pattern(0, 1000))
      stream.finish()
      pair.connection.wake()
      const { now } = simulator
      const pto = Math.max(...pair.connection.paths.map((path) => pair.connection.core.pto(path)))
      const done = pair.until(() => incoming.finished, now + 3000)
      // One way that leads nowhere, its probe timeout, and the other way.
      assert.isAtLeast(done, 0)
      assert.isAtMost(done - now, pto + 30 + 2, `path ${link}`)
      pair.links[link]!.restore()
      pair.run(now + 5000)
      assert.isTrue(pair.connection.paths.every(({ state }) => state === "active"))
    }
  })

  it("2.F: a probe leaves on the path whose data is not acknowledged, with the next number there", () => {
    const client = new Sealed()
    const pair = withPaths({ client: { protection: client.protection } })
    pair.run(pair.simulator.now + 500)
    const incoming = new Incoming(pair.accepted)
    const stream = pair.connection.streams.open(false)!
    stream.setPaths([1])
    pair.links[1]!.cut()
    const before = client.packets.length
    const { packetNumber } = client.packets.findLast(({ pathId }) => pathId === 1)!
    stream.write(pattern(0, 500))
    stream.finish()
    pair.connection.wake()
    pair.run(pair.simulator.now + 1500)
    const later = client.packets.slice(before)
    const there = later.filter(({ pathId }) => pathId === 1)
    assert.isAtLeast(there.length, 3)
    assert.isFalse(
      later.some(({ frames, pathId }) => pathId === 0 && frames.some(({ type }) => type === FrameType.stream))
    )
    let last = packetNumber
    for (const one of there) {
      assert.isAbove(one.packetNumber, last)
      last = one.packetNumber
    }
    assert.isAbove(pair.connection.path(1)!.recovery.probeTimeouts, 0)
    assert.strictEqual(pair.connection.path(0)!.recovery.probeTimeouts, 0)
    pair.links[1]!.restore()
    pair.until(() => incoming.finished, pair.simulator.now + 5000)
    intact(incoming, 500, "bound to the path")
  })
})
