/** Servers that ask for a proof of the address before they keep anything (RFC 9000 sections 8.1.2, 8.1.3, 17.2.5). */
import { assert, describe, it } from "@effect/vitest"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import { sendRaw } from "../support/Hostile.ts"
import { Node, Pair } from "../support/Machines.ts"
import type { PairOptions } from "../support/Machines.ts"
import { establish, established, exchange, seeds } from "../support/Scenario.ts"

const always = { server: { retry: "always" } } as const satisfies PairOptions

describe("8.1.2: Retry", () => {
  it("costs one round trip, and keeps nothing for a client that has not answered it", () => {
    const without = establish(new Pair())
    const pair = new Pair(always)
    pair.run(15)
    const stats = pair.server.endpoint.stats()
    assert.deepInclude(stats, { connections: 0, routes: 0, retriesSent: 1, tokensAccepted: 0 })
    assert.closeTo(establish(pair), without + 20, 1)
    assert.deepInclude(pair.server.endpoint.stats(), {
      retriesSent: 1,
      tokensAccepted: 1,
      tokensRejected: 0,
      refused: 0
    })
    exchange(pair, 100_000, 5000, "after a Retry")
  })

  it("works with loss, reordering and duplication, whatever is lost", () => {
    for (const seed of seeds(40)) {
      const pair = new Pair({
        ...always,
        seed,
        links: [{ mbps: 10, delay: 10, loss: 0.2, reorder: 0.1, duplicate: 0.1 }]
      })
      assert.isAbove(establish(pair, 30_000), 0, `seed ${seed}`)
      exchange(pair, 20_000, 30_000, `seed ${seed}`)
      assert.strictEqual(pair.server.endpoint.stats().connections, 1, `seed ${seed}`)
    }
  })

  it("a client behind a proven address is not held to three times its bytes", () => {
    const pair = new Pair(always)
    assert.isAbove(establish(pair), 0)
    assert.isTrue(pair.accepted.path(0)!.validated)
  })

  it("the token of another client is INVALID_TOKEN at once: nobody waits in vain (8.1.3)", () => {
    const pair = new Pair(always)
    const stranger = pair.simulator.addresses.intern("10.0.0.1", 6666)
    pair.client.tap = (bytes, _from, to, now) => {
      if (now >= 15) sendRaw(pair.simulator, stranger, to, bytes.slice())
      return now < 15
    }
    let answers = 0
    pair.server.tap = (_bytes, _from, to) => {
      if (to.key === stranger.key) answers++
      return true
    }
    pair.run(60)
    assert.strictEqual(answers, 1)
    assert.deepInclude(pair.server.endpoint.stats(), { connections: 0, tokensAccepted: 0, tokensRejected: 1 })
  })

  it("an old one: the client hears INVALID_TOKEN", () => {
    const pair = new Pair({ ...always, client: { settings: { handshakeTimeout: 60_000 } } })
    let held = 0
    pair.client.tap = (bytes, from, to, now) => {
      // What answers the Retry comes 20 s late.
      if (now < 15 || held > 0) return now < 15
      held++
      const copy = bytes.slice()
      pair.simulator.at(now + 20_000, () => sendRaw(pair.simulator, from, to, copy))
      return false
    }
    pair.run(22_000)
    assert.deepInclude(pair.client.closes.at(-1), { kind: "transport", code: TransportError.invalidToken })
  })
})

describe("8.1.2: only while there is much to do", () => {
  it("a flood of handshakes gets Retry from the middle of the limit on, and a real client still connects", () => {
    const pair = new Pair({ server: { maxHandshakes: 8 } })
    assert.isAbove(establish(pair), 0)
    assert.strictEqual(pair.server.endpoint.stats().retriesSent, 0)
    // Clients whose own datagrams arrive, and who hear nothing.
    const deaf = new Node(pair.simulator, ["10.0.0.1"], 7000, false, { seed: 5 })
    pair.server.tap = (_bytes, _from, to) => to.port !== 7000
    for (let i = 0; i < 50; i++) deaf.connect(pair.server)
    pair.run(pair.simulator.now + 60)
    const { connections, refused, retriesSent } = pair.server.endpoint.stats()
    assert.deepStrictEqual({ connections, refused, retriesSent }, { connections: 5, refused: 0, retriesSent: 46 })
    const late = pair.client.connect(pair.server)
    pair.run(pair.simulator.now + 100)
    assert.isTrue(late.confirmed)
  })

  it("never: the flood takes all places", () => {
    const pair = new Pair({ server: { maxHandshakes: 8, retry: "never" } })
    const deaf = new Node(pair.simulator, ["10.0.0.1"], 7000, false, { seed: 5 })
    pair.server.tap = (_bytes, _from, to) => to.port !== 7000
    assert.isAbove(establish(pair), 0)
    for (let i = 0; i < 50; i++) deaf.connect(pair.server)
    pair.run(pair.simulator.now + 60)
    assert.deepInclude(pair.server.endpoint.stats(), { connections: 9, refused: 42, retriesSent: 0 })
  })
})

describe("8.1.3: NEW_TOKEN", () => {
  it("a client that comes back with it needs no Retry; the same token does no good twice", () => {
    const pair = established(always)
    pair.run(pair.simulator.now + 50)
    assert.lengthOf(pair.client.tokens, 1)
    const [token] = pair.client.tokens
    const before = pair.server.endpoint.stats().retriesSent
    const back = pair.client.connect(pair.server, ["test"], token)
    pair.run(pair.simulator.now + 45)
    assert.isTrue(back.confirmed)
    assert.deepInclude(pair.server.endpoint.stats(), { retriesSent: before, tokensAccepted: 2, tokensRejected: 0 })
    const again = pair.client.connect(pair.server, ["test"], token)
    pair.run(pair.simulator.now + 100)
    assert.isTrue(again.confirmed)
    assert.deepInclude(pair.server.endpoint.stats(), { retriesSent: before + 1, tokensAccepted: 3, tokensRejected: 1 })
  })

  it("is repeated until it arrives (13.3), and only servers send it", () => {
    for (const seed of seeds(20)) {
      const pair = established({ seed, links: [{ mbps: 10, delay: 10, loss: 0.3 }] })
      pair.until(() => pair.client.tokens.length > 0, pair.simulator.now + 20_000)
      assert.isAtLeast(pair.client.tokens.length, 1, `seed ${seed}`)
      assert.lengthOf(pair.server.tokens, 0)
      pair.run(pair.simulator.now + 5000)
      assert.isUndefined(pair.accepted.core.newToken, `seed ${seed}`)
    }
  })

  it("with its secret a server knows its clients after a restart; with another one they prove themselves again", () => {
    const tokenKey = Buffer.from("a secret of thirty-two characters")
    for (const [key, retries] of [
      [tokenKey, 0],
      [Buffer.from("another secret of 32 characters!"), 1]
    ] as const) {
      const pair = established({ server: { tokenKey } })
      pair.run(pair.simulator.now + 50)
      pair.server.vanish()
      const next = new Node(pair.simulator, ["10.9.0.1"], 4433, true, { retry: "always", tokenKey: key, seed: 9 })
      const back = pair.client.connect(next, ["test"], pair.client.tokens[0])
      pair.run(pair.simulator.now + 500)
      assert.isTrue(back.confirmed)
      assert.strictEqual(next.endpoint.stats().retriesSent, retries)
    }
  })
})
