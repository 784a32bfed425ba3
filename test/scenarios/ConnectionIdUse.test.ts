/** One connection ID is for packets between one pair of addresses (RFC 9000 section 9.5), wherever paths go and come. */
import { assert, describe, it } from "@effect/vitest"
import { writePadding, writePathChallenge } from "../../src/internal/wire/FrameWriter.ts"
import type { Address } from "../../src/internal/wire/Datagram.ts"
import { Prng } from "../../src/testing/internal/SimulatorCore.ts"
import { capture, forge, frames, sendRaw } from "../support/Hostile.ts"
import type { Pair } from "../support/Machines.ts"
import type { Node } from "../support/Machines.ts"
import { established, exchange, say, seeds } from "../support/Scenario.ts"

const LINKS = [0, 1, 2, 3].map((i) => ({ mbps: 20, delay: 5 + 10 * i, queue: 100 }))
const ID_LENGTH = 8

/** What a node's packets of 1-RTT were sent to: their IDs, each with the pairs of addresses that saw it. */
class Uses {
  readonly pairs = new Map<string, Set<string>>()

  constructor(node: Node) {
    const before = node.tap
    node.tap = (bytes, from, to, now, ecn) => {
      if (bytes[0]! < 0x80) this.add(Buffer.from(bytes.subarray(1, 1 + ID_LENGTH)).toString("hex"), from, to)
      return before?.(bytes, from, to, now, ecn) ?? true
    }
  }

  private add(id: string, from: Address, to: Address): void {
    // Another port of the same host is the last resort of a server that has no ID left: the address tells as much.
    this.pairs.set(id, (this.pairs.get(id) ?? new Set()).add(`${from.host} > ${to.host}`))
  }

  get twice(): ReadonlyArray<string> {
    return [...this.pairs].filter(([, where]) => where.size > 1).map(([id, where]) => `${id}: ${[...where].join(", ")}`)
  }
}

const move = (pair: Pair, local: Address, gone: boolean, pathId = 0) => {
  const refusal = pair.connection.migratePath(pathId, local, gone, pair.simulator.now)
  pair.connection.wake()
  return refusal
}

/** Moves as an application does that waits for IDs of the peer. */
const moveInTheEnd = (pair: Pair, local: Address, limit: number): number =>
  pair.until(() => move(pair, local, true) === undefined, pair.simulator.now + limit, 50)

/** Paths move to and fro while ways fail and return: what went wrong, if anything. */
const wander = (seed: number): string | undefined => {
  const random = new Prng(seed, "wander")
  const multipath = random.int(2) === 0
  const settings = {
    maxPaths: multipath ? 3 : 0,
    connectionIds: 2 + random.int(4),
    activeConnectionIdLimit: 2 + random.int(4),
    idleTimeout: 60_000
  }
  const pair = established({
    seed,
    links: LINKS,
    client: { settings },
    server: { settings: { ...settings, connectionIds: 2 + random.int(4) } }
  })
  const uses = [new Uses(pair.client), new Uses(pair.server)]
  pair.run(pair.simulator.now + 300)
  if (multipath) pair.connection.openPath({ local: pair.client.addresses[1]! }, pair.simulator.now)
  pair.connection.wake()
  pair.run(pair.simulator.now + 300)
  // Also to where nobody is: a port that leads nowhere.
  const places = [...pair.client.addresses, pair.simulator.addresses.intern("10.0.2.1", 5999)]
  const refusals = new Set<string>()
  const up = say(pair.connection, new Uint8Array(1000))
  const down = say(pair.accepted, new Uint8Array(1000))
  for (let step = 0; step < 25; step++) {
    const link = pair.links[random.int(pair.links.length)]!
    switch (random.int(5)) {
      case 0:
        link.set(random.int(2) === 0 ? { forward: { up: false } } : { backward: { up: false } })
        break
      case 1:
        link.cut()
        break
      case 2:
        for (const each of pair.links) each.restore()
        break
      default: {
        const refusal = move(
          pair,
          places[random.int(places.length)]!,
          random.int(2) === 0,
          random.int(multipath ? 2 : 1)
        )
        if (refusal !== undefined) refusals.add(refusal)
      }
    }
    if (random.int(2) === 0) (random.int(2) === 0 ? up : down).write(new Uint8Array(5000))
    pair.connection.wake()
    pair.accepted.wake()
    pair.run(pair.simulator.now + [1, 30, 300, 1500][random.int(4)]!)
  }
  for (const each of pair.links) each.restore()
  // Ways are back: paths come away from where nobody is, with the IDs that they have left, or return there by themselves.
  const awake = (): boolean => {
    for (const path of pair.connection.paths) {
      if (!path.open || path.local.port !== 5999) continue
      pair.client.addresses.some((address) => move(pair, address, true, path.id) === undefined)
    }
    return down.send!.buffer.allAcked && up.send!.buffer.allAcked
  }
  down.write(new Uint8Array(5000))
  pair.accepted.wake()
  const back = pair.until(awake, pair.simulator.now + 30_000, 50)
  if (back < 0)
    return `nothing gets through any more: ${pair.connection.paths.map((p) => `${p.id} ${p.state} ${p.local.key}`).join(", ")}`
  const closes = () => [...pair.client.closes, ...pair.server.closes]
  if (closes().length > 0) return `ended: ${JSON.stringify(closes())}`
  for (const use of uses) if (use.twice.length > 0) return `one ID for two ways: ${use.twice.join("; ")}`
  for (const refusal of refusals) {
    if (refusal !== "noConnectionIds" && refusal !== "duplicate" && refusal !== "closed") return `refused: ${refusal}`
  }
  return undefined
}

