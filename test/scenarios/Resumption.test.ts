/** Connections whose session is resumed (RFC 9001 section 4.5). */
import { assert, describe, it } from "@effect/vitest"
import { Node } from "../support/Machines.ts"
import type { NodeOptions, Pair, PairOptions } from "../support/Machines.ts"
import { established, intact, seeds, send } from "../support/Scenario.ts"

/** A pair whose client has a ticket. */
const visited = (options: PairOptions = {}): Pair => {
  const pair = established(options)
  pair.until(() => pair.client.tickets.length > 0, pair.simulator.now + 10_000)
  assert.isAtLeast(pair.client.tickets.length, 1, `seed ${options.seed ?? 1}`)
  return pair
}

/** Another server in the place of the first. */
const restarted = (pair: Pair, options: NodeOptions): Node => {
  pair.server.vanish()
  return new Node(pair.simulator, ["10.9.0.1"], 4433, true, { seed: 9, ...options })
}

describe("9001 4.5: resumption", () => {
  it("the server's first flight has no certificates: it fits into one datagram", () => {
    const bytes = [0, 0]
    const pair = visited()
    pair.server.tap = (datagram) => {
      bytes[1]! += datagram.length
      return true
    }
    const back = pair.client.connect(pair.server, ["test"], undefined, pair.client.tickets[0])
    const before = pair.simulator.now
    pair.until(() => back.handshake !== undefined, before + 1000)
    assert.isTrue(back.handshake!.resumed)
    assert.closeTo(pair.simulator.now - before, 20, 1)
    pair.run(pair.simulator.now + 500)
    assert.isTrue(back.confirmed)
    assert.isTrue(pair.server.accepted[1]!.handshake!.resumed)
  })

  it("with loss, reordering, duplication, and a Retry before", () => {
    for (const seed of seeds(20)) {
      const retry = seed % 2 === 0 ? ("always" as const) : ("never" as const)
      const links = [{ mbps: 10, delay: 10, loss: 0.2, reorder: 0.1, duplicate: 0.1 }]
      const pair = visited({ seed, links, server: { retry } })
      const back = pair.client.connect(pair.server, ["test"], undefined, pair.client.tickets[0])
      pair.until(() => back.confirmed, pair.simulator.now + 30_000)
      assert.isTrue(back.handshake?.resumed, `seed ${seed}`)
    }
  })

  it("after a restart of the server: with the same secret, and with another one a full handshake", () => {
    const tokenKey = Buffer.from("a secret of thirty-two characters")
    for (const [key, resumed] of [
      [tokenKey, true],
      [Buffer.from("another secret of 32 characters!"), false]
    ] as const) {
      const pair = visited({ server: { tokenKey } })
      const next = restarted(pair, { tokenKey: key })
      const back = pair.client.connect(next, ["test"], undefined, pair.client.tickets[0])
      pair.run(pair.simulator.now + 500)
      assert.isTrue(back.confirmed)
      assert.strictEqual(back.handshake!.resumed, resumed)
    }
  })

  it("the ticket of one server is of no use to another, and no token is taken for a ticket", () => {
    const pair = visited()
    for (const bytes of [pair.client.tokens[0]!, new Uint8Array(300).fill(1)]) {
      const back = pair.client.connect(pair.server, ["test"], undefined, bytes)
      pair.run(pair.simulator.now + 500)
      assert.isTrue(back.confirmed)
      assert.isFalse(back.handshake!.resumed)
    }
  })

  it("NEG-10: what multipath was is not remembered: it is agreed on anew, more or less or not at all", () => {
    const tokenKey = Buffer.from("a secret of thirty-two characters")
    for (const [before, after] of [
      [3, 1],
      [1, 3]
    ] as const) {
      const settings = (maxPaths: number) => ({ tokenKey, settings: { maxPaths } })
      const pair = visited({ client: settings(3), server: settings(before) })
      assert.strictEqual(pair.connection.multipath, before > 1)
      const next = restarted(pair, settings(after))
      const back = pair.client.connect(next, ["test"], undefined, pair.client.tickets[0])
      pair.run(pair.simulator.now + 500)
      assert.isTrue(back.handshake!.resumed)
      assert.strictEqual(back.multipath, after > 1)
    }
  })

  it("carries data as any other", () => {
    const pair = visited()
    const back = pair.client.connect(pair.server, ["test"], undefined, pair.client.tickets[0])
    pair.until(() => back.confirmed && pair.server.accepted[1]?.confirmed === true, pair.simulator.now + 1000)
    const accepted = pair.server.accepted[1]!
    const [up, down] = [send(back, accepted, 200_000), send(accepted, back, 200_000)]
    pair.until(() => up.finished && down.finished, pair.simulator.now + 5000)
    intact(up, 200_000, "to the server")
    intact(down, 200_000, "to the client")
  })
})