describe("RFC 9000 9.5: paths that move again and again", () => {
  it("use no ID for two ways, wherever they go while ways fail and return, and no connection ends by it", () => {
    for (const seed of seeds(80)) assert.isUndefined(wander(seed), `seed ${seed}`)
  })

  it("in an outage: without an ID left a move is refused, and the connection goes on when a way is back", () => {
    const pair = established({ links: LINKS })
    pair.run(pair.simulator.now + 300)
    const uses = [new Uses(pair.client), new Uses(pair.server)]
    for (const link of pair.links) link.cut()
    const places = Array.from({ length: 12 }, (_, i) => pair.simulator.addresses.intern("10.0.3.1", 6000 + i))
    const results = places.map((place) => {
      pair.run(pair.simulator.now + 100)
      return move(pair, place, false)
    })
    // Three spare ones, and the path stays where the last of them led.
    assert.deepStrictEqual(results, [
      undefined,
      undefined,
      undefined,
      ...Array.from({ length: 9 }, () => "noConnectionIds")
    ])
    const home = pair.client.addresses[0]!
    for (const link of pair.links) link.restore()
    // It returns by itself to the last address that worked.
    assert.isAtLeast(
      pair.until(() => pair.connection.paths[0]!.local === home, pair.simulator.now + 10_000, 10),
      0
    )
    exchange(pair, 50_000, 10_000, "at home")
    assert.isAtLeast(moveInTheEnd(pair, pair.client.addresses[1]!, 1000), 0)
    exchange(pair, 50_000, 10_000, "elsewhere")
    for (const use of uses) assert.deepStrictEqual(use.twice, [])
  })

  it("to and fro between as many addresses as there are IDs, without an answer, as often as one likes", () => {
    const pair = established({ links: LINKS })
    pair.run(pair.simulator.now + 300)
    const uses = [new Uses(pair.client), new Uses(pair.server)]
    for (const link of pair.links) link.set({ backward: { up: false } })
    for (let i = 1; i <= 40; i++) {
      assert.isUndefined(move(pair, pair.client.addresses[i % 4]!, i % 3 === 0), `move ${i}`)
      pair.run(pair.simulator.now + 200)
    }
    for (const link of pair.links) link.restore()
    exchange(pair, 50_000, 10_000, "after")
    for (const use of uses) assert.deepStrictEqual(use.twice, [])
  })

  it("a client whose moves may have used up the server's IDs refuses another one: nobody could answer", () => {
    const parameters = { activeConnectionIdLimit: 8, connectionIds: 8 }
    const pair = established({
      links: LINKS,
      client: { settings: { ...parameters, connectionIds: 2 } },
      server: { settings: parameters }
    })
    pair.run(pair.simulator.now + 300)
    const uses = [new Uses(pair.client), new Uses(pair.server)]
    for (const link of pair.links) link.set({ backward: { up: false } })
    const refused = (i: number) => move(pair, pair.simulator.addresses.intern("10.0.1.1", 6000 + i), true) !== undefined
    let moves = 0
    while (moves < 12 && !refused(moves)) {
      moves++
      pair.run(pair.simulator.now + 200)
    }
    assert.isBelow(moves, 5)
    for (const link of pair.links) link.restore()
    assert.isAtLeast(moveInTheEnd(pair, pair.client.addresses[0]!, 10_000), 0)
    exchange(pair, 50_000, 10_000, "after")
    for (const use of uses) assert.deepStrictEqual(use.twice, [])
  })
})

describe("RFC 9000 9.5: answers to addresses that a peer asks from", () => {
  /** A client that asks from its second address, under an ID of the server that it has not used. */
  const asked = () => {
    const pair = established({ links: LINKS })
    pair.run(pair.simulator.now + 300)
    const sent = capture(pair.server)
    const ask = (local: Address, sequence: number, data: number): void => {
      const dcid = pair.accepted.paths[0]!.localIds.bySequence(sequence)!.bytes
      const challenge = frames((w) => {
        writePathChallenge(w, new Uint8Array(8).fill(data))
        writePadding(w, 1150)
      })
      sendRaw(
        pair.simulator,
        local,
        pair.server.addresses[0]!,
        forge(pair.connection, challenge, pair.simulator.now, { dcid })
      )
      pair.run(pair.simulator.now + 100)
    }
    const idsTo = (to: Address) => [
      ...new Set(
        sent
          .filter((one) => one.to === to)
          .map(({ bytes }) => Buffer.from(bytes.subarray(1, 1 + ID_LENGTH)).toString("hex"))
      )
    ]
    return { pair, ask, idsTo }
  }

  it("one that it asks from on purpose has an ID of its own, and keeps it, also when the path moves there", () => {
    const { pair, ask, idsTo } = asked()
    const uses = new Uses(pair.server)
    const there = pair.client.addresses[1]!
    const own = Buffer.from(pair.accepted.paths[0]!.remoteIds.active!.bytes).toString("hex")
    ask(there, 1, 1)
    ask(there, 1, 2)
    assert.lengthOf(idsTo(there), 1)
    assert.notStrictEqual(idsTo(there)[0], own)
    assert.strictEqual(pair.accepted.paths[0]!.remote, pair.client.addresses[0])
    pair.connection.core.paths.rotateRemoteId(pair.connection.core.paths.primary)
    assert.isUndefined(move(pair, there, true))
    exchange(pair, 50_000, 10_000, "moved")
    assert.strictEqual(pair.accepted.paths[0]!.remote, there)
    assert.deepStrictEqual(uses.twice, [])
  })

  it("from many of them, as far as the peer's IDs go: no ID is seen twice, and the path keeps its own", () => {
    const { pair, ask } = asked()
    const uses = new Uses(pair.server)
    const own = pair.accepted.paths[0]!.remoteIds.active
    for (let i = 0; i < 10; i++) ask(pair.simulator.addresses.intern("10.0.1.1", 7000 + i), 1, i)
    assert.deepStrictEqual(uses.twice, [])
    assert.strictEqual(pair.accepted.paths[0]!.remoteIds.active, own)
    exchange(pair, 50_000, 10_000, "after")
    assert.isUndefined(move(pair, pair.client.addresses[1]!, true))
    exchange(pair, 50_000, 10_000, "moved")
    assert.deepStrictEqual(uses.twice, [])
  })

  it("under the same ID a translator has moved it, or somebody copies its packets: that burns none", () => {
    const { pair, ask, idsTo } = asked()
    const own = pair.accepted.paths[0]!.remoteIds.active!
    const { available } = pair.accepted.paths[0]!.remoteIds
    for (let i = 0; i < 10; i++) ask(pair.simulator.addresses.intern("10.0.1.1", 7000 + i), 0, i)
    assert.deepStrictEqual(idsTo(pair.simulator.addresses.intern("10.0.1.1", 7000)), [
      Buffer.from(own.bytes).toString("hex")
    ])
    assert.strictEqual(pair.accepted.paths[0]!.remoteIds.available, available)
  })
})
